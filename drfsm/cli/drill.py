"""`drfsm drill`, the seed's command, and `drfsm validate`, its middle alone. Parses, wires, starts.

A drill's bundle is `--receipt-dir`; where that holds an earlier drill, its site and kubeconfig are gone on with, and
the new bundle is made beside it (`<directory>.2`, `.3`, ...). What the flags mean is drill_inputs.py's matter.
"""

import os
from pathlib import Path
from typing import Any

import click

from drfsm.cli.backups import allow_in_backup, expect_sha256
from drfsm.cli.diagnostics import diagnose
from drfsm.cli.drill_inputs import DEFAULT_PREFIX, PHASES, inputs_of, settle
from drfsm.cli.options import approval_policy, of_a_run, patience
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal
from drfsm.cli.say import say
from drfsm.engine.runner import new_run_id
from drfsm.errors import UsageFault
from drfsm.runs import bundle, wiring
from drfsm.runs.earlier_drills import copy_private_files, directory_beside, earlier_in

_phase = click.Choice(PHASES)

_WORKLOAD = (
    click.option("--namespace", default="jobintel", show_default=True, help="Of the workload."),
    click.option("--provider", default="openai", show_default=True),
    click.option("--profile", default="cs", show_default=True),
    click.option("--candidate", default="local", show_default=True, help="Whose runs and pointers."),
    click.option("--cronjob", default="", help="The CronJob that publishes.  [default: the only one]"),
    click.option("--cronjob-selector", default="", help="Label selector of the CronJobs that must be quiet."),
    click.option("--configmap", default="jobintel-config", show_default=True, help="It switches publishing."),
    click.option("--image-ref", default="", help="Image to validate, repo@sha256:<64 hex>.  [default: the CronJob's]"),
    click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by digest."),
    click.option("--skip-workload-assume", is_flag=True, help="Leave the workload's identity out of the baseline."),
    click.option(
        "--validation-env", multiple=True, metavar="NAME=VALUE",
        help="More environment for the validation Job; it is recorded, so no secrets.",
    ),
    patience,
    click.option("--site-timeout", type=click.FloatRange(0), default=120, show_default=True, help="For nodes."),
    click.option("--max-attempts", type=click.IntRange(1), default=3, show_default=True, help="Of each step."),
    click.option("--no-retry", is_flag=True, help="The same as --max-attempts 1."),
    click.option("--receipt-dir", type=click.Path(), help="The bundle's directory.  [default: below $DRFSM_HOME/runs]"),
    click.option("--git-sha", default="", help="The commit that is drilled.  [default: of the working directory]"),
    of_a_run,
    output,
)  # fmt: skip


def _workload(command: Any) -> Any:
    for option in reversed(_WORKLOAD):
        command = option(command)
    return command


@click.command(
    epilog="While it runs, Ctrl-C stops at the next clean point; `drfsm resume` goes on from there.",
)
@click.option("--bucket", default="", help="Where both sites publish.  [default: that of --backup-uri]")
@click.option("--prefix", default="", help="The part of the bucket that is theirs.  [default: that of --backup-uri]")
@click.option("--backup-uri", default="", help="What is restored: s3://<bucket>/<prefix>/backups/<backup id>")
@expect_sha256
@allow_in_backup
@click.option("--auto-promote", type=click.BOOL, default=False, show_default=True, help="Promote what is validated ...")
@click.option(
    "--allow-promote-bypass",
    type=click.BOOL,
    default=False,
    show_default=True,
    help="... which needs this one as well.",
)
@click.option(
    "--promote-target", type=click.Choice(["drill", "canonical"]), default="drill", show_default=True,
    help="Rehearse it below the drill's own prefix, or move the real pointers, which a person then approves.",
)  # fmt: skip
@approval_policy
@click.option("--teardown", type=click.BOOL, help="Take the site down at the end.  [default: true, for a site of ours]")
@click.option("--start-at", type=_phase, help="The first phase.  [default: bringup]")
@click.option("--stop-after", type=_phase, help="The last phase; the site is left standing.  [default: teardown]")
@click.option("--validate-only", is_flag=True, help="The same as --start-at validate --stop-after validate.")
@click.option("--diagnostics-only", is_flag=True, help="Look at everything, change nothing, leave a receipt.")
@click.option(
    "--allow-full-drill", is_flag=True,
    default=lambda: os.environ.get("ALLOW_FULL_DRILL", "") == "1",
    help="Restore a site and tear it down in one go.  [default: if $ALLOW_FULL_DRILL is 1]",
)  # fmt: skip
@click.option("--kubeconfig", default="", type=click.Path(), help="Leads to a site that is there already.")
@click.option(
    "--infrastructure", type=click.Choice(["ec2", "terraform", "existing"]),
    help="How the site is brought up.  [default: existing with --kubeconfig, else ec2]",
)  # fmt: skip
@click.option("--terraform-dir", default="", type=click.Path(), help="The module, with --infrastructure terraform.")
@click.option("--prices", default="", type=click.Path(), help="What machines cost, a JSON file (docs/drill.md).")
@click.option("--expected-minutes", type=click.FloatRange(0), default=60, show_default=True, help="For the estimate.")
@click.option("--recovery-time-objective", default="", metavar="SECONDS", help="Until validated.  [default: none]")
@click.option("--recovery-point-objective", default="", metavar="SECONDS", help="Age of the backup.  [default: any]")
@click.option("--boot-timeout", type=click.FloatRange(0), default=900, show_default=True, help="Seconds, for the site.")
@click.option("--reach-timeout", type=click.FloatRange(0), default=60, show_default=True, help="Seconds, for its API.")
@click.option("--kubeconfig-primary", default="", type=click.Path(), help="For a canonical promotion.")
@click.option("--primary-unreachable", is_flag=True, help="For a canonical promotion: the primary is lost.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="For a canonical promotion: fence this identity.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="For a canonical promotion: DR's own identity.")
@click.option("--resume-cronjobs", default="", help="For a canonical promotion: schedules to switch on.")
@click.option("--no-fence", is_flag=True, help="For a canonical promotion: a lost primary is not fenced.")
@click.option("--reason", default="", help="For a canonical promotion: why; it is recorded.")
@_workload
def drill(**given: Any) -> int:
    """Bring a site up from a backup, let it do the work, take it down: bring up, restore, validate, promote, tear down.

    Each phase is tried up to three times, with one repair in between. Where one fails, what was brought up is taken
    down all the same. Nothing canonical is touched. Everything that it does is written down before it is done;
    kill it at any moment, and `drfsm resume` goes on from exactly there.
    """
    return _drill(given)[0]


