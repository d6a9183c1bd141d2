"""A world that is a dictionary and can die at any request, and runs of machines in it.

Every request to the world (read or write) and every append to the journal passes one ``Fuse``. It counts
them, and blows before or after the n-th: what follows never happens, as with SIGKILL. ``Bench.play`` takes
up what a former process left (the world's data and the journal's records, nothing else) with one verb.

A fact is a few keys of the world: ``sluices/0``, ``sluices/1``, ... where it may be ``mixed``, else one.
An action writes its row's ``sets`` key by key, so that there are crashes in its middle.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import define, evolve, field, frozen

from drfsm.engine import Act, Binding, Fact, MemoryJournal, NoLease, Run, Runner
from drfsm.engine.engine import Engine
from drfsm.errors import ActionFailed, DrfsmError
from drfsm.journal import Record, RunState, fold
from drfsm.spec import By, Effect, MachineSpec, Row

WHOLE_KEYS = 3  # of a fact that may be mixed
Data = dict[str, str]


class Crash(BaseException):
    """The process dies here. Nothing may catch it."""


@define
class Fuse:
    """Counts points, before and after each request, and dies at one of them.

    After a read is no point of its own: nothing has changed until before the next request.
    """

    blows_at: int | None = None
    points: int = 0
    watch: Callable[[], None] = lambda: None

    def read(self, request: Callable[[], Any]) -> Any:
        """Do a request that changes nothing, unless the process dies before it."""
        self._point()
        return request()

    def write(self, request: Callable[[], Any]) -> Any:
        """Do a request, unless the process dies before or after it."""
        self._point()
        result = request()
        self._point()
        return result

    def _point(self) -> None:
        if self.points == self.blows_at:
            raise Crash(f"at point {self.points}")
        self.watch()
        self.points += 1


@define
class World:
    """Keys and values. ``seen`` tells what was asked of it, in order, together with the journal's records."""

    data: Data
    fuse: Fuse
    seen: list[tuple[str, ...]] = field(factory=list)

    def get(self, key: str) -> str:
        """Read one key."""
        self.seen.append(("read", key))
        return str(self.fuse.read(lambda: self.data.get(key, "")))

    def put(self, key: str, value: str) -> None:
        """Write one key."""
        self.fuse.write(lambda: self._put(key, value))

    def _put(self, key: str, value: str) -> None:
        self.seen.append(("write", key, value))
        self.data[key] = value
        if f"{key}#count" in self.data:  # what must happen once is counted where no crash forgets it
            self.data[f"{key}#count"] = str(int(self.data[f"{key}#count"]) + 1)


class DyingJournal(MemoryJournal):
    """A journal behind the same fuse."""

    def __init__(self, records: Sequence[Record], world: World) -> None:
        super().__init__(records)
        self._world = world

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append, unless the process dies before it or after it."""
        record: Record = self._world.fuse.write(lambda: self._durable(kind, body, at))
        return record

    def _durable(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        record = super().append(kind, body, at)
        self._world.seen.append((kind, str(body.get("undoes") or body.get("row", ""))))
        return record


@define
class Clock:
    """Time that passes only when somebody sleeps or asks for it."""

    seconds: float = 0.0
    naps: list[float] = field(factory=list)

    def now(self) -> str:
        """Return a time that always looks the same, so that histories can be compared."""
        return "2026-02-27T00:00:00.000000Z"

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.naps.append(seconds)
        self.seconds += seconds


# --- a binding for any machine ----------------------------------------------------------------------------


def keys_of(spec: MachineSpec, fact: str) -> list[str]:
    """Return the keys of the world that make up a fact."""
    several = "mixed" in spec.facts[fact].values
    return [f"{fact}/{number}" for number in range(WHOLE_KEYS)] if several else [fact]


def data_of(spec: MachineSpec, values: Mapping[str, str]) -> Data:
    """Return a world in which the facts have these values."""
    return {key: value for fact, value in values.items() for key in keys_of(spec, fact)}


def quiet(spec: MachineSpec, **values: str) -> dict[str, str]:
    """Return a value for every fact such that the machine's guards hold and its actions have something to do."""
    needed: dict[str, str] = {}
    for guard in spec.guards.values():
        for fact, options in guard.requires.items():
            needed.setdefault(fact, options[0])
    found: dict[str, str] = {}
    for name, declared in spec.facts.items():
        set_to = {row.sets[name] for row in spec.rows if name in row.sets}
        unset = [value for value in declared.values if value not in set_to]
        default = unset[0] if set_to and unset else needed.get(name, declared.values[0])
        found[name] = declared.initial[0] if declared.initial else default
    return found | values


def binding_of(spec: MachineSpec, **more: Act) -> Binding:
    """Bind every fact of a machine to its keys, and every action to writing what its row sets."""
    actions: dict[str, Act] = {}
    for row in spec.rows:
        for name in (row.action, row.undo):
            if name:
                actions[name] = _act(spec, name)
        if row.attempts.repair:
            actions[row.attempts.repair] = lambda _world, _run: None
    facts = {name: _fact(spec, name) for name, fact in spec.facts.items() if not fact.hidden}
    return Binding(facts, {**actions, **more})


def _fact(spec: MachineSpec, name: str) -> Fact:
    keys, values = keys_of(spec, name), spec.facts[name].values

    def judge(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str | None:
        found = set(seen.values())
        one = found.pop() if len(found) == 1 else "mixed"
        return one if one in values else None

    return Fact(lambda world, _run: {key: world.get(key) for key in keys}, judge)


def _act(spec: MachineSpec, name: str) -> Act:
    """Return an act that writes, key by key: as an undo the images before, else what its row sets."""

    def act(world: World, run: Run) -> dict[str, Any]:
        world.seen.append(("act", name))
        sets = next((row.sets for row in spec.rows if (row.action, row.trigger) == (name, run.trigger)), {})
        wanted = {key: value for image in run.undoing.values() for key, value in image.items()}
        wanted = wanted or {key: value for fact, value in sets.items() for key in keys_of(spec, fact)}
        for key, value in wanted.items():
            if world.data.get(key) != value or f"{key}#count" in world.data:
                world.put(key, value)
        return {"did": name}

    return act


def oiled(act: Act) -> tuple[Act, Act]:
    """Return an action that fails until its repair was called, and that repair."""

    def stiff(world: World, run: Run) -> Any:
        if world.get("oil") != "yes":
            raise ActionFailed("it is stiff")
        return act(world, run)

    return stiff, lambda world, _run: world.put("oil", "yes")


# --- one process after the other --------------------------------------------------------------------------


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
        journal = DyingJournal(left.records, world)
        moments: list[Left] = []
        if watched:
            world.fuse.watch = lambda: moments.append(_left(world, journal))
        crashed, refused = False, None
        try:
            runner = Runner(self.spec, self.binding, world, journal, clock=Clock(), lease=NoLease(), operator="op")
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
