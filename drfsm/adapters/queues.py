"""Queues of AWS SQS, from which work and questions are taken, and topics of SNS, by which people are told.

A message is a claim of whoever may send to the queue. It is read strictly by whoever takes it; what can't be read stays
in the queue until it is moved to the dead letters. A task token in a body is taken out of it at once (executions.py).
Needs sqs:ReceiveMessage, DeleteMessage, ChangeMessageVisibility; sns:Publish. Used by the worker, and by the commands
that answer an execution.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from drfsm.adapters.aws_session import Services, call, checked_endpoint
from drfsm.adapters.executions import LARGEST_DOCUMENT_BYTES, Token, without_token
from drfsm.claims import bounded, object_of
from drfsm.errors import Unreadable, UsageFault

LONGEST_WAIT_SECONDS = 20  # of one request, by SQS's limits
MOST_MESSAGES = 10  # likewise
LONGEST_SUBJECT = 100  # characters, by SNS's limits
TOPIC = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]{1,60}):\d{12}:[A-Za-z0-9_-]{1,256}")


@frozen
class Message:
    """One message: its JSON object without the task token, and that token. ``receipt`` is SQS's handle of it."""

    id: str
    receipt: str = field(repr=False)
    body: Mapping[str, Any]
    token: Token | None = field(default=None, repr=False)


class Queue:
    """One queue, by its URL. Raises UsageFault for what is no URL."""

    def __init__(self, services: Services, url: str) -> None:
        self._services, self.url = services, checked_endpoint(url, "the queue's URL")

    @property
    def _sqs(self) -> Any:
        return self._services.client("sqs")

    def receive(self, *, wait_seconds: int, hidden_seconds: int, most: int = 1) -> list[Message]:
        """Return messages that can be read, hidden from others for a while; [] if none comes in time."""
        answer = call(
            f"taking messages from {self.url}",
            lambda: self._sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, MOST_MESSAGES),
                WaitTimeSeconds=min(wait_seconds, LONGEST_WAIT_SECONDS),
                VisibilityTimeout=hidden_seconds,
            ),
            awaited=True,
        )
        messages = []
        for raw in answer.get("Messages") or ():
            with suppress(Unreadable):
                document = object_of(raw["Body"], "a message of the queue", largest_bytes=LARGEST_DOCUMENT_BYTES)
                body, token = without_token(document)
                messages.append(Message(raw["MessageId"], raw["ReceiptHandle"], body, token))
        return messages

    def delete(self, message: Message) -> None:
        """Take a message out of the queue for good."""
        call(
            f"deleting a message of {self.url}",
            lambda: self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt),
        )

    def give_back(self, message: Message) -> None:
        """Let others see a message again at once."""
        call(
            f"giving a message back to {self.url}",
            lambda: self._sqs.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message.receipt, VisibilityTimeout=0
            ),
        )


def publish(services: Services, topic_arn: str, subject: str, text: str) -> None:
    """Tell the subscribers of a topic. Raises UsageFault for what is no ARN of a topic."""
    if not TOPIC.fullmatch(topic_arn):
        raise UsageFault(f"{bounded(topic_arn, 300)} is no ARN of an SNS topic", hint="arn:aws:sns:REGION:ACCOUNT:NAME")
    call(
        f"publishing to {topic_arn}",
        lambda: services.client("sns").publish(
            TopicArn=topic_arn, Subject=bounded(subject, LONGEST_SUBJECT - 30)[:LONGEST_SUBJECT], Message=text
        ),
    )
