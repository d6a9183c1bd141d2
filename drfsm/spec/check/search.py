"""Searches every reachable moment of a machine, while some facts are followed.

``reach`` answers whether a bad moment can be reached: it goes from control to control, takes all new worlds of one at
once, and closes them first under what happens while the run stays there. ``shortest`` goes step by step, breadth first,
and is asked only where there is something to show. Called by refine.py, liveness.py and the tests.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from heapq import heappop, heappush

from attrs import field, frozen

from drfsm.spec.check.domain import Mask, Worlds, add, common, count, first, halves, meet, minus
from drfsm.spec.check.moves import Event, Moves
from drfsm.spec.check.steps import Control, Steps

Bad = Callable[[Control], Mask | None]
"""The worlds in which a moment of a control is bad; None: none.

Where somebody meddled since the run last read guards, it is not bad, and is not searched on: what follows is excused.
"""


@frozen
class Moment:
    """One moment of a way: what happened, and how everything stands then."""

    event: Event
    control: Control
    world: Worlds  # with one world in it


@frozen
class Reached:
    """What a search has reached. ``full``: whether it ended by itself, and not at its limit."""

    moves: Moves
    worlds: Mapping[Control, Worlds] = field(factory=dict)
    came_from: Mapping[Control, set[Control]] = field(factory=dict)
    bad: Control | None = None  # a control with a bad moment
    full: bool = True

    @property
    def moments(self) -> int:
        """The number of different moments: a control, and the values of the followed facts."""
        return sum(map(count, self.worlds.values()))

    def towards_bad(self) -> set[Control]:
        """Return the controls from which the search has come to the bad moment."""
        controls: set[Control] = set()
        todo = [self.bad] if self.bad else []
        while todo:
            control = todo.pop()
            if control not in controls:
                controls.add(control)
                todo += self.came_from.get(control, ())
        return controls

    @property
    def states(self) -> set[str]:
        """The states that were reached."""
        return {control.state for control in self.worlds}


def depths(moves: Moves) -> dict[str, int]:
    """Return for each state the number of rows that lead there from the first one."""
    depth, todo = {moves.spec.initial: 0}, [moves.spec.initial]
    for state in todo:
        for row in moves.spec.rows:
            if row.source == state and row.to not in depth:
                depth[row.to] = depth[state] + 1
                todo.append(row.to)
    return depth


def reach(
    moves: Moves, steps: Steps, bad: Bad, limit: int, progress: Callable[[int], object] = lambda _moments: None
) -> Reached:
    """Search until every moment is reached, a bad one is, or more than ``limit`` are.

    What is more than the limit at first is not even made: it would take more memory than there is.
    """
    if moves.number_at_first > limit:
        return Reached(moves, full=False)
    depth = depths(moves)
    start = steps.at_first()
    seen: dict[Control, Worlds] = {}
    came_from: dict[Control, set[Control]] = {}
    todo: dict[Control, Worlds] = {start: moves.worlds_at_first}
    order: list[tuple[int, int, Control]] = [(0, 0, start)]
    moments = number = 0
    while order:
        control = heappop(order)[2]
        known = seen.setdefault(control, {})
        broken = bad(control)
        new = close(moves, steps, control, minus(todo.pop(control), known), known, broken, limit)
        if not new:
            continue
        add(known, new)
        moments += count(new)
        progress(moments)
        if broken and meet(new, broken):
            return Reached(moves, seen, came_from, control)
        if moments > limit:
            return Reached(moves, seen, came_from, full=False)
        for step in steps.onward(control, new):
            fresh = minus(step.worlds, seen.get(step.control, {}))
            if fresh:
                came_from.setdefault(step.control, set()).add(control)
                if step.control not in todo:
                    number += 1
                    heappush(order, (depth[step.control.state], number, step.control))
                    todo[step.control] = {}
                add(todo[step.control], fresh)
    return Reached(moves, seen, came_from)


def close(
    moves: Moves, steps: Steps, control: Control, worlds: Worlds, known: Worlds, broken: Mask | None, limit: int
) -> Worlds:
    """Return these worlds and all that happens to them while the run stays there, without those that are known.

    Once more than ``limit`` are new, the rest is left out: the search ends there.
    """
    local = steps.local(control)
    delta = excusing(moves, worlds, broken)
    new = dict(delta)
    while delta and count(new) <= limit:
        after: Worlds = {}
        for move in local:
            if part := meet(delta, move.when):
                add(after, move.change(part))
        delta = excusing(moves, minus(minus(after, new), known), broken)
        add(new, delta)
    return new


def excusing(moves: Moves, worlds: Worlds, broken: Mask | None) -> Worlds:
    """Return these worlds without those that somebody broke whom the run could not see yet."""
    if broken is None or not moves.meddles:
        return worlds
    return minus(worlds, meet(meet(worlds, broken), moves.unseen))


# --- the shortest way --------------------------------------------------------------------------------------------


def shortest(moves: Moves, steps: Steps, bad: Bad, within: Collection[Control] | None = None) -> list[Moment]:
    """Return the shortest way to a bad moment, which there must be, through these controls (None: through any)."""
    start = steps.at_first()
    levels: list[dict[Control, Worlds]] = [{start: moves.worlds_at_first}]
    seen = {start: dict(moves.worlds_at_first)}
    while True:
        for control, worlds in levels[-1].items():
            broken = bad(control)
            if broken and (hit := meet(worlds, broken)):
                return _back(steps, levels, control, first(hit))
        level: dict[Control, Worlds] = {}
        for control, worlds in levels[-1].items():
            for _, target, raw in _all(steps, control, worlds):
                after = excusing(moves, raw, bad(target))
                if (within is None or target in within) and (new := minus(after, seen.get(target, {}))):
                    add(level.setdefault(target, {}), new)
        for control, worlds in level.items():
            add(seen.setdefault(control, {}), worlds)
        if not level:
            raise AssertionError("the way that was reached is not found again")
        levels.append(level)


def _all(steps: Steps, control: Control, worlds: Worlds) -> Iterator[tuple[Event, Control, Worlds]]:
    for move in steps.local(control):
        if part := meet(worlds, move.when):
            yield move.event, control, move.change(part)
    yield from steps.onward(control, worlds)


def _back(steps: Steps, levels: list[dict[Control, Worlds]], control: Control, world: Worlds) -> list[Moment]:
    """Return the way to one moment, from the levels of a search: each step back finds one world that leads there."""
    way: list[Moment] = []
    for level in reversed(levels[:-1]):
        event, before, world_before = _before(steps, level, control, world)
        way.append(Moment(event, control, world))
        control, world = before, world_before
    way.append(Moment(Event("world", "at first"), control, world))
    return way[::-1]


def _before(
    steps: Steps, level: Mapping[Control, Worlds], control: Control, world: Worlds
) -> tuple[Event, Control, Worlds]:
    for before, worlds in level.items():
        for event, target, after in _all(steps, before, worlds):
            if target == control and common(after, world):
                return event, before, _one_that_leads(steps, before, worlds, event, control, world)
    raise AssertionError("a moment that no step leads to")


def _one_that_leads(
    steps: Steps, before: Control, worlds: Worlds, event: Event, control: Control, world: Worlds
) -> Worlds:
    """Return one of these worlds from which a step leads to a moment, by halving."""
    while count(worlds) > 1:
        low, high = halves(worlds)
        leads = any(
            target == control and other == event and common(after, world)
            for other, target, after in _all(steps, before, low)
        )
        worlds = low if leads else high
    return worlds
