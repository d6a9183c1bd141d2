"""The execution of an orchestrator that a promote waits in: what it asks, whether it is this run's, how it is answered.

Two kinds of executions wait for a person. One is the original's orchestrator: its own tasks brought a site up, restored
and validated it, and now it asks whether to promote; the promote is a run of drfsm's, begun with this execution's id.
There the journal comes first: the approval is a row of the run, and the execution is told what was recorded. The other
is a machine that drfsm exported (spec/asl.py): a worker drives the run, and the answer itself is what the worker will
fire; the guards of the row judge it there.

The task's token is taken from the execution's history; else from the receipt that the orchestrator left for that phase;
else from a queue. What the three say is a claim: a bucket is read only if the run works in it or the operator names it.
Used by the commands that answer, and by `promote`.
"""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from drfsm.adapters.executions import (
    LARGEST_DOCUMENT_BYTES,
    RUNNING,
    Callback,
    Execution,
    Executions,
    Token,
    parts_of,
    without_token,
)
from drfsm.claims import bounded, is_name, object_of
from drfsm.errors import ActionFailed, NotWaiting, UsageFault
from drfsm.journal import RunState

if TYPE_CHECKING:
    from drfsm.adapters.queues import Message, Queue
    from drfsm.world import ObjectStore

QUESTION, ROW = "question", "row"
"""What a task of an exported machine is, by the field ``kind`` of its payload."""
PHASE = "request_manual_approval"
REJECTED = "ManualApprovalRejected"
MOVED_ON_SECONDS = 60.0  # how long an execution is waited for after it was answered
POLL_SECONDS = 0.5
HIDDEN_SECONDS = 30  # how long a queue's other messages stay hidden while one is looked for
MOST_SEEN = 50  # messages of a queue that are looked at


@frozen
class Asked:
    """An execution with the task by which it asks. ``found_in``: where its token was found, in words."""

    execution: Execution
    callback: Callback
    found_in: str

    @property
    def is_exported(self) -> bool:
        """Whether the execution is of a machine that drfsm exported."""
        return self.callback.payload.get("kind") == QUESTION

    @property
    def token(self) -> Token:
        """The token of the task. Raises NotWaiting where it has none, as the task has ended."""
        if self.callback.token is None:
            raise NotWaiting(f"{self.callback.state} of {self.execution.name} waits for no answer")
        return self.callback.token

    def named(self, name: str) -> Iterator[Any]:
        """Yield what the task's payload, its summary, and the execution's input say under a name."""
        payload = self.callback.payload
        for document in (payload, payload.get("summary"), self.execution.input):
            if isinstance(document, Mapping) and document.get(name) not in (None, ""):
                yield document[name]


def asked(
    executions: Executions,
    arn: str,
    *,
    state: str = "",
    store: "ObjectStore | None" = None,
    receipts: str = "",
    queue: "Queue | None" = None,
) -> Asked:
    """Return what an execution asks a person, with its token.

    ``state``: the name of the asking state, where several ask. ``receipts``: the key below which the orchestrator's
    receipts lie in ``store``. Raises NotWaiting where nothing is asked, UsageFault where several states ask.
    """
    execution = executions.describe(arn)
    if execution.status != RUNNING:
        raise NotWaiting(
            f"the execution {execution.name} waits for nobody: it is {bounded(execution.status, 40)}",
            hint="start another execution; what the journal has stays as it is: drfsm status",
        )
    waiting = [
        callback
        for callback in executions.callbacks(arn)
        if not callback.ended and callback.payload.get("kind") != ROW and state in ("", callback.state)
    ]
    if not waiting:
        raise NotWaiting(
            f"the execution {execution.name} asks nobody anything"
            f"{f' in {bounded(state, 80)}' if state else ''}: it has not come to that, or it was answered",
            hint="look at its history; nothing was sent",
        )
    if len(waiting) > 1:
        raise UsageFault(
            f"several states of {execution.name} ask: {', '.join(bounded(one.state, 80) for one in waiting)}",
            hint="name one: --state STATE",
        )
    return _with_token(execution, waiting[0], store, receipts, queue)


def _with_token(
    execution: Execution, callback: Callback, store: "ObjectStore | None", receipts: str, queue: "Queue | None"
) -> Asked:
    if callback.token is not None:
        return Asked(execution, callback, "the execution's history")
    if store is not None and receipts:
        key = f"{receipts.strip('/')}/{execution.name}/{PHASE}.json"
        blob = store.get(key, largest_bytes=LARGEST_DOCUMENT_BYTES)
        if blob is not None:
            body, token = without_token(object_of(blob.body, f"s3://{store.bucket}/{key}"))
            if token is not None and _is_of(execution, body):
                payload = {**body, **callback.payload}
                return Asked(execution, evolve(callback, payload=payload, token=token), f"s3://{store.bucket}/{key}")
    if queue is not None and (message := _in_queue(execution, queue)) is not None:
        return Asked(execution, evolve(callback, payload=message.body, token=message.token), queue.url)
    raise NotWaiting(
        f"the execution {execution.name} asks in {bounded(callback.state, 80)}, and its token is nowhere that was"
        " looked at: its history does not say it",
        hint="name where the orchestrator keeps it: --receipts s3://BUCKET/PREFIX, or --queue URL",
    )


