"""The progress of a working run on stderr: one line for each event, with its reason.

Plain text for people; with ``DRFSM_LOG=json`` JSON lines (structlog) for log collectors. Observations of the world
are in the journal only.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO, cast

from drfsm.claims import printable_json
from drfsm.cli.say import Enduring, write_line
from drfsm.errors import common_causes, in_one_line, shown
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Forecast
from drfsm.runs.invocation import Listener

Body = Mapping[str, Any]
Line = tuple[str, str]  # a mark, and words


def listener(stream: TextIO | Enduring, environ: Mapping[str, str] = os.environ) -> Listener:
    """Return the listener that prints a run's progress, for people or for log collectors."""
    return Events(stream) if environ.get("DRFSM_LOG") == "json" else Progress(stream)


class Events:
    """Prints a run's progress as JSON lines: ``event`` is a dotted name, the rest are its fields."""

    def __init__(self, stream: TextIO | Enduring) -> None:
        import structlog

        self._log = structlog.wrap_logger(
            structlog.PrintLogger(cast("TextIO", stream)),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                lambda _logger, _name, event: {name: event[name] for name in sorted(event, key=_first)},
                structlog.processors.JSONRenderer(
                    lambda event, **options: printable_json(json.dumps(event, **options))
                ),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def say(self, words: str, **fields: Any) -> None:
        """Print a note of an action."""
        self._log.msg("action.note", words=words, **fields)

    def on_record(self, record: Record, state: RunState) -> None:
        """Print a record: its kind, where the run stands, and its fields that are plain words or numbers."""
        plain = {name: value for name, value in record.body.items() if name in _PLAIN_FIELDS}
        run = {"run": state.run_id, "machine": state.machine, "seq": record.seq}
        fields = {**run, "state": state.state, "status": state.status, **plain}
        self._log.msg(f"run.{record.kind.removeprefix('run_')}", **fields)


def _first(name: str) -> int:
    return ("at", "event").index(name) if name in ("at", "event") else 2


_PLAIN_FIELDS = frozenset({
    "trigger", "from", "to", "because", "by", "how", "attempt", "error", "verdict", "action", "holds", "unmet",
    "waited_seconds", "limit_seconds", "reason", "stage", "way", "frozen", "operator", "host", "epoch", "dry_run",
    "scope",
})  # fmt: skip


class Progress:
    """Prints a run's progress for people: one line for each record that matters to them, and each note."""

    def __init__(self, stream: TextIO | Enduring) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._noted = ""
        self._unread = ""  # why the steps of a dry run are unknown, from some step on

    def say(self, words: str, **fields: Any) -> None:
        """Print a note of an action; not again if it is the same as the last one."""
        note = " ".join([words, *(f"{name}={value}" for name, value in fields.items())])
        if note != self._noted:
            self._line("  ·", note)
            self._noted = note

    def on_record(self, record: Record, _state: RunState) -> None:
        """Print what a record means, if it matters to a person."""
        if isinstance(forecast := record.content, Forecast):
            self._unreadable(forecast.unread)
            self._line(*_forecast(forecast))
        if record.kind in _LINES:
            self._line(*_LINES[record.kind](record.body))
        for finding in _findings(record.body):
            self._line("  -", finding)
        if record.kind != "intent":
            self._foreseen(record.body.get("foreseen", ()))

    def _unreadable(self, why: str) -> None:
        """Print why the steps from here on are unknown, once."""
        if why and why != self._unread:
            self._line("✗", why)
        self._unread = why

    def _foreseen(self, checks: Iterable[Body]) -> None:
        """Print what was foreseen; first, and once, why facts could not be read."""
        causes, others = common_causes([check for check in checks if not check["holds"]])
        for why, facts in causes.items():
            self._line("!", f"unknown: {', '.join(facts)}" if why == self._unread else in_one_line(why, facts))
        for check in others:
            self._line("!", _foreseen(check))

    def _line(self, mark: str, words: str) -> None:
        passed = time.monotonic() - self._began
        write_line(self._stream, f"{passed:6.1f}s {mark} {words}")


def _started(body: Body) -> Line:
    dry = "   DRY RUN: nothing will be changed" if body["dry_run"] else ""
    return "▶", f"{body['machine']} {body['run_id']}{dry}"


def _intent(body: Body) -> Line:
    return "…", f"undoing {body['undoes']}" if body.get("undoes") else str(body["trigger"])


def _commit(body: Body) -> Line:
    words = f"{body['to']:<26} {body['because']}"
    if body["by"] == "failure":
        return "✗", f"{words}  Cause: {_why(body['args'])}"
    return "✓", f"{words}  (was done already)" if body["how"] == "found" else words


def _sampled(body: Body) -> Line:
    if body["holds"]:
        return "⏳", f"{body['state']}: nothing left to wait for"
    unmet = ", ".join(f"{name} is {body['facts'][name]['value'] or 'unknown'}" for name in body["unmet"])
    return "⏳", f"{body['state']}: {unmet} (limit {body['limit_seconds']:.0f} s)"


def _failed(body: Body) -> Line:
    return "✗", f"{body['trigger']}, attempt {body['attempt']}: {body['error']}"


_FORECASTS = {
    "pass": "would pass",
    "wait": "would wait",
    "refused": "WOULD BE REFUSED",
    "depends": "depends on steps that a dry run leaves out",
    "unknown": "UNKNOWN",
}


def _forecast(forecast: Forecast) -> Line:
    return "?", f"{forecast.to:<26} {_FORECASTS[forecast.outcome]}"


def _foreseen(check: Body) -> str:
    would = "would wait" if check.get("waits") else "would hold"
    mend = f". What to do: {check['mend']}" if check.get("mend") else ""
    seen = shown(check["seen"])
    return f"{check['at']} {would}: {check['fact']} is {check['value']} (seen: {seen}). {check['because']}{mend}"


def _held(body: Body) -> Line:
    hint = f" (what to do: {body['way']})" if body.get("way") else ""
    return "■", f"held in {body['state']}: {_why(body)}{hint}"


def _ended(body: Body) -> Line:
    return "■", f"{body['status']}{': ' + _why(body) if body['reason'] else ''}"


def _findings(body: Body) -> Sequence[str]:
    """Return the findings of a record that has several, each for a line of its own."""
    findings = body.get("findings") or body.get("args", {}).get("findings") or ()
    return findings if len(findings) > 1 else ()


def _why(body: Body) -> str:
    """Return a reason for its line; of several findings, which follow, their number."""
    findings = _findings(body)
    return f"{len(findings)} findings" if findings else str(body["reason"])


_LINES: Mapping[str, Callable[[Body], Line]] = {
    "run_started": _started,
    "resumed": lambda body: ("▶", f"resumed in {body['state']} by {body['operator']}"),
    "intent": _intent,
    "commit": _commit,
    "sampled": _sampled,
    "failed": _failed,
    "repaired": lambda body: ("·", f"repaired by {body['action']}"),
    "held": _held,
    "rejected": lambda body: ("✗", str(body["why"])),
    "ended": _ended,
}
