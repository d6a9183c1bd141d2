"""`drfsm list`: the runs of this computer, or the mirrored runs below a prefix of a bucket. Loads nothing heavy.

Of a bundle it reads what runs/glance.py says; only where that is not enough are all its records read and folded. What a
filter can't judge, as a run's records can't be read, is shown.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click

from drfsm.claims import moment
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import columns, say, say_json
from drfsm.errors import DrfsmError, UsageFault
from drfsm.runs import bundle
from drfsm.runs.glance import glance

STATUSES = (
    "running", "held", "interrupted", "dry_run", "complete", "aborted", "failed", "refused", "damaged",
)  # fmt: skip
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST_NUMBER = 6  # digits of a duration
Row = dict[str, Any]


class Wanted(NamedTuple):
    """Which runs are listed. Empty: any."""

    procedures: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    since: datetime | None = None
    before: datetime | None = None

    def row(self, row: Row) -> bool:
        """Whether a run is listed, by what is known of it."""
        if self.statuses and row["status"] not in self.statuses:
            return False
        began = moment(row["started_at"]) if row["started_at"] else None
        return self.begun(row["machine"], began)

    def begun(self, machine: str, began: datetime | None) -> bool:
        """Whether a run is listed, by its procedure and when it began; ``""`` and None where that is not known."""
        if self.procedures and machine and machine not in self.procedures:
            return False
        if began is None:
            return True
        return (self.since is None or began >= self.since) and (self.before is None or began < self.before)


def _words(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> frozenset[str]:
    """Return the words that an option names, several with commas. Raises UsageFault for a status that there isn't."""
    words = frozenset(word.strip() for value in values for word in value.split(",") if word.strip())
    if parameter.name == "statuses" and (unknown := sorted(words - set(STATUSES))):
        raise UsageFault(f"--status: there is no status {unknown[0]!r}", hint=f"one or more of {', '.join(STATUSES)}")
    return words


def _since(_context: click.Context, parameter: click.Parameter, value: str) -> datetime | None:
    """Return the time that the option names: a date, a time, or how long ago. Raises UsageFault."""
    if not value:
        return None
    number, unit = value[:-1], value[-1]
    if unit in _UNITS and number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER:
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[unit]: int(number)})
        except OverflowError:  # before any clock began
            return datetime.min.replace(tzinfo=UTC)
    at = moment(value) or moment(f"{value}T00:00:00Z")
    if at is None:
        raise UsageFault(
            f"{max(parameter.opts, key=len)} {value!r} is no time",
            hint="give 90m, 12h, 7d, 2w, 2026-11-28 or 2026-11-28T08:00:00Z",
        )
    return at


@click.command("list")
@click.argument("uri", metavar="[S3_URI]", required=False)
@click.option("--remote", is_flag=True, help="The mirrored runs of the buckets and prefixes that runs here have used.")
@click.option("--procedure", "procedures", multiple=True, callback=_words, metavar="NAME,...",
              help="Only runs of these procedures, such as failback.")  # fmt: skip
@click.option("--status", "statuses", multiple=True, callback=_words, metavar="STATUS,...",
              help=f"Only runs that are: {', '.join(STATUSES)}.")  # fmt: skip
@click.option("--since", default="", callback=_since, metavar="TIME",
              help="Only runs that began since then: 12h, 7d, or 2026-11-28.")  # fmt: skip
@click.option("--older-than", "before", default="", callback=_since, metavar="TIME",
              help="Only runs that began before that: 90d, 52w, or 2026-01-01 (drfsm bundle prune).")  # fmt: skip
@output_format
def list_runs(
    uri: str | None, procedures: frozenset[str], statuses: frozenset[str], since: datetime | None,
    before: datetime | None, output: str, *, remote: bool,
) -> None:  # fmt: skip
    """List the runs of this computer, newest first; or the mirrored runs below s3://<bucket>/<prefix>."""
    wanted = Wanted(procedures, statuses, since, before)
    if uri is not None and remote:
        raise UsageFault("--remote and an address do not go together", hint="leave one of the two out")
    if uri is None and not remote:
        rows = [row for row in (_row(place) for place in bundle.runs()) if wanted.row(row)]
    else:
        from drfsm.cli.list_mirrors import rows_below, used_here

        places = used_here() if uri is None else [(uri, {})]
        rows = [row for address, reached in places for row in rows_below(address, reached, wanted) if wanted.row(row)]
        rows.sort(key=lambda row: str(row["started_at"]), reverse=True)
    if output == "json":
        say_json(rows)
        return
    _say_rows(rows, by_address=uri is not None or remote)
    if not rows:
        chosen = " that was asked for" if any(wanted) else ""
        where = uri or ("the buckets that runs here have used" if remote else bundle.home() / "runs")
        say(f"no run{chosen} is known in {where}", err=True)


def _say_rows(rows: Iterable[Row], *, by_address: bool) -> None:
    """Print a line a run; on a terminal that is too narrow for it, two."""
    width = columns(sys.stdout) if sys.stdout is not None else None
    for row in rows:
        began = f"{row['started_at'][:19]}Z" if row["started_at"] else ""
        named = row["bundle"] if by_address else row["run_id"]
        dry = "  (dry run)" if row["dry_run"] and row["status"] != "dry_run" else ""
        line = f"{row['status']:<12} {row['state']:<26} {began:<20}  {named}{dry}"
        if width is None or len(line) < width:
            say(line)
        else:
            say(f"{row['status']:<12} {row['state']}  {began}{dry}")
            say(f"  {named}")


def _row(place: Path) -> Row:
    """Return a run's line. A run whose journal cannot be read is listed as damaged."""
    seen = glance(place)
    if seen is None:
        return _row_of_records(place)
    try:
        status = _status(seen.status, place)
    except DrfsmError:
        return _row_of_records(place)  # which says what is wrong with the lock
    return {
        "run_id": seen.run_id, "machine": seen.machine, "status": status, "state": seen.state,
        "started_at": seen.started_at, "bundle": str(place.resolve()), "dry_run": seen.dry_run,
    }  # fmt: skip


def _status(status: str, place: Path) -> str:
    """Return the status with what the lock says: a run that nobody works on is interrupted. Raises FileDamaged."""
    if status not in ("running", "interrupted"):
        return status
    from drfsm.adapters.file_journal import holder

    return "interrupted" if holder(place) is None else "running"


def _row_of_records(place: Path) -> Row:
    """Return a run's line as its records say."""
    from drfsm.adapters.file_journal import read_chain
    from drfsm.journal import fold

    try:
        records = read_chain(place).records
        bundle.check_not_emptied(place, records)
        state = fold(records)
        status = _status(state.status, place)
    except DrfsmError as fault:
        return damaged(place.name, fault.what, str(place.resolve()))
    return {
        "run_id": state.run_id or place.name, "machine": state.machine,
        "status": status, "state": state.state, "started_at": state.started_at, "bundle": str(place.resolve()),
        "dry_run": state.dry_run,
    }  # fmt: skip


def damaged(run_id: str, what: str, where: str) -> Row:
    """Return the line of a run whose records can't be read."""
    return {
        "run_id": run_id, "machine": "", "status": "damaged", "state": what, "started_at": "", "bundle": where,
        "dry_run": False,
    }  # fmt: skip
