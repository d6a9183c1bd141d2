"""The one reader of what comes from outside: every kind of garbage is refused by name, and nothing is guessed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from drfsm import claims
from drfsm.errors import Unreadable
from tests.growth import growth

JSON_GARBAGE: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "not JSON"),
    "a login page": (b"<html><body>Sign in</body></html>", "not JSON"),
    "a word": (b"ok", "not JSON"),
    "half a document": (b'{"run_id": "a"', "not JSON"),
    "two documents": (b"{} {}", "not JSON"),
    "a key that stands twice": (b'{"a": {"run_id": 1, "run_id": 2}}', "the key run_id stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is not a number"),
    "an infinity by name": (b'{"a": -Infinity}', "-Infinity is not a number"),
    "an infinity by size": (b'{"a": 1e999}', "out of range"),
    "an integer over 64 bits": (b'{"a": 36893488147419103232}', "out of range"),
    "an integer of five thousand digits": (b'{"a": ' + b"9" * 5000 + b"}", "out of range"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "UTF-32": ('{"a": 1}'.encode("utf-32"), "not UTF-8"),
    "Latin-1": (b'{"a": "\xe9"}', "not UTF-8"),
    "half of a surrogate pair": (b'{"a": ["\\ud800"]}', "an unpaired surrogate"),
    "half of a surrogate pair as a key": (b'{"\\ud800": 1}', "an unpaired surrogate"),
    "a hundred thousand levels of lists": (b"[" * 100_000 + b"]" * 100_000, "levels"),
    "sixty-six levels of objects": (b'{"a":' * 66 + b"1" + b"}" * 66, "levels"),
    "more than is read": (b'"' + b"a" * claims.LARGEST_BYTES + b'"', "drfsm reads at most"),
}
YAML_GARBAGE: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "0 YAML documents"),
    "two documents": (b"a: 1\n---\nb: 2\n", "2 YAML documents"),
    "a key that stands twice": (b"a: 1\nb: 2\na: 3\n", "the key a stands twice"),
    "an alias": (b"a: &x [1]\nb: *x\n", "the alias *x"),
    "a tag of a program": (b"!!python/object/apply:os.system [id]\n", "not YAML that drfsm reads"),
    "a hundred thousand levels": (b"[" * 100_000 + b"]" * 100_000, "levels"),
    "a byte order mark": (b"\xef\xbb\xbfa: 1\n", "byte order mark"),
    "UTF-16": ("a: 1\n".encode("utf-16"), "not UTF-8"),
    "an escape": (b"a: \x1b[2J\n", "not YAML that drfsm reads"),
    "half of a surrogate pair": (b'a: "\\ud800"\n', "invalid Unicode character"),
    "NaN": (b"a: .nan\n", "not a number"),
    "a key that is a number": (b"1: a\n", "a key that is a number"),
    "more than is read": (b"a" * (claims.LARGEST_BYTES + 1), "drfsm reads at most"),
}


@pytest.mark.parametrize(("raw", "why"), JSON_GARBAGE.values(), ids=JSON_GARBAGE)
def test_json_that_is_no_exact_value_is_refused_with_its_name_and_the_reason(raw: bytes, why: str) -> None:
    """The message is short, printable, and names both the document and the fault."""
    _refused(claims.json_of, raw, why)


@pytest.mark.parametrize(("raw", "why"), YAML_GARBAGE.values(), ids=YAML_GARBAGE)
def test_yaml_that_is_no_plain_document_is_refused_with_its_name_and_the_reason(raw: bytes, why: str) -> None:
    """The message is short, printable, and names both the document and the fault."""
    _refused(claims.yaml_of, raw, why)


def _refused(read: Callable[..., Any], raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        read(raw, "the pointer \x1b[2Jstate.json", hint="drfsm pointers show")
    assert why in refusal.value.what
    assert refusal.value.what.startswith("the pointer \\x1b[2Jstate.json")
    assert refusal.value.what.isprintable()
    assert len(refusal.value.what) < 700
    assert refusal.value.hint == "drfsm pointers show"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"a"', b"1", b"true"])
def test_a_document_that_must_be_an_object_is_nothing_else(raw: bytes) -> None:
    """A list, null, a text or a number is no object, and is not taken for an empty one."""
    with pytest.raises(Unreadable, match="not a JSON object"):
        claims.object_of(raw, "the lease")


def test_what_is_exact_comes_through_unchanged() -> None:
    """Real documents are read: numbers of 64 bits, any script, sixty levels."""
    assert claims.json_of('{"größe": [1.5, -9223372036854775808, null, "日本"]}', "it") == {
        "größe": [1.5, -(2**63), None, "日本"]
    }
    assert claims.json_of(b"[" * 60 + b"]" * 60, "it")
    assert claims.yaml_of(b"a: [1, two]\n", "it") == {"a": [1, "two"]}


@pytest.mark.parametrize(
    ("value", "kind"), [({}, str), ({"n": None}, str), ({"n": 1}, str), ({"n": True}, int), ({"n": "1"}, (int, float))]
)
def test_a_field_that_lacks_or_is_of_another_type_is_named(value: dict[str, Any], kind: Any) -> None:
    """What is missing and what has another type is refused, and true is no number."""
    with pytest.raises(Unreadable, match="n"):
        claims.field(value, "n", kind, "the lease")


@pytest.mark.parametrize("kind", claims.GRAMMAR)
@pytest.mark.parametrize(
    "text",
    [
        "../../etc",
        "/etc/passwd",
        "a/../b",
        "..",
        "a\n",
        "a\x1b[2J",
        "a\u202eb",
        "a\x00",
        "x" * 600,
        None,
        7,
        "\ud800",
        "a\rb",
    ],
)
def test_no_name_of_any_kind_leaves_its_place(kind: str, text: object) -> None:
    """Whatever would leave a directory, move a cursor, or is no text is a name of no kind."""
    assert not claims.is_name(kind, text)
    with pytest.raises(Unreadable, match=f"not a valid {kind}"):
        claims.name_of(kind, text, "it")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("drfsm run", "failback-20261124t115900z-fe3729"),
        ("workload run", "2026-02-27T00:22:29.934039+00:00"),
        ("workload run", "2026-11-28T08:02:45Z"),
        ("prefix", "team_a/jobintel"),
        ("bucket", "sandbox.bucket-1"),
        ("Kubernetes name", "jobintel-daily"),
        ("RBAC name", "system:controller:x"),
        ("file", "openai_ranked_jobs.cs.json"),
    ],
)
def test_the_names_of_the_real_world_are_names(kind: str, text: str) -> None:
    """Names that the workload, Kubernetes and drfsm make are known by their grammar."""
    assert claims.name_of(kind, text, "it") == text


def test_times_are_moments() -> None:
    """Offsets and precision differ, the moment is the same; what has no offset, or is no time, is none."""
    assert claims.moment("2026-11-28T08:02:45Z") == claims.moment("2026-11-28T10:02:45.000+02:00")
    later, earlier = claims.moment("2026-11-28T08:02:45+00:00"), claims.moment("2026-11-28T09:02:45.5+02:00")
    assert later is not None
    assert earlier is not None
    assert later > earlier
    for text in ("2026-11-28T08:02:45", "yesterday", "", None, 7, "0001-01-01T00:00:00+23:59", "9" * 4000):
        assert claims.moment(text) is None


def test_what_people_read_is_printable_and_short() -> None:
    """Escapes and marks are written out, length is bounded, and lines stay lines."""
    assert claims.printable("a\x1b[2J\r\u202eb\ud800") == "a\\x1b[2J\\r\\u202eb\\ud800"
    assert claims.bounded("x" * 1000).endswith("… (1000 characters)")
    assert claims.printable_lines("a\nb\x07") == "a\nb\\x07"


def test_a_key_that_stands_twice_among_very_many_is_found_at_once() -> None:
    """In one pass: ten times the keys take about ten times as long; searched for each name anew, a hundred times."""

    def reading(
        parse: Callable[[str, str], object], line: str, between: str, around: str, count: int
    ) -> Callable[[], None]:
        names = [f"k{number}" for number in [*range(count), count - 1]]
        text = around[:1] + between.join(line.format(name) for name in names) + around[1:]

        def refuse() -> None:
            with pytest.raises(Unreadable, match=f"k{count - 1} stands twice"):
                parse(text, "it")

        return refuse

    assert growth(partial(reading, claims.json_of, '"{}":0', ",", "{}"), 30_000) < 50
    assert growth(partial(reading, claims.yaml_of, "{}: 0", "\n", ""), 2_000, tries=1) < 50


@pytest.mark.parametrize(
    "value", [f"0x{'f' * 5000}", "0x1ffffffffffffffff", "!!set {a, b}", "!!pairs [a: 1]", "!!binary YQ=="]
)
def test_what_only_yaml_has_is_refused(value: str) -> None:
    """A number that can't be printed, and kinds that JSON lacks, would break whoever reads on."""
    with pytest.raises(Unreadable, match=r"out of range|drfsm does not accept"):
        claims.yaml_of(f"a: {value}", "it")


def test_a_time_with_a_character_that_does_not_print_is_none() -> None:
    """Python takes a NUL before the offset."""
    assert claims.moment("2026-01-01T00:00:00\x00Z") is None
