"""The commands that only read: status, list, replay. `status` loads nothing heavy.

They read a bundle offline. From a mirror (``s3://…``) they read the records, and adopt, execute and write nothing.

If the process of a run is gone, `status` writes the summary again; it takes the bundle's lock for a moment to be sure
of that. A summary that contradicts its journal is evidence: `status` leaves it as it is, and says so.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from drfsm.adapters.file_journal import holder, read_chain, read_lines
from drfsm.claims import LARGEST_BYTES, object_of, printable
from drfsm.cli.say import say, say_json, say_lines, say_text
from drfsm.errors import (
    DeclarationFault,
    DiskFault,
    DrfsmError,
    EvidenceFault,
    ExitCode,
    FileDamaged,
    Unreadable,
    UsageFault,
)
from drfsm.evidence.narrative import standing, tell
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.files import Directory
from drfsm.journal import Record, RunState, fold, read
from drfsm.runs import bundle
from drfsm.runs.derived import make_true

if TYPE_CHECKING:
    from drfsm.runs.mirrors import Mirror
    from drfsm.spec import MachineSpec

_bundle = click.argument("bundle_", metavar="[BUNDLE|S3_URI]", required=False)
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.command()
@_bundle
@_output
def status(bundle_: str | None, output: str) -> int:
    """Show where a run stands, since when, what is frozen now, and what to type next.

    BUNDLE is a directory or a run's id; without it the newest run. S3_URI is a run's mirror, which is only read.
    """
    if bundle_ is not None and bundle_.startswith("s3://"):
        return _status_of_mirror(bundle_, output)
    place = bundle.find(bundle_)
    lines = read_lines(place)
    chain = read(lines)
    bundle.check_not_emptied(place, chain.records)
    state = fold(chain.records)
    worker, fault = _holder(place)
    dead = state.status == "running" and worker is None
    summary = summarise(state, chain.records, head=chain.head, dead=dead)
    if output == "json":
        say_text(summary_bytes(summary).decode())
    else:
        for line in standing(state, str(place), dead=dead):
            say(line)
    if fault is None and worker is None and state.machine:
        fault = _make_true(place, state, chain.records, lines, summary)
    if fault is None:
        return int(ExitCode.DONE)
    first, *rest = fault.lines()
    say_lines([f"drfsm: {first}", *rest], err=True)
    return int(ExitCode.DONE if isinstance(fault, DiskFault | UsageFault) else fault.exit_code)


def _status_of_mirror(uri: str, output: str) -> int:
    """Show where a mirrored run stands, as its unchecked records say."""
    from drfsm.runs import mirrors

    mirror = mirrors.open_mirror(uri, {})
    state = mirrors.state_of(mirror)
    if output == "json":
        say_text(summary_bytes(summarise(state, mirror.records, head=mirror.head)).decode())
        return int(ExitCode.DONE)
    say(f"Unchecked records of the mirror (drfsm replay {quote(uri)} checks them). Head: {mirror.head}")
    for line in standing(state, uri):
        say(line)
    return int(ExitCode.DONE)


def _holder(place: Path) -> tuple[dict[str, Any] | None, DrfsmError | None]:
    """Return the process that works on a bundle; or the error, if the lock file is damaged and nobody can tell."""
    try:
        return holder(place), None
    except FileDamaged as fault:
        return {}, fault


def _make_true(
    place: Path, state: RunState, records: Sequence[Record], lines: Sequence[bytes], summary: dict[str, Any]
) -> DrfsmError | None:
    """Write the derived files of a run that nobody works on, if they differ from its records.

    Returns the reason if it wrote nothing: the journal contradicts the summary (which stays, as evidence), the disk
    refuses, or the bundle belongs to another user.
    """
    name = f"{state.machine}.summary.json"
    try:
        if contradiction := bundle.contradiction(place, state.machine, lines):
            return EvidenceFault(
                f"the evidence does NOT hold: {contradiction}; the summary was left as it is",
                hint="keep both for the investigation; resume from the run's mirror, or from an undamaged copy",
            )
        with Directory.look(place) as directory:
            old = directory.read(name)
        if _differs(old, summary):
            bundle.replace(place / name, summary_bytes(summary))
        try:
            make_true(state.machine, place, records, state)
        except (EvidenceFault, DeclarationFault) as fault:  # `status` needs no declaration; a drill's receipts do
            say(f"phases/ was not checked against the records: {fault.what}", err=True)
    except (DiskFault, UsageFault, FileDamaged) as fault:
        fault.what = f"the summary on disk is out of date and could not be written: {fault.what}"
        return fault
    return None


def _differs(old: bytes | None, summary: dict[str, Any]) -> bool:
    try:
        return old is None or bool(object_of(old, "the summary", largest_bytes=len(old)) != summary)
    except Unreadable:
        return True


def _row(place: Path) -> dict[str, str]:
    """Return a run's line. A run whose journal cannot be read is listed as damaged."""
    try:
        records = read_chain(place).records
        bundle.check_not_emptied(place, records)
        state = fold(records)
        dead = state.status == "running" and holder(place) is None
    except DrfsmError as fault:
        return {
            "run_id": place.name, "machine": "", "status": "damaged", "state": fault.what, "started_at": "",
            "bundle": str(place.resolve()),
        }  # fmt: skip
    return {
        "run_id": state.run_id or place.name, "machine": state.machine,
        "status": "interrupted" if dead else state.status,
        "state": state.state, "started_at": state.started_at, "bundle": str(place.resolve()),
    }  # fmt: skip


