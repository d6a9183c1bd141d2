"""The worker: takes rows of runs that executions of Step Functions drive, one row a task of its queue.

The journal is the truth, as ever: a task says where the execution believes a run to be, and the worker holds that
against the journal first. A run that went on meanwhile (a worker died before it answered, or answered too late) is
answered with where it stands, and nothing is done; a state that the journal contradicts is refused as
IllegalTransition. A run that is held is told as held, with why and what a person may fire: nothing is resumed without a
person's word, but a run whose worker was asked to stop. While a row is taken, heartbeats are sent. A message is deleted
before its row is taken: if the worker dies then, the heartbeats end, and the execution asks again, with a new token.

It works in one bucket and prefix, those of its command line. It may take every run that this machine began; of another
machine's run it needs what every command needs (trust.py), else the question says what is missing. One process works on
one run at a time, and keeps it open as long as its tasks come. Used by `drfsm worker`.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from attrs import evolve, frozen

from drfsm.adapters.aws_session import Services
from drfsm.adapters.executions import ARN, Executions, Token
from drfsm.adapters.file_journal import read_chain
from drfsm.adapters.notice_targets import Message, Target
from drfsm.adapters.queues import Message as Received
from drfsm.adapters.queues import Queue
from drfsm.claims import bounded
from drfsm.engine import Runner
from drfsm.errors import (
    DrfsmError,
    IllegalTransition,
    LeaseHeld,
    NotWaiting,
    Unreachable,
    Unreadable,
    UsageFault,
)
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.runs import mirrors, notices, trust, wiring
from drfsm.runs.deliveries import Deliveries
from drfsm.runs.invocation import Invocation
from drfsm.runs.rows import RESUME, came_from, fire, here, known, waits, was_stopped
from drfsm.runs.signals import stopping
from drfsm.runs.tasks import HELD, RUNNING, Position, Task, task_of

POLL_SECONDS = 20  # how long one request for work waits at the queue
HIDDEN_SECONDS = 60  # how long a message stays hidden from other workers while it is looked at
ASK_AGAIN_SECONDS = (0.1, 0.4, 1.0, 0.0)
SEND_TRIES, SEND_PAUSE_SECONDS = 5, 2.0


@frozen
class Place:
    """Where a worker works: one bucket and prefix."""

    bucket: str
    prefix: str


class Worker:
    """Serves one queue, in the main thread. ``tell``: prints a line for a person; never a token."""

    def __init__(
        self,
        services: Services,
        queue: Queue,
        place: Place,
        invocation: Invocation,
        *,
        tell: Callable[[str], None],
        beat_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._services, self._queue, self._place, self._invocation = services, queue, place, invocation
        self._executions = Executions(services)
        self._tell, self._beat_seconds, self._idle_seconds = tell, beat_seconds, idle_seconds
        self._stopped = False

    def serve(self) -> None:
        """Take tasks until a person stops this process, or none has come for ``idle_seconds`` (0: for ever)."""
        since = time.monotonic()
        task: Task | None = None
        with stopping(self, self._tell):
            while not self._stopped:
                task = task or self._next()
                if task is not None:
                    task, since = self._work(task), time.monotonic()
                elif self._idle_seconds and time.monotonic() - since >= self._idle_seconds:
                    return

    def interrupt(self) -> None:
        """Ask it to end; safe to call from a signal handler. A run that it works on is interrupted by itself."""
        self._stopped = True

    # --- the queue --------------------------------------------------------------------------------------

    def _next(self) -> Task | None:
        """Return the next task whose token is still waited for; None where none came in time."""
        wait = int(min(POLL_SECONDS, self._idle_seconds or POLL_SECONDS))
        try:
            messages = self._queue.receive(wait_seconds=wait, hidden_seconds=HIDDEN_SECONDS)
        except Unreachable as fault:
            self._tell(f"cannot ask for work: {fault.what}")
            time.sleep(SEND_PAUSE_SECONDS)
            return None
        return next(filter(None, map(self._taken, messages)), None)

    def _taken(self, message: Received) -> Task | None:
        """Return a message's task, and delete the message; None for one that is no task, or that came too late."""
        try:
            task = task_of(message)
        except Unreadable as fault:
            self._tell(f"left in the queue: {fault.what}")
            return None
        waited_for = self._is_waited_for(task.token)
        self._queue.delete(message)
        if not waited_for:
            self._tell(f"too late: nobody waits for {task.run_id} in {task.state} any more")
        return task if waited_for else None

    def _is_waited_for(self, token: Token) -> bool:
        """Whether an execution waits for a token. A message may be faster than its execution: a no is asked again."""
        for pause in ASK_AGAIN_SECONDS:
            try:
                self._executions.beat(token)
            except NotWaiting:
                time.sleep(pause)
            else:
                return True
        return False

    # --- a run ------------------------------------------------------------------------------------------

    def _work(self, task: Task) -> Task | None:
        """Do a task, and those of the same run that follow; return the first that is of another kind or run."""
        left: list[Task] = []
        operator = task.operator if task.trigger and task.operator else self._invocation.operator
        with Heart(self._executions, self._beat_seconds) as heart:

            def serve(runner: Runner) -> RunState:
                while self._answer(heart.task, self._advanced(runner, heart.task)) and not heart.task.trigger:
                    following = self._next()
                    if following is None:
                        break
                    if not following.is_plain or following.run_id != task.run_id:
                        left.append(following)
                        break
                    heart.task = following
                return runner.state

            heart.task = task
            try:
                self._open(task, evolve(self._invocation, operator=operator), serve)
            except DrfsmError as fault:
                self._tell(f"{task.run_id} in {heart.task.state}: {fault.what}")
                self._report(heart.task, fault)
        return left[0] if left else None

    def _open(self, task: Task, invocation: Invocation, serve: Callable[[Runner], RunState]) -> None:
        """Open a task's run, or begin it with its first task, and let ``serve`` take its rows."""
        if here(task.run_id) is None and task.inputs is not None:
            inputs = self._checked(task)
            if not mirrors.has_mirror(inputs, task.run_id):
                wiring.start(
                    task.machine, inputs, invocation, dry_run=False, receipt_dir=None, run_id=task.run_id, then=serve,
                    by_rows=True,
                )  # fmt: skip
                return
        uri = f"s3://{self._place.bucket}/{self._place.prefix}/drfsm/runs/{task.run_id}"
        wiring.resume(task.run_id if here(task.run_id) is not None else uri, serve, invocation)

    def _checked(self, task: Task) -> dict[str, Any]:
        """Return a new run's inputs, with the places of its sites as this worker knows them. Raises UsageFault."""
        text = shipped("machines") / f"{task.machine}.yaml"
        if not text.is_file() or trust.sha256_of(text.read_bytes()) != task.machine_sha256:
            raise UsageFault(
                f"the execution was exported from another declaration of {task.machine} than this drfsm ships",
                hint="export the machine again, and update the state machine",
            )
        inputs = dict(task.inputs or {})
        for name, ours in (("bucket", self._place.bucket), ("prefix", self._place.prefix)):
            if inputs.get(name) != ours:
                raise UsageFault(
                    f"the execution's {name} is {bounded(inputs.get(name), 200)}; this worker works in {ours}",
                    hint="start the execution with another input, or another worker",
                )
        if inputs.get("execution_id") == "" and ARN.fullmatch(task.execution_arn):
            inputs["execution_id"] = task.execution_arn
        places = trust.places_here(inputs, self._invocation.named_places, None)
        return {**inputs, **{name: place for name, place in places.items() if name in inputs}}

    def _report(self, task: Task, fault: DrfsmError) -> None:
        """Tell an execution what its task met: it contradicts the journal, nothing was begun, or a person must look."""
        nothing_begun = here(task.run_id) is None and not isinstance(fault, LeaseHeld | Unreachable)
        if nothing_begun or isinstance(fault, IllegalTransition):
            with suppress(DrfsmError):
                self._executions.fail(task.token, type(fault).__name__, "\n".join(fault.lines()))
            return
        reason = " ".join(line.strip() for line in fault.lines())
        self._answer(task, Position(task.state, HELD, reason, (RESUME,), **self._mirror()))

    def _mirror(self) -> dict[str, str]:
        return {"bucket": self._place.bucket, "prefix": self._place.prefix}

    # --- a row ------------------------------------------------------------------------------------------

    def _advanced(self, runner: Runner, task: Task) -> Position | None:
        """Take a task's row; return where the run stands; None where this process was asked to stop.

        Raises IllegalTransition for a task that the journal contradicts.
        """
        place = here(task.run_id)
        records = read_chain(place).records if place else ()
        if runner.state.machine_sha256 not in ("", task.machine_sha256):
            raise _contradicted(task, "the run follows another declaration")
        if runner.state.state != task.state:
            if came_from(records) != task.state:
                raise _contradicted(task, f"the run stands in {runner.state.state}")
            return Position(runner.state.state, RUNNING, **self._mirror())  # it went on before: an answer was lost
        refused = ""
        if not runner.state.ended and (task.trigger or not waits(records)):
            refused = fire(runner, task.trigger, task.args)
        state = runner.state
        if state.status == HELD and was_stopped(read_chain(known(task.run_id)).records):
            return None
        ways, reading = runner.next_actions(), state.facts.get("approval")
        digest = str(reading.seen["sha256"]) if "approve" in ways and reading is not None and reading.seen else ""
        return Position(state.state, state.status, refused or state.reason, ways, digest, **self._mirror())

    # --- answers ----------------------------------------------------------------------------------------

    def _answer(self, task: Task, position: Position | None) -> bool:
        """Tell an execution where its run stands; return whether to go on with the run here."""
        if position is None:
            self._tell(f"{task.run_id} is held in {task.state}, as this worker was asked to stop")
            return False
        for number in range(1, SEND_TRIES + 1):
            try:
                self._executions.succeed(task.token, position.json)
                break
            except NotWaiting:
                self._tell(f"{task.run_id}: the answer came too late; the execution asks again, and the journal knows")
                return False
            except Unreachable as fault:
                self._tell(f"{task.run_id}: cannot answer ({number} of {SEND_TRIES}): {fault.what}")
                time.sleep(SEND_PAUSE_SECONDS)
        else:
            return False  # the execution asks again, once its heartbeat is missed
        self._tell(f"{task.run_id}: {position.state}, {position.status}")
        if position.status == HELD:
            self._notify(task, position)
        return position.status == RUNNING and not self._stopped

    def _notify(self, task: Task, position: Position) -> None:
        """Notify people of a question, once the execution asks it. Waits for the targets, in a bound."""
        endpoint_url = str(self._invocation.places.get("endpoint_url") or "")
        deliveries = Deliveries(self._invocation.notify.targets, self._recorded, endpoint_url=endpoint_url)
        deliveries.send(
            notices.of_execution(
                machine=task.machine,
                run_id=task.run_id,
                state=position.state,
                reason=position.reason,
                triggers=position.ways,
                plan_sha256=position.plan_sha256,
                execution_arn=task.execution_arn,
            )
        )
        deliveries.flush(self._tell)

    def _recorded(self, message: Message, target: Target, why: str) -> None:
        if why:
            self._tell(f"NOT notified: {target.label}: {why} ({message.title})")


class Heart:
    """Sends heartbeats for the task at hand from a thread of its own. What the execution answers stops nothing."""

    task: Task

    def __init__(self, executions: Executions, every_seconds: float) -> None:
        self._executions, self._every, self._ended = executions, every_seconds, threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            with suppress(DrfsmError):
                self._executions.beat(self.task.token)

    def __enter__(self) -> Self:
        """Begin to beat."""
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()


def _contradicted(task: Task, why: str) -> IllegalTransition:
    return IllegalTransition(
        machine=task.machine, state=task.state, trigger=task.trigger or "the next row", legal=("resume",), reason=why
    )
