"""One row, one attempt: judge, intend, act, commit; and what to do about an intent that was left open.

Owns the order in which things become durable: INTENT before the action, the probe (the facts that the
row sets, read again) after it, COMMIT last. Whatever interrupts it, the journal says enough to go on
(spec/recovery.py is the table). Called by runner.py, which owns loops: attempts, waits, holds.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, frozen

from drfsm.claims import bounded
from drfsm.engine.binding import Binding, Run
from drfsm.engine.engine import Engine
from drfsm.engine.log import RunLog
from drfsm.engine.ports import Lease
from drfsm.errors import ActionFailed, DrfsmError, GuardRefused, Interrupted, LeaseLost, Unreachable
from drfsm.journal import Undoable, exact
from drfsm.journal.replay import keep_first
from drfsm.spec.model import By, Effect, Row
from drfsm.spec.recovery import Probe, RecoveryAction, RecoveryCase, decide, probe

Say = Callable[..., None]
LONGEST_WHY = 1200  # characters of why a fact could not be read


@frozen
class Reading:
    """One fact as just read. ``why`` says why it could not be read or judged; ``value`` is then None."""

    value: str | None
    seen: Any
    why: str = ""

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
    def facts(self) -> dict[str, Any]:
        """As records carry them."""
        return recorded(self.readings)

    @property
    def values(self) -> dict[str, str | None]:
        """What each fact was judged."""
        return {name: each.value for name, each in self.readings.items()}

    @property
    def named(self) -> set[tuple[str, str]]:
        """Every guard and fact that was held against each other."""
        return {(each["guard"], each["fact"]) for each in self.checks}


class NeedsPerson(ActionFailed):
    """An interrupted action whose outcome the machine may not decide by itself (case E), or can't see (case F)."""

    def __init__(self, row: Row, case: RecoveryCase, seen: Readings) -> None:
        told = ", ".join(f"{name} is {each.value or 'unknown'} {each.why}".strip() for name, each in seen.items())
        super().__init__(
            f"{row.trigger} was interrupted and {case.reason} ({told})",
            hint="look at what was seen, then `drfsm resolve done|not_done --reason ...`, or resume to look again",
        )
        self.case = case


