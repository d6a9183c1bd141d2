"""A machine as Amazon States Language: an execution that holds where a run stands, over callbacks through SQS.

The execution knows the states and which rows lead on; everything else stays where it is: a worker takes one row a task,
with the engine, the journal, the guards and the lease as ever. So an execution can't move a run past its guards, and it
can be stopped, repeated or lied to without harm: the next honest worker holds it against the journal. Per state X:

    X                a task for the work queue: take one row from X. Guards, attempts and waits are the worker's;
                     it sends heartbeats meanwhile
    X: where         whither the row led: only where a row of X leads; anything else fails as IllegalTransition
    X: held          a task for the questions queue: why the run is held, and the triggers that a person may fire
    X: decided       what the person chose: only a trigger of X, or resume
    X: asked         a task for the work queue: fire that
    X: answered      as ``X: where``, for that row
    X: worker lost   no heartbeat came: wait, then ask again, with a new token

No task is retried by ``Retry``: the second attempt would get the first one's token. Pure; used by
`drfsm machine export`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from drfsm.spec.model import By, MachineSpec

CALLBACK = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
ILLEGAL = "IllegalTransition"
ROW, QUESTION = "row", "question"
HEARTBEAT_SECONDS, LOST_SECONDS = 120, 30
TASK_SECONDS = 30 * 86400  # a row with its waits and attempts; its heartbeats say earlier that nobody works on it
LONGEST_NAME = 80  # characters, by the language's limits
_LOST = ["States.HeartbeatTimeout", "States.Timeout"]

Json = dict[str, Any]


def asl(
    spec: MachineSpec,
    *,
    work_queue: str,
    questions_queue: str,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
    lost_seconds: int = LOST_SECONDS,
) -> Json:
    """Return the state machine. The queues are URLs, or what a template puts in their place.

    An execution's input is ``{"drfsm_run": "<run id>", "inputs": {...}}``, as `--as-execution-input` prints it.
    Raises ValueError for a heartbeat that is no shorter than a task may last, and for a name that is too long.
    """
    if not 0 < heartbeat_seconds < TASK_SECONDS:
        raise ValueError(f"a heartbeat of {heartbeat_seconds} s is no part of a task of {TASK_SECONDS} s")
    states: Json = {}
    for state in spec.states:
        if state in spec.finals:
            states[state] = _end(spec, state)
            continue
        task = _task(work_queue, _row(spec, state, first=state == spec.initial), state, heartbeat_seconds)
        states[state] = {"Comment": _because(spec, state), **task, "ResultPath": "$.at", "Next": f"{state}: where"}
        states[f"{state}: where"] = _where(spec, state, (By.RUNNER, By.FAILURE))
        states[f"{state}: held"] = _question(spec, state, questions_queue)
        states[f"{state}: decided"] = _decided(spec, state)
        asked = _task(work_queue, {**_row(spec, state), **_decision()}, state, heartbeat_seconds)
        states[f"{state}: asked"] = {**asked, "ResultPath": "$.at", "Next": f"{state}: answered"}
        states[f"{state}: answered"] = _where(spec, state, tuple(By))
        states[f"{state}: worker lost"] = {"Type": "Wait", "Seconds": lost_seconds, "Next": state}
    states[ILLEGAL] = {
        "Type": "Fail",
        "Error": ILLEGAL,
        "Cause": "An answer named a state or a trigger that no row of the machine has there; the journal is the truth",
    }
    if too_long := [name for name in states if len(name) > LONGEST_NAME]:
        raise ValueError(f"names of more than {LONGEST_NAME} characters: {', '.join(too_long)}")
    return {
        "Comment": f"drfsm {spec.name}, declaration {spec.sha256}: {spec.reason}",
        "StartAt": spec.initial,
        "States": states,
    }


def _because(spec: MachineSpec, state: str) -> str:
    """Return why the first row that the runner takes from a state is taken."""
    return next((row.reason for row in spec.rows if row.source == state and row.by is By.RUNNER), "A person decides")


def _body(spec: MachineSpec, state: str, kind: str) -> Json:
    """Return what every message says: which machine, run and execution, where it stands, and the token."""
    return {
        "kind": kind,
        "machine": spec.name,
        "machine_sha256": spec.sha256,
        "state": state,
        "drfsm_run.$": "$.drfsm_run",
        "execution_id.$": "$$.Execution.Id",
        "task_token.$": "$$.Task.Token",
    }


def _row(spec: MachineSpec, state: str, *, first: bool = False) -> Json:
    return {**_body(spec, state, ROW), **({"inputs.$": "$.inputs"} if first else {})}


def _decision() -> Json:
    return {name: f"$.answer.{name.removesuffix('.$')}" for name in ("trigger.$", "operator.$", "args.$")}


def _task(queue: str, body: Mapping[str, Any], state: str, heartbeat_seconds: int) -> Json:
    return {
        "Type": "Task",
        "Resource": CALLBACK,
        "Parameters": {"QueueUrl": queue, "MessageBody": dict(body)},
        "HeartbeatSeconds": heartbeat_seconds,
        "TimeoutSeconds": TASK_SECONDS,
        "Catch": [{"ErrorEquals": _LOST, "ResultPath": "$.lost", "Next": f"{state}: worker lost"}],
    }


def _question(spec: MachineSpec, state: str, queue: str) -> Json:
    told = {f"{name}.$": f"$.at.{name}" for name in ("reason", "ways", "plan_sha256", "bucket", "prefix")}
    return {
        "Type": "Task",
        "Resource": CALLBACK,
        "Parameters": {"QueueUrl": queue, "MessageBody": {**_body(spec, state, QUESTION), **told}},
        "ResultPath": "$.answer",
        "Next": f"{state}: decided",
    }


def _where(spec: MachineSpec, state: str, by: tuple[By, ...]) -> Json:
    """Return the choice among the states to which a row of ``state`` leads; held is where it stands."""
    targets = dict.fromkeys(row.to for row in spec.rows if row.source == state and row.by in by)
    held = _all_are({"$.at.status": "held", "$.at.state": state})
    return _choice([
        {**held, "Next": f"{state}: held"},
        *({"Variable": "$.at.state", "StringEquals": target, "Next": target} for target in targets),
    ])  # fmt: skip


def _decided(spec: MachineSpec, state: str) -> Json:
    rows = (row for row in spec.rows if row.source == state and row.by is By.OPERATOR)
    triggers = dict.fromkeys(["resume", *(row.trigger for row in rows)])
    return _choice(
        {"Variable": "$.answer.trigger", "StringEquals": trigger, "Next": f"{state}: asked"} for trigger in triggers
    )


def _choice(rules: Iterable[Json]) -> Json:
    return {"Type": "Choice", "Choices": list(rules), "Default": ILLEGAL}


def _all_are(values: Mapping[str, str]) -> Json:
    return {"And": [{"Variable": variable, "StringEquals": value} for variable, value in values.items()]}


def _end(spec: MachineSpec, state: str) -> Json:
    status = spec.finals[state]
    if status == "complete":
        return {"Type": "Succeed"}
    return {"Type": "Fail", "Error": status.capitalize(), "Cause": f"The run ended as {status}, in {state}"}
