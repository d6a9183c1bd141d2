"""What a declaration can say that the exhaustive search would have to take in two ways, or could not hold to anything.

Rules that came with drfsm 0.5.0: a declaration that a run was started with before is read without them. Called by
declare.py.
"""

from collections.abc import Collection, Iterator

from drfsm.spec.graph import closure, onward
from drfsm.spec.words import Block, Faults, Word


def check_search(machine: Block, faults: Faults) -> None:
    """Report every fault."""
    facts = machine.get("facts", {})
    _check_circles(machine, faults)
    for name, fact in facts.items():
        _check_fact(name, fact, faults)
    hidden = {name for name, fact in facts.items() if fact.get("hidden")}
    for row in machine.get("transitions", ()):
        _check_row(machine, row, hidden, faults)


def _check_fact(name: Word, fact: Block, faults: Faults) -> None:
    if "settled_when" in fact and "depends" not in fact:
        mend = "remove it, or say in depends what changes it"
        faults.add(fact.at("settled_when"), f"fact {name} depends on nothing, so it is always settled", mend)
    if "amended_between" in fact and "reads" not in fact:
        mend = "say in reads which inputs decide between them, or remove it"
        faults.add(fact.at("amended_between"), f"fact {name} reads no input that could be amended", mend)
    if fact.get("hidden") and "reads" in fact:
        mend = "let the row note what becomes of it (notes), or bind the fact and remove hidden"
        faults.add(fact.at("reads"), f"fact {name} is hidden: nothing judges it", mend)


def _check_row(machine: Block, row: Block, hidden: Collection[str], faults: Faults) -> None:
    trigger = row.get("trigger", "a row")
    for fact in row.get("notes", ()):
        if fact not in hidden:
            mend = "note hidden facts only: what can be read is set by an action"
            faults.add(fact.line, f"{trigger} notes {fact}, which is not hidden", mend)
    required = set(_required(machine, row)) if "compares" in row else set()
    for fact in row.get("compares", ()):
        if fact not in required:
            mend = "guard the row with it, or remove it from compares"
            faults.add(fact.line, f"{trigger} compares {fact}, which no guard of it requires", mend)


def _required(machine: Block, row: Block) -> Iterator[str]:
    watched = (name for name, guard in machine.get("guards", {}).items() if "watched" in guard)
    for name in (*row.get("guards", ()), *watched):
        yield from machine.get("guards", {}).get(name, {}).get("requires", ())


def _check_circles(machine: Block, faults: Faults) -> None:
    """Find facts that depend on themselves through others."""
    facts = machine.get("facts", {})
    depends: list[tuple[Word, Word]] = [(name, on) for name, fact in facts.items() for on in fact.get("depends", ())]
    leads_to = onward(depends)
    for name, on in depends:
        if on != name and name in closure(leads_to.get(on, ()), leads_to):
            faults.add(on.line, f"fact {name} depends on {on}, which depends on {name}", "remove one of the two")
            return
