"""The progress of a working run on stderr: one line for each event, with its reason.

Plain text for people, on a terminal folded between words to its width; with ``DRFSM_LOG=json`` JSON lines (structlog)
for log collectors. For people each reason is printed once: the end of a run doesn't repeat what stands just above it.
Observations of the world are in the journal only.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO, cast

from drfsm.claims import printable_json
from drfsm.cli.say import Enduring, write_line
from drfsm.errors import common_causes, in_one_line, unmet
from drfsm.evidence.wording import ACCEPTED, accepted_words, seconds_between
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
        name, fields = event_of(record, state)
        self._log.msg(name, **fields)


def event_of(record: Record, state: RunState) -> tuple[str, dict[str, Any]]:
    """Return a record's event for log collectors: its dotted name, and its fields that are plain words or numbers."""
    plain = {name: value for name, value in record.body.items() if name in _PLAIN_FIELDS}
    run = {"run": state.run_id, "machine": state.machine, "seq": record.seq}
    return f"run.{record.kind.removeprefix('run_')}", {**run, "state": state.state, "status": state.status, **plain}


def _first(name: str) -> int:
    return ("at", "event").index(name) if name in ("at", "event") else 2


_PLAIN_FIELDS = frozenset({
    "trigger", "from", "to", "because", "by", "how", "attempt", "error", "verdict", "action", "holds", "unmet",
    "waited_seconds", "limit_seconds", "reason", "stage", "way", "frozen", "operator", "host", "epoch", "dry_run",
    "scope",
})  # fmt: skip


class Progress:
    """Prints a run's progress for people: one line for each record that matters to them, and each note.

    ``by_record``: each line begins with when its record was written, counted from the run's start; else with how long
    this process works on it.
    """

    def __init__(self, stream: TextIO | Enduring, *, by_record: bool = False) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._at: float | None = 0.0 if by_record else None
        self._noted = ""
        self._unread = ""  # why the steps of a dry run are unknown, from some step on
        self._clear = ""  # the row of the last sample, if that was clear
        self._told: set[str] = set()  # reasons and findings that were printed since the last step

    def say(self, words: str, **fields: Any) -> None:
        """Print a note of an action; not again if it is the same as the last one."""
        note = " ".join([words, *(f"{name}={value}" for name, value in fields.items())])
        if note != self._noted:
            self._line("  ·", note)
            self._noted = note

    def on_record(self, record: Record, state: RunState) -> None:
        """Print what a record means, if it matters to a person."""
        if self._at is not None:
            self._at = seconds_between(state.started_at, record.at) or 0.0
        if isinstance(forecast := record.content, Forecast):
            self._unreadable(forecast.unread)
            self._line(*_forecast(forecast))
            self._refusals(forecast)
        if _is_step(record):
            self._told.clear()
        if _is_lease_held(record):  # the command itself says that at its end, with what to type
            self._told.update(_reasons(record))
        why, findings = self._untold(_reasons(record))
        if record.kind in _LINES and not self._is_clear_again(record):
            self._line(*_LINES[record.kind](record.body, why))
        for finding in findings:
            self._line("  -", finding)
        for check in record.body.get("guards", ()) if record.kind != "intent" else ():
            if check["value"] == ACCEPTED:
                self._line("!", accepted_words(check["fact"], check["seen"]))
        if record.kind != "intent":
            self._foreseen(record.body.get("foreseen", ()), record.body.get("trigger", ""))

    def _untold(self, reasons: Sequence[str]) -> tuple[str, Sequence[str]]:
        """Return what a line says of its reasons, and the findings below it: none that was printed just above."""
        untold = [reason for reason in reasons if reason not in self._told]
        self._told.update(untold)
        unread = f"{self._unread}. Unknown for that reason" if self._unread else ""
        words = [f"unknown{reason.removeprefix(unread)}" if unread and reason.startswith(unread) else reason
                 for reason in untold]  # fmt: skip
        if len(reasons) == 1:
            return "".join(words), ()
        return f"{len(words)} findings" if words and len(words) == len(reasons) else "", words

    def _is_clear_again(self, record: Record) -> bool:
        """Whether a record is one more look at a row that had nothing left to wait for when it was looked at last."""
        if record.kind != "sampled":
            self._clear = ""
            return False
        row = str(record.body["row"]) if record.body["holds"] else ""
        again = bool(row) and row == self._clear
        self._clear = row
        return again

    def _unreadable(self, why: str) -> None:
        """Print why the steps from here on are unknown, once."""
        if why and why != self._unread:
            self._line("✗", why)
        self._unread = why

    def _foreseen(self, checks: Iterable[Body], trigger: str) -> None:
        """Print what a step foresees; first, and once, why facts could not be read."""
        causes, others = common_causes([check for check in checks if not check["holds"]])
        for why, facts in causes.items():
            self._tell(in_one_line(why, facts), f"unknown: {', '.join(facts)}" if why == self._unread else "")
        for check in others:
            self._tell(f"{trigger}: {unmet(check)}")

    def _refusals(self, forecast: Forecast) -> None:
        """Print why a step of a dry run would be refused, as far as it is a reason of its own."""
        own = [check for check in forecast.failed if check in forecast.guards and check.value != "unknown"]
        for check in own if forecast.outcome == "refused" else ():
            self._tell(f"{forecast.trigger}: {check.words}")

    def _tell(self, finding: str, in_short: str = "") -> None:
        """Print a finding ahead of the end, which then doesn't repeat it."""
        self._told.add(finding)
        self._line("!", in_short or finding)

    def _line(self, mark: str, words: str) -> None:
        passed = time.monotonic() - self._began if self._at is None else self._at
        before = f"{passed:6.1f}s {mark} "
        write_line(self._stream, f"{before}{words}", indent=len(before))