@define
class _Hand:
    """The row in hand and what its stages tell each other."""

    row: Row
    case: RecoveryCase
    args: Mapping[str, Any]
    by: str
    judged: Judged | None
    after: Readings
    entry: Undoable | None = None
    result: Any = None
    how: str = "judged"
    fault: DrfsmError | None = None  # what the action said went wrong, though the probe says that it is done
    started: float = 0.0

    @property
    def checks(self) -> list[dict[str, Any]]:
        """What the guards said, as records carry it."""
        return list(self.judged.checks) if self.judged else []

    @property
    def facts(self) -> dict[str, Any]:
        """What was read for the guards, as records carry it."""
        return self.judged.facts if self.judged else {}


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
        proven: Mapping[str, Any] | None = None,
    ) -> None:
        self._log, self._binding, self.world, self._lease = log, binding, world, lease
        self._interrupted, self._say = interrupted, say
        self._proven = proven or {}
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

    def read(self, names: Mapping[str, Any] | set[str], row: Row) -> dict[str, Reading]:
        """Observe and judge facts now."""
        here = self.run(row)
        return {name: self._read(name, here) for name in sorted(names)}

    def _read(self, name: str, run: Run) -> Reading:
        fact = self._binding.facts[name]
        try:
            seen = exact(fact.observe(self.world, run))
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return Reading(None, None, bounded(fault.what, LONGEST_WHY))
        except Exception as fault:  # noqa: BLE001  whatever was answered must hold the run, not crash it
            return Reading(None, None, _not_understood("what the world answered", name, fault))
        return self._judged(name, seen, run)

    def _judged(self, name: str, seen: Any, run: Run) -> Reading:
        try:
            value = self._binding.facts[name].judge(seen, run.inputs)
        except Exception as fault:  # noqa: BLE001  likewise, in its judge
            return Reading(None, seen, _not_understood("what was seen", name, fault))
        if value is not None and value not in self._log.spec.facts[name].values:
            what = f"what was seen is {bounded(value, 100)} to the fact {name}, which declares no such value"
            return Reading(None, seen, what)
        return Reading(value, seen, "" if value is not None else "can't be told from what was seen")

    def judge(self, row: Row, *, skip: Mapping[str, Any] | None = None) -> Judged:
        """Read every fact that the row's guards require, and hold it against them: all findings at once."""
        spec, left_out = self._log.spec, set(skip or {})
        readings = self.read(spec.stand_ins(row) - left_out, row)
        waived = spec.waived(row, {name: each.value for name, each in readings.items()})
        open_question = {name for name in row.guards if left_out & set(spec.guards[name].unless)}
        wanted = [
            each
            for each in spec.wanted_of(row, waived)
            if each[1] not in left_out and each[0].name not in open_question
        ]
        readings |= self.read({fact for _, fact, _ in wanted} - set(readings), row)
        checks = tuple(
            {
                "guard": guard.name,
                "fact": fact,
                "value": readings[fact].value or "unknown",
                "needed": list(values),
                "seen": readings[fact].why or readings[fact].seen,
                "because": guard.reason,
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
            inputs=self._binding.with_defaults({**state.inputs, **self._amended(row)}),
            operator=state.operator,
            epoch=state.epoch,
            dry_run=state.dry_run,
            trigger=row.trigger,
            results=state.results,
            args=state.args,
            clock=clock,
            undoing=undoing or {},
            first_seen=state.snapshots.get(row.key, {}),
            deadline=None if limit is None else clock.monotonic() + limit,
            interrupted=self._interrupted,
            say=self._say,
            starter=state.actors[0] if state.actors else None,
            proven=self._proven,
        )

    def _amended(self, row: Row) -> dict[str, Any]:
        """Return the inputs that this row amends, as its recorded arguments have them."""
        intent = self._log.state.open
        args = self._hand.args if self._hand else intent.args if intent and intent.row == row.key else {}
        return {name: args[name] for name in row.amends if name in args}

    # --- taking -------------------------------------------------------------------------------------

    def recover(self, row: Row) -> tuple[RecoveryCase, Readings]:
        """Say what the table says about this row now: start it, or settle what was left open."""
        intent = self._log.state.open
        if intent is None or intent.row != row.key:
            return decide(open_intent=False, effect=row.effect, probe=Probe.NOT_DONE), {}
        if intent.verdict:  # a person's: what is seen is only recorded
            return decide(open_intent=True, effect=Effect.IDEMPOTENT, probe=Probe.DONE), self._see(row)
        after = self._see(row)
        effect = Effect.IDEMPOTENT if self._entry(row) else row.effect
        return decide(open_intent=True, effect=effect, probe=self._probe(row, after)), after

    def attempt(self, row: Row, *, args: Mapping[str, Any] | None = None, judged: Judged | None = None) -> None:
        """Take the row: once from the start, or on from where it was left.

        Raises GuardRefused (nothing moved), ActionFailed or Unreachable (recorded as ``failed``),
        NeedsPerson (cases E and F), Interrupted (the intent stays open), LeaseLost.
        """
        case, after = self.recover(row)
        if case.do is RecoveryAction.HOLD:
            raise NeedsPerson(row, case, after)
        intent = self._log.state.open if case.open_intent else None
        given = args or (intent.args if intent else {})
        by = intent.by if intent else row.by.value
        self._hand = _Hand(row, case, given, by, judged, after, self._entry(row), started=self._log.clock.monotonic())
        try:
            self._engine.fire(row)
        finally:
            self._hand = None
        self._log.tell()

    def close_intent(self, row: Row, verdict: Probe, why: str, seen: Readings) -> None:
        """Record that an attempt failed, and what is there now; seen not to be done, it is open no more."""
        intent = self._log.state.open
        self._log.append(
            "failed",
            {
                "row": row.key,
                "trigger": row.trigger,
                "state": row.source,
                "attempt": intent.attempt if intent else 1,
                "error": why,
                "verdict": verdict.value,
                "facts": recorded(seen),
                "frozen": self._log.frozen({name: each.value for name, each in seen.items()}),
            },
        )

    # --- the four stages ------------------------------------------------------------------------------

    def _judge(self, row: Row) -> None:
        hand = self._held()
        if hand.case.do is RecoveryAction.COMMIT:
            hand.how = "found"
            return
        if hand.judged is None:
            # On a redo the facts that the row itself sets may be half way: its own work must not stop it.
            hand.judged = self.judge(row, skip=row.sets if hand.case.do is RecoveryAction.REDO else None)
        if hand.judged.refusals:
            raise GuardRefused(hand.judged.refusals, trigger=row.trigger)

    def _intend(self, row: Row) -> None:
        hand, state = self._held(), self._log.state
        if state.epoch:
            self._lease.check()  # BEFORE anything is written: not the world, not the journal
        if hand.case.do is RecoveryAction.COMMIT or not self._acts(hand):
            return
        names = hand.entry.before if hand.entry else row.sets
        known = hand.judged.readings if hand.judged else {}
        before = {**self.read(set(names) - set(known), row), **{n: known[n] for n in names if n in known}}
        blind = {name: each.why for name, each in before.items() if each.value is None and each.seen is None}
        if blind:
            told = "; ".join(f"{name}: {why}" for name, why in blind.items())
            raise Unreachable(f"{row.trigger}: what is there now can't be read, so nothing is changed ({told})")
        if hand.entry and self._probe_undo(row, hand.entry, before) is Probe.DONE:
            hand.after, hand.how = before, "found"
            return
        self._log.append("intent", self._intent(row, hand, before))

    def _intent(self, row: Row, hand: _Hand, before: Readings) -> dict[str, Any]:
        state = self._log.state
        begun = state.open.attempt if state.open and hand.case.open_intent else state.attempts.get(row.key, 0)
        body: dict[str, Any] = {
            "row": row.key,
            "trigger": row.trigger,
            "from": row.source,
            "to": row.to,
            "by": hand.by,
            "attempt": begun + 1,
            "effect": row.effect.value,
            "guards": hand.checks,
            "facts": {**hand.facts, **recorded(before)},
            "before": {name: each.seen for name, each in before.items()},
            "frozen": self._log.frozen({name: each.value for name, each in before.items()}),
            "because": row.reason,
        }
        if hand.args:
            body["args"] = dict(hand.args)
        if row.amends:
            body["amends"] = self._amended(row)
        if row.undo:
            body["undo"] = row.undo
        if row.not_undone_because:
            body["kept"] = row.not_undone_because
        if hand.entry:
            body["undoes"] = hand.entry.row
        return body

    def _act(self, row: Row) -> None:
        hand = self._held()
        if hand.how == "found" or not self._acts(hand):
            return
        fault = self._do(row, hand)
        hand.after = self._see(row)
        if row.effect is Effect.NONE and not hand.entry:
            verdict = Probe.NOT_DONE if fault else Probe.DONE
        else:
            verdict = self._probe(row, hand.after)
        if verdict is Probe.DONE:
            hand.how, hand.fault = "acted", fault
            return
        why = fault or ActionFailed(f"{row.trigger} was done without an error, but {self._unlike(row, hand)}")
        self.close_intent(row, verdict, why.what, hand.after)
        raise why

    def _commit(self, row: Row) -> None:
        hand, state = self._held(), self._log.state
        facts = {**hand.facts, **recorded(hand.after)}
        body: dict[str, Any] = {
            "row": row.key,
            "trigger": row.trigger,
            "from": row.source,
            "to": row.to,
            "by": hand.by,
            "how": hand.how,
            "guards": hand.checks,
            "facts": facts,
            "result": hand.result,
            "frozen": self._log.frozen({name: found["value"] for name, found in facts.items()}),
            "ways": self._log.next_actions(row.to),
            "because": row.reason,
            "seconds": round(self._log.clock.monotonic() - hand.started, 3),
        }
        if hand.args:
            body["args"] = dict(hand.args)
        if row.amends:
            body["amends"] = self._amended(row)
        if hand.entry:
            body["undoes"] = hand.entry.row
        if row.not_undone_because:
            body["kept"] = row.not_undone_because
        if hand.fault:
            body["error"] = hand.fault.what
        if state.open and hand.case.do is RecoveryAction.COMMIT:
            body |= {"how": "resolved", "by": By.OPERATOR.value} if state.open.verdict else {"case": hand.case.letter}
        elif state.open and state.open.row != row.key:
            body["supersedes"] = state.open.row
        self._log.append("commit", body, tell=False)  # they hear of it when the state has moved

    # --- pieces -----------------------------------------------------------------------------------------

    def _held(self) -> _Hand:
        assert self._hand is not None  # noqa: S101  stages run inside attempt() only
        return self._hand

    def _entry(self, row: Row) -> Undoable | None:
        """Return what an ``each: undo`` row is about: the newest thing left to undo."""
        return self._log.state.undo[-1] if row.foreach == "undo" and self._log.state.undo else None

    def _acts(self, hand: _Hand) -> bool:
        return bool(hand.row.action) or (hand.entry is not None and hand.row.by is By.RUNNER)

    def _do(self, row: Row, hand: _Hand) -> DrfsmError | None:
        """Call the action; return what went wrong, for the probe to be held against it."""
        name = hand.entry.undo if hand.entry else row.action
        assert name is not None  # noqa: S101  _acts() was asked
        result, fault = self.call(name, self.run(row, undoing=hand.entry.before if hand.entry else None))
        hand.result = result
        return fault

    def call(self, name: str, run: Run) -> tuple[Any, DrfsmError | None]:
        """Call an action; return its result, as a record can carry it, or what went wrong."""
        try:
            return exact(self._binding.actions[name](self.world, run)), None
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return None, fault
        except Exception as fault:  # noqa: BLE001  a defect in an action must hold the run, not crash it
            what = bounded(f"{type(fault).__name__}: {fault}")
            return None, ActionFailed(f"defect in the action {name}: {what}", fault="drfsm")

    def _see(self, row: Row) -> dict[str, Reading]:
        """Read again what the row's action, or the undo in hand, is about."""
        entry = self._entry(row)
        return self.read(entry.before if entry else row.sets, row)

    def _probe(self, row: Row, after: Readings) -> Probe:
        """Hold what is read again against what was wanted, and against what was there before the first attempt."""
        entry, intent = self._entry(row), self._log.state.open
        if entry:
            return self._probe_undo(row, entry, after)
        found = probe(row.sets, {name: each.value for name, each in after.items()}, intent.values if intent else {})
        # The same word may be said of something half done: only the same sight is as before.
        return Probe.MIXED if found is Probe.NOT_DONE and intent and not _same(after, intent.before) else found

    def _probe_undo(self, row: Row, entry: Undoable, now: Readings) -> Probe:
        """Probe an undo: done when the observation equals the image, not merely the same word.

        Objects that the image doesn't know (they appeared later) are none of the undo's business, as long as
        they don't change what the whole is judged to be.
        """
        if any(each.seen is None and each.why for each in now.values()):
            return Probe.UNKNOWN
        run = self.run(row)
        wanted = {name: self._judged(name, image, run).value for name, image in entry.before.items()}
        fits = all(_covers(now[name].seen, image) for name, image in entry.before.items())
        if fits and all(value is None or now[name].value == value for name, value in wanted.items()):
            return Probe.DONE
        intent = self._log.state.open
        return Probe.NOT_DONE if intent and _same(now, intent.before) else Probe.MIXED

    def _unlike(self, row: Row, hand: _Hand) -> str:
        wanted = dict.fromkeys(hand.entry.before, "as before") if hand.entry else row.sets
        return "; ".join(
            f"{name} is {hand.after[name].value or 'unknown'}, wanted {value} (seen: {hand.after[name].seen})"
            for name, value in wanted.items()
            if hand.after[name].value != value
        )


def _not_understood(what: str, name: str, fault: Exception) -> str:
    """Word an exception in a fact: the world said what nobody foresaw, so it is no value, and the run holds."""
    return f"{what} can't be understood by the fact {name} ({bounded(f'{type(fault).__name__}: {fault}')})"


def recorded(readings: Readings) -> dict[str, Any]:
    """Return readings as records carry them."""
    return {name: each.record for name, each in readings.items()}


def _same(now: Readings, image: Mapping[str, Any]) -> bool:
    return all(name in image and each.seen == image[name] for name, each in now.items())


def _covers(seen: Any, image: Any) -> bool:
    """Whether what was seen has everything of the image (mappings may have more keys)."""
    if isinstance(seen, Mapping) and isinstance(image, Mapping):
        return bool(keep_first(image, seen) == seen)
    return bool(seen == image)
