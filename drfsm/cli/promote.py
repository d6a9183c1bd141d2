"""`drfsm promote`: checks its options, starts the run, and shows the plan that waits for `drfsm approve`."""

from pathlib import Path
from typing import Any

import click

from drfsm.cli import plan_option, plans
from drfsm.cli.execution_inputs import as_execution_input, execution_input
from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import (
    Complete,
    Duration,
    approval_policy,
    comparison_profile,
    configmap,
    of_a_run,
    patience,
    workload_file,
)
from drfsm.cli.outcome import output, reported
from drfsm.cli.promote_inputs import (
    check_combinations,
    check_immediate_approval,
    held_against,
    inputs_of,
    orchestrated,
    planned_run_id,
    reserved_for,
)
from drfsm.cli.prompts import at_terminal
from drfsm.cli.say import say, say_json, say_lines
from drfsm.cli.sealing_options import sealed_as, sealing
from drfsm.engine import Runner
from drfsm.engine.runner import new_run_id
from drfsm.errors import ExitCode, UsageFault
from drfsm.journal import RunState
from drfsm.runs import reserved_plans, wiring
from drfsm.runs.mirrors import has_mirror


@click.command(
    cls=Complete,
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
@plan_option.plan_file_or_digest
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
@click.option("--allow-degraded", is_flag=True, help="Accept a DR that is not healthy. Needs --reason.")
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
    "--execution-arn",
    default="",
    metavar="ARN",
    help="Execution of Step Functions whose orchestrator restored DR: what it says is held against what is there.",
)
@click.option(
    "--receipts",
    default="",
    metavar="S3_URI",
    help="Where that orchestrator keeps its receipts.  [default: as it says, if that is in this bucket]",
)
@as_execution_input
@click.option(
    "--drain-timeout",
    type=Duration(),
    default=300,
    show_default=True,
    help="Limit for running Jobs to end, in seconds, or as 90s, 5m, 2h.",
)
@patience
@of_a_run
@notifying
@sealing
@output
def promote(**options: Any) -> int:
    """Stop the primary, make DR's validated run canonical, and let DR publish. Never without a person's approval."""
    invocation = at_terminal(
        notify=taken(options),
        sealing=sealed_as(options),
        **{name: options.pop(name) for name in ("operator", "take_over")},
    )
    output_format = str(options.pop("output"))
    start_options = {name: options.pop(name) for name in ("dry_run", "receipt_dir")}
    text = output_format == "text"
    ticket, approved_plan, plan_of = (options.pop(name).strip() for name in ("ticket", "plan", "plan_of"))
    allow_older = options.pop("allow_older")
    dry_run = bool(start_options["dry_run"])
    if ticket and (policy := invocation.policies.get("promote")):
        raise UsageFault(
            f"policies.promote asks for {policy.words}: a promote can't be approved as it starts",
            hint="leave out --ticket and --plan; once it waits: drfsm approve RUN --ticket …",
        )
    check_immediate_approval(options, ticket, approved_plan, plan_of, dry_run=dry_run, allow_older=allow_older)
    check_combinations(options)
    execution_arn, receipts = orchestrated(options, ticket)
    plan = plan_option.chosen(dry_run=dry_run, as_execution_input=options["as_execution_input"])
    reserved = _reserved(approved_plan, plan_of)
    planned = reserved or reserved_for(plan)
    # A dry run is a run of its own: its plan is of the one start that may use it.
    run_id = new_run_id("promote") if dry_run else planned.run_id
    as_input = options.pop("as_execution_input")
    inputs = inputs_of(options, planned, planned_run_id(plan, options))
    if execution_arn:
        say_lines([f"  · {line}" for line in held_against(execution_arn, receipts, inputs)], err=True)
    if as_input:
        say_json(execution_input(run_id, inputs))
        return int(ExitCode.DONE)
    if reserved is not None:
        reserved_plans.refuse_used(reserved, mirrored=has_mirror(options, reserved.run_id))
    plan_option.hold_to(plan, inputs, start_options["receipt_dir"], invocation)

    def approve_at_once(runner: Runner) -> RunState:
        _keep_plan(runner.state, planned)
        if text:
            plans.show_standing(runner.state, planned)
        if approved_plan and runner.state.status == "held" and runner.state.state == "dr_run_verified":
            seen = runner.state.facts["approval"].seen
            return runner.request(
                "approve", plans.answer_of(seen, approved_plan, invocation.operator, ticket, allow_older=allow_older)
            )
        return runner.state

    use = plan_option.Use(plan)

    def use_plan(place: Path) -> None:
        use(place)
        if reserved is not None:
            reserved_plans.use(approved_plan, reserved)

    with use:
        outcome = wiring.start(
            "promote", inputs, invocation, run_id=run_id, then=approve_at_once, prepare=use_plan, **start_options
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
    if state.dry_run and (forecast := plans.forecast_plan(state)):
        reserved_plans.keep(forecast.seen["sha256"], planned, state.run_id)
