"""Prints: every line of a command passes through here, so that no text from outside can control the terminal.

Names, reasons and logs come from buckets, clusters and journals. Characters that do not print are escaped: terminal
escapes, carriage returns, marks that reverse a line, a newline that would forge a line of drfsm. Nothing else in cli/
writes to stdout or stderr; tests/hostile/test_terminal.py checks that.
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
    """Print each text on one line, whatever it holds."""
    for line in lines:
        say(line, err=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines whose line breaks are drfsm's own."""
    click.echo(printable_lines(text.removesuffix("\n")), err=err)


def say_json(value: Any) -> None:
    """Print a value as JSON. Characters that do not print are escaped, so that a reader gets the same value."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False)))


def write_line(stream: TextIO, line: object) -> None:
    """Write one line to a stream that was opened as stderr, at once."""
    stream.write(f"{printable(line)}\n")
    stream.flush()
