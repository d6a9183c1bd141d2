"""Prints: every line of a command passes through here, so that no text from outside can control the terminal.

Names, reasons and logs come from buckets, clusters and journals. Characters that do not print are escaped: terminal
escapes, carriage returns, marks that reverse a line, a newline that would forge a line of drfsm. Nothing else in cli/
writes to stdout or stderr; tests/hostile/test_terminal.py checks that.

Output that can't be written (a closed terminal or pipe, a full disk) stops no procedure: what is said on stderr is
dropped, and the progress of a run goes on in a file of its bundle (``Enduring``).
"""

import io
import json
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from drfsm.claims import printable, printable_json, printable_lines
from drfsm.errors import DrfsmError
from drfsm.files import Directory

PROGRESS = "progress.log"


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line. Raises OSError if stdout refuses it; what stderr refuses is dropped."""
    with suppress(OSError, ValueError) if err else nullcontext():
        click.echo(printable(line), err=err)


def say_lines(lines: Iterable[object], *, err: bool = False) -> None:
    """Print each text on one line, whatever it holds."""
    for line in lines:
        say(line, err=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines whose line breaks are drfsm's own. Raises as ``say``."""
    with suppress(OSError, ValueError) if err else nullcontext():
        click.echo(printable_lines(text.removesuffix("\n")), err=err)


def say_json(value: Any) -> None:
    """Print a value as JSON. Characters that do not print are escaped, so that a reader gets the same value."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False)))


class Enduring(io.TextIOBase):
    """A stream for a run's progress: stderr as long as that can be written, then ``progress.log`` in the bundle.

    The file begins with why. Where it can't be written either, nothing is said: the journal has everything.
    """

    def __init__(self, stream: TextIO, place: Path) -> None:
        super().__init__()
        self._stream: TextIO | None = stream
        self._place = place

    def write(self, text: str) -> int:
        """Write a text; never raises for what this computer refuses."""
        if self._stream is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError) as fault:
                self._stream = None
                why = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
                self._keep(f"stderr can't be written any more ({printable(why)}): the progress goes on here\n")
            else:
                return len(text)
        self._keep(text)
        return len(text)

    def _keep(self, text: str) -> None:
        with suppress(DrfsmError, OSError), Directory.own(self._place) as directory:
            directory.append(PROGRESS, text.encode("utf-8", "backslashreplace"))


def write_line(stream: TextIO | Enduring, line: object) -> None:
    """Write one line to a stream that was opened as stderr, at once."""
    stream.write(f"{printable(line)}\n")
    stream.flush()
