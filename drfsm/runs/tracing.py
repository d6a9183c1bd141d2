"""Sends a run's trace to a collector while a process works on the run, a moment behind it, and never in its way.

What is sent is made of the journal (evidence/traces.py). ``traces.sent`` in the bundle says up to which record the
collector has the spans, so a resume sends those that a killed process could not, and none twice; without it (on
another machine) the same spans are sent again under the same ids. A collector that is away is told once; its spans
stay for the next try.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from drfsm.errors import DrfsmError
from drfsm.evidence.traces import Span, spans
from drfsm.files import Directory
from drfsm.journal import Record, RunState

MARK = "traces.sent"
BEHIND_SECONDS = 2.0  # how long spans are gathered for one request
FLUSH_SECONDS = 5.0
"""How long a process that is done waits for the collector."""
AWAY_SECONDS = 1.0  # likewise, where it did not take spans before
_MARK_BYTES = 32


class Takes(Protocol):
    """What takes finished spans (adapters/otlp.py)."""

    def take(self, spans: Sequence[Span]) -> None:
        """Take them, or raise a DrfsmError."""


class Tracer:
    """Sends one run's spans. ``collector`` makes the collector, in the thread that sends: it loads a heavy library."""

    def __init__(
        self,
        place: Path,
        records: Callable[[], Sequence[Record]],
        collector: Callable[[], Takes],
        tell: Callable[[str], None],
        *,
        behind_seconds: float = BEHIND_SECONDS,
    ) -> None:
        self._place, self._records, self._collector, self._tell = place, records, collector, tell
        self._behind = behind_seconds
        self._sent, self._told = _mark(place), False
        self._news, self._left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="traces")
        with suppress(RuntimeError):  # this computer starts no more threads
            self._thread.start()

    def on_record(self, record: Record, _state: RunState) -> None:
        """Receive a record that is durable. Raises nothing."""
        if record.kind in ("commit", "held", "resumed", "ended"):
            self._news.set()

    def leave(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what is left, and wait for that, in a bound; Ctrl-C ends the waiting. Raises nothing."""
        self._left.set()
        self._news.set()
        with suppress(KeyboardInterrupt, RuntimeError):
            self._thread.join(AWAY_SECONDS if self._told else seconds)
            if self._thread.is_alive():
                self._say(f"the collector of traces gave no answer in {seconds:.0f} s")

    def _work(self) -> None:
        collector: Takes | None = None
        last = False
        while not last:
            self._news.wait()
            self._left.wait(self._behind)
            self._news.clear()
            last = self._left.is_set()  # BEFORE the records are read: then they are all there
            try:
                collector = collector or self._collector()
                self._send(collector)
            except DrfsmError as fault:
                self._say("; ".join(line.strip() for line in fault.lines()))
            except Exception as fault:  # noqa: BLE001  no trace stops a run
                self._say(f"a defect in drfsm ({type(fault).__name__})")

    def _send(self, collector: Takes) -> None:
        records = tuple(self._records())
        known = self._sent if self._sent <= len(records) else 0
        finished = [span for span in spans(records) if span.closed_by >= known]
        if not finished:
            return
        collector.take(finished)
        self._sent = finished[-1].closed_by + 1
        with suppress(DrfsmError, OSError), Directory.own(self._place) as directory:
            directory.write(MARK, b"%d\n" % self._sent)

    def _say(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._tell(f"NO traces: {why}. The run goes on; a resume sends what is missing")


def _mark(place: Path) -> int:
    """Return how many records' spans were sent before, 0 where nobody knows."""
    raw = b""
    with suppress(DrfsmError), Directory.look(place) as directory:
        raw = directory.read(MARK, _MARK_BYTES) or b""
    digits = raw.strip()
    return int(digits) if digits.isdigit() else 0
