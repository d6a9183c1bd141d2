"""The types that a field of a record may have, and the two words that declare one: ``required`` and ``optional``.

A type says three things at once: what the reader accepts, what the JSON Schema says (it may be narrower), and how the
JSON value is read. Knows no kind of record; record_types.py has the table.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeVar

from attrs import field, fields, frozen

from drfsm import claims

Json = Mapping[str, Any]


# --- the types of a field -------------------------------------------------------------------------------


@frozen
class Type:
    """What a JSON value must be: how the reader checks it, how it is turned into a value, what the schema says."""

    fits: Callable[[Any], bool]
    schema: Any
    parse: Callable[[Any], Any] = lambda value: value


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
    return Type(_text, {"enum": list(words)})


def only(word: str) -> Type:
    """Return the type of a text that can be but one word (by the schema)."""
    return Type(_text, {"const": word})


def or_none(item: Type) -> Type:
    """Return the type of a value that may be null."""
    return Type(
        lambda value: value is None or item.fits(value), {"type": [item.schema["type"], "null"]}, parse=item.parse
    )


def list_of(item: Type, **schema: Any) -> Type:
    """Return the type of a list; it is read as a tuple."""
    return Type(
        lambda value: isinstance(value, list) and all(map(item.fits, value)),
        {"type": "array", "items": item.schema, **schema},
        parse=lambda value: tuple(map(item.parse, value)),
    )


def object_of(item: Type) -> Type:
    """Return the type of an object whose values are all of one type."""
    return Type(
        lambda value: isinstance(value, dict) and all(map(item.fits, value.values())),
        {"type": "object", "additionalProperties": item.schema},
        parse=lambda value: {name: item.parse(member) for name, member in value.items()},
    )


def closed(**members: Type) -> Type:
    """Return the type of an object that has these members, some of them or none, and no other. It stays JSON."""
    return Type(
        lambda value: (
            isinstance(value, dict)
            and value.keys() <= members.keys()
            and all(members[name].fits(member) for name, member in value.items())
        ),
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: member.schema for name, member in members.items()},
        },
    )


def either(one_type: Type, other: Type) -> Type:
    """Return the type of a value that is of one of two types. It stays JSON."""
    return Type(lambda value: one_type.fits(value) or other.fits(value), {"anyOf": [one_type.schema, other.schema]})


TEXT = Type(_text, {"type": "string"})
FLAG = Type(lambda value: isinstance(value, bool), {"type": "boolean"})
COUNT = Type(_count, {"type": "integer", "minimum": 0})
POSITIVE = Type(_count, {"type": "integer", "minimum": 1})
NUMBER = Type(_number, {"type": "number"})
OBJECT = Type(_object, {"type": "object"})
ANYTHING = Type(lambda _value: True, schema=True)
WORDS = list_of(TEXT)
SHA256 = Type(_text, {"$ref": "#/$defs/sha256"})
ROW_KEY = Type(_text, {"type": "string", "pattern": "^.+ --.+--> .+$"})
NON_EMPTY = Type(_text, {"type": "string", "minLength": 1})
OBJECT_OF_TEXT = Type(_object, {"type": "object", "additionalProperties": TEXT.schema})


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


Declared = TypeVar("Declared")


def parsed(declared: type[Declared], value: Json) -> Declared:
    """Return a JSON object as a class declares it. The caller has checked that it fits."""
    present = [line for line in fields_of(declared) if line.key in value]
    return declared(**{line.name: line.type.parse(value[line.key]) for line in present})


def fits_into(declared: type[Any], value: Any) -> bool:
    """Say whether a JSON value has every required field of a class, all its fields their types, and nothing beside.

    What no reader knows of could carry anything: no rule compares it, and no page shows it.
    """
    lines = fields_of(declared)
    return (
        isinstance(value, dict)
        and value.keys() <= {line.key for line in lines}
        and all(line.type.fits(value[line.key]) if line.key in value else not line.required for line in lines)
    )


def one(declared: type[Any], definition: str) -> Type:
    """Return the type of a closed object that a class declares; ``definition`` is its name in the schema."""
    return Type(
        lambda value: fits_into(declared, value),
        {"$ref": f"#/$defs/{definition}"},
        parse=lambda value: parsed(declared, value),
    )