def _is_step(record: Record) -> bool:
    """Whether a record is of work that goes on: what was said before it does not stand just above any more."""
    return record.kind in ("intent", "repaired", "resumed") or (
        record.kind == "commit" and record.body["by"] != "failure"
    )


def _is_lease_held(record: Record) -> bool:
    """Whether a start was refused because another run holds the lease."""
    return record.kind == "commit" and record.body.get("args", {}).get("error") == "LeaseHeld"


def _reasons(record: Record) -> Sequence[str]:
    """Return why a step failed or a run stands or ends, finding by finding; () for any other record."""
    body = record.body
    if record.kind == "failed":
        return (str(body["error"]),)
    if record.kind not in ("commit", "held", "ended") or (record.kind == "commit" and body["by"] != "failure"):
        return ()
    source = body["args"] if record.kind == "commit" else body
    findings, reason = list(source.get("findings") or ()), str(source.get("reason", ""))
    joined = "; ".join(findings)
    more = reason.removeprefix(joined).removeprefix("; ") if not findings or reason.startswith(joined) else ""
    return [*findings, *([more] if more else [])]


def _started(body: Body, _why: str) -> Line:
    dry = "   DRY RUN: nothing will be changed" if body["dry_run"] else ""
    return "▶", f"{body['machine']} {body['run_id']}{dry}"


def _intent(body: Body, _why: str) -> Line:
    return "…", f"undoing {body['undoes']}" if body.get("undoes") else str(body["trigger"])


def _commit(body: Body, why: str) -> Line:
    words = f"{body['to']:<26} {body['because']}"
    if body["by"] == "failure":
        return "✗", words + (f"  Cause: {why}" if why else "")
    return "✓", f"{words}  (was done already)" if body["how"] == "found" else words


def _sampled(body: Body, _why: str) -> Line:
    if body["holds"]:
        return "⏳", f"{body['state']}: nothing left to wait for"
    unmet = ", ".join(f"{name} is {body['facts'][name]['value'] or 'unknown'}" for name in body["unmet"])
    return "⏳", f"{body['state']}: {unmet} (limit {body['limit_seconds']:.0f} s)"


def _failed(body: Body, _why: str) -> Line:
    return "✗", f"{body['trigger']}, attempt {body['attempt']}: {body['error']}"


_FORECASTS = {
    "pass": "would pass",
    "wait": "would wait",
    "refused": "WOULD BE REFUSED",
    "depends": "depends on steps before it",
    "unknown": "UNKNOWN",
}


def _forecast(forecast: Forecast) -> Line:
    return "?", f"{forecast.to:<26} {_FORECASTS[forecast.outcome]}"


def _held(body: Body, why: str) -> Line:
    hint = f" (what to do: {body['way']})" if body.get("way") else ""
    return "■", f"held in {body['state']}{f': {why}' if why else ''}{hint}"


def _ended(body: Body, why: str) -> Line:
    return "■", f"{body['status']}{f': {why}' if why else ''}"


_LINES: Mapping[str, Callable[[Body, str], Line]] = {
    "run_started": _started,
    "resumed": lambda body, _: ("▶", f"resumed in {body['state']} by {body['operator']}"),
    "intent": _intent,
    "commit": _commit,
    "sampled": _sampled,
    "failed": _failed,
    "repaired": lambda body, _: ("·", f"repaired by {body['action']}"),
    "held": _held,
    "rejected": lambda body, _: ("✗", str(body["why"])),
    "ended": _ended,
}
