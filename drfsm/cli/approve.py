"""`drfsm approve`: shows the plan of a waiting promote, records a person's approval, and continues the promote."""

from pathlib import Path
from typing import Any

import click

from drfsm.adapters.file_journal import read_chain
from drfsm.claims import bounded
from drfsm.cli import plans
from drfsm.cli.prompts import prompted
from drfsm.cli.run_verbs import on_a_run
from drfsm.cli.say import say
from drfsm.engine.runner import who as this_user
from drfsm.errors import ExitCode, UsageFault
from drfsm.evidence.narrative import shortest_name
from drfsm.journal import RunState, fold
from drfsm.runs import wiring
from drfsm.runs.fetching import find_or_fetch
from drfsm.runs.invocation import Invocation
from drfsm.runs.run_context import Outcome, observer


@click.command()
@click.option("--ticket", required=True, help="Change or incident number of the approval.")
@click.option("--plan", default="", metavar="SHA256", help="Digest of the plan.  [default: typed at a terminal]")
@click.option("--allow-older", is_flag=True, help="Accept that the canonical run is newer than the validated one.")
@on_a_run
def approve(run: str | None, invocation: Invocation, *, ticket: str, plan: str, allow_older: bool) -> Outcome | int:
    """Show the plan of a waiting promote, approve it, and continue the promote.

    The approval holds for this plan's digest only. If anything in the plan changes, the approval is stale: the run
    says so and waits for a new one.
    """
    from drfsm.dr.procedures import approval

    state, now, run, invocation = _plan_now(run, invocation)
    digest = now["sha256"]
    operator = (invocation.operator or this_user()).strip()
    if not ticket.strip() or not operator:
        raise UsageFault("an approval needs a name and a ticket", hint="add --operator NAME --ticket TICKET")
    plans.show(now, state)
    confirmed = plan.strip()
    if not confirmed:
        typed = prompted(f"Type the first {approval.SHOWN} characters of the digest to approve it")
        confirmed = (
            digest if len(typed.strip()) >= approval.SHOWN and digest.startswith(typed.strip()) else typed.strip()
        )
    unknown = bool(confirmed) and confirmed != digest and confirmed not in _shown_plans(run)
    if unknown or not confirmed:
        command = plans.approve_command(shortest_name(state, run), digest, ticket.strip(), allow_older=allow_older)
        why = f": {bounded(confirmed, 100)} is the digest of no plan of this run" if unknown else ""
        say(f"not approved{why}. To approve exactly this plan:", err=True)
        say(f"  {command}", err=True)
        return int(ExitCode.REFUSED)
    answer = plans.answer_of(now, confirmed, operator, ticket, allow_older=allow_older)
    return wiring.resume(run, lambda runner: runner.request("approve", answer), invocation)


def _shown_plans(place: str) -> set[str]:
    """Return the digests of the plans that this run has shown: an older one is stale, any other is mistyped."""
    readings = (record.body.get("facts", {}).get("approval") for record in read_chain(Path(place)).records)
    seen = (reading.get("seen") for reading in readings if isinstance(reading, dict))
    return {str(plan.get("sha256")) for plan in seen if isinstance(plan, dict)}


def _plan_now(named: str | None, invocation: Invocation) -> tuple[RunState, Any, str, Invocation]:
    """Return a run's state, its plan as of now, its bundle, and the invocation. Changes nothing."""
    from drfsm.dr.procedures import approval

    place, invocation = find_or_fetch(named, invocation)
    state = fold(read_chain(place).records)
    if state.machine != "promote" or state.ended:
        reason = f"it has ended: {state.status}" if state.machine == "promote" else f"it is a {state.machine}"
        raise UsageFault(f"{state.run_id or place} waits for no approval: {reason}", hint="drfsm list")
    state, world, invocation = wiring.look_at(place, invocation)
    return state, approval.FACTS["approval"].observe(world, observer(state)), str(place), invocation
