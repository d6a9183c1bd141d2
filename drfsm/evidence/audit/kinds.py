"""Walks a run's records from the first to the last and holds each against the declared machine.

Owns which kind of record may follow which: the beginning, leases, holds and resumes, the end and its seal. steps.py
owns the steps, forecasts.py the dry run. Each record is judged before it is folded in, so that every rule sees where
the run stood. Pure. Called by verdict.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drfsm.evidence.audit import approvals, forecasts, steps, waits
from drfsm.evidence.audit.bound import Bound, Pair
from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.evidence.audit.late import unsettled
from drfsm.evidence.audit.observations import Judges, Observations
from drfsm.evidence.audit.position import Position, Signatures
from drfsm.evidence.audit.steady import Steady
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import (
    Ended,
    Held,
    LeaseAcquired,
    PredecessorSettled,
    Rejected,
    Resumed,
    RunStarted,
    Seal,
    StartRevoked,
    TailCut,
)
from drfsm.journal.settling import Settlings
from drfsm.journal.versions import is_older
from drfsm.resources import known
from drfsm.spec.model import MachineSpec

_ONLY_FOR_REAL = ("intent", "commit", "failed", "repaired", "sampled", "resolved", "settled", "predecessor_settled")
_AFTER_THE_END = ("tail_cut", "seal")
_SCOPES = ("live", "drill")


class Walk:
    """Holds one record after the other against the machine; keeps none of them."""

    def __init__(
        self,
        spec: MachineSpec,
        judges: Judges,
        findings: Findings,
        late: Settlings | None,
        bound: Sequence[Pair] = (),
        signatures: Signatures | None = None,
    ) -> None:
        observations = Observations(spec, judges, findings)
        self._here = Position(spec, findings, observations, Invariants(spec, findings), late, signatures)
        self._bound, self._findings = Bound(bound, findings), findings
        self._steady = Steady(self._here)
        self._count, self._at, self._begun = 0, "", True

    def take(self, record: Record, head: str) -> None:
        """Add everything that does not hold of the next record. ``head``: the hash of its line."""
        if not self._count and record.kind != "run_started":
            what = "the log does not begin with run_started: nothing in it can be judged"
            self._findings.add(0, "not_begun", what, expected="run_started", found=record.kind)
            self._begun = False
        self._count += 1
        if self._begun:
            if not self._steady.passes(record):
                self._judge(record)
            if record.at < self._at:
                self._back_in_time(record)
        self._at = record.at
        self._here.stands_at(record, head)

    def end(self) -> RunState:
        """Return where the records say that the run stands, once the last one was taken."""
        self._steady.leave()
        if self._begun and self._count:
            self._here.observations.note_missing_judges()
        return self._here.state

    def _judge(self, record: Record) -> None:
        self._steady.leave()
        before = len(self._findings)
        here, current = self._here, self._here.invariants.current
        if _readable(record, self._findings) and _in_order(here, record):
            here.observations.inputs = here.state.inputs
            rejudged = self._findings.rejudged
            _RULES[record.kind](here, record, record.content)
            self._bound.hold(record, here.state)
            here.state = fold([record], here.state)
            if len(self._findings) == before:
                self._steady.learn(record, current, self._findings.rejudged - rejudged)

    def _back_in_time(self, record: Record) -> None:
        what = f"line {record.seq + 1}: its time is before that of the line above it"
        self._findings.add(record.seq, "time_runs_back", what, expected=f"after {self._at}", found=record.at)


def _readable(record: Record, findings: Findings) -> bool:
    """Say whether a record can be read; add what its schema does not allow."""
    if record.is_sound:
        return True
    unreadable = list(record.unreadable())
    for fault in unreadable:
        findings.add(record.seq, "record_unreadable", fault)
    for fault in record.undeclared():
        findings.add(record.seq, "key_undeclared", fault)
    for fault in () if unreadable else record.unallowed():
        findings.add(record.seq, "field_not_as_declared", fault)
    return not unreadable


def _in_order(here: Position, record: Record) -> bool:
    """Say whether a record may stand here at all; a second beginning is not even folded in."""
    state, kind = here.state, record.kind
    if kind == "run_started" and state.status != "none":
        here.add(record, "begun_twice", "a second run begins in the same log")
        return False
    if state.sealed:
        here.add(record, "after_the_seal", f"a {kind} record stands after the seal", found=kind)
    elif state.ended and kind not in _AFTER_THE_END:
        here.add(record, "after_the_end", f"a {kind} record stands after the end", found=kind)
    elif not state.ended and state.state in here.spec.finals and kind not in ("ended", "tail_cut"):
        what = f"a {kind} record stands in the final state {state.state} before the end"
        here.add(record, "after_a_final_state", what, expected="ended", found=kind)
    if state.dry_run and kind in _ONLY_FOR_REAL:
        what = f"a dry run has {kind} records: something was done, or is claimed to be"
        here.add(record, "dry_run_acted", what, found=kind)
    return True


def _started(here: Position, record: Record, started: RunStarted) -> None:
    spec = here.spec
    if started.machine != spec.name:
        what = f"the run is of {started.machine}, the declaration at hand of {spec.name}"
        here.add(record, "other_machine", what, expected=spec.name, found=started.machine)
    if started.receipt is not None and started.receipt != spec.receipt:
        here.add(record, "other_receipt_table", "the receipt's table is another than the declaration's")
    shipped = known(started.machine_sha256)
    if shipped is not None and is_older(started.version, shipped.version):  # an older version owes less
        what = f"its declaration was first shipped with drfsm {shipped.version}, and the run is said to be of"
        what = f"{what} {started.version}"
        here.add(record, "version_before_declaration", what, expected=shipped.version, found=started.version)
    if started.machine_sha256 != spec.sha256:
        what = f"the run is pinned to the declaration {started.machine_sha256}, the one at hand is {spec.sha256}"
        here.add(record, "other_declaration", what, expected=spec.sha256, found=started.machine_sha256)
    here.invariants.begun(started.inputs)
    approvals.started(here, record, started)
    if started.state != spec.initial:
        what = f"the run begins in {started.state}, the machine in {spec.initial}"
        here.add(record, "wrong_state", what, expected=spec.initial, found=started.state)
    if started.scope not in _SCOPES:
        what = f"its scope {started.scope!r} is none of {', '.join(_SCOPES)}"
        here.add(record, "unknown_mode", what, expected=list(_SCOPES), found=started.scope)
    for name in spec.inputs.keys() ^ started.inputs.keys():
        what = f"input {name} is {'missing' if name in spec.inputs else 'not declared'}"
        here.add(record, "input_missing_or_undeclared", what)
    for name in spec.inputs.keys() & started.inputs.keys():
        values = spec.inputs[name].values
        if values and str(started.inputs[name]) not in values:
            what = f"input {name} is {started.inputs[name]!r}, none of {', '.join(values)}"
            here.add(record, "input_value_undeclared", what, expected=list(values), found=str(started.inputs[name]))


def _leased(here: Position, record: Record, lease: LeaseAcquired) -> None:
    if lease.epoch <= here.state.epoch:
        what = f"epoch {lease.epoch} does not rise above {here.state.epoch}: two processes could have acted at once"
        here.add(record, "epoch_did_not_rise", what, expected=f"above {here.state.epoch}", found=lease.epoch)
    here.begun.clear()
    here.invariants.forget()


def _revoked(here: Position, record: Record, _revoked: StartRevoked) -> None:
    here.add(record, "start_was_revoked", "another run revoked the start of this one, and the log goes on")


def _resumed(here: Position, record: Record, resumed: Resumed) -> None:
    _stands(here, record, resumed.state)
    if (not here.state.epoch or here.state.lease_released) and not here.state.dry_run:
        here.add(record, "no_lease", "the run is resumed without a lease")
    here.halted = False
    here.begun.clear()
    here.samples.clear()
    here.invariants.forget()


def _cut(here: Position, record: Record, cut: TailCut) -> None:
    here.add(record, "tail_was_cut", f"line {record.seq + 1}: a torn last line of {cut.bytes} bytes was cut off")


def _predecessor(here: Position, record: Record, settled: PredecessorSettled) -> None:
    left = here.state.predecessor
    if left is None or (settled.run_id, settled.left_open) != (left.run_id, left.left_open):
        here.add(
            record, "nothing_to_settle", f"requests of the run {settled.run_id} are settled, and it left none open"
        )


def _rejected(here: Position, record: Record, rejected: Rejected) -> None:
    _stands(here, record, rejected.state)


def _held(here: Position, record: Record, held: Held) -> None:
    _stands(here, record, held.state)
    here.check_frozen(record, held.frozen)
    here.check_next_actions(record, held.next_actions, here.state.state)
    if held.lease and here.state.touched:
        here.add(
            record, "lease_released_too_late", "it says that the lease is released, although an action was begun before"
        )
    here.halted = True
    here.begun.clear()
    here.samples.clear()


def _stands(here: Position, record: Record, state: str) -> None:
    if state != here.state.state:
        what = f"it says that the run stands in {state}, not {here.state.state}"
        here.add(record, "wrong_state", what, expected=here.state.state, found=state)


def _ended(here: Position, record: Record, ended: Ended) -> None:
    here.check_frozen(record, ended.frozen)
    if here.state.dry_run:
        forecasts.ended(here, record, ended)
        return
    _stands(here, record, ended.state)
    due = here.spec.finals.get(ended.state)
    if due is None:
        what = f"the run ends in {ended.state}, which is no final state"
        here.add(record, "end_not_declared", what, expected=sorted(here.spec.finals), found=ended.state)
    elif ended.status != due:
        what = f"an end in {ended.state} is {due}, not {ended.status}"
        here.add(record, "end_not_declared", what, expected=due, found=ended.status)
    if here.state.open is not None:
        here.add(
            record, "open_at_the_end", f"the run ends before the open intent of {here.state.open.trigger} is settled"
        )
    _undone(here, record, ended)
    for flight in unsettled(here.spec, here.state, here.late):
        action = f"the undo of {flight.undoes}" if flight.undoes else flight.trigger
        what = f"{action} was given up without an answer, and nothing shows that {action} can't take effect late"
        here.add(record, "late_request_unsettled", what)


def _undone(here: Position, record: Record, ended: Ended) -> None:
    """Check that an aborted run undid everything, and says what it kept on purpose."""
    aborted = ended.status == "aborted"
    if ended.kept != (here.state.kept if aborted else ()):
        here.add(
            record,
            "kept_list_wrong",
            "what was kept on purpose differs from what the records say",
            expected=list(here.state.kept if aborted else ()),
            found=list(ended.kept),
        )
    if aborted and here.state.undo:
        left = ", ".join(entry.trigger for entry in here.state.undo)
        here.add(record, "not_undone", f"the run ends aborted, but not undone: {left}")


def _sealed(here: Position, record: Record, seal: Seal) -> None:
    if not here.state.ended:
        here.add(record, "sealed_before_the_end", "the log is sealed before the run has ended")
    # What the sealing process saw: a torn line that it cut off itself came in between.
    heads = {here.uncut: here.uncut_head, record.seq: here.head}
    if seal.records not in heads:
        what = f"the seal counts {seal.records} records, there are {record.seq}"
        here.add(record, "seal_count_wrong", what, expected=record.seq, found=seal.records)
    elif record.seq and seal.head != heads[seal.records]:
        what = "the seal names another head than the line before it has"
        here.add(record, "seal_head_wrong", what, expected=heads[seal.records], found=seal.head)


_RULES: Mapping[str, Callable[[Position, Record, Any], None]] = {
    "run_started": _started,
    "lease_acquired": _leased,
    "start_revoked": _revoked,
    "resumed": _resumed,
    "tail_cut": _cut,
    "sampled": waits.sampled,
    "intent": steps.intent,
    "failed": steps.failed,
    "repaired": steps.repaired,
    "commit": steps.commit,
    "resolved": waits.resolved,
    "settled": waits.settled,
    "predecessor_settled": _predecessor,
    "rejected": _rejected,
    "held": _held,
    "forecast": forecasts.forecast,
    "ended": _ended,
    "seal": _sealed,
}
