"""`drfsm failback`: checks its options, asks for the two tokens, and starts the run."""

from pathlib import Path
from typing import Any

import click

from drfsm.cli.execution_inputs import as_execution_input, execution_input
from drfsm.cli.options import (
    Complete,
    Duration,
    assignments,
    both_or_none,
    candidate,
    check_run_id,
    comparison_profile,
    configmap,
    contract_of,
    endpoint_scope,
    namespace,
    new_workload_run_id,
    of_a_run,
    pair,
    patience,
    prefix,
    workload_file,
)
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal, tokens
from drfsm.cli.say import say_json
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
@patience
@click.option(
    "--soak-timeout",
    type=Duration(),
    default=90000,
    show_default=True,
    help="Limit for the soak, in seconds, or as 90s, 5m, 2h.",
)
@of_a_run
@output
def failback(**options: Any) -> int:
    """Make the primary canonical again: freeze both sites, validate, switch the pointers, resume the primary.

    Needs two tokens, so that nobody runs it by habit. Every action is recorded before it is done: if the run is
    killed at any moment, `drfsm resume` continues it from exactly there.
    """
    check_run_id("--dr-run-id", options["dr_run_id"], contract_of(options))
    confirmations = tokens(
        options.pop("confirm1"), options.pop("confirm2"), options["dr_run_id"], dry_run=options["dry_run"]
    )
    invocation = at_terminal(**{name: options.pop(name) for name in ("operator", "take_over")})
    output_format, as_input = str(options.pop("output")), options.pop("as_execution_input")
    start_options = {name: options.pop(name) for name in ("dry_run", "receipt_dir")}
    for flag, role in (("fence_primary", "fence_primary_role"), ("fence_dr", "fence_dr_role")):
        if options[flag] and not options[role]:
            raise UsageFault(
                f"--{flag.replace('_', '-')} needs --{role.replace('_', '-')}", hint="name the IAM role that is fenced"
            )
    needs_reason = any(options[name] for name in ("dr_unreachable", "adopt_ownership", "allow_degraded"))
    if (needs_reason or options["soak"] == "none") and not options["reason"].strip():
        raise UsageFault(
            "--dr-unreachable, --adopt-ownership, --allow-degraded and --soak none need a --reason",
            hint="add --reason '…': the journal records it",
        )
    if options["dr_unreachable"] and not options["fence_dr_role"]:
        raise UsageFault(
            "--dr-unreachable needs --fence-dr-role: a site that cannot be frozen must be fenced",
            hint="name the IAM role with which DR publishes",
        )
    inputs = {
        **options,
        **confirmations,
        "prefix": options["prefix"].strip("/"),
        "gitops_paused": "yes" if options["gitops_paused"] else "no",
        "endpoints": endpoint_scope(contract_of(options)),
        "missing_writes_accepted": "",
        "refresh_pull_secret": "asked" if options["refresh_pull_secret"] else "no",
        "allow_image_drift": "yes" if options["allow_image_drift"] else "no",
        "allow_degraded": "yes" if options["allow_degraded"] else "no",
        "validation_env": "\n".join(assignments(options["validation_env"], contract_of(options))),
        "alarms": "\n".join(name for alarm in options["alarms"] if (name := alarm.strip())),
        "fence_primary": "asked" if options["fence_primary"] else "none",
        "fence_dr": "asked" if options["fence_dr"] else "none",
        "dr_unreachable": "yes" if options["dr_unreachable"] else "no",
        "adopt_ownership": "yes" if options["adopt_ownership"] else "no",
        "primary_pod_answered_for": "",
        "primary_run_id": new_workload_run_id(contract_of(options)),
        "allow_tag": "yes" if options["allow_tag"] else "no",
        "teardown": "true" if options["teardown"] else "false",
        "sync": both_or_none(options, "sync_src_prefix", "sync_dst_prefix"),
        "restore_check": "asked" if options["primary_restore_backup_uri"] else "none",
        "kubeconfig_dr": str(Path(options["kubeconfig_dr"]).absolute()),
        "kubeconfig_primary": str(Path(options["kubeconfig_primary"]).absolute()),
    }
    if not inputs["prefix"]:
        raise UsageFault(
            "--prefix is empty: a procedure owns one prefix of the bucket, never all of it", hint="add --prefix"
        )
    if as_input:
        say_json(execution_input(new_run_id("failback"), inputs))
        return int(ExitCode.DONE)
    return reported(wiring.start("failback", inputs, invocation, **start_options), output_format)
