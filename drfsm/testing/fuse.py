"""A process that can die: a fuse that every request passes, a journal behind it, and a clock that tests own.

Every request to the world and every append to the journal passes one ``Fuse``. It counts them, and blows before or
after the n-th: what follows never happens, as with SIGKILL.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from drfsm.engine import MemoryJournal
from drfsm.journal import Record


class Crash(BaseException):
    """The process dies here. Nothing may catch it."""


@define
class Fuse:
    """Counts points, before and after each request, and dies at one of them.

    ``trail`` says where each point lies; ``seen`` has what was asked and written, in order: ("read", key),
    ("write", key, value), ("act", name), (a record's kind, its row).
    After a read is no point of its own: nothing has changed until before the next request. While a fact is observed
    (``observing``) there is none at all: to die then is to die before the next write.
    """

    blows_at: int | None = None
    points: int = 0
    observing: bool = False
    watch: Callable[[], None] = lambda: None
    trail: list[str] = field(factory=list)
    seen: list[tuple[str, ...]] = field(factory=list)

    def read(self, request: Callable[[], Any], words: str = "") -> Any:
        """Do a request that changes nothing, unless the process dies before it."""
        self._point(f"before {words}")
        return request()

    def write(self, request: Callable[[], Any], words: str = "") -> Any:
        """Do a request, unless the process dies before or after it."""
        self._point(f"before {words}")
        result = request()
        self._point(f"after {words}")
        return result

    def _point(self, words: str) -> None:
        if self.observing:
            return
        if self.points == self.blows_at:
            raise Crash(f"at point {self.points}, {words}")
        self.watch()
        self.trail.append(words)
        self.points += 1


class DyingJournal(MemoryJournal):
    """A journal behind a fuse."""

    def __init__(self, records: Sequence[Record], fuse: Fuse) -> None:
        super().__init__(records)
        self._fuse = fuse

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append, unless the process dies before it or after it."""
        words = f"the record {kind} {body.get('trigger', '')}".rstrip()
        record: Record = self._fuse.write(lambda: self._durable(kind, body, at), words)
        return record

    def _durable(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        record = super().append(kind, body, at)
        self._fuse.seen.append((kind, str(body.get("undoes") or body.get("row", ""))))
        return record


@define
class MemoryClock:
    """Time that passes only when somebody sleeps."""

    seconds: float = 0.0
    naps: list[float] = field(factory=list)

    def now(self) -> str:
        """Return a time that always looks the same, so that histories can be compared."""
        return "2026-02-27T00:00:00.000000Z"

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.naps.append(seconds)
        self.seconds += seconds
