"""A task of an exported machine's execution, as a worker reads it from its queue; and what the worker answers.

A message is a claim of whoever may start executions, or send to the queue. It says which run to take a row of, and
where the execution believes that run to be; it names no file and no address. Everything else is the worker's own, the
journal's, or is held against them. Used by worker.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drfsm.adapters.executions import Token
from drfsm.adapters.queues import Message
from drfsm.claims import bounded, is_name
from drfsm.errors import Unreadable
from drfsm.spec.asl import ROW

LONGEST_OPERATOR = 200  # characters
RUNNING, HELD = "running", "held"


@frozen
class Task:
    """One row to be taken. ``trigger``: "" for the runner's next one, else what a person chose, with its arguments."""

    machine: str
    machine_sha256: str
    run_id: str
    state: str
    execution_arn: str
    token: Token = field(repr=False)
    inputs: Mapping[str, Any] | None = None  # of the first task of a run
    trigger: str = ""
    operator: str = ""
    args: Mapping[str, Any] = field(factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the runner's next row of a run that was begun."""
        return not self.trigger and self.inputs is None


@frozen
class Position:
    """Where a run stands, as the execution is told: its state, whether it is held there, what a person may do."""

    state: str
    status: str
    reason: str = ""
    ways: Sequence[str] = ()
    plan_sha256: str = ""
    bucket: str = ""
    prefix: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """What is sent: every field, so that a state machine may refer to each."""
        return {
            "state": self.state,
            "status": self.status,
            "reason": bounded(self.reason, 2000),
            "ways": list(self.ways),
            "plan_sha256": self.plan_sha256,
            "bucket": self.bucket,
            "prefix": self.prefix,
        }


def task_of(message: Message) -> Task:
    """Return a message's task. Raises Unreadable for anything else."""
    body, token = message.body, message.token
    if body.get("kind") != ROW or token is None:
        raise Unreadable("a message of the queue is no task of an exported machine")
    names = {
        "machine": "machine", "machine_sha256": "sha256", "drfsm_run": "drfsm run", "state": "state",
    }  # fmt: skip
    for name, kind in names.items():
        if not is_name(kind, body.get(name)):
            raise Unreadable(f"a task's {name} is none: {bounded(body.get(name), 100)}")
    trigger, operator = body.get("trigger", ""), body.get("operator", "")
    if trigger and not is_name("state", trigger):
        raise Unreadable(f"a task's trigger is none: {bounded(trigger, 100)}")
    if not isinstance(operator, str) or len(operator) > LONGEST_OPERATOR or not operator.isprintable():
        raise Unreadable("a task's operator is no name")
    inputs, args, execution = body.get("inputs"), body.get("args", {}), body.get("execution_id")
    if not isinstance(args, dict) or not (inputs is None or isinstance(inputs, dict)) or not isinstance(execution, str):
        raise Unreadable("a task's inputs, arguments or execution are not as they should be")
    return Task(
        body["machine"], body["machine_sha256"], body["drfsm_run"], body["state"], execution, token,
        inputs, trigger, operator, args,
    )  # fmt: skip
