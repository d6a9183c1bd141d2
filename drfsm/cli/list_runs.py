"""`drfsm list`: the runs of this computer, or the mirrored runs below a prefix of a bucket. Loads nothing heavy."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drfsm.adapters.file_journal import holder, read_chain
from drfsm.claims import printable
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json
from drfsm.errors import DrfsmError
from drfsm.journal import fold
from drfsm.runs import bundle

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
    try:
        records = read_chain(place).records
        bundle.check_not_emptied(place, records)
        state = fold(records)
        dead = state.status == "running" and holder(place) is None
    except DrfsmError as fault:
        return {
            "run_id": place.name, "machine": "", "status": "damaged", "state": fault.what, "started_at": "",
            "bundle": str(place.resolve()), "dry_run": False,
        }  # fmt: skip
    return {
        "run_id": state.run_id or place.name, "machine": state.machine,
        "status": "interrupted" if dead else state.status,
        "state": state.state, "started_at": state.started_at, "bundle": str(place.resolve()),
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
