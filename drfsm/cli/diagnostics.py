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
    """Read everything, change nothing, leave a receipt, and print what it holds."""
    record, path = diagnosis.diagnose(inputs, run_id, receipt_dir, earlier)
    if output == "json":
        say_json(record)
        return int(ExitCode.DONE)
    for name, reading in record["facts"].items():
        say(f"{name:<18} {reading['value'] or 'unknown: ' + reading.get('why', '')}")
    for fault in record["site"].get("wrong", ()):
        say(f"  {fault}")
    say(f"receipt: {path}")
    return int(ExitCode.DONE)
