"""`drfsm drill --diagnostics-only`: looks at everything that a drill depends on, changes nothing, leaves a receipt.

No run and no lease: it works beside a live DR. Its world can't be written to. Called by drill.py.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drfsm.cli.drill_inputs import Earlier
from drfsm.cli.say import say, say_json
from drfsm.errors import DrfsmError, ExitCode, LeaseLost
from drfsm.runs import bundle, wiring
from drfsm.runs.receipts import ReceiptFiles

DIAGNOSED = ("cloud_identity", "pointer_owner", "foreign_runners", "runner", "site_kubeconfig", "runner_ready",
             "dr_control_plane", "dr_schedules", "dr_publishing", "site_baseline")  # fmt: skip


class _NoLease:
    """A lease that nobody holds: whoever would write is told so."""

    def check(self) -> None:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def acquire(self, _run_id: str, _operator: str, _host: str) -> int:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def release(self, _run_id: str) -> None:
        """Do nothing: none is held."""


def diagnose(
    inputs: Mapping[str, Any], run_id: str, receipt_dir: str | None, earlier: Earlier | None, output: str
) -> int:
    """Look at everything through a world that can't be written to, and leave a receipt."""
    from drfsm.adapters.fenced import fenced
    from drfsm.dr.procedures import drill as rooms
    from drfsm.dr.sites import baseline
    from drfsm.engine import Run, SystemClock
    from drfsm.engine.runner import who

    place = earlier.place if earlier is not None else Path(receipt_dir or bundle.home() / "receipts" / run_id)
    world = fenced(wiring.connect(inputs, "", place, run_id)[0], _NoLease())
    run = Run(run_id, inputs, who(), 0, True, "diagnose", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    told: dict[str, Any] = {
        "schema_version": 1,
        "run_id": run_id,
        "at": run.clock.now(),
        "operator": run.operator,
        "inputs": {name: value for name, value in inputs.items() if value != "" and name != "validation_env"},
        "facts": rooms.diagnosed(world, run, DIAGNOSED),
    }
    try:
        told["site"] = baseline.diagnose(world.dr, str(inputs["namespace"]))
    except DrfsmError as fault:
        told["site"] = {"unknown": fault.what}
    receipts = ReceiptFiles(str(_beside_name(place)) if earlier is not None else str(place), run_id)
    receipts.write("diagnostics.receipt.json", (json.dumps(told, indent=2, sort_keys=True) + "\n").encode())
    if output == "json":
        say_json(told)
    else:
        for name, found in told["facts"].items():
            say(f"{name:<18} {found['value'] or 'unknown: ' + found.get('why', '')}")
        for each in told["site"].get("wrong", ()):
            say(f"  {each}")
        say(f"receipt: {receipts.directory / 'diagnostics.receipt.json'}")
    return int(ExitCode.DONE)


def _beside_name(place: Path) -> Path:
    return place.with_name(f"{place.name}.diagnostics")
