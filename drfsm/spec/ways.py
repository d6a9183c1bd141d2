"""The ways through a machine, told apart: the happy path, other ways to the same end, and the ways out.

The happy path goes from the initial state to one that ends ``complete``: by the runner's rows in the order in which
they are declared, and where no row of the runner leaves a state, by a person's. *Out* leads whatever a failure, an
abort or an undo leads to. Called by diagram.py and svg.py; by engine/outlook.py for the rows of one run.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from attrs import evolve, frozen

from drfsm.spec.graph import closure, onward
from drfsm.spec.model import By, MachineSpec, Row


class Way(StrEnum):
    """Where a state or a row belongs."""

    HAPPY = "happy"  # on the happy path
    OTHER = "other"  # on another way to a run that completes
    OUT = "out"  # a way out


@frozen
class Ways:
    """The ways of one machine."""

    spec: MachineSpec
    path: tuple[Row, ...]  # the happy one; none where no run can complete
    states: Mapping[str, Way]

    @classmethod
    def of(cls, spec: MachineSpec) -> "Ways":
        """Tell the ways of a machine apart."""
        goals = {state for state, status in spec.finals.items() if status == "complete"}
        path = _happy_path(spec, goals)
        happy = {spec.initial, *(row.to for row in path)}
        steps = [(row.source, row.to) for state in spec.states for row in _onward(spec, state)]
        back = closure(goals, onward((to, start) for start, to in steps))
        others = back & closure({spec.initial}, onward(steps))
        ways = {name: Way.HAPPY if name in happy else Way.OTHER if name in others else Way.OUT for name in spec.states}
        return cls(spec, path, ways)

    def of_row(self, row: Row) -> Way:
        """Return where a row belongs."""
        if row in self.path:
            return Way.HAPPY
        leads_out = row.by is By.FAILURE or Way.OUT in (self.states[row.source], self.states[row.to])
        return Way.OUT if leads_out or row not in _onward(self.spec, row.source) else Way.OTHER

    def crowds(self, most: int) -> Iterator[tuple[Row, ...]]:
        """Yield the rows in groups: those of one trigger to one state together where they are more than ``most``.

        A row of the happy path stands alone.
        """
        alike: dict[tuple[str, str, By], list[Row]] = {}
        for row in self.spec.rows:
            if row not in self.path:
                alike.setdefault((row.trigger, row.to, row.by), []).append(row)
        for row in self.spec.rows:
            crowd = alike.get((row.trigger, row.to, row.by), [])
            if row in self.path or len(crowd) <= most:
                yield (row,)
            elif row == crowd[0]:
                yield tuple(crowd)


def likely_way(spec: MachineSpec, inputs: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the rows by which a run with these inputs completes, in order; () where none can complete.

    Where a person decides, it is the first row that leads on.
    """
    goals = {state for state, status in spec.finals.items() if status == "complete"}
    return _happy_path(evolve(spec, rows=tuple(row for row in spec.rows if row.selected(inputs))), goals)


def _happy_path(spec: MachineSpec, goals: set[str]) -> tuple[Row, ...]:
    path: list[Row] = []
    tried = {spec.initial}
    ways = [iter(_onward(spec, spec.initial))]
    while ways:
        if (path[-1].to if path else spec.initial) in goals:
            return tuple(path)
        row = next((row for row in ways[-1] if row.to not in tried), None)
        if row is None:
            ways.pop()
            path = path[:-1]
        else:
            tried.add(row.to)
            path.append(row)
            ways.append(iter(_onward(spec, row.to)))
    return ()


def _onward(spec: MachineSpec, state: str) -> list[Row]:
    """Return the rows that lead on from a state: the runner's, or where it has none, a person's."""
    leaving = spec.rows_by_source.get(state, ())
    rows = [row for row in leaving if row.foreach is None and row.to not in spec.undo_states]
    runners = [row for row in rows if row.by is By.RUNNER]
    return runners or [row for row in rows if row.by is By.OPERATOR and row.to != state]
