"""Prints a page of drfsm's own words: plain ASCII, so that nothing in it can control a terminal. Loads nothing.

For the first page, which a person asks for first and often; everything else is printed by say.py.
"""

import sys

_PRINTED = frozenset(map(chr, range(0x20, 0x7F))) | {"\n"}


def say_page(text: str) -> None:
    """Print a page to stdout, if there is one. Raises ValueError for a character that isn't plain, OSError."""
    if not _PRINTED.issuperset(text):
        raise ValueError("a page of drfsm's own is plain ASCII")
    if sys.stdout is not None:  # None: closed from the start
        sys.stdout.write(text)
        sys.stdout.flush()
