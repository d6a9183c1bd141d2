"""Reads a machine's declaration: YAML text in, a frozen MachineSpec out, or every fault at once.

Owns the declaration's format (the tables of keys below) and the rules that one row or one name can break
by itself; soundness.py has the rules of the whole table. Refuses to guess: a fault says where it is
(``source:line``), what is wrong and how to correct it. Called by the CLI, the runner (which reads the run's own
copy) and authors' tests; it touches no file, the text is handed in.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen

from drfsm.errors import DeclarationFault
from drfsm.spec.model import (
    Attempts,
    By,
    Effect,
    FactSpec,
    Foreseen,
    Guard,
    InputSpec,
    MachineSpec,
    PhaseSpec,
    Row,
    Rule,
    Wait,
)
from drfsm.spec.phases import check_phases
from drfsm.spec.shorthand import OLD_KEYS, groups_are_whole, members, source, write_out
from drfsm.spec.soundness import STATUSES, unsound
from drfsm.spec.words import (
    COUNT,
    FLAG,
    FREE_TABLE,
    LIMIT,
    NAME,
    PAUSE,
    SECONDS,
    TEXT,
    TIMES,
    WORD,
    Block,
    Faults,
    Key,
    Word,
    block,
    choice,
    compose,
    did_you_mean,
    listing,
    table,
)

# --- the format -----------------------------------------------------------------------------------------

_NAMES = listing(NAME)
_SETS = table(WORD)
_WANTED = table(listing(WORD, or_one=True))

_ATTEMPTS = {"max": Key(TIMES), "backoff_seconds": Key(PAUSE), "repair": Key(NAME)}
_WAIT = {
    "every_seconds": Key(SECONDS, required=True),
    "limit": Key(LIMIT, required=True),
    "consecutive": Key(COUNT),
    "give_up": Key(_WANTED),
}
_SOURCE = {"state": Key(NAME, required=True), "when": Key(_WANTED, required=True)}
_ROW = {
    "from": Key(listing(source(NAME, block(_SOURCE, "a source")), or_one=True), required=True),
    "trigger": Key(NAME, required=True),
    "to": Key(NAME),
    "by": Key(choice(*By)),
    "when": Key(_WANTED),
    "guards": Key(_NAMES),
    "action": Key(NAME),
    "sets": Key(_SETS),
    "effect": Key(choice(*Effect)),
    "attempts": Key(block(_ATTEMPTS, "attempts")),
    "wait": Key(block(_WAIT, "wait")),
    "undo": Key(NAME),
    "not_undone_because": Key(TEXT),
    "amends": Key(_NAMES),
    "foreach": Key(choice("undo")),
    "timeout_seconds": Key(SECONDS),
    "point_of_no_return": Key(FLAG),
    "overrides_open_intent": Key(FLAG),
    "foresees": Key(FLAG),
    "rounds": Key(TIMES),
    "because": Key(TEXT, required=True),
}
_DEFAULTS = {key: _ROW[key] for key in ("effect", "attempts")}
_INPUT = {"values": Key(listing(WORD)), "because": Key(TEXT)}
_FACT = {
    "values": Key(listing(WORD), required=True),
    "because": Key(TEXT),
    "local": Key(FLAG),
    "depends": Key(_NAMES),
    "initial": Key(listing(WORD)),
    "hidden": Key(FLAG),
    "known_after": Key(NAME),
}
_GUARD = {
    "requires": Key(_WANTED, required=True),
    "unless": Key(_WANTED),
    "foreseen": Key(choice(*Foreseen)),
    "because": Key(TEXT, required=True),
    "mend": Key(TEXT),
}
_ENVIRONMENT = {
    "when": Key(_WANTED),
    "sets": Key(_SETS, required=True),
    "states": Key(_NAMES),
    "because": Key(TEXT),
}
_NEVER = {
    "name": Key(NAME, required=True),
    "when": Key(_WANTED, required=True),
    "states": Key(_NAMES),
    "because": Key(TEXT, required=True),
}
_FROZEN = {"when": Key(_WANTED, required=True), "because": Key(TEXT, required=True)}
_PHASE = {
    "triggers": Key(_NAMES, required=True),
    "ends": Key(table(NAME), required=True),
    "fails": Key(_NAMES),
}
_MACHINE = {
    "machine": Key(NAME, required=True),
    "because": Key(TEXT, required=True),
    "initial": Key(NAME, required=True),
    "finals": Key(table(choice(*STATUSES)), required=True),
    "defaults": Key(block(_DEFAULTS, "defaults")),
    "groups": Key(table(members(_NAMES))),
    "inputs": Key(table(block(_INPUT, "an input"))),
    "facts": Key(table(block(_FACT, "a fact"))),
    "guards": Key(table(block(_GUARD, "a guard"))),
    "environment": Key(listing(block(_ENVIRONMENT, "an environment rule"))),
    "never": Key(listing(block(_NEVER, "a never rule"))),
    "frozen": Key(listing(block(_FROZEN, "a frozen rule"))),
    "transitions": Key(listing(block(_ROW, "a transition", OLD_KEYS)), required=True),
    "phases": Key(table(block(_PHASE, "a phase"))),
    "receipt": Key(FREE_TABLE),
}
_DECLARATION = block(_MACHINE, "a machine")


def dump_schema() -> dict[str, Any]:
    """Return the format as a JSON Schema (draft 2020-12), for editors. The loader knows more than it can say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drfsm machine",
        "description": "A declared drfsm machine; `drfsm machine check` finds what a schema cannot.",
        **_DECLARATION.schema,
    }


