"""Whether a mutant that lives is as good as the declared machine, shown by a search.

Where a mutant differs in nothing but what its guards let pass, the moments are searched in which it takes a row that
the declared machine refuses. If the faulty machine can never be in one of them, both do the same: the guard asks for
what holds anyway (it was asked before, or what it asks for was just brought about). What somebody does behind the
run's back counts here like all that the world does: such a guard is there to see it. Called by machines.py.
"""

from collections.abc import Iterator, Mapping

from attrs import evolve

from drfsm.spec import Guard, MachineSpec, Row
from drfsm.spec.model import Rule
from tests.mutants.machine_changes import Mutant
from tests.mutants.machine_search import OF_AN_END, Verdict, read, searched, spec_of

Moments = Mapping[str, tuple[str, ...]]


def shown_equal(mutant: Mutant) -> Verdict:
    """Return "equal" where no moment is reached in which the mutant does what the declared machine refuses."""
    declared, faulty = spec_of(mutant.machine), read(mutant.words, mutant.machine)
    if isinstance(faulty, Verdict):
        return Verdict("")
    if _unsaid(declared) == _unsaid(faulty):
        return Verdict("equal", "only a sentence is missing, where no abort may come: the loader asks for it elsewhere")
    if not only_guards_differ(declared, faulty):
        return Verdict("")
    if list(map(_asking, declared.rows)) == list(map(_asking, faulty.rows)) and declared.guards == faulty.guards:
        return Verdict("equal", "each row asks the same guards, in another order: what is left out is watched there")
    number, nothing_excused = 0, evolve(faulty, environment=tuple(map(_counted, faulty.environment)))
    for row, when in let_pass(declared, faulty):
        search = searched(nothing_excused, Rule(when=when, states=(row.source,)), OF_AN_END)
        if search.broken or not search.whole:
            return Verdict("")
        number += 1
    return (
        Verdict("equal", f"none of {number} kinds of moments is reached that it lets pass") if number else Verdict("")
    )


def only_guards_differ(declared: MachineSpec, faulty: MachineSpec) -> bool:
    """Whether both have the same rows, but for guards and waits without any, and the same world."""
    return (
        [_bare(row) for row in declared.rows] == [_bare(row) for row in faulty.rows]
        and [_world(rule) for rule in declared.environment] == [_world(rule) for rule in faulty.environment]
        and dict(declared.finals) == dict(faulty.finals)
    )


def _bare(row: Row) -> Row:
    return evolve(row, guards=(), wait=None, line=0)


def _unsaid(spec: MachineSpec) -> MachineSpec:
    rows = tuple(evolve(row, not_undone_because="", line=0) for row in spec.rows)
    return evolve(spec, rows=rows, sha256="")


def _asking(row: Row) -> tuple[Row, frozenset[str]]:
    return evolve(row, guards=(), line=0), frozenset(row.guards)


def _counted(rule: Rule) -> Rule:
    return evolve(rule, meddles=False)


def _world(rule: Rule) -> Rule:
    return evolve(rule, line=0)


def let_pass(declared: MachineSpec, faulty: MachineSpec) -> Iterator[tuple[Row, Moments]]:
    """Yield (row, facts) for every row that the faulty machine takes with these facts, and the declared one refuses."""
    for row, weaker in zip(declared.rows, faulty.rows, strict=True):
        for name in row.guards:
            guard, other = declared.guards[name], faulty.guards[name] if name in weaker.guards else None
            yield from ((row, when) for when in _weaker(declared, guard, other))


def _weaker(spec: MachineSpec, guard: Guard, other: Guard | None) -> Iterator[Moments]:
    """Yield what a guard refuses and its weaker version (None: there is none any more) does not."""
    for fact, values in guard.requires.items():
        allowed = spec.facts[fact].values if other is None else other.requires.get(fact, spec.facts[fact].values)
        if more := tuple(value for value in allowed if value not in values):
            yield {fact: more}
        refused = tuple(value for value in spec.facts[fact].values if value not in values)
        for stand_in, waives in (other.unless if other else {}).items():
            before = guard.unless.get(stand_in, ())
            if new := tuple(value for value in waives if value not in before):
                yield {fact: refused, stand_in: new} if stand_in != fact else {fact: new}
    if other is not None and len(other.unless) < len(guard.unless):
        yield {fact: values for fact, values in other.unless.items() if fact not in guard.requires} or {
            fact: spec.facts[fact].values for fact in list(guard.requires)[:1]
        }
