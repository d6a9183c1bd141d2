"""The types that a field of a record may have, and the two words that declare one: ``required`` and ``optional``.

A type says four things at once: what the reader accepts, which keys inside it nobody declared, what the JSON Schema
says (it may be narrower), and how the JSON value is read. A reader ignores an undeclared key, so that a later version
may add one; the audit refuses it. Knows no kind of record; record_types.py has the table.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeVar

from attrs import field, fields, frozen

from drfsm import claims

Json = Mapping[str, Any]


# --- the types of a field -------------------------------------------------------------------------------


def nothing(_value: Any, _path: str) -> Iterable[str]:
    """Find no undeclared key: a type without an object of a declared shape has none."""
    return ()


def whatever(_value: Any) -> bool:
    """Allow any value: a type whose schema says no more than its check."""
    return True


@frozen
class Type:
    """What a JSON value must be: how the reader checks it, how it is turned into a value, what the schema says.

    ``undeclared`` takes a value that fits and the path to it, and returns the undeclared keys in it, in words.
    ``allows`` says of a value that fits whether the schema allows it too: which words, which form.
    """

    fits: Callable[[Any], bool]
    schema: Any
    parse: Callable[[Any], Any] = lambda value: value
    undeclared: Callable[[Any, str], Iterable[str]] = nothing
    allows: Callable[[Any], bool] = whatever


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def one_of(*words: str) -> Type:
    """Return the type of a text that is one of these words (by the schema; the audit says what a wrong one breaks)."""
    return Type(_text, {"enum": list(words)}, allows=frozenset(words).__contains__)


def only(word: str) -> Type:
    """Return the type of a text that can be but one word (by the schema)."""
    return Type(_text, {"const": word}, allows=lambda value: value == word)


def or_none(item: Type) -> Type:
    """Return the type of a value that may be null."""
    return Type(
        lambda value: value is None or item.fits(value), {"type": [item.schema["type"], "null"]}, parse=item.parse,
        allows=item.allows if item.allows is whatever else lambda value: value is None or item.allows(value),
    )  # fmt: skip


def list_of(item: Type, **schema: Any) -> Type:
    """Return the type of a list; it is read as a tuple."""
    return Type(
        lambda value: isinstance(value, list) and all(map(item.fits, value)),
        {"type": "array", "items": item.schema, **schema},
        parse=lambda value: tuple(map(item.parse, value)),
        undeclared=_within(item, lambda value: ((f"[{number}]", member) for number, member in enumerate(value))),
        allows=_all_allowed(item, least=schema.get("minItems", 0)),
    )


def object_of(item: Type) -> Type:
    """Return the type of an object whose values are all of one type."""
    return Type(
        lambda value: isinstance(value, dict) and all(map(item.fits, value.values())),
        {"type": "object", "additionalProperties": item.schema},
        parse=lambda value: {name: item.parse(member) for name, member in value.items()},
        undeclared=_within(item, lambda value: ((f".{name}", member) for name, member in value.items())),
        allows=whatever if item.allows is whatever else lambda value: all(map(item.allows, value.values())),
    )


def _all_allowed(item: Type, least: int) -> Callable[[Any], bool]:
    """Return ``allows`` of a list of at least so many values."""
    if item.allows is whatever and not least:
        return whatever
    return lambda value: len(value) >= least and all(map(item.allows, value))


def _within(item: Type, members: Callable[[Any], Iterable[tuple[str, Any]]]) -> Callable[[Any, str], Iterable[str]]:
    """Return ``undeclared`` of many values of one type; ``members`` yields the end of each path, and the value."""
    if item.undeclared is nothing:
        return nothing
    return lambda value, path: (
        fault for end, member in members(value) for fault in item.undeclared(member, path + end)
    )


def closed(**members: Type) -> Type:
    """Return the type of an object that has these members, some of them or none. It stays JSON, without any other."""
    return Type(
        lambda value: (
            isinstance(value, dict)
            and all(members[name].fits(member) for name, member in value.items() if name in members)
        ),
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: member.schema for name, member in members.items()},
        },
        parse=lambda value: {name: members[name].parse(member) for name, member in value.items() if name in members},
        undeclared=lambda value, path: _undeclared(members, value, path),
        allows=lambda value: _members_allowed(members, value),
    )


def _members_allowed(members: Mapping[str, Type], value: Json) -> bool:
    return all(
        members[name].allows is whatever or members[name].allows(member)
        for name, member in value.items()
        if name in members
    )


def _undeclared(members: Mapping[str, Type], value: Json, path: str) -> Iterator[str]:
    """Yield the undeclared keys of an object and of what is in it."""
    for name, member in value.items():
        if name in members:
            yield from members[name].undeclared(member, f"{path}.{name}")
        else:
            yield f"{_short(path)} has the undeclared key {_short(name)}"


def _short(name: str) -> str:
    return claims.bounded(name, 100)


def either(one_type: Type, other: Type) -> Type:
    """Return the type of a value that is of one of two types. It stays JSON."""

    def of(value: Any) -> Type:
        return one_type if one_type.fits(value) else other

    return Type(
        lambda value: one_type.fits(value) or other.fits(value),
        {"anyOf": [one_type.schema, other.schema]},
        parse=lambda value: of(value).parse(value),
        undeclared=lambda value, path: of(value).undeclared(value, path),
        allows=lambda value: of(value).allows(value),
    )


TEXT = Type(_text, {"type": "string"})
FLAG = Type(lambda value: isinstance(value, bool), {"type": "boolean"})
COUNT = Type(_count, {"type": "integer", "minimum": 0})
POSITIVE = Type(_count, {"type": "integer", "minimum": 1}, allows=lambda value: value >= 1)
NUMBER = Type(_number, {"type": "number"})
OBJECT = Type(_object, {"type": "object"})
ANYTHING = Type(lambda _value: True, schema=True)
WORDS = list_of(TEXT)
_DIGEST, _ROW = re.compile("[0-9a-f]{64}", re.ASCII), "^.+ --.+--> .+$"
SHA256 = Type(_text, {"$ref": "#/$defs/sha256"}, allows=lambda value: bool(_DIGEST.fullmatch(value)))
ROW_KEY = Type(
    _text, {"type": "string", "pattern": _ROW}, allows=lambda value: bool(re.search(_ROW, value))
)  # fmt: skip
NON_EMPTY = Type(_text, {"type": "string", "minLength": 1}, allows=bool)
OBJECT_OF_TEXT = Type(
    _object, {"type": "object", "additionalProperties": TEXT.schema},
    allows=lambda value: all(isinstance(member, str) for member in value.values()),
)  # fmt: skip


def name_of(kind: str) -> Type:
    """Return the type of a name that becomes a path, a key or an object's name: claims.py has its grammar."""
    return Type(lambda value: claims.is_name(kind, value), {"type": "string"})


