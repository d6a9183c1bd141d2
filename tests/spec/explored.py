"""A machine explored with the real Runner, in a world in memory: what can really be reached.

``explore`` tries every plan of up to ``deviations`` things (shaken_world.py says which), from everything that processes
left behind (processes.py), in an order that the seed decides, until nothing new is left or the number of processes is
used up. It returns every pair of a state and fact values that there was at any point, each with its story. Knows
nothing of the checker.
"""

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from attrs import define, field, frozen

from drfsm.spec import By, Effect, MachineSpec
from drfsm.spec.model import Row
from tests.spec.processes import Journal, Plan, leaves, process
from tests.spec.random_machines import HALF_DONE
from tests.spec.shaken_world import WHOLE_KEYS, Dangers, Left, Moment, Rig, World, half, in_words


@frozen
class Explored:
    """What was reached, and how: each moment with the first story that led there."""

    reached: Mapping[Moment, tuple[str, ...]]
    processes: int
    exhausted: bool  # everything within the bounds was tried


def explore(
    spec: MachineSpec,
    seed: int,
    *,
    dangers: Dangers,
    processes: int,
    deviations: int = 2,
    starts: int = 3,
    until: Callable[[Moment], bool] = lambda _moment: False,
) -> Explored:
    """Run processes from everything that is left by others, until nothing is new or so many have run.

    Or until a moment is reached that is looked for.
    """
    pick = random.Random(seed)  # noqa: S311  no secret
    return _Exploration(Rig(spec, dangers), pick, deviations).run(processes, starts, until)


@define
class _Exploration:
    rig: Rig
    pick: random.Random
    deviations: int
    reached: dict[Moment, tuple[str, ...]] = field(factory=dict)
    known: set[tuple[object, ...]] = field(factory=set)
    heap: list[tuple[float, int, Left, str, Plan]] = field(factory=list)
    count: int = 0

    def run(self, processes: int, starts: int, until: Callable[[Moment], bool]) -> Explored:
        for left in first_worlds(self.rig, self.pick, starts):
            self._push(left, "start", (), 0.0)
        done = 0
        while self.heap and done < processes and not any(map(until, self.reached)):
            cost, _, left, verb, plan = heapq.heappop(self.heap)
            done += 1
            played = process(self.rig, left, verb, plan)
            for moment, length in played.seen.items():
                if moment not in self.reached:
                    self.reached[moment] = (
                        *played.left.story[: len(left.story) + length],
                        _moment(self.rig.spec, moment),
                    )
            if len(plan) < self.deviations:
                self._deviate(left, verb, plan, played.offered, cost)
            self._go_on(played.left, cost)
        return Explored(self.reached, done, not self.heap)

    def _push(self, left: Left, verb: str, plan: Plan, cost: float) -> None:
        self.count += 1
        heapq.heappush(self.heap, (cost + self.pick.random(), self.count, left, verb, plan))

    def _deviate(self, left: Left, verb: str, plan: Plan, offered: Sequence[tuple[str, ...]], cost: float) -> None:
        begin = plan[-1][0] + 1 if plan else 0
        options = [(number, what) for number in range(begin, len(offered)) for what in offered[number]]
        for number, what in options:
            self._push(left, verb, (*plan, (number, what)), cost + 0.3)

    def _go_on(self, left: Left, cost: float) -> None:
        """Take up what is left, if it is new: with every verb, and with every move of the world before it."""
        todo = [left]
        while todo:
            here = todo.pop()
            if here.like in self.known:
                continue
            self.known.add(here.like)
            if here.state.state and here.state.state not in self.rig.spec.finals:
                self.reached.setdefault(*self._moment_of(here))
            for verb in verbs(self.rig, here):
                self._push(here, verb, (), cost + 0.5)
            todo += self._moved(here)

    def _moment_of(self, left: Left) -> tuple[Moment, tuple[str, ...]]:
        world = World(self.rig, left)
        moment = (world.state, world.values())
        return moment, (*left.story, _moment(self.rig.spec, moment))

    def _moved(self, left: Left) -> Iterator[Left]:
        for what in World(self.rig, left).moves() if left.records else ():
            world = World(self.rig, left)
            world.journal = Journal(world, list(left.records))
            world.move(what)
            yield leaves(world)


def first_worlds(rig: Rig, pick: random.Random, most: int) -> Iterator[Left]:
    """Yield worlds as a run may find them, and the inputs that it may start with."""
    spec = rig.spec
    initial = {name: _initial(spec, name) for name in spec.facts}
    worlds = [dict(zip(initial, values, strict=True)) for values in product(*initial.values())]
    inputs = [
        dict(zip(spec.inputs, values, strict=True)) for values in product(*(i.values for i in spec.inputs.values()))
    ]
    both = [(world, given) for world in worlds for given in inputs]
    for values, given in pick.sample(both, min(most, len(both))):
        data = {
            key: part
            for name, value in values.items()
            for key, part in zip(
                rig.keys[name],
                half(spec, name, WHOLE_KEYS) if value in HALF_DONE else [value] * len(rig.keys[name]),
                strict=True,
            )
        }
        yield Left(tuple(sorted(data.items())), inputs=tuple(sorted(given.items())))


def _initial(spec: MachineSpec, name: str) -> Iterable[str]:
    return spec.facts[name].initial or spec.facts[name].values


def verbs(rig: Rig, left: Left) -> Iterator[str]:
    """Yield everything that a person could do with what is left."""
    spec, run = rig.spec, left.state
    if not left.records:
        yield "start"
        return
    if run.ended and run.sealed:
        return
    yield "resume"
    if run.ended or run.state in spec.finals:
        return
    begun = spec.row_of(run.open.row, run.inputs) if run.open else None
    for state in dict.fromkeys((run.state, begun.to if begun else run.state)):
        for row in spec.rows_from(state, run.inputs, By.OPERATOR):
            words = [spec.inputs[name].values for name in row.amends]
            for values in product(*words):
                given = (f" {name}={value}" for name, value in zip(row.amends, values, strict=True))
                yield row.trigger + "".join(given)
    if begun is not None and begun.effect is Effect.ONCE:
        yield from _verdicts(rig, left, begun)


def _verdicts(rig: Rig, left: Left, begun: Row) -> Iterator[str]:
    """Yield the verdict on an open intent that is right."""
    data = dict(left.data)
    before = left.state.open.before if left.state.open else {}
    if all(data[key] == value for fact, value in begun.sets.items() for key in rig.keys[fact]):
        yield "resolve done"
    elif all(data[key] == value for image in before.values() for key, value in image.items()):
        yield "resolve not_done"


def _moment(spec: MachineSpec, moment: Moment) -> str:
    return f"there: {moment[0]}; {in_words(dict(zip(spec.facts, moment[1], strict=True)))}"
