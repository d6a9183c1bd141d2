"""What a drill depends on, read without a run and without a lease: its world can't be written to.

So it can be read beside a live DR. Leaves a receipt. Used by cli/diagnostics.py.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from drfsm.errors import DrfsmError, LeaseLost
from drfsm.runs import bundle
from drfsm.runs.earlier_drills import EarlierDrill
from drfsm.runs.receipts import ReceiptFiles
from drfsm.runs.world import connect

FACTS = ("cloud_identity", "pointer_owner", "foreign_runners", "runner", "site_kubeconfig", "runner_ready",
         "dr_control_plane", "dr_schedules", "dr_publishing", "site_baseline")  # fmt: skip
RECEIPT = "diagnostics.receipt.json"


class _NoLease:
    """A lease that nobody can hold, so every write through it is refused."""

    taken_from: Mapping[str, str] = MappingProxyType({})

    def check(self) -> None:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def acquire(self, _run_id: str, _operator: str, _host: str) -> int:
        """Refuse."""
        raise LeaseLost("diagnostics only: nothing is changed")

    def release(self, _run_id: str) -> None:
        """Do nothing: none is held."""


def diagnose(
    inputs: Mapping[str, Any], run_id: str, receipt_dir: str | None, earlier: EarlierDrill | None
) -> tuple[dict[str, Any], Path]:
    """Read the facts and the site, write the receipt; return its content and where it lies."""
    place = earlier.place if earlier is not None else Path(receipt_dir or bundle.home() / "receipts" / run_id)
    record = _record(inputs, run_id, place)
    directory = place.with_name(f"{place.name}.diagnostics") if earlier is not None else place
    receipts = ReceiptFiles(str(directory), run_id)
    receipts.write(RECEIPT, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())
    return record, receipts.directory / RECEIPT


def _record(inputs: Mapping[str, Any], run_id: str, place: Path) -> dict[str, Any]:
    from drfsm.adapters.fenced import fenced
    from drfsm.dr.procedures import drill as procedure
    from drfsm.dr.sites import baseline
    from drfsm.engine import Run, SystemClock
    from drfsm.engine.runner import who

    world = fenced(connect(inputs, "", place, run_id)[0], _NoLease())
    run = Run(run_id, inputs, who(), 0, True, "diagnose", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    try:
        site = baseline.diagnose(world.dr, str(inputs["namespace"]))
    except DrfsmError as fault:
        site = {"unknown": fault.what}
    return {
        "schema_version": 1,
        "run_id": run_id,
        "at": run.clock.now(),
        "operator": run.operator,
        "inputs": {name: value for name, value in inputs.items() if value != "" and name != "validation_env"},
        "facts": procedure.diagnosed(world, run, FACTS),
        "site": site,
    }
