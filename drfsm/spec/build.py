"""From a declaration that was read to the frozen MachineSpec. Called by declare.py, which has collected every fault.

A declaration with faults is built only where its rows, finals and inputs are whole, so that the whole table can be
judged (soundness.py) and every fault is reported at once.
"""

from collections.abc import Iterable, Iterator, Mapping

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
from drfsm.spec.names import states_of
from drfsm.spec.shorthand import groups_are_whole
from drfsm.spec.words import Block, Word


def skeleton_is_whole(machine: Block) -> bool:
    """Say whether rows, finals and inputs were read without a fault, so that the table can be judged.

    A misspelt state or input, or an empty group, would look like gaps and dead ends all over the table, so only
    that fault is reported.
    """
    rows, inputs = machine["transitions"], machine.get("inputs", {})
    blocks = (*rows, *inputs.values())
    states = set(states_of(machine))
    whens = [*(row.get("when", {}) for row in rows), *(state.when for row in rows for state in row["from"])]
    selected = ((name, value) for when in whens for name, values in when.items() for value in values)
    return (
        groups_are_whole(machine)
        and all(set(block.lines) == set(block) for block in blocks)
        and {machine["initial"], *machine["finals"]} <= states
        and all(name in inputs and value in inputs[name].get("values", ()) for name, value in selected)
    )


def built(machine: Block, source: str, sha256: str) -> MachineSpec | None:
    """Return the spec; None where a part is missing without which there is none."""
    required = ("machine", "because", "initial", "finals", "transitions")
    if any(key not in machine for key in required):
        return None
    if any(key not in row for row in machine["transitions"] for key in ("from", "trigger")):
        return None
    watched = {str(n): _texts(g["watched"]) for n, g in machine.get("guards", {}).items() if "watched" in g}
    return MachineSpec(
        name=str(machine["machine"]),
        reason=str(machine["because"]),
        initial=str(machine["initial"]),
        finals={str(state): str(status) for state, status in machine["finals"].items()},
        inputs={str(n): _input(n, declared) for n, declared in machine.get("inputs", {}).items()},
        facts={str(n): _fact(n, declared) for n, declared in machine.get("facts", {}).items()},
        guards={str(n): _guard(n, declared) for n, declared in machine.get("guards", {}).items()},
        rows=tuple(row for declared in machine["transitions"] for row in _rows(declared, watched)),
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
        reads=_texts(declared.get("reads", ())),
        amended_between=_texts(declared.get("amended_between", ())),
        settled_when=_values_by_name(declared.get("settled_when", {})),
        partial=_texts(declared.get("partial", ())),
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
        watched=_texts(declared.get("watched", ())),
        never_refuses_because=_text(declared, "never_refuses_because"),
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
            meddles=rule.get("meddles", False) or rule.get("mends", False),
            mends=rule.get("mends", False),
            inputs=_values_by_name(rule.get("inputs", {})),
            unless_taken=_texts(rule.get("unless_taken", ())),
            line=rule.line,
        )
        for rule in machine.get(section, ())
    )


def _rows(row: Block, watched: Mapping[str, tuple[str, ...]]) -> Iterator[Row]:
    own, by = _texts(row.get("guards", ())), By(row.get("by", By.RUNNER))
    for state in row["from"]:
        here = (name for name, states in watched.items() if state in states and by is By.RUNNER and name not in own)
        yield Row(
            source=str(state),
            trigger=str(row["trigger"]),
            to=str(row.get("to", state)),
            reason=_text(row, "because"),
            by=by,
            when=_values_by_name({**state.when, **row.get("when", {})}),
            guards=(*own, *here),
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
            lands_late=row.get("lands_late", False),
            notes=_sets(row.get("notes", {})),
            compares=_texts(row.get("compares", ())),
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
