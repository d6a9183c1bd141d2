"""`drfsm drill --diagnostics-only`: prints what a drill depends on; runs/diagnosis.py reads it. Called by drill.py."""

from collections.abc import Mapping
from typing import Any

from drfsm.cli.say import say, say_json
from drfsm.errors import ExitCode
from drfsm.runs import diagnosis
from drfsm.runs.earlier_drills import EarlierDrill


def diagnose(
    inputs: Mapping[str, Any], run_id: str, receipt_dir: str | None, earlier: EarlierDrill | None, output: str
) -> int:
    """Read everything, change nothing, leave a receipt, and print what it holds.

    The exit code says whether a drill would be refused (3), or whether that could not be read (9).
    """
    record, path = diagnosis.diagnose(inputs, run_id, receipt_dir, earlier)
    if output == "json":
        say_json(record)
    else:
        for name, reading in record["facts"].items():
            unread = "unknown: " if name in record["unread"] else ""
            say(f"{name:<18} {unread}{_told(name, reading)}")
        for fault in record["site"].get("wrong", ()):
            say(f"  {fault}")
        for reason in record["refused"]:
            say(f"a drill would be refused: {reason}")
        say(f"receipt: {path}")
    if record["refused"]:
        return int(ExitCode.REFUSED)
    return int(ExitCode.UNREACHABLE if record["unread"] else ExitCode.DONE)


def _told(name: str, reading: Mapping[str, Any]) -> str:
    """Return a reading in words: its value, or why it has none; of the account also which, and who confirmed it."""
    if reading["value"] is None:
        return str(reading.get("why") or reading.get("seen"))
    if name != "cloud_identity":
        return str(reading["value"])
    seen = reading["seen"]
    confirmed = "" if seen["confirmed"] == "yes" else f", confirmed: {seen['confirmed']}"
    return f"{reading['value']}: account {seen['account']}{confirmed}"
