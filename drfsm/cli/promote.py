"""`drfsm promote` and `drfsm approve`: check their options, show the plan, start the run or record the approval."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from attrs import asdict

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.options import (
    approval_policy,
    assignments,
    comparison_profile,
    configmap,
    contract_of,
    new_workload_run_id,
    of_a_run,
    patience,
    policy_inputs,
    workload_file,
)
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal, prompted
from drfsm.cli.run_verbs import on_a_run
from drfsm.cli.say import say, say_text
from drfsm.engine import Runner
from drfsm.engine.runner import new_run_id
from drfsm.engine.runner import who as this_user
from drfsm.errors import ExitCode, UsageFault
from drfsm.journal import RunState, fold
from drfsm.runs import reserved_plans, wiring
from drfsm.runs.canonical import canonical_run
from drfsm.runs.fetching import find_or_fetch
from drfsm.runs.invocation import Invocation
from drfsm.runs.mirrors import has_mirror

ORCHESTRATORS = ("AWS_STEPFUNCTIONS_EXECUTION_ARN", "STEPFUNCTIONS_EXECUTION_ARN", "SFN_EXECUTION_ARN")
"""Environment variables by which an orchestrator says which of its executions this is; the first that is set."""
OF_RECEIPT = ("bucket", "prefix", "namespace", "candidate", "provider", "profile")
FLAGS = ("no_fence", "adopt_ownership", "gitops_paused", "allow_tag", "allow_image_drift", "primary_unreachable")


@click.command(
    epilog="It stops before it changes anything, shows its plan, and waits for `drfsm approve`.",
)
@click.option("--bucket", default="", help="Bucket to which both sites publish.  [default: the receipt's]")
@click.option(
    "--prefix", default="", help="Prefix below which both sites publish.  [default: the receipt's, or the workload's]"
)
@workload_file
@click.option("--dr-run-id", default="", help="Run to promote.  [default: the receipt's, or that of a new validation]")
@click.option(
    "--validation-receipt",
    default="",
    metavar="FILE|S3_URI",
    help="Receipt of a validation.  [default: validate DR now]",
)
@click.option(
    "--expect-receipt",
    default="",
    metavar="SHA256",
    help="SHA-256 of a receipt in S3 that neither this machine wrote nor a trusted key signed.",
)
@click.option("--kubeconfig-dr", required=True, type=click.Path(), help="Path to DR's kubeconfig.")
@click.option(
    "--kubeconfig-primary", default="", type=click.Path(), help="Path to the primary's kubeconfig, unless it is lost."
)
@click.option(
    "--image-ref", default="", help="Image, as repo@sha256:<64 hex>.  [default: the receipt's, or the CronJob's]"
)
@click.option(
    "--namespace",
    default="",
    help="Namespace of the workload, on both sites.  [default: the receipt's, or the workload's]",
)
@click.option("--provider", default="", help="[default: the receipt's, or the workload's]")
@click.option("--profile", default="", help="[default: the receipt's, or the workload's]")
@click.option(
    "--candidate", default="", help="Candidate whose pointers are moved.  [default: the receipt's, or the workload's]"
)
@click.option(
    "--primary-unreachable",
    is_flag=True,
    help="The primary is lost: fence its identity instead of freezing it. Needs --reason.",
)
@click.option(
    "--fence-primary", is_flag=True, help="Fence the primary's identity even though the primary can be reached."
)
@click.option("--fence-primary-role", default="", metavar="ARN", help="IAM role with which the primary publishes.")
@click.option(
    "--fence-dr-role", default="", metavar="ARN", help="IAM role with which DR publishes; it must be another one."
)
@click.option("--no-fence", is_flag=True, help="Leave a lost primary unfenced, at your own risk. Needs --reason.")
@click.option(
    "--reason",
    default="",
    help="Why the primary is lost or unfenced, or its ownership is adopted. The journal records it.",
)
@click.option("--ticket", default="", help="With --plan: approve at once, under this change or incident number.")
@click.option(
    "--plan",
    default="",
    metavar="SHA256",
    help="Digest of the plan that --dry-run showed; approve it if it is still current.",
)
@click.option(
    "--plan-of",
    default="",
    metavar="RUN:NONCE",
    help="With --plan, if the dry run was made on another machine: as it printed it.",
)
@approval_policy
@click.option(
    "--allow-older", is_flag=True, help="With --plan: accept that the canonical run is newer than the validated one."
)
@click.option(
    "--dry-run", is_flag=True, help="Go through the whole procedure and change nothing; with a receipt, show the plan."
)
@click.option(
    "--receipt-dir", type=click.Path(), help="Directory of the run's bundle.  [default: below $DRFSM_HOME/runs]"
)
@click.option("--cronjob", default="", help="CronJob that publishes.  [default: the only one]")
@configmap
@comparison_profile
@click.option("--cronjob-selector", default="", help="Label selector of the CronJobs to suspend.  [default: all]")
@click.option("--resume-cronjobs", default="", help="CronJobs of DR to resume if no restore recorded which.")
@click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by a digest.")
@click.option("--allow-image-drift", is_flag=True, help="Accept that DR's CronJob runs another image.")
@click.option(
    "--gitops-paused", is_flag=True, help="Confirm that the GitOps controllers that preflight finds are paused."
)
@click.option(
    "--adopt-ownership",
    is_flag=True,
    help="The primary was made canonical by hand while another site owned the pointers. Needs --reason.",
)
@click.option(
    "--validation-env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Environment variable for the Job of a new validation; no secrets.",
)
@click.option(
    "--execution-id", default="", help="Execution id of the orchestrator.  [default: its environment variable, or none]"
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0),
    default=300,
    show_default=True,
    help="Limit for running Jobs to end, in seconds.",
)
@patience
@of_a_run
@output
def promote(**given: Any) -> int:
    """Stop the primary, make DR's validated run canonical, and let DR publish. Never without a person's approval."""
    invocation = at_terminal(**{name: given.pop(name) for name in ("operator", "take_over")})
    output_format = str(given.pop("output"))
    options = {name: given.pop(name) for name in ("dry_run", "receipt_dir")}
    text = output_format == "text"
    ticket, approved_plan, plan_of = (given.pop(name).strip() for name in ("ticket", "plan", "plan_of"))
    allow_older = given.pop("allow_older")
    dry_run = bool(options["dry_run"])
    _refuse_half_an_approval(given, ticket, approved_plan, plan_of, dry_run=dry_run, allow_older=allow_older)
    _refuse_halves(given)
    reserved = _reserved(approved_plan, plan_of)
    planned = reserved or reserved_plans.Reserved(new_run_id("promote"), uuid4().hex)
    # A dry run is a run of its own: its plan is of the one start that may use it.
    run_id = new_run_id("promote") if dry_run else planned.run_id
    inputs = _inputs(given, planned)
    if reserved is not None:
        reserved_plans.refuse_used(reserved, mirrored=has_mirror(given, reserved.run_id))

    def approve_at_once(runner: Runner) -> RunState:
        _keep_plan(runner.state, planned)
        if text:
            _show_standing(runner.state, planned)
        if approved_plan and runner.state.status == "held" and runner.state.state == "dr_run_verified":
            seen = runner.state.facts["approval"].seen
            return runner.request(
                "approve", _answer(seen, approved_plan, invocation.operator, ticket, allow_older=allow_older)
            )
        return runner.state

    def use_plan(_place: Path) -> None:
        if reserved is not None:
            reserved_plans.use(approved_plan, reserved)

    outcome = wiring.start(
        "promote", inputs, invocation, run_id=run_id, then=approve_at_once, prepare=use_plan, **options
    )
    return reported(outcome, output_format)


def _reserved(plan: str, plan_of: str) -> reserved_plans.Reserved | None:
    """Return the run that may use a plan; None without --plan, or if no dry run of this machine showed that plan."""
    if not plan:
        return None
    kept = reserved_plans.kept(plan)
    if plan_of:
        return reserved_plans.parsed(plan_of)
    if kept is None:
        say(
            f"no dry run of this machine showed the plan {plan}: it cannot be approved at once. If it was shown on"
            " another machine, add --plan-of RUN:NONCE",
            err=True,
        )
    return kept


def _keep_plan(state: RunState, planned: reserved_plans.Reserved) -> None:
    """Remember which run may use the plan that a dry run showed."""
    if state.dry_run and (forecast := _forecast_plan(state)):
        reserved_plans.keep(forecast.seen["sha256"], planned, state.run_id)


def _refuse_half_an_approval(
    given: dict[str, Any], ticket: str, plan: str, plan_of: str, *, dry_run: bool, allow_older: bool
) -> None:
    """Raise UsageFault for options of an immediate approval that need or exclude another option."""
    if plan_of and not plan:
        raise UsageFault("--plan-of needs --plan", hint="give both, as the dry run printed them")
    if bool(ticket) != bool(plan):
        raise UsageFault(
            "--ticket and --plan go together", hint="give both to approve at once, or none and `drfsm approve` later"
        )
    if plan and dry_run:
        raise UsageFault("a dry run cannot be approved: it shows the plan", hint="leave out --ticket and --plan")
    if plan and not given["validation_receipt"]:
        raise UsageFault(
            "--plan needs --validation-receipt: a run that validates DR itself makes a new plan; no dry run shows it",
            hint="drfsm promote without --ticket and --plan, then `drfsm approve`; or `drfsm validate` first",
        )
    if allow_older and not plan:
        raise UsageFault("--allow-older is part of an approval", hint="give it with --plan, or to `drfsm approve`")


def _refuse_halves(given: dict[str, Any]) -> None:
    """Raise UsageFault for options that need or exclude another option."""
    lost, no_fence = given["primary_unreachable"], given["no_fence"]
    if (lost or no_fence or given["adopt_ownership"]) and not given["reason"].strip():
        raise UsageFault(
            "--primary-unreachable, --no-fence and --adopt-ownership need a --reason", hint="the journal records it"
        )
    if no_fence and not lost:
        raise UsageFault(
            "--no-fence needs --primary-unreachable", hint="a primary that can be reached is frozen, not fenced"
        )
    if no_fence and given["fence_primary"]:
        raise UsageFault("--fence-primary and --no-fence exclude each other", hint="give one of them")
    if (given["fence_primary"] or (lost and not no_fence)) and not (
        given["fence_primary_role"] and given["fence_dr_role"]
    ):
        raise UsageFault(
            "a fence needs --fence-primary-role and --fence-dr-role: a role that both sites share would fence both",
            hint="name both roles; or, if a lost primary cannot be fenced, --no-fence --reason …",
        )
    if not lost and not given["kubeconfig_primary"]:
        raise UsageFault(
            "--kubeconfig-primary is missing: a promote stops the primary",
            hint="add --kubeconfig-primary PATH; or, if it cannot be reached, --primary-unreachable --reason …",
        )


def _inputs(given: dict[str, Any], planned: reserved_plans.Reserved) -> dict[str, Any]:
    """Return the inputs of the run: from the options, else from the receipt, else the usual values."""
    receipt_text, receipt = _receipt(given.pop("validation_receipt"), given.pop("expect_receipt"), given)
    contract = contract_of(given)
    usual = {**asdict(contract.defaults), "namespace": contract.kubernetes.namespace}
    for name in OF_RECEIPT:
        given[name] = given[name] or str(receipt.get(name) or usual.get(name, ""))
    given["prefix"] = given["prefix"].strip("/")
    if not given["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket, or a receipt that names it")
    if not given["prefix"]:
        raise UsageFault(
            "--prefix is empty: a procedure owns one prefix of the bucket, never all of it", hint="add --prefix"
        )
    if not receipt and given["dr_run_id"]:
        raise UsageFault(
            "--dr-run-id names a validated run, and its receipt is missing",
            hint="add --validation-receipt, or leave it out",
        )
    lost = given["primary_unreachable"]
    fenced = given["fence_primary"] or (lost and not given["no_fence"])
    return {
        **{name: value for name, value in given.items() if name != "two_people"},
        **{name: "yes" if given[name] else "no" for name in FLAGS},
        "taker": "dr",
        "target": "canonical",
        "primary_run_id": canonical_run(given),
        "dr_run_id": given["dr_run_id"] or str(receipt.get("run_id") or new_workload_run_id(contract)),
        "staged_prefix": str(receipt.get("staged_prefix") or f"{given['prefix']}/promotes/{planned.run_id}"),
        "validation": "receipt" if receipt else "own",
        "validation_receipt": receipt_text,
        "image_ref": given["image_ref"] or str(receipt.get("image") or ""),
        "rehearses": "",
        "auto_promote": "false",
        "allow_promote_bypass": "false",
        "approved_plan": "",
        "approved_by": "",
        "approved_at": "",
        "plan_run": planned.run_id,
        "plan_nonce": planned.nonce,
        **policy_inputs(given),
        "ticket": "",
        "allow_older": "no",
        "fence_primary": "asked" if fenced else "none",
        "validation_env": "\n".join(assignments(given["validation_env"], contract)),
        "execution_id": given["execution_id"]
        or next((os.environ[name] for name in ORCHESTRATORS if os.environ.get(name)), ""),
        "kubeconfig_dr": str(Path(given["kubeconfig_dr"]).absolute()),
        "kubeconfig_primary": str(Path(given["kubeconfig_primary"]).absolute()) if given["kubeconfig_primary"] else "",
    }


def _receipt(source: str, expected_sha256: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the receipt that --validation-receipt names, as its text and as its content; empty without that option."""
    from drfsm.runs import validation_receipts

    if not source:
        return "", {}
    try:
        return validation_receipts.named(source, given, expected_sha256)
    except UsageFault as fault:
        fault.what = f"--validation-receipt: {fault.what}"
        raise


