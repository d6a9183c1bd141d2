"""The verbs that go on with a run: resume, abort, hold, skip, request, resolve.

RUN is a bundle's directory, a run's id, or the URI of a run's mirror in S3 (``s3://…/drfsm/runs/<run>``), from
which any machine can go on; without it the newest run of this machine.
"""

import functools
import os
from collections.abc import Callable
from shlex import quote
from typing import Any

import click

from drfsm.claims import bounded, is_name
from drfsm.cli.options import address
from drfsm.cli.outcome import output, reported
from drfsm.cli.prompts import at_terminal
from drfsm.cli.say import say
from drfsm.engine import Runner
from drfsm.engine.runner import OUTCOMES
from drfsm.errors import ExitCode, UsageFault
from drfsm.journal import RunState
from drfsm.runs import bundle, wiring
from drfsm.runs.invocation import Invocation
from drfsm.runs.trust import Assurances, trusted_machines
from drfsm.runs.wiring import Outcome

_WHO = (
    click.argument("run", required=False),
    click.option("--operator", default="", help="Your name in the records.  [default: the user's]"),
    click.option(
        "--take-over", default="", metavar="RUN", help="Take the lease from this run, which you know is dead."
    ),
    click.option("--kubeconfig-dr", default="", type=click.Path(), help="Where it lies.  [$DRFSM_KUBECONFIG_DR]"),
    click.option(
        "--kubeconfig-primary", default="", type=click.Path(), help="Where it lies.  [$DRFSM_KUBECONFIG_PRIMARY]"
    ),
    click.option("--terraform-dir", default="", type=click.Path(), help="Where the module lies on this machine."),
    click.option(
        "--endpoint-url", default="", callback=address, help="Of the cloud, where it is another than the run recorded."
    ),
    click.option("--region", default="", help="Of the cloud, likewise."),
    click.option(
        "--expect-head", "heads", multiple=True, metavar="SHA256", help="Go on from records that end with this head."
    ),
    click.option(
        "--approved-plan", "plans", multiple=True, metavar="SHA256", help="Approve again what unsigned records approve."
    ),
    click.option(
        "--trust-machine",
        "machines",
        multiple=True,
        metavar="SHA256",
        help="Go on by this declaration.  [$DRFSM_TRUST_MACHINES]",
    ),
    output,
)
_reason = click.option("--reason", required=True, help="Why; it is recorded.")


def on_a_run(command: Callable[..., Outcome | int]) -> Callable[..., int]:
    """Add what every verb on a run takes; hand it over as ``run`` and ``invocation``; report what became of the run."""

    @functools.wraps(command)
    def wrapped(run: str | None, operator: str, take_over: str, output: str, **given: Any) -> int:
        files = {
            site: given.pop(f"kubeconfig_{site}") or os.environ.get(f"DRFSM_KUBECONFIG_{site.upper()}", "")
            for site in ("dr", "primary")
        }
        places = {name: given.pop(name) for name in ("endpoint_url", "region", "terraform_dir")}
        assurances = Assurances(
            heads=_digests("--expect-head", given.pop("heads")),
            approved_plans=_digests("--approved-plan", given.pop("plans")),
            machines=trusted_machines(given.pop("machines"), os.environ),
        )
        invocation = at_terminal(
            operator=operator, take_over=take_over, kubeconfigs=files, places=places, assurances=assurances
        )
        result = command(run, invocation, **given)
        return reported(result, output) if isinstance(result, Outcome) else result

    for option in reversed(_WHO):
        wrapped = option(wrapped)
    return wrapped


