"""The audit of a bundle, or of a mirror: everything that can be checked again, in one pass. `drfsm audit` calls it.

Beside the log (evidence/audit) it holds every derived file against the log, every receipt against its schema, the mode
in every file, approvals, and, where the auditor gives a store, artifacts and the mirror. It trusts no file. It changes
nothing, and asks no network but for ``--store``, ``--mirror`` and a bundle that is a mirror.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from drfsm import __version__
from drfsm.adapters.file_journal import each_line, read_lines
from drfsm.claims import LARGEST_BYTES
from drfsm.errors import DrfsmError, EvidenceFault, JournalDamaged
from drfsm.evidence.audit import Verdict, audit
from drfsm.evidence.audit.approve_row import Approvals
from drfsm.evidence.audit.audited import Audited, in_order
from drfsm.evidence.audit.files import compared, modes
from drfsm.evidence.audit.findings import Finding
from drfsm.files import Directory
from drfsm.journal import Record, RunState, Scan, digest
from drfsm.runs import approvals, audited_files, audited_store, bundle, mirrors, plan_files, trust
from drfsm.spec import MachineSpec, load_machine

if TYPE_CHECKING:
    from drfsm.evidence.sealing_keys import PublicKey

MOST_RECORDS = 20_000
"""Of a log whose derived files are compared: they are derived in memory. No run of drfsm had a tenth of that."""


@frozen
class Asked:
    """What the auditor gives and asks for."""

    expect_head: str | None = None
    expect_records: int | None = None
    machines: tuple[str, ...] = ()  # digests of declarations that the auditor trusts
    two_people: bool = False
    store: str = ""  # s3://BUCKET; "": artifacts are not read again
    mirror: bool = False
    keys: tuple["PublicKey", ...] = ()  # of the signers that the auditor trusts
    places: Mapping[str, str] = field(factory=dict)  # endpoint_url, region


def audited(named: str, asked: Asked) -> list[Audited]:
    """Return the audit of a bundle and of the runs that it began, the outermost first.

    Never raises for what is wrong with a bundle: that is a finding.
    """
    try:
        if mirrors.is_mirror(named):
            return [_mirrored(named, asked)]
        place = bundle.find(named)
        return [_bundle(place, asked), *(each for child in _children(place) for each in audited(str(child), asked))]
    except DrfsmError as fault:
        damaged = isinstance(fault, JournalDamaged)
        finding = Finding(0, "chain_broken" if damaged else "bundle_unreadable", fault.what)
        return [Audited(named, None, (finding,), exit_code=int(fault.exit_code))]


def _children(place: Path) -> list[Path]:
    return audited_files.present(place)[2]


# --- one bundle -----------------------------------------------------------------------------------------


def _bundle(place: Path, asked: Asked) -> Audited:
    bundle.check_not_emptied(place, list(islice(each_line(place), 1)))
    spec = _declared(place)
    log, more = Log(partial(each_line, place)), _More(asked)
    verdict = _log(log, spec, asked, more, bundle.anchor(place, spec.name), plan_files.in_bundle(place))
    findings = [*verdict.findings, *verdict.remarks, *_of_log(verdict, log, asked, more, place)]
    unasked = {name for name, given in (("artifacts", asked.store), ("witness", asked.mirror)) if not given}
    if verdict.state.run_id and not any(finding.code == "chain_broken" for finding in verdict.findings):
        findings += _files(place, spec, log, verdict)
        findings += _seals(place, verdict.state, asked)
        findings += _begun(more.children, place)
    else:
        unasked |= {"files", "receipts", "mode", "signature", "witness"}
    return Audited(str(place), verdict, in_order(findings), tuple(sorted(unasked)))


def _mirrored(named: str, asked: Asked) -> Audited:
    copy = mirrors.open_mirror(named, asked.places)
    state = mirrors.state_of(copy)
    text = mirrors.declaration_of(copy, state)
    spec = load_machine(text, source=f"{state.machine}.yaml", recorded=True)
    log, more = Log(lambda: copy.lines), _More(asked)
    verdict = _log(log, spec, asked, more, None)
    findings = [*verdict.findings, *verdict.remarks, *_of_log(verdict, log, asked, more, None)]
    return Audited(named, verdict, in_order(findings), ("files", "mirror", "mode", "receipts", "signature", "witness"))


class Log:
    """The lines of one log, read anew for each question, and never more of them than were judged."""

    def __init__(self, read: Callable[[], Iterable[bytes]]) -> None:
        self._read = read
        self.count: int | None = None  # records that were judged; None: not yet

    def lines(self) -> Iterator[bytes]:
        """Yield the lines."""
        return islice(self._read(), self.count)

    def records(self) -> Iterator[Record]:
        """Yield the records."""
        return iter(Scan(self.lines()))


def _declared(place: Path) -> MachineSpec:
    with Directory.look(place) as directory:
        names = [name for name in directory.names() if name.endswith(".yaml") and not name.startswith(".")]
        text = directory.read(names[0], LARGEST_BYTES) if len(names) == 1 else None
    if text is None:
        raise EvidenceFault(
            f"{place} holds {len(names)} declarations instead of one: legality cannot be checked",
            hint="restore the bundle's <machine>.yaml from a copy",
        )
    return load_machine(text, source=names[0], recorded=True)


class _More:
    """What is asked of each record beside the log's own rules; a wait's sample that says the same again is passed."""

    def __init__(self, asked: Asked) -> None:
        from drfsm.dr.procedures import approval, approver

        self.approvals = Approvals(approval.digest, approver.compared, two_people=asked.two_people)
        self.trees = audited_store.Trees()
        self.children: dict[str, Mapping[str, Any]] = {}
        self._last: object = None

    def take(self, record: Record) -> None:
        """Take in the next record."""
        if record.pattern is not None and record.pattern is self._last:
            return
        self._last = record.pattern
        if record.misfits:
            return  # said already
        self.approvals.take(record)
        self.trees.take(record)
        for reading in getattr(record.content, "facts", {}).values():
            child = reading.seen.get("child", reading.seen) if isinstance(reading.seen, Mapping) else None
            if isinstance(child, Mapping) and {"run_id", "machine", "records", "head"} <= child.keys():
                self.children[str(child["machine"])] = child


def _log(
    log: Log,
    spec: MachineSpec,
    asked: Asked,
    more: _More,
    beside: tuple[str, int] | None,
    plan: Mapping[str, Any] | None = None,
) -> Verdict:
    """Return the verdict on the log; whatever is asked of the log from here on, only these records answer."""
    from drfsm.dr.procedures import MACHINES, binding
    from drfsm.dr.procedures import bound as agreeing

    bound = binding(spec.name) if spec.name in MACHINES else None
    verdict = audit(
        log.lines(), spec, judges=bound.judges if bound else {}, late=bound.late if bound else None,
        bound=agreeing.pairs_of(spec.name), expected_head=asked.expect_head, expected_records=asked.expect_records,
        beside=beside, origin=trust.origin_of(spec.sha256, trust.trusted_machines(asked.machines, os.environ)),
        follow=more.take, plan=plan, **approvals.checking(),
    )  # fmt: skip
    log.count = verdict.records
    return verdict


def _of_log(verdict: Verdict, log: Log, asked: Asked, more: _More, place: Path | None) -> Iterator[Finding]:
    """Yield what a bundle's log lacks as a whole: its end, an approval, a witness. ``place`` None: it is a mirror."""
    state = verdict.state
    if any(finding.code == "record_unreadable" for finding in verdict.findings):
        return  # such records can't be read: that is said
    if not state.ended and state.run_id and state.state in verdict.finals:
        yield Finding(0, "end_is_missing", f"the run stands in {state.state}, and its log has no end")
    if state.ended and not state.sealed:
        yield Finding(0, "seal_is_missing", "the run has ended, and its log has no seal")
    yield from more.approvals.findings
    yield from _of_store(log, state, asked, more, of_mirror=place is None)


