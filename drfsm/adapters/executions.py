"""Executions of AWS Step Functions: what one waits for, and the answer that it gets.

A task with a callback (``waitForTaskToken``) waits until somebody sends its token back, with a result or an error. The
token is a bearer secret: whoever has it decides. So it exists as ``Token`` only, which shows itself to nobody: no log,
record, receipt or message of drfsm's ever holds its text. It is found where the service keeps it, in the execution's
history: in the parameters of the task that is scheduled and has not ended. Where the history does not say them (they
are cut off, or may not be read), it is found in the receipt that the orchestrator wrote, or in a queue (queues.py).

What stands in a history is a claim of whoever may start executions: it is read strictly, and names nothing that drfsm
opens. Needs states:DescribeExecution, GetExecutionHistory, SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat. Used by
the commands that answer an execution, and by the worker.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from attrs import field, frozen

from drfsm.adapters.aws_session import Services, call
from drfsm.claims import bounded, object_of
from drfsm.errors import DrfsmError, NotWaiting, Unreadable, UsageFault

ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:(?P<region>[a-z0-9-]{1,60}):(?P<account>\d{12})"
    r":(?P<kind>execution|stateMachine):(?P<machine>[A-Za-z0-9_-]{1,80})(:(?P<name>[A-Za-z0-9_-]{1,80}))?"
)
"""Of an execution, or of a state machine. Names of other characters can't be logged by the service, nor typed here."""
CALLBACK = ".waitForTaskToken"
RUNNING = "RUNNING"
LONGEST_TOKEN = 2048  # characters, by the service's limits
LARGEST_DOCUMENT_BYTES = 1 << 20  # an execution's input and a task's parameters have 256 KB at most
PAGE_EVENTS, MOST_PAGES = 1000, 25  # a history ends with 25,000 events
_TOKEN_NAMES = ("task_token", "taskToken", "TaskToken")
_ENDS = ("TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed")
_GONE = ("TaskTimedOut", "InvalidToken", "TaskDoesNotExist")
"""The service's codes for a token that it does not wait for, or no longer."""


class Token:
    """The token of one task. It prints as nothing that anybody could use."""

    __slots__ = ("_text",)

    def __init__(self, text: object) -> None:
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TOKEN or not text.isprintable():
            raise Unreadable("what stands in a task token's place is no token", hint="find out who wrote it")
        self._text = text

    def reveal(self) -> str:
        """Return its text, to hand it to the service, and to nobody else."""
        return self._text

    def __repr__(self) -> str:
        return "<a task token, not shown>"


@frozen
class Execution:
    """One execution as the service describes it. ``input``: its JSON object, {} where it is none or can't be read."""

    arn: str
    state_machine_arn: str
    status: str
    input: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition(":")[2]

    @property
    def account(self) -> str:
        """The account that it runs in."""
        return parts_of(self.arn)["account"]

    @property
    def region(self) -> str:
        """The region that it runs in."""
        return parts_of(self.arn)["region"]


@frozen
class Callback:
    """A task that waits, or waited, for an answer. ``payload``: what it sent along, without the token.

    ``ended``: how it ended, one of _ENDS; "" while it waits. ``answer``: the JSON object that it ended with, else {}.
    """

    state: str
    event_id: int
    payload: Mapping[str, Any]
    token: Token | None = field(default=None, repr=False)
    ended: str = ""
    answer: Mapping[str, Any] = field(factory=dict)


def parts_of(arn: str) -> dict[str, str]:
    """Return the parts of an ARN (partition, region, account, kind, machine, name). Raises UsageFault."""
    matched = ARN.fullmatch(arn)
    if matched is None:
        raise UsageFault(
            f"{bounded(arn, 300)} is no ARN of an execution or of a state machine",
            hint="arn:aws:states:REGION:ACCOUNT:execution:STATE_MACHINE:NAME, as `aws stepfunctions list-executions`"
            " prints it",
        )
    return {name: text or "" for name, text in matched.groupdict().items()}


