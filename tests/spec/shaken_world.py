"""A world in memory in which one process after the other runs a machine, and in which anything may happen.

A fact is a few keys of the world: three where it has a word for what is half done (``mixed``, ``partial``), else one.
A process passes *points*: before each reading, each write, each record and each pause. At a point something may happen:
a rule of the environment moves the world, a request that was given up lands, a fact changes since what it depends on
has changed, the process dies. A *plan* says what happens at which point; where it says nothing, all goes well. What a
process leaves behind is ``Left``. What happens after a run's end is the next run's matter.

Called by processes.py and explored.py.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import define, evolve, field, frozen

from drfsm.journal import Record, RunState
from drfsm.spec import MachineSpec
from drfsm.spec.model import Row, holds
from tests.spec.random_machines import HALF_DONE, WORD

WHOLE_KEYS = 3  # of a fact that has a word for what is half done

Values = tuple[str, ...]  # of every fact, in the order of the declaration
Moment = tuple[str, Values]  # a state, and the values of the facts


class Crash(BaseException):
    """The process dies here. Nothing may catch it."""


class Unplanned(BaseException):
    """The plan names what can't happen at its point: the same process did not go the same way twice."""


@frozen
class Dangers:
    """What may happen beside crashes and the environment's rules between two rows."""

    early_guards: bool = True  # the world moves also between a guard's reading and its row's end
    late_end: bool = True  # also between the last reading and the commit that ends the run
    lasting_depends: bool = True  # a fact whose ground has changed may change at any later moment
    partial_late: bool = True  # of a request that lands late a part may land
    late_conditional: bool = True  # requests with a condition may land late, too, as long as it holds
    late_undo: bool = True  # likewise the requests of an undo
    take_over: bool = True  # another process takes the run over while the first one's action is on its way
    stale: bool = True  # another process takes the run over between the first one's look at its lease and its intent


@frozen
class Flight:
    """One write that was sent and given up: it may land until its time is over."""

    row: str
    key: str
    value: str
    conditional: bool  # it can't land any more once anybody else has written the key
    seconds_left: float


