"""Executions in the sandbox: the original's orchestrator from its question on, and what a test asks of it."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import define, field

from drfsm.adapters.aws_session import Services
from drfsm.adapters.executions import Callback, Executions
from drfsm.cli.main import run as drfsm
from drfsm.sandbox.cloud import REGION, Cloud
from tests.command import Answer
from tests.promote.world import Ready

SOON_SECONDS = 120.0
CALLBACK = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
ASKS = "RequestManualApproval"

Typed = Callable[..., Answer]
whole_procedures = pytest.mark.skipif(
    not os.environ.get("DRFSM_EXECUTIONS"), reason="a whole procedure, driven by an execution: make test-executions"
)


def soon(words: str, holds: Callable[[], Any]) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + SOON_SECONDS
    while not (value := holds()):
        assert time.monotonic() < deadline, f"it took too long: {words}"
        time.sleep(0.05)
    return value


def orchestrator(queue_url: str, payload: Mapping[str, Any], **task: Any) -> dict[str, Any]:
    """Return the end of the original's orchestrator: it asks a person, then a step that only records."""
    body = {"task_token.$": "$$.Task.Token", "execution_id.$": "$$.Execution.Id", **payload}
    return {
        "StartAt": ASKS,
        "States": {
            ASKS: {
                "Type": "Task",
                "Resource": CALLBACK,
                "Parameters": {"QueueUrl": queue_url, "MessageBody": body},
                "ResultPath": "$.approval",
                "Next": "Promote",
                **task,
            },
            "Promote": {"Type": "Pass", "End": True},
        },
    }


@define
class Orchestra:
    """The state machines, executions and queues that a test makes in one account."""

    cloud: Cloud
    started: list[str] = field(factory=list)
    queue_url: str = field(init=False)
    executions: Executions = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the queue of questions."""
        self.queue_url = self.queue()
        self.executions = Executions(Services(self.cloud.endpoint, REGION))

    @property
    def sfn(self) -> Any:
        """A client of Step Functions."""
        return self.cloud.client("stepfunctions")

    @property
    def sqs(self) -> Any:
        """A client of SQS."""
        return self.cloud.client("sqs")

    def queue(self) -> str:
        """Return the URL of a new queue."""
        return str(self.sqs.create_queue(QueueName=f"q-{uuid4().hex[:8]}")["QueueUrl"])

    def start(self, definition: Mapping[str, Any], **given: Any) -> str:
        """Start an execution of a new state machine with this input; return its ARN."""
        role = f"arn:aws:iam::{self.cloud.account}:role/orchestrator"
        made = self.sfn.create_state_machine(
            name=f"machine-{uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=role
        )
        arn = self.sfn.start_execution(
            stateMachineArn=made["stateMachineArn"], name=f"e-{uuid4().hex[:8]}", input=json.dumps(given)
        )["executionArn"]
        self.started.append(arn)
        return str(arn)

    def asking(self, payload: Mapping[str, Any] | None = None, **task: Any) -> str:
        """Return the ARN of an execution of the original's orchestrator that waits for an approval."""
        arn = self.start(orchestrator(self.queue_url, payload or {}, **task), summary={})
        soon("it asks", lambda: self.tasks(arn))
        return arn

    def tasks(self, arn: str) -> tuple[Callback, ...]:
        """Return the tasks of an execution that waited or wait for an answer."""
        return self.executions.callbacks(arn)

    def token(self, arn: str) -> str:
        """Return the text of the token that an execution waits for."""
        (waiting,) = [task for task in self.tasks(arn) if not task.ended]
        assert waiting.token is not None
        return waiting.token.reveal()

    def status(self, arn: str) -> str:
        """Return an execution's status."""
        return self.executions.describe(arn).status

    def ended(self, arn: str) -> str:
        """Wait until an execution has ended; return its status."""
        soon("it ends", lambda: self.status(arn) != "RUNNING")
        return self.status(arn)

    def close(self) -> None:
        """Stop what still runs."""
        for arn in self.started:
            if self.status(arn) == "RUNNING":
                self.sfn.stop_execution(executionArn=arn)


def notices(orchestra: Orchestra) -> tuple[str, str]:
    """Return the ARN of a new topic, and the URL of a queue that gets what is published there."""
    sns, queue_url = orchestra.cloud.client("sns"), orchestra.queue()
    topic = sns.create_topic(Name=f"people-{queue_url[-8:]}")["TopicArn"]
    arn = orchestra.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, queue_url


def notice(orchestra: Orchestra, queue_url: str) -> tuple[str, str]:
    """Return the subject and the text of the one notice that was published."""
    answer = orchestra.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
    (message,) = answer["Messages"]
    body = json.loads(message["Body"])
    return body["Subject"], body["Message"]


def command_of(ready: Ready, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """Return what types a command in this process, as an operator on a machine with this home."""
    monkeypatch.setenv("DRFSM_HOME", str(home / "home"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", ready.site.sandbox.cloud.endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)

    def type_(*argv: object) -> Answer:
        capfd.readouterr()
        code = drfsm([str(word) for word in argv])
        return Answer(code, *capfd.readouterr())

    return type_
