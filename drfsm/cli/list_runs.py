"""`drfsm list`: the runs of this computer, or the mirrored runs below a prefix of a bucket. Loads nothing heavy.

Of a bundle it reads what runs/glance.py says; only where that is not enough are all its records read and folded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.claims import printable
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json
from drfsm.errors import DrfsmError
from drfsm.runs import bundle
from drfsm.runs.glance import glance

if TYPE_CHECKING:
    from drfsm.runs.mirrors import Mirror


@click.command("list")
@click.argument("uri", metavar="[S3_URI]", required=False)
@output_format
def list_runs(uri: str | None, output: str) -> None:
    """List the runs of this computer, newest first; or the mirrored runs below s3://<bucket>/<prefix>."""
    if uri is None:
        rows = [_row(place) for place in bundle.runs()]
    else:
        from drfsm.runs import mirrors

        rows = [_row_of_mirror(read_mirror, uri) for read_mirror in mirrors.mirrors_below(uri, {})]
        rows.sort(key=lambda row: row["started_at"], reverse=True)
    if output == "json":
        say_json(rows)
        return
    for row in rows:
        began = f"{row['started_at'][:19]}Z" if row["started_at"] else ""
        named = row["run_id"] if uri is None else row["bundle"]
        dry = "  (dry run)" if row["dry_run"] and row["status"] != "dry_run" else ""
        say(f"{row['status']:<12} {row['state']:<26} {began:<20}  {named}{dry}")
    if not rows:
        say(f"no run is known in {uri or bundle.home() / 'runs'}", err=True)


def _row(place: Path) -> dict[str, Any]:
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


def _row_of_records(place: Path) -> dict[str, Any]:
    """Return a run's line as its records say."""
    from drfsm.adapters.file_journal import read_chain
    from drfsm.journal import fold

    try:
        records = read_chain(place).records
        bundle.check_not_emptied(place, records)
        state = fold(records)
        status = _status(state.status, place)
    except DrfsmError as fault:
        return {
            "run_id": place.name, "machine": "", "status": "damaged", "state": fault.what, "started_at": "",
            "bundle": str(place.resolve()), "dry_run": False,
        }  # fmt: skip
    return {
        "run_id": state.run_id or place.name, "machine": state.machine,
        "status": status, "state": state.state, "started_at": state.started_at, "bundle": str(place.resolve()),
        "dry_run": state.dry_run,
    }  # fmt: skip


def _row_of_mirror(read_mirror: Callable[[], "Mirror"], uri: str) -> dict[str, Any]:
    from drfsm.runs import mirrors

    try:
        mirror = read_mirror()
        state = mirrors.state_of(mirror)
    except DrfsmError as fault:
        return {
            "run_id": "", "machine": "", "status": "damaged", "state": printable(fault.what), "started_at": "",
            "bundle": uri, "dry_run": False,
        }  # fmt: skip
    return {
        "run_id": printable(mirror.run_id), "machine": printable(state.machine), "status": printable(state.status),
        "state": printable(state.state), "started_at": printable(state.started_at), "bundle": mirror.uri,
        "dry_run": state.dry_run,
    }  # fmt: skip