def load_machine(text: bytes | str, *, source: str = "<machine>") -> MachineSpec:
    """Read a declaration. Raises DeclarationFault with every fault, each with its line and a correction."""
    return _loaded(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text), source)


@lru_cache(maxsize=16)
def _loaded(raw: bytes, source: str) -> MachineSpec:
    """Read a declaration once: a command asks for the same one several times, and each reading costs 0.1 s."""
    faults = Faults(source)
    declared = _read(raw, faults)
    spec = None
    if declared is not None:
        write_out(declared, faults)
        _check_names(declared, faults)
        _check_rows(declared, faults)
        spec = _built(declared, source, hashlib.sha256(raw).hexdigest())
        if spec is not None and _skeleton_is_whole(declared):
            for fault in unsound(spec):
                faults.add(*fault)
    if faults.entries or spec is None:
        lines = faults.lines()
        count = "one fault" if len(lines) == 1 else f"{len(lines)} faults"
        raise DeclarationFault(f"{source}: {count} in the declaration", lines, hint="correct the declaration")
    return spec


def _read(raw: bytes, faults: Faults) -> Block | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        faults.add(line, "these bytes are not UTF-8", "save the declaration as UTF-8")
        return None
    root = compose(text, faults)
    declared: Block | None = None if root is None else _DECLARATION.read(root, faults, "the declaration")
    return declared


# --- names that must be known ---------------------------------------------------------------------------


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
            dict.fromkeys(map(str, _states(machine))),
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


def _states(machine: Block) -> Iterator[Word]:
    for row in machine.get("transitions", ()):
        yield from row.get("from", ())
        if "to" in row:
            yield row["to"]


def _check_names(machine: Block, faults: Faults) -> None:
    known = _Known.of(machine, faults)
    triggers = [row["trigger"] for row in machine.get("transitions", ()) if "trigger" in row]
    if "initial" in machine:
        known.state(machine["initial"])
    for state in machine.get("finals", ()):
        known.state(state)
    for name, fact in machine.get("facts", {}).items():
        _check_fact(name, fact, known)
        if "known_after" in fact:
            known.name(fact["known_after"], triggers, "trigger", "name the row's trigger that brings it about")
    for guard in machine.get("guards", {}).values():
        known.requirements(guard.get("requires", {}))
        known.requirements(guard.get("unless", {}))
    for row in machine.get("transitions", ()):
        _check_row_names(row, known)
    for rule in _rules(machine):
        known.requirements(rule.get("when", {}))
        known.sets(rule.get("sets", {}))
        for state in rule.get("states", ()):
            known.state(state)
    _check_rule_names(machine, faults)
    _check_hidden(machine, faults)
    _check_used(machine, faults)
    check_phases(machine, faults)


def _rules(machine: Block) -> Iterator[Block]:
    for section in ("environment", "never", "frozen"):
        yield from machine.get(section, ())