def _of_store(log: Log, state: RunState, asked: Asked, more: _More, *, of_mirror: bool) -> Iterator[Finding]:
    """Yield what the store says, where the auditor named one; else that nobody asked it."""
    if trees := more.trees.seen:
        if asked.store:
            store = mirrors.store_of(asked.store.removeprefix("s3://").partition("/")[0], asked.places)
            yield from audited_store.artifacts(store, trees, state)
        else:
            yield Finding(0, "artifacts_not_checked", "the artifacts that the records name were not read again")
    if asked.mirror and not of_mirror:
        yield from audited_store.mirror(log.lines(), state, asked.places)
    elif state.epoch and not of_mirror:
        yield Finding(0, "mirror_not_compared", "the run's mirror in S3 was not compared")
    if asked.expect_head is None and not asked.mirror and not asked.keys:
        what = "no head from another place was compared: the log's end may have been cut off, or all of it written anew"
        yield Finding(0, "head_not_compared", what)


# --- what lies beside the log ---------------------------------------------------------------------------


def _files(place: Path, spec: MachineSpec, log: Log, verdict: Verdict) -> Iterator[Finding]:
    if verdict.findings:  # a log that does not hold derives nothing that could be held against
        return
    if verdict.records > MOST_RECORDS:
        what = f"the log has {verdict.records} records, more than {MOST_RECORDS}: derived files were not compared"
        yield Finding(0, "files_not_compared", what)
        return
    lines, records = tuple(log.lines()), tuple(log.records())
    there, unknown, _ = audited_files.present(place)
    state, heads = verdict.state, [digest(line) for line in lines]
    anchor = bundle.anchor(place, spec.name)
    due = audited_files.due(spec, records, lines, heads, anchor[1] if anchor else None)
    derived = [audited_files.comparable(files) for files in due]
    yield from compared(audited_files.comparable(there), derived, same_version=state.version == __version__)
    yield from audited_files.receipts(there, todays=due[0])
    yield from modes(there, state.scope, dry_run=state.dry_run)
    yield from _mode_of_inputs(spec.name, state)
    for path in unknown:
        yield Finding(0, "file_unknown", f"drfsm writes no {path}", file=path)


