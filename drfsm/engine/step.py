"""One row, one attempt: judge, intend, act, commit; and what to do about an intent that was left open.

Owns the order in which things become durable: INTENT before the action, the probe (the facts that the
row sets, read again) after it, COMMIT last. Whatever interrupts it, the journal says enough to go on
(spec/recovery.py is the table). Called by runner.py, which owns loops: attempts, waits, holds.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, frozen

from drfsm.engine.binding import Binding, Run
from drfsm.engine.engine import Engine
from drfsm.engine.log import RunLog
from drfsm.engine.ports import Lease
from drfsm.errors import ActionFailed, DrfsmError, GuardRefused, Interrupted, LeaseLost, Unreachable
from drfsm.journal import Undoable
from drfsm.journal.replay import keep_first
from drfsm.spec.model import By, Effect, Row
from drfsm.spec.recovery import Case, Do, Probe, decide, probe

Say = Callable[..., None]


@frozen
class Reading:
    """One fact as just read. ``why`` says why it could not be read or judged; ``value`` is then None."""

    value: str | None
    seen: Any
    why: str = ""
    reachable: bool = True

    @property
    def record(self) -> dict[str, Any]:
        """As records carry it."""
        told = {"value": self.value, "seen": self.seen}
        return {**told, "why": self.why} if self.why else told


Readings = Mapping[str, Reading]


@frozen
class Judged:
    """What the guards of a row said."""

    readings: Readings
    checks: tuple[dict[str, Any], ...]

    @property
    def refusals(self) -> tuple[dict[str, Any], ...]:
        """The checks that do not hold."""
        return tuple(each for each in self.checks if not each["holds"])

    @property
    def unreadable(self) -> bool:
        """Whether something could not even be read: trying again may help."""
        return any(not each.reachable for each in self.readings.values())

    @property
    def facts(self) -> dict[str, Any]:
        """As records carry them."""
        return recorded(self.readings)


class NeedsPerson(ActionFailed):
    """An interrupted action whose outcome the machine may not decide by itself."""


@define
class _Hand:
    """The row in hand and what its stages tell each other."""

    row: Row
    case: Case
    args: Mapping[str, Any]
    by: str
    judged: Judged | None
    after: Readings
    entry: Undoable | None = None
    result: Any = None
    how: str = "judged"
    started: float = 0.0


class Step:
    """Takes one row once, over a journal."""

    def __init__(
        self,
        log: RunLog,
        binding: Binding,
        world: Any,
        lease: Lease,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        say: Say = lambda *_, **__: None,
    ) -> None:
        self._log, self._binding, self.world, self._lease = log, binding, world, lease
        self._interrupted, self._say = interrupted, say
        self._engine = Engine(
            log.spec,
            log.state.state or log.spec.initial,
            [self._judge, self._intend, self._act, self._commit],
        )
        self._hand: _Hand | None = None

    @property
    def engine(self) -> Engine:
        """The machine."""
        return self._engine

    # --- reading ------------------------------------------------------------------------------------

    def read(self, names: Mapping[str, Any] | set[str], row: Row, run: Run | None = None) -> dict[str, Reading]:
        """Observe and judge facts now."""
        here = run or self.run(row)
        return {name: self._read(name, here) for name in sorted(names)}

    def _read(self, name: str, run: Run) -> Reading:
        fact = self._binding.facts[name]
        try:
            seen = fact.observe(self.world, run)
            value = fact.judge(seen, run.inputs)
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return Reading(None, None, fault.what, reachable=not isinstance(fault, Unreachable))
        except Exception as fault:  # noqa: BLE001  a defect in a fact must hold the run, not crash it
            return Reading(None, None, f"defect in the fact {name}: {type(fault).__name__}: {fault}")
        if value is not None and value not in self._log.spec.facts[name].values:
            return Reading(None, seen, f"defect: {name} was judged {value!r}, which is not declared")
        return Reading(value, seen, "" if value is not None else "can't be told from what was seen")

    def judge(self, row: Row, *, skip: Mapping[str, Any] | None = None) -> Judged:
        """Read every fact that the row's guards require, and hold it against them: all findings at once."""
        spec = self._log.spec
        wanted = [each for each in spec.wanted_of(row) if each[1] not in (skip or {})]
        readings = self.read({fact for _, fact, _ in wanted}, row)
        checks = tuple(
            {
                "guard": guard.name,
                "fact": fact,
                "value": readings[fact].value or "unknown",
                "needed": list(values),
                "seen": readings[fact].why or readings[fact].seen,
                "because": guard.because,
                "holds": readings[fact].value in values,
            }
            for guard, fact, values in wanted
        )
        return Judged(readings, checks)

    def run(self, row: Row, *, undoing: Mapping[str, Any] | None = None) -> Run:
        """Return what the row's facts and actions may know."""
        state, clock = self._log.state, self._log.clock
        limit = row.timeout_seconds
        return Run(
            id=state.run_id,
            inputs=state.inputs,
            operator=state.operator,
            epoch=state.epoch,
            dry_run=state.dry_run,
            trigger=row.trigger,
            results=state.results,
            args=state.args,
            clock=clock,
            undoing=undoing or {},
            first_seen=state.images.get(row.key, {}),
            deadline=None if limit is None else clock.monotonic() + limit,
            interrupted=self._interrupted,
            say=self._say,
        )

    # --- taking -------------------------------------------------------------------------------------

    def recover(self, row: Row) -> tuple[Case, Readings]:
        """Say what the table says about this row now: start it, or settle what was left open."""
        state = self._log.state
        if state.open is None:
            return decide(open_intent=False, effect=row.effect, probe=Probe.NOT_DONE), {}
        entry = self._entry(row)
        if entry is not None:
            after = self.read(entry.before, row)
            verdict = _undone(after, entry.before, state.open.before)
            return decide(open_intent=True, effect=Effect.IDEMPOTENT, probe=verdict), after
        after = self.read(row.sets, row)
        return decide(open_intent=True, effect=row.effect, probe=self._probe(row, after)), after

    def attempt(self, row: Row, *, args: Mapping[str, Any] | None = None, judged: Judged | None = None) -> None:
        """Take the row: once from the start, or on from where it was left.

        Raises GuardRefused (nothing moved), ActionFailed or Unreachable (recorded as ``failed``),
        NeedsPerson (cases E and F), Interrupted (the intent stays open), LeaseLost.
        """
        case, after = self.recover(row)
        if case.do is Do.HOLD:
            seen = ", ".join(f"{name} is {each.value or 'unknown'} {each.why}".strip() for name, each in after.items())
            raise NeedsPerson(
                f"{row.trigger} was interrupted and {case.because} ({seen})",
                way="look at what was seen, then `drfsm resolve done|not_done --reason ...`, or resume to look again",
            )
        state = self._log.state
        given = args or (state.open.args if state.open else {})
        by = state.open.by if state.open else row.by.value
        self._hand = _Hand(row, case, given, by, judged, after, self._entry(row), started=self._log.clock.monotonic())
        try:
            self._engine.fire(row)
        finally:
            self._hand = None

    def close_intent(self, row: Row, verdict: Probe, why: str) -> None:
        """Close an open intent without doing it: an abort will undo whatever it did."""
        attempt = self._log.state.open.attempt if self._log.state.open else 1
        self._log.append(
            "failed",
            {
                "row": row.key,
                "trigger": row.trigger,
                "state": row.source,
                "attempt": attempt,
                "error": why,
                "verdict": verdict.value,
            },
        )

    # --- the four stages ------------------------------------------------------------------------------

    def _judge(self, row: Row) -> None:
        hand = self._held()
        if hand.case.do is Do.COMMIT:
            hand.how = "found"
            return
        if hand.judged is None:
            # On a redo the facts that the row itself sets may be half way: its own work must not stop it.
            hand.judged = self.judge(row, skip=row.sets if hand.case.do is Do.REDO else None)
        if hand.judged.refusals:
            raise GuardRefused(hand.judged.refusals, trigger=row.trigger)

    def _intend(self, row: Row) -> None:
        hand = self._held()
        if hand.case.do is Do.COMMIT or not self._acts(hand):
            return
        names = hand.entry.before if hand.entry else row.sets
        known = hand.judged.readings if hand.judged else {}
        before = {**self.read(set(names) - set(known), row), **{n: known[n] for n in names if n in known}}
        blind = {name: each.why for name, each in before.items() if each.value is None and each.seen is None}
        if blind:
            told = "; ".join(f"{name}: {why}" for name, why in blind.items())
            raise Unreachable(f"{row.trigger}: what is there now can't be read, so nothing is changed ({told})")
        if hand.entry and _undone(before, hand.entry.before, {}) is Probe.DONE:
            hand.after, hand.how = before, "found"
            return
        state = self._log.state
        body: dict[str, Any] = {
            "row": row.key,
            "trigger": row.trigger,
            "from": row.source,
            "to": row.to,
            "by": hand.by,
            "attempt": (state.open.attempt if state.open else state.attempts.get(row.key, 0)) + 1,
            "effect": row.effect.value,
            "guards": list(hand.judged.checks) if hand.judged else [],
            "facts": {**(hand.judged.facts if hand.judged else {}), **recorded(before)},
            "before": {name: each.seen for name, each in before.items()},
            "frozen": self._log.frozen({name: each.value for name, each in before.items()}),
            "because": row.because,
        }
        if hand.args:
            body["args"] = dict(hand.args)
        if row.undo:
            body["undo"] = row.undo
        if hand.entry:
            body["undoes"] = hand.entry.row
        self._log.append("intent", body)

    def _act(self, row: Row) -> None:
        hand = self._held()
        if hand.how == "found" or not self._acts(hand):
            return
        self._lease.check()
        fault = self._do(row, hand)
        if row.effect is Effect.NONE and not hand.entry:
            verdict = Probe.NOT_DONE if fault else Probe.DONE
        elif hand.entry:
            hand.after = self.read(hand.entry.before, row)
            before = self._log.state.open.before if self._log.state.open else {}
            verdict = _undone(hand.after, hand.entry.before, before)
        else:
            hand.after = self.read(row.sets, row)
            verdict = self._probe(row, hand.after)
        if verdict is Probe.DONE:
            hand.how = "acted"
            return
        why = fault or ActionFailed(f"{row.trigger} was done without an error, but {self._unlike(row, hand)}")
        self.close_intent(row, verdict, why.what)
        raise why

    def _commit(self, row: Row) -> None:
        hand = self._held()
        facts = {**(hand.judged.facts if hand.judged else {}), **recorded(hand.after)}
        body: dict[str, Any] = {
            "row": row.key,
            "trigger": row.trigger,
            "from": row.source,
            "to": row.to,
            "by": hand.by,
            "how": hand.how,
            "guards": list(hand.judged.checks) if hand.judged else [],
            "facts": facts,
            "result": hand.result,
            "frozen": self._log.frozen({name: found["value"] for name, found in facts.items()}),
            "ways": self._log.ways(row.to),
            "because": row.because,
            "seconds": round(self._log.clock.monotonic() - hand.started, 3),
        }
        if hand.args:
            body["args"] = dict(hand.args)
        if hand.entry:
            body["undoes"] = hand.entry.row
        if row.keeps:
            body["kept"] = row.keeps
        if hand.how == "found" and self._log.state.open:
            body["case"] = hand.case.letter
        self._log.append("commit", body)

    # --- pieces -----------------------------------------------------------------------------------------

    def _held(self) -> _Hand:
        assert self._hand is not None  # noqa: S101  stages run inside attempt() only
        return self._hand

    def _entry(self, row: Row) -> Undoable | None:
        """Return what an ``each: undo`` row is about: the newest thing left to undo."""
        return self._log.state.undo[-1] if row.each == "undo" and self._log.state.undo else None

    def _acts(self, hand: _Hand) -> bool:
        return bool(hand.row.action) or (hand.entry is not None and hand.row.by is By.RUNNER)

    def _do(self, row: Row, hand: _Hand) -> DrfsmError | None:
        """Call the action; return what went wrong, for the probe to be held against it."""
        name = hand.entry.undo if hand.entry else row.action
        assert name is not None  # noqa: S101  _acts() was asked
        run = self.run(row, undoing=hand.entry.before if hand.entry else None)
        try:
            hand.result = self._binding.actions[name](self.world, run)
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return fault
        except Exception as fault:  # noqa: BLE001  a defect in an action must hold the run, not crash it
            return ActionFailed(f"defect in the action {name}: {type(fault).__name__}: {fault}", fault="drfsm")
        return None

    def _probe(self, row: Row, after: Readings) -> Probe:
        intent = self._log.state.open
        spec_facts = self._log.state.facts
        before = {name: (spec_facts.get(name) or {}).get("value") for name in row.sets} if intent else {}
        return probe(row.sets, {name: each.value for name, each in after.items()}, before)

    def _unlike(self, row: Row, hand: _Hand) -> str:
        wanted = dict.fromkeys(hand.entry.before, "as before") if hand.entry else row.sets
        return "; ".join(
            f"{name} is {hand.after[name].value or 'unknown'}, wanted {value} (seen: {hand.after[name].seen})"
            for name, value in wanted.items()
            if hand.after[name].value != value
        )


def recorded(readings: Readings) -> dict[str, Any]:
    """Return readings as records carry them."""
    return {name: each.record for name, each in readings.items()}


def _undone(now: Readings, image: Mapping[str, Any], before: Mapping[str, Any]) -> Probe:
    """Probe an undo: done when the observation equals the image, not merely the same word.

    Objects that the image doesn't know (they appeared later) are none of the undo's business.
    """
    if any(each.seen is None and each.why for each in now.values()):
        return Probe.UNKNOWN
    if all(_covers(now[name].seen, image[name]) for name in image):
        return Probe.DONE
    same = all(name in before and now[name].seen == before[name] for name in image)
    return Probe.NOT_DONE if same else Probe.MIXED


def _covers(seen: Any, image: Any) -> bool:
    """Whether what was seen has everything of the image (mappings may have more keys)."""
    if isinstance(seen, Mapping) and isinstance(image, Mapping):
        return keep_first(image, seen) == seen
    return bool(seen == image)