@click.command()
@click.option("--bucket", required=True, help="Where both sites publish.")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="The part of the bucket that is theirs.")
@click.option(
    "--kubeconfig", type=click.Path(), default=lambda: os.environ.get("KUBECONFIG_DR", ""),
    help="Leads to the site.  [default: $KUBECONFIG_DR]",
)  # fmt: skip
@_workload
def validate(**given: Any) -> int:
    """Let a site that is there do the work once, published beside, and prove what it published.

    The site must be quiet (schedules suspended, publishing off), and stays so. Exits with 0 if it does the work, with
    10 if not. Leaves validation.receipt.json in the bundle, and beside the run: a promote relies on it.
    """
    if not given["kubeconfig"]:
        raise UsageFault("no kubeconfig is named", hint="give --kubeconfig")
    usual = drill.make_context("drill", []).params
    alone = {"teardown": False, "validate_only": True, "infrastructure": "existing", "allow_full_drill": False}
    shown = given["output"] == "text"
    code, place = _drill({**usual, **alone, **given})
    if shown:
        say(_verdict(place))
    return code


def _verdict(place: Path) -> str:
    """Say in a line what became of a validation."""
    from drfsm.runs import validation_receipts

    receipt = validation_receipts.in_bundle(place)
    if receipt is None:
        return f"NOT VALIDATED; see {place / 'phases/validate.receipt.json'} for the reason"
    run_id, objects, level = (receipt.get(name) for name in ("run_id", "objects", "verification_level"))
    return f"validated: {run_id}, {objects} objects, {level}; {place / 'validation.receipt.json'}"


def _drill(given: dict[str, Any]) -> tuple[int, Path]:
    """Start it; return the exit code and the bundle."""
    invocation = at_terminal(**{name: given.pop(name) for name in ("operator", "take_over")})
    output_format = str(given.pop("output"))
    earlier = earlier_in(given["receipt_dir"])
    run_id = new_run_id("drill")
    settle(given, earlier)
    inputs = inputs_of(given, earlier, run_id)
    if given["diagnostics_only"]:
        return diagnose(inputs, run_id, given["receipt_dir"], earlier, output_format), Path()
    if earlier is not None:
        given["receipt_dir"] = str(directory_beside(earlier.place))
        say(f"goes on with the site of {earlier.site_run}; the new bundle is {given['receipt_dir']}", err=True)
    scope = "live" if inputs["promote"] == "asked" and inputs["promote_target"] == "canonical" else "drill"
    outcome = wiring.start(
        "drill", inputs, invocation, dry_run=False, receipt_dir=given["receipt_dir"], run_id=run_id, scope=scope,
        prepare=lambda place: copy_private_files(earlier, place),
    )  # fmt: skip
    return reported(outcome, output_format), Path(given["receipt_dir"]) if given[
        "receipt_dir"
    ] else bundle.home() / "runs" / run_id
