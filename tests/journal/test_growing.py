"""What grows by sharing: every version stays as it was, whichever is read, and however long the history."""

import copy
import threading
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

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
