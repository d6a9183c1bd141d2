"""What the commands share that answer an execution of Step Functions: their options, the question, and the answer.

Used by approve.py and answers.py. The rules lie in runs/orchestrators.py; a task's token is never printed.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from drfsm.cli.options import Command, with_options
from drfsm.cli.say import say
from drfsm.errors import Unreachable, UsageFault
from drfsm.runs.invocation import Invocation

if TYPE_CHECKING:
    from drfsm.adapters.executions import Executions
    from drfsm.runs.orchestrators import Asked

_LOST_ANSWER_SECONDS = 10.0  # an answer whose response was lost may still have arrived

_OPTIONS = (
    click.option("--execution-arn", default="", metavar="ARN", help="Execution of Step Functions that asks."),
    click.option("--state-machine", default="", metavar="ARN", help="Its state machine, with --execution-name."),
    click.option("--execution-name", default="", metavar="NAME", help="Its name, with --state-machine."),
    click.option("--state", default="", help="State of the execution that asks, if several do."),
    click.option(
        "--receipts",
        default="",
        metavar="S3_URI",
        help="Where the orchestrator keeps its receipts, if its history does not say the task's token.",
    ),
    click.option("--queue", default="", metavar="URL", help="Likewise: the SQS queue to which it sends its questions."),
)


def through_an_execution(command: Command) -> Command:
    """Add the options that name an execution."""
    return with_options(command, _OPTIONS)


@frozen
class Named:
    """The execution that a person named, and where its token may be found."""

    arn: str
    state: str
    receipts: str
    queue: str
    endpoint_url: str
    region: str

    def executions(self) -> "Executions":
        """Return the service of the execution's region."""
        from drfsm.adapters.executions import Executions

        return Executions(self._services())

    def asked(self) -> "Asked":
        """Return what the execution asks, once account, region and state machine are as expected.

        Raises NotWaiting, UsageFault, ActionFailed.
        """
        from drfsm.adapters import aws
        from drfsm.adapters.queues import Queue
        from drfsm.runs import orchestrators

        bucket, _, key = self.receipts.removeprefix("s3://").partition("/")
        if self.receipts and not (self.receipts.startswith("s3://") and bucket and key):
            raise UsageFault("--receipts is no place in S3", hint="--receipts s3://BUCKET/PREFIX")
        account = aws.connect(bucket=bucket, endpoint_url=self.endpoint_url or None, region=self.region)
        question = orchestrators.asked(
            self.executions(),
            self.arn,
            state=self.state,
            store=account.store if bucket else None,
            receipts=key,
            queue=Queue(self._services(), self.queue) if self.queue else None,
        )
        orchestrators.check_place(question, account.identity.account(), self.region)
        return question

    def _services(self) -> Any:
        from drfsm.adapters.aws_session import Services

        return Services(self.endpoint_url or None, self.region)


def named(options: Mapping[str, str], invocation: Invocation) -> Named | None:
    """Return the execution that the options name; None where they name none. Raises UsageFault for half of one."""
    from drfsm.adapters.executions import execution_arn, parts_of

    if not (options["execution_arn"] or options["state_machine"] or options["execution_name"]):
        if alone := next((name for name in ("state", "receipts", "queue") if options[name]), ""):
            raise UsageFault(f"--{alone} needs an execution", hint="add --execution-arn ARN")
        return None
    arn = execution_arn(options["execution_arn"], options["state_machine"], options["execution_name"])
    region = parts_of(arn)["region"]
    if (typed := invocation.places.get("region")) and typed != region:
        raise UsageFault(f"the execution is of the region {region}, and --region is {typed}", hint="leave out --region")
    endpoint_url = invocation.places.get("endpoint_url", "")
    return Named(arn, options["state"], options["receipts"], options["queue"], endpoint_url, region)


def show(question: "Asked") -> None:
    """Print which execution asks, and what it says for itself, on stderr: never its token."""
    say(f"The execution {question.execution.arn}", err=True)
    say(f"  asks in            {question.callback.state} (its token: in {question.found_in})", err=True)
    payload = question.callback.payload
    summary = payload.get("summary")
    told = {**payload, **(summary if isinstance(summary, Mapping) else {})}
    for name in sorted(told):
        if (
            isinstance(told[name], str | int | float | bool)
            and told[name] != ""
            and name not in ("kind", "execution_id")
        ):
            say(f"  {name:<18} {told[name]}", err=True)


def tell(executions: "Executions", question: "Asked", send: Callable[[], None]) -> None:
    """Send an answer once, and wait until the execution has moved on. Raises NotWaiting, Unreachable.

    Where the response is lost, the history says whether the answer arrived; it is never sent again.
    """
    from drfsm.errors import NotWaiting
    from drfsm.runs import orchestrators

    try:
        send()
    except NotWaiting:
        raise
    except Unreachable as fault:
        with suppress(NotWaiting):
            say(orchestrators.moved_on(executions, question, seconds=_LOST_ANSWER_SECONDS), err=True)
            return
        fault.hint = f"{fault.hint}; nobody knows whether the answer arrived: look at the execution, then repeat this"
        raise
    say(f"{question.execution.name}: {orchestrators.moved_on(executions, question)}", err=True)
