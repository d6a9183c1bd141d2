"""Prints: every line of a command passes through here, so that no text from outside can control the terminal.

Names, reasons and logs come from buckets, clusters and journals. Characters that do not print are escaped: terminal
escapes, carriage returns, marks that reverse a line, a newline that would forge a line of drfsm. Nothing else in cli/
writes to stdout or stderr; tests/hostile/test_terminal.py checks that.

Output that can't be written (a closed terminal or pipe, a full disk) stops no procedure: what is said on stderr is
dropped, and the progress of a run goes on in a file of its bundle (``Enduring``).
"""

import errno
import io
import os
import re
import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from textwrap import wrap
from typing import Any, TextIO

from drfsm.claims import printable, printable_lines
from drfsm.errors import DrfsmError
from drfsm.files import Directory

PROGRESS = "progress.log"
_QUOTED = re.compile(r"`[^`]+`")
UNBROKEN = "\N{NO-BREAK SPACE}"


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line. Raises OSError if stdout refuses it; what stderr refuses is dropped."""
    with suppress(OSError, ValueError) if err else nullcontext():
        _echo(printable(line), err=err)


def say_lines(lines: Iterable[object], *, err: bool = False) -> None:
    """Print each text on one line, whatever it holds."""
    for line in lines:
        say(line, err=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines whose line breaks are drfsm's own. Raises as ``say``."""
    with suppress(OSError, ValueError) if err else nullcontext():
        _echo(printable_lines(text.removesuffix("\n")), err=err)


def say_json(value: Any) -> None:
    """Print a document as JSON, or as ``-o`` asks (documents.py). Characters that do not print are escaped."""
    from drfsm.cli.documents import written

    _echo(written(value))


def _echo(text: str, *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed from the start
        return
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:  # a terminal of another encoding: click knows what can be written to it
        import click

        click.echo(text, err=err)
    else:
        stream.flush()


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

    def isatty(self) -> bool:
        """Return whether what is written appears on a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the stream's file. Raises OSError if it can't be written any more."""
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def _keep(self, text: str) -> None:
        with suppress(DrfsmError, OSError), Directory.own(self._place) as directory:
            directory.append(PROGRESS, text.encode("utf-8", "backslashreplace"))


def write_line(stream: TextIO | Enduring, line: object, *, indent: int = 0) -> None:
    """Write one line to a stream that was opened as stderr, at once; on a terminal folded between words to its width.

    ``indent``: how far the folded lines are set in.
    """
    lines = folded(printable(line), columns(stream), indent)
    stream.write("".join(f"{part}\n" for part in lines))
    stream.flush()


def columns(stream: TextIO | Enduring) -> int | None:
    """Return the width of a stream's terminal now, None if it goes elsewhere."""
    with suppress(OSError, ValueError):
        if stream.isatty():
            return os.get_terminal_size(stream.fileno()).columns or None
    return None


def folded(line: str, width: int | None, indent: int = 0) -> list[str]:
    """Return a line in parts that fit ``width`` columns, folded between words. A command in `backquotes` stays whole.

    Neither is a word cut that is longer than the width: an address or a digest can then still be copied.
    """
    if width is None or len(line) < width or width < 2 * indent:
        return [line]
    whole = _QUOTED.sub(lambda command: command[0].replace(" ", UNBROKEN), line)
    parts = wrap(
        whole, width - 1, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )  # - 1: some marks are two columns wide
    return [part.replace(UNBROKEN, " ") for part in parts] or [line]