def _check_fact(name: Word, fact: Block, known: _Known) -> None:
    known.values(f"fact {name}", fact.get("initial", ()), known.facts[name])
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
    wait = row.get("wait", Block(row.line))
    known.give_up(wait.get("give_up", {}))
    if isinstance(limit := wait.get("limit"), Word):
        known.name(limit, known.inputs, "input", "write seconds, or declare it under inputs")
    for most in (row.get("attempts", {}).get("max"), row.get("rounds")):
        if isinstance(most, Word):
            known.name(most, known.inputs, "input", "write a number, or declare it under inputs")


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
        used |= set(rule.get("sets", ()))
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


# --- what one row can get wrong -------------------------------------------------------------------------

_MUTATING = (Effect.IDEMPOTENT, Effect.ONCE)


def _mutates(row: Block) -> bool:
    return row.get("effect") in _MUTATING


_ROW_RULES: tuple[tuple[Callable[[Block], bool], str, str, str], ...] = (
    # at fault if                                                        key, what is wrong, the mend
    (
        lambda r: "action" in r and "effect" not in r.lines,
        "action",
        "an action without effect",
        "add `effect: none`, `idempotent` or `once`",
    ),
    (
        lambda r: "action" in r and r.get("effect") == Effect.NONE and "sets" in r,
        "sets",
        "an action with effect none sets facts",
        "write `effect: idempotent` or `once`, or remove sets",
    ),
    (
        lambda r: "action" in r and _mutates(r) and "sets" not in r.lines,
        "effect",
        "an action with an effect sets nothing, so no probe can tell whether it was done",
        "add `sets: {fact: value}`, or write `effect: none`",
    ),
    (
        lambda r: "action" not in r.lines and "sets" in r,
        "sets",
        "sets without an action",
        "add the action that does it, or remove sets",
    ),
    (
        lambda r: "action" not in r.lines and _mutates(r) and "foreach" not in r,
        "effect",
        "an effect without an action",
        "add the action, or remove effect",
    ),
    (
        lambda r: "action" not in r.lines and "undo" in r,
        "undo",
        "undo without an action",
        "remove undo: there is nothing to undo",
    ),
    (
        lambda r: "action" not in r.lines and "not_undone_because" in r,
        "not_undone_because",
        "not_undone_because without an action",
        "remove it: there is nothing to undo",
    ),
    (
        lambda r: "undo" in r and "not_undone_because" in r,
        "not_undone_because",
        "both undo and not_undone_because",
        "keep one: an abort either undoes it or says why not",
    ),
    (
        lambda r: "action" in r and r.get("effect") == Effect.NONE and ("undo" in r or "not_undone_because" in r),
        "effect",
        "undo or not_undone_because for an action with effect none",
        "remove it, or name the effect",
    ),
    (
        lambda r: "wait" in r and "guards" not in r.lines,
        "wait",
        "a wait without guards",
        "add the guards to wait for",
    ),
    (
        lambda r: "foreach" in r and r.get("by", By.RUNNER) == By.FAILURE,
        "by",
        "an undo loop by failure",
        "let the runner take it (or, to waive an undo, the operator)",
    ),
    (
        lambda r: "foreach" in r and "from" in r and "to" in r and tuple(r["from"]) != (r["to"],),
        "to",
        "an undo loop that leaves its state",
        "let from and to name the same one state",
    ),
    (
        lambda r: "to" not in r.lines and r.get("by", By.RUNNER) != By.OPERATOR,
        "trigger",
        "a row without `to` stays where it is, which only an operator's row may",
        "add `to: STATE`, or `by: operator`",
    ),
    (
        lambda r: "amends" in r and r.get("by", By.RUNNER) != By.OPERATOR,
        "amends",
        "inputs that nobody amends",
        "write `by: operator`: only an operator may change the inputs",
    ),
    (
        lambda r: r.get("overrides_open_intent", False) and r.get("by", By.RUNNER) != By.FAILURE,
        "overrides_open_intent",
        "only a failure overrides an open intent",
        "write `by: failure`, or remove overrides_open_intent",
    ),
    (
        lambda r: "rounds" in r and r.get("by", By.RUNNER) != By.FAILURE,
        "rounds",
        "only a failure leads back in rounds",
        "write `by: failure`, or remove rounds",
    ),
    (
        lambda r: r.get("rounds") == 1,
        "rounds",
        "one round only, so this row is never taken",
        "write 2 or more, or remove the row",
    ),
    (
        lambda r: "foreach" in r and ("action" in r or "undo" in r or "not_undone_because" in r),
        "foreach",
        "an undo loop with its own action, undo or not_undone_because",
        "remove it: each undo is named by the row undone",
    ),
    (
        lambda r: r.get("point_of_no_return", False) and "action" in r and r.get("effect") == Effect.NONE,
        "point_of_no_return",
        "a point_of_no_return without an effect",
        "name the action's effect, or remove point_of_no_return",
    ),
    (
        lambda r: r.get("point_of_no_return", False) and "action" not in r.lines,
        "point_of_no_return",
        "a point_of_no_return without an action",
        "add the action, or remove point_of_no_return",
    ),
    (
        lambda r: r.get("foresees", False) and (r.get("by", By.RUNNER) != By.RUNNER or "wait" in r or "foreach" in r),
        "foresees",
        "only a row that the runner takes, and that awaits nothing, foresees",
        "remove foresees here, or write it on the row that checks everything first",
    ),
    (
        lambda r: "repair" in r.get("attempts", {}) and r["attempts"].get("max", 1) == 1,
        "attempts",
        "a repair that never runs: there is one attempt only",
        "add `max: 2` or more, or remove repair",
    ),
)


