"""`drfsm promote` and `drfsm approve`: the seed's promote, and a person's yes to exactly what it shows. No rules."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.options import approval_policy, assignments, new_workload_run_id, of_a_run, patience, policy_inputs
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
USUAL = {"prefix": "jobintel", "namespace": "jobintel", "candidate": "local", "provider": "openai", "profile": "cs"}
FLAGS = ("no_fence", "adopt_ownership", "gitops_paused", "allow_tag", "allow_image_drift", "primary_unreachable")


@click.command(
    epilog="It stops before anything is changed, shows its plan, and waits for `drfsm approve`.",
)
@click.option("--bucket", default="", help="Where both sites publish.  [default: the receipt's]")
@click.option("--prefix", default="", help="The part of it that is theirs.  [default: the receipt's, or jobintel]")
@click.option(
    "--dr-run-id", default="", help="The run to promote.  [default: the receipt's; or a new, own validation's]"
)
@click.option(
    "--validation-receipt", default="", metavar="FILE|S3_URI", help="Of a validation.  [default: validate DR now]"
)
@click.option(
    "--expect-receipt",
    default="",
    metavar="SHA256",
    help="Of a receipt in S3 that neither this machine nor a key wrote.",
)
@click.option("--kubeconfig-dr", required=True, type=click.Path(), help="Leads to DR's cluster.")
@click.option("--kubeconfig-primary", default="", type=click.Path(), help="Leads to the primary's, unless it is lost.")
@click.option(
    "--image-ref", default="", help="Image, repo@sha256:<64 hex>.  [default: the receipt's, or the CronJob's]"
)
@click.option("--namespace", default="", help="Of the workload, on both sites.  [default: the receipt's, or jobintel]")
@click.option("--provider", default="", help="[default: the receipt's, or openai]")
@click.option("--profile", default="", help="[default: the receipt's, or cs]")
@click.option("--candidate", default="", help="Whose pointers are moved.  [default: the receipt's, or local]")
@click.option(
    "--primary-unreachable", is_flag=True, help="The primary is lost: fence it, freeze nothing. Needs --reason."
)
@click.option("--fence-primary", is_flag=True, help="Fence the primary's identity although it can be reached.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="The identity that the primary publishes with.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="The identity that DR publishes with; it must differ.")
@click.option("--no-fence", is_flag=True, help="A lost primary stays unfenced: a risk that you take. Needs --reason.")
@click.option("--reason", default="", help="Why the primary is lost, unfenced, or owned by another; it is recorded.")
@click.option("--ticket", default="", help="With --plan: approve at once, under this change or incident.")
@click.option(
    "--plan", default="", metavar="SHA256", help="The plan that --dry-run showed; approve it if it still holds."
)
@click.option(
    "--plan-of", default="", metavar="RUN:NONCE", help="With --plan, where the dry run was made on another machine."
)
@approval_policy
@click.option("--allow-older", is_flag=True, help="With --plan: the canonical run may be newer than the validated one.")
@click.option("--dry-run", is_flag=True, help="Walk the machine and change nothing; with a receipt, show the plan.")
@click.option("--receipt-dir", type=click.Path(), help="The bundle's directory.  [default: below $DRFSM_HOME/runs]")
@click.option("--cronjob", default="", help="The CronJob that publishes.  [default: the only one]")
@click.option("--configmap", default="jobintel-config", show_default=True, help="It switches publishing.")
@click.option("--cronjob-selector", default="", help="Label selector of the CronJobs to freeze.  [default: all]")
@click.option("--resume-cronjobs", default="", help="Schedules of DR to switch on where no restore recorded them.")
@click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by digest.")
@click.option("--allow-image-drift", is_flag=True, help="Accept that DR's CronJob runs another image.")
@click.option("--gitops-paused", is_flag=True, help="The GitOps controllers that preflight finds are paused.")
@click.option(
    "--adopt-ownership", is_flag=True, help="The primary is canonical, by hand, since another owned. Needs --reason."
)
@click.option("--validation-env", multiple=True, metavar="NAME=VALUE", help="For an own validation's Job; no secrets.")
@click.option("--execution-id", default="", help="The orchestrator's execution.  [default: its variable, or none]")
@click.option("--drain-timeout", type=click.FloatRange(0), default=300, show_default=True, help="Seconds.")
@patience
@of_a_run
@output
def promote(**given: Any) -> int:
    """Make DR's validated run canonical, and let DR publish; stop the primary. Never without a person's approval."""
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
            seen = runner.state.facts["approval"]["seen"]
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
    """Return the run that the plan which a dry run showed is of; None where there is no plan, or nobody knows it."""
    if not plan:
        return None
    kept = reserved_plans.kept(plan)
    if plan_of:
        return reserved_plans.parsed(plan_of)
    if kept is None:
        say(
            f"no dry run of this machine showed the plan {plan}: it can't be approved at once. Where it was shown on"
            " another machine, give --plan-of RUN:NONCE, too",
            err=True,
        )
    return kept


def _keep_plan(state: RunState, planned: reserved_plans.Reserved) -> None:
    """Keep whose plan it is that a dry run foresees."""
    if state.dry_run and (found := _foreseen(state)):
        reserved_plans.keep(found["seen"]["sha256"], planned, state.run_id)


def _refuse_half_an_approval(
    given: dict[str, Any], ticket: str, plan: str, plan_of: str, *, dry_run: bool, allow_older: bool
) -> None:
    """Raise UsageFault for options of an approval at once that need another one, or exclude it."""
    if plan_of and not plan:
        raise UsageFault("--plan-of says whose plan the --plan is: give both")
    if bool(ticket) != bool(plan):
        raise UsageFault("--ticket and --plan go together: they approve at once what a dry run showed")
    if plan and dry_run:
        raise UsageFault("a dry run is not approved; it shows what is to be")
    if plan and not given["validation_receipt"]:
        raise UsageFault(
            "--plan needs a --validation-receipt: a run that validates DR itself has a plan of its own, which is in"
            " no dry run",
            hint="drfsm promote without --ticket and --plan, then `drfsm approve`; or `drfsm validate` before",
        )
    if allow_older and not plan:
        raise UsageFault("--allow-older is part of an approval: with --plan, or on `drfsm approve`")


def _refuse_halves(given: dict[str, Any]) -> None:
    """Raise UsageFault for options that need another one, or exclude it."""
    lost, no_fence = given["primary_unreachable"], given["no_fence"]
    if (lost or no_fence or given["adopt_ownership"]) and not given["reason"].strip():
        raise UsageFault("--primary-unreachable, --no-fence and --adopt-ownership need a --reason: it is recorded")
    if no_fence and not lost:
        raise UsageFault("--no-fence is for a primary that can't be reached: --primary-unreachable")
    if no_fence and given["fence_primary"]:
        raise UsageFault("--fence-primary and --no-fence exclude each other")
    if (given["fence_primary"] or (lost and not no_fence)) and not (
        given["fence_primary_role"] and given["fence_dr_role"]
    ):
        raise UsageFault(
            "a fence needs --fence-primary-role and --fence-dr-role: an identity that both share would fence both",
            hint="name both; or, where a lost primary can't be fenced, --no-fence --reason …",
        )
    if not lost and not given["kubeconfig_primary"]:
        raise UsageFault(
            "--kubeconfig-primary leads to the primary, which is to be stopped",
            hint="or, where it can't be reached: --primary-unreachable --reason …",
        )


def _inputs(given: dict[str, Any], planned: reserved_plans.Reserved) -> dict[str, Any]:
    """Return the run's inputs: as given, else the receipt's, else the usual ones."""
    receipt_text, receipt = _receipt(given.pop("validation_receipt"), given.pop("expect_receipt"), given)
    for name in OF_RECEIPT:
        given[name] = given[name] or str(receipt.get(name) or USUAL.get(name, ""))
    given["prefix"] = given["prefix"].strip("/")
    if not given["bucket"]:
        raise UsageFault("no bucket is named", hint="give --bucket, or a receipt that names it")
    if not given["prefix"]:
        raise UsageFault("--prefix is empty: a procedure owns a part of the bucket, never all of it")
    if not receipt and given["dr_run_id"]:
        raise UsageFault("--dr-run-id names a run that was validated before: give its --validation-receipt, too")
    lost = given["primary_unreachable"]
    fenced = given["fence_primary"] or (lost and not given["no_fence"])
    return {
        **{name: value for name, value in given.items() if name != "two_people"},
        **{name: "yes" if given[name] else "no" for name in FLAGS},
        "taker": "dr",
        "target": "canonical",
        "primary_run_id": canonical_run(given),
        "dr_run_id": given["dr_run_id"] or str(receipt.get("run_id") or new_workload_run_id()),
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
        "validation_env": "\n".join(assignments(given["validation_env"])),
        "execution_id": given["execution_id"] or next((os.environ[e] for e in ORCHESTRATORS if os.environ.get(e)), ""),
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
@click.option("--ticket", required=True, help="The change or incident under which it is approved.")
@click.option("--plan", default="", metavar="SHA256", help="The digest of the plan.  [default: typed on a terminal]")
@click.option("--allow-older", is_flag=True, help="The canonical run may be newer than the validated one.")
@on_a_run
def approve(
    run: str | None, invocation: Invocation, *, ticket: str, plan: str, allow_older: bool
) -> wiring.Outcome | int:
    """Approve what a promote would do, as it is shown here; then the promote goes on.

    The approval is bound to the plan's digest: whatever changes makes it stale, and the run says so and waits.
    """
    from drfsm.dr.procedures import approval

    state, now, run, invocation = _plan_now(run, invocation)
    digest = now["sha256"]
    operator = (invocation.operator or this_user()).strip()
    if not ticket.strip() or not operator:
        raise UsageFault("an approval has a name and a ticket")
    _show(now, state)
    given = plan.strip()
    if not given:
        typed = prompted(f"Type the first {approval.SHOWN} characters of the digest to approve it")
        given = digest if len(typed.strip()) >= approval.SHOWN and digest.startswith(typed.strip()) else typed.strip()
    if not given:
        named = run or state.run_id
        command = _command(named, digest, ticket.strip(), allow_older=allow_older)
        say("not approved. To approve exactly this:", err=True)
        say(f"  {command}", err=True)
        return int(ExitCode.REFUSED)
    answer = _answer(now, given, operator, ticket, allow_older=allow_older)
    return wiring.resume(run, lambda runner: runner.request("approve", answer), invocation)


def _answer(now: Any, digest: str, operator: str, ticket: str, *, allow_older: bool) -> dict[str, Any]:
    """Return what is recorded of an approval; the plan itself, where it is the one whose digest was given."""
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
    """Return a run's state, its plan as the world is now, its bundle, and whoever vouched for it. Moves nothing."""
    from drfsm.dr.procedures import approval

    place, invocation = find_or_fetch(named, invocation)
    state = fold(read_chain(place).records)
    if state.machine != "promote" or state.ended:
        told = f"it has ended: {state.status}" if state.machine == "promote" else f"it is a {state.machine}"
        raise UsageFault(f"{state.run_id or place} waits for no approval: {told}", hint="drfsm list")
    state, world, invocation = wiring.look_at(place, invocation)
    return state, approval.FACTS["approval"].observe(world, wiring.observer(state)), str(place), invocation


