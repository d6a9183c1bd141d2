"""The verbs that go on with a run: resume, abort, request, resolve."""

import click

from drfsm.cli import drive
from drfsm.engine.runner import OUTCOMES

_operator = click.option("--operator", default="", help="Your name in the records.  [default: the user's]")
_bundle = click.argument("bundle", required=False)
_take_over = click.option(
    "--take-over", default="", metavar="RUN", help="Take the lease from this run, which you know is dead."
)


@click.command()
@_bundle
@_operator
@_take_over
@drive.output
def resume(bundle: str | None, operator: str, take_over: str, output: str) -> int:
    """Go on with a run from exactly where it stands. BUNDLE is a directory or a run id; else the newest run."""
    return drive.go_on(bundle, lambda runner: runner.resume(), operator=operator, take_over=take_over, output=output)


@click.command()
@_bundle
@click.option("--reason", required=True, help="Why; it is recorded.")
@_operator
@_take_over
@drive.output
def abort(bundle: str | None, reason: str, operator: str, take_over: str, output: str) -> int:
    """Give back what a run changed, newest first. Refused after the point of no return."""
    return drive.go_on(
        bundle, lambda runner: runner.abort(reason), operator=operator, take_over=take_over, output=output
    )


@click.command()
@click.argument("trigger")
@_bundle
@click.option("--reason", required=True, help="Why; it is recorded.")
@_operator
@_take_over
@drive.output
def request(trigger: str, bundle: str | None, reason: str, operator: str, take_over: str, output: str) -> int:
    """Fire TRIGGER, one of the rows that only a person may fire; `drfsm status` names those that are legal now."""
    return drive.go_on(
        bundle,
        lambda runner: runner.request(trigger, {"reason": reason}),
        operator=operator,
        take_over=take_over,
        output=output,
    )


@click.command()
@click.argument("outcome", type=click.Choice(OUTCOMES))
@_bundle
@click.option("--reason", required=True, help="How you know; it is recorded.")
@_operator
@_take_over
@drive.output
def resolve(outcome: str, bundle: str | None, reason: str, operator: str, take_over: str, output: str) -> int:
    """Say what became of an interrupted action that the machine can't tell, then go on."""
    return drive.go_on(
        bundle,
        lambda runner: runner.resolve(outcome, reason),
        operator=operator,
        take_over=take_over,
        output=output,
    )