def _check_rows(machine: Block, faults: Faults) -> None:
    undo_loop = any("foreach" in row for row in machine.get("transitions", ()))
    guards = machine.get("guards", {})
    for row in machine.get("transitions", ()):
        for broken, key, what, mend in _ROW_RULES:
            if broken(row):
                faults.add(row.at(key), what, mend)
        if "undo" in row and not undo_loop:
            faults.add(
                row.at("undo"), "no row takes this undo", "add a row with `foreach: undo`, or write not_undone_because"
            )
        _check_give_up(row, guards, faults)


def _check_give_up(row: Block, guards: Mapping[str, Block], faults: Faults) -> None:
    give_up = row["wait"].get("give_up", {}) if "wait" in row else {}
    for name in row.get("guards", ()):
        requires = guards[name].get("requires", {}) if name in guards else {}
        for fact, values in give_up.items():
            for value in set(values) & set(requires.get(fact, ())):
                faults.add(fact.line, f"give_up at {fact}: {value}, which guard {name} waits for", "remove one")


# --- from what was read to the frozen spec --------------------------------------------------------------


def _skeleton_is_whole(machine: Block) -> bool:
    """Say whether rows, finals and inputs were read without a fault, so that the table can be judged.

    A misspelt state or input, or an empty group, would look like gaps and dead ends all over the table, so only
    that fault is reported.
    """
    rows, inputs = machine["transitions"], machine.get("inputs", {})
    blocks = (*rows, *inputs.values())
    states = set(_states(machine))
    whens = [*(row.get("when", {}) for row in rows), *(state.when for row in rows for state in row["from"])]
    selected = ((name, value) for when in whens for name, values in when.items() for value in values)
    return (
        groups_are_whole(machine)
        and all(set(block.lines) == set(block) for block in blocks)
        and {machine["initial"], *machine["finals"]} <= states
        and all(name in inputs and value in inputs[name].get("values", ()) for name, value in selected)
    )


def _built(machine: Block, source: str, sha256: str) -> MachineSpec | None:
    required = ("machine", "because", "initial", "finals", "transitions")
    if any(key not in machine for key in required):
        return None
    if any(key not in row for row in machine["transitions"] for key in ("from", "trigger")):
        return None
    return MachineSpec(
        name=str(machine["machine"]),
        reason=str(machine["because"]),
        initial=str(machine["initial"]),
        finals={str(state): str(status) for state, status in machine["finals"].items()},
        inputs={str(n): _input(n, declared) for n, declared in machine.get("inputs", {}).items()},
        facts={str(n): _fact(n, declared) for n, declared in machine.get("facts", {}).items()},
        guards={str(n): _guard(n, declared) for n, declared in machine.get("guards", {}).items()},
        rows=tuple(row for declared in machine["transitions"] for row in _rows(declared)),
        environment=_built_rules(machine, "environment"),
        never=_built_rules(machine, "never"),
        frozen=_built_rules(machine, "frozen"),
        phases={str(n): _phase(n, declared) for n, declared in machine.get("phases", {}).items()},
        receipt=machine.get("receipt", {}),
        sha256=sha256,
        source=source,
    )


