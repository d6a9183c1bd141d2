"""The table of `drfsm watch` on a terminal, drawn by `rich`: rows that are done, under way and ahead, with their times.

Every text passes printable, and none is markup: what a mirror holds can't colour, move or forge anything. The table
fits the terminal: the rows around the one under way are shown, and narrow terminals lose columns, not words. Called by
watch.py, which has checked that `rich` is installed.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from drfsm.claims import moment as moment_of
from drfsm.claims import printable
from drfsm.cli.watch_words import pace_words, standing_words, waiting
from drfsm.evidence.durations import lasting
from drfsm.evidence.wording import clip, moment
from drfsm.journal import Record, RunState
from drfsm.runs.pace import Step, left_seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

_MARKS = {"done": ("✓", "green"), "now": ("…", "bold"), "ahead": (" ", "dim")}
_NARROW = 72
"""Columns below which a row's usual time and its state are left out."""
_LINES_BESIDE = 10
_REASON_WIDTH = 300


class Screen:
    """A run as a table that is drawn anew."""

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream, markup=False, emoji=False, highlight=False)
        self._live = Live(console=console, auto_refresh=False, screen=True, redirect_stdout=False,
                          redirect_stderr=False)  # fmt: skip
        self._console = console
        self._remark = self._last = ""
        self._live.start()

    def on_record(self, record: Record, state: RunState) -> None:
        """Keep why the run stands or failed; the table is drawn by the next tick."""
        if record.kind in ("failed", "held", "ended", "rejected"):
            words = next((str(record.body[name]) for name in ("error", "why", "reason") if record.body.get(name)), "")
            self._last = f"{record.kind}: {words}" if words else ""
        elif record.kind == "commit":
            self._last = str(record.body["because"])
        if state.ended:
            self._remark = ""

    def remark(self, words: str) -> None:
        """Show a remark below the table, until the next one."""
        self._remark = words

    def tick(self, state: RunState, records: Sequence[Record], rows: Sequence[Step], now: str) -> None:
        """Draw the table."""
        self._live.update(self.drawn(state, records, rows, now), refresh=True)

    def close(self) -> None:
        """Take the table off the terminal; what stands above it stays."""
        self._live.stop()

    def drawn(self, state: RunState, records: Sequence[Record], rows: Sequence[Step], now: str) -> "RenderableType":
        """Return the whole picture for the terminal as it is now."""
        head = f"{state.machine} {state.run_id}, begun {moment(state.started_at)}"
        parts = [line(head, "bold"), line(standing_words(state, rows, now), _style(state))]
        parts += [line(words) for words in waiting(state, records, now)]
        parts += [line(words) for words in (pace_words(rows),) if words]
        after = [line(words) for words in (clip(self._last, _REASON_WIDTH), self._remark) if words]
        room = max(3, self._console.height - _LINES_BESIDE - len(parts) - len(after))
        return Group(
            *parts,
            table(shown(rows, room), now, self._console.width),
            *after,
            line("Ctrl-C ends the watch; the run goes on", "dim"),
        )


def _style(state: RunState) -> str:
    loud = any(word.startswith("nobody") for word in state.frozen_since)
    return "bold red" if loud else "yellow" if state.status == "held" else ""


def line(words: str, style: str = "") -> Text:
    """Return words that are no markup and hold nothing for the terminal."""
    return Text(printable(words), style=style, overflow="fold")


def shown(rows: Sequence[Step], room: int) -> Sequence[Step]:
    """Return the rows around the one under way that fit."""
    at = next((number for number, row in enumerate(rows) if row.phase == "now"), len(rows))
    first = max(0, min(at - room // 2, len(rows) - room))
    return rows[first : first + room]


def table(rows: Sequence[Step], now: str, width: int) -> Table:
    """Return the table of rows. A terminal of less than 72 columns has no column for the usual time and the state."""
    is_wide = width >= _NARROW
    drawn = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    for name in ("", "row", *(("state",) if is_wide else ())):
        drawn.add_column(name, overflow="fold")
    for name in ("took", *(("usually",) if is_wide else ()), "done by"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row, due in zip(rows, due_times(rows, now), strict=True):
        mark, style = _MARKS[row.phase]
        took = "" if row.seconds is None else lasting(row.seconds)
        usual = lasting(row.usual.seconds) if row.usual else "?" if row.phase != "done" else ""
        cells = [mark, row.trigger or "(between two rows)", *((row.to,) if is_wide else ()), took,
                 *((usual,) if is_wide else ()), due]  # fmt: skip
        drawn.add_row(*(line(cell, style) for cell in cells))
    return drawn


def due_times(rows: Sequence[Step], now: str) -> list[str]:
    """Return until when each row that is not done is done, as a time of the day in UTC; "" where it is not known."""
    due: list[str] = []
    at, known = moment_of(now), True
    for number, row in enumerate(rows):
        known = known and row.usual is not None if row.phase != "done" else known
        left = left_seconds(rows[: number + 1]) if row.phase != "done" and known else None
        due.append("" if left is None or at is None else (at + timedelta(seconds=left)).strftime("%H:%M:%SZ"))
    return due