def _show(now: Any, state: RunState) -> None:
    """Show a plan and its digest, and what in it changed; to whoever sits there: results alone go to stdout."""
    from drfsm.dr.procedures import approval

    say(f"The plan of {state.run_id}:", err=True)
    for line in approval.told(now["plan"]):
        say(f"  {line}", err=True)
    for line in _changed(now, state):
        say(f"  CHANGED             {line}", err=True)
    say(f"  digest              {now['sha256']}", err=True)


def _changed(now: Any, state: RunState) -> list[str]:
    """Return what is another than was approved; where nothing was yet, than was shown last."""
    from drfsm.dr.procedures import approval

    shown = (state.facts.get("approval") or {}).get("seen")
    if state.args.get("approve") or not shown:
        return list(now["changed"])
    return list(approval.differences(shown["plan"], now["plan"]))


def _foreseen(state: RunState) -> Any:
    """Return the last reading of the plan in a dry run, None if there is none that could be read."""
    readings = (each["facts"].get("approval") for each in reversed(state.forecasts))
    found = next((each for each in readings if each), None)
    return found if found and found["seen"] else None


def _show_standing(state: RunState, planned: reserved_plans.Reserved) -> None:
    """Show the plan that a run waits with, or that a dry run foresees, and what to type."""
    found = _foreseen(state) if state.dry_run else state.facts.get("approval")
    if not (found and found["seen"] and (state.dry_run or state.state == "dr_run_verified")):
        return
    _show(found["seen"], state)
    sha256 = found["seen"]["sha256"]
    if state.dry_run:
        say_text(
            "To approve exactly this at once, for one start: the same command without --dry-run, with\n"
            f"  --ticket ... --plan {sha256}\nand on another machine also\n  --plan-of {planned}",
            err=True,
        )
    else:
        say_text(f"To approve exactly this:\n  {_command(state.run_id, sha256, '...')}", err=True)


def _command(named: str, digest: str, ticket: str, *, allow_older: bool = False) -> str:
    from shlex import quote

    more = " --allow-older" if allow_older else ""
    return f"drfsm approve {quote(named)} --ticket {quote(ticket)} --plan {quote(digest)}{more}"
