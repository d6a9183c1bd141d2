"""The one mouth: every line that a verb prints passes here, so that nothing from outside steers a terminal.

Names, reasons and logs come from buckets, clusters and journals. What doesn't print (escapes, carriage returns,
marks that turn a line around, a newline that would forge a line of drfsm's own) is written out. Nothing else in
cli/ writes to stdout or stderr; tests/hostile/test_terminal.py looks for it.
"""

import json
from collections.abc import Iterable
from typing import Any, TextIO

import click

from drfsm.claims import printable, printable_json, printable_lines


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line."""
    click.echo(printable(line), err=err)


def say_lines(lines: Iterable[object], *, err: bool = False) -> None:
    """Print lines, each of them one line whatever it holds."""
    for line in lines:
        say(line, err=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines whose line breaks are drfsm's own."""
    click.echo(printable_lines(text.removesuffix("\n")), err=err)


def say_json(value: Any) -> None:
    """Print a value as JSON; what doesn't print is escaped, so that it reads back as it is."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False)))


def write_line(stream: TextIO, line: object) -> None:
    """Write one line to a stream that was opened as stderr, at once."""
    stream.write(f"{printable(line)}\n")
    stream.flush()
