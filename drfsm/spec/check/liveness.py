"""Whether every run can end: no moment from which no legal way leads to an end, no guard that can never refuse.

traps.py says where a run would be stuck. This searches forward, as for a ``never`` rule, for a way into each trap.
Whatever happened before counts, also what somebody did behind the run's back: nothing is excused here. What guards
protect against must be possible, too: a guard whose refused values are never there where it is read protects against
nothing, or the environment forgets what it is for.

Called by check(), question by question; docs/checker.md says what is hoped for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from attrs import evolve, frozen

from drfsm.spec.check.backward import mended
from drfsm.spec.check.domain import Mask, meet
from drfsm.spec.check.guarding import reads_any
from drfsm.spec.check.moves import Moves
from drfsm.spec.check.refine import unsure
from drfsm.spec.check.search import Moment, reach, shortest
from drfsm.spec.check.steps import Control, Steps
from drfsm.spec.check.story import Line, told
from drfsm.spec.check.traps import Trap, traps
from drfsm.spec.graph import closure, onward
from drfsm.spec.model import By, Guard, MachineSpec, Required, Row

STUCK, NEVER_REFUSES, REFUSES, NEVER_HOLDS = "stuck", "never refuses", "refuses", "never holds"

Bad = Callable[[Moves, Control], Mask | None]


@frozen
class Obstacle:
    """Why some run can't end, or what in the table can never matter. ``kind``: one of the words above.

    ``name``: the state, the guard or the row; ``missing``: what stands in the way there; ``lines``: the way there.
    """

    kind: str
    name: str
    missing: tuple[str, ...]
    mend: str
    lines: tuple[Line, ...] = ()

    @property
    def words(self) -> str:
        """What is found, in one line."""
        return {
            STUCK: f"a run can be stuck in {self.name}",
            NEVER_REFUSES: f"guard can never refuse: {self.name}",
            REFUSES: f"guard can refuse, though it says that it never does: {self.name}",
            NEVER_HOLDS: f"guards can never hold: {self.name}",
        }[self.kind]


@frozen
class Answer:
    """What became of one question. ``full``: its search was not cut off."""

    obstacles: tuple[Obstacle, ...] = ()
    moments: int = 0
    full: bool = True


Question = Callable[[int], Answer]
"""One search, of at most so many moments."""


def questions(spec: MachineSpec) -> tuple[Question, ...]:
    """Return what is to be searched, each by itself."""
    named = {name for row in spec.rows for name in row.guards}
    guards = [guard for name, guard in spec.guards.items() if name in named]
    return (
        *(partial(stuck, spec, trap) for trap in traps(spec)),
        *(partial(never_refuses, spec, guard) for guard in guards),
        *(partial(never_holds, spec, name) for name in spec.facts if _is_required(spec, name)),
    )


# --- one search ---------------------------------------------------------------------------------------------


@frozen
class _Found:
    """The last search for a moment: the way there, if there is one."""

    moves: Moves
    way: tuple[Moment, ...]
    moments: int
    full: bool


def _find(spec: MachineSpec, states: Iterable[str], facts: Iterable[str], bad: Bad, limit: int) -> _Found:
    """Search for a way to a bad moment on which facts that aren't followed can have what they need; see refine.py.

    Where that takes more than a few facts, those by which the world changes what is followed come with them at once.
    """
    relevant = frozenset(closure(states, onward((row.to, row.source) for row in spec.rows)))
    followed, steady, moments = set(facts), mended(spec), 0
    first = True
    while True:
        moves = _moves(spec, followed)
        steps = Steps(moves, relevant)

        def bad_there(control: Control, moves: Moves = moves) -> Mask | None:
            return bad(moves, control)

        reached = reach(moves, steps, bad_there, limit)
        moments += reached.moments
        if not reached.bad:
            return _Found(moves, (), moments, reached.full)
        way = shortest(moves, steps, bad_there, reached.towards_bad())
        more = unsure(moves, way) - steady - followed
        if not more:
            return _Found(moves, tuple(way), moments, full=True)
        followed |= more | (set() if first else _behind_the_world(spec, followed) - steady)
        first = False


def _behind_the_world(spec: MachineSpec, followed: Iterable[str]) -> set[str]:
    rules = (rule for rule in spec.environment if rule.sets.keys() & set(followed))
    return {name for rule in rules for name in rule.when}


def _moves(spec: MachineSpec, followed: Iterable[str]) -> Moves:
    """Return the moves of a machine in which nothing is excused; what somebody does is told as such."""
    excused = tuple(evolve(rule, meddles=False) for rule in spec.environment)
    moves = Moves(evolve(spec, environment=excused), set(followed))
    for index, rule in enumerate(spec.environment):
        if rule.meddles:
            states, move = moves.world[index]
            moves.world[index] = (states, evolve(move, event=evolve(move.event, by="person")))
    return moves


# --- stuck --------------------------------------------------------------------------------------------------


def stuck(spec: MachineSpec, trap: Trap, limit: int) -> Answer:
    """Search for the shortest way into a trap."""
    found = _find(spec, trap.states, trap.facts, trap.bad, limit)
    if not found.way:
        return Answer((), found.moments, found.full)
    there = found.way[-1]
    control, values = there.control, found.moves.domain.values_of(there.world)
    mend = "let a person lead on from there (by: operator), or say in environment how it becomes right again"
    missing = tuple(_missing(spec, control, values))
    return Answer((Obstacle(STUCK, control.state, missing, mend, told(found.moves, found.way)),), found.moments)


def _missing(spec: MachineSpec, control: Control, values: Mapping[str, str]) -> Iterator[str]:
    """Yield why each row that leaves a state leads to no end."""
    if control.open:
        yield _half_done(spec.rows[control.open[-1].row], values)
        return
    rows = [row for row in spec.rows if row.source == control.state and row.foreach is None]
    rows = [row for number, row in enumerate(rows) if row.trigger not in {other.trigger for other in rows[:number]}]
    reasons = {row.trigger: _refused(spec, row, control, values) for row in rows}
    yield from filter(None, reasons.values())
    if idle := [trigger for trigger, reason in reasons.items() if not reason]:
        yield f"of no help there: {', '.join(idle)}"
    if not any(row.by is By.OPERATOR and row.to != row.source for row in rows):
        yield f"no person's row leaves {control.state}"
    if not any(row.by is By.FAILURE for row in rows):
        yield f"no failure's row leaves {control.state}"


def _half_done(row: Row, values: Mapping[str, str]) -> str:
    now = ", ".join(f"{name} is {values[name]}" for name in (*row.sets, *row.compares) if name in values)
    return (
        f"{row.trigger} is half done ({now}): its requests are refused, it can't be given up, and no row passes it over"
    )


def _refused(spec: MachineSpec, row: Row, control: Control, values: Mapping[str, str]) -> str:
    """Return why a row leads to no end; "" where it can be taken and stays there."""
    if control.no_return and row.to in spec.undo_states:
        return f"{row.trigger} is refused: the point of no return is passed"
    waived = spec.waived(row, values)
    lacking = [
        f"{name}: {' or '.join(wanted)} ({guard.name}), and it is {values[name]}"
        for guard, name, wanted in spec.wanted_of(row, waived)
        if name in values and values[name] not in wanted
    ]
    if lacking:
        return f"{row.trigger} requires {'; '.join(lacking)}; nothing makes it so any more"
    return "" if row.to == row.source else f"{row.trigger} leads to {row.to}, which leads to no end"


# --- guards ---------------------------------------------------------------------------------------------------


def never_refuses(spec: MachineSpec, guard: Guard, limit: int) -> Answer:
    """Search for a moment at which a guard refuses, where one of its rows is judged.

    Here a run may begin in any world: ``initial`` is an assumption, and a guard may be what holds the world to it.
    """
    rows = [row for row in spec.rows if guard.name in row.guards]
    refused = list(_refused_values(spec, guard))
    asked = any(reads_any(spec.facts[name], row.amends) for row in rows for name in guard.requires)
    every_value = all(set(values) >= set(spec.facts[name].values) for name, values in guard.requires.items())
    if asked or every_value or any(name in mended(spec) for when in refused for name in when if name in guard.requires):
        return Answer(tuple(_claims(guard)))
    states = {row.source for row in rows}
    by_person = {row.source for row in rows if row.by is By.OPERATOR}  # these may be judged with an action begun

    def bad(moves: Moves, control: Control) -> Mask | None:
        judged = not control.reading and control.state in (by_person if control.open else states)
        return moves.domain.either([moves.domain.having(when) for when in refused]) if judged else None

    facts = {name: evolve(fact, initial=()) for name, fact in spec.facts.items()}
    found = _find(evolve(spec, facts=facts), states, {name for when in refused for name in when}, bad, limit)
    if found.way:
        return Answer(tuple(_claims(guard, told(found.moves, found.way))), found.moments)
    if guard.never_refuses_because or not found.full:
        return Answer((), found.moments, found.full)
    missing = tuple(_never(spec, name, values) for name, values in guard.requires.items())
    mend = "say in environment what it protects against, or remove it, or write never_refuses_because"
    return Answer((Obstacle(NEVER_REFUSES, guard.name, missing, mend),), found.moments)


def _claims(guard: Guard, lines: tuple[Line, ...] = ()) -> Iterator[Obstacle]:
    """Yield what a guard that can refuse says wrongly of itself."""
    if guard.never_refuses_because:
        missing = f"it says: {guard.never_refuses_because}"
        yield Obstacle(REFUSES, guard.name, (missing,), "remove never_refuses_because", lines)


def _refused_values(spec: MachineSpec, guard: Guard) -> Iterator[Required]:
    """Yield the combinations at which a guard refuses: a value that will not do, and one that stands in for nothing."""
    for name, wanted in guard.requires.items():
        wrong = {name: _besides(spec, name, wanted)}
        if wrong[name] and not guard.unless:
            yield wrong
        for other, values in guard.unless.items() if wrong[name] else ():
            yield {**wrong, other: _besides(spec, other, values)}


def _besides(spec: MachineSpec, name: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in spec.facts[name].values if value not in values)


def _never(spec: MachineSpec, name: str, values: Sequence[str]) -> str:
    return f"{name} is never {' or '.join(_besides(spec, name, values))} where it is read"


def never_holds(spec: MachineSpec, name: str, limit: int) -> Answer:
    """Search which values a fact has in each state, for rows that require another there."""
    reached = reach(moves := _moves(spec, {name}), Steps(moves, frozenset(spec.states)), lambda _control: None, limit)
    if not reached.full:
        return Answer((), reached.moments, full=False)
    there = {state: set[str]() for state in spec.states}
    for control, worlds in reached.worlds.items():
        there[control.state] |= {
            value for value in moves.domain.variables[name].values if meet(worlds, moves.domain.where(name, value))
        }
    return Answer(tuple(_impossible(spec, name, there)), reached.moments)


def _impossible(spec: MachineSpec, name: str, there: Mapping[str, set[str]]) -> Iterator[Obstacle]:
    for row in spec.rows:
        amended = reads_any(spec.facts[name], row.amends)
        required = [(guard, set(wanted)) for guard, fact, wanted in spec.wanted_of(row) if fact == name]
        required = [(guard, wanted) for guard, wanted in required if not guard.unless and not amended]
        can_be = set(there[row.source]).intersection(*(wanted for _, wanted in required))
        if required and there[row.source] and not can_be:
            asked = "; ".join(
                f"{guard.name} requires {name}: {' or '.join(sorted(wanted))}" for guard, wanted in required
            )
            missing = f"{asked}; in {row.source} it is {' or '.join(sorted(there[row.source]))}"
            mend = "correct the guards, the rows before it, or the environment"
            yield Obstacle(NEVER_HOLDS, row.key, (missing,), mend)


def _is_required(spec: MachineSpec, name: str) -> bool:
    return any(name in spec.guards[guard].requires for row in spec.rows for guard in row.guards)
