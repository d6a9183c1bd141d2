"""What tells two versions of a machine apart: rows, guards, facts, inputs, rules, phases. Pure. Lines don't count.

A row is the same one where it leaves the same state by the same trigger to the same state; a rule of the environment
is known by what it says. The order of a state's failure rows counts: the first whose guards hold is taken. Called by
`drfsm machine diff`.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs
from attrs import frozen

from drfsm.spec.model import By, MachineSpec, Row, Rule

_NOT_COMPARED = ("line", "name", "sha256", "source")
_SECTIONS = {"rows": "transitions"}  # as the declaration calls them


class Change(StrEnum):
    """What became of a part of the machine."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@frozen
class Difference:
    """One part that differs; of a changed one the fields, each as (before, after)."""

    section: str
    name: str
    change: Change
    fields: Mapping[str, tuple[Any, Any]]

    @property
    def record(self) -> dict[str, Any]:
        """The difference as JSON."""
        fields = {name: {"before": before, "after": after} for name, (before, after) in self.fields.items()}
        return {"section": self.section, "name": self.name, "change": self.change.value, "fields": fields}


def differences(before: MachineSpec, after: MachineSpec) -> tuple[Difference, ...]:
    """Return every part in which two machines differ, section by section."""
    return tuple(_differences(before, after))


def _differences(before: MachineSpec, after: MachineSpec) -> Iterator[Difference]:
    alone: dict[str, tuple[Any, Any]] = {}
    for field in attrs.fields(MachineSpec):
        old, new = getattr(before, field.name), getattr(after, field.name)
        section = _SECTIONS.get(field.name, field.name)
        if field.name in ("sha256", "source") or old == new:
            continue
        if field.name == "rows":
            yield from _between(section, _rows(old, new), _rows(new, old))
        elif isinstance(old, tuple):
            yield from _between(section, _rules(old), _rules(new))
        elif isinstance(old, Mapping) and any(attrs.has(type(part)) for part in [*old.values(), *new.values()]):
            yield from _between(section, old, new)
        else:
            alone |= _apart(field.name, _plain(old), _plain(new))
    if alone:
        yield Difference("machine", after.name, Change.CHANGED, alone)
    yield from _failure_orders(before, after)


def _between(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name, part in old.items():
        if name not in new:
            yield Difference(section, name, Change.REMOVED, _fields_of(part, before=True))
        elif fields := _changed(part, new[name]):
            yield Difference(section, name, Change.CHANGED, fields)
    for name, part in new.items():
        if name not in old:
            yield Difference(section, name, Change.ADDED, _fields_of(part, before=False))


def _rows(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, Row]:
    """Name each row by its key; together with its ``when`` where either machine has several of that key."""
    counts: dict[str, int] = {}
    for side in (rows, others):
        for key in {row.key for row in side}:
            counts[key] = max(counts.get(key, 0), sum(row.key == key for row in side))
    return {row.key if counts[row.key] == 1 else f"{row.key} [{_words(row.when)}]": row for row in rows}


def _rules(rules: Sequence[Rule]) -> dict[str, Rule]:
    named: dict[str, Rule] = {}
    for rule in rules:
        says = rule.name or f"{_words(rule.when) or 'always'}{f' -> {_words(rule.sets)}' if rule.sets else ''}"
        where = f" in {', '.join(rule.states)}" if rule.states and not rule.name else ""
        named[says + where] = rule
    return named


def _failure_orders(before: MachineSpec, after: MachineSpec) -> Iterator[Difference]:
    for state in before.states:
        orders = [
            [row.key for row in spec.rows if row.source == state and row.by is By.FAILURE] for spec in (before, after)
        ]
        old, new = ([key for key in order if all(key in other for other in orders)] for order in orders)
        if old != new:
            yield Difference("transitions", f"failures of {state}", Change.CHANGED, {"order": (old, new)})


def _changed(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ; of one that is a block itself, the keys that differ."""
    was, now = _plain(old), _plain(new)
    fields: dict[str, tuple[Any, Any]] = {}
    for name in now:
        fields |= _apart(name, was.get(name), now[name])
    return fields


def _apart(name: str, old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict) and old and new:
        keys = dict.fromkeys([*old, *new])
        return {f"{name}.{key}": (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}
    return {} if old == new else {name: (old, new)}


def _fields_of(part: Any, *, before: bool) -> dict[str, tuple[Any, Any]]:
    """Return what a part says that is only in one of the machines: the fields that say something."""
    unsaid = {field.name: _plain(field.default) for field in attrs.fields(type(part))}
    says = {name: value for name, value in _plain(part).items() if value not in (None, "", [], {}, unsaid.get(name))}
    return {name: (value, None) if before else (None, value) for name, value in says.items()}


def _plain(value: Any) -> Any:
    """Return a part of a machine as JSON."""
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value)) if field.name not in _NOT_COMPARED]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value


def _words(values: Mapping[str, Any]) -> str:
    words = ("|".join(value) if isinstance(value, tuple) else value for value in values.values())
    return ", ".join(f"{name}={value}" for name, value in zip(values, words, strict=True))
