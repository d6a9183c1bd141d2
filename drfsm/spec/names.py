"""Whether a declaration names only what it declares, and declares only what it uses. Called by declare.py.

Every fault is collected; none stops the reading. A name that is nearly a declared one gets the declared one suggested.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from drfsm.spec.phases import check_phases
from drfsm.spec.words import Block, Faults, Word, did_you_mean


@frozen
class _Known:
    """The declared names and values, and the fault for an undeclared one."""

    faults: Faults
    facts: Mapping[str, tuple[Word, ...]]
    inputs: Mapping[str, tuple[Word, ...]]
    guards: Mapping[str, Any]
    states: Collection[str]

    @classmethod
    def of(cls, machine: Block, faults: Faults) -> "_Known":
        return cls(
            faults,
            {name: fact.get("values", ()) for name, fact in machine.get("facts", {}).items()},
            {name: declared.get("values", ()) for name, declared in machine.get("inputs", {}).items()},
            machine.get("guards", {}),
            dict.fromkeys(map(str, states_of(machine))),
        )

    def name(self, word: Word, known: Iterable[str], kind: str, declare: str) -> bool:
        """Return whether a name is known; an unknown one is a fault."""
        if word in known:
            return True
        self.faults.add(word.line, f"there is no {kind} {word}", did_you_mean(word, known, declare))
        return False

    def fact(self, word: Word) -> bool:
        return self.name(word, self.facts, "fact", "declare it under facts")

    def state(self, word: Word) -> bool:
        return self.name(word, self.states, "state", "name it in a transition")

    def values(self, owner: str, words: Iterable[Word], values: tuple[Word, ...]) -> None:
        """Check values against the declared ones (none, where their declaration is itself at fault)."""
        for word in words:
            if values and word not in values:
                mend = did_you_mean(word, values, f"it has {', '.join(values)}")
                self.faults.add(word.line, f"{owner} has no value {word}", mend)

    def requirements(self, requirements: Mapping[Word, tuple[Word, ...]]) -> None:
        for fact, words in requirements.items():
            if self.fact(fact):
                self.values(f"fact {fact}", words, self.facts[fact])

    def give_up(self, required: Mapping[Word, tuple[Word, ...]]) -> None:
        """Check the values at which a wait gives up: also ``unknown``, for what could not be read."""
        self.requirements(
            {fact: tuple(word for word in words if word != "unknown") for fact, words in required.items()}
        )

    def sets(self, sets: Mapping[Word, Word]) -> None:
        self.requirements({fact: (word,) for fact, word in sets.items()})

    def when(self, when: Mapping[Word, tuple[Word, ...]]) -> None:
        for name, words in when.items():
            if not self.name(name, self.inputs, "input", "declare it under inputs with its values"):
                continue
            if not self.inputs[name]:
                self.faults.add(
                    name.line,
                    f"when: input {name} has no declared values",
                    f"declare inputs.{name}.values, or guard a fact instead",
                )
            self.values(f"input {name}", words, self.inputs[name])


def states_of(machine: Block) -> Iterator[Word]:
    """Yield every state that a row names, as often as it is named."""
    for row in machine.get("transitions", ()):
        yield from row.get("from", ())
        if "to" in row:
            yield row["to"]


def check_names(machine: Block, faults: Faults) -> None:
    """Report every name that is not declared, and every one that is declared and not used."""
    known = _Known.of(machine, faults)
    triggers = [row["trigger"] for row in machine.get("transitions", ()) if "trigger" in row]
    if "initial" in machine:
        known.state(machine["initial"])
    for state in machine.get("finals", ()):
        known.state(state)
    for name, fact in machine.get("facts", {}).items():
        _check_fact(name, fact, triggers, known)
    for guard in machine.get("guards", {}).values():
        known.requirements(guard.get("requires", {}))
        known.requirements(guard.get("unless", {}))
        for state in guard.get("watched", ()):
            known.state(state)
    for row in machine.get("transitions", ()):
        _check_row_names(row, known)
    for rule in _rules(machine):
        known.requirements(rule.get("when", {}))
        known.sets(rule.get("sets", {}))
        for state in rule.get("states", ()):
            known.state(state)
    _check_scopes(machine, known, triggers)
    _check_rule_names(machine, faults)
    _check_hidden(machine, faults)
    _check_used(machine, faults)
    check_phases(machine, faults)


def _rules(machine: Block) -> Iterator[Block]:
    for section in ("environment", "never", "frozen"):
        yield from machine.get(section, ())


def _check_fact(name: Word, fact: Block, triggers: Collection[str], known: _Known) -> None:
    if "known_after" in fact:
        known.name(fact["known_after"], triggers, "trigger", "name the row's trigger that brings it about")
    known.values(f"fact {name}", fact.get("initial", ()), known.facts[name])
    known.values(f"fact {name}", fact.get("partial", ()), known.facts[name])
    known.values(f"fact {name}", fact.get("amended_between", ()), known.facts[name])
    known.requirements(fact.get("settled_when", {}))
    for name_of_input in fact.get("reads", ()):
        known.name(name_of_input, known.inputs, "input", "declare it under inputs")
    for dependency in fact.get("depends", ()):
        if known.fact(dependency) and dependency == name:
            known.faults.add(dependency.line, f"fact {name} depends on itself", "remove it from depends")
    for value in fact.get("values", ()):
        if value == "unknown":
            known.faults.add(
                value.line,
                f"fact {name} declares unknown",
                "remove it: unknown is always possible, for what could not be read",
            )


def _check_row_names(row: Block, known: _Known) -> None:
    for source_state in row.get("from", ()):
        known.when(source_state.when)
        for name in set(source_state.when) & set(row.get("when", ())):
            known.faults.add(
                name.line, f"{source_state} and its row both select by {name}", "select by it in one of them"
            )
    known.when(row.get("when", {}))
    for name in row.get("amends", ()):
        known.name(name, known.inputs, "input", "declare it under inputs")
    for guard in row.get("guards", ()):
        known.name(guard, known.guards, "guard", "declare it under guards")
    known.sets(row.get("sets", {}))
    known.sets(row.get("notes", {}))
    for fact in row.get("compares", ()):
        known.fact(fact)
    wait = row.get("wait", Block(row.line))
    known.give_up(wait.get("give_up", {}))
    if isinstance(limit := wait.get("limit"), Word):
        known.name(limit, known.inputs, "input", "write seconds, or declare it under inputs")
    for most in (row.get("attempts", {}).get("max"), row.get("rounds")):
        if isinstance(most, Word):
            known.name(most, known.inputs, "input", "write a number, or declare it under inputs")


def _check_scopes(machine: Block, known: _Known, triggers: Collection[str]) -> None:
    """Check of which runs the never rules speak: an input that a person may amend selects none."""
    amended = {name for row in machine.get("transitions", ()) for name in row.get("amends", ())}
    for rule in machine.get("never", ()):
        for trigger in rule.get("unless_taken", ()):
            known.name(trigger, triggers, "trigger", "name the trigger of a row")
        known.when(rule.get("inputs", {}))
        for name in rule.get("inputs", ()):
            if name in amended:
                mend = "name a fact that is judged from it under when"
                known.faults.add(name.line, f"a never rule selects runs by {name}, which a person may amend", mend)


def _check_rule_names(machine: Block, faults: Faults) -> None:
    first: dict[str, int] = {}
    for rule in machine.get("never", ()):
        if "name" not in rule:
            continue
        name = rule["name"]
        if name in first:
            faults.add(name.line, f"never has {name} twice", f"rename one (the first is on line {first[name]})")
        first.setdefault(name, name.line)


def _check_hidden(machine: Block, faults: Faults) -> None:
    """Find hidden facts that would have to be read; only environment and never rules may name them."""
    hidden = {name for name, fact in machine.get("facts", {}).items() if fact.get("hidden")}
    named: list[Word] = []
    for guard in machine.get("guards", {}).values():
        named += [*guard.get("requires", ()), *guard.get("unless", ())]
    for row in machine.get("transitions", ()):
        named += [*row.get("sets", ()), *row.get("wait", {}).get("give_up", ())]
    for rule in machine.get("frozen", ()):
        named += rule.get("when", ())
    for fact in machine.get("facts", {}).values():
        named += fact.get("depends", ())
    for word in named:
        if word in hidden:
            mend = "name it in environment and never only, or bind it and remove hidden"
            faults.add(word.line, f"fact {word} is hidden: nobody can read it", mend)


def _check_used(machine: Block, faults: Faults) -> None:
    """Find what is declared and never used. A receipt uses the facts that it names."""
    rows = machine.get("transitions", ())
    waits = [row["wait"] for row in rows if "wait" in row]
    guards = {guard for row in rows for guard in row.get("guards", ())}
    guards |= {name for name, guard in machine.get("guards", {}).items() if "watched" in guard}
    inputs = {name for row in rows for key in ("when", "amends") for name in row.get(key, ())}
    inputs |= {name for row in rows for state in row.get("from", ()) for name in state.when}
    inputs |= {wait.get("limit") for wait in waits}
    inputs |= {row["attempts"].get("max") for row in rows if "attempts" in row} | {row.get("rounds") for row in rows}
    for name in set(machine.get("guards", ())) - guards:
        faults.add(name.line, f"guard {name} is used by no transition", "guard one with it, or remove it")
    for name in set(machine.get("facts", ())) - _facts_used(machine, waits):
        faults.add(name.line, f"fact {name} is used nowhere", "require or set it somewhere, or remove it")
    for name, declared in machine.get("inputs", {}).items():
        if name not in inputs and "because" not in declared:
            mend = "select a transition with it, or say in because what reads it"
            faults.add(name.line, f"input {name} is used by no transition", mend)


def _facts_used(machine: Block, waits: Iterable[Block]) -> set[str]:
    used: set[str] = set(_strings(machine.get("receipt", {})))
    for guard in machine.get("guards", {}).values():
        used |= set(guard.get("requires", ())) | set(guard.get("unless", ()))
    for rule in (*machine.get("transitions", ()), *machine.get("environment", ())):
        used |= set(rule.get("sets", ())) | set(rule.get("notes", ()))
    for rule in _rules(machine):
        used |= set(rule.get("when", ()))
    for wait in waits:
        used |= set(wait.get("give_up", ()))
    for fact in machine.get("facts", {}).values():
        used |= set(fact.get("depends", ()))
    return used


def _strings(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield key
            yield from _strings(value)
    else:
        for item in thing:
            yield from _strings(item)
