"""Where a drawing puts each state: a column and a layer. Small and simple, since a machine has a spine.

The happy path is the first column, from top to bottom. Every other state is put to its right, one layer below the last
state that leads to it. No line crosses a box: svg.py leads them through the channels between columns and layers. Pure.
A library for graphs would know no spine, and each is either not maintained or not plain Python.
"""

from collections.abc import Iterable, Mapping

from drfsm.spec.model import MachineSpec, Row
from drfsm.spec.ways import Way, Ways

Place = tuple[int, int]
"""Column and layer, from 0."""


def placed(ways: Ways) -> dict[str, Place]:
    """Return the place of each state."""
    layers = _layers(ways)
    happy = {ways.spec.initial, *(row.to for row in ways.path)}
    places: dict[str, Place] = {state: (0, layers[state]) for state in happy}
    taken = set(places.values())
    before = _sources(ways.spec.rows)
    others = [state for state in ways.spec.states if state not in places]
    for state in sorted(others, key=lambda name: (ways.states[name] is Way.OUT, layers[name])):
        wanted = [places[source][0] for source in before.get(state, ()) if source in places and places[source][0]]
        columns = [*wanted, *range(1, len(others) + 2)]
        column = next(column for column in columns if (column, layers[state]) not in taken)
        places[state] = (column, layers[state])
        taken.add(places[state])
    return places


def _sources(rows: Iterable[Row]) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = {}
    for row in rows:
        if row.source != row.to:
            sources.setdefault(row.to, []).append(row.source)
    return sources


def _layers(ways: Ways) -> dict[str, int]:
    """Return the layer of each state: below all that lead to it on the ways to the end, then the ways out."""
    forward = [row for row in ways.spec.rows if ways.of_row(row) is not Way.OUT and row.source != row.to]
    order = _in_order(ways.spec, forward)
    rank = {state: number for number, state in enumerate(order)}
    layers = {ways.spec.initial: 0}
    before = _sources(row for row in forward if rank.get(row.source, 0) < rank.get(row.to, -1))
    for state in order:
        layers[state] = max((layers[source] + 1 for source in before.get(state, ()) if source in layers), default=0)
    _below(ways.spec, layers)
    return layers


def _in_order(spec: MachineSpec, rows: list[Row]) -> list[str]:
    """Return the states that rows lead to from the initial one, each after those before it; circles are cut."""
    leads_to: Mapping[str, list[str]] = {state: [] for state in spec.states}
    for row in rows:
        leads_to[row.source].append(row.to)
    done: list[str] = []
    seen = {spec.initial}
    stack = [(spec.initial, iter(leads_to[spec.initial]))]
    while stack:
        state, following = stack[-1]
        after = next((name for name in following if name not in seen), None)
        if after is None:
            done.append(state)
            stack.pop()
        else:
            seen.add(after)
            stack.append((after, iter(leads_to[after])))
    return done[::-1]


def _below(spec: MachineSpec, layers: dict[str, int]) -> None:
    """Put each state that has no layer below the lowest of those that lead to it."""
    before = _sources(spec.rows)
    left = [state for state in spec.states if state not in layers]
    while left:
        ready = [state for state in left if any(source in layers for source in before.get(state, ()))] or left
        state = min(ready, key=lambda name: sum(source not in layers for source in before.get(name, ())))
        known = [layers[source] + 1 for source in before.get(state, ()) if source in layers]
        layers[state] = max(known, default=0)
        left.remove(state)
