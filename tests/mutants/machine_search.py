"""What finds a mutant out: the loader, a claim about the table, or the checker, and which rule of it.

Owns the slicing: a rule is searched again only where the mutant differs from the declared machine in something that the
proof of this rule followed. What the proof did not follow (a guard over other facts) was free in it, so the proof
stands. The rules that the declared machine proves most cheaply are searched first, and the first finding ends it.
Where no rule finds it, it is asked whether every run of the mutant can end. Called by machines.py.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.errors import DeclarationFault
from drfsm.spec import MachineSpec
from drfsm.spec.check import check
from drfsm.spec.check.liveness import Obstacle, questions
from drfsm.spec.check.refine import prove
from drfsm.spec.model import Row, Rule
from tests.mutants.machine_changes import Mutant, declared, digest
from tests.spec.copies import Words, loaded
from tests.spec.table_claims import broken_claims

LIMIT = 4_000_000  # moments: a rule that needs more for its proof is left to `drfsm machine check`
OF_A_MUTANT = 1_000_000  # what breaks a rule is found sooner; a search that goes on so long kills nothing
BUILD = Path(__file__).parents[2] / "build" / "mutants"
OF_AN_END = 100_000  # likewise for each question whether every run can end


@frozen
class Verdict:
    """What became of a mutant.

    ``by``: loader, claim, dead row, rule, says nothing, stuck; cut off or "" for a survivor.
    """

    by: str
    which: str = ""


@frozen
class Proof:
    """A rule that a machine proves: the facts that the proof followed, and how many moments it searched."""

    rule: Rule
    followed: tuple[str, ...]
    moments: int


@frozen
class Search:
    """One rule, searched for in a machine."""

    broken: bool
    whole: bool  # not cut off
    states: Collection[str]  # that were reached
    dead: str  # a row that can never be taken
    followed: tuple[str, ...]
    moments: int


def searched(spec: MachineSpec, rule: Rule, limit: int = LIMIT) -> Search:
    """Search for one rule."""
    outcome = prove(spec, rule, limit)
    reached = outcome.reached
    rows = {row.key for row in spec.rows if row.source in outcome.relevant and rule.speaks_of(row)}
    never = rows - outcome.taken
    dead = min(never) if never and not (outcome.way or rule.inputs or rule.unless_taken) else ""
    return Search(bool(outcome.way), reached.full, reached.states, dead, reached.moves.names, reached.moments)


@cache
def spec_of(machine: str) -> MachineSpec:
    """Return the declared machine, loaded from the same words as its mutants."""
    return loaded(declared(machine), source=f"{machine}.yaml")


@cache
def proofs(machine: str) -> tuple[Proof, ...]:
    """Prove each rule of a declared machine, the cheapest first; what is not proven can kill nothing."""
    rules = {rule.name: rule for rule in spec_of(machine).never}
    proven = [Proof(rules[name], tuple(names), moments) for name, names, moments in _kept("proofs", machine, _proven)]
    return tuple(sorted(proven, key=lambda proof: proof.moments))


def _proven(machine: str) -> list[tuple[str, tuple[str, ...], int]]:
    spec = spec_of(machine)
    searches = ((rule, searched(spec, rule)) for rule in spec.never)
    return [(rule.name, each.followed, each.moments) for rule, each in searches if each.whole and not each.broken]


def _kept(kind: str, machine: str, search: Callable[[str], Any]) -> Any:
    """Return what a search of the declared machine says, from a file of it if it was searched before."""
    path = BUILD / f"{machine}-{kind}-{digest(declared(machine))}.json"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(search(machine)), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def unproven(machine: str) -> list[str]:
    """Return the rules that the declared machine does not prove."""
    return sorted({rule.name for rule in spec_of(machine).never} - {proof.rule.name for proof in proofs(machine)})


def judged(mutant: Mutant) -> Verdict:
    """Return what kills the mutant without a search: the loader, or a claim; else ""."""
    spec = read(mutant.words, mutant.machine)
    if isinstance(spec, Verdict):
        return spec
    return next((Verdict("claim", sentence) for sentence, _ in broken_claims(spec)), Verdict(""))


def searched_out(mutant: Mutant, *, first: Iterable[str] = ()) -> Verdict:
    """Return which search kills the mutant: for a dead row, a broken rule (``first`` these), a run without an end."""
    spec = read(mutant.words, mutant.machine)
    if isinstance(spec, Verdict):
        return spec
    dead = check(spec, only=["-"], limit=LIMIT).dead
    if dead:
        return Verdict("dead row", dead[0])
    verdict = _by_rules(mutant.machine, spec, set(first))
    return verdict if verdict.by not in ("", "cut off") else _by_its_end(mutant.machine, spec) or verdict


def obstacles(spec: MachineSpec) -> Iterator[Obstacle]:
    """Yield why some run of a machine can't end, and which of its guards protect against nothing."""
    for question in questions(spec):
        yield from question(OF_AN_END).obstacles


