"""What is told on stderr while a run works: one line for each thing that happened, with its reason.

For people by default; with ``DRFSM_LOG=json`` as structlog's JSON lines, for whoever collects logs. What was seen
of the world stands in the journal only.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from drfsm.claims import printable_json
from drfsm.cli.say import write_line
from drfsm.journal import Record, RunState
from drfsm.runs.invocation import Listener

Body = Mapping[str, Any]
Line = tuple[str, str]  # a mark, and words


def listener(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Listener:
    """Return who tells people, or collectors of logs, of a run."""
    return Events(stream) if environ.get("DRFSM_LOG") == "json" else Progress(stream)


class Events:
    """Tells of a run as JSON lines: ``event`` is a dotted name, the rest are its fields."""

    def __init__(self, stream: TextIO) -> None:
        import structlog

        self._log = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                lambda _logger, _name, told: {name: told[name] for name in sorted(told, key=_first)},
                structlog.processors.JSONRenderer(lambda told, **how: printable_json(json.dumps(told, **how))),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def say(self, words: str, **fields: Any) -> None:
        """Tell what an action tells."""
        self._log.msg("action.note", words=words, **fields)

    def on_record(self, record: Record, state: RunState) -> None:
        """Tell of a record: what kind, where the run stands, and what of it is plain words or numbers."""
        told = {name: value for name, value in record.body.items() if name in _TOLD}
        run = {"run": state.run_id, "machine": state.machine, "seq": record.seq}
        fields = {**run, "state": state.state, "status": state.status, **told}
        self._log.msg(f"run.{record.kind.removeprefix('run_')}", **fields)


def _first(name: str) -> int:
    return ("at", "event").index(name) if name in ("at", "event") else 2


_TOLD = frozenset({
    "trigger", "from", "to", "because", "by", "how", "attempt", "error", "verdict", "action", "holds", "unmet",
    "waited_seconds", "limit_seconds", "reason", "stage", "way", "frozen", "operator", "host", "epoch", "dry_run",
    "scope",
})  # fmt: skip


class Progress:
    """A subscriber of the runner, and the ear for what actions tell."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._noted = ""

    def say(self, words: str, **fields: Any) -> None:
        """Tell what an action tells, once."""
        told = " ".join([words, *(f"{name}={value}" for name, value in fields.items())])
        if told != self._noted:
            self._line("  ·", told)
            self._noted = told

    def on_record(self, record: Record, _state: RunState) -> None:
        """Tell what a record means, if it means something to a person."""
        if record.kind in _LINES:
            self._line(*_LINES[record.kind](record.body))

    def _line(self, mark: str, words: str) -> None:
        passed = time.monotonic() - self._began
        write_line(self._stream, f"{passed:6.1f}s {mark} {words}")


def _started(body: Body) -> Line:
    dry = "   DRY RUN: nothing will be changed" if body["dry_run"] else ""
    return "▶", f"{body['machine']} {body['run_id']}{dry}"


def _intent(body: Body) -> Line:
    return "…", f"giving back {body['undoes']}" if body.get("undoes") else str(body["trigger"])


def _commit(body: Body) -> Line:
    found = "  (was done already)" if body["how"] == "found" else ""
    return "✓", f"{body['to']:<26} {body['because']}{found}"


def _sampled(body: Body) -> Line:
    if body["holds"]:
        return "⏳", f"{body['state']}: nothing is left to wait for"
    unmet = ", ".join(f"{name} is {body['facts'][name]['value'] or 'unknown'}" for name in body["unmet"])
    return "⏳", f"{body['state']}: {unmet}; waiting, at most {body['limit_seconds']:.0f} s"


def _failed(body: Body) -> Line:
    return "✗", f"{body['trigger']}, attempt {body['attempt']}: {body['error']}"


def _forecast(body: Body) -> Line:
    outcomes = [each["outcome"] for each in body["guards"]]
    if "failed" in outcomes:
        unread = all(each["value"] == "unknown" for each in body["guards"] if each["outcome"] == "failed")
        told = "would wait" if body["waits"] else "COULD NOT BE READ" if unread else "WOULD BE REFUSED"
    else:
        told = "depends on what was not done" if "not_evaluated" in outcomes else "would pass"
    return "?", f"{body['to']:<26} {told}"


def _held(body: Body) -> Line:
    mend = f" (what to do: {body['way']})" if body.get("way") else ""
    return "■", f"held in {body['state']}: {body['reason']}{mend}"


def _ended(body: Body) -> Line:
    return "■", f"{body['status']}{': ' + body['reason'] if body['reason'] else ''}"


_LINES: Mapping[str, Callable[[Body], Line]] = {
    "run_started": _started,
    "resumed": lambda body: ("▶", f"resumed in {body['state']} by {body['operator']}"),
    "intent": _intent,
    "commit": _commit,
    "sampled": _sampled,
    "failed": _failed,
    "repaired": lambda body: ("·", f"repaired by {body['action']}"),
    "forecast": _forecast,
    "held": _held,
    "rejected": lambda body: ("✗", str(body["why"])),
    "ended": _ended,
}
