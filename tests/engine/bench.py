"""A machine in a world that is a dictionary, one process after the other, each killed anywhere.

``Bench.play`` takes up what a former process left (the world's data and the journal's records, nothing else) with one
verb. drfsm.testing has the world, the fuse and the journal; ``crash_points`` there kills a run of any binding once.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, frozen

from drfsm.engine import Binding, NoLease, Runner
from drfsm.engine.engine import Engine
from drfsm.errors import DrfsmError
from drfsm.journal import Record, RunState, fold
from drfsm.spec import By, Effect, MachineSpec, Row
from drfsm.testing.fuse import Crash, DyingJournal, Fuse, MemoryClock
from drfsm.testing.world import Data, World, keys_of


@frozen
class Left:
    """What a process leaves behind: the world, and the journal."""

    data: tuple[tuple[str, str], ...]
    records: tuple[Record, ...] = ()

    @property
    def world(self) -> Data:
        """The world's keys and values."""
        return dict(self.data)

    @cached_property
    def state(self) -> RunState:
        """Where the journal says that the run stands."""
        return fold(self.records)

    @cached_property
    def like(self) -> object:
        """What decides over all that can follow: two histories that agree in it go on alike."""
        state = evolve(self.state, last_at="", length=0, epoch=0, forecasts=())
        if state.open:
            state = evolve(state, open=evolve(state.open, seq=0))
        return (self.data, repr(state))


@frozen
class Played:
    """What one process did."""

    left: Left
    points: int
    seen: tuple[tuple[str, ...], ...]
    crashed: bool
    refused: DrfsmError | None = None
    moments: tuple[Left, ...] = ()  # what would be left at each point


def _left(world: World, journal: DyingJournal) -> Left:
    return Left(tuple(sorted(world.data.items())), tuple(journal.records()))


@frozen
class Bench:
    """A machine, its binding and its inputs."""

    spec: MachineSpec
    binding: Binding
    inputs: Mapping[str, Any]
    start: Left

    def play(self, left: Left, verb: str, blows_at: int | None = None, *, watched: bool = False) -> Played:
        """Let one process do one verb, and die at a point if it gets there."""
        world = World(left.world, Fuse(blows_at))
        journal = DyingJournal(left.records, world.fuse)
        moments: list[Left] = []
        if watched:
            world.fuse.watch = lambda: moments.append(_left(world, journal))
        crashed, refused = False, None
        try:
            runner = Runner(
                self.spec, self.binding, world, journal, clock=MemoryClock(), lease=NoLease(), operator="op"
            )
            self._do(runner, verb)
        except Crash:
            crashed = True
        except DrfsmError as fault:
            refused = fault
        after = _left(world, journal)
        return Played(after, world.fuse.points, tuple(world.seen), crashed, refused, tuple(moments))

    def _do(self, runner: Runner, verb: str) -> None:
        if verb == "start":
            runner.start(self.inputs, run_id="run-1")
        elif verb == "resume":
            runner.resume()
        elif verb == "abort":
            runner.abort("enough")
        elif verb == "advance":
            if runner.state.status == "none":
                runner.begin(self.inputs, run_id="run-1")
            while runner.advance().status == "running":
                pass
        else:
            runner.resolve(verb, "looked at it")

    def begin(self, blows_at: int | None = None) -> Played:
        """Start a run in the world as it is at first."""
        return self.play(self.start, "start", blows_at)

    def crashes(self, left: Left, verb: str) -> list[tuple[int, Left]]:
        """Kill a verb at each of its points; return what is left, without what is alike."""
        found: dict[object, tuple[int, Left]] = {}
        points = self.play(left, verb).points
        for point in range(points):
            played = self.play(left, verb, point)
            assert played.crashed, f"{verb} went on beyond point {point}"
            found.setdefault(played.left.like, (point, played.left))
        return list(found.values())

    def on(self, left: Left, verb: str = "resume") -> Left:
        """Go on to the end, with a person who looks at what only a person can settle."""
        for _ in range(6):
            if not left.records:
                verb = "start"  # it died before it wrote anything
            played = self.play(left, verb)
            assert not played.crashed
            self.proper(played)
            left = played.left
            if left.state.ended and left.state.sealed:
                return left
            if left.state.status == "held" and self.needs_person(left):
                left = self.play(self.by_hand(left), "not_done").left
            verb = "resume" if verb == "start" or not self.may_abort(left) else verb
        raise AssertionError(f"the run does not end: {left.state.status} in {left.state.state}: {left.state.reason}")

    def may_abort(self, left: Left) -> bool:
        """Whether a person could still abort."""
        return any(
            row.trigger == "abort" and row.source == left.state.state for row in self.spec.rows
        ) and not self.no_return(left)

    def no_return(self, left: Left) -> bool:
        """Whether the intent of the final write is on record."""
        finals = {row.key for row in self.spec.rows if row.point_of_no_return}
        return any(record.kind == "intent" and record.body["row"] in finals for record in left.records)

    def needs_person(self, left: Left) -> bool:
        """Whether what is open may be done only once."""
        return left.state.open is not None and self.row(left.state.open.row).effect is Effect.ONCE

    def by_hand(self, left: Left) -> Left:
        """Let a person finish what was begun only once and is half done; what was not done stays not done."""
        assert left.state.open is not None
        row = self.row(left.state.open.row)
        data = left.world
        places = [(key, value) for fact, value in row.sets.items() for key in keys_of(self.spec, fact)]
        if any(data[key] == value for key, value in places):
            for key, value in places:
                if data[key] != value:
                    data[key] = value
                    data |= {f"{key}#count": "1"} if f"{key}#count" in data else {}
        return evolve(left, data=tuple(sorted(data.items())))

    def row(self, key: str) -> Row:
        """Return a row by its key."""
        return self.spec.row_of(key, self.inputs)

    # --- what must hold of every process --------------------------------------------------------------

    def proper(self, played: Played) -> None:
        """Assert what holds of whatever a process did: an intent, a look, then the action; a journal that folds."""
        looked: set[str] = set()
        intent = ""
        for kind, what, *_ in played.seen:
            if kind == "read":
                looked.add(what)
            elif kind == "intent":
                intent = what
            elif kind == "act" and (rows := self.rows_of(what)):
                assert intent in rows, f"{what} was done without an intent on record"
                keys = {key for fact in rows[intent].sets for key in keys_of(self.spec, fact)}
                assert keys <= looked, f"{what} was done without a look at {keys - looked}"
                intent, looked = "", looked - keys
        self.folds(played.left)

    def rows_of(self, action: str) -> dict[str, Row]:
        """Return the rows that an action, or an undo, is of, by key."""
        return {row.key: row for row in self.spec.rows if action in (row.action, row.undo)}

    def folds(self, left: Left) -> None:
        """Assert that every prefix of the journal folds, to where ``transitions`` gets by the same commits."""
        state, engine = RunState(), Engine(self.spec, self.spec.initial)
        for record in left.records:
            if record.kind == "commit":
                engine.fire(self.row(record.body["row"]))
            state = fold([record], state)
            assert state.state == engine.state, f"record {record.seq} folds to {state.state}, not {engine.state}"


def changed(start: Left, left: Left) -> Data:
    """Return the keys of the world that are not as at the start."""
    at_first = start.world
    return {key: value for key, value in left.world.items() if at_first.get(key) != value}


def acting_rows(spec: MachineSpec) -> list[Row]:
    """Return the rows whose actions change the world, by the runner."""
    return [row for row in spec.rows if row.action and row.sets and row.by is By.RUNNER]
