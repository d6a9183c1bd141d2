"""What a drill depends on, read without a run and without a lease: its world can't be written to.

So it can be read beside a live DR. It tells which guards of the drill's preflight would refuse: the account, the image,
the backup, the owner of the pointers, other machines. Rights are not asked for (asking writes), and what the options
alone decide (the allowance of a full drill) is no finding. What only a site can tell is left out until there is one.
Leaves a receipt. Used by cli/diagnostics.py.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfsm.errors import DrfsmError
from drfsm.resources import shipped
from drfsm.runs import bundle
from drfsm.runs.earlier_drills import EarlierDrill
from drfsm.runs.receipts import ReceiptFiles
from drfsm.runs.world import only_read
from drfsm.spec import load_machine
from drfsm.spec.model import Foreseen, MachineSpec

if TYPE_CHECKING:
    from drfsm.engine import Run
    from drfsm.world import World

FACTS = ("cloud_identity", "image", "backup_contents", "lasting_state", "recovery_point", "pointer_owner",
         "foreign_runners", "runner",
         "site_kubeconfig", "runner_ready", "dr_control_plane", "dr_schedules", "dr_publishing",
         "site_baseline")  # fmt: skip
OF_A_BACKUP = ("backup_contents", "lasting_state", "recovery_point")
LATER = "known once the site is up"
RECEIPT = "diagnostics.receipt.json"


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
    from drfsm.dr.procedures import drill as procedure
    from drfsm.dr.sites import baseline
    from drfsm.engine import Run, SystemClock
    from drfsm.engine.runner import who

    spec = load_machine((shipped("machines") / "drill.yaml").read_bytes(), source="drill.yaml")
    world = only_read(inputs, place, run_id)
    run = Run(run_id, inputs, who(), 0, True, "diagnose", {}, {}, SystemClock())  # noqa: FBT003  it changes nothing
    later = _known_later(spec, inputs)
    facts = procedure.diagnosed(world, run, [name for name in FACTS if name not in later])
    facts |= {name: {"value": None, "why": why} for name, why in later.items()}
    refused = [*_refused(spec, inputs, facts), *refused_backup(world, run, facts["backup_contents"]["value"])]
    try:
        site = {"unknown": LATER} if _has_no_site(inputs) else baseline.diagnose(world.dr, str(inputs["namespace"]))
    except DrfsmError as fault:
        site = {"unknown": fault.what}
    return {
        "schema_version": 1,
        "run_id": run_id,
        "at": run.clock.now(),
        "operator": run.operator,
        "inputs": {name: value for name, value in inputs.items() if value != "" and name != "validation_env"},
        "facts": {name: facts[name] for name in FACTS},
        "refused": refused,
        "unread": [name for name in FACTS if name not in later and facts[name]["value"] is None],
        "site": site,
    }


def _has_no_site(inputs: Mapping[str, Any]) -> bool:
    return bool(inputs["site"] == "new")


def _known_later(spec: MachineSpec, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that nobody can tell yet, and why: of a site that is not up, of a backup that is not named."""
    later = {}
    if _has_no_site(inputs):
        later = {name: LATER for name in FACTS if spec.facts[name].known_after or name == "runner_ready"}
    if inputs["restore"] != "asked":
        later |= dict.fromkeys(OF_A_BACKUP, "no backup is restored")
    elif not inputs["backup_uri"]:
        later |= dict.fromkeys(OF_A_BACKUP, "no backup is named: add --backup-uri")
        if not inputs["image_ref"]:
            later["image"] = "the backup names it: add --backup-uri, or --image-ref"
    return later


def _refused(spec: MachineSpec, inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, each guard of the drill's preflight, or foreseen there, that does not hold now."""
    from drfsm.dr.procedures import drill as procedure

    preflight = next(row for row in spec.rows if row.trigger == procedure.PREFLIGHT and row.selected(inputs))
    foreseen = (name for name, guard in spec.guards.items() if guard.foreseen is Foreseen.REFUSE)
    for guard in (spec.guards[name] for name in dict.fromkeys((*preflight.guards, *foreseen))):
        for fact, wanted in guard.requires.items():
            value = facts.get(fact, {}).get("value")
            if value is not None and value not in wanted:
                yield f"{fact} is {value}. {guard.reason}{f'. What to do: {guard.mend}' if guard.mend else ''}"


def refused_backup(world: "World", run: "Run", contents: str | None) -> Iterator[str]:
    """Yield why a backup that is whole would not be restored: what it holds, and the control plane that it needs.

    ``contents``: the value of the fact ``backup_contents``.
    """
    from drfsm.dr.procedures import drill as procedure

    if contents != "intact":
        return
    try:
        yield from procedure.unrestorable(world, run)
    except DrfsmError as fault:
        yield f"the backup cannot be held against what a restore brings: {fault.what}"