def _row_of_mirror(read_mirror: Callable[[], "Mirror"], uri: str) -> dict[str, str]:
    from drfsm.runs import mirrors

    try:
        mirror = read_mirror()
        state = mirrors.state_of(mirror)
    except DrfsmError as fault:
        return {
            "run_id": "", "machine": "", "status": "damaged", "state": printable(fault.what), "started_at": "",
            "bundle": uri,
        }  # fmt: skip
    return {
        "run_id": printable(mirror.run_id), "machine": printable(state.machine), "status": printable(state.status),
        "state": printable(state.state), "started_at": printable(state.started_at), "bundle": mirror.uri,
    }  # fmt: skip


@click.command("list")
@click.argument("uri", metavar="[S3_URI]", required=False)
@_output
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
        say(f"{row['status']:<12} {row['state']:<26} {began:<20}  {named}")
    if not rows:
        say(f"no run is known in {uri or bundle.home() / 'runs'}", err=True)


@click.command()
@_bundle
@_output
@click.option("--quiet", is_flag=True, help="Only audit; do not tell the story.")
@click.option("-v", "--verbose", is_flag=True, help="Show every observation and every guard.")
@click.option(
    "--expect-head", metavar="SHA256", help="Head of the journal, from a summary that was copied to another place."
)
@click.option("--expect-records", type=int, metavar="N", help="Number of records, from that summary.")
@click.option(
    "--trust-machine",
    "machines",
    multiple=True,
    metavar="SHA256",
    help="Trust this declaration like one of drfsm's own.  [$DRFSM_TRUST_MACHINES]",
)
def replay(
    bundle_: str | None,
    output: str,
    expect_head: str | None,
    expect_records: int | None,
    machines: tuple[str, ...],
    *,
    quiet: bool,
    verbose: bool,
) -> int:
    """Tell a run's story from its journal, then audit it: chain, legality, guards, seal. Offline, except for S3_URI.

    Exits with 6 if the evidence does not hold, with 7 if the journal cannot be read at all. A journal alone does not
    show that its end was cut off; the head in a summary that was copied to another place does.
    """
    from drfsm.evidence.audit import audit
    from drfsm.runs import trust

    raw, spec, beside = _logged(bundle_)
    records = _readable(raw)
    origin = trust.origin_of(spec.sha256, trust.trusted_machines(machines, os.environ))
    verdict = audit(
        raw, spec, judges=_judges(spec.name), expected_head=expect_head, expected_records=expect_records,
        origin=origin, beside=beside,
    )  # fmt: skip
    if output == "json":
        say_json(verdict.record)
    else:
        if records and not quiet:
            for line in tell(records, brief=not verbose):
                say(line)
        for line in verdict.lines():
            say(line)
    if verdict.ok:
        return int(ExitCode.DONE)
    return int(ExitCode.DAMAGED if any(finding.rule == "chain" for finding in verdict.findings) else ExitCode.EVIDENCE)


def _logged(named: str | None) -> tuple[bytes, "MachineSpec", tuple[str, int] | None]:
    """Return a journal's bytes, its declaration, and the head that the summary beside it names."""
    from drfsm.spec import load_machine

    if named is None or not named.startswith("s3://"):
        place = bundle.find(named)
        raw = b"".join(read_lines(place))
        bundle.check_not_emptied(place, _readable(raw))
        spec = _declared(place)
        return raw, spec, bundle.anchor(place, spec.name)
    from drfsm.runs import mirrors

    mirror = mirrors.open_mirror(named, {})
    state = mirrors.state_of(mirror)
    text = mirrors.declaration_of(mirror, state)
    return b"".join(mirror.lines), load_machine(text, source=f"{state.machine}.yaml"), None


def _judges(machine: str) -> Mapping[str, Any]:
    """Return the judges of a shipped machine; none for another one."""
    from drfsm.dr.procedures import MACHINES, binding

    return binding(machine).judges if machine in MACHINES else {}


def _readable(raw: bytes) -> tuple[Record, ...]:
    """Return the records up to the first line that is damaged."""
    from drfsm.errors import JournalDamaged

    lines = raw.splitlines(keepends=True)
    try:
        return read(raw).records
    except JournalDamaged as damage:
        return read(b"".join(lines[: damage.line - 1])).records


def _declared(place: Path) -> "MachineSpec":
    """Return the declaration in a bundle. Raises EvidenceFault if there is not exactly one."""
    from drfsm.spec import load_machine

    with Directory.look(place) as directory:
        names = [name for name in directory.names() if name.endswith(".yaml") and not name.startswith(".")]
        text = directory.read(names[0], LARGEST_BYTES) if len(names) == 1 else None
    if text is None:
        raise EvidenceFault(
            f"{place} holds {len(names)} declarations instead of one: legality cannot be checked",
            hint="restore the bundle's <machine>.yaml from a copy",
        )
    return load_machine(text, source=names[0])