# --- the approval -----------------------------------------------------------------------------------------


@click.command()
@click.option("--ticket", required=True, help="Change or incident number of the approval.")
@click.option("--plan", default="", metavar="SHA256", help="Digest of the plan.  [default: typed at a terminal]")
@click.option("--allow-older", is_flag=True, help="Accept that the canonical run is newer than the validated one.")
@on_a_run
def approve(
    run: str | None, invocation: Invocation, *, ticket: str, plan: str, allow_older: bool
) -> wiring.Outcome | int:
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
    _show(now, state)
    given = plan.strip()
    if not given:
        typed = prompted(f"Type the first {approval.SHOWN} characters of the digest to approve it")
        given = digest if len(typed.strip()) >= approval.SHOWN and digest.startswith(typed.strip()) else typed.strip()
    if not given:
        named = run or state.run_id
        command = _command(named, digest, ticket.strip(), allow_older=allow_older)
        say("not approved. To approve exactly this plan:", err=True)
        say(f"  {command}", err=True)
        return int(ExitCode.REFUSED)
    answer = _answer(now, given, operator, ticket, allow_older=allow_older)
    return wiring.resume(run, lambda runner: runner.request("approve", answer), invocation)


def _answer(now: Any, digest: str, operator: str, ticket: str, *, allow_older: bool) -> dict[str, Any]:
    """Return what the journal records of an approval, with the plan itself if its digest is the given one."""
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