def _mode_of_inputs(machine: str, state: RunState) -> Iterator[Finding]:
    """Yield whether the run's mode is not the one that its inputs mean. Of the shipped machines only."""
    inputs = state.inputs
    canonical = inputs.get("promote") == "asked" and inputs.get("promote_target") == "canonical"
    due = {
        "drill": "live" if canonical else "drill",
        "promote": "drill" if inputs.get("target") == "drill" else "live",
        "failback": "live",
    }.get(machine, state.scope)
    if state.scope != due and not (state.dry_run and state.scope == "live"):
        what = f"the log says {state.scope}, and by its inputs the run is {due}"
        yield Finding(1, "mode_unlike_inputs", what, expected=due, found=state.scope)


def _seals(place: Path, state: RunState, asked: Asked) -> Iterator[Finding]:
    """Yield what the bundle's seals say, and where the mirror is asked, the checkpoints in the bucket."""
    from drfsm.evidence.sealing import check_seals

    yield from check_seals(place, keys=asked.keys)
    if not asked.mirror:
        return
    from drfsm.adapters.aws import lasting_objects
    from drfsm.runs.seals import Home, check_witness

    home = Home(str(state.inputs.get("bucket", "")), mirrors.own_prefix(state.inputs), state.run_id)
    try:
        objects = lasting_objects(mirrors.store_of(home.bucket, asked.places))
        yield from check_witness(place, objects, home, keys=asked.keys)
    except DrfsmError as fault:
        yield Finding(0, "bundle_unreadable", f"the checkpoints in the bucket can't be read: {fault.what}")


def _begun(children: Mapping[str, Mapping[str, Any]], place: Path) -> Iterator[Finding]:
    """Yield each run that this one began whose log in the bundle is not the one that this run saw."""
    for machine, child in children.items():
        if not (place / machine / bundle.LOG).is_file():
            yield Finding(0, "child_is_missing", f"the bundle lacks the run {child['run_id']}", file=machine)
            continue
        lines, count = read_lines(place / machine), int(child["records"])
        head = digest(lines[count - 1]) if 0 < count <= len(lines) else None
        if head != child["head"]:
            what = f"the log of {child['run_id']} is not the one that this run saw"
            yield Finding(0, "child_differs", what, expected=child["head"], found=head, file=f"{machine}/{bundle.LOG}")
