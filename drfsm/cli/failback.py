"""`drfsm failback`: checks its options, asks for the two tokens, and starts the run."""

from typing import Any

import click

from drfsm.cli import approved_start, plan_option
from drfsm.cli.execution_inputs import as_execution_input, execution_input
from drfsm.cli.failback_inputs import TOKENS, inputs_of
from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import (
    Complete,
    Duration,
    candidate,
    comparison_profile,
    configmap,
    namespace,
    of_a_run,
    pair,
    patience,
    prefix,
    workload_file,
)
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal, tokens
from drfsm.cli.say import say_json
from drfsm.cli.sealing_options import sealed_as, sealing
from drfsm.engine.runner import new_run_id
from drfsm.errors import ExitCode, UsageFault
from drfsm.runs import wiring


def _run_of_dr(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the run that DR published. Raises UsageFault for an empty one, as where DR stands by."""
    if not value.strip():
        raise UsageFault(
            "DR has run nothing: there is no run to fail back (--dr-run-id is empty)",
            hint="drfsm pointers show --bucket … names the run that is canonical; a failback follows a promote",
        )
    return value


@click.command(
    cls=Complete,
    epilog="Ctrl-C stops the run at the next clean point; `drfsm resume` continues it from there.",
)
@click.option("--bucket", required=True, help="Bucket to which both sites publish.")
@workload_file
@prefix
@click.option(
    "--dr-run-id", required=True, callback=_run_of_dr, help="Run of DR that is canonical now, as you know it."
)
@click.option("--kubeconfig-dr", required=True, type=click.Path(), help="Path to DR's kubeconfig.")
@click.option("--kubeconfig-primary", required=True, type=click.Path(), help="Path to the primary's kubeconfig.")
@click.option(
    "--image-ref", default="", help="Image to validate, as repo@sha256:<64 hex>.  [default: the CronJob's image]"
)
@namespace
@pair
@click.option("--primary-restore-backup-uri", default="", help="Check that this backup of the primary is intact.")
@click.option("--sync-src-prefix", default="", help="Copy this prefix of the bucket ...")
@click.option("--sync-dst-prefix", default="", help="... to this one, before the primary is assessed.")
@click.option(
    "--teardown", type=click.BOOL, default=True, show_default=True, help="Terminate DR's machines at the end."
)
@click.option("--confirm1", help="The first token: FAILBACK.  [default: typed at a terminal]")
@click.option("--confirm2", help="The second token: CONFIRM-<dr run id>.  [default: typed at a terminal]")
@click.option("--dry-run", is_flag=True, help="Go through the whole procedure and change nothing.")
@click.option(
    "--receipt-dir", type=click.Path(), help="Directory of the run's bundle.  [default: below $DRFSM_HOME/runs]"
)
@click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by a digest.")
@candidate
@click.option("--cronjob", default="", help="CronJob that publishes.  [default: the only one]")
@configmap
@comparison_profile
@click.option("--resume-cronjobs", default="", help="CronJobs to resume if no promote recorded which.")
@click.option("--cronjob-selector", default="", help="Label selector of the CronJobs to suspend.  [default: all]")
@click.option("--allow-image-drift", is_flag=True, help="Accept that the CronJob runs another image than --image-ref.")
@click.option("--allow-degraded", is_flag=True, help="Accept a primary that is not healthy. Needs --reason.")
@click.option(
    "--gitops-paused", is_flag=True, help="Confirm that the GitOps controllers that preflight finds are paused."
)
@click.option(
    "--validation-env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Environment variable for the validation Job. The journal records it, so no secrets.",
)
@click.option(
    "--alarm",
    "alarms",
    multiple=True,
    metavar="NAME",
    help="CloudWatch alarm that must not be in alarm at the end; the bundle gets its history.",
)
@click.option("--fence-primary", is_flag=True, help="Deny the primary's identity the pointers until the switch.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="IAM role with which the primary publishes.")
@click.option("--fence-dr", is_flag=True, help="Deny DR's identity the pointers after its drain.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="IAM role with which DR publishes.")
@click.option(
    "--adopt-ownership",
    is_flag=True,
    help="DR was promoted by hand while another site owned the pointers. Needs --reason.",
)
@click.option("--dr-unreachable", is_flag=True, help="DR is lost: fence it instead of freezing it. Needs --reason.")
@click.option("--reason", default="", help="Why DR is declared lost, or why there is no soak. The journal records it.")
@click.option(
    "--soak",
    type=click.Choice(["now", "next", "none"]),
    default="now",
    show_default=True,
    help="Batch run of the primary to wait for: one started now, the next scheduled one, or none.",
)
@click.option(
    "--drain-timeout",
    type=Duration(),
    default=300,
    show_default=True,
    help="Limit for running Jobs to end, in seconds, or as 90s, 5m, 2h.",
)
@as_execution_input
@plan_option.plan_file
@approved_start.approval_files
@patience
@click.option(
    "--soak-timeout",
    type=Duration(),
    default=90000,
    show_default=True,
    help="Limit for the soak, in seconds, or as 90s, 5m, 2h.",
)
@of_a_run
@notifying
@sealing
@output
def failback(**options: Any) -> int:
    """Make the primary canonical again: freeze both sites, validate, switch the pointers, resume the primary.

    Needs two tokens, so that nobody runs it by habit. Every action is recorded before it is done: if the run is
    killed at any moment, `drfsm resume` continues it from exactly there.
    """
    invocation = at_terminal(
        notify=taken(options),
        sealing=sealed_as(options),
        **{name: options.pop(name) for name in ("operator", "take_over")},
    )
    output_format, as_input = str(options.pop("output")), options.pop("as_execution_input")
    start_options = {name: options.pop(name) for name in ("dry_run", "receipt_dir")}
    typed = {name: options.pop(name) for name in TOKENS}
    del options["plan"]  # its file is read already
    plan = plan_option.chosen(dry_run=start_options["dry_run"], as_execution_input=as_input)
    gate = approved_start.gate(
        "failback", plan, options.pop("approvals"), exempt=start_options["dry_run"],
        as_execution_input=as_input,
    )  # fmt: skip
    run_id = plan.run_id if plan else new_run_id("failback")
    inputs = inputs_of(options, plan.generated("primary_run_id") if plan else "")
    untyped = dict.fromkeys(TOKENS, "")
    plan_option.hold_to(
        plan, inputs | untyped, start_options["receipt_dir"], invocation
    )  # BEFORE anybody types a token
    inputs |= tokens(typed["confirm1"], typed["confirm2"], inputs["dr_run_id"], dry_run=start_options["dry_run"])
    if as_input:
        say_json(execution_input(run_id, inputs))
        return int(ExitCode.DONE)
    plan_option.refuse_wrong_tokens(plan, inputs)
    start_options["pinned"] = gate.pass_through(inputs, invocation.operator)
    with plan_option.Use(plan) as use:
        outcome = wiring.start("failback", inputs, invocation, run_id=run_id, prepare=use, **start_options)
    return reported(outcome, output_format)