def execution_arn(execution: str, state_machine: str, name: str) -> str:
    """Return the ARN that a person named: whole, or as a state machine's ARN and an execution's name.

    Raises UsageFault for half of one, or for another kind of ARN.
    """
    if bool(state_machine) != bool(name) or (execution and state_machine):
        raise UsageFault(
            "name one execution: --execution-arn, or --state-machine and --execution-name",
            hint="give the one, or the other two",
        )
    arn = execution
    if state_machine:
        parts = parts_of(state_machine)
        if parts["kind"] != "stateMachine" or parts["name"]:
            raise UsageFault(f"--state-machine {bounded(state_machine, 300)} is no ARN of a state machine")
        arn = f"{state_machine.replace(':stateMachine:', ':execution:')}:{name}"
    parts = parts_of(arn)
    if parts["kind"] != "execution" or not parts["name"]:
        raise UsageFault(f"{bounded(arn, 300)} is no ARN of an execution", hint="an execution's name stands at its end")
    return arn


def without_token(value: Any) -> tuple[Any, Token | None]:
    """Return a JSON value without the task token that it holds, and the token.

    A text that is a JSON object is read, too; it stays a text if it holds no token.

    Raises Unreadable for something in a token's place that is none.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            inside, found = without_token(json.loads(value))
        except (ValueError, RecursionError):
            return value, None
        return (inside, found) if found else (value, None)
    if isinstance(value, list):
        pairs = [without_token(entry) for entry in value]
        return [kept for kept, _ in pairs], next((token for _, token in pairs if token), None)
    if not isinstance(value, dict):
        return value, None
    kept: dict[str, Any] = {}
    found = None
    for name, entry in value.items():
        if name in _TOKEN_NAMES:
            found = Token(entry)
        else:
            kept[name], inner = without_token(entry)
            found = found or inner
    return kept, found


class Executions:
    """The executions of one region of an account."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _client(self) -> Any:
        return self._services.client("stepfunctions")

    def describe(self, arn: str) -> Execution:
        """Return an execution. Raises UsageFault where there is none."""
        what = f"describing the execution {arn}"
        answer = call(what, lambda: self._client.describe_execution(executionArn=arn), "ExecutionDoesNotExist")
        if answer is None:
            raise UsageFault(f"there is no execution {arn}", hint="check its name, the account and the region")
        if answer["executionArn"] != arn:
            raise Unreadable(f"{what}: the service describes another one, {bounded(answer['executionArn'], 300)}")
        return Execution(arn, answer["stateMachineArn"], answer["status"], _object(answer.get("input"), what))

    def callbacks(self, arn: str) -> tuple[Callback, ...]:
        """Return every task of an execution that waits for an answer or waited for one, the oldest first."""
        events = {event["id"]: event for event in self._events(arn)}
        ends = {_scheduled(event, events): event for event in events.values() if event["type"] in _ENDS}
        return tuple(
            _callback(event, events, ends.get(event["id"]), arn)
            for _, event in sorted(events.items())
            if event["type"] == "TaskScheduled"
            and str(_details(event, "taskScheduledEventDetails").get("resource", "")).endswith(CALLBACK)
        )

    def outputs(self, arn: str) -> dict[str, Mapping[str, Any]]:
        """Return what each state of an execution handed on, by its name; of one that ended more than once the last."""
        ended = (_details(event, "stateExitedEventDetails") for event in self._events(arn))
        outputs = {str(details["name"]): details.get("output") for details in ended if details.get("name")}
        return {name: _object(text, f"what {bounded(name, 80)} of {arn} handed on") for name, text in outputs.items()}

    def _events(self, arn: str) -> Iterator[Mapping[str, Any]]:
        page: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            ask = partial(
                self._client.get_execution_history, executionArn=arn, maxResults=PAGE_EVENTS, includeExecutionData=True
            )
            answer = call(f"reading the history of {arn}", partial(ask, **page), "ExecutionDoesNotExist")
            if answer is None:
                raise UsageFault(f"there is no execution {arn}", hint="check its name, the account and the region")
            yield from answer["events"]
            if not answer.get("nextToken"):
                return
            page = {"nextToken": answer["nextToken"]}
        raise Unreadable(f"the history of {arn} has more than {PAGE_EVENTS * MOST_PAGES} events", hint="look at it")

    # --- answers ----------------------------------------------------------------------------------------

    def succeed(self, token: Token, output: Mapping[str, Any]) -> None:
        """Send a result, once. Raises NotWaiting where the service waits for it no more: it had no effect."""
        text = json.dumps(dict(output), sort_keys=True)
        self._send("its result", lambda client, secret: client.send_task_success(taskToken=secret, output=text), token)

    def fail(self, token: Token, error: str, cause: str) -> None:
        """Send an error, once. Raises as ``succeed``."""
        self._send(
            "its error",
            lambda client, secret: client.send_task_failure(taskToken=secret, error=error[:256], cause=cause[:32768]),
            token,
        )

    def beat(self, token: Token) -> None:
        """Say that the task is being worked on. Raises as ``succeed``."""
        self._send("a heartbeat", lambda client, secret: client.send_task_heartbeat(taskToken=secret), token)

    def _send(self, what: str, request: Callable[[Any, str], Any], token: Token) -> None:
        """Send once, without a retry of botocore's: a second one of the same answer would be refused as used."""
        client, secret = self._services.client("stepfunctions", once=True), token.reveal()
        try:
            answer = call(f"sending a task {what}", lambda: request(client, secret), *_GONE)
        except DrfsmError as fault:  # a service may repeat in its message what it was sent
            fault.what, fault.hint = (text.replace(secret, repr(token)) for text in (fault.what, fault.hint))
            raise
        if answer is None:
            raise NotWaiting(
                "the execution does not wait for this answer any more: the token expired, was used, or is of another"
                " execution",
                hint="look at the execution: it may have asked again, with a new token",
            )