@cache
def obstacles_of(machine: str) -> frozenset[str]:
    """Return what is said of the declared machine itself: none, if all its runs can end."""
    return frozenset(_kept("ends", machine, lambda name: [obstacle.words for obstacle in obstacles(spec_of(name))]))


def _by_its_end(machine: str, spec: MachineSpec) -> Verdict | None:
    new = (obstacle.words for obstacle in obstacles(spec) if obstacle.words not in obstacles_of(machine))
    return next((Verdict("stuck", words) for words in new), None)


def read(words: Words, machine: str) -> MachineSpec | Verdict:
    """Return a faulty copy as the loader reads it, or why the loader refuses it."""
    try:
        return loaded(words, source=f"{machine}.yaml")
    except DeclarationFault as fault:
        return Verdict("loader", fault.faults[0].split(": ", 1)[-1])


def _by_rules(machine: str, spec: MachineSpec, first: Collection[str]) -> Verdict:
    rules, cut_off = {rule.name: rule for rule in spec.never}, Verdict("")
    order = sorted(proofs(machine), key=lambda proof: proof.rule.name not in first)
    for proof in touched(machine, spec, order):
        rule = rules[proof.rule.name]
        search = searched(spec, rule, OF_A_MUTANT)
        if search.broken:
            return Verdict("rule", rule.name)
        if not search.whole:
            cut_off = Verdict("cut off", rule.name)
        elif search.dead:
            return Verdict("dead row", search.dead)
        elif rule.states and not set(rule.states) & set(search.states):
            return Verdict("says nothing", rule.name)
    return cut_off


def touched(machine: str, mutant: MachineSpec, order: Iterable[Proof]) -> Iterator[Proof]:
    """Yield the proofs that may not stand for the mutant."""
    rules = {rule.name for rule in mutant.never}
    for proof in order:
        if proof.rule.name in rules and seen_by(spec_of(machine), proof.followed) != seen_by(mutant, proof.followed):
            yield proof


def seen_by(spec: MachineSpec, followed: tuple[str, ...]) -> Any:
    """Return all of a machine that a search which follows these facts can tell apart."""
    facts = set(followed)
    return (
        spec.initial,
        frozenset(spec.finals),
        tuple(spec.facts[name] for name in followed if name in spec.facts),
        tuple(_seen_of(spec, row, facts) for row in spec.rows),
        tuple(
            (part(rule.when, facts), moves(spec, rule.sets, facts), rule.states, rule.meddles)
            for rule in spec.environment
        ),
    )


def _seen_of(spec: MachineSpec, row: Row, facts: set[str]) -> Any:
    guards = [spec.guards[name] for name in row.guards]
    return (
        row.key, row.by, row.foreach, bool(row.action), bool(row.sets), moves(spec, row.sets, facts), row.undo,
        row.effect, row.point_of_no_return, row.overrides_open_intent, row.lands_late, row.amends,
        frozenset(row.compares), frozenset(row.notes.items()),
        frozenset((part(guard.requires, facts), part(guard.unless, facts)) for guard in guards
                  if facts & guard.facts),
    )  # fmt: skip


def part(required: Any, facts: set[str]) -> Any:
    """Return the part of what is required that is about followed facts."""
    return frozenset((name, frozenset(values)) for name, values in required.items() if name in facts)


def moves(spec: MachineSpec, sets: Any, facts: set[str]) -> Any:
    """Return what setting these facts does to the followed ones: those set, and those that may be anything then."""
    direct = frozenset((name, value) for name, value in sets.items() if name in facts)
    return direct, frozenset(spec.depending_on(set(sets)) & facts), frozenset(set(sets) - facts)