def _text(declared: Block, key: str) -> str:
    return str(declared.get(key, ""))


def _texts(words: Iterable[Word]) -> tuple[str, ...]:
    return tuple(str(word) for word in words)


def _values_by_name(declared: Mapping[Word, tuple[Word, ...]]) -> dict[str, tuple[str, ...]]:
    return {str(name): _texts(words) for name, words in declared.items()}


def _sets(declared: Mapping[Word, Word]) -> dict[str, str]:
    return {str(name): str(word) for name, word in declared.items()}


def _input(name: Word, declared: Block) -> InputSpec:
    return InputSpec(str(name), _texts(declared.get("values", ())), _text(declared, "because"), name.line)


def _fact(name: Word, declared: Block) -> FactSpec:
    return FactSpec(
        name=str(name),
        values=_texts(declared.get("values", ())),
        reason=_text(declared, "because"),
        local=declared.get("local", False),
        depends=_texts(declared.get("depends", ())),
        initial=_texts(declared.get("initial", ())),
        hidden=declared.get("hidden", False),
        known_after=_text(declared, "known_after"),
        line=name.line,
    )


def _guard(name: Word, declared: Block) -> Guard:
    requires, unless = _values_by_name(declared.get("requires", {})), _values_by_name(declared.get("unless", {}))
    return Guard(
        name=str(name),
        requires=requires,
        reason=_text(declared, "because"),
        unless=unless,
        foreseen=Foreseen(declared.get("foreseen", Foreseen.NO)),
        mend=_text(declared, "mend"),
        line=name.line,
    )


def _phase(name: Word, declared: Block) -> PhaseSpec:
    triggers, fails = _texts(declared.get("triggers", ())), _texts(declared.get("fails", ()))
    return PhaseSpec(str(name), triggers, _sets(declared.get("ends", {})), fails, name.line)


def _built_rules(machine: Block, section: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            when=_values_by_name(rule.get("when", {})),
            sets=_sets(rule.get("sets", {})),
            name=_text(rule, "name"),
            reason=_text(rule, "because"),
            states=_texts(rule.get("states", ())),
            line=rule.line,
        )
        for rule in machine.get(section, ())
    )


def _rows(row: Block) -> Iterator[Row]:
    for state in row["from"]:
        yield Row(
            source=str(state),
            trigger=str(row["trigger"]),
            to=str(row.get("to", state)),
            reason=_text(row, "because"),
            by=By(row.get("by", By.RUNNER)),
            when=_values_by_name({**state.when, **row.get("when", {})}),
            guards=_texts(row.get("guards", ())),
            action=_optional(row, "action"),
            sets=_sets(row.get("sets", {})),
            effect=Effect(row.get("effect", Effect.NONE)),
            attempts=_attempts(row.get("attempts", Block(0))),
            wait=_wait(row.get("wait")),
            undo=_optional(row, "undo"),
            not_undone_because=_text(row, "not_undone_because"),
            amends=_texts(row.get("amends", ())),
            foreach=_optional(row, "foreach"),
            timeout_seconds=row.get("timeout_seconds"),
            point_of_no_return=row.get("point_of_no_return", False),
            overrides_open_intent=row.get("overrides_open_intent", False),
            foresees=row.get("foresees", False),
            rounds=_number_or_input(row.get("rounds", 0)),
            line=row.line,
        )


def _optional(declared: Block, key: str) -> str | None:
    return str(declared[key]) if key in declared else None


def _attempts(declared: Block) -> Attempts:
    most = _number_or_input(declared.get("max", 1))
    return Attempts(most, declared.get("backoff_seconds", 0.0), _optional(declared, "repair"))


def _number_or_input(number: int | Word) -> int | str:
    return str(number) if isinstance(number, Word) else number


def _wait(declared: Block | None) -> Wait | None:
    if declared is None or "every_seconds" not in declared or "limit" not in declared:
        return None
    limit = declared["limit"]
    return Wait(
        every_seconds=declared["every_seconds"],
        limit=str(limit) if isinstance(limit, Word) else limit,
        consecutive=declared.get("consecutive", 1),
        give_up=_values_by_name(declared.get("give_up", {})),
    )
