"""`drfsm watch`: follows a run live, from its journal on this computer or from its mirror in S3. Reads only.

On a terminal it shows a table (watch_screen.py, with `rich`); else, and with NO_COLOR or TERM=dumb, a line an event. It
ends when the run ends, with the exit code that the run's own command has. It goes on where the run is held, where its
process is gone, and where S3 can't be reached; each is said once. Whatever a mirror holds reaches the terminal only
through say.py and printable.
"""

import importlib.util
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote
from typing import Protocol

import click

from drfsm.claims import printable_json
from drfsm.cli.completing import run_ids
from drfsm.cli.fitting import say_fitting
from drfsm.cli.options import address, region
from drfsm.cli.outcome import exit_code
from drfsm.cli.progress import Progress, event_of
from drfsm.cli.say import say, say_lines
from drfsm.cli.watch_words import pace_words, standing_words, waiting
from drfsm.errors import ExitCode, Unreachable
from drfsm.evidence.standing import standing
from drfsm.journal import Record, RunState, fold, read
from drfsm.runs.following import Followed, followed
from drfsm.runs.pace import History, Step, history_of, steps

LOOK_SECONDS, LOOK_AFAR_SECONDS, SLOWEST_SECONDS = 0.5, 2.0, 15.0
HEARTBEAT_SECONDS = 60.0
HEIR_SECONDS = 15.0
"""How often the lease is looked at while nothing happens."""


