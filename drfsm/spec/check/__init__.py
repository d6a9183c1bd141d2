"""Searches every possible course of a machine, and shows the shortest way to a broken ``never`` rule.

docs/checker.md says what is searched and what is abstracted. domain.py has sets of worlds, moves.py what a machine's
rows and environment do to them, steps.py the rules of the engine, search.py the search, refine.py how few facts are
followed, story.py the words.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from time import monotonic

from attrs import frozen

from drfsm.spec.check.domain import each
from drfsm.spec.check.moves import Moves, initial
from drfsm.spec.check.refine import prove
from drfsm.spec.check.report import Finding, Report
from drfsm.spec.check.search import reach
from drfsm.spec.check.steps import Steps
from drfsm.spec.check.story import Line, told
from drfsm.spec.model import FactSpec, MachineSpec, Row, Rule

__all__ = ["LIMIT", "Finding", "Line", "Report", "check", "reachable"]

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

    ``begin`` is called with the name of each rule when its search begins (with several ``processes``: when it has
    ended), "" for the rows. ``limit``: how many moments one search may reach.
    """
    rules = [Rule(), *(named for named in spec.never if not only or named.name in only)]
    results = list(
        _in_processes(spec, rules, limit, begin, processes) if processes > 1 else _here(spec, rules, limit, begin)
    )
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


def _here(spec: MachineSpec, rules: Iterable[Rule], limit: int, begin: Callable[[str], object]) -> Iterator[_Result]:
    for rule in rules:
        begin(rule.name)
        yield _searched(spec, rule, limit)


def _in_processes(
    spec: MachineSpec, rules: list[Rule], limit: int, begin: Callable[[str], object], processes: int
) -> Iterator[_Result]:
    """Search the rules side by side. A forked process has the machine already; where there is no fork, search here."""
    if "fork" not in get_all_start_methods():
        yield from _here(spec, rules, limit, begin)
        return
    _at_hand[:] = [(spec, rule, limit) for rule in rules]
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for rule, result in zip(rules, pool.map(_searched_by_number, range(len(rules))), strict=True):
            begin(rule.name)
            yield result
    _at_hand.clear()


_at_hand: list[tuple[MachineSpec, Rule, int]] = []  # what a forked process is to search, by number


def _searched_by_number(number: int) -> _Result:
    return _searched(*_at_hand[number])


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
