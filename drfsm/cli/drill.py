"""`drfsm drill`: its options, and the start of the run. `drfsm validate` (validate.py) starts it with fewer options.

A drill's bundle is `--receipt-dir`. If that holds an earlier drill, the new drill uses its site and kubeconfig, and
the new bundle is made beside it (`<directory>.2`, `.3`, ...). drill_inputs.py turns the options into inputs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from attrs import evolve

from drfsm.claims import bounded
from drfsm.cli import approved_start, plan_option, typed
from drfsm.cli.backups import allow_in_backup, expect_sha256
from drfsm.cli.diagnostics import diagnose
from drfsm.cli.drill_inputs import PHASES, inputs_of, settle
from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import (
    Amount,
    Command,
    Complete,
    Duration,
    approval_policy,
    candidate,
    configmap,
    namespace,
    of_a_run,
    patience,
    profile,
    provider,
    with_options,
    workload_file,
)
from drfsm.cli.outcome import output, reported
from drfsm.cli.prices import prices_option
from drfsm.cli.prompts import at_terminal
from drfsm.cli.say import say
from drfsm.cli.sealing_options import sealed_as, sealing
from drfsm.engine.runner import new_run_id
from drfsm.errors import UsageFault
from drfsm.runs import wiring
from drfsm.runs.earlier_drills import copy_private_files, directory_beside, earlier_in, scope_of

_phase = click.Choice(PHASES)

_WORKLOAD = (
    workload_file,
    namespace,
    provider,
    profile,
    candidate,
    click.option("--cronjob", default="", help="CronJob that publishes.  [default: the only one]"),
    click.option("--cronjob-selector", default="", help="Label selector of the CronJobs that must be suspended."),
    configmap,
    click.option(
        "--image-ref", default="",
        help="Image to validate, as repo@sha256:<64 hex>.  [default: the CronJob's image]",
    ),
    click.option("--allow-tag", is_flag=True, help="Accept an image that is not pinned by a digest."),
    click.option("--skip-workload-assume", is_flag=True, help="Do not check the workload's identity in the baseline."),
    click.option(
        "--validation-env", multiple=True, metavar="NAME=VALUE",
        help="Environment variable for the validation Job. The journal records it, so no secrets.",
    ),
    patience,
    click.option(
        "--site-timeout", type=Duration(), default=120, show_default=True,
        help="Limit for nodes to be ready, in seconds, or as 90s, 5m, 2h.",
    ),
    click.option("--max-attempts", type=click.IntRange(1), default=3, show_default=True, help="Attempts at each step."),
    click.option("--no-retry", is_flag=True, help="The same as --max-attempts 1."),
    click.option(
        "--receipt-dir", type=click.Path(),
        help="Directory of the run's bundle.  [default: below $DRFSM_HOME/runs]",
    ),
    click.option("--git-sha", default="", help="Git commit that is drilled.  [default: the working directory's]"),
    of_a_run,
    notifying,
    sealing,
    output,
)  # fmt: skip


def _allowed_by_the_environment() -> bool:
    """Return what ALLOW_FULL_DRILL says. Raises UsageFault for a word that is neither yes nor no."""
    word = os.environ.get("ALLOW_FULL_DRILL", "")
    if word.lower() not in typed.WORDS:
        raise UsageFault(
            f"ALLOW_FULL_DRILL={bounded(word, 40)} is neither yes nor no", hint="export ALLOW_FULL_DRILL=1"
        )
    return typed.WORDS[word.lower()]


def workload_options(command: Command) -> Command:
    """Add the options that `drfsm drill` and `drfsm validate` share."""
    return with_options(command, _WORKLOAD)


@click.command(
    cls=Complete,
    epilog="Ctrl-C stops the run at the next clean point; `drfsm resume` continues it from there.",
)
@click.option("--bucket", default="", help="Bucket to which both sites publish.  [default: that of --backup-uri]")
@click.option("--prefix", default="", help="Prefix below which both sites publish.  [default: that of --backup-uri]")
@click.option("--backup-uri", default="", help="Backup to restore: s3://<bucket>/<prefix>/backups/<backup id>")
@expect_sha256
@allow_in_backup
@click.option(
    "--auto-promote", type=click.BOOL, default=False, show_default=True,
    help="Promote the validated run, where --allow-promote-bypass is true, too.",
)  # fmt: skip
@click.option(
    "--allow-promote-bypass", type=click.BOOL, default=False, show_default=True,
    help="The second option that a promotion needs. With one of the two, the drill passes the promotion over.",
)  # fmt: skip
@click.option(
    "--promote-target", type=click.Choice(["drill", "canonical"]), default="drill", show_default=True,
    help="Rehearse the promote below the drill's own prefix, or move the real pointers after a person's approval.",
)  # fmt: skip
@approval_policy
@click.option(
    "--teardown", type=click.BOOL, help="Take the site down at the end.  [default: true, if the drill brought it up]"
)
@click.option("--start-at", type=_phase, help="First phase.  [default: bringup]")
@click.option("--stop-after", type=_phase, help="Last phase; the site keeps running.  [default: teardown]")
@click.option("--validate-only", is_flag=True, help="The same as --start-at validate --stop-after validate.")
@click.option("--diagnostics-only", is_flag=True, help="Check everything, change nothing, leave a receipt.")
@click.option(
    "--allow-full-drill", is_flag=True,
    default=_allowed_by_the_environment,
    help="Allow one drill to restore a site and take it down.  [default: if $ALLOW_FULL_DRILL says 1, true, yes or y]",
)  # fmt: skip
@click.option(
    "--require-state", is_flag=True,
    help="Refuse the drill (exit code 13) where the backup holds no lasting state of the workload to restore.",
)  # fmt: skip
@click.option("--kubeconfig", default="", type=click.Path(), help="Path to the kubeconfig of an existing site.")
@click.option(
    "--infrastructure", type=click.Choice(["ec2", "terraform", "existing"]),
    help="How to bring up the site.  [default: existing with --kubeconfig, else ec2]",
)  # fmt: skip
@click.option(
    "--terraform-dir", default="", type=click.Path(), help="Path to the module, with --infrastructure terraform."
)
@prices_option
@click.option(
    "--expected-minutes",
    type=Amount(),
    default=60,
    show_default=True,
    help="Expected duration, for the cost estimate.",
)
@click.option(
    "--recovery-time-objective",
    default="",
    metavar="SECONDS",
    help="Time until the site must be validated.  [default: none]",
)
@click.option(
    "--recovery-point-objective", default="", metavar="SECONDS", help="How old the backup may be.  [default: any age]"
)
@click.option(
    "--boot-timeout",
    type=Duration(),
    default=900,
    show_default=True,
    help="Limit for the site to boot, in seconds, or as 90s, 5m, 2h.",
)
@click.option(
    "--reach-timeout",
    type=Duration(),
    default=60,
    show_default=True,
    help="Limit for the site's API to answer, in seconds, or as 90s, 5m, 2h.",
)
@click.option(
    "--kubeconfig-primary",
    default="",
    type=click.Path(),
    help="For a canonical promotion: path to the primary's kubeconfig.",
)
@click.option("--primary-unreachable", is_flag=True, help="For a canonical promotion: the primary is lost.")
@click.option("--fence-primary-role", default="", metavar="ARN", help="For a canonical promotion: IAM role to fence.")
@click.option("--fence-dr-role", default="", metavar="ARN", help="For a canonical promotion: IAM role of DR.")
@click.option("--resume-cronjobs", default="", help="For a canonical promotion: CronJobs to resume.")
@click.option("--no-fence", is_flag=True, help="For a canonical promotion: do not fence a lost primary.")
@click.option("--reason", default="", help="For a canonical promotion: why. The journal records it.")
@plan_option.plan_file
@approved_start.approval_files
@workload_options
def drill(**options: Any) -> int:
    """Rehearse a recovery from a backup: bring up a site, restore, validate, promote (optional), take the site down.

    Each step is tried up to three times, with a repair in between where there is one. If a phase fails, the drill
    takes down what it brought up. It touches nothing canonical unless --promote-target canonical asks for it. Every
    action is recorded before it is done: if the drill is killed at any moment, `drfsm resume` continues it from
    exactly there.
    """
    return start_drill(options)[0]


def _show_way_to_a_full_drill(inputs: Mapping[str, Any]) -> None:
    """Show, where a drill was refused as a full one, the command that allows it, and one that needs no allowance."""
    if (inputs["restore"], inputs["teardown"], inputs["allow_full_drill"]) != ("asked", "true", "no"):
        return
    say("A restore and a teardown in one run must be allowed. To allow this one:", err=True)
    say(f"  {typed.again('--allow-full-drill')}", err=True)
    if inputs["site"] == "new":
        say("To bring a site up, validate it and keep it for more:", err=True)
        say(f"  {typed.again('--stop-after', 'validate', '--teardown', 'false')}", err=True)


def start_drill(options: dict[str, Any]) -> tuple[int, Path]:
    """Start the drill; return the exit code and the bundle."""
    invocation = at_terminal(
        notify=taken(options),
        sealing=sealed_as(options),
        **{name: options.pop(name) for name in ("operator", "take_over")},
    )
    output_format = str(options.pop("output"))
    earlier = earlier_in(options["receipt_dir"])
    plan = plan_option.chosen(dry_run=options["diagnostics_only"])
    files = options.pop("approvals")
    is_drill = click.get_current_context().command.name == "drill"  # `drfsm validate` restores and promotes nothing
    if not is_drill:
        invocation = evolve(invocation, policies={})
    gate = approved_start.gate("drill", plan, files, exempt=options["diagnostics_only"] or not is_drill)
    run_id = plan.run_id if plan else new_run_id("drill")
    settle(options, earlier)
    inputs = inputs_of(options, earlier, run_id, plan.generated("dr_run_id") if plan else "")
    plan_option.hold_to(plan, inputs, options["receipt_dir"], invocation)
    if options["diagnostics_only"]:
        return diagnose(inputs, run_id, options["receipt_dir"], earlier, output_format), Path()
    if earlier is not None:
        options["receipt_dir"] = str(directory_beside(earlier.place))
        say(f"using the site of {earlier.site_run}; the new bundle is {options['receipt_dir']}", err=True)

    pinned = gate.pass_through(inputs, invocation.operator)

    use = plan_option.Use(plan)

    def prepare(place: Path) -> None:
        use(place)
        copy_private_files(earlier, place)

    with use:
        outcome = wiring.start(
            "drill", inputs, invocation, dry_run=False, receipt_dir=options["receipt_dir"], run_id=run_id,
            scope=scope_of(inputs), pinned=pinned, prepare=prepare,
        )  # fmt: skip
    code = reported(outcome, output_format)
    if outcome.state.status == "refused":
        _show_way_to_a_full_drill(inputs)
    return code, outcome.place
