"""Walks a run's records from the first to the last and holds each against the declared machine.

Owns what kind of record may follow what: the beginning, leases, holds and resumes, the end and its seal;
steps.py owns the steps, forecasts.py the dry run. Judges a record before it folds it in, so that every rule
sees where the run stood. Pure; called by audit.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from drfsm.evidence.audit import forecasts, steps
from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.evidence.audit.observations import Judges, Observations
from drfsm.evidence.audit.steps import Here
from drfsm.journal import Record, RunState, fold, record_types
from drfsm.spec.model import MachineSpec

_ONLY_FOR_REAL = ("intent", "commit", "failed", "repaired", "sampled", "resolved")
_AFTER_THE_END = ("tail_cut", "seal")
_SCOPES = ("live", "drill")


def walk(
    records: Sequence[Record], spec: MachineSpec, judges: Judges, findings: Findings, heads: Sequence[str]
) -> RunState:
    """Add everything that does not hold to ``findings``; return where the records say that the run stands."""
    observations = Observations(spec, judges, findings)
    here = Here(spec, findings, observations, Invariants(spec, findings), heads, [each.kind for each in records])
    if records and records[0].kind != "run_started":
        findings.add(0, "order", "the log does not begin with run_started: nothing in it can be judged")
        return here.state
    for record in _readable(records, findings):
        if _in_order(here, record):
            observations.inputs = here.state.inputs
            _RULES[record.kind](here, record)
            here.state = fold([record], here.state)
    _times(records, findings)
    observations.tell()
    return here.state


def _readable(records: Iterable[Record], findings: Findings) -> Iterator[Record]:
    for record in records:
        wrong = list(record_types.faults(record))
        for what in wrong:
            findings.add(record.seq, "shape", what)
        if not wrong:
            yield record


def _in_order(here: Here, record: Record) -> bool:
    """Say whether a record may stand here at all; a second beginning is not even folded in."""
    state, kind = here.state, record.kind
    if kind == "run_started" and state.status != "none":
        here.add(record, "order", "a second run begins in the same log")
        return False
    if state.sealed:
        here.add(record, "order", f"a {kind} record stands after the seal")
    elif state.ended and kind not in _AFTER_THE_END:
        here.add(record, "order", f"a {kind} record stands after the end")
    elif not state.ended and state.state in here.spec.finals and kind not in ("ended", "tail_cut"):
        here.add(record, "order", f"a {kind} record stands in the final state {state.state} before the end")
    if state.dry_run and kind in _ONLY_FOR_REAL:
        here.add(record, "dry_run", f"a dry run has {kind} records: something was done, or is claimed to be")
    return True


def _started(here: Here, record: Record) -> None:
    body, spec = record.body, here.spec
    if body["machine"] != spec.name:
        here.add(record, "digest", f"the run is of {body['machine']}, the declaration at hand of {spec.name}")
    if body.get("receipt", spec.receipt) != spec.receipt:
        here.add(record, "digest", "the receipt's table is another than the declaration's")
    if body["machine_sha256"] != spec.sha256:
        here.add(
            record,
            "digest",
            f"the run is pinned to the declaration {body['machine_sha256']}, the one at hand is {spec.sha256}",
        )
    if body["state"] != spec.initial:
        here.add(record, "legality", f"the run begins in {body['state']}, the machine in {spec.initial}")
    if body["scope"] not in _SCOPES:
        here.add(record, "shape", f"its scope {body['scope']!r} is none of {', '.join(_SCOPES)}")
    for name in spec.inputs.keys() ^ body["inputs"].keys():
        here.add(record, "inputs", f"input {name} is {'missing' if name in spec.inputs else 'not declared'}")
    for name in spec.inputs.keys() & body["inputs"].keys():
        values = spec.inputs[name].values
        if values and str(body["inputs"][name]) not in values:
            here.add(record, "inputs", f"input {name} is {body['inputs'][name]!r}, none of {', '.join(values)}")


def _leased(here: Here, record: Record) -> None:
    epoch = record.body["epoch"]
    if epoch <= here.state.epoch:
        here.add(record, "lease", f"epoch {epoch} does not rise above {here.state.epoch}: two could have acted at once")
    here.begun.clear()
    here.invariants.forget()


def _resumed(here: Here, record: Record) -> None:
    _stands(here, record)
    if not here.state.epoch and not here.state.dry_run:
        here.add(record, "lease", "the run is resumed without a lease")
    here.halted = False
    here.begun.clear()
    here.samples.clear()
    here.invariants.forget()


def _cut(here: Here, record: Record) -> None:
    here.findings.note(f"line {record.seq + 1}: a torn last line of {record.body['bytes']} bytes was cut off")


def _rejected(here: Here, record: Record) -> None:
    _stands(here, record)


def _held(here: Here, record: Record) -> None:
    _stands(here, record)
    steps.frozen(here, record)
    steps.next_actions(here, record, here.state.state)
    here.halted = True
    here.begun.clear()
    here.samples.clear()


def _stands(here: Here, record: Record) -> None:
    if record.body["state"] != here.state.state:
        here.add(record, "legality", f"it says that the run stands in {record.body['state']}, not {here.state.state}")


def _ended(here: Here, record: Record) -> None:
    steps.frozen(here, record)
    if here.state.dry_run:
        forecasts.ended(here, record)
        return
    _stands(here, record)
    body, state = record.body, here.state
    due = here.spec.finals.get(body["state"])
    if due is None:
        here.add(record, "legality", f"the run ends in {body['state']}, which is no final state")
    elif body["status"] != due:
        here.add(record, "legality", f"an end in {body['state']} is {due}, not {body['status']}")
    if state.open is not None:
        here.add(record, "recovery", f"the run ends before it is settled what became of {state.open.trigger}")
    kept = list(state.kept) if body["status"] == "aborted" else []
    if body["kept"] != kept:
        here.add(record, "undo", "what was not given back is told other than recorded")
    if body["status"] == "aborted" and state.undo:
        left = ", ".join(each.trigger for each in state.undo)
        here.add(record, "undo", f"the run ends aborted though not undone: {left}")


def _sealed(here: Here, record: Record) -> None:
    if not here.state.ended:
        here.add(record, "seal", "the log is sealed before the run has ended")
    sealed = record.seq  # what the sealing process saw: a torn line that it cut off itself came in between
    while sealed and here.kinds[sealed - 1] == "tail_cut":
        sealed -= 1
    if record.body["records"] not in (sealed, record.seq):
        here.add(record, "seal", f"the seal counts {record.body['records']} records, there are {record.seq}")
    elif record.seq and record.body["head"] != here.heads[record.body["records"] - 1]:
        here.add(record, "seal", "the seal names another head than the line before it has")


_RULES: Mapping[str, Callable[[Here, Record], None]] = {
    "run_started": _started,
    "lease_acquired": _leased,
    "resumed": _resumed,
    "tail_cut": _cut,
    "sampled": steps.sampled,
    "intent": steps.intent,
    "failed": steps.failed,
    "repaired": steps.repaired,
    "commit": steps.commit,
    "resolved": steps.resolved,
    "rejected": _rejected,
    "held": _held,
    "forecast": forecasts.forecast,
    "ended": _ended,
    "seal": _sealed,
}


def _times(records: Sequence[Record], findings: Findings) -> None:
    """Note times that run backwards. Clocks are set, and another machine's differs: no proof of anything."""
    for earlier, later in pairwise(records):
        if later.at < earlier.at:
            findings.note(f"line {later.seq + 1}: its time is before that of the line above it")