def _callback(
    event: Mapping[str, Any], events: Mapping[int, Mapping[str, Any]], end: Mapping[str, Any] | None, arn: str
) -> Callback:
    parameters = _details(event, "taskScheduledEventDetails").get("parameters")
    document, token = without_token(_object(parameters, f"the parameters of a task of {arn}"))
    payload = next(
        (document[name] for name in ("Payload", "MessageBody", "Input") if isinstance(document.get(name), dict)),
        document,
    )
    ended = end["type"] if end else ""
    output = _details(end, "taskSucceededEventDetails").get("output") if end else None
    answer = _object(output, f"the answer that a task of {arn} got")
    return Callback(_state(event, events), event["id"], payload, None if ended else token, ended, answer)


def _scheduled(event: Mapping[str, Any], events: Mapping[int, Mapping[str, Any]]) -> int:
    """Return the number of the event by which the task of an event was scheduled; 0 for none."""
    return next((one["id"] for one in _before(event, events) if one["type"] == "TaskScheduled"), 0)


def _state(event: Mapping[str, Any], events: Mapping[int, Mapping[str, Any]]) -> str:
    entered = (_details(one, "stateEnteredEventDetails").get("name") for one in _before(event, events))
    return str(next((name for name in entered if name), ""))


def _before(event: Mapping[str, Any], events: Mapping[int, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield an event and those that led to it, the latest first."""
    here: Mapping[str, Any] | None = event
    while here is not None:
        yield here
        earlier = here.get("previousEventId") or 0
        here = events.get(earlier) if earlier < here["id"] else None


def _details(event: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    details = (event or {}).get(name)
    return details if isinstance(details, Mapping) else {}


def _object(text: Any, what: str) -> dict[str, Any]:
    """Return a JSON object; {} for a text that is none, or that the service left out."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return {}
    try:
        return dict(object_of(text.encode(), what, largest_bytes=LARGEST_DOCUMENT_BYTES))
    except Unreadable:
        return {}
