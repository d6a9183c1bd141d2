"""The bytes of a journal: what was written is what is proven, and any other byte is found and its line named."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfsm.errors import JournalDamaged
from drfsm.journal import GENESIS, KINDS, Record, digest, encode, exact, fold, lines, read
from drfsm.journal.chain import LARGEST_LINE_BYTES
from tests.growth import growth

AT = "2026-02-27T00:00:00.000000Z"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def some(count: int = 6) -> list[Record]:
    """Return a journal's worth of rejections."""
    return [
        Record(seq, "rejected", AT, {"state": "s", "trigger": f"t{seq}", "why": "wörds ✗ \u2028", "legal": []})
        for seq in range(count)
    ]


def raw_of(records: list[Record]) -> list[bytes]:
    """Return the raw lines of records."""
    return list(lines(records))


@pytest.mark.parametrize("how", ["bytes", "stream", "lines"])
def test_what_was_written_is_read_again(how: str) -> None:
    """As bytes, as a stream, as lines: the same records, the head of the last line, the size of all."""
    records = some()
    raw = raw_of(records)
    next_actions: dict[str, Any] = {"bytes": b"".join(raw), "stream": io.BytesIO(b"".join(raw)), "lines": iter(raw)}
    chain = read(next_actions[how])
    assert list(chain.records) == records
    assert (chain.head, chain.size_bytes, chain.torn) == (digest(raw[-1]), len(b"".join(raw)), b"")
    assert raw[0].startswith(b'{"prev":"' + GENESIS.encode() + b'","seq":0,"at":"')


def test_an_empty_journal_is_empty() -> None:
    """No bytes, no records, and the first line's predecessor as head."""
    assert (read(b"").records, read(b"").head) == ((), GENESIS)


def test_every_changed_byte_is_found() -> None:
    """Flip one bit of any byte: damage is found, and named at that line or the one after it; the last byte tears."""
    raw = raw_of(some(3))
    whole = b"".join(raw)
    starts = [0, len(raw[0]), len(raw[0]) + len(raw[1])]
    last_line_start = starts[-1]
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1
        line = sum(place >= start for start in starts)
        if place == len(whole) - 1:
            assert read(bytes(broken)).torn
            continue
        found = damaged_line(bytes(broken))
        if found is None:
            # Only the end of the chain can't prove its own words: that is what the head outside is for.
            assert place >= last_line_start
            assert read(bytes(broken)).head != digest(raw[-1])
        else:
            assert found in (line, line + 1)


def damaged_line(raw: bytes) -> int | None:
    """Return the line that is damaged, None if the chain holds."""
    try:
        read(raw)
    except JournalDamaged as fault:
        return fault.line
    return None


@pytest.mark.parametrize("what", ["removed", "inserted", "swapped", "doubled", "first removed"])
def test_a_line_that_is_not_where_it_was_is_found(what: str) -> None:
    """Removed, inserted, swapped or doubled lines break the chain at the line that no longer follows."""
    raw = raw_of(some())
    changed = {
        "removed": raw[:2] + raw[3:],
        "inserted": [*raw[:3], raw[0], *raw[3:]],
        "swapped": [raw[0], raw[2], raw[1], *raw[3:]],
        "doubled": [*raw[:3], raw[2], *raw[3:]],
        "first removed": raw[1:],
    }[what]
    line = {"removed": 3, "inserted": 4, "swapped": 2, "doubled": 4, "first removed": 1}[what]
    with pytest.raises(JournalDamaged, match=f"line {line} ") as caught:
        read(changed)
    assert caught.value.line == line


def forged(**fields: Any) -> bytes:
    """Return one raw first line with some of its fields replaced."""
    body = {"prev": GENESIS, "seq": 0, "at": AT, "kind": "rejected", "body": some(1)[0].body} | fields
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


GOOD = forged()
DAMAGED = {
    "an unknown kind": (forged(kind="promised"), "is a 'promised' record without ?"),
    "a kind that is no text": (forged(kind=["rejected"]), "a time or kind that is not a text"),
    "a body that lacks something": (forged(body={"state": "s"}), "without trigger, why, legal"),
    "a body that is no object": (forged(body=[]), "a body that is not an object"),
    "a time that is no text": (forged(at=12), "a time or kind that is not a text"),
    "a wrong number": (forged(seq=1), "has seq 1 where 0 is due"),
    "a number that is a boolean": (forged(seq=False), "has seq False where 0 is due"),
    "a number that is a fraction": (forged(seq=0.0), "has seq 0.0 where 0 is due"),
    "a field too many": (forged(extra=1), "exactly the fields"),
    "fields in another order": (
        b'{"prev":"' + GENESIS.encode() + b'","at":"","seq":0,"kind":"","body":{}}\n',
        "exactly the fields",
    ),
    "a key twice": (GOOD.replace(b'"state":"s"', b'"state":"s","state":"t"'), "the key state stands twice"),
    "not a number": (GOOD.replace(b'"legal":[]', b'"legal":NaN'), "NaN is not a number"),
    "infinity": (GOOD.replace(b'"legal":[]', b'"legal":-Infinity'), "-Infinity is not a number"),
    "no JSON": (b'{"prev":"' + b"x" * 64 + b'", oops\n', "is not a JSON record"),
    "bytes that are no text": (GOOD.replace(b'"s"', b'"\xff"'), "is not a JSON record"),
    "an empty line": (b"\n", "does not start with"),
    "a blank before it": (b" " + GOOD, "does not start with"),
    "brackets without end": (b'{"prev":"' + b"[" * 100_000 + b"\n", "is not a JSON record"),
    "something behind it": (GOOD[:-1] + b" {}\n", "is not a JSON record"),
    "two lines in one": (GOOD[:-1].replace(b",", b",\n", 1) + b"\n", "holds more than one line"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_each_kind_of_damage_is_named(what: str) -> None:
    """One forged line: refused as damage of line 1, in words that say what is wrong with it."""
    line, told = DAMAGED[what]
    with pytest.raises(JournalDamaged) as caught:
        read([line])
    assert caught.value.line == 1
    assert told in caught.value.what


def test_the_bytes_are_hashed_as_they_are_and_never_written_again() -> None:
    """A line with blanks that a re-serialisation would drop still verifies, by its own bytes."""
    first = GOOD.replace(b'"legal":[]', b'"legal": [ ]')
    second = encode(Record(1, "rejected", AT, some(1)[0].body), digest(first))
    chain = read(first + second)
    assert len(chain.records) == 2
    with pytest.raises(JournalDamaged, match="line 2 "):
        read(GOOD + second)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_tail_is_left_out_and_told(cut: int) -> None:
    """The last line without its end: the records before it, and the torn bytes beside them."""
    raw = raw_of(some(3))
    chain = read(b"".join(raw)[:-cut])
    assert list(chain.records) == some(2)
    assert chain.torn == raw[-1][:-cut]
    assert chain.size_bytes == len(raw[0] + raw[1])


def test_a_line_without_an_end_before_another_is_damage_and_no_tail() -> None:
    """Lines handed in one by one: only the last may be torn; an empty one in between is not skipped."""
    raw = raw_of(some(3))
    for middle in (raw[1][:-1], b""):
        with pytest.raises(JournalDamaged, match="line 2 has no newline"):
            read([raw[0], middle, raw[2]])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), max_size=4))
