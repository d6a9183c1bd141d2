"""Prints a page that is ready: drfsm's own first one, or what `status` showed last. Loads nothing.

For what a person asks for first and often; everything else is printed by say.py. A page with a character that does not
print is refused, so that nothing in it can control a terminal.
"""

import sys


def say_page(text: str) -> None:
    """Print a page to stdout, if there is one.

    Raises ValueError for a character that does not print, or that stdout's encoding lacks; OSError.
    """
    if not text.replace("\n", "").isprintable():
        raise ValueError("a page holds a character that does not print")
    if sys.stdout is not None:  # None: closed from the start
        sys.stdout.write(text)
        sys.stdout.flush()
