"""What a name means: a state, a trigger, a guard or a fact of a machine, an exit code, a code of the doctor or audit.

Everything is said in the words of the declaration (machines/*.yaml) and of the table of exit codes (exit_codes.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drfsm.cli.exit_codes import MEANINGS, plain
from drfsm.errors import ExitCode
from drfsm.evidence.audit import codes as audit_codes
from drfsm.resources import shipped
from drfsm.runs.doctor.codes import CODES
from drfsm.spec import MachineSpec, Row, load_machine
from drfsm.spec.model import By

Fields = dict[str, Any]
_BY = {By.RUNNER: "drfsm takes it by itself", By.OPERATOR: "a person asks for it", By.FAILURE: "a failure leads there"}


def shipped_machines() -> list[MachineSpec]:
    """Return every machine that drfsm ships."""
    return [load_machine(file.read_bytes(), source=file.name) for file in sorted(shipped("machines").glob("*.yaml"))]


def names(specs: Iterable[MachineSpec]) -> Iterator[tuple[str, str]]:
    """Yield every name that can be explained, once for each kind, with its kind."""
    known: dict[tuple[str, str], None] = {}
    for spec in specs:
        for kind, kind_names in _kinds(spec).items():
            known.update(dict.fromkeys((name, kind) for name in kind_names))
    known.update(dict.fromkeys((meaning.name, "exit code") for meaning in MEANINGS.values()))
    known.update(dict.fromkeys((str(int(code)), "exit code") for code in MEANINGS))
    known.update(dict.fromkeys((name, "finding") for name in CODES))
    known.update(dict.fromkeys((name, "finding") for name in audit_codes.CODES))
    yield from known


def finding_codes() -> Iterator[str]:
    """Yield every code that a finding of `drfsm doctor` can have: its own, and the guards of the procedures."""
    yield from CODES
    yield from dict.fromkeys(name for spec in shipped_machines() for name in spec.guards)


def explained(name: str, specs: Iterable[MachineSpec]) -> list[Fields]:
    """Return what a name means, one entry for each thing that is named so; [] for a name that nothing has."""
    found = [*_exit_code(name), *_finding(name)]
    for spec in specs:
        for kind, kind_names in _kinds(spec).items():
            if name in kind_names:
                found.append({"kind": kind, "name": name, "machine": spec.name, **_ABOUT[kind](spec, name)})
    return found


def lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield one explanation as lines of text."""
    where = f" of {entry['machine']}" if "machine" in entry else ""
    yield f"{entry['name']}: {entry['kind']}{where}"
    for title, content in entry.items():
        if title in ("kind", "name", "machine") or content in ("", [], {}):
            continue
        label = title.replace("_", " ")
        if isinstance(content, list) and len(content) == 1:
            yield f"  {label}: {content[0]}"
        elif isinstance(content, list):
            yield f"  {label}:"
            yield from (f"    {item}" for item in content)
        else:
            yield f"  {label}: {content}"


def _exit_code(name: str) -> Iterator[Fields]:
    for code, meaning in MEANINGS.items():
        if name in (str(int(code)), meaning.name, ExitCode(code).name.lower()):
            yield {
                "kind": "exit code", "name": f"{int(code)} ({meaning.name})", "means": plain(meaning.means),
                "what_to_do": plain(meaning.to_do),
            }  # fmt: skip


def _finding(name: str) -> Iterator[Fields]:
    """Yield what a code of `drfsm doctor` means; that of a guard is the guard's own matter."""
    if name in CODES:
        code = CODES[name]
        yield {"kind": "finding", "name": name, "weighs": code.severity, "means": code.means, "what_to_do": code.to_do}
    if name in audit_codes.CODES:
        found = audit_codes.CODES[name]
        rule = audit_codes.RULES[found.rule]
        yield {
            "kind": "finding", "name": name, "weighs": found.severity, "means": found.means,
            "what_to_do": found.to_do, "rule": f"{found.rule}: {rule.asks}", "found_by": rule.witness,
        }  # fmt: skip


def _kinds(spec: MachineSpec) -> dict[str, tuple[str, ...]]:
    return {
        "state": spec.states,
        "trigger": spec.triggers,
        "guard": tuple(spec.guards),
        "fact": tuple(spec.facts),
    }


def _state(spec: MachineSpec, name: str) -> Fields:
    into = [row for row in spec.rows if row.to == name and row.source != name]
    out = [row for row in spec.rows if row.source == name]
    return {
        "means": _once(row.reason for row in into if row.by is By.RUNNER) or _once(row.reason for row in into),
        "ends_the_run": spec.finals.get(name, ""),
        "reached_by": _grouped(into, lambda row: f"{row.trigger}, from {row.source}"),
        "ways_on": _grouped(out, lambda row: f"{row.trigger} -> {row.to} ({_BY[row.by]}): {row.reason}"),
    }


def _trigger(spec: MachineSpec, name: str) -> Fields:
    rows = [row for row in spec.rows if row.trigger == name]
    return {
        "means": _once(row.reason for row in rows),
        "who": _once(_BY[row.by] for row in rows),
        "moves": _grouped(rows, lambda row: f"{row.source} -> {row.to}"),
        "guards": list(dict.fromkeys(guard for row in rows for guard in row.guards)),
        "changes": list(dict.fromkeys(f"{fact} becomes {value}" for row in rows for fact, value in row.sets.items())),
        "can_be_undone": _undone(rows),
    }


def _undone(rows: Iterable[Row]) -> list[str]:
    undos = (
        row.not_undone_because or (f"yes, by {row.undo}" if row.undo else "") for row in rows if row.action is not None
    )
    return list(dict.fromkeys(words for words in undos if words))


def _guard(spec: MachineSpec, name: str) -> Fields:
    guard = spec.guards[name]
    rows = [row for row in spec.rows if name in row.guards]
    return {
        "means": guard.reason,
        "requires": [f"{fact} is {' or '.join(values)}" for fact, values in guard.requires.items()],
        "not_asked_where": [f"{fact} is {' or '.join(values)}" for fact, values in guard.unless.items()],
        "what_to_do": guard.mend,
        "guards": _grouped(rows, lambda row: f"{row.trigger}, {row.source} -> {row.to}"),
    }


def _fact(spec: MachineSpec, name: str) -> Fields:
    fact = spec.facts[name]
    return {
        "means": fact.reason,
        "values": list(fact.values),
        "required_by": [guard.name for guard in spec.guards.values() if name in guard.facts],
        "set_by": list(dict.fromkeys(row.trigger for row in spec.rows if name in row.sets)),
    }


_ABOUT = {"state": _state, "trigger": _trigger, "guard": _guard, "fact": _fact}


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, words)))


def _grouped(rows: Iterable[Row], words: Any) -> list[str]:
    return list(dict.fromkeys(words(row) for row in rows))
