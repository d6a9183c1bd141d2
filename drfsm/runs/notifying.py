"""Says when people are notified of a run: it is held, was left by its process, has ended, or nobody can publish.

A subscriber of a run's records with a watch of its own, for a row that waits writes no record. That a run is held or
has ended is sent when its process leaves it, for what comes between (an approval in the same command) makes it no
longer so. That nobody can publish is measured from the journal, so a kill and a resume do not begin it anew; it is sent
once an interval.

``notices.log`` in the bundle has a line for each notice and target: what was sent, to whom, and why not. From it a
resume knows what was sent already. It is no evidence, and nothing but this reads it. Nothing here stops a run.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drfsm.adapters.notice_targets import Message, Target
from drfsm.claims import moment, object_of, printable_json, seconds_between
from drfsm.errors import DrfsmError
from drfsm.evidence.wording import nobody_since
from drfsm.files import Directory
from drfsm.journal import Record, RunState
from drfsm.runs import notices
from drfsm.runs.deliveries import Deliveries
from drfsm.runs.notices import ENDED, HELD, NOBODY, STOPPED, Notify

LOG = "notices.log"
_LOOK_SECONDS = 30.0  # the longest sleep: a computer's own sleep stops its clocks
_LOG_BYTES = 1 << 20


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Notifier:
    """Notifies people of one run while a process works on it, from ``on_record`` to ``leave`` and ``flush``."""

    def __init__(
        self,
        settings: Notify,
        place: Path,
        state: RunState,
        tell: Callable[[str], None],
        *,
        endpoint_url: str = "",
        now: Callable[[], datetime] = utc_now,
        deliveries: Callable[..., Deliveries] = Deliveries,
    ) -> None:
        self._settings, self._place, self._tell, self._now = settings, place, tell, now
        self._state, self._written, self._held = state, False, False  # the last two: by this process
        self._sent = dict(_sent_before(place))  # fact -> when it was sent last
        self._news, self._left = threading.Condition(), False
        self._first_seen: dict[str, datetime] = {}
        self._deliveries = deliveries(settings.targets, self._record, endpoint_url=endpoint_url)
        if settings.after_seconds and NOBODY in settings.events:
            with suppress(RuntimeError):  # this computer starts no more threads
                threading.Thread(target=self._watch, daemon=True, name="watch of publishing").start()

    def on_record(self, record: Record, state: RunState) -> None:
        """Receive a record that is durable. Raises nothing."""
        with self._news:
            self._state, self._written = state, True
            self._held = record.kind == "held" or (self._held and state.status == "held")
            self._news.notify()

    def leave(self, fault: BaseException | None = None) -> None:
        """Send what the run's last state asks for; ``flush`` waits for the targets. Raises nothing.

        ``fault``: what ended the process's work, if it was an error.
        """
        with self._news:
            self._left, state = True, self._state
            self._news.notify()
        if self._written and not state.dry_run:
            event, fact = _last_word(state)
            is_news = self._held if event == HELD else fact not in self._sent
            if event in self._settings.events and is_news:
                why = "" if event != STOPPED else _words(fault)
                self._send(event, state, fact, reason=why)

    def flush(self) -> None:
        """Wait for the targets, in a bound. Raises nothing."""
        self._deliveries.flush(self._tell)

    # --- that nobody can publish ------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            with self._news:
                if self._left:
                    return
                state, due = self._state, self.due_in_seconds()
                if due is None or due > 0:
                    self._news.wait(_LOOK_SECONDS if due is None else min(due, _LOOK_SECONDS))
                    continue
                self._sent[_nobody(state)] = self._now()
            self._send(NOBODY, state, _nobody(state))

    def due_in_seconds(self) -> float | None:
        """Return in how many seconds it is to be said that nobody can publish, 0 for now; None where a site can."""
        since = moment(nobody_since(self._state.frozen_since))
        if since is None or self._state.ended or self._state.dry_run:
            return None
        now, fact = self._now(), _nobody(self._state)
        began = min(since, self._first_seen.setdefault(fact, now))  # another machine's clock may be ahead
        last = max(began, min(self._sent.get(fact, began), now))
        return max(0.0, self._settings.after_seconds - seconds_between(last, now))

    # --- what is sent -----------------------------------------------------------------------------------

    def _send(self, event: str, state: RunState, fact: str, reason: str = "") -> None:
        try:
            now = self._now().isoformat().replace("+00:00", "Z")
            self._deliveries.send(notices.of_run(event, state, str(self._place), now, fact=fact, reason=reason))
        except Exception as fault:  # noqa: BLE001  no notice stops a run
            self._tell(f"nobody was notified that {state.run_id} is {event}: {type(fault).__name__}")

    def _record(self, message: Message, target: Target, why: str) -> None:
        """Write down what became of a notice; say it if it was not taken."""
        if why:
            self._tell(f"NOT notified: {target.label}: {why} ({message.title})")
        line = {
            "at": self._now().isoformat(), "event": message.fields["event"], "fact": message.fields["fact"],
            "target": target.label, "sent": not why, "why": why,
        }  # fmt: skip
        try:
            with Directory.own(self._place) as directory:
                directory.append(LOG, printable_json(json.dumps(line)).encode() + b"\n")
        except (DrfsmError, OSError) as fault:
            self._tell(
                f"{LOG} could not be written ({getattr(fault, 'what', fault)}); a resume may send a notice again"
            )


def _nobody(state: RunState) -> str:
    return f"nobody can publish since {nobody_since(state.frozen_since)}"


def _last_word(state: RunState) -> tuple[str, str]:
    """Return the event of a run's last state, and the fact that it is about."""
    if state.ended:
        return ENDED, f"ended {state.status}"
    if state.status == "held":
        return HELD, f"held at {state.last_at}, record {state.length}"
    return STOPPED, f"stopped at {state.last_at}, record {state.length}"


def _words(fault: BaseException | None) -> str:
    """Return why a process left a run that is not held: an error's own words, for only drfsm's hold no secret."""
    if isinstance(fault, DrfsmError):
        return fault.what
    return (
        "its process was interrupted" if fault is None or isinstance(fault, KeyboardInterrupt) else type(fault).__name__
    )


def _sent_before(place: Path) -> Iterator[tuple[str, datetime]]:
    """Yield (fact, when it was sent), oldest first, as the bundle's log says; what is no such line is left out."""
    raw = b""
    with suppress(DrfsmError), Directory.look(place) as directory:
        start = max(0, directory.size(LOG) - _LOG_BYTES)
        raw = directory.read(LOG, _LOG_BYTES, start=start) or b""
    for line in raw.splitlines():
        entry: dict[str, Any] = {}
        with suppress(DrfsmError):
            entry = object_of(line, LOG)
        at = moment(entry.get("at"))
        if at is not None and entry.get("sent") is True and isinstance(entry.get("fact"), str):
            yield entry["fact"], at
