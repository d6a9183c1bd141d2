"""Reads facts and holds them against guards: what the world is now, for one row.

Owns what a fact or an action may know (``Run``) and what becomes of a fact that can't be read or judged: it has no
value, and the reason is recorded. Changes nothing. Called by step.py, attempts.py, forecast.py and recheck.py.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve, field, frozen

from drfsm.claims import bounded
from drfsm.engine.binding import Binding, Run
from drfsm.engine.log import RunLog
from drfsm.engine.side_by_side import side_by_side
from drfsm.errors import DrfsmError, Interrupted, LeaseLost
from drfsm.journal import exact
from drfsm.journal.record_types import Check, ForeseenCheck, Reading
from drfsm.spec.foresight import Ahead, ahead
from drfsm.spec.model import Guard, Row

Say = Callable[..., None]
Readings = Mapping[str, Reading]
LONGEST_WHY = 1200  # characters of why a fact could not be read


@frozen
class Judgement:
    """What the guards of a row said, and the readings that they were held against."""

    readings: Readings = field(factory=dict)
    checks: tuple[Check, ...] = ()
    foreseen: tuple[ForeseenCheck, ...] = ()  # guards of later rows

    @property
    def refusals(self) -> tuple[Check, ...]:
        """The checks that do not hold, and those of later rows that refuse this one."""
        own = (check for check in self.checks if not check.holds)
        return (*own, *(check for check in self.foreseen if check.refuses))

    @property
    def values(self) -> dict[str, str | None]:
        """What each fact was judged."""
        return values_of(self.readings)


class Observer:
    """Reads the facts of one run in one world. ``world`` is handed to every fact as it is.

    ``at_once``: how many facts of one row are read at the same time, each in a thread of its own.
    """

    def __init__(
        self,
        log: RunLog,
        binding: Binding,
        world: Any,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        say: Say = lambda *_, **__: None,
        proven: Mapping[str, Any] | None = None,
        at_once: int = 1,
    ) -> None:
        self._log, self._binding, self.world = log, binding, world
        self._at_once = at_once
        self._interrupted, self._say, self._proven = interrupted, say, proven or {}

    def read(self, names: Iterable[str], row: Row, args: Mapping[str, Any] | None = None) -> dict[str, Reading]:
        """Read facts now, for a row with these arguments (those of the open intent where none are given)."""
        run = self.run(row, args)
        ordered = sorted(names)
        readings = side_by_side([partial(self.read_one, name, run) for name in ordered], self._at_once)
        return dict(zip(ordered, readings, strict=True))

    def read_one(self, name: str, run: Run) -> Reading:
        """Observe and judge one fact. Whatever goes wrong, but an interruption or a lost lease, is its reading."""
        try:
            observation = exact(self._binding.fact(name).observe(self.world, run))
        except (LeaseLost, Interrupted):
            raise
        except DrfsmError as fault:
            return Reading(value=None, seen=None, why=bounded(fault.cause or fault.what, LONGEST_WHY))
        except Exception as fault:  # noqa: BLE001  whatever was answered must hold the run, not crash it
            return Reading(value=None, seen=None, why=_not_understood("what the world answered", name, fault))
        return self.judge_one(name, observation, run)

    def judge_one(self, name: str, observation: Any, run: Run) -> Reading:
        """Judge one observation: a declared value of the fact, or none and why."""
        try:
            value = self._binding.fact(name).judge(observation, run.inputs)
        except Exception as fault:  # noqa: BLE001  likewise, in its judge
            return Reading(value=None, seen=observation, why=_not_understood("what was seen", name, fault))
        if value is not None and value not in self._log.spec.facts[name].values:
            why = f"what was seen is {bounded(value, 100)} to the fact {name}, which declares no such value"
            return Reading(value=None, seen=observation, why=why)
        why = "" if value is not None else _not_told(observation)
        return Reading(value=value, seen=observation, why=why)

    def judge(self, row: Row, *, skip: Collection[str] = (), args: Mapping[str, Any] | None = None) -> Judgement:
        """Read every fact that the row's guards require, but those in ``skip``; return all refusals at once.

        For a row that foresees, likewise the guards of later rows, whose facts are read at the same moment.
        """
        later = ahead(self._log.spec, row, self._log.state.inputs)
        judgement = self._judged(row, {}, skip, args)
        if not later:
            return judgement
        foreseen = self._judged(
            evolve(row, guards=tuple(each.guard.name for each in later)), judgement.readings, skip, args
        )
        by_guard = {each.guard.name: each for each in later}
        checks = tuple(_foreseen(check, by_guard[check.guard]) for check in foreseen.checks)
        return evolve(judgement, readings=foreseen.readings, foreseen=checks)

    def _judged(self, row: Row, known: Readings, skip: Collection[str], args: Mapping[str, Any] | None) -> Judgement:
        """Hold facts against the row's guards; those that are ``known`` are not read again."""
        spec, skipped = self._log.spec, set(skip)
        readings = {**known, **self.read(spec.stand_ins(row) - skipped - known.keys(), row, args)}
        waived = spec.waived(row, values_of(readings))
        undecided = {name for name in row.guards if skipped & set(spec.guards[name].unless)}
        required = [
            (guard, fact, needed)
            for guard, fact, needed in spec.wanted_of(row, waived)
            if fact not in skipped and guard.name not in undecided
        ]
        readings |= self.read({fact for _, fact, _ in required} - set(readings), row, args)
        return Judgement(
            readings, tuple(_check(guard, fact, needed, readings[fact]) for guard, fact, needed in required)
        )

    def run(self, row: Row, args: Mapping[str, Any] | None = None, *, undoing: Mapping[str, Any] | None = None) -> Run:
        """Return what the row's facts and actions may know. ``undoing``: the snapshots to restore, of an undo."""
        state, clock = self._log.state, self._log.clock
        limit = row.timeout_seconds
        return Run(
            id=state.run_id,
            inputs=self._binding.with_defaults({**state.inputs, **self._amended(row, args)}),
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

    def _amended(self, row: Row, args: Mapping[str, Any] | None) -> dict[str, Any]:
        intent = self._log.state.open
        if args is None:
            args = intent.args if intent is not None and intent.row == row.key else {}
        return amended(row, args)


def amended(row: Row, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that a row amends, as a person's arguments have them."""
    return {name: args[name] for name in row.amends if name in args}


def recorded(readings: Readings) -> dict[str, Any]:
    """Return readings as records carry them."""
    return {name: reading.json for name, reading in readings.items()}


def values_of(readings: Readings) -> dict[str, str | None]:
    """Return the value of each fact."""
    return {name: reading.value for name, reading in readings.items()}


def _check(guard: Guard, fact: str, needed: tuple[str, ...], reading: Reading) -> Check:
    return Check(
        guard=guard.name,
        fact=fact,
        value=reading.value or "unknown",
        needed=needed,
        seen=reading.why or reading.seen,
        reason=guard.reason,
        holds=reading.value in needed,
    )


def _foreseen(check: Check, later: Ahead) -> ForeseenCheck:
    """Return what a later row's guard says now. What nobody could read is as it is: unknown, and told as that."""
    return ForeseenCheck(
        guard=check.guard,
        fact=check.fact,
        value=check.value,
        needed=check.needed,
        seen=check.seen,
        reason=check.reason,
        holds=check.holds,
        at=later.row.trigger,
        level=later.level(check.fact, check.value).value,
        mend=later.guard.mend,
        waits=later.waits(check.fact, check.value),
    )


def _not_told(observation: Any) -> str:
    """Word an observation that leaves a fact without a value: the observation's own words, where it has some."""
    words = observation.get("in_words") if isinstance(observation, Mapping) else None
    return f"can't be told from what was seen{f': {bounded(words, LONGEST_WHY)}' if words else ''}"


def _not_understood(what: str, name: str, fault: Exception) -> str:
    """Word an exception in a fact: the world said what nobody foresaw, so it is no value, and the run holds."""
    return f"{what} can't be understood by the fact {name} ({bounded(f'{type(fault).__name__}: {fault}')})"
