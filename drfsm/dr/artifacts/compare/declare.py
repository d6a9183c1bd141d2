"""Reads a comparison profile: JSON in, a frozen Profile out, or every fault at once.

Owns the format (the table ``_FILE`` below). Refuses to guess: an unknown key, a rule that names an unknown
rule or a pattern that can't match is an error that says where it is and what is known. Called by the
comparison's room, the CLI and tests; touches no file but the shipped default profile.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drfsm.dr.artifacts.compare.profile import (
    CSV_RECORDS,
    OBJECT,
    PRESENCES,
    READS,
    RECORDS,
    TEXT,
    VALUES,
    Pattern,
    Profile,
    Rule,
    Tolerance,
    pattern_of,
)
from drfsm.dr.artifacts.compare.reading import Unreadable, json_of
from drfsm.dr.workload import RANKED, Workload
from drfsm.errors import DeclarationFault

DEFAULT = Path(__file__).resolve().parent / "profiles" / "default.json"
SCHEMA_VERSION = 1
_MOST_WILD = 2  # `**` of one pattern: each more multiplies the work
_WAY = "docs/comparison.md says what a profile can say"


@frozen
class _Faults:
    """Every fault, in the order in which it was found."""

    told: list[str] = field(factory=list)

    def add(self, where: str, what: str) -> None:
        self.told.append(f"{where}: {what}")


Check = Callable[[Any, _Faults, str], Any]
"""(value, faults, where) -> what the rule holds, or anything after adding a fault."""


def load(raw: bytes, source: str) -> Profile:
    """Return a profile. Raises DeclarationFault with every fault; ``source`` is what messages call it."""
    faults = _Faults()
    try:
        profile = _profile(json_of(raw), faults, hashlib.sha256(raw).hexdigest())
    except Unreadable as fault:
        raise DeclarationFault(f"{source} is no comparison profile", [str(fault)], hint=_WAY) from None
    if profile is None or faults.told:
        raise DeclarationFault(f"{source} is no comparison profile", faults.told, hint=_WAY)
    return profile


@lru_cache(maxsize=1)
def default_profile() -> Profile:
    """Return the profile that drfsm ships. Read when first used."""
    return load(DEFAULT.read_bytes(), DEFAULT.name)


def profile_of(workload: Workload, recorded: str = "") -> Profile:
    """Return the profile by which a workload's runs are compared: the recorded one, else the contract's.

    Raises DeclarationFault for a recorded text that is no profile.
    """
    if recorded:
        return load(recorded.encode(), "the recorded comparison profile")
    return default_profile() if workload.comparison == RANKED else _derived(workload)


def _derived(workload: Workload) -> Profile:
    """Return the profile of a contract that names none: every known file, JSON by its values, all else by its bytes."""
    any_pair = ("*", "*")
    files: list[dict[str, Any]] = [
        {
            "name": template,
            "match": workload.place(template, any_pair),
            "read": "json" if template.endswith(".json") else "bytes",
            "presence": "required" if template in workload.files.required else "optional",
        }
        for template in workload.files.known
    ]
    if (report := workload.report) is not None:
        rule = {"name": "report", "match": report.key, "read": "json_object", "presence": "optional"}
        wants = {"succeeded": dict(report.succeeded)} if report.succeeded else {}
        files.append({**rule, "run_id": [report.run_id], "volatile": ["**"], **wants})
    text = {"comparison_profile_schema_version": SCHEMA_VERSION, "name": f"files of {workload.name}", "files": files}
    return load(json.dumps(text, sort_keys=True).encode(), f"the profile of {workload.name}'s files")


# --- kinds of values ------------------------------------------------------------------------------------


def _text(value: Any, faults: _Faults, where: str) -> str:
    if isinstance(value, str) and value.strip():
        return value
    faults.add(where, "must be a text")
    return ""


def _switch(value: Any, faults: _Faults, where: str) -> bool:
    if not isinstance(value, bool):
        faults.add(where, "must be true or false")
    return bool(value)


def _one_of(*words: str) -> Check:
    def check(value: Any, faults: _Faults, where: str) -> str:
        if value not in words:
            faults.add(where, f"must be one of {', '.join(words)}")
        return str(value)

    return check


def _delimiter(value: Any, faults: _Faults, where: str) -> str:
    if isinstance(value, str) and len(value) == 1 and value not in '"\r\n ':
        return value
    faults.add(where, "must be one character, and none of a quote, a space or a line's end")
    return ","


def _list_of(one: Check) -> Check:
    def check(value: Any, faults: _Faults, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            faults.add(where, "must be a list with something in it")
            return ()
        return tuple(one(each, faults, f"{where}[{number}]") for number, each in enumerate(value))

    return check


def _table_of(key: Check, one: Check) -> Check:
    def check(value: Any, faults: _Faults, where: str) -> Mapping[Any, Any]:
        if not isinstance(value, dict) or not value:
            faults.add(where, "must be an object with something in it")
            return {}
        return {key(name, faults, where): one(each, faults, f"{where}.{name}") for name, each in value.items()}

    return check


def _glob(value: Any, faults: _Faults, where: str) -> str:
    text = _text(value, faults, where)
    if text and (not all(text.split("/")) or {".", ".."} & set(text.split("/"))):
        faults.add(where, "must be a pattern relative to the run: no empty part, no . or ..")
    _tame(text.split("/"), faults, where)
    return text


def _fields(value: Any, faults: _Faults, where: str) -> Pattern:
    parts = pattern_of(_text(value, faults, where))
    if parts != ("",) and not all(parts):
        faults.add(where, f"{value} has an empty part")
    _tame(parts, faults, where)
    return parts


def _plain_fields(value: Any, faults: _Faults, where: str) -> Pattern:
    parts = _fields(value, faults, where)
    if "**" in parts:
        faults.add(where, f"{value}: ** is not possible here")
    return parts


def _tame(parts: Sequence[str], faults: _Faults, where: str) -> None:
    if parts.count("**") > _MOST_WILD:
        faults.add(where, f"has more than {_MOST_WILD} **")


def _wanted(value: Any, faults: _Faults, where: str) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(each, dict | list) for each in values):
        faults.add(where, "must be a plain value, or a list of those that are allowed")
    return tuple(values)


def _amount(value: Any, faults: _Faults, where: str) -> Decimal:
    if isinstance(value, Decimal) and value >= 0:
        return value
    faults.add(where, "must be a number, 0 or more")
    return Decimal(0)


def _tolerance(value: Any, faults: _Faults, where: str) -> Tolerance:
    keys = {"absolute": _Key(_amount), "relative": _Key(_amount)}
    found = _block(value, keys, faults, where)
    if isinstance(value, dict) and not value:
        faults.add(where, "must say absolute, relative or both")
    return Tolerance(**found)


# --- the format -----------------------------------------------------------------------------------------


@frozen
class _Key:
    check: Check
    required: bool = False
    reads: Sequence[str] = READS  # the kinds of files that it makes sense for


_STRUCTURED = (*VALUES, *RECORDS)
_FILE: Mapping[str, _Key] = {
    "name": _Key(_text, required=True),
    "match": _Key(_glob, required=True),
    "read": _Key(_one_of(*READS), required=True),
    "presence": _Key(_one_of(*PRESENCES), required=True),
    "because": _Key(_text),
    "volatile": _Key(_list_of(_fields), reads=_STRUCTURED),
    "integrity": _Key(_list_of(_fields), reads=_STRUCTURED),
    "numbers": _Key(_table_of(_fields, _tolerance), reads=_STRUCTURED),
    "made_with": _Key(_table_of(_text, _list_of(_plain_fields)), reads=(OBJECT,)),
    "keyed": _Key(_table_of(_fields, _list_of(_text)), reads=_STRUCTURED),
    "run_id": _Key(_list_of(_plain_fields), reads=(OBJECT,)),
    "expects": _Key(_table_of(_plain_fields, _wanted), reads=(OBJECT,)),
    "succeeded": _Key(_table_of(_plain_fields, _text), reads=(OBJECT,)),
    "counts": _Key(_table_of(_plain_fields, _text), reads=(OBJECT,)),
    "describes": _Key(_list_of(_plain_fields), reads=(OBJECT,)),
    "identify": _Key(_list_of(_text), reads=RECORDS),
    "order": _Key(_switch, reads=RECORDS),
    "as_many_as": _Key(_text, reads=RECORDS),
    "delimiter": _Key(_delimiter, reads=(CSV_RECORDS,)),
    "until": _Key(_text, reads=(TEXT,)),
}


def _rule(value: Any, faults: _Faults, where: str) -> Rule | None:
    before = len(faults.told)
    found = _block(value, _FILE, faults, where)
    read = found.get("read")
    for name in found:
        if read in READS and read not in _FILE[name].reads:
            faults.add(f"{where}.{name}", f"makes no sense for {read}, only for {', '.join(_FILE[name].reads)}")
    if read in RECORDS and "identify" not in found:
        faults.add(where, f"lacks identify: {read} are compared by name")
    return Rule(**found) if len(faults.told) == before else None


_PROFILE: Mapping[str, _Key] = {
    "comparison_profile_schema_version": _Key(lambda value, _faults, _where: value, required=True),
    "name": _Key(_text, required=True),
    "because": _Key(_text),
    "files": _Key(_list_of(_rule), required=True),
}


def _profile(value: Any, faults: _Faults, sha256: str) -> Profile | None:
    parts = _block(value, _PROFILE, faults, "the profile")
    if parts.get("comparison_profile_schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        faults.add("comparison_profile_schema_version", f"must be {SCHEMA_VERSION}")
    rules = [file for file in parts.get("files", ()) if file is not None]
    if not faults.told:  # else a rule that could not be read would be called unknown
        _names_fit(rules, faults)
    if faults.told:
        return None
    return Profile(parts["name"], sha256, tuple(rules), parts.get("because", ""))


def _block(value: Any, keys: Mapping[str, _Key], faults: _Faults, where: str) -> dict[str, Any]:
    """Return what was read of an object with known keys."""
    if not isinstance(value, dict):
        faults.add(where, "must be an object")
        return {}
    for name in value:
        if name not in keys:
            near = get_close_matches(name, keys, n=1)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
            faults.add(where, f"has the unknown key {name}; {mend}")
    for name, key in keys.items():
        if key.required and name not in value:
            faults.add(where, f"lacks {name}")
    prefix = "" if where == "the profile" else f"{where}."
    return {name: keys[name].check(each, faults, f"{prefix}{name}") for name, each in value.items() if name in keys}


def _names_fit(rules: Iterable[Rule], faults: _Faults) -> None:
    """Hold the rules' names against each other."""
    by_name = {each.name: each for each in rules}
    for name, number in Counter(each.name for each in rules).items():
        if number > 1:
            faults.add("files", f"{number} of them are named {name}")
    for rule in rules:
        for other in {*rule.counts.values(), rule.as_many_as} - {""}:
            if other not in by_name:
                faults.add(rule.name, f"counts the records of {other}, which is none of the files")
            elif by_name[other].read not in RECORDS:
                faults.add(rule.name, f"counts the records of {other}, which has none")
    if rules and not any(each.matters for each in rules):
        faults.add("files", "none of them is required or paired: nothing would matter")