def _plan_now(named: str | None, invocation: Invocation) -> tuple[RunState, Any, str, Invocation]:
    """Return a run's state, its plan as of now, its bundle, and the invocation. Changes nothing."""
    from drfsm.dr.procedures import approval

    place, invocation = find_or_fetch(named, invocation)
    state = fold(read_chain(place).records)
    if state.machine != "promote" or state.ended:
        reason = f"it has ended: {state.status}" if state.machine == "promote" else f"it is a {state.machine}"
        raise UsageFault(f"{state.run_id or place} waits for no approval: {reason}", hint="drfsm list")
    state, world, invocation = wiring.look_at(place, invocation)
    return state, approval.FACTS["approval"].observe(world, wiring.observer(state)), str(place), invocation


def _show(now: Any, state: RunState) -> None:
    """Show a plan, its changes and its digest, on stderr: stdout is for results."""
    from drfsm.dr.procedures import approval

    say(f"The plan of {state.run_id}:", err=True)
    for line in approval.told(now["plan"]):
        say(f"  {line}", err=True)
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


def _forecast_plan(state: RunState) -> Any:
    """Return the last reading of the plan in a dry run, None if there is none that could be read."""
    readings = (forecast.facts.get("approval") for forecast in reversed(state.forecasts))
    reading = next((reading for reading in readings if reading), None)
    return reading if reading and reading.seen else None


def _show_standing(state: RunState, planned: reserved_plans.Reserved) -> None:
    """Show the plan that waits for an approval, or that a dry run forecasts, and the command that approves it."""
    reading = _forecast_plan(state) if state.dry_run else state.facts.get("approval")
    if not (reading and reading.seen and (state.dry_run or state.state == "dr_run_verified")):
        return
    _show(reading.seen, state)
    sha256 = reading.seen["sha256"]
    if state.dry_run:
        say_text(
            "To approve exactly this plan at once, for one start: repeat the command without --dry-run, with\n"
            f"  --ticket ... --plan {sha256}\nand, on another machine, also\n  --plan-of {planned}",
            err=True,
        )
    else:
        say_text(f"To approve exactly this plan:\n  {_command(state.run_id, sha256, '...')}", err=True)


def _command(named: str, digest: str, ticket: str, *, allow_older: bool = False) -> str:
    from shlex import quote

    suffix = " --allow-older" if allow_older else ""
    return f"drfsm approve {quote(named)} --ticket {quote(ticket)} --plan {quote(digest)}{suffix}"
