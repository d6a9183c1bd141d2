"""Runs of one machine in memory, one process after the other, over a world that outlives them.

A process is a Runner with what the one before left: the world as it is, and the journal's records, nothing else. What
a person has to decide on the way is declared beforehand (``decisions``). Called by crashes.py and by authors' tests.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from attrs import define, field, frozen

from drfsm.engine import Binding, MemoryJournal, NoLease, Runner
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer
from drfsm.errors import DrfsmError
from drfsm.journal import Record, RunState, fold, lines
from drfsm.spec import Effect, MachineSpec, holds
from drfsm.testing.fuse import Crash, DyingJournal, Fuse, MemoryClock
from drfsm.testing.recorded import Recorded, watched
from drfsm.testing.world import World

Decision = str | tuple[str, Mapping[str, Any]]
"""A trigger that a person fires, alone or with its arguments."""
Verb = Callable[[Runner], object]

_PROCESSES = 40  # of one run: a machine with more decisions than that is played wrongly


@frozen(slots=False)
class Played:
    """What processes left of a run: its world, its journal, and the points that they passed."""

    world: Any
    records: tuple[Record, ...]
    points: tuple[str, ...] = ()
    crashed: bool = False
    refused: DrfsmError | None = None
    lease: NoLease = field(factory=NoLease, repr=False)  # its epoch rises from process to process

    @cached_property
    def state(self) -> RunState:
        """Where the journal says that the run stands."""
        return fold(self.records)

    @property
    def over(self) -> bool:
        """Whether the run has ended, and its journal is sealed."""
        return self.state.ended and self.state.sealed


@define(slots=False, eq=False)
class Play:
    """How runs of one machine are played.

    ``make_world`` returns a fresh world each time. ``decisions``: what a person asks for in a state where the run
    waits. ``by_hand``: what a person does and answers (done, not_done) where an action that may be done once only is
    half done: (world, the row's key) -> the answer. ``record_calls``: whether each call of the world is a request that
    the process can die before and after (``Recorded``); else only actions and records are.
    """

    machine: MachineSpec
    binding: Binding
    make_world: Callable[[], Any]
    inputs: Mapping[str, Any]
    decisions: Mapping[str, Decision] = field(factory=dict)
    by_hand: Callable[[Any, str], str] | None = None
    record_calls: bool = True

    @cached_property
    def undisturbed(self) -> Played:
        """The run that nobody kills. Raises AssertionError where it does not end."""
        return self.to_the_end(Played(self.make_world(), ()), Fuse())

    @cached_property
    def values_at_first(self) -> dict[str, str | None]:
        """The value of each fact before a run."""
        return self.values(Played(self.make_world(), ()))

    @cached_property
    def values_in_the_end(self) -> dict[str, str | None]:
        """The value of each fact after the run that nobody kills."""
        return self.values(self.undisturbed)

    def killed_at(self, point: int) -> Played:
        """Return what a run leaves that was killed at a point of the undisturbed one."""
        played = self.to_the_end(Played(self.make_world(), ()), Fuse(point))
        if not played.crashed:
            raise AssertionError(f"the run passed point {point}: it does not go the same way each time")
        return played

    def process(self, left: Played, verb: Verb, fuse: Fuse | None = None) -> Played:
        """Let one process do one verb."""
        fuse = fuse or Fuse()
        journal = DyingJournal(left.records, fuse)
        crashed, refused = False, None
        try:
            runner = Runner(
                self.machine, watched(self.binding, fuse), self._behind(left.world, fuse), journal,
                lease=left.lease, clock=MemoryClock(), operator="op", host="here",
            )  # fmt: skip
            verb(runner)
        except Crash:
            crashed = True
        except DrfsmError as fault:
            refused = fault
        return Played(left.world, tuple(journal.records()), tuple(fuse.trail), crashed, refused, left.lease)

    def to_the_end(self, left: Played, fuse: Fuse | None = None) -> Played:
        """Go on until the run has ended, or the fuse blows. Raises AssertionError where it is held for good."""
        for _ in range(_PROCESSES):
            before = left
            left = self.process(left, self._next_verb(left), fuse)
            if left.crashed or left.over:
                return left
            if left.refused:
                raise AssertionError(f"refused: {left.refused.diagnostics()}") from left.refused
            if len(left.records) > len(before.records) and self._stands_as_before(before, left):
                break
        state = left.state
        story = f"the run does not end: it is {state.status} in {state.state} at {state.stage}: {state.reason}"
        raise AssertionError(f"{story}\n(decisions say what a person asks for in a state where the run waits)")

    def values(self, played: Played) -> dict[str, str | None]:
        """Return the value of each fact, read now; None for one that can't be read."""
        log = RunLog(self.machine, MemoryJournal(played.records), MemoryClock(), ())
        observer = Observer(log, self.binding, self._behind(played.world, Fuse()))
        return {
            name: reading.value for name, reading in observer.read(self.binding.facts, self.machine.rows[0]).items()
        }

    def log_of(self, played: Played) -> bytes:
        """Return a run's journal as the bytes that a file would hold."""
        return b"".join(lines(played.records))

    # --- pieces -----------------------------------------------------------------------------------------

    def _behind(self, world: Any, fuse: Fuse) -> Any:
        if isinstance(world, World):
            world.fuse = fuse
            return world
        return Recorded(world, fuse) if self.record_calls else world

    def _next_verb(self, left: Played) -> Verb:
        if not left.records:
            return lambda runner: runner.start(self.inputs, run_id="run-1")
        state = left.state
        if state.status != "held":
            return lambda runner: runner.resume()
        if state.open is not None and (answer := self._answer(left, state.open.row)):
            return lambda runner: runner.resolve(answer, "looked at it")
        decision = self.decisions.get(state.state)
        if decision is None:
            return lambda runner: runner.resume()
        trigger, args = (decision, {}) if isinstance(decision, str) else decision
        return lambda runner: runner.request(trigger, {"reason": "a test", **args})

    def _stands_as_before(self, before: Played, left: Played) -> bool:
        """Say whether a held run is held at the same place again, for the same reason: nothing moves it any more."""
        if not before.records or before.state.status != "held":
            return False
        return (before.state.state, before.state.stage, before.state.reason) == (
            left.state.state,
            left.state.stage,
            left.state.reason,
        )

    def _answer(self, left: Played, key: str) -> str:
        """Return what a person answers of an action that may be done once only; "" where the machine can tell."""
        row = self.machine.row_of(key, self.inputs)
        if row.effect is not Effect.ONCE:
            return ""
        answer = self.by_hand(left.world, key) if self.by_hand is not None else ""
        now = self.values(left)
        if holds({name: (value,) for name, value in row.sets.items()}, now):
            return ""
        half_done = [name for name in row.sets if now[name] != left.state.known.get(name)]
        if half_done and not answer:
            raise AssertionError(f"{key} is half done ({', '.join(half_done)}): by_hand says what a person does then")
        return answer or "not_done"
