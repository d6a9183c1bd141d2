"""Collections whose newer versions share their entries, so that adding one costs the same however many there are.

A run's state is a value: each record makes a new one, and whoever keeps an old one (a subscriber, a test, the audit)
must find it unchanged. Copying every mapping for every record would make the thousandth step dearer than the tenth.

Only the newest version owns the entries. ``plus`` hands them on to a new version, and leaves the old one a note of what
the change replaced. An old version that is read after all copies the entries of the newest and takes the changes back,
once; from then on it stands alone. So reading the newest is as quick as reading a dict, and reading an old one as dear
as copying it. One thread may add while others read. Called by replay.py.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

Key = TypeVar("Key")
Value = TypeVar("Value")
_MISSING: Any = object()


class Growing(Mapping[Key, Value]):
    """An unchangeable mapping, equal to a dict with the same entries."""

    __slots__ = ("_after", "_entries", "_replaced")

    def __init__(self, entries: Mapping[Key, Value] | None = None) -> None:
        self._entries: dict[Key, Value] | None = dict(entries or {})
        self._after: Growing[Key, Value] | None = None
        self._replaced: Mapping[Key, Value] = {}

    def plus(self, changes: Mapping[Key, Value]) -> "Growing[Key, Value]":
        """Return a version with these entries added or replaced. A key keeps its place."""
        entries = self._own()
        replaced = {key: entries.get(key, _MISSING) for key in changes}
        if all(replaced[key] is value for key, value in changes.items()):
            return self
        after: Growing[Key, Value] = Growing.__new__(Growing)
        after._entries, after._after, after._replaced = entries, None, {}
        # BEFORE the entries change: a thread that reads this version meanwhile must see that it has to look again.
        self._replaced, self._after, self._entries = replaced, after, None
        entries.update(changes)
        return after

    def without(self, key: Key) -> "Growing[Key, Value]":
        """Return a version without a key, at the cost of a copy."""
        return Growing({name: value for name, value in self._own().items() if name != key})

    def _own(self) -> dict[Key, Value]:
        """Return the entries of this version."""
        entries = self._entries
        while entries is None:
            entries = self._taken_back()
        return entries

    def _taken_back(self) -> dict[Key, Value] | None:
        """Take the later changes back from a copy of the newest version; None where one more was made meanwhile."""
        later: list[Mapping[Key, Value]] = []
        version: Growing[Key, Value] = self
        while version._entries is None and version._after is not None:
            later.append(version._replaced)
            version = version._after
        newest = version._entries  # noqa: SLF001  its own kind
        entries = dict(newest or {})
        if newest is None or version._entries is not newest:  # noqa: SLF001
            return None
        for replaced in reversed(later):
            for key, value in replaced.items():
                if value is _MISSING:
                    entries.pop(key, None)
                else:
                    entries[key] = value
        self._entries, self._after, self._replaced = entries, None, {}
        return entries

    def __getitem__(self, key: Key) -> Value:
        """Return a value. Raises KeyError."""
        entries = self._own()
        value: Value = entries.get(key, _MISSING)
        if self._entries is not entries:  # another thread added something
            value = self._own().get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Whether it has a key."""
        entries = self._own()
        has = key in entries
        return has if self._entries is entries else key in self._own()

    def _snapshot(self) -> list[tuple[Key, Value]]:
        entries = self._own()
        items = list(entries.items())
        return items if self._entries is entries else self._snapshot()

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys, in the order in which they came."""
        return iter([key for key, _ in self._snapshot()])

    def last(self) -> Value:
        """Return the value that came last. Raises KeyError if there is none."""
        entries = self._own()
        key = next(reversed(entries), _MISSING)
        return self[key] if self._entries is entries else self[self._snapshot()[-1][0]]

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._own())

    def __eq__(self, other: object) -> bool:
        """Whether another mapping has the same entries."""
        return dict(self._snapshot()) == (dict(other) if isinstance(other, Mapping) else other)

    __hash__ = None  # type: ignore[assignment]  # as a dict has none

    def __repr__(self) -> str:
        """Return what a dict would say."""
        return repr(dict(self._snapshot()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy it alone, without its later versions."""
        return Growing, (dict(self._snapshot()),)


