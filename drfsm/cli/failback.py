"""`drfsm failback`: the seed's command. Parses, asks for the tokens, wires, starts."""

from pathlib import Path
from typing import Any

import click

from drfsm.cli.options import assignments, both_or_none, new_workload_run_id, of_a_run, patience
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal, tokens
from drfsm.errors import UsageFault
from drfsm.runs import wiring


@click.command(
    epilog="While it runs, Ctrl-C stops at the next clean point; `drfsm resume` goes on from there.",
)
@click.option("--bucket", required=True, help="Where both sites publish.")
@click.option("--prefix", default="jobintel", show_default=True, help="The part of the bucket that is theirs.")
@click.option("--dr-run-id", required=True, help="The run that is canonical now, as you see it.")
@click.option("--kubeconfig-dr", required=True, type=click.Path(), help="Leads to DR's cluster.")
@click.option("--kubeconfig-primary", required=True, type=click.Path(), help="Leads to the primary's cluster.")
@click.option("--image-ref", default="", help="Image to validate, repo@sha256:<64 hex>.  [default: the CronJob's]")
@click.option("--namespace", default="jobintel", show_default=True, help="Of the workload, on both sites.")
@click.option("--provider", default="openai", show_default=True)
@click.option("--profile", default="cs", show_default=True)
@click.option("--primary-restore-backup-uri", default="", help="Check that this backup of the primary is whole.")
@click.option("--sync-src-prefix", default="", help="Copy this prefix of the bucket ...")
@click.option("--sync-dst-prefix", default="", help="... to this one, before the primary is assessed.")
@click.option("--teardown", type=click.BOOL, default=True, show_default=True, help="Terminate DR's runners at the end.")
@click.option("--confirm1", help="The first token: FAILBACK.  [default: asked for on a terminal]")
@click.option("--confirm2", help="The second token: CONFIRM-<dr run id>.  [default: asked for on a terminal]")
@click.option("--dry-run", is_flag=True, help="Walk the whole machine and change nothing.")
@click.option("--receipt-dir", type=click.Path(), help="The bundle's directory.  [default: below $DRFSM_HOME/runs]")
@click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by digest.")
@click.option("--candidate", default="local", show_default=True, help="Whose pointers are moved.")
@click.option("--cronjob", default="", help="The CronJob that publishes.  [default: the only one]")
@click.option("--configmap", default="jobintel-config", show_default=True, help="It switches publishing.")
@click.option("--resume-cronjobs", default="", help="Schedules to switch on where no promote recorded them.")
@click.option("--cronjob-selector", default="", help="Label selector of the CronJobs to freeze.  [default: all]")
@click.option("--allow-image-drift", is_flag=True, help="Accept that the CronJob runs another image than --image-ref.")
@click.option("--gitops-paused", is_flag=True, help="The GitOps controllers that preflight finds are paused.")
@click.option(
    "--validation-env",
    multiple=True,
    metavar="NAME=VALUE",
    help="More environment for the validation Job; it is recorded, so no secrets.",
)
@click.option(
    "--alarm", "alarms", multiple=True, metavar="NAME", help="CloudWatch alarm that must be quiet in the end."
)
@click.option("--fence-primary", is_flag=True, help="Fence the primary's identity until the switch.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="The identity that the primary publishes with.")
@click.option("--fence-dr", is_flag=True, help="Fence DR's identity after its drain.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="The identity that DR publishes with.")
@click.option(
    "--adopt-ownership", is_flag=True, help="DR was promoted by hand since another site owned. Needs --reason."
)
@click.option("--dr-unreachable", is_flag=True, help="DR is lost: fence it instead of freezing it. Needs --reason.")
@click.option("--reason", default="", help="Why DR is declared lost, or why there is no soak; it is recorded.")
@click.option(
    "--soak",
    type=click.Choice(["now", "next", "none"]),
    default="now",
    show_default=True,
    help="Which batch cycle of the primary to await: its Job run now, its next one, none.",
)
@click.option("--drain-timeout", type=click.FloatRange(0), default=300, show_default=True, help="Seconds.")
@patience
@click.option("--soak-timeout", type=click.FloatRange(0), default=90000, show_default=True, help="Seconds.")
@of_a_run
@output
def failback(**given: Any) -> int:
    """Make the primary canonical again: freeze both sites, prove, switch the pointers, resume.

    Needs two tokens, so that it is never run by habit. Everything that it does is written down before it
    is done; kill it at any moment, and `drfsm resume` goes on from exactly there.
    """
    confirmations = tokens(given.pop("confirm1"), given.pop("confirm2"), given["dr_run_id"])
    invocation = at_terminal(**{name: given.pop(name) for name in ("operator", "take_over")})
    output_format = str(given.pop("output"))
    options = {name: given.pop(name) for name in ("dry_run", "receipt_dir")}
    for flag, role in (("fence_primary", "fence_primary_role"), ("fence_dr", "fence_dr_role")):
        if given[flag] and not given[role]:
            raise UsageFault(f"--{flag.replace('_', '-')} needs --{role.replace('_', '-')}")
    if (given["dr_unreachable"] or given["adopt_ownership"] or given["soak"] == "none") and not given["reason"]:
        raise UsageFault("--dr-unreachable, --adopt-ownership and --soak none need a --reason: it is recorded")
    if given["dr_unreachable"] and not given["fence_dr_role"]:
        raise UsageFault("--dr-unreachable needs --fence-dr-role: what can't be frozen is fenced")
    inputs = {
        **given,
        **confirmations,
        "prefix": given["prefix"].strip("/"),
        "gitops_paused": "yes" if given["gitops_paused"] else "no",
        "allow_image_drift": "yes" if given["allow_image_drift"] else "no",
        "validation_env": "\n".join(assignments(given["validation_env"])),
        "alarms": "\n".join(name for each in given["alarms"] if (name := each.strip())),
        "fence_primary": "asked" if given["fence_primary"] else "none",
        "fence_dr": "asked" if given["fence_dr"] else "none",
        "dr_unreachable": "yes" if given["dr_unreachable"] else "no",
        "adopt_ownership": "yes" if given["adopt_ownership"] else "no",
        "primary_pod_answered_for": "",
        "primary_run_id": new_workload_run_id(),
        "allow_tag": "yes" if given["allow_tag"] else "no",
        "teardown": "true" if given["teardown"] else "false",
        "sync": both_or_none(given, "sync_src_prefix", "sync_dst_prefix"),
        "restore_check": "asked" if given["primary_restore_backup_uri"] else "none",
        "kubeconfig_dr": str(Path(given["kubeconfig_dr"]).absolute()),
        "kubeconfig_primary": str(Path(given["kubeconfig_primary"]).absolute()),
    }
    if not inputs["prefix"]:
        raise UsageFault("--prefix is empty: a procedure owns a part of the bucket, never all of it")
    return reported(wiring.start("failback", inputs, invocation, **options), output_format)
