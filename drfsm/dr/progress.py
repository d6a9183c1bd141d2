"""Progress on many objects: messages at a bounded rate, and bounded lists for the journal.

Used where an action covers thousands of objects; its records must stay small.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

EVERY_SECONDS = 2.0
FIRST = 20  # the most items of a list in a record
OBJECT_WEIGHT_BYTES = 8 << 20  # the bytes whose transfer takes as long as one request

Note = Callable[..., None]


def quiet(_words: str, **_fields: object) -> None:
    """Say nothing."""


def first_of(items: Iterable[Any]) -> dict[str, Any]:
    """Return the number of items and the first of them, for a record."""
    everything = list(items)
    return {"total": len(everything), "first": everything[:FIRST]}


class Progress:
    """Reports progress on many objects, at a bounded rate."""

    def __init__(self, note: Note, verb: str, objects: int, size_bytes: int) -> None:
        self._note, self._verb, self._objects, self._size_bytes = note, verb, objects, size_bytes
        self._done = self._done_bytes = 0
        self._started = self._last_report = time.monotonic()

    def add(self, size_bytes: int) -> None:
        """Count one object; report if it is time."""
        self._done += 1
        self._done_bytes += size_bytes
        now = time.monotonic()
        if now - self._last_report < EVERY_SECONDS:
            return
        self._last_report = now
        done = self._done * OBJECT_WEIGHT_BYTES + self._done_bytes
        whole = self._objects * OBJECT_WEIGHT_BYTES + self._size_bytes
        left = max(0.0, (now - self._started) * (whole - done) / done)
        self._note(
            f"{self._verb} {self._done} of {self._objects} objects, {megabytes(self._done_bytes)} of"
            f" {megabytes(self._size_bytes)}, about {left:.0f} s left"
        )

    def end(self) -> float:
        """Report the total; return the seconds that it took."""
        seconds = time.monotonic() - self._started
        self._note(f"{self._verb} {self._done} objects, {megabytes(self._done_bytes)}, in {seconds:.1f} s")
        return round(seconds, 3)


def megabytes(size_bytes: int) -> str:
    """Return a size in MB."""
    return f"{size_bytes / 1e6:.1f} MB"