def _in_queue(execution: Execution, queue: "Queue") -> "Message | None":
    """Return the message by which an execution asks; every other one is given back."""
    seen: dict[str, Message] = {}
    while len(seen) < MOST_SEEN:
        messages = queue.receive(wait_seconds=1, hidden_seconds=HIDDEN_SECONDS, most=10)
        fresh = {message.id: message for message in messages if message.id not in seen}
        seen |= fresh
        if not fresh or any(_is_of(execution, message.body) for message in fresh.values()):
            break
    for message in seen.values():
        queue.give_back(message)
    ours = [message for message in seen.values() if message.token and _is_of(execution, message.body)]
    return ours[-1] if ours else None


def _is_of(execution: Execution, document: Mapping[str, Any]) -> bool:
    return document.get("execution_id") in (execution.arn, execution.name)


# --- whether it is this run's ------------------------------------------------------------------------------


def check_place(question: Asked, account: str, region: str) -> None:
    """Raise ActionFailed for an execution of another account or region, or that says it is of another one."""
    execution = question.execution
    for what, theirs, ours in (
        ("account", execution.account, account),
        ("region", execution.region, region),
        *(("account", said, account) for said in question.named("expected_account_id")),
        *(("region", said, region) for said in question.named("region")),
    ):
        if str(theirs) != ours:
            raise ActionFailed(
                f"the execution {execution.name} is of the {what} {bounded(theirs, 100)}, and this command works in"
                f" {ours}; nothing was sent",
                hint=f"use credentials and a --region of that {what}, or name another execution",
                fault="operator",
            )
    machine = parts_of(execution.state_machine_arn.partition(":express:")[0])["machine"]
    if machine != parts_of(execution.arn)["machine"]:
        raise ActionFailed(
            f"the service says that {execution.name} is of the state machine {machine}; nothing was sent"
        )
    for said in question.named("execution_id"):
        if said not in (execution.arn, execution.name):
            raise ActionFailed(
                f"the task that waits in {execution.name} says that it is of the execution {bounded(said, 200)};"
                " nothing was sent",
                hint="find out who started that execution, and with which input",
            )


def check_run(question: Asked, state: RunState, plan_sha256: str) -> None:
    """Raise ActionFailed unless the execution is this run's, and asks for this plan where it names one."""
    execution, recorded = question.execution, str(state.inputs.get("execution_id") or "")
    runs, plans = list(question.named("drfsm_run")), list(question.named("plan_sha256"))
    for what, named, ours in (("run", runs, state.run_id), ("plan", plans, plan_sha256)):
        if other := next((said for said in named if said != ours), None):
            raise ActionFailed(
                f"the execution {execution.name} asks for the {what} {bounded(other, 100)}, not for {ours};"
                " nothing was sent",
                hint="name the execution of this run; `drfsm status` shows it" if what == "run" else "look at the plan",
                fault="operator",
            )
    if recorded and recorded not in (execution.arn, execution.name):
        raise ActionFailed(
            f"{state.run_id} was begun for the execution {bounded(recorded, 200)}, not for {execution.arn};"
            " nothing was sent",
            hint=f"--execution-arn {bounded(recorded, 200)}",
            fault="operator",
        )
    if not recorded and not (runs and plans):
        raise ActionFailed(
            f"nothing says that the execution {execution.name} is of {state.run_id}: the run was begun for none, and"
            " the execution names no run and no plan; nothing was sent",
            hint="begin the promote with --execution-arn; or start the execution with drfsm_run and plan_sha256",
            fault="operator",
        )


# --- what is sent ------------------------------------------------------------------------------------------


def approval_of(args: Mapping[str, Any], at: str, run_id: str) -> dict[str, Any]:
    """Return what an orchestrator is told of an approval that the journal has. ``args``: those of its record."""
    return {
        "approved": True,
        "approver": args["approved_by"],
        "ticket": args["ticket"],
        "approved_at": at,
        "plan_sha256": args["approved_plan"],
        "drfsm_run": run_id,
    }


def moved_on(executions: Executions, question: Asked, *, seconds: float = MOVED_ON_SECONDS) -> str:
    """Wait until an execution that was answered has moved on; return how the task ended, in words.

    Raises NotWaiting where it has not after that time.
    """
    arn, deadline = question.execution.arn, time.monotonic() + seconds
    while True:
        task = next((one for one in executions.callbacks(arn) if one.event_id == question.callback.event_id), None)
        if task is not None and task.ended:
            return f"{task.state} ended with {task.ended}; the execution is {executions.describe(arn).status}"
        if time.monotonic() >= deadline:
            raise NotWaiting(
                f"{question.execution.name} was answered, and {question.callback.state} still waits after"
                f" {seconds:.0f} s: the token was of another task",
                hint="look at the execution; the answer is not sent again",
            )
        time.sleep(POLL_SECONDS)


def answered(executions: Executions, arn: str, run_id: str) -> Callback | None:
    """Return the task of an execution that was answered with this run's approval; None if none was."""
    ended = (task for task in executions.callbacks(arn) if task.ended and task.answer.get("drfsm_run") == run_id)
    return next(ended, None)


def run_of(question: Asked) -> str:
    """Return the run that an exported machine's execution names. Raises NotWaiting for what is no run's name."""
    run_id = question.callback.payload.get("drfsm_run")
    if not is_name("drfsm run", run_id):
        raise NotWaiting(f"{question.execution.name} names no run: {bounded(run_id, 100)}")
    return str(run_id)
