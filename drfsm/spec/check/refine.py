"""Proves one rule, or finds the shortest way to break it, with as few facts as it takes.

At first only the facts are followed that the rule names; a guard over any other may hold or not. A way to the broken
rule on which another fact would need values that it can't have there proves nothing yet: that fact is followed, too,
and the search begins again. A rule that holds while others may have any value holds.
Called by check().
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from drfsm.spec.check.domain import Mask
from drfsm.spec.check.moves import Event, Moves, initial
from drfsm.spec.check.search import Moment, Reached, reach, shortest
from drfsm.spec.check.steps import Control, Steps
from drfsm.spec.graph import closure, onward
from drfsm.spec.model import MachineSpec, Rule


@frozen
class Outcome:
    """What became of one rule: the last search, and the way that breaks it, if there is one."""

    reached: Reached
    taken: frozenset[str]
    relevant: frozenset[str]
    way: tuple[Moment, ...] = ()


def relevant_to(spec: MachineSpec, rule: Rule) -> frozenset[str]:
    """Return the states that matter for a rule: those from which one of its own can be reached."""
    rows = (row for row in spec.rows if rule.speaks_of(row))
    return frozenset(closure(rule.states or spec.states, onward((row.to, row.source) for row in rows)))


def prove(
    spec: MachineSpec, rule: Rule, limit: int, progress: Callable[[int], object] = lambda _moments: None
) -> Outcome:
    """Search for a way to break a rule on which facts that aren't followed stay as they were, or prove the rule."""
    relevant, followed = relevant_to(spec, rule), set(rule.when)
    left_out = [number for number, row in enumerate(spec.rows) if not rule.speaks_of(row)]
    while True:
        moves = Moves(spec, followed)
        steps = Steps(moves, relevant, left_out)
        broken = moves.domain.having(rule.when) if rule.when else None

        def bad(control: Control, broken: Mask | None = broken) -> Mask | None:
            return broken if not rule.states or control.state in rule.states else None

        reached = reach(moves, steps, bad, limit, progress)
        if not reached.bad:
            return Outcome(reached, frozenset(steps.taken), relevant)
        more = unsure(moves, shortest(moves, steps, bad, reached.towards_bad())) - followed
        if not more:
            way = shortest(moves, steps, bad)
            more = unsure(moves, way) - followed
        if not more:
            return Outcome(reached, frozenset(steps.taken), relevant, tuple(way))
        followed |= more


def unsure(moves: Moves, way: Sequence[Moment]) -> set[str]:
    """Return the facts that must be followed to be sure that a way can be gone: no values of theirs fit to all of it.

    Each fact that isn't followed is looked at by itself: which values it may have after each step of the way.
    """
    names = {name for moment in way for name, _ in moment.event.needs}
    names |= {name for moment in way for name, _, _ in moment.event.beside if name in moves.spec.facts}
    return {name for name in names if not _fits(moves, name, way)}


def _fits(moves: Moves, name: str, way: Sequence[Moment]) -> bool:
    spec, fact = moves.spec, moves.spec.facts[name]
    depends = closure({name}, {other.name: other.depends for other in spec.facts.values()}) - {name}
    possible, before = set(initial(spec, fact)), dict[str, set[str]]()  # before an action, and by the name of its undo
    values = moves.domain.values_of(way[0].world)
    for moment in way[1:]:
        event, now = moment.event, moves.domain.values_of(moment.world)
        for needed, wanted in event.needs:
            if needed == name:
                possible &= set(wanted)
        if event.stage == "fail":  # what an action changes is seen to be as before
            possible &= before.get(event.row, possible)
        if not possible:
            return False
        if event.stage == "begin":
            before.setdefault(event.row, set(possible))
            before.setdefault(event.undo, set(possible))
        possible = _after(event, name, possible, before)
        changed = {other for other in values if values[other] != now[other]} | {other for other, _, _ in event.beside}
        if changed & depends and all(other != name for other, _, _ in event.beside):
            possible = set(fact.values)
        values = now
    return True


def _after(event: Event, name: str, possible: set[str], before: Mapping[str, set[str]]) -> set[str]:
    for other, between, after in event.beside:
        if other == name:
            stays = possible - set(between) if between is not None else set()
            possible = stays | set(after) if between is None or between == () or possible & set(between) else possible
    return before.get(event.undo, possible) if event.gives_back else possible
