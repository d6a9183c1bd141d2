"""Tells a way through a machine in its own words: what the run did, what a person did, what the world did.

The readings of guards and the parts of an action are told only where something happens between them: else a row is one
step. Pure. Called by report.py.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from drfsm.spec.check.moves import Event, Moves
from drfsm.spec.check.search import Moment


@frozen
class Line:
    """One step in words. ``by``: world, run, person or late; ``state``: where the run stands then."""

    by: str
    words: str
    state: str = ""


def told(moves: Moves, way: Sequence[Moment]) -> tuple[Line, ...]:
    """Return a way as lines: from the world at first to where the rule is broken."""
    first, last = way[0], way[-1]
    return (
        Line("world", f"at first: {_facts(moves, first)}", first.control.state),
        *_steps(moves, way),
        Line("world", f"there: {last.control.state}; {_facts(moves, last)}", last.control.state),
    )


def _steps(moves: Moves, way: Sequence[Moment]) -> Iterator[Line]:
    index = 1
    while index < len(way):
        row, end = way[index].event.row, index
        while row and end + 1 < len(way) and way[end + 1].event.row == row and way[end].event.stage != "commit":
            end += 1
        line = _line(moves, way, index, end)
        if line is not None:
            yield line
        index = end + 1


def _line(moves: Moves, way: Sequence[Moment], index: int, end: int) -> Line | None:
    """Return what happens between two moments of a way in one line: one step of the world, or steps of one row."""
    events = [moment.event for moment in way[index : end + 1]]
    last, control = events[-1], way[end].control
    changes = _changes(moves, way[index - 1], way[end])
    stages = {event.stage for event in events}
    undone = f" of {_undone(moves, way[:index], last)}" if last.undo and last.stage in ("back", "commit") else ""
    changed = f" ({changes})" if changes else ""
    if last.by == "world" or (last.by == "person" and not last.row):
        who = "the world" if last.by == "world" else "somebody"
        return Line("world", f"{who}: {changes or last.words}", control.state)
    if last.by == "late":
        return Line("late", last.words + changed, control.state)
    if not last.stage or last.stage in ("fail", "again", "settle"):
        return Line(last.by, last.words, control.state)
    if last.stage == "commit":
        whole = "begin" in stages or not _acts(moves, last.row)
        return Line(last.by, f"{last.words}{undone}{changed}" + ("" if whole else ", begun before"), control.state)
    trigger = f"undo{undone}" if undone else next(row.trigger for row in moves.spec.rows if row.key == last.row)
    if stages & {"begin", "effect", "back"}:
        what = "is under way" if "begin" in stages else "goes on"
        return Line(last.by, f"{trigger} {what}{changed}", control.state)
    return Line(last.by, f"{trigger} reads what its guards require", control.state)


def _undone(moves: Moves, earlier: Sequence[Moment], undo: Event) -> str:
    """Return the trigger of the row that an undo gives back: of those that it could be the one begun first."""
    begun = (moment.event for moment in earlier if moment.event.stage == "begin" and moment.event.undo == undo.undo)
    key = next(begun, undo).row
    return next(row.trigger for row in moves.spec.rows if row.key == key)


def _acts(moves: Moves, key: str) -> bool:
    return any(row.key == key and row.action and row.sets for row in moves.spec.rows)


def _changes(moves: Moves, before: Moment, after: Moment) -> str:
    then, now = moves.domain.values_of(before.world), moves.domain.values_of(after.world)
    return ", ".join(f"{name}={now[name]}" for name in moves.names if now[name] != then[name])


def _facts(moves: Moves, moment: Moment) -> str:
    values = moves.domain.values_of(moment.world)
    return ", ".join(f"{name}={values[name]}" for name in moves.names)