def test_whatever_json_says_comes_back(bodies: list[dict[str, Any]]) -> None:
    """Records of any JSON bodies are read again as they were written."""
    base = {"state": "s", "trigger": "t", "why": "w", "legal": []}
    records = [Record(seq, "rejected", AT, exact({**body, **base})) for seq, body in enumerate(bodies)]
    chain = read(b"".join(lines(records)))
    assert list(chain.records) == records


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_exact_is_what_a_journal_gives_back_and_stays_so(value: Any) -> None:
    """exact(x) equals x for JSON, and exact of it again changes nothing."""
    assert exact(value) == value
    assert exact(exact(value)) == exact(value)


def test_exact_makes_tuples_lists_and_number_keys_text() -> None:
    """What JSON writes otherwise is turned at once, not only when it is read again."""
    assert exact({"a": (1, 2), 3: None, True: 1}) == {"a": [1, 2], "3": None, "true": 1}


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1, 2}, b"x", object(), "\ud800", {1: "a", "1": "b"}, {("a",): 1}],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_json_can_not_say_is_a_value_error(value: Any) -> None:
    """Exact and encode refuse it, alike, and so nothing half understood is ever written."""
    with pytest.raises(ValueError, match=r"."):
        exact(value)
    if value != {1: "a", "1": "b"}:
        with pytest.raises(ValueError, match=r"."):
            encode(Record(0, "rejected", AT, {"why": value}), GENESIS)


def test_what_contains_itself_is_a_value_error() -> None:
    """A list in itself is refused, not followed for ever."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match=r"."):
        exact(endless)


def test_every_kind_is_checked_for_what_it_must_carry() -> None:
    """For each kind of record, each key that it must have: without it the line is damage."""
    for kind, keys in KINDS.items():
        body = dict.fromkeys(keys, "x")
        assert read([forged(kind=kind, body=body)]).records[0].kind == kind
        for key in keys:
            lacking = {name: "x" for name in keys if name != key}
            with pytest.raises(JournalDamaged, match=f"is a '{kind}' record without {key}"):
                read([forged(kind=kind, body=lacking)])


def test_reading_and_folding_grow_with_the_number_of_records_and_not_with_its_square() -> None:
    """Ten thousand records cost about ten times as much as a thousand; by the square it would be a hundred times."""
    body = some(1)[0].body

    def reading(count: int) -> Callable[[], None]:
        raw = b"".join(lines(Record(seq, "rejected", AT, body) for seq in range(count)))

        def read_and_fold() -> None:
            assert fold(read(raw).records).length == count

        return read_and_fold

    assert growth(reading, 1_000) < 50


def test_the_first_line_follows_sixty_four_zeros() -> None:
    """As other tools that verify a journal expect it."""
    assert raw_of(some(1))[0].startswith(b'{"prev":"' + b"0" * 64 + b'",')


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_has_eight_megabytes_at_most(more: int) -> None:
    """Torn or whole, at once or line by line: one byte more is damage, and named."""
    (whole,) = raw_of([Record(0, "repaired", AT, {"row": "a --b--> c", "action": "oil", "result": ""})])
    line = whole.replace(b'""', b'"' + b"x" * (LARGEST_LINE_BYTES - len(whole) + more) + b'"')
    for journal in (line, line[:-1] + b"x"):
        for way in (journal, io.BytesIO(journal), iter([journal])):
            if more:
                with pytest.raises(JournalDamaged, match="line 1 has more than"):
                    read(way)
            else:
                chain = read(way)
                assert chain.size_bytes + len(chain.torn) == LARGEST_LINE_BYTES


def test_a_record_that_nobody_could_read_again_is_not_written() -> None:
    """Too many levels are refused before the line is written."""
    deep: Any = 1
    for _ in range(501):
        deep = [deep]
    with pytest.raises(ValueError, match="level"):
        encode(Record(0, "repaired", AT, {"row": "a --b--> c", "action": "oil", "result": deep}), GENESIS)
