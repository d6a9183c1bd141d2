"""From where a run can still end: searched backwards, from the final states, over all facts at once.

For each state, and whether the point of no return is passed, ``ways`` are the worlds from which some rows lead to an
end: rows of the runner, of a person, of a failure. They are helped by what the world does by itself (the rules of the
environment that don't meddle, and facts that change by themselves as something they depend on has changed), and by what
people mend outside: what a rule of the environment says that they mend (``mends``), and a fact that nothing in the
declaration changes, like a permission, which is made to fit. Nothing else is hoped for: not that somebody meddles, not
that a failure leads back (``rounds``).

A row that leads to an undo state always helps: while a change is left to undo the run goes on, and where none is left
that state has to show a way of its own. Pure. Called by liveness.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

from drfsm.spec.check.cubes import ANYTHING, Cube, narrowed, simplified, without
from drfsm.spec.check.moves import DRIFTS, Judging, Moves
from drfsm.spec.model import By, FactSpec, MachineSpec, Row, Rule

INPUT = "input {}"
"""The name under which a cube speaks of an input."""


class Node(NamedTuple):
    """Where a run stands, when no action is begun and nothing is left to undo."""

    state: str
    no_return: bool


def mended(spec: MachineSpec) -> frozenset[str]:
    """Return the facts that nothing in the declaration changes: people mend them outside, to whatever is required."""
    changed = {name for row in spec.rows for name in (*row.sets, *row.notes)}
    changed |= {name for rule in spec.environment for name in rule.sets}

    def lasts(fact: FactSpec) -> bool:
        return fact.local or fact.hidden or bool(fact.depends or fact.initial or fact.known_after)

    return frozenset(name for name, fact in spec.facts.items() if name not in changed and not lasts(fact))


class Backward:
    """The worlds from which a machine's run can end, by node."""

    def __init__(self, spec: MachineSpec) -> None:
        """Search to the end."""
        self._spec, self._moves = spec, Moves(spec, spec.facts)
        self._mended = mended(spec)
        facts = {name: frozenset(variable.values) for name, variable in self._moves.domain.variables.items()}
        choices = {INPUT.format(name): frozenset(given.values) for name, given in spec.inputs.items() if given.values}
        self.ranges: Mapping[str, frozenset[str]] = {**facts, **choices}
        self._rows_of = {state: [n for n, row in enumerate(spec.rows) if row.source == state] for state in spec.states}
        self._loosens = {name: sorted(spec.depending_on({name}) - {name}) for name in spec.facts}
        nodes = self._nodes()
        self.ways: dict[Node, tuple[Cube, ...]] = {
            node: ANYTHING if node.state in spec.finals else () for node in nodes
        }
        self._search()

    def _search(self) -> None:
        leads_to: dict[Node, set[Node]] = {}
        for node in self.ways:
            for number in self.open_rows(node):
                leads_to.setdefault(self.after(node, self._spec.rows[number]), set()).add(node)
        todo = dict.fromkeys(node for node in self.ways if node.state not in self._spec.finals)
        while todo:
            node = next(iter(todo))
            del todo[node]
            known = self.ways[node]
            ways = simplified(self._before(node), self.ranges)
            if set(map(_hashed, ways)) != set(map(_hashed, known)):
                self.ways[node] = ways
                todo |= dict.fromkeys(leads_to.get(node, ()))

    def _nodes(self) -> list[Node]:
        """Return where a run can stand by the table. The point of no return is an intent: its row may yet fail.

        One that changed nothing is given up, where that can be seen: then the run stands before it again.
        """
        nodes = [Node(self._spec.initial, no_return=False)]
        known = set(nodes)
        for node in nodes:
            rows = [row for row in self._spec.rows if row.source == node.state]
            behind = [self.after(node, row) for row in rows]
            final = [row for row in rows if row.point_of_no_return and not row.can_be_given_up]
            behind += [Node(node.state, no_return=True) for _ in final]
            new = [other for other in dict.fromkeys(behind) if other not in known]
            known.update(new)
            nodes += new
        return nodes

    def open_rows(self, node: Node) -> Iterator[int]:
        """Yield the numbers of the rows that a run may take there, whatever their guards."""
        rows = [self._spec.rows[number] for number in self._rows_of[node.state]]
        can_fail = any(row.by is By.RUNNER for row in rows)
        for number, row in zip(self._rows_of[node.state], rows, strict=True):
            undoes = row.to in self._spec.undo_states
            hoped_for = row.by is By.FAILURE and (row.rounds or not can_fail)
            if row.foreach is None and not hoped_for and not (node.no_return and undoes):
                yield number

    def after(self, node: Node, row: Row) -> Node:
        """Return where a row leads to."""
        return Node(row.to, node.no_return or row.point_of_no_return)

    def behind(self, node: Node, row: Row) -> tuple[Cube, ...]:
        """Return the worlds from which a run can end once a row was committed."""
        return (
            ANYTHING if row.to in self._spec.undo_states and row.to != row.source else self.ways[self.after(node, row)]
        )

    # --- one step back ------------------------------------------------------------------------------------

    def _before(self, node: Node) -> Iterator[Cube]:
        """Yield the worlds from which one step leads to where an end can be reached, by what is known so far."""
        known = list(self.ways[node])
        for number in self.open_rows(node):
            known += self.row(number, self.behind(node, self._spec.rows[number]))
        yield from self.helped(node.state, known)

    def helped(self, state: str, cubes: Iterable[Cube]) -> Iterator[Cube]:
        """Yield these worlds, and those from which the world, or people who mend it, leads into one of them."""
        known = new = simplified(cubes, self.ranges)
        while new:  # joined after each round: the combinations of what can be mended by itself are too many
            before = [more for cube in new for more in self._before_world(state, cube)]
            joined = simplified([*known, *before], self.ranges)
            earlier = set(map(_hashed, known))
            known, new = joined, tuple(cube for cube in joined if _hashed(cube) not in earlier)
        yield from known

    def goes_on(self, number: int) -> tuple[Cube, ...]:
        """Return the worlds in which a row's action, once begun, is done or can be finished, or people see to that."""
        row = self._spec.rows[number]
        compared = (
            {name: frozenset(values) for name, values in judging.reads if name in row.compares}
            for judging in self._moves.judgings[number]
        )
        return simplified(self.helped(row.source, [_cube(row.sets), *compared]), self.ranges)

    def goes_back(self, number: int, before: Mapping[str, str]) -> tuple[Cube, ...]:
        """Return the worlds in which what a row sets is as before, or people put it back."""
        return simplified(self.helped(self._spec.rows[number].source, [_cube(before)]), self.ranges)

    def row(self, number: int, behind: Iterable[Cube]) -> Iterator[Cube]:
        """Yield the worlds in which a row's guards hold, and after which it leads to one of these."""
        for cube, judging in product(tuple(behind), self._moves.judgings[number]):
            for before in self.committed(judging, cube):
                if (met := self._required(judging, before)) is not None:
                    yield met

    def _required(self, judging: Judging, cube: Cube) -> Cube | None:
        wanted = {name: values for name, values in judging.reads if name not in self._mended}
        chosen = {INPUT.format(name): values for name, values in judging.row.when.items()}
        return narrowed(cube, {**wanted, **self._known(chosen)}, self.ranges)

    def _known(self, required: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        return {name: values for name, values in required.items() if name in self.ranges}

    def committed(self, judging: Judging, cube: Cube) -> Iterator[Cube]:
        """Yield the worlds that a row's action and commit lead into a cube, by one way in which its guards hold."""
        row = judging.row
        cube = without(cube, [INPUT.format(name) for name in row.amends])
        kept = self._given(cube, row.notes)
        before = [kept] if kept is not None else []
        before = [more for known in before for more in self._amended(judging, known)]
        for name, fact in self._spec.facts.items():
            if fact.known_after == row.trigger:
                before = [more for known in before for more in self._decided(name, fact.initial or fact.values, known)]
        for known in before:
            yield from self._set(row.sets if row.action else {}, known)

    def _given(self, cube: Cube, sets: Mapping[str, str]) -> Cube | None:
        """Return a cube without facts that get these values; None where it asks for others."""
        wrong = any(name in cube and value not in cube[name] for name, value in sets.items())
        return None if wrong else without(cube, sets)

    def _set(self, sets: Mapping[str, str], cube: Cube) -> Iterator[Cube]:
        """Yield the worlds that lead into a cube when facts are set. What depends on a change may be anything."""
        kept = self._given(cube, sets)
        if kept is None:
            return
        yield kept
        for name, value in sets.items():
            depending = [other for other in self._loosens[name] if other not in sets]
            loose = without(kept, [*depending, *map(DRIFTS.format, depending)])
            if loose.keys() != kept.keys():
                changed = narrowed(loose, {name: self.ranges[name] - {value}}, self.ranges)
                if changed is not None:
                    yield changed

    def _amended(self, judging: Judging, cube: Cube) -> Iterator[Cube]:
        cubes = [cube]
        for name, (between, after) in judging.amended.items():
            depending = [other for other in self._loosens[name] if other not in judging.amended]
            loose = [without(known, [*depending, *map(DRIFTS.format, depending)]) for known in cubes]
            cubes = [more for known in loose for more in self._decided(name, after, known, between)]
        yield from cubes

    def _decided(
        self, name: str, values: Iterable[str], cube: Cube, between: Iterable[str] | None = None
    ) -> Iterator[Cube]:
        """Yield the worlds that lead into a cube when a fact may get one of some values (from ``between`` only)."""
        if name not in cube:
            yield cube
            return
        yield cube
        if cube[name] & set(values):
            changed = without(cube, [name])
            met = changed if between is None else narrowed(changed, {name: tuple(between)}, self.ranges)
            if met is not None:
                yield met

    # --- what the world does ----------------------------------------------------------------------------------

    def _before_world(self, state: str, cube: Cube) -> Iterator[Cube]:
        for rule in self._spec.environment:
            if (
                (rule.mends or not rule.meddles)
                and rule.sets.keys() & cube.keys()
                and (not rule.states or state in rule.states)
            ):
                yield from self._before_rule(rule, cube)
        for name in cube.keys() & self._spec.facts.keys():
            if self._spec.facts[name].depends:
                yield from self._before_drift(self._spec.facts[name], cube)

    def _before_rule(self, rule: Rule, cube: Cube) -> Iterator[Cube]:
        when = {name: values for name, values in rule.when.items() if name not in self._mended}
        for before in self._set(rule.sets, cube):
            if (met := narrowed(before, when, self.ranges)) is not None:
                yield met

    def _before_drift(self, fact: FactSpec, cube: Cube) -> Iterator[Cube]:
        """Yield the worlds from which a fact gets into a cube by itself, since what it depends on has changed."""
        drifts = DRIFTS.format(fact.name)
        loose = without(cube, [fact.name, *self._loosens[fact.name]])
        unsettled = [{drifts: ("yes",), on: self.ranges[on] - set(values)} for on, values in fact.settled_when.items()]
        for required in unsettled or [{drifts: ("yes",)}]:
            if (met := narrowed(loose, required, self.ranges)) is not None:
                yield met


def _hashed(cube: Cube) -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset(cube.items())


def _cube(values: Mapping[str, str]) -> Cube:
    return {name: frozenset({value}) for name, value in values.items()}
