"""What the engine needs from outside, as small protocols: a journal, a lease, a clock.

The real ones live in adapters/; ``MemoryJournal``, ``NoLease`` and ``SystemClock`` are enough for a
library user's first machine.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from drfsm.journal import GENESIS, Record, digest, encode


class Journal(Protocol):
    """The write-ahead log of one run. ``append`` returns only when the record is durable."""

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record durably. Raises on any doubt: nothing may be done that is not on record."""


class Lease(Protocol):
    """The right to act on one bucket and prefix, with a rising epoch (the fencing token)."""

    @property
    def taken_from(self) -> Mapping[str, Any]:
        """The run that held the lease when it was acquired (``run_id``), and ``why`` it could be taken; else empty.

        ``left_open``, where there are any: the triggers of its rows whose requests may still be on their way.
        """

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Take the lease and return its epoch. Raises LeaseHeld if another run has it."""

    def check(self) -> None:
        """Raise LeaseLost unless this process still holds it."""

    def release(self, run_id: str) -> None:
        """Give it back at the end of a run, if this run holds it; a lease that it does not hold is left alone."""


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> str:
        """Return the UTC time in ISO 8601 with microseconds and ``Z``."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Pause."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> str:
        """Return the UTC time in ISO 8601 with microseconds and ``Z``."""
        return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Pause."""
        time.sleep(seconds)


class MemoryJournal:
    """A journal that lives as long as its process: for a first machine and for tests."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        # A record and the hash of its line, in one place: an interruption can't tear them apart.
        self._written: list[tuple[Record, str]] = []
        for record in records:
            self._written.append((record, digest(encode(record, self.head))))

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return self._written[-1][1] if self._written else GENESIS

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return tuple(record for record, _ in self._written)

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record. Raises ValueError, and keeps nothing, for a body that JSON can't say."""
        record = Record(len(self._written), kind, at, body)
        self._written.append((record, digest(encode(record, self.head))))
        return record


class NoLease:
    """For a world that nobody else can reach. Its epoch counts the starts and resumes of this object."""

    def __init__(self) -> None:
        self._epoch = 0

    @property
    def taken_from(self) -> Mapping[str, Any]:
        """Nobody held it."""
        return {}

    def acquire(self, run_id: str, operator: str, host: str) -> int:  # noqa: ARG002  the protocol's shape
        """Return the next epoch."""
        self._epoch += 1
        return self._epoch

    def check(self) -> None:
        """Nobody else can hold it."""

    def release(self, run_id: str) -> None:
        """Nothing to release."""
