"""What grows by sharing: every version stays as it was, whichever is read, and however long the history."""

import copy
import threading
import tracemalloc
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from drfsm.journal import Record, RunState, fold
from drfsm.journal.growing import Growing, Prefix, Stack

CHANGES = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=3)


def equal(one: object, other: object) -> bool:
    """Return whether they are equal, of whichever types."""
    return one == other


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), CHANGES), max_size=10), st.permutations(range(11)))
def test_every_version_stays_as_it_was(steps: list[tuple[int, Mapping[str, int]]], order: list[int]) -> None:
    """Changes go on from any version, old ones too; read in any order, each equals the dict that it stands for."""
    versions, dicts = [Growing[str, int]()], [dict[str, int]()]
    for number, changes in steps:
        base = number % len(versions)
        versions.append(versions[base].plus(changes))
        dicts.append({**dicts[base], **changes})
    for place in (place for place in order if place < len(versions)):
        version, expected = versions[place], dicts[place]
        assert equal(version, expected)
        assert (list(version.items()), len(version)) == (list(expected.items()), len(expected))
        assert [version.get(key, -1) for key in "abcd"] == [expected.get(key, -1) for key in "abcd"]
        assert equal(copy.copy(version), expected)
        assert equal(version.without("a"), {key: value for key, value in expected.items() if key != "a"})
        assert repr(version) == repr(expected)
        assert not expected or version.last() == list(expected.values())[-1]


def test_a_version_is_read_by_one_thread_while_another_one_adds() -> None:
    """A reader of an old version never sees what was added after it."""
    start = Growing[int, int](dict.fromkeys(range(100), 0))
    read: list[set[int]] = []

    def reading() -> None:
        read.extend(set(start.values()) for _ in range(300))

    reader = threading.Thread(target=reading)
    reader.start()
    version = start
    for number in range(3000):
        version = version.plus({number % 100: number + 1, -number: 1})
    reader.join()
    assert read == [{0}] * 300
    assert version[99] == 3000


def test_a_stack_equals_a_tuple_and_finds_what_has_a_name() -> None:
    """Items lie in the order in which they came; one is replaced in its place, or taken out wherever it lies."""
    empty = Stack[str]()
    two = empty.plus("x", "first").plus("y", "second")
    assert equal(empty, ())
    assert (tuple(two), two.named("x"), two.named("z"), bool(empty)) == (("first", "second"), "first", None, False)
    other = two.replaced("x", "FIRST")
    assert equal(two, ("first", "second"))
    assert equal(other, ["FIRST", "second"])
    assert (other[-1], other[:1], repr(other)) == ("second", ("FIRST",), "('FIRST', 'second')")
    rest = other.without(other[0])
    assert (tuple(rest), tuple(rest.plus("x", "again"))) == (("second",), ("second", "again"))
    assert equal(other.without(None), other)


def test_a_prefix_keeps_its_length_while_its_list_grows() -> None:
    """It is a view: nothing is copied, and what comes later is not in it."""
    items = ["a", "b"]
    prefix = Prefix(items)
    items.append("c")
    assert equal(prefix, ("a", "b"))
    assert (prefix[-1], prefix[1:], len(prefix), list(prefix)) == ("b", ("b",), 2, ["a", "b"])


def steps(first: int, last: int) -> Iterator[Record]:
    """Yield the records of so many steps, each with a fact, an undo and a result of its own."""
    for number in range(first, last):
        row = f"s{number} --go{number}--> s{number + 1}"
        step = {
            "row": row, "trigger": f"go{number}", "from": f"s{number}", "to": f"s{number + 1}", "by": "runner",
            "guards": [], "because": "a step", "frozen": [],
        }  # fmt: skip
        old, new = ({f"fact{number}": {"value": value, "seen": value, "why": ""}} for value in ("off", "on"))
        at = "2026-02-27T00:00:00.000000Z"
        before = {"attempt": 1, "effect": "idempotent", "before": {f"fact{number}": "off"}, "undo": f"back{number}"}
        yield Record(2 * number, "intent", at, {**step, **before, "facts": old})
        after = {"how": "acted", "result": number, "ways": [], "seconds": 0.0}
        yield Record(2 * number + 1, "commit", at, {**step, **after, "facts": new})


def most_bytes_of_a_step(state: RunState, number: int) -> int:
    """Return how much memory folding a next step takes: the least of several, as a table grows now and then."""
    least = []
    for following in range(number, number + 5):
        records = list(steps(following, following + 1))
        assert all(record.content for record in records)  # read before, as the runner does
        tracemalloc.start()
        state = fold(records, state)
        least.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(least)


def test_a_step_copies_nothing_that_grows_with_the_run() -> None:
    """After 3,000 steps one more takes as much memory as after ten; a copy of one mapping would take a hundred KB."""
    early, late = fold(steps(0, 10)), fold(steps(0, 3000))
    assert (len(late.undo), len(late.snapshots), len(late.facts), len(late.results)) == (3000,) * 4
    assert most_bytes_of_a_step(late, 3000) < most_bytes_of_a_step(early, 10) + 10_000
