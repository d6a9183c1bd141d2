"""The commands on a run that was begun: resume, abort, hold, skip, request, resolve.

RUN is a bundle's directory, a run's id, or the URI of a run's mirror in S3 (``s3://…/drfsm/runs/<run>``), from
which any machine can continue it. Without RUN it is the run of this computer that is open (runs/selection.py).
"""

import functools
import os
from collections.abc import Callable
from shlex import quote
from typing import Any

import click

from drfsm.claims import bounded, is_name
from drfsm.cli.completing import run_ids, triggers
from drfsm.cli.config_notes import telling_differences
from drfsm.cli.notify_options import notifying, taken
from drfsm.cli.options import address, check_run_id, operator, reason_in_words, take_over
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal
from drfsm.cli.say import say
from drfsm.cli.sealing_options import sealed_as, sealing
from drfsm.engine import Runner
from drfsm.engine.runner import OUTCOMES
from drfsm.errors import ExitCode, UsageFault
from drfsm.journal import RunState, fold, read
from drfsm.runs import bundle, selection, wiring
from drfsm.runs.invocation import Invocation
from drfsm.runs.run_context import Outcome
from drfsm.runs.trust import Assurances, trusted_machines

_WHO = (
    click.argument("run", required=False, shell_complete=run_ids),
    operator,
    take_over,
    click.option(
        "--kubeconfig-dr", default="", type=click.Path(), help="Path to DR's kubeconfig.  [$DRFSM_KUBECONFIG_DR]"
    ),
    click.option(
        "--kubeconfig-primary",
        default="",
        type=click.Path(),
        help="Path to the primary's kubeconfig.  [$DRFSM_KUBECONFIG_PRIMARY]",
    ),
    click.option(
        "--terraform-dir", default="", type=click.Path(), help="Path to the Terraform module on this machine."
    ),
    click.option(
        "--endpoint-url",
        default="",
        callback=address,
        help="Endpoint of the cloud, if it differs from the recorded one.",
    ),
    click.option("--region", default="", help="Region of the cloud, if it differs from the recorded one."),
    click.option(
        "--expect-head",
        "heads",
        multiple=True,
        metavar="SHA256",
        help="Accept records that another machine wrote, if they end with this head.",
    ),
    click.option(
        "--approved-plan",
        "plans",
        multiple=True,
        metavar="SHA256",
        help="Approve this plan again, if the recorded approval is not signed.",
    ),
    click.option(
        "--trust-machine",
        "machines",
        multiple=True,
        metavar="SHA256",
        help="Trust this declaration.  [$DRFSM_TRUST_MACHINES]",
    ),
    notifying,
    sealing,
    output,
)
_reason = click.option("--reason", required=True, callback=reason_in_words, help="Why. The journal records it.")


def on_a_run(command: Callable[..., Outcome | int]) -> Callable[..., int]:
    """Add the options of every command on a run; pass them on as ``run`` and ``invocation``; report the outcome."""

    @functools.wraps(command)
    def wrapped(run: str | None, operator: str, take_over: str, output: str, **options: Any) -> int:
        files = {
            site: options.pop(f"kubeconfig_{site}") or os.environ.get(f"DRFSM_KUBECONFIG_{site.upper()}", "")
            for site in ("dr", "primary")
        }
        places = {name: options.pop(name) for name in ("endpoint_url", "region", "terraform_dir")}
        assurances = Assurances(
            heads=digests("--expect-head", options.pop("heads")),
            approved_plans=digests("--approved-plan", options.pop("plans")),
            machines=trusted_machines(options.pop("machines"), os.environ),
        )
        invocation = at_terminal(
            operator=operator,
            take_over=take_over,
            kubeconfigs=files,
            places=places,
            assurances=assurances,
            notify=taken(options),
            sealing=sealed_as(options),
        )
        invocation = telling_differences(invocation)
        result = command(run, invocation, **options)
        return reported(result, output) if isinstance(result, Outcome) else result

    for option in reversed(_WHO):
        wrapped = option(wrapped)
    return wrapped