def growing(known: Mapping[Key, Value]) -> Growing[Key, Value]:
    """Return a mapping as one that can grow: itself, where it is."""
    return known if isinstance(known, Growing) else Growing(known)


def plus(known: Mapping[Key, Value], changes: Mapping[Key, Value]) -> Growing[Key, Value]:
    """Return a mapping with entries added or replaced, at the cost of these entries."""
    return growing(known).plus(changes)


class Prefix(Sequence[Value]):
    """The items that a list has now, without a copy. The list may grow meanwhile; it never loses or changes an item."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Value]) -> None:
        self._items, self._length = items, len(items)

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Value, ...]: ...
    def __getitem__(self, index: int | slice) -> Value | tuple[Value, ...]:
        """Return an item, or a tuple of some. Raises IndexError."""
        if isinstance(index, slice):
            return tuple(self._items[place] for place in range(*index.indices(self._length)))
        return self._items[range(self._length)[index]]

    def __iter__(self) -> Iterator[Value]:
        """Yield the items, the oldest first."""
        return islice(self._items, self._length)

    def __len__(self) -> int:
        """Return the number of items."""
        return self._length

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same items in the same order."""
        return tuple(self) == (tuple(other) if isinstance(other, Sequence) else other)

    __hash__ = None  # type: ignore[assignment]  # its items hold what has none


class Stack(Sequence[Value]):
    """An unchangeable sequence, equal to a tuple of the same items. Each item has a name, and is found by it.

    Putting an item on, and replacing the one of a name, costs the same however many there are.
    """

    __slots__ = ("_items", "_next", "_places")

    def __init__(self, items: Iterable[tuple[Hashable, Value]] = ()) -> None:
        named = list(items)
        self._items: Growing[int, Value] = Growing({place: item for place, (_, item) in enumerate(named)})
        self._places: Growing[Hashable, int] = Growing({name: place for place, (name, _) in enumerate(named)})
        self._next = len(named)

    def plus(self, name: Hashable, item: Value) -> "Stack[Value]":
        """Return the stack with an item on top."""
        return self._with(self._next, name, item)

    def replaced(self, name: Hashable, item: Value) -> "Stack[Value]":
        """Return the stack with another item in the place of the one of that name. Raises KeyError."""
        return self._with(self._places[name], name, item)

    def _with(self, place: int, name: Hashable, item: Value) -> "Stack[Value]":
        after: Stack[Value] = Stack.__new__(Stack)
        after._items, after._places = self._items.plus({place: item}), self._places.plus({name: place})
        after._next = max(self._next, place + 1)
        return after

    def named(self, name: Hashable) -> Value | None:
        """Return the newest item of a name; None if there is none."""
        place = self._places.get(name)
        return None if place is None else self._items[place]

    def without(self, item: Value | None) -> "Stack[Value]":
        """Return the stack without this very item, at the cost of a copy."""
        names = {place: name for name, place in self._places.items()}
        return Stack((names.get(place), other) for place, other in self._items.items() if other is not item)

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Value, ...]: ...
    def __getitem__(self, index: int | slice) -> Value | tuple[Value, ...]:
        """Return an item, or a tuple of some. Raises IndexError."""
        if index == -1 and self:
            return self._items.last()
        return tuple(self)[index]

    def __iter__(self) -> Iterator[Value]:
        """Yield the items, the oldest first."""
        return iter(self._items.values())

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same items in the same order."""
        return tuple(self) == (tuple(other) if isinstance(other, Sequence) else other)

    __hash__ = None  # type: ignore[assignment]  # its items hold what has none

    def __repr__(self) -> str:
        """Return what a tuple would say."""
        return repr(tuple(self))