class View(Protocol):
    """What shows a run: a table, lines, or JSON."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Show a record."""

    def remark(self, words: str) -> None:
        """Show a remark of the watch itself; "" takes the last one back."""

    def tick(self, state: RunState, records: Sequence[Record], rows: Sequence[Step], now: str) -> None:
        """Show that time passes."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


@click.command()
@click.argument("run", required=False, metavar="[RUN|S3_URI]", shell_complete=run_ids)
@click.option("--remote", is_flag=True, help="Follow the mirror in S3 of a run of this computer.")
@click.option("--bucket", default="", help="Bucket in which to look for the run's mirror.")
@click.option("--prefix", default="", help="Prefix in that bucket.  [default: the workload's]")
@click.option("--endpoint-url", default="", callback=address, help="Endpoint of the cloud.  [default: as AWS tools do]")
@region
@click.option("--until-held", is_flag=True, help="End also when the run is held or its process is gone: exit code 4.")
@click.option("--plain", is_flag=True, help="Lines, also on a terminal.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json: one object a line for each record.")  # fmt: skip
def watch(
    run: str | None, bucket: str, prefix: str, endpoint_url: str, region: str, output: str, *,
    remote: bool, until_held: bool, plain: bool,
) -> int:  # fmt: skip
    """Follow a run live: what is done, what it waits for, how long it takes and may still take.

    RUN is a directory or a run's id; without it the run that is open, else the newest. Ctrl-C ends the watch and leaves
    the run alone. Ends with the exit code of the run's end.
    """
    places = {"endpoint_url": endpoint_url, "region": region}
    journal = followed(run, remote=remote, bucket=bucket, prefix=prefix, places=places)
    view = view_for(output, plain=plain)
    try:
        return follow(journal, view, until_held=until_held, as_text=output == "text")
    except KeyboardInterrupt:
        view.close()
        say_lines(["", "the watch ends; the run is left alone", f"  drfsm watch {quote(journal.named)}"], err=True)
        return int(ExitCode.INTERRUPTED)
    finally:
        view.close()


def view_for(output: str, *, plain: bool, environ: Mapping[str, str] = os.environ) -> View:
    """Return what shows the run: a table where the terminal and this installation allow for it."""
    if output == "json":
        return JsonLines()
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if plain or not is_terminal or environ.get("NO_COLOR") or environ.get("TERM") in ("dumb", None):
        return Lines()
    if importlib.util.find_spec("rich") is None:
        say('lines, as rich is not installed; a table: pip install "drfsm[watch]"', err=True)
        return Lines()
    from drfsm.cli.watch_screen import Screen

    return Screen(sys.stdout)


def follow(
    journal: Followed,
    view: View,
    *,
    until_held: bool = False,
    as_text: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], str] | None = None,
) -> int:
    """Follow a run until it ends; return the exit code.

    Raises what the journal raises, but Unreachable only where it can't be read at first.
    """
    clock = clock or utc_now
    watcher = _Watcher(journal, view, until_held=until_held)
    while (code := watcher.round(clock())) is None:
        sleep(watcher.delay)
    view.close()
    if as_text and watcher.records:
        page = standing(watcher.state, journal.named, dead=not watcher.alive, records=watcher.records, now=clock())
        say_fitting(page)
    return int(code)


class _Watcher:
    """What a watch knows of a run by now."""

    def __init__(self, journal: Followed, view: View, *, until_held: bool) -> None:
        self._journal, self._view, self._until_held = journal, view, until_held
        self.state = RunState()
        self.records: list[Record] = []
        self.delay = LOOK_SECONDS
        self.alive = True
        self._history: History | None = None
        self._away = self._said_gone = self._told_history = False
        self._idle_seconds = 0.0

    def round(self, now: str) -> ExitCode | None:
        """Look once; return the exit code where the watch ends."""
        try:
            lines = self._journal.look()
            if self._history is None and lines:
                started = fold(read(lines[:1]).records)
                self._history = history_of(self._journal.earlier(started), started.run_id)
            new = self._take(lines)
            heir = self._heir(new=new)
        except Unreachable as fault:
            if not self.records:  # a wrong address, no credentials: nothing that was there before is away now
                raise
            self._unreachable(fault)
            self._tick(now)
            return None
        self._reached()
        if self.state.ended:
            return exit_code(self.state, self.records)
        self._tell_history()
        if heir:
            self._view.remark(f"this run was TAKEN OVER by {heir}, and can't go on: drfsm status {quote(heir)}")
            return ExitCode.LEASE_HELD
        stands = self._is_held(new=new) or self._is_gone(new=new)
        self._tick(now)
        return ExitCode.HELD if stands and self._until_held else None

    def _tick(self, now: str) -> None:
        rows = tuple(steps(self.records, self.state, self._history, now)) if self._history else ()
        self._view.tick(self.state, self.records, rows, now)

    def _take(self, lines: Sequence[bytes]) -> bool:
        """Show the records that are new; return whether there are any."""
        records = read(lines).records
        new = records[len(self.records) :]
        for record in new:
            self.state = fold([record], self.state)
            self.records.append(record)
            self._view.on_record(record, self.state)
        return bool(new)

    def _tell_history(self) -> None:
        """Say once that how long the rows take is not known."""
        if self._history is not None and not self._history.runs and not self._told_history:
            self._told_history = True
            self._view.remark("no earlier run of this procedure is known here: how long its rows take is not known")

    def _heir(self, *, new: bool) -> str:
        """Return the run that took this one over; looked for while nothing happens."""
        self._idle_seconds = 0.0 if new else self._idle_seconds + self.delay
        if self._idle_seconds < HEIR_SECONDS or self.state.lease_released:
            return ""
        self._idle_seconds = 0.0
        return self._journal.heir(self.state)

    def _is_held(self, *, new: bool) -> bool:
        """Whether the run waits for a person; what to type is said with the record."""
        held = self.state.status == "held"
        if held and new:
            named = quote(self._journal.named)
            self._view.remark(f"go on with: drfsm resume {named}; all that can be done: drfsm status {named}")
        elif new:
            self._view.remark("")
        return held

    def _is_gone(self, *, new: bool) -> bool:
        """Whether no process works on a run that says it is running; said once, until it goes on."""
        at_work = self._journal.at_work()
        self.alive = at_work is not False
        gone = not self.alive and not new and self.state.status == "running"
        if gone and not self._said_gone:
            resume = f"drfsm resume {quote(self._journal.named)}"
            self._view.remark(f"INTERRUPTED: no process works on this run here. Go on with: {resume}")
        self._said_gone = gone
        return gone

    def _unreachable(self, fault: Unreachable) -> None:
        """Say once that the store is away, and ask more and more rarely."""
        if not self._away:
            self._view.remark(f"can't read the mirror: {fault.what}. The run may go on; trying again")
        self._away = True
        self.delay = min(SLOWEST_SECONDS, max(LOOK_AFAR_SECONDS, self.delay * 2))

    def _reached(self) -> None:
        if self._away:
            self._view.remark("the mirror can be read again")
        self._away = False
        self.delay = LOOK_SECONDS if self._journal.at_work() is not None else LOOK_AFAR_SECONDS


class Lines:
    """A run as lines: an event each, the rows' usual times, and a sign of life every minute."""

    def __init__(self) -> None:
        self._progress = Progress(sys.stdout if sys.stdout is not None else io.StringIO(), by_record=True)
        self._remark = self._row = ""
        self._spoke = time.monotonic()

    def on_record(self, record: Record, state: RunState) -> None:
        """Print what a record means."""
        self._progress.on_record(record, state)
        self._spoke = time.monotonic()

    def remark(self, words: str) -> None:
        """Print a remark, once."""
        if words and words != self._remark:
            say(f"      - {words}")
        self._remark = words

    def tick(self, state: RunState, records: Sequence[Record], rows: Sequence[Step], now: str) -> None:
        """Print what is usual for a row when it begins, and every minute that the run still stands there."""
        at, words = state.state, pace_words(rows)
        if at != self._row and words and state.status == "running":
            say(f"      - {words}")
        elif time.monotonic() - self._spoke >= HEARTBEAT_SECONDS:
            say_fitting(
                f"      - {line.strip()}" for line in (standing_words(state, rows, now), *waiting(state, records, now))
            )
        else:
            return
        self._row, self._spoke = at, time.monotonic()

    def close(self) -> None:
        """There is nothing to give back."""


class JsonLines:
    """A run as JSON: one object a line, with the fields of DRFSM_LOG=json; ``at`` is when the record was written."""

    def on_record(self, record: Record, state: RunState) -> None:
        """Print the record's event."""
        name, fields = event_of(record, state)
        self._say({"at": record.at, "event": name, **fields})

    def remark(self, words: str) -> None:
        """Print the remark as an event of the watch."""
        if words:
            self._say({"at": utc_now(), "event": "watch.note", "words": words})

    @staticmethod
    def _say(fields: Mapping[str, object]) -> None:
        say(printable_json(json.dumps(fields, ensure_ascii=False, default=str)))

    def tick(self, state: RunState, records: Sequence[Record], rows: Sequence[Step], now: str) -> None:
        """Nothing happens between two records."""

    def close(self) -> None:
        """There is nothing to give back."""


def utc_now() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
