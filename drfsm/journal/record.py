"""One record of a journal: a frozen value, as it lies in the file and as it is read.

Its place in the chain is chain.py's matter, what its body must hold record_types.py's, its meaning replay.py's.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from drfsm import claims
from drfsm.journal import record_types
from drfsm.journal.field_types import fields_of
from drfsm.journal.record_types import Body

_REQUIRED: Mapping[str, frozenset[str]] = {
    kind: frozenset(line.key for line in fields_of(declared) if line.required)
    for kind, declared in record_types.KINDS.items()
}
KINDS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(line.key for line in fields_of(declared) if line.required)
    for kind, declared in record_types.KINDS.items()
}
"""Every kind of record and the keys that its body must have."""

WAITED = "waited_seconds"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)
_DEEPEST = 100  # an observation needs ten levels; a bomb of brackets gets no further
_LEAVES = frozenset((str, int, float, bool, type(None)))


@frozen
class Record:
    """One entry: ``seq`` counts from 0, ``at`` is UTC in ISO 8601 with microseconds and ``Z``."""

    seq: int
    kind: str
    at: str
    body: Mapping[str, Any]  # as it lies in the file
    pattern: object | None = field(default=None, eq=False, repr=False)
    """What lines have in common that differ only in place, time and waited seconds (patterns.py); None: unknown."""

    @cached_property
    def content(self) -> Body:
        """The body, read once. Raises ValueError, in words, for a body that is not what its kind declares."""
        known = self._checked
        if known is not None:
            return record_types.made(self.kind, known)
        return record_types.parse(self.kind, self.body, self.misfits)

    @cached_property
    def _checked(self) -> record_types.Checked | None:
        return record_types.checked(self.kind, self.body)

    @property
    def is_sound(self) -> bool:
        """Whether nothing can be said against the record by itself: ``faults`` and ``unallowed`` yield nothing."""
        return self._checked is not None and _TIME.fullmatch(self.at) is not None and _is_time(self.at)

    def like(self, seq: int, at: str, waited_seconds: float | None, pattern: object) -> "Record":
        """Return a sound record that says the same at another place; ``waited_seconds`` None: in every other field.

        ``at`` must be a time in the form of a record's.
        """
        known = self._checked
        assert known is not None  # noqa: S101  the caller's promise: this record is sound
        body = self.body
        if waited_seconds is not None:
            body = {**body, WAITED: waited_seconds}
            known = record_types.Checked({**known.values, WAITED: waited_seconds})
        record = Record(seq, self.kind, at, body, pattern)
        object.__setattr__(record, "_checked", known)
        return record

    @cached_property
    def misfits(self) -> tuple[str, ...]:
        """What keeps the body from being read, in words; asked by the fold, and by the audit for the same record."""
        return () if self._checked is not None else tuple(record_types.misfits(self.kind, self.body))

    def missing(self) -> tuple[str, ...]:
        """Return what the body lacks for its kind; an unknown kind lacks everything (``("?",)``)."""
        keys = KINDS.get(self.kind)
        if keys is None:
            return ("?",)
        if _REQUIRED[self.kind] <= self.body.keys():
            return ()
        return tuple(key for key in keys if key not in self.body)

    def faults(self) -> Iterator[str]:
        """Yield, in words, everything that a record of drfsm's own cannot have: for whoever judges records."""
        yield from self.unreadable()
        yield from self.undeclared()

    def undeclared(self) -> Iterator[str]:
        """Yield, in words, each key inside an object of the body that nobody declared. A reader ignores it."""
        yield from record_types.undeclared(self.kind, self.body)

    def unallowed(self) -> Iterator[str]:
        """Yield, in words, what the schema does not allow though it can be read; for whoever judges records."""
        yield from record_types.unallowed(self.kind, self.body)
        if not _TIME.fullmatch(self.at):
            yield f"its time {claims.bounded(self.at, 100)!r} is not in the form of a record's"

    def unreadable(self) -> Iterator[str]:
        """Yield, in words, what keeps the record from being read: a field that is missing or of another type."""
        yield from self.misfits
        if _too_deep(self.body):
            yield f"its body is nested deeper than {_DEEPEST} levels"
        if not _is_time(self.at):
            yield f"its time {claims.bounded(self.at, 100)!r} is no UTC time"


def _too_deep(body: Mapping[str, Any]) -> bool:
    """Whether a body has more levels than any record needs. Looks at one level after the other, without its leaves."""
    level: list[Any] = [body]
    for _ in range(_DEEPEST):
        members = (part.values() if isinstance(part, Mapping) else part for part in level)
        level = [member for part in members for member in part if type(member) not in _LEAVES and _is_whole(member)]
        if not level:
            return False
    return any(level)


def _is_whole(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping)


def _is_time(at: str) -> bool:
    return at.endswith("Z") and claims.moment(at) is not None
