"""`drfsm approve`: shows the plan of a waiting promote, records a person's approval, and continues the promote.

Where the promote waits in an execution of Step Functions (--execution-arn), the execution is told once the approval is
in the journal, and before anything else is done; answers.py answers for a machine that a worker drives.
"""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from drfsm.adapters.file_journal import read_chain
from drfsm.claims import bounded
from drfsm.cli import answers, approve_plan, approve_several, execution_options, plans
from drfsm.cli.prompts import prompted
from drfsm.cli.run_verbs import on_a_run
from drfsm.cli.say import say
from drfsm.engine import Runner
from drfsm.engine.runner import who as this_user
from drfsm.errors import DrfsmError, ExitCode, NotWaiting, UsageFault
from drfsm.evidence.approvals import APPROVE
from drfsm.evidence.standing import shortest_name
from drfsm.journal import RunState, fold
from drfsm.runs import bundle, wiring
from drfsm.runs.fetching import find_or_fetch
from drfsm.runs.invocation import Invocation
from drfsm.runs.run_context import Outcome, observer

if TYPE_CHECKING:
    from drfsm.adapters.executions import Executions
    from drfsm.runs.orchestrators import Asked


@click.command()
@click.option("--ticket", required=True, help="Change or incident number of the approval.")
@click.option("--plan", default="", metavar="SHA256", help="Digest of the plan.  [default: typed at a terminal]")
@click.option("--allow-older", is_flag=True, help="Accept that the canonical run is newer than the validated one.")
@click.option("--reason", default="", help="Why, beside the ticket. It is recorded.")
@approve_plan.key_and_out
@click.option(
    "--approval", "approvals", multiple=True, type=click.Path(), metavar="FILE",
    help="Of a run that several persons approve: another person's approval. Repeatable.",
)  # fmt: skip
@execution_options.through_an_execution
@on_a_run
def approve(
    run: str | None,
    invocation: Invocation,
    *,
    ticket: str,
    plan: str,
    allow_older: bool,
    reason: str,
    key: str,
    out: str,
    approvals: tuple[str, ...],
    **execution: str,
) -> Outcome | int:
    """Approve the plan of a waiting promote, and continue it; or the plan in a file, before its run is started.

    RUN is a waiting promote, or a file of `drfsm plan`: then the approval is written beside the file, and the start
    finds it there (docs/approvals.md).

    The approval holds for this plan's digest only. If anything in the plan changes, the approval is stale: the run
    says so and waits for a new one. With --execution-arn the execution that waits for this promote is told, too.
    """
    operator = (invocation.operator or this_user()).strip()
    if not ticket.strip() or not operator:
        raise UsageFault("an approval needs a name and a ticket", hint="add --operator NAME --ticket TICKET")
    if run is not None and approve_plan.is_plan(run):
        return approve_plan.answer(
            run, APPROVE, operator=operator, ticket=ticket.strip(), reason=reason.strip(), digest=plan.strip(),
            key=key, out=out,
        )  # fmt: skip
    several = approve_several.Answer(operator, ticket.strip(), reason.strip(), key, approvals, out)
    answer = Answer(operator, ticket.strip(), plan.strip(), allow_older, several)
    named = execution_options.named(execution, invocation)
    return _approved(run, invocation, answer) if named is None else _through_execution(run, invocation, answer, named)


@frozen
class Answer:
    """What a person typed: a name, a ticket, the digest (or ""), and whether an older run may replace a newer one."""

    operator: str
    ticket: str
    plan: str
    allow_older: bool
    several: approve_several.Answer

    def args(self, now: Any, digest: str, state: RunState, place: Path | None) -> dict[str, Any] | None:
        """Return what the journal records of the approval; None where others have to approve first."""
        args = plans.answer_of(now, digest, self.operator, self.ticket, allow_older=self.allow_older)
        if self.several.reason:
            args["reason"] = self.several.reason
        return approve_several.with_others(state, place, args, self.several)


