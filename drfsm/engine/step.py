"""One row, one attempt: judge, intend, act, commit; and what to do about an intent that was left open.

    judge    read the facts behind the row's guards; a guard that does not hold refuses the attempt
    intend   write an ``intent`` record with a snapshot of every fact that the action changes
    act      call the action, then read those facts again: this reading, not the action's word, says what was done
    commit   write a ``commit`` record; only then does the state move

Owns the order in which things become durable: the intent BEFORE the action, the commit AFTER the second reading.

A step that was killed left an intent without a commit (``RunState.open``, journal/replay.py). The next attempt at the
row begins with ``recover``: it reads the changed facts again, compares them with what the row sets and with the
snapshots of the first attempt (``probe``), and looks up the case in the table of spec/recovery.py. START and REDO run
all four stages: each REDO is an intent of its own, with the snapshots of the first. COMMIT, for an action that was
done, passes the first three stages without doing anything (``how`` is "found") and writes the commit. HOLD raises
NeedsPerson before the first stage: nothing is written but the hold.

Called by attempts.py, which owns repeated attempts and waits, and by runner.py.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from drfsm.claims import bounded
from drfsm.engine.binding import Binding, Run
from drfsm.engine.late import LateWrites
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Judgement, Observer, Readings, amended, recorded, values_of
from drfsm.engine.ports import Lease
from drfsm.errors import (
    ActionFailed,
    DeadlineExceeded,
    DrfsmError,
    GuardRefused,
    Interrupted,
    LeaseLost,
    Unreachable,
    UsageFault,
)
from drfsm.journal import Undoable, exact
from drfsm.journal.replay import covers
from drfsm.journal.undoing import acts, undo_entry
from drfsm.spec.model import By, Effect, Row
from drfsm.spec.recovery import Probe, RecoveryAction, RecoveryCase, decide, probe


class NeedsPerson(ActionFailed):
    """An interrupted action whose outcome the machine may not decide by itself (case E), or can't see (case F)."""

    def __init__(self, row: Row, case: RecoveryCase, readings: Readings) -> None:
        seen = ", ".join(
            f"{name} is {reading.value or 'unknown'} {reading.why}".strip() for name, reading in readings.items()
        )
        super().__init__(
            f"{row.trigger} was interrupted and {case.reason} ({seen})",
            hint="compare with the site, then `drfsm resolve done|not_done --reason ...`; `drfsm resume` reads again",
        )
        self.case = case


@define
class Attempt:
    """One attempt at a row, and what its stages tell each other."""

    row: Row
    case: RecoveryCase
    args: Mapping[str, Any]  # a person's arguments, or the reason of a failure
    by: str  # who fires the row
    undoing: Undoable | None  # of a ``foreach: undo`` row: what is being undone
    started: float  # on the clock's monotonic scale
    judgement: Judgement = field(factory=Judgement)
    judged: bool = False  # by a wait, before the attempt began
    after: Readings = field(factory=dict)  # the facts that the row changes, read after the action
    result: Any = None  # of the action
    # As its commit says. judged: the row has no action. acted: this process did it. found: it was done already.
    how: str = "judged"
    fault: DrfsmError | None = None  # the action raised this, although its work is seen to be done


