"""A promote's plan as a person reads it: its lines, what changed in it, its digest, and the command that approves it.

Printed on stderr: stdout is for results. Owns no rule: dr/procedures/approval.py makes a plan and judges an approval.
Used by promote.py and approve.py.
"""

from shlex import quote
from typing import Any

from drfsm.cli.say import say, say_text
from drfsm.engine.runner import who as this_user
from drfsm.journal import RunState
from drfsm.runs import reserved_plans


def show(now: Any, state: RunState) -> None:
    """Show a plan, its changes and its digest, on stderr: stdout is for results."""
    from drfsm.dr.procedures import approval

    say(f"The plan of {state.run_id}:", err=True)
    for line in approval.in_words(now["plan"]):
        say(f"  {line}", err=True)
    expected = state.inputs.get("expect_account")
    say(f"  Account:            {expected or 'NOT CONFIRMED: no --expect-account, no EXPECTED_ACCOUNT_ID'}", err=True)
    for line in _changed(now, state):
        say(f"  CHANGED             {line}", err=True)
    say(f"  digest              {now['sha256']}", err=True)


def _changed(now: Any, state: RunState) -> list[str]:
    """Return the differences to the approved plan; before an approval, to the plan that was shown last."""
    from drfsm.dr.procedures import approval

    shown = reading.seen if (reading := state.facts.get("approval")) else None
    if state.args.get("approve") or not shown:
        return list(now["changed"])
    return list(approval.differences(shown["plan"], now["plan"]))


def forecast_plan(state: RunState) -> Any:
    """Return the last reading of the plan in a dry run, None if there is none that could be read."""
    readings = (forecast.facts.get("approval") for forecast in reversed(state.forecasts))
    reading = next((reading for reading in readings if reading), None)
    return reading if reading and reading.seen else None


def show_standing(state: RunState, planned: reserved_plans.Reserved) -> None:
    """Show the plan that waits for an approval, or that a dry run forecasts, and then how that is approved.

    The command that approves a plan that waits stands where the run's next steps are listed.
    """
    reading = forecast_plan(state) if state.dry_run else state.facts.get("approval")
    if not (reading and reading.seen and (state.dry_run or state.state == "dr_run_verified")):
        return
    show(reading.seen, state)
    sha256 = reading.seen["sha256"]
    if state.dry_run:
        say_text(
            "To approve exactly this plan at once, for one start: repeat the command without --dry-run, with\n"
            f"  --ticket ... --plan {sha256}\nand, on another machine, also\n  --plan-of {planned}",
            err=True,
        )


def approve_command(named: str, digest: str, ticket: str, *, allow_older: bool = False) -> str:
    """Return the command, ready to paste, that approves the plan with this digest. ``named``: the run, or ""."""
    suffix = " --allow-older" if allow_older else ""
    run = f" {quote(named)}" if named else ""
    return f"drfsm approve{run} --ticket {quote(ticket)} --plan {quote(digest)}{suffix}"


def answer_of(now: Any, digest: str, operator: str, ticket: str, *, allow_older: bool) -> dict[str, Any]:
    """Return what the journal records of an approval, with the plan itself if ``digest`` is its digest."""
    from drfsm.dr.procedures import approval

    return {
        **({"plan": now["plan"]} if digest == now["sha256"] else {}),
        "allow_older": "yes" if allow_older else "no",
        "approved_plan": digest,
        "approved_by": operator or this_user(),
        "approved_at": now["store_time"],
        "ticket": ticket.strip(),
        "primary_run_id": approval.canonical_now(now["plan"]),
        "reason": f"approved under {ticket.strip()}",
    }
