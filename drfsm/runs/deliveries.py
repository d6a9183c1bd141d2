"""Brings notices to their targets beside a run's own path: each in a thread of its own, with a few tries, in a bound.

A target that fails, hangs or answers nonsense keeps nobody waiting but at the process's end, and there for
FLUSH_SECONDS at most. What became of each notice is handed to ``record``, by the label of its target. Used by
notifying.py and by the worker.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import define, field

from drfsm.adapters.notice_targets import Message, NotTaken, Target, send

TRIES, PAUSES_SECONDS = 3, (0.5, 1.5)
FLUSH_SECONDS = 10.0
"""How long a process that is done waits for targets, all of them together."""
QUIET_SECONDS = 2.0  # of these, before it says so

Record = Callable[[Message, Target, str], None]
"""Called once for every notice and target, with why it was not taken, "" if it was; from any thread."""


@define(eq=False)
class _Sending:
    target: Target
    message: Message
    settled: bool = False
    thread: threading.Thread = field(init=False)


class Deliveries:
    """Notices on their way. ``record`` may not raise."""

    def __init__(
        self,
        targets: Sequence[Target],
        record: Record,
        *,
        endpoint_url: str = "",
        transport: Callable[[Target, Message, str], None] = send,
    ) -> None:
        self._targets, self._record = tuple(targets), record
        self._endpoint_url, self._transport = endpoint_url, transport
        self._lock = threading.Lock()
        self._sendings: list[_Sending] = []

    def send(self, message: Message) -> None:
        """Send a notice to every target; returns at once."""
        for target in self._targets:
            sending = _Sending(target, message)
            sending.thread = threading.Thread(target=self._deliver, args=(sending,), daemon=True, name="notice")
            if any(other.target is target for other in self._running()):
                self._settle(sending, "it has not answered the notice before this one")
                continue
            with self._lock:
                self._sendings.append(sending)
            try:
                sending.thread.start()
            except RuntimeError:
                self._settle(sending, "this computer starts no more threads")

    def flush(self, tell: Callable[[str], None], seconds: float = FLUSH_SECONDS) -> None:
        """Wait until every notice was taken or refused, ``seconds`` at most; Ctrl-C ends the waiting."""
        began, told = time.monotonic(), False
        why = f"no answer in {seconds:.0f} s"
        try:
            while self._running() and time.monotonic() - began < seconds:
                if not told and time.monotonic() - began > min(QUIET_SECONDS, seconds / 2):
                    told = True
                    tell(f"waiting for the targets of notices, {seconds:.0f} s at most")
                for sending in self._running():
                    sending.thread.join(min(0.1, seconds))
        except KeyboardInterrupt:
            why = "Ctrl-C ended the waiting"
        for sending in tuple(self._sendings):
            self._settle(sending, why)

    def _running(self) -> list[_Sending]:
        with self._lock:
            return [sending for sending in self._sendings if sending.thread.is_alive()]

    def _deliver(self, sending: _Sending) -> None:
        self._settle(sending, self._tried(sending.target, sending.message))

    def _tried(self, target: Target, message: Message) -> str:
        """Try to send; return why that failed, "" if it did not."""
        why = ""
        for number in range(TRIES):
            try:
                self._transport(target, message, self._endpoint_url)
            except NotTaken as fault:
                why = fault.why
                if not fault.again or number == TRIES - 1:
                    break
                time.sleep(PAUSES_SECONDS[number])
            except (Exception, SystemExit) as fault:  # noqa: BLE001  a target stops nothing; its words may hold its address
                return f"drfsm could not send ({type(fault).__name__})"
            else:
                return ""
        return why

    def _settle(self, sending: _Sending, why: str) -> None:
        """Record what became of a notice, once: an answer after it was given up changes nothing."""
        with self._lock:
            if sending.settled:
                return
            sending.settled = True
        with suppress(Exception):
            self._record(sending.message, sending.target, why)