def _digests(option: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not is_name("sha256", text):
            raise UsageFault(f"{option}: {bounded(text, 100)} is no SHA-256: 64 hex digits")
    return texts


@click.command()
@click.option(
    "--dr-unreachable", is_flag=True, help="DR is lost: fence its identity and go on without it. Needs --reason."
)
@click.option("--fence-dr-role", default="", metavar="ARN", help="The identity that DR publishes with.")
@click.option("--reason", default="", help="Why DR is declared lost; it is recorded.")
@on_a_run
def resume(
    run: str | None, invocation: Invocation, *, dr_unreachable: bool, fence_dr_role: str, reason: str
) -> Outcome:
    """Go on with a run from exactly where it stands."""
    if not dr_unreachable:
        return wiring.resume(run, lambda runner: runner.resume(), invocation)
    if not reason:
        raise UsageFault("--dr-unreachable needs a --reason: it is recorded")

    def declare(runner: Runner) -> RunState:
        role = fence_dr_role or str(runner.state.inputs.get("fence_dr_role", ""))
        return runner.request("declare_dr_lost", {"dr_unreachable": "yes", "reason": reason, "fence_dr_role": role})

    return wiring.resume(run, declare, invocation, recheck="readable")


@click.command()
@_reason
@on_a_run
def abort(run: str | None, invocation: Invocation, *, reason: str) -> Outcome:
    """Give back what a run changed, newest first. Refused after the point of no return."""
    return wiring.resume(run, lambda runner: runner.abort(reason), invocation, recheck="snapshots")


@click.command()
@click.argument("run", required=False)
@_reason
@click.option("--operator", default="", help="Your name in the records.  [default: the user's]")
def hold(run: str | None, reason: str, operator: str) -> int:
    """Let a working run finish the step in hand and stop before the next; `resume` goes on.

    A run that nobody works on stands still already.
    """
    from drfsm.adapters.file_journal import holder
    from drfsm.engine.runner import who

    place = bundle.find(run)
    found = holder(place)
    if found is None:
        say("nobody works on this run: it stands still already; `drfsm status` says where")
        return int(ExitCode.DONE)
    bundle.ask_hold(place, operator or who(), reason)
    say(f"process {found.get('pid', '?')} on {found.get('host', '?')} stops before its next step")
    return int(ExitCode.DONE)


@click.command()
@_reason
@on_a_run
def skip(run: str | None, invocation: Invocation, *, reason: str) -> Outcome:
    """Pass over the optional step that the run stands before: sync, backup check, soak or teardown. Never a gate."""

    def skipped(runner: Runner) -> RunState:
        next_actions = [hint for hint in runner.next_actions() if hint.startswith("skip_")]
        if len(next_actions) > 1:
            raise UsageFault(
                f"which? {', '.join(next_actions)}", hint=f"drfsm request {quote(next_actions[0])} --reason …"
            )
        return runner.request(next_actions[0] if next_actions else "skip", {"reason": reason})

    return wiring.resume(run, skipped, invocation, recheck="readable")


@click.command()
@click.argument("trigger")
@_reason
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="What the row amends, e.g. dr_run_id=….")
@on_a_run
def request(run: str | None, invocation: Invocation, *, trigger: str, reason: str, args: tuple[str, ...]) -> Outcome:
    """Fire TRIGGER, one of the rows that only a person may fire; `drfsm status` names those that are legal now."""
    if trigger == "approve":
        raise UsageFault(
            "what is approved is shown first, and by whom is not for an --arg to say",
            hint="drfsm approve RUN --ticket …",
        )
    given = {}
    for each in args:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageFault(f"--arg {each} is no NAME=VALUE")
        given[name] = value
    return wiring.resume(
        run, lambda runner: runner.request(trigger, {"reason": reason, **given}), invocation, recheck="readable"
    )


@click.command()
@click.argument("outcome", type=click.Choice(OUTCOMES))
@_reason
@on_a_run
def resolve(run: str | None, invocation: Invocation, *, outcome: str, reason: str) -> Outcome:
    """Say what became of an interrupted action that the machine can't tell, then go on."""
    return wiring.resume(run, lambda runner: runner.resolve(outcome, reason), invocation, recheck="readable")
