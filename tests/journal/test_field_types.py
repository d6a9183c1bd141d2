"""What each type of a field takes, reads, finds undeclared, and says in the schema; and the keys of a mirror."""

from typing import Any

import pytest
from attrs import frozen

from drfsm.errors import UsageFault
from drfsm.journal import field_types as types
from drfsm.journal import mirror
from drfsm.journal.field_types import Type

FITS: dict[str, tuple[Type, list[Any], list[Any]]] = {
    "text": (types.TEXT, ["", "x"], [None, 1, ["x"]]),
    "flag": (types.FLAG, [True, False], [0, "yes", None]),
    "count": (types.COUNT, [0, 7], [-1, True, 1.0, "1"]),
    "number": (types.NUMBER, [0, -1, 1.5], [True, float("inf"), float("nan"), "1", None]),
    "object": (types.OBJECT, [{}, {"x": 1}], [[], "x", None]),
    "anything": (types.ANYTHING, [None, 1, {}], []),
    "a count or null": (types.or_none(types.COUNT), [None, 0], ["0", -1]),
    "a list of counts": (types.list_of(types.COUNT), [[], [1, 2]], [[1, -1], (1,), {}, None]),
    "an object of counts": (types.object_of(types.COUNT), [{}, {"a": 1}], [{"a": 1, "b": -1}, [1]]),
    "an object of two": (types.closed(a=types.COUNT, b=types.TEXT), [{}, {"a": 1}, {"a": 1, "c": 9}], [{"a": "1"}, []]),
    "a count or a text": (types.either(types.COUNT, types.TEXT), [1, "1"], [-1, None]),
    "a name": (types.name_of("machine"), ["dr"], ["../x", "", 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_a_type_takes_its_own_values_and_no_others(name: str) -> None:
    """A reader refuses what does not fit: it would be judged as something that nobody wrote."""
    kind, taken, refused = FITS[name]
    assert [value for value in taken if not kind.fits(value)] == []
    assert [value for value in refused if kind.fits(value)] == []


SCHEMAS: dict[str, tuple[Type, Any]] = {
    "null": (types.or_none(types.COUNT), {"type": ["integer", "null"]}),
    "list": (types.list_of(types.TEXT, maxItems=2), {"type": "array", "items": {"type": "string"}, "maxItems": 2}),
    "object": (types.object_of(types.TEXT), {"type": "object", "additionalProperties": {"type": "string"}}),
    "closed": (
        types.closed(a=types.FLAG),
        {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "boolean"}}},
    ),
    "either": (types.either(types.FLAG, types.TEXT), {"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
    "word": (types.one_of("a", "b"), {"enum": ["a", "b"]}),
    "only": (types.only("a"), {"const": "a"}),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_type_says_itself_in_the_schema(name: str) -> None:
    """The schema is what others check by."""
    kind, schema = SCHEMAS[name]
    assert kind.schema == schema


CLOSED = types.closed(a=types.list_of(types.COUNT))


@pytest.mark.parametrize(
    ("kind", "value", "faults"),
    [
        (CLOSED, {"a": []}, []),
        (CLOSED, {"a": [], "b": 1, "c": 2}, ["body has the undeclared key b", "body has the undeclared key c"]),
        (types.list_of(CLOSED), [{}, {"b": 1}], ["body[1] has the undeclared key b"]),
        (types.object_of(CLOSED), {"x": {"b": 1}}, ["body.x has the undeclared key b"]),
        (types.closed(x=CLOSED), {"x": {"b": 1}}, ["body.x has the undeclared key b"]),
        (types.either(types.COUNT, CLOSED), {"b": 1}, ["body has the undeclared key b"]),
        (types.either(CLOSED, types.COUNT), {"b": 1}, ["body has the undeclared key b"]),
        (types.list_of(types.COUNT), [1], []),
    ],
)
def test_undeclared_keys_are_found_wherever_they_are(kind: Type, value: Any, faults: list[str]) -> None:
    """Each with the path to it: the reader passes over them, the audit does not."""
    assert kind.fits(value)
    assert list(kind.undeclared(value, "body")) == faults


def test_values_are_read_as_declared() -> None:
    """Lists as tuples, all the way down; undeclared members of a closed object are passed over."""
    assert types.list_of(types.list_of(types.COUNT)).parse([[1], []]) == ((1,), ())
    assert types.object_of(types.WORDS).parse({"a": ["x"]}) == {"a": ("x",)}
    assert types.closed(a=types.WORDS).parse({"a": ["x"], "b": 1}) == {"a": ("x",)}
    assert types.or_none(types.OBJECT).parse(None) is None
    assert types.either(types.COUNT, types.WORDS).parse(["x"]) == ("x",)


@frozen
class Line:
    """Two fields, one of them by another key."""

    seen: str = types.required(types.TEXT, key="saw", note="what")
    words: tuple[str, ...] = types.optional(types.WORDS, (), since="0.2.0")


def test_a_class_declares_the_fields_of_an_object() -> None:
    """Required or not, by its key, since which version; a value fits with what is required, and right types."""
    seen, words = types.fields_of(Line)
    assert (seen.key, seen.required, seen.since, seen.note, seen.type) == ("saw", True, "", "what", types.TEXT)
    assert (words.key, words.required, words.since, words.note, words.type) == (
        "words",
        False,
        "0.2.0",
        "",
        types.WORDS,
    )
    kind = types.one(Line, "line")
    assert kind.schema == {"$ref": "#/$defs/line"}
    assert kind.fits({"saw": "x", "words": ["y"], "more": 1})
    refused: list[Any] = [{"words": []}, {"saw": 1}, {"saw": "x", "words": [1]}, []]
    assert [value for value in refused if kind.fits(value)] == []
    assert kind.parse({"saw": "x", "words": ["y"], "more": 1}) == Line("x", ("y",))
    assert list(kind.undeclared({"saw": "x", "more": 1}, "body")) == ["body has the undeclared key more"]


# --- the keys of a mirror ---------------------------------------------------------------------------------


def test_the_key_of_a_record_leads_back_to_its_number() -> None:
    """Six digits at least, so that they list in order; any other key is no record's."""
    home = mirror.home_of("a/b", "run-1")
    assert home == "a/b/drfsm/runs/run-1"
    assert mirror.key_of(home, 42) == f"{home}/000042.json"
    assert mirror.signature_of(home, "ab") == f"{home}/signatures/ab.sig"
    for number in (0, 42, 999_999, 1_000_000):
        assert mirror.number_of(mirror.key_of(home, number)) == number
    for key in ("x/00042.json", "x/0000000042.json", "x/abcdef.json", "x/-00042.json", "x/٠٠٠٠٤٢.json", "x/"):
        assert mirror.number_of(key) is None


@pytest.mark.parametrize("uri", ["s3://bucket/a/b/drfsm/runs/run-1", "s3://bucket/a/b/drfsm/runs/run-1/"])
def test_the_address_of_a_mirror_has_its_three_parts(uri: str) -> None:
    """With or without a slash at its end."""
    assert mirror.parts_of(uri) == ("bucket", "a/b", "run-1")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://bucket/a/b", "is not the address of a run's mirror"),
        ("s3://bucket/drfsm/runs/run-1", "is not the address of a run's mirror"),
        ("s3://bucket/a/drfsm/runs/..", "not a valid drfsm run"),
        ("s3://B_/a/drfsm/runs/run-1", "not a valid bucket"),
        ("s3://bucket/../drfsm/runs/run-1", "not a valid prefix"),
    ],
)
def test_what_is_no_address_of_a_mirror_is_refused(uri: str, words: str) -> None:
    """It would become a key: each part is held against its grammar, and the wrong one named."""
    with pytest.raises(UsageFault) as refused:
        mirror.parts_of(uri)
    assert words in refused.value.what
