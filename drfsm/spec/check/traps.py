"""Where a run would be stuck, reachable or not: the other side of what backward.py has found.

A *trap* is a combination of facts in which a run that stands in some states can't end, or an action that is half done
and can neither be finished nor given up. Few facts decide each, so each is searched for by itself. Pure. Called by
liveness.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, product

from attrs import frozen

from drfsm.spec.check.backward import INPUT, Backward, Node
from drfsm.spec.check.cubes import ANYTHING, Cube, others, without
from drfsm.spec.check.domain import Mask
from drfsm.spec.check.moves import DRIFTS, Moves
from drfsm.spec.check.steps import Control, Image
from drfsm.spec.model import By, Effect, MachineSpec, Row

Inputs = Mapping[str, frozenset[str]]
"""Input (as backward.py names it) -> the values that it may have."""


@frozen
class Trap:
    """``bad``: the worlds that no run can end from which stands there; ``facts`` decide them."""

    facts: frozenset[str]
    states: frozenset[str]
    bad: Callable[[Moves, Control], Mask | None]


def traps(spec: MachineSpec) -> tuple[Trap, ...]:
    """Return every trap of a machine."""
    backward = Backward(spec)
    return (*_of_states(spec, backward), *_of_actions(spec, backward))


# --- a run that stands in a state -------------------------------------------------------------------------


def _of_states(spec: MachineSpec, backward: Backward) -> Iterator[Trap]:
    """Yield each combination of facts from which some states lead to no end, with these states."""
    inputs = _inputs_by_state(spec)
    where: dict[frozenset[tuple[str, frozenset[str]]], tuple[Cube, set[Node]]] = {}
    for node, ways in backward.ways.items():
        for chosen in _choices(spec, inputs[node.state], ways):
            fitting = [way for way in ways if all(chosen[name] in way.get(name, (chosen[name],)) for name in chosen)]
            for cube in others([without(way, inputs[node.state]) for way in fitting], backward.ranges):
                where.setdefault(frozenset(cube.items()), (cube, set()))[1].add(node)
    for cube, nodes in where.values():
        yield Trap(_facts_of(spec, cube), frozenset(node.state for node in nodes), _standing(spec, cube, nodes))


def _standing(spec: MachineSpec, cube: Cube, nodes: Collection[Node]) -> Callable[[Moves, Control], Mask | None]:
    """Return where a run stands in a combination of facts, with no action begun and nothing left to undo."""

    def bad(moves: Moves, control: Control) -> Mask | None:
        goes_on = control.open or control.reading or (control.undo and control.state in spec.undo_states)
        here = Node(control.state, control.no_return) in nodes
        return moves.domain.having(cube) if here and not goes_on else None

    return bad


def _facts_of(spec: MachineSpec, cube: Cube) -> frozenset[str]:
    return frozenset(name for name in spec.facts if name in cube or DRIFTS.format(name) in cube)


def _choices(spec: MachineSpec, inputs: Inputs, ways: Sequence[Cube]) -> Iterator[Mapping[str, str]]:
    """Yield every choice of the inputs that decide there. What a local fact reads is chosen as that fact has it."""
    named = {name for way in ways for name in way}
    local = [spec.facts[name] for name in named & spec.facts.keys() if spec.facts[name].local]
    read = {INPUT.format(name) for fact in local for name in fact.reads}
    names = sorted((named & inputs.keys()) - read)
    for values in product(*(sorted(inputs[name]) for name in names)):
        yield dict(zip(names, values, strict=True))


def _inputs_by_state(spec: MachineSpec) -> Mapping[str, Inputs]:
    """Return for each state the values that each input with declared ones may have when a run comes there."""
    any_value = {INPUT.format(name): frozenset(given.values) for name, given in spec.inputs.items() if given.values}
    known: dict[str, Inputs] = {spec.initial: any_value}
    todo = [spec.initial]
    while todo:
        state = todo.pop()
        for row in spec.rows:
            after = _behind(row, known[state], any_value) if row.source == state else None
            if after is None:
                continue
            before = known.get(row.to, {})
            both = {name: values | before.get(name, frozenset()) for name, values in after.items()}
            if row.to not in known or both != before:
                known[row.to] = both
                todo.append(row.to)
    return {state: known.get(state, any_value) for state in spec.states}


def _behind(row: Row, inputs: Inputs, any_value: Inputs) -> Inputs | None:
    """Return which values the inputs may have behind a row; None where they don't select it."""
    selected = dict(inputs)
    for name, values in row.when.items():
        key = INPUT.format(name)
        selected[key] = inputs.get(key, frozenset(values)) & frozenset(values)
        if not selected[key]:
            return None
    amended = {INPUT.format(name) for name in row.amends}
    return {name: any_value[name] if name in amended else values for name, values in selected.items()}


# --- a run with an action begun ---------------------------------------------------------------------------


def _of_actions(spec: MachineSpec, backward: Backward) -> Iterator[Trap]:
    """Yield each action that may be half done while what its requests compare has changed.

    Any other action can be finished: then the run stands in a state.
    """
    comparing = [number for number, row in enumerate(spec.rows) if row.action and row.compares]
    for number, node in product(comparing, backward.ways):
        row = spec.rows[number]
        begun = Node(row.source, node.no_return or row.point_of_no_return)
        passing = tuple(_passing(spec, backward, row, node)) if node.state == row.source else ANYTHING
        twice = row.point_of_no_return and node.no_return  # its intent is the same, whether it was begun before or not
        ways = (*passing, *backward.goes_on(number))
        if {} not in ways and not twice:
            back = _ways_back(spec, backward, number)
            named = (name for way in (*ways, *chain(*back.values())) for name in _facts_of(spec, way))
            facts = frozenset({*row.sets, *row.compares, *named})
            yield Trap(facts, frozenset({row.source}), _half_done(number, begun, ways, back))


def _ways_back(spec: MachineSpec, backward: Backward, number: int) -> Mapping[Image, tuple[Cube, ...]]:
    """Return, by what the facts of a row were before it, the worlds in which they are so again, or people see to it."""
    names = sorted(spec.rows[number].sets)
    images = product(*(spec.facts[name].values for name in names))
    return {image: backward.goes_back(number, dict(zip(names, image, strict=True))) for image in images}


def _passing(spec: MachineSpec, backward: Backward, begun: Row, node: Node) -> Iterator[Cube]:
    """Yield the worlds from which a person's row, or a failure's that may, leads on past an action that is begun."""
    if begun.point_of_no_return or begun.effect is Effect.ONCE:
        return
    for number in backward.open_rows(node):
        row = spec.rows[number]
        passes = row.by is By.OPERATOR or (row.by is By.FAILURE and row.overrides_open_intent)
        if passes and row.to != row.source:
            yield from backward.row(number, backward.behind(node, row))


def _half_done(
    number: int, node: Node, ways: Sequence[Cube], back: Mapping[Image, Sequence[Cube]]
) -> Callable[[Moves, Control], Mask | None]:
    """Return where an action is half done, its requests are refused, nobody mends that, and no row passes it over."""

    def bad(moves: Moves, control: Control) -> Mask | None:
        here = control.open and control.open[-1].row == number and control.no_return == node.no_return
        if not here or control.reading:
            return None
        domain = moves.domain
        cubes = (*ways, *back[control.open[-1].image])
        return domain.but(domain.all, domain.either([domain.having(cube) for cube in cubes]))

    return bad
