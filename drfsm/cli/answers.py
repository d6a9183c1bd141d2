"""`drfsm decline` and `drfsm answer`: a person's no, and a person's answers to an execution whose run a worker drives.

A no is recorded in the run's journal first, which ends the run; then the execution that waits for it fails, with the
reason. Where a worker drives the run (an exported machine), the answer itself is sent, and the worker fires it. Nothing
is sent twice; a task's token is never printed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from drfsm.adapters.file_journal import read_chain
from drfsm.cli import approve_plan, execution_options
from drfsm.cli.options import reason_in_words
from drfsm.cli.run_verbs import on_a_run
from drfsm.cli.say import say
from drfsm.engine.runner import who as this_user
from drfsm.errors import ExitCode, IllegalTransition, UsageFault
from drfsm.evidence.approvals import DECLINE
from drfsm.journal import RunState, fold
from drfsm.runs import mirrors, wiring
from drfsm.runs.fetching import find_or_fetch
from drfsm.runs.invocation import Invocation
from drfsm.runs.run_context import Outcome

if TYPE_CHECKING:
    from drfsm.adapters.executions import Executions
    from drfsm.runs.orchestrators import Asked

_GIVEN_UP = ("refused", "aborted", "failed")
_reason = click.option("--reason", required=True, callback=reason_in_words, help="Why. The journal records it.")


@click.command()
@_reason
@click.option("--ticket", default="", help="Change or incident number. It is recorded.")
@approve_plan.key_and_out
@execution_options.through_an_execution
@on_a_run
def decline(
    run: str | None, invocation: Invocation, *, reason: str, ticket: str, key: str, out: str, **execution: str
) -> Outcome | int:
    """Decline a promote that waits for an approval, or the plan in a file, before its run is started.

    A promote that is declined ends; with --execution-arn the execution fails, too. RUN may be a file of `drfsm plan`:
    then the no is written beside it, and no run can be started from it there.
    """
    if run is not None and approve_plan.is_plan(run):
        return approve_plan.answer(
            run,
            DECLINE,
            operator=invocation.operator,
            ticket=ticket.strip(),
            reason=reason,
            digest="",
            key=key,
            out=out,
        )
    if key or out:
        raise UsageFault(
            "--key and --out are for the plan in a file; who declines a run stands in its journal",
            hint="leave them out",
        )
    args = {"reason": reason, **({"ticket": ticket.strip()} if ticket.strip() else {})}
    named = execution_options.named(execution, invocation)
    if named is None:
        return wiring.resume(run, lambda runner: runner.request("decline", args), invocation)
    from drfsm.runs import orchestrators

    executions, question = named.executions(), named.asked()
    execution_options.show(question)
    if question.is_exported:
        return send(executions, question, "decline", invocation.operator or this_user(), {"reason": reason})
    place, invocation = find_or_fetch(run, invocation)
    state = fold(read_chain(place).records)
    orchestrators.check_run(question, state, _asked_plan(state))
    given_up = state.status in _GIVEN_UP  # before, and the execution was not told then
    outcome = wiring.resume(
        str(place),
        lambda runner: runner.resume() if given_up else runner.request("decline", args),
        invocation,
    )
    if outcome.state.status in _GIVEN_UP:
        said = outcome.state.args.get("decline") or {"reason": reason, "operator": invocation.operator or this_user()}
        cause = f"{said['reason']} ({outcome.state.state} by {said['operator']}, run {outcome.state.run_id})"
        execution_options.tell(
            executions, question, lambda: executions.fail(question.token, orchestrators.REJECTED, cause)
        )
    return outcome


def _asked_plan(state: RunState) -> str:
    """Return the digest of the plan that a run stands at, as it was read last."""
    reading = state.facts.get("approval")
    return str(reading.seen["sha256"]) if reading and reading.seen else ""


@click.command()
@click.argument("trigger")
@_reason
@click.option(
    "--arg", "args", multiple=True, metavar="NAME=VALUE", help="An input that this trigger changes, e.g. dr_run_id=…."
)
@click.option("--operator", default="", help="Your name, for the journal.  [default: the user of this computer]")
@click.option("--endpoint-url", default="", help="Endpoint of the cloud.")
@execution_options.through_an_execution
def answer(
    trigger: str, *, reason: str, args: tuple[str, ...], operator: str, endpoint_url: str, **execution: str
) -> int:
    """Answer an execution that asks: TRIGGER is `resume`, or a trigger that only a person may fire.

    The execution's question lists them. An approval is answered by `drfsm approve --execution-arn`, which shows the
    plan first.
    """
    if trigger == "approve":
        raise UsageFault("`drfsm answer` cannot approve", hint="drfsm approve --execution-arn ARN --ticket …")
    named = execution_options.named(execution, Invocation(places={"endpoint_url": endpoint_url}))
    if named is None:
        raise UsageFault("no execution is named", hint="add --execution-arn ARN")
    amendments = dict(_pair(text) for text in args)
    question = named.asked()
    execution_options.show(question)
    if not question.is_exported:
        raise UsageFault(
            f"{question.execution.name} is no execution of an exported machine: it asks for an approval",
            hint="drfsm approve or drfsm decline, with --execution-arn",
        )
    return send(named.executions(), question, trigger, operator or this_user(), {"reason": reason, **amendments})


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageFault(f"--arg {text} is no NAME=VALUE", hint="give it as NAME=VALUE, e.g. --arg dr_run_id=…")
    return name, value


def send(executions: "Executions", question: "Asked", trigger: str, operator: str, args: Mapping[str, Any]) -> int:
    """Send an answer that a worker will fire. Raises IllegalTransition for a trigger that it does not offer."""
    payload = question.callback.payload
    ways = [way for way in payload.get("ways") or () if isinstance(way, str)]
    if trigger not in ways:
        raise IllegalTransition(
            machine=str(payload.get("machine")), state=str(payload.get("state")), trigger=trigger, legal=ways
        )
    result = {"trigger": trigger, "operator": operator, "args": dict(args)}
    execution_options.tell(executions, question, lambda: executions.succeed(question.token, result))
    say(f"{trigger} was handed to the worker; `drfsm status` of the run's mirror shows what became of it", err=True)
    return int(ExitCode.DONE)


def plan_of(question: "Asked", run: str | None, invocation: Invocation) -> tuple[RunState, Any]:
    """Return the state of the run that a worker drives, and the plan that it stands at, from its mirror.

    The plan is named by its digest; the worker's guards hold the approval against the plan as it is then. Raises
    UsageFault for a mirror that can't be read, or whose plan is another one than the question's.
    """
    from drfsm.runs import orchestrators

    run_id, payload = orchestrators.run_of(question), question.callback.payload
    uri = run or f"s3://{payload.get('bucket')}/{payload.get('prefix')}/drfsm/runs/{run_id}"
    if mirrors.is_mirror(uri):
        state = mirrors.state_of(mirrors.open_mirror(uri, invocation.places))
    else:
        state = fold(read_chain(find_or_fetch(run, invocation)[0]).records)
    reading = state.facts.get("approval")
    if state.run_id != run_id or reading is None or not reading.seen:
        raise UsageFault(
            f"{uri} has no plan of the run {run_id}",
            hint="name the run's mirror: drfsm approve s3://… --execution-arn …",
        )
    asked = next(iter(question.named("plan_sha256")), "")
    if asked and asked != reading.seen["sha256"]:
        raise UsageFault(
            f"the execution asks for the plan {asked}, and the run stands at {reading.seen['sha256']}",
            hint="wait until the worker has asked anew, then look again",
        )
    return state, reading.seen