def _approved(run: str | None, invocation: Invocation, answer: Answer) -> Outcome | int:
    """Approve the plan of a run of this computer, or of a mirror, and continue it."""
    state, now, place, invocation = _plan_now(run, invocation)
    plans.show(now, state)
    digest = _confirmed(now, answer, shortest_name(state, place), _shown_plans(place))
    if not digest:
        return int(ExitCode.REFUSED)
    if (args := answer.args(now, digest, state, Path(place))) is None:
        return int(ExitCode.HELD)
    return wiring.resume(place, lambda runner: runner.request("approve", args), invocation)


def _through_execution(
    run: str | None, invocation: Invocation, answer: Answer, named: execution_options.Named
) -> Outcome | int:
    """Approve what an execution asks for: the plan of a run here, or that of a run which a worker drives."""
    from drfsm.runs import orchestrators

    executions = named.executions()
    try:
        question = named.asked()
    except NotWaiting:
        if not _answered_already(run, invocation, named.arn):
            raise
        say("the execution was told of this approval before: nothing is sent again", err=True)
        return wiring.resume(run, lambda runner: runner.resume(), invocation)
    execution_options.show(question)
    if question.is_exported:
        return _exported(run, invocation, answer, named, question)
    place, invocation = find_or_fetch(run, invocation)
    state = fold(read_chain(place).records)
    args: dict[str, Any] = {}
    if _stands_approved(state):
        by, under = (state.args["approve"].get(name) for name in ("approved_by", "ticket"))
        orchestrators.check_run(question, state, str(state.args["approve"]["approved_plan"]))
        say(f"{state.run_id} was approved by {by} under {under}: the execution is told of that", err=True)
    else:
        state, now, run, invocation = _plan_now(str(place), invocation)
        orchestrators.check_run(question, state, now["sha256"])
        plans.show(now, state)
        more = f" --execution-arn {named.arn}"
        digest = _confirmed(now, answer, shortest_name(state, run), _shown_plans(run), more)
        if not digest:
            return int(ExitCode.REFUSED)
        completed = answer.args(now, digest, state, Path(run))
        if completed is None:
            return int(ExitCode.HELD)
        args = completed
    outcome = wiring.resume(
        str(place), lambda runner: _record_and_tell(runner, args, place, executions, question), invocation
    )
    _leave_receipt(outcome, named)
    return outcome


def _exported(
    run: str | None, invocation: Invocation, answer: Answer, named: execution_options.Named, question: "Asked"
) -> int:
    """Send the approval of a run that a worker drives: the worker fires it."""
    state, now = answers.plan_of(question, run, invocation)
    plans.show(now, state)
    digest = _confirmed(now, answer, "", {now["sha256"]}, f" --execution-arn {named.arn}")
    if not digest:
        return int(ExitCode.REFUSED)
    if (approved := answer.args(now, digest, state, None)) is None:
        return int(ExitCode.HELD)
    return answers.send(named.executions(), question, "approve", answer.operator, approved)


def _leave_receipt(outcome: Outcome, named: execution_options.Named) -> None:
    """Write a complete promote's receipt beside those of its orchestrator; say where, or why that was not possible."""
    from drfsm.evidence.summary import summarise
    from drfsm.runs import mirrors, orchestrator_receipts

    if outcome.state.status != "complete":
        return
    try:
        inputs = outcome.state.inputs
        store = mirrors.store_of(inputs["bucket"], {"endpoint_url": named.endpoint_url, "region": named.region})
        said = orchestrator_receipts.claims_of(named.executions(), named.arn, store, named.receipts)
        summary = summarise(outcome.state, outcome.records, head=outcome.head)
        where = orchestrator_receipts.leave(store, said, outcome, summary["receipt"])
    except DrfsmError as fault:
        where = f"not written: {fault.what}"
    if where:
        say(f"the orchestrator's receipt of this promote: {where}", err=True)


def _stands_approved(state: RunState) -> bool:
    """Whether a promote was approved, and nobody gave it up since."""
    given_up = state.status in ("refused", "aborted", "failed") or state.state in ("dr_run_verified", "aborting")
    return state.machine == "promote" and bool(state.args.get("approve")) and not given_up


