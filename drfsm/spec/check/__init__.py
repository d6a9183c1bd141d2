"""Searches every possible course of a machine, and shows the shortest way to a broken ``never`` rule or a stuck run.

docs/checker.md says what is searched and what is abstracted. domain.py has sets of worlds, moves.py what a machine's
rows and environment do to them, steps.py the rules of the engine, search.py the search, refine.py how few facts are
followed, story.py the words. Whether every run can end: backward.py (cubes.py), traps.py, liveness.py.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from time import monotonic

from attrs import frozen

from drfsm.spec.check.domain import each
from drfsm.spec.check.liveness import Answer, Obstacle, Question, questions
from drfsm.spec.check.moves import Moves, initial
from drfsm.spec.check.refine import prove
from drfsm.spec.check.report import ENDS, Ending, Finding, Report
from drfsm.spec.check.search import reach
from drfsm.spec.check.steps import Steps
from drfsm.spec.check.story import Line, told
from drfsm.spec.model import FactSpec, MachineSpec, Row, Rule

__all__ = ["ENDS", "LIMIT", "Ending", "Finding", "Line", "Obstacle", "Report", "check", "reachable"]

LIMIT = 100_000_000
"""How many moments one search may reach before it is cut off, and proves nothing."""


@frozen
class _Result:
    """What became of one rule; "" is the search for rows that can never be taken."""

    rule: str
    moments: int
    full: bool
    lines: tuple[Line, ...]
    dead: frozenset[str]
    vacuous: bool
    seconds: float


def check(
    spec: MachineSpec,
    *,
    limit: int = LIMIT,
    only: Collection[str] = (),
    begin: Callable[[str], object] = lambda _rule: None,
    processes: int = 1,
) -> Report:
    """Search the machine for each of its ``never`` rules (``only`` these, if named), and first for its rows alone.

    Unless single rules are named, it is also asked whether every run can end. ``begin`` is called with the name of each
    rule when its search begins (with several ``processes``: when it has ended), with "" for the rows, and with ``ENDS``
    for whether every run can end. ``limit``: how many moments one search may reach.
    """
    rules = [Rule(), *(named for named in spec.never if not only or named.name in only)]
    tasks: list[_Task] = [partial(_searched, spec, rule) for rule in rules]
    names = [rule.name for rule in rules]
    if not only:
        asked = questions(spec)
        tasks += [partial(_answered, question) for question in asked]
        names += [ENDS] * len(asked)
    answers = list(
        _in_processes(tasks, names, limit, begin, processes) if processes > 1 else _here(tasks, names, limit, begin)
    )
    results = [result for result in answers if isinstance(result, _Result)]
    dead = {row.key for row in spec.rows if _unattainable(spec, row)}.union(*(result.dead for result in results))
    reasons = {rule.name: rule.reason for rule in rules}
    named = [result for result in results if result.rule]
    return Report(
        spec.name,
        tuple(Finding(result.rule, reasons[result.rule], result.lines) for result in named if result.lines),
        {result.rule: result.moments for result in named},
        tuple(dict.fromkeys(row.key for row in spec.rows if row.key in dead)),
        tuple(result.rule for result in named if result.vacuous),
        tuple(result.rule for result in results if not result.full),
        {result.rule: result.seconds for result in results},
        None if only else _ending([timed for timed in answers if isinstance(timed, _Timed)]),
    )


def reachable(spec: MachineSpec, limit: int = LIMIT) -> set[tuple[str, tuple[str, ...]]] | None:
    """Return every pair of a state and of all facts' values, in their declared order, that a run can reach.

    All facts are followed, so that only small machines can be asked. None where there are more moments than ``limit``.
    """
    moves = Moves(spec, set(spec.facts))
    reached = reach(moves, Steps(moves, frozenset(spec.states)), lambda _control: None, limit)
    if not reached.full:
        return None
    return {
        (control.state, tuple(values[name] for name in spec.facts))
        for control, worlds in reached.worlds.items()
        for values in map(moves.domain.values_of, each(worlds))
    }


_Task = Callable[[int], "_Result | _Timed"]
"""One search, of at most so many moments."""


def _here(
    tasks: Sequence[_Task], names: Sequence[str], limit: int, begin: Callable[[str], object]
) -> Iterator["_Result | _Timed"]:
    for number, (task, name) in enumerate(zip(tasks, names, strict=True)):
        if not number or name != names[number - 1]:
            begin(name)
        yield task(limit)


def _in_processes(
    tasks: list[_Task], names: Sequence[str], limit: int, begin: Callable[[str], object], processes: int
) -> Iterator["_Result | _Timed"]:
    """Search side by side. A forked process has the machine already; where there is no fork, search here."""
    if "fork" not in get_all_start_methods():
        yield from _here(tasks, names, limit, begin)
        return
    _at_hand[:] = [partial(task, limit) for task in tasks]
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for number, result in enumerate(pool.map(_searched_by_number, range(len(tasks)))):
            if not number or names[number] != names[number - 1]:
                begin(names[number])
            yield result
    _at_hand.clear()


_at_hand: list[Callable[[], "_Result | _Timed"]] = []  # what a forked process is to search, by number


def _searched_by_number(number: int) -> "_Result | _Timed":
    return _at_hand[number]()


@frozen
class _Timed:
    """What became of one question of liveness, and how long it took."""

    answer: Answer
    seconds: float


def _answered(question: Question, limit: int) -> _Timed:
    began = monotonic()
    return _Timed(question(limit), monotonic() - began)


def _ending(answers: Sequence[_Timed]) -> Ending:
    obstacles = [obstacle for timed in answers for obstacle in timed.answer.obstacles]
    return Ending(
        tuple(dict.fromkeys(obstacles)),
        sum(timed.answer.moments for timed in answers),
        all(timed.answer.full for timed in answers),
        sum(timed.seconds for timed in answers),
    )


def _searched(spec: MachineSpec, rule: Rule, limit: int) -> _Result:
    began = monotonic()
    outcome = prove(spec, rule, limit)
    dead: set[str] = set()
    vacuous = False
    if not outcome.way and outcome.reached.full:  # what can't be taken in one such search can never be
        if not (rule.inputs or rule.unless_taken):  # what it leaves out may lead to the rows it doesn't reach
            within = {row.key for row in spec.rows if not row.foreach and row.source in outcome.relevant}
            dead = within - outcome.taken
        vacuous = bool(rule.states) and not outcome.reached.states & set(rule.states)
    lines = told(outcome.reached.moves, outcome.way) if outcome.way else ()
    full = bool(outcome.way) or outcome.reached.full
    seconds = monotonic() - began
    return _Result(rule.name, outcome.reached.moments, full, lines, frozenset(dead), vacuous, seconds)


def _unattainable(spec: MachineSpec, row: Row) -> bool:
    """Whether a guard needs a value that its fact neither has at first nor gets before the row is taken."""
    needs = (
        (spec.facts[fact], values)
        for guard in map(spec.guards.__getitem__, row.guards)
        if not guard.unless
        for fact, values in guard.requires.items()
    )
    return any(not set(values) & _possible(spec, fact, besides=row) for fact, values in needs)


def _possible(spec: MachineSpec, fact: FactSpec, besides: Row) -> set[str]:
    """Return the values that a fact may have before one row is taken: its first ones, and those of all other rows."""
    if fact.depends or fact.local:
        return set(fact.values)
    rows = [other for other in spec.rows if other.key != besides.key and fact.name in other.sets]
    set_by_rows = {*(other.sets[fact.name] for other in rows), *("mixed" for other in rows if other.action)}
    world = {rule.sets[fact.name] for rule in spec.environment if fact.name in rule.sets}
    return {*initial(spec, fact), *set_by_rows, *world}