@frozen
class Left:
    """What a process leaves behind."""

    data: tuple[tuple[str, str], ...]
    flights: tuple[Flight, ...] = ()
    moved: frozenset[str] = frozenset()  # facts that have changed since the beginning
    records: tuple[Record, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()  # that the run is to start with
    story: tuple[str, ...] = ()
    state: RunState = field(factory=RunState)  # to which the records fold

    run: str = ""  # what of that state decides over all that can follow
    others: int = 0  # how often other runs had the lease since

    @property
    def like(self) -> tuple[object, ...]:
        """What decides over all that can follow: two histories that agree in it go on alike."""
        return (self.data, self.flights, self.moved, self.inputs, self.run)


def decisive(run: RunState) -> str:
    """Return what of a run's state decides over all that can follow."""
    begun = evolve(run.open, seq=0, at="", guards=(), attempt=0) if run.open else None
    matters = (begun, run.undo, run.undone, run.in_flight, run.returns, run.snapshots, run.touched, run.ended)
    whole = (run.state, run.status, sorted(run.inputs.items()), run.sealed, bool(run.epoch), run.forward_only)
    return repr((whole, matters))


@frozen(eq=False)
class Rig:
    """A machine, bound to keys of the world, and what may happen to it."""

    spec: MachineSpec
    dangers: Dangers = Dangers()

    @cached_property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The keys of each fact."""
        return {name: tuple(keys_of(self.spec, name)) for name in self.spec.facts}

    @cached_property
    def half_done(self) -> Mapping[str, str]:
        """Each fact's word for what is half done."""
        return {name: half_done(self.spec, name) for name in self.spec.facts}

    @cached_property
    def readers(self) -> frozenset[str]:
        """The facts that are judged by the amended input, too."""
        return frozenset(name for name, fact in self.spec.facts.items() if WORD in fact.reads)

    @cached_property
    def grounds(self) -> Mapping[str, frozenset[str]]:
        """The facts that depend on others, each with those others, also through further ones."""
        above = {name: self.spec.depending_on({name}) - {name} for name in self.spec.facts}
        grounds = {
            name: frozenset(other for other in self.spec.facts if name in above[other]) for name in self.spec.facts
        }
        return {name: others for name, others in grounds.items() if others}

    def judged(self, fact: str, data: Mapping[str, str], inputs: Mapping[str, Any]) -> str:
        """Judge a fact: by the input alone, by its keys, or by its keys unless the input says otherwise."""
        keys = self.keys[fact]
        if not keys:
            return str(inputs[WORD])
        parts = {data[key] for key in keys}
        value = parts.pop() if len(parts) == 1 else self.half_done[fact]
        return "b" if value == "a" and inputs.get(WORD) == "b" and fact in self.readers else value


@define
class World:
    """Keys and values, and the plan of what happens at which point."""

    rig: Rig
    left: Left
    plan: Mapping[int, str] = field(factory=dict)
    data: dict[str, str] = field(factory=dict)
    flights: list[Flight] = field(factory=list)
    moved: set[str] = field(factory=set)
    versions: dict[str, int] = field(factory=dict)
    offered: list[tuple[str, ...]] = field(factory=list)  # what might have happened, point by point
    run: RunState = field(factory=RunState)  # as the process that has the lease folded it
    trail: list[str] = field(factory=list)
    seen: dict[Moment, int] = field(factory=dict)  # moment -> how long the trail was
    seconds: float = 0.0
    state: str = ""
    over: bool = False  # the end was seen
    inputs: dict[str, str] = field(factory=dict)
    holder: object = None
    epoch: int = 0
    journal: Any = None  # of the process that has the lease

    @property
    def spec(self) -> MachineSpec:
        """The machine."""
        return self.rig.spec

    @property
    def dangers(self) -> Dangers:
        """What may happen."""
        return self.rig.dangers

    def __attrs_post_init__(self) -> None:
        left = self.left
        self.data, self.flights, self.moved = dict(left.data), list(left.flights), set(left.moved)
        self.run, self.state, self.epoch = left.state, left.state.state, left.state.epoch + left.others
        self.over = self.state in self.spec.finals
        self.inputs = {name: str(value) for name, value in left.state.inputs.items()}

    # --- points ---

    def point(self, *options: str, moves: bool | None = None) -> str:
        """Let happen what the plan says; return which of these options it is, "" for none."""
        moving = self.dangers.early_guards if moves is None else moves
        while True:
            self.note()
            offered = (*options, *(self.moves() if moving else ()))
            self.offered.append(offered)
            happens = self.plan.get(len(self.offered) - 1, "")
            if happens and happens not in offered:
                raise Unplanned(f"the plan names {happens} at a point that offers {', '.join(offered)}")
            if happens == "dies":
                self.trail.append("the process dies")
                raise Crash
            if not happens or happens in options:
                return happens
            self.move(happens)

    def note(self) -> None:
        """Remember the moment."""
        if self.state and not self.over:
            self.over = self.state in self.spec.finals
            self.seen.setdefault((self.state, self.values()), len(self.trail))

    def moves(self) -> Iterator[str]:
        """Yield what may happen in the world by itself, now."""
        if not self.state or self.state in self.spec.finals:
            return
        values = dict(zip(self.spec.facts, self.values(), strict=True))
        for number, rule in enumerate(self.spec.environment):
            here = not rule.states or self.state in rule.states
            if here and holds(rule.when, values) and any(values[name] != value for name, value in rule.sets.items()):
                yield f"world:{number}"
        yield from dict.fromkeys(f"lands:{flight.key if self.dangers.partial_late else '*'}" for flight in self.flights)
        if self.dangers.lasting_depends:
            yield from self._drifts(values)

    def _drifts(self, values: Mapping[str, str]) -> Iterator[str]:
        for name, grounds in self.rig.grounds.items():
            settled = self.spec.facts[name].settled_when
            if grounds & self.moved and not (settled and holds(settled, values)):
                yield from (f"drifts:{name}={value}" for value in self.spec.facts[name].values if values[name] != value)

    def move(self, what: str) -> None:
        """Let one of ``moves`` happen."""
        kind, _, which = what.partition(":")
        if kind == "world":
            rule = self.spec.environment[int(which)]
            self.trail.append(f"the world: {in_words(rule.sets)}")
            for name, value in rule.sets.items():
                self.assign(name, value)
        elif kind == "lands":
            landing = [flight for flight in self.flights if which in ("*", flight.key)]
            self.flights = [flight for flight in self.flights if flight not in landing]
            for flight in landing:
                row = next((row for row in self.spec.rows if row.key == flight.row), None)
                if row and not compared(self.rig, row, self):
                    continue
                self.trail.append(f"{flight.row} lands late: {flight.key}={flight.value}")
                self.write(flight.key, flight.value)
        else:
            name, _, value = which.partition("=")
            self.trail.append(f"{name} drifts to {value}")
            self.assign(name, value)
        self.note()

    # --- keys ---

    def assign(self, fact: str, value: str) -> None:
        """Give a fact a value, at once."""
        keys = self.rig.keys[fact]
        parts = half(self.spec, fact, len(keys)) if value in HALF_DONE else [value] * len(keys)
        for key, part in zip(keys, parts, strict=True):
            if self.data[key] != part:
                self.write(key, part)

    def write(self, key: str, value: str) -> None:
        """Write one key; what was on its way there under a condition can't land any more."""
        if self.data[key] != value:
            self.moved.add(key.partition("/")[0])
        self.data[key] = value
        self.versions[key] = self.versions.get(key, 0) + 1
        self.flights = [flight for flight in self.flights if flight.key != key or not flight.conditional]

    def values(self) -> Values:
        """Return the value of every fact."""
        return tuple(self.rig.judged(name, self.data, self.inputs) for name in self.spec.facts)

    def pass_time(self, seconds: float) -> None:
        """Let time pass: what was given up long ago lands no more."""
        self.seconds += seconds
        aged = (evolve(flight, seconds_left=flight.seconds_left - seconds) for flight in self.flights)
        self.flights = [flight for flight in aged if flight.seconds_left > 0]


def compared(rig: Rig, row: Row, world: World) -> bool:
    """Whether the condition of the requests of a row's action holds: what it compares is as its guards want it."""
    if not row.compares:
        return True
    values = dict(zip(rig.spec.facts, world.values(), strict=True))
    wanted = rig.spec.wanted_of(row, rig.spec.waived(row, values))
    return all(values[fact] in needed for _, fact, needed in wanted if fact in row.compares)


def half_done(spec: MachineSpec, fact: str) -> str:
    """Return a fact's word for what is half done, "" if it has none."""
    return next((word for word in HALF_DONE if word in spec.facts[fact].values), "")


def keys_of(spec: MachineSpec, fact: str) -> list[str]:
    """Return the keys of the world that make up a fact: none where it is judged by an input alone."""
    declared = spec.facts[fact]
    if declared.local:
        return []
    return [f"{fact}/{number}" for number in range(WHOLE_KEYS)] if half_done(spec, fact) else [fact]


def half(spec: MachineSpec, fact: str, keys: int) -> list[str]:
    """Return the values of a fact's keys such that it is half done."""
    one, other = [value for value in spec.facts[fact].values if value not in HALF_DONE][:2]
    return [one, *[other] * (keys - 1)]


def in_words(sets: Mapping[str, str]) -> str:
    """Return values of facts in words."""
    return ", ".join(f"{name}={value}" for name, value in sets.items())