class Step:
    """Takes one row once, over a journal."""

    def __init__(self, log: RunLog, binding: Binding, lease: Lease, observer: Observer, late: LateWrites) -> None:
        self._log, self._binding, self._lease, self._observer = log, binding, lease, observer
        self._late = late
        from drfsm.engine.engine import Engine  # only here: whoever reads a run needs no `transitions`

        self.engine = Engine(
            log.spec,
            log.state.state or log.spec.initial,
            [self._judge, self._intend, self._act, self._commit],
        )
        self._attempt: Attempt | None = None

    def recover(self, row: Row) -> tuple[RecoveryCase, Readings]:
        """Return the case of the recovery table that fits this row now, and the readings that decided it."""
        intent = self._log.state.open
        if intent is None or intent.row != row.key:
            return decide(open_intent=False, effect=row.effect, probe=Probe.NOT_DONE), {}
        readings = self._read_changed(row, intent.args)
        if intent.verdict:  # a person said that it was done: case C, and the readings are only recorded
            return decide(open_intent=True, effect=Effect.IDEMPOTENT, probe=Probe.DONE), readings
        # An undo restores an exact snapshot: to do that twice ends the same, whatever the undone row's effect is.
        effect = Effect.IDEMPOTENT if undo_entry(row, self._log.state) else row.effect
        return decide(open_intent=True, effect=effect, probe=self._probe(row, readings)), readings

    def changed_nothing(self, row: Row) -> bool:
        """Whether what a row sets is read exactly as before its first attempt."""
        state = self._log.state
        before = state.open.before if state.open is not None else state.snapshots[row.key]
        readings = self._read_changed(row, state.open.args if state.open is not None else {})
        return bool(readings) and _same(readings, before)

    def attempt(self, row: Row, *, args: Mapping[str, Any] | None = None, judgement: Judgement | None = None) -> None:
        """Take the row: from the start, or on from where an open intent was left.

        ``judgement`` is the last sample of a wait, which the guards need not be judged again for. Raises GuardRefused
        (nothing moved), ActionFailed or Unreachable (recorded as ``failed``), NeedsPerson (cases E and F), Interrupted
        (the intent stays open), LeaseLost.
        """
        case, readings = self.recover(row)
        if case.do is RecoveryAction.HOLD:
            raise NeedsPerson(row, case, readings)
        intent = self._log.state.open if case.open_intent else None
        self._attempt = Attempt(
            row,
            case,
            args=args or (intent.args if intent else {}),
            by=intent.by if intent else row.by.value,
            undoing=undo_entry(row, self._log.state),
            started=self._log.clock.monotonic(),
            judgement=judgement or Judgement(),
            judged=judgement is not None,
            after=readings,
        )
        try:
            self.engine.fire(row)
        finally:
            self._attempt = None
        self._log.notify()

    def call(self, name: str, run: Run) -> tuple[Any, DrfsmError | None]:
        """Call an action; return its result as a record can carry it, or what went wrong."""
        try:
            return exact(self._binding.action(name)(self._observer.world, run)), None
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return None, fault
        except Exception as fault:  # noqa: BLE001  a defect in an action must hold the run, not crash it
            what = bounded(f"{type(fault).__name__}: {fault}")
            return None, ActionFailed(f"defect in the action {name}: {what}", fault="drfsm")

    # --- the four stages: the engine calls them in this order, and an exception in any leaves the state ---

    def _judge(self, row: Row) -> None:
        attempt = self._current()
        if attempt.case.do is RecoveryAction.COMMIT:
            attempt.how = "found"
            return
        if not attempt.judged:
            # On a redo the facts that the row itself sets may be half way: its own work must not refuse it.
            skip = row.sets if attempt.case.do is RecoveryAction.REDO else ()
            attempt.judgement = self._observer.judge(row, skip=skip, args=attempt.args)
        if refusals := attempt.judgement.refusals:
            raise GuardRefused([check.json for check in refusals], trigger=row.trigger)

    def _intend(self, row: Row) -> None:
        attempt = self._current()
        if self._log.state.epoch:
            self._lease.check()  # BEFORE anything is written: not the world, not the journal
        if attempt.case.do is RecoveryAction.COMMIT or not acts(row):
            return
        if attempt.undoing:
            self._late.shut_out(row, attempt.undoing)
        before = self._snapshot(row, attempt)
        if attempt.undoing and self._probe_undo(row, attempt.undoing, before) is Probe.DONE:
            attempt.after, attempt.how = before, "found"
            return
        self._log.append("intent", self._intent_body(row, attempt, before))

    def _act(self, row: Row) -> None:
        attempt = self._current()
        if attempt.how == "found" or not acts(row):
            return
        fault = self._call_action(row, attempt)
        attempt.after = self._read_changed(row, attempt.args)
        done = self._probe(row, attempt.after)
        if row.effect is Effect.NONE and not attempt.undoing:  # it changes nothing that could be read again
            done = Probe.NOT_DONE if fault else Probe.DONE
        if done is Probe.DONE:
            attempt.how, attempt.fault = "acted", fault
            return
        fault = fault or ActionFailed(f"{row.trigger} ended without an error, but {_mismatch(row, attempt)}")
        if done is Probe.NOT_DONE and not _answered(fault) and not attempt.undoing and self._late.may_land(row):
            done = Probe.MIXED  # nothing is seen of it, but it may still take effect: its intent stays open
        self._log.append("failed", self._failed_body(row, attempt, fault, done))
        self._late.sent()
        raise fault

    def _commit(self, row: Row) -> None:
        body = self._commit_body(row, self._current())
        self._log.append("commit", body, notify=False)  # subscribers are called once the state has moved

    def _current(self) -> Attempt:
        assert self._attempt is not None  # noqa: S101  stages run inside attempt() only
        return self._attempt

    # --- the pieces of a stage ------------------------------------------------------------------------

    def _snapshot(self, row: Row, attempt: Attempt) -> Readings:
        """Read what the action will change. Raises Unreachable: what nobody can see, nobody may change."""
        names = set(attempt.undoing.before if attempt.undoing else row.sets)
        known = {name: reading for name, reading in attempt.judgement.readings.items() if name in names}
        before = {**self._observer.read(names - known.keys(), row, attempt.args), **known}
        unread = {
            name: reading.why for name, reading in before.items() if reading.value is None and reading.seen is None
        }
        if unread:
            reasons = "; ".join(f"{name}: {why}" for name, why in unread.items())
            raise Unreachable(f"{row.trigger}: the present values can't be read, so nothing is changed ({reasons})")
        return before

    def _call_action(self, row: Row, attempt: Attempt) -> DrfsmError | None:
        """Call the row's action, or the undo; return what went wrong, for the second reading to be held against it."""
        name = attempt.undoing.undo if attempt.undoing else row.action
        assert name is not None  # noqa: S101  acts(row) was asked
        snapshots = attempt.undoing.before if attempt.undoing else None
        attempt.result, fault = self.call(name, self._observer.run(row, attempt.args, undoing=snapshots))
        return fault

    def _read_changed(self, row: Row, args: Mapping[str, Any]) -> Readings:
        """Read again what the row's action, or the undo, changes."""
        undoing = undo_entry(row, self._log.state)
        return self._observer.read(undoing.before if undoing else row.sets, row, args)

    def _probe(self, row: Row, after: Readings) -> Probe:
        """Hold what was read again against what the row sets, and against what was there before the first attempt."""
        intent, undoing = self._log.state.open, undo_entry(row, self._log.state)
        if undoing:
            return self._probe_undo(row, undoing, after)
        verdict = probe(row.sets, values_of(after), intent.values if intent else {})
        # Something half done may have the same value as before: only the same observation is as before.
        half_done = verdict is Probe.NOT_DONE and intent is not None and not _same(after, intent.before)
        return Probe.MIXED if half_done else verdict

    def _probe_undo(self, row: Row, undoing: Undoable, now: Readings) -> Probe:
        """Probe an undo: done when the observation equals the snapshot, not merely when the value is the same.

        Objects that the snapshot doesn't have (they appeared later) don't matter, as long as the fact's value is the
        same.
        """
        if any(reading.seen is None and reading.why for reading in now.values()):
            return Probe.UNKNOWN
        run = self._observer.run(row)
        values = {
            name: self._observer.judge_one(name, snapshot, run).value for name, snapshot in undoing.before.items()
        }
        restored = all(covers(now[name].seen, snapshot) for name, snapshot in undoing.before.items())
        if restored and all(value is None or now[name].value == value for name, value in values.items()):
            return Probe.DONE
        intent = self._log.state.open
        return Probe.NOT_DONE if intent and _same(now, intent.before) else Probe.MIXED

    # --- what the records say (journal/record_types.py has the fields) ----------------------------------

    def _intent_body(self, row: Row, attempt: Attempt, before: Readings) -> dict[str, Any]:
        state = self._log.state
        earlier = state.open.attempt if state.open and attempt.case.open_intent else state.attempts.get(row.key, 0)
        return {
            **self._transition_body(row, attempt, before),
            "attempt": earlier + 1,
            "effect": row.effect.value,
            "before": {name: reading.seen for name, reading in before.items()},
            "frozen": self._log.frozen(values_of(before)),
            **({"undo": row.undo} if row.undo else {}),
            **({"final_write": True} if row.point_of_no_return else {}),
        }

    def _failed_body(self, row: Row, attempt: Attempt, fault: DrfsmError, verdict: Probe) -> dict[str, Any]:
        intent = self._log.state.open
        return {
            "row": row.key,
            "trigger": row.trigger,
            "state": row.source,
            "attempt": intent.attempt if intent else 1,
            "error": fault.what,
            "verdict": verdict.value,
            "facts": recorded(attempt.after),
            "frozen": self._log.frozen(values_of(attempt.after)),
            **({"answered": True} if _answered(fault) else {}),
        }

    def _commit_body(self, row: Row, attempt: Attempt) -> dict[str, Any]:
        values = {**attempt.judgement.values, **values_of(attempt.after)}
        return {
            **self._transition_body(row, attempt, attempt.after),
            "how": attempt.how,
            "result": attempt.result,
            "frozen": self._log.frozen(values),
            "ways": self._log.next_actions(row.to),
            "seconds": round(self._log.clock.monotonic() - attempt.started, 3),
            **({"error": attempt.fault.what} if attempt.fault else {}),
            **self._settlement(row, attempt),
        }

    def _transition_body(self, row: Row, attempt: Attempt, changed: Readings) -> dict[str, Any]:
        """Return what an intent and a commit have in common."""
        optional = {
            "args": dict(attempt.args),
            "amends": amended(row, attempt.args),
            "kept": row.not_undone_because,
            "undoes": attempt.undoing.row if attempt.undoing else "",
            "foreseen": [check.json for check in attempt.judgement.foreseen],
        }
        return {
            "row": row.key,
            "trigger": row.trigger,
            "from": row.source,
            "to": row.to,
            "by": attempt.by,
            "guards": [check.json for check in attempt.judgement.checks],
            "facts": {**recorded(attempt.judgement.readings), **recorded(changed)},
            "because": row.reason,
            **{key: value for key, value in optional.items() if value},
        }

    def _settlement(self, row: Row, attempt: Attempt) -> dict[str, Any]:
        """Return what a commit says of an intent that was open before it."""
        intent = self._log.state.open
        if intent is None:
            return {}
        if attempt.case.do is not RecoveryAction.COMMIT:
            return {"supersedes": intent.row} if intent.row != row.key else {}
        return {"how": "resolved", "by": By.OPERATOR.value} if intent.verdict else {"case": attempt.case.letter}


def _answered(fault: DrfsmError) -> bool:
    """Say whether an action failed in a way that leaves no request on its way: the world refused, or time was up."""
    return isinstance(fault, ActionFailed | DeadlineExceeded | UsageFault) and fault.fault != "drfsm"


def _mismatch(row: Row, attempt: Attempt) -> str:
    """Say which facts are not as the action should have left them."""
    expected = dict.fromkeys(attempt.undoing.before, "as before") if attempt.undoing else row.sets
    return "; ".join(
        f"{name} is {attempt.after[name].value or 'unknown'}, not {value} (seen: {attempt.after[name].seen})"
        for name, value in expected.items()
        if attempt.after[name].value != value
    )


def _same(now: Readings, snapshots: Mapping[str, Any]) -> bool:
    return all(name in snapshots and reading.seen == snapshots[name] for name, reading in now.items())
