"""A page for a narrow terminal: its lines are folded between words, and a command that can be typed stays whole.

A line that begins with ``drfsm`` below an indentation is a command, with its reason after two blanks: where both do not
fit, the reason goes below. Goes elsewhere than to a terminal, a page is not folded: whoever reads it by a program gets
each line whole. Called by `drfsm status` and `drfsm watch`.
"""

import re
import sys
from collections.abc import Iterable, Iterator

from drfsm.claims import printable
from drfsm.cli.say import columns, folded, say_lines

_COMMAND = re.compile(r"(?P<indent> *)(?P<typed>drfsm .*?)(?:  +(?P<reason>\S.*))?")
_AT_THE_END = re.compile(r"drfsm [a-z-]+ \S+$")
_REASON_INDENT = 6
_UNBROKEN = "\N{NO-BREAK SPACE}"


def say_fitting(lines: Iterable[object], *, err: bool = False) -> None:
    """Print lines, each folded to the width of its terminal. Raises OSError if stdout refuses them."""
    stream = sys.stderr if err else sys.stdout
    width = columns(stream) if stream is not None else None
    say_lines((part for line in lines for part in fitting(printable(line), width)), err=err)


def fitting(line: str, width: int | None) -> Iterator[str]:
    """Yield the lines that fit ``width`` columns; None: any width will do."""
    command = _COMMAND.fullmatch(line)
    if width is None or len(line) < width:
        yield line
    elif command is None:
        whole = _AT_THE_END.sub(lambda typed: typed[0].replace(" ", _UNBROKEN), line)
        indent = len(line) - len(line.lstrip(" "))
        parts = folded(whole, width, min(indent if indent >= _REASON_INDENT else indent + 2, width // 2))
        yield from (part.replace(_UNBROKEN, " ") for part in parts)
    else:
        yield f"{command['indent']}{command['typed']}"
        if command["reason"]:
            yield from folded(" " * _REASON_INDENT + command["reason"], width, _REASON_INDENT)
