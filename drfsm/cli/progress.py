"""What an operator sees on stderr while a run works: one line for each thing that happened, with its reason."""

import time
from typing import Any, TextIO

from drfsm.journal import Record, RunState


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

    def on_record(self, record: Record, state: RunState) -> None:
        """Tell what a record means, if it means something to a person."""
        body = record.body
        match record.kind:
            case "run_started":
                dry = "  DRY RUN: nothing will be changed" if body["dry_run"] else ""
                self._line("▶", f"{body['machine']} {body['run_id']}{dry}")
            case "resumed":
                self._line("▶", f"resumed in {body['state']} by {body['operator']}")
            case "intent":
                self._line("…", (body.get("undoes") and f"undo of {body['undoes']}") or body["trigger"])
            case "commit":
                found = "  (was done already)" if body["how"] == "found" else ""
                self._line("✓", f"{body['to']:<26} {body['because']}{found}")
            case "sampled":
                values = ", ".join(f"{name}={each['value'] or 'unknown'}" for name, each in body["facts"].items())
                self._line("⏳", f"{state.state}: {values}")
            case "failed":
                self._line("✗", f"{body['trigger']}, attempt {body['attempt']}: {body['error']}")
            case "repaired":
                self._line("·", f"repaired by {body['action']}")
            case "forecast":
                self._forecast(body)
            case "held":
                self._line("■", f"held in {body['state']}: {body['reason']}")
            case "rejected":
                self._line("✗", body["why"])
            case "ended":
                self._line("■", f"{body['status']}{': ' + body['reason'] if body['reason'] else ''}")

    def _forecast(self, body: Any) -> None:
        outcomes = [each["outcome"] for each in body["guards"]]
        if "failed" in outcomes:
            told = "would wait" if body["waits"] else "WOULD BE REFUSED"
        else:
            told = "would pass" if "not_evaluated" not in outcomes else "depends on what was not done"
        self._line("?", f"{body['to']:<26} {told}")

    def _line(self, mark: str, words: str) -> None:
        passed = time.monotonic() - self._began
        self._stream.write(f"{passed:6.1f}s {mark} {words}\n")
        self._stream.flush()