# --- the fields of an object ----------------------------------------------------------------------------


@frozen
class Field:
    """One line of the table."""

    name: str  # in Python
    key: str  # in JSON
    type: Type
    required: bool
    since: str  # the version of drfsm that first wrote it; "": every version
    note: str  # for the schema


def required(type_: Type, *, key: str = "", note: str = "") -> Any:
    """Declare a field that every record of its kind has."""
    return field(metadata={"type": type_, "key": key, "required": True, "since": "", "note": note})


def optional(type_: Type, default: Any = None, *, key: str = "", since: str = "", note: str = "") -> Any:
    """Declare a field that a record may lack, and the value that stands for it then."""
    return field(default=default, metadata={"type": type_, "key": key, "required": False, "since": since, "note": note})


_LINES: dict[type[Any], tuple[Field, ...]] = {}  # so that the lines of a class are made once, not once a record


def fields_of(declared: type[Any]) -> tuple[Field, ...]:
    """Return the lines of the table for one class."""
    if declared not in _LINES:
        _LINES[declared] = tuple(
            Field(
                attribute.name,
                attribute.metadata["key"] or attribute.name,
                attribute.metadata["type"],
                attribute.metadata["required"],
                attribute.metadata["since"],
                attribute.metadata["note"],
            )
            for attribute in fields(declared)
        )
    return _LINES[declared]


_TYPES: dict[type[Any], Mapping[str, Type]] = {}


def types_of(declared: type[Any]) -> Mapping[str, Type]:
    """Return the type of each JSON key of a class."""
    if declared not in _TYPES:
        _TYPES[declared] = {line.key: line.type for line in fields_of(declared)}
    return _TYPES[declared]


Declared = TypeVar("Declared")


def parsed(declared: type[Declared], value: Json) -> Declared:
    """Return a JSON object as a class declares it. The caller has checked that it fits."""
    present = [line for line in fields_of(declared) if line.key in value]
    return declared(**{line.name: line.type.parse(value[line.key]) for line in present})


def fits_into(declared: type[Any], value: Any) -> bool:
    """Say whether a JSON value has every required field of a class, and each field that it has is of its type."""
    return isinstance(value, dict) and all(
        line.type.fits(value[line.key]) if line.key in value else not line.required for line in fields_of(declared)
    )


def one(declared: type[Any], definition: str) -> Type:
    """Return the type of an object that a class declares; ``definition`` is its name in the schema."""
    return Type(
        lambda value: fits_into(declared, value),
        {"$ref": f"#/$defs/{definition}"},
        parse=lambda value: parsed(declared, value),
        undeclared=lambda value, path: _undeclared(types_of(declared), value, path),
        allows=lambda value: _members_allowed(types_of(declared), value),
    )