def digests(option: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the digests that an option names. Raises UsageFault for a text that is none."""
    for text in texts:
        if not is_name("sha256", text):
            raise UsageFault(f"{option}: {bounded(text, 100)} is no SHA-256", hint="give all 64 hex digits")
    return texts


@click.command()
@click.option(
    "--dr-unreachable", is_flag=True, help="DR is lost: fence its identity and continue without it. Needs --reason."
)
@click.option("--fence-dr-role", default="", metavar="ARN", help="The identity that DR publishes with.")
@click.option("--reason", default="", help="Why DR is declared lost. The journal records it.")
@on_a_run
def resume(
    run: str | None, invocation: Invocation, *, dr_unreachable: bool, fence_dr_role: str, reason: str
) -> Outcome:
    """Continue a run from exactly where it stands."""
    if not dr_unreachable:
        return wiring.resume(run, lambda runner: runner.resume(), invocation)
    if not reason:
        raise UsageFault("--dr-unreachable needs a --reason", hint="add --reason 'why DR is declared lost'")

    def declare(runner: Runner) -> RunState:
        role = fence_dr_role or str(runner.state.inputs.get("fence_dr_role", ""))
        return runner.request("declare_dr_lost", {"dr_unreachable": "yes", "reason": reason, "fence_dr_role": role})

    return wiring.resume(run, declare, invocation, recheck="readable")


@click.command()
@_reason
@on_a_run
def abort(run: str | None, invocation: Invocation, *, reason: str) -> Outcome:
    """Undo what a run changed, newest first. Refused after the point of no return."""
    return wiring.resume(run, lambda runner: runner.abort(reason), invocation, recheck="snapshots")


@click.command()
@click.argument("run", required=False, shell_complete=run_ids)
@_reason
@operator
def hold(run: str | None, reason: str, operator: str) -> int:
    """Let a working run finish its current step and stop before the next one. `resume` continues it.

    A run that no process works on has stopped already.
    """
    from drfsm.adapters.file_journal import holder
    from drfsm.engine.runner import who

    place = selection.find(run)
    worker = holder(place)
    if worker is None:
        say("nobody works on this run: it has stopped already; `drfsm status` shows where")
        return int(ExitCode.DONE)
    bundle.ask_hold(place, operator or who(), reason)
    say(f"process {worker.get('pid', '?')} on {worker.get('host', '?')} is asked to stop before its next step")
    return int(ExitCode.DONE)


@click.command()
@_reason
@on_a_run
def skip(run: str | None, invocation: Invocation, *, reason: str) -> Outcome:
    """Skip the optional step that the run stands before: sync, backup check, soak or teardown. Never a safety check."""

    def skipped(runner: Runner) -> RunState:
        next_actions = [hint for hint in runner.next_actions() if hint.startswith("skip_")]
        if len(next_actions) > 1:
            raise UsageFault(
                f"several steps can be skipped here: {', '.join(next_actions)}",
                hint=f"drfsm request {quote(next_actions[0])} --reason …",
            )
        return runner.request(next_actions[0] if next_actions else "skip", {"reason": reason})

    return wiring.resume(run, skipped, invocation, recheck="readable")


def _trigger(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """Return the trigger. Where none is named, raises UsageFault with those that are legal for the open run."""
    if value:
        return value
    from drfsm.adapters.file_journal import read_lines

    place = selection.find(None)
    state = fold(read(read_lines(place)).records)
    legal = [way.action for way in state.next_actions if way.action not in _VERBS]
    told = f"legal for {state.run_id} in {state.state}: {', '.join(legal) or 'none'}"
    raise UsageFault(
        f"no trigger is named; {told}",
        hint=f"drfsm request {legal[0] if legal else 'TRIGGER'} {quote(str(place))} --reason '…'",
    )


_VERBS = ("resume", "abort", "approve")
"""What a person may do with a run by a command of its own."""


@click.command()
@click.argument("trigger", metavar="TRIGGER", required=False, callback=_trigger, shell_complete=triggers)
@_reason
@click.option(
    "--arg", "args", multiple=True, metavar="NAME=VALUE", help="An input that this trigger changes, e.g. dr_run_id=…."
)
@on_a_run
def request(run: str | None, invocation: Invocation, *, trigger: str, reason: str, args: tuple[str, ...]) -> Outcome:
    """Fire TRIGGER, which only a person may fire. `drfsm status` lists the triggers that are legal now."""
    if trigger == "approve":
        raise UsageFault(
            "`drfsm request` cannot approve: `drfsm approve` shows the plan first and records who approves it",
            hint="drfsm approve RUN --ticket …",
        )
    amendments = {}
    for text in args:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageFault(f"--arg {text} is no NAME=VALUE", hint="give it as NAME=VALUE, e.g. --arg dr_run_id=…")
        amendments[name] = value

    def fire(runner: Runner) -> RunState:
        if amendments.get("dr_run_id"):
            from drfsm.dr.terms import terms_of

            check_run_id("--arg dr_run_id", amendments["dr_run_id"], terms_of(runner.state.inputs).workload)
        return runner.request(trigger, {"reason": reason, **amendments})

    return wiring.resume(run, fire, invocation, recheck="readable")


@click.command()
@click.argument("outcome", type=click.Choice(OUTCOMES))
@_reason
@on_a_run
def resolve(run: str | None, invocation: Invocation, *, outcome: str, reason: str) -> Outcome:
    """Say how an interrupted action ended, if drfsm cannot tell; then continue the run."""
    return wiring.resume(run, lambda runner: runner.resolve(outcome, reason), invocation, recheck="readable")
