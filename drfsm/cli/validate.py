"""`drfsm validate`: the validation of a drill alone, on a site that exists already."""

import os
from pathlib import Path
from typing import Any

import click

from drfsm.cli.drill import drill, start_drill, workload_options
from drfsm.cli.options import prefix
from drfsm.cli.say import say
from drfsm.errors import UsageFault


@click.command()
@click.option("--bucket", required=True, help="Bucket to which both sites publish.")
@prefix
@click.option(
    "--kubeconfig", type=click.Path(), default=lambda: os.environ.get("KUBECONFIG_DR", ""),
    help="Path to the site's kubeconfig.  [default: $KUBECONFIG_DR]",
)  # fmt: skip
@workload_options
def validate(**options: Any) -> int:
    """Run an existing site's Job once, publishing to a staging prefix, and verify what it published.

    The site must be quiet (schedules suspended, publishing off) and stays quiet. Exits with 0 if the run is valid, with
    10 if not. Leaves validation.receipt.json in the bundle and beside the run: a promote relies on it.
    """
    if not options["kubeconfig"]:
        raise UsageFault("no kubeconfig is named", hint="add --kubeconfig PATH")
    usual = drill.make_context("drill", []).params
    alone = {"teardown": False, "validate_only": True, "infrastructure": "existing", "allow_full_drill": False}
    shown = options["output"] == "text"
    code, place = start_drill({**usual, **alone, **options})
    if shown:
        say(_verdict(place))
    return code


def _verdict(place: Path) -> str:
    """Return one line about the outcome of a validation."""
    from drfsm.runs import validation_receipts

    receipt = validation_receipts.in_bundle(place)
    if receipt is None:
        return f"NOT VALIDATED; see {place / 'phases/validate.receipt.json'} for the reason"
    run_id, objects, level = (receipt.get(name) for name in ("run_id", "objects", "verification_level"))
    return f"validated: {run_id}, {objects} objects, {level}; {place / 'validation.receipt.json'}"