def _record_and_tell(
    runner: Runner, args: dict[str, Any], place: Path, executions: "Executions", question: "Asked"
) -> RunState:
    """Record the approval, tell the execution, and go on. Where it can't be told, the run is held with the reason."""
    from drfsm.runs import orchestrators

    if args and runner.advance("approve", args).status != "running":
        return runner.state
    approved = orchestrators.approval_of(runner.state.args["approve"], _approved_at(place), runner.state.run_id)
    try:
        execution_options.tell(executions, question, lambda: executions.succeed(question.token, approved))
    except DrfsmError as fault:
        if not runner.state.ended:
            bundle.ask_hold(place, "drfsm approve", f"the approval is recorded, and {fault.what}")
            runner.advance()
        fault.what = f"the approval is recorded in the journal, and the run is held; {fault.what}"
        fault.hint = (
            f"drfsm resume {quote(runner.state.run_id)} goes on by the journal's approval;"
            f" drfsm abort {quote(runner.state.run_id)} --reason … gives all back. {fault.hint}"
        )
        raise
    if not args:
        return runner.resume()
    while runner.state.status == "running":
        runner.advance()
    return runner.state


def _approved_at(place: Path) -> str:
    """Return the time of the record of the last approval."""
    records = read_chain(place).records
    return next(
        record.at for record in reversed(records) if record.kind == "commit" and record.body.get("trigger") == "approve"
    )


def _answered_already(run: str | None, invocation: Invocation, arn: str) -> bool:
    """Whether an execution was told of the approval that this run's journal has."""
    from drfsm.adapters.aws_session import Services
    from drfsm.adapters.executions import Executions, parts_of
    from drfsm.runs import orchestrators

    try:
        state = fold(read_chain(find_or_fetch(run, invocation)[0]).records)
    except UsageFault:
        return False
    approved = state.args.get("approve", {}).get("approved_plan")
    services = Services(invocation.places.get("endpoint_url") or None, parts_of(arn)["region"])
    told = orchestrators.answered(Executions(services), arn, state.run_id)
    return bool(approved) and told is not None and told.answer.get("plan_sha256") == approved


def _confirmed(now: Any, answer: Answer, run: str, shown: set[str], more: str = "") -> str:
    """Return the digest that a person confirmed; "" where nobody did, and how to is printed."""
    from drfsm.dr.procedures import approval

    digest, confirmed = now["sha256"], answer.plan
    if not confirmed:
        typed = prompted(f"Type the first {approval.SHOWN} characters of the digest to approve it")
        confirmed = (
            digest if len(typed.strip()) >= approval.SHOWN and digest.startswith(typed.strip()) else typed.strip()
        )
    unknown = bool(confirmed) and confirmed != digest and confirmed not in shown
    if unknown or not confirmed:
        command = plans.approve_command(run, digest, answer.ticket, allow_older=answer.allow_older)
        why = f": {bounded(confirmed, 100)} is the digest of no plan of this run" if unknown else ""
        say(f"not approved{why}. To approve exactly this plan:", err=True)
        say(f"  {command}{more}", err=True)
        return ""
    return str(confirmed)


def _shown_plans(place: str) -> set[str]:
    """Return the digests of the plans that this run has shown: an older one is stale, any other is mistyped."""
    readings = (record.body.get("facts", {}).get("approval") for record in read_chain(Path(place)).records)
    seen = (reading.get("seen") for reading in readings if isinstance(reading, dict))
    return {str(plan.get("sha256")) for plan in seen if isinstance(plan, dict)}


def _plan_now(named: str | None, invocation: Invocation) -> tuple[RunState, Any, str, Invocation]:
    """Return a run's state, its plan as of now, its bundle, and the invocation. Changes nothing."""
    from drfsm.dr.procedures import approval

    place, invocation = find_or_fetch(named, invocation)
    state = fold(read_chain(place).records)
    if state.machine != "promote" or state.ended:
        reason = f"it has ended: {state.status}" if state.machine == "promote" else f"it is a {state.machine}"
        raise UsageFault(f"{state.run_id or place} waits for no approval: {reason}", hint="drfsm list")
    state, world, invocation = wiring.look_at(place, invocation)
    return state, approval.FACTS["approval"].observe(world, observer(state)), str(place), invocation
