"""What lies in a queue is a claim: a task of it names a run and a state, and nothing that could be opened or run."""

from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.adapters.executions import Token
from drfsm.adapters.queues import Message
from drfsm.errors import Unreadable
from drfsm.runs.tasks import Position, task_of

TASK: Mapping[str, Any] = {
    "kind": "row", "machine": "promote", "machine_sha256": "0" * 64, "state": "start", "drfsm_run": "promote-1",
    "execution_id": "arn:aws:states:us-east-1:123456789012:execution:m:e",
}  # fmt: skip
GARBAGE: dict[str, dict[str, Any]] = {
    "another kind of message": {"kind": "question"},
    "a machine that is a path": {"machine": "../../etc/passwd"},
    "a digest that is none": {"machine_sha256": "abc"},
    "a run that is a path": {"drfsm_run": "../../home"},
    "a run that is a number": {"drfsm_run": 7},
    "a state with a command in it": {"state": "start; rm -rf /"},
    "a trigger that is a list": {"trigger": ["approve"]},
    "an operator who moves the cursor": {"operator": "\x1b[2J"},
    "an operator without an end": {"operator": "x" * 10_000},
    "arguments that are a text": {"args": "reason=none"},
    "inputs that are a list": {"inputs": []},
    "no execution": {"execution_id": None},
}


def message(**changed: Any) -> Message:
    """Return a task's message with these fields in the place of its own."""
    return Message("1", "receipt", {**TASK, **changed}, Token("a-token"))


@pytest.mark.parametrize("case", list(GARBAGE))
def test_a_message_that_is_no_task_is_unreadable(case: str) -> None:
    """Nothing of it becomes a name, a path or a trigger."""
    with pytest.raises(Unreadable):
        task_of(message(**GARBAGE[case]))


def test_a_task_without_a_token_is_unreadable() -> None:
    """Nobody could be answered."""
    with pytest.raises(Unreadable):
        task_of(Message("1", "receipt", dict(TASK)))


def test_a_task_says_which_row_and_shows_no_token() -> None:
    """The first carries inputs, a decision a trigger with its arguments; neither is plain."""
    plain = task_of(message())
    assert (plain.run_id, plain.state, plain.is_plain) == ("promote-1", "start", True)
    decided = task_of(message(trigger="approve", operator="bea", args={"ticket": "CHG-1"}))
    assert (decided.trigger, decided.operator, decided.is_plain) == ("approve", "bea", False)
    assert not task_of(message(inputs={})).is_plain
    assert "a-token" not in f"{plain} {decided!r} {message()!r}"


def test_a_position_says_every_field_and_cuts_a_long_reason() -> None:
    """A state machine refers to each; a message has 256 KB at most."""
    told = Position("start", "held", "x" * 100_000).json
    assert set(told) == {"state", "status", "reason", "ways", "plan_sha256", "bucket", "prefix"}
    assert len(told["reason"]) < 3000
