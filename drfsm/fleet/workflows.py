"""What Temporal executes: a run, and a fleet of runs in waves. Imports nothing of drfsm, and decides nothing of a run.

A run's workflow holds its position and what people ask of it, no more. It asks a worker for one row at a time, and the
worker answers where the run stands by its journal. So this file may change between two versions without stranding a
run: what it forgets, the journal knows. Only what it *orders* (rows, timers, the wait for a person) is in Temporal's
history, and must stay in that order for runs that are on their way: ``workflow.patched`` marks what is new.

    task        {run_id, pair, procedure, machine_sha256, entry_sha256, given, started_by, position, trigger, args,
                 operator, take_over}
    position    {state, status, reason, ways, plan_sha256, moves, records, head, due_seconds, home, began, requests}

``home`` is the queue that only the worker with the open run serves: the run's next row goes there first. A worker that
dies is noticed by its heartbeats; the row then goes to the shared queue, with the same position, and the journal tells
whoever takes it what was done. Nothing is retried by Temporal itself.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

RUN, FLEET, ROW = "drfsm-run", "drfsm-fleet", "drfsm-row"
HOLD, RESUME, TAKE_OVER, ABORT = "hold", "resume", "take_over", "abort"
HELD, REFUSED = "held", "refused"
ILLEGAL, LEASE_HELD, NOTHING_BEGUN = "IllegalTransition", "LeaseHeld", "NothingBegun"
PATIENCE = 6  # how often a row is tried whose run another process has: that one learns of it, and leaves
UNREACHABLE_PATIENCE = 10  # how often one is tried that reaches nothing
LONGEST_HISTORY = 5000  # events; then the workflow goes on as a new one, with the same position
LOST_SECONDS, LONGEST_LOST_SECONDS = 1.0, 30.0  # between two workers that were lost

Data = dict[str, Any]


class Asked:
    """What a person asked for, until it is answered."""

    def __init__(self, trigger: str, operator: str, args: Data) -> None:
        self.trigger, self.operator, self.args = trigger, operator, args
        self.answer: Data | None = None


@workflow.defn(name=RUN)
class DrfsmRun:
    """One run. Updates: ``fire`` (a person's trigger, ``hold``, ``resume``, ``take_over``). Query: ``position``."""

    @workflow.init
    def __init__(self, start: Data) -> None:
        self._start = start
        self._position: Data = start.get("position") or {}
        self._asked: list[Asked] = []
        self._row: asyncio.Task[Any] | None = None

    @workflow.run
    async def run(self, start: Data) -> Data:
        """Drive a run to its end. ``start``: a task without a position; returns the last position."""
        lost = 0
        while not self._position.get("ended"):
            asked = await self._next()
            answer = await self._taken(asked, lost)
            lost = lost + 1 if answer is None else 0
            if answer is not None:
                self._position = answer
                if asked is not None:
                    asked.answer = answer
            elif asked is not None:
                self._asked.insert(0, asked)
            longest = int(start.get("longest_history") or LONGEST_HISTORY)
            if workflow.info().get_current_history_length() > longest and not self._asked:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new({**start, "position": self._position})
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._position

    async def _next(self) -> Asked | None:
        """Wait until a row is due; return what a person asked for, None for the runner's next row."""
        if self._position.get("status") == HELD:
            await workflow.wait_condition(lambda: bool(self._asked))
        elif due := float(self._position.get("due_seconds") or 0):
            await self._pause(due)
        return self._asked.pop(0) if self._asked else None

    async def _taken(self, asked: Asked | None, lost: int) -> Data | None:
        """Have a row taken; return where the run stands then, None where the worker was lost, or is ending."""
        if lost:
            await workflow.sleep(min(LOST_SECONDS * 2 ** min(lost - 1, 6), LONGEST_LOST_SECONDS))
        home = "" if lost else str(self._position.get("home") or "")
        task = {**self._start, "position": self._position}
        if asked is not None:
            task |= {"trigger": asked.trigger, "operator": asked.operator, "args": asked.args}
        self._row = workflow.start_activity(
            ROW,
            task,
            task_queue=home or None,
            # Nobody else serves a worker's own queue: a worker that is gone is not waited for.
            schedule_to_start_timeout=timedelta(seconds=float(self._start["home_seconds"])) if home else None,
            start_to_close_timeout=timedelta(days=7),
            heartbeat_timeout=timedelta(seconds=float(self._start["heartbeat_seconds"])),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            return dict(await self._row)
        except ActivityError as fault:
            cause = fault.cause
            if isinstance(cause, ApplicationError):
                patience = (
                    int(self._start.get("patience") or PATIENCE) if cause.type == LEASE_HELD else UNREACHABLE_PATIENCE
                )
                if cause.non_retryable or lost >= patience:
                    return self._stopped(cause)
            workflow.logger.info("the row's worker is gone: %s", type(cause).__name__)
            return None
        finally:
            self._row = None

    def _stopped(self, cause: ApplicationError) -> Data:
        """Return the position of a run that no worker can go on with: it waits for a person, with the reason."""
        kept = {name: value for name, value in self._position.items() if name not in ("home", "due_seconds")}
        ways = [RESUME, *([TAKE_OVER] if cause.type == LEASE_HELD else [])]
        over = cause.type == NOTHING_BEGUN
        return {"state": "", "moves": 0, "records": 0, "began": False, **kept, "status": REFUSED if over else HELD,
                "reason": cause.message, "ways": [] if over else ways, "ended": over}  # fmt: skip

    async def _pause(self, seconds: float) -> None:
        try:
            await workflow.wait_condition(lambda: bool(self._asked), timeout=timedelta(seconds=seconds))
        except TimeoutError:
            return

    # --- what people ask --------------------------------------------------------------------------------

    @workflow.query
    def position(self) -> Data:
        """Where the run stands, as the workflow was told last; whether a row is being taken now."""
        return {**self._position, "run_id": self._start["run_id"], "pair": self._start["pair"],
                "at_work": self._row is not None}  # fmt: skip

    @workflow.update
    async def fire(self, asked: Data) -> Data:
        """Fire a person's trigger, {trigger, operator, args}; return where the run stands then."""
        request = Asked(str(asked["trigger"]), str(asked["operator"]), dict(asked.get("args") or {}))
        self._asked.append(request)
        if self._row is not None:
            self._row.cancel()  # the run stops at its next clean point; then what was asked is done
        await workflow.wait_condition(lambda: request.answer is not None)
        return request.answer or {}

    @fire.validator
    def _refuse(self, asked: Data) -> None:
        """Refuse what is illegal where the run stands: nothing is recorded then, and nothing moves."""
        trigger, ways = str(asked.get("trigger") or ""), list(self._position.get("ways") or ())
        if not trigger or not str(asked.get("operator") or ""):
            raise ApplicationError("a trigger and an operator's name are needed", type=ILLEGAL, non_retryable=True)
        state, held = self._position.get("state") or "(not begun)", self._position.get("status") == HELD
        if self._position.get("ended"):
            raise ApplicationError(f"the run has ended: {self._position.get('status')}", type=ILLEGAL)
        if any(other.answer is None for other in self._asked):
            raise ApplicationError("another request is on its way; wait for its answer", type=ILLEGAL)
        if trigger == HOLD and not held:
            return
        if trigger == HOLD or trigger not in ways or (trigger == RESUME and not held):
            legal = ", ".join(ways) or HOLD
            raise ApplicationError(f"{trigger} is not legal in {state}; legal here: {legal}", type=ILLEGAL)


@workflow.defn(name=FLEET)
class DrfsmFleet:
    """Runs of many pairs, in waves. Updates: ``approve`` (the next wave), ``stop``. Query: ``standing``."""

    @workflow.init
    def __init__(self, start: Data) -> None:
        self._ends: dict[str, str] = dict(start.get("ends") or {})  # pair -> how its run ended
        self._runs: dict[str, str] = dict(start.get("runs") or {})  # pair -> its run's id
        self._wave, self._approved, self._stopped = 0, int(start.get("approved") or 0), ""
        self._waits, self._approvers = False, list(start.get("approvers") or ())

    @workflow.run
    async def run(self, start: Data) -> Data:
        """Start the runs of ``start["waves"]``, [[task, ...], ...], a wave after the other; return how all ended."""
        slots = asyncio.Semaphore(int(start["at_once"]))
        for number, wave in enumerate(start["waves"], 1):
            self._wave = number
            await self._may_begin(number, str(start["approval"]))
            await asyncio.gather(*(self._one(task, slots, int(start["stop_after"])) for task in wave))
            if self._stopped:
                break
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.standing()

    async def _may_begin(self, number: int, approval: str) -> None:
        """Wait for a person's word where the policy asks for one: before each wave, or after the first."""
        asks = approval == "each" or (approval == "after_first" and number > 1)
        if not asks or self._approved >= number:
            return
        self._waits = True
        await workflow.wait_condition(lambda: self._approved >= number or bool(self._stopped))
        self._waits = False

    async def _one(self, task: Data, slots: asyncio.Semaphore, stop_after: int) -> None:
        pair = str(task["pair"])
        async with slots:
            if self._stopped:
                self._ends[pair] = "not_started"
                return
            run_id = str(task.get("run_id") or self._new_run_id(str(task["procedure"])))
            self._runs[pair] = run_id
            try:
                end = await workflow.execute_child_workflow(
                    RUN,
                    {**task, "run_id": run_id},
                    id=str(task["workflow_id"]),  # one for each pair: never two runs of one pair
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                )
                self._ends[pair] = str(end.get("status") or "unknown")
            except WorkflowAlreadyStartedError:
                self._ends[pair] = "busy"
            except ChildWorkflowError as fault:
                self._ends[pair] = "failed"
                workflow.logger.warning("the workflow of %s failed: %s", pair, fault.cause)
        failures = [name for name, how in self._ends.items() if how not in ("complete", "not_started", "busy")]
        if stop_after and len(failures) >= stop_after and not self._stopped:
            self._stopped = f"{len(failures)} of {len(self._ends)} runs did not end complete: {', '.join(failures)}"

    def _new_run_id(self, procedure: str) -> str:
        return f"{procedure}-{workflow.now():%Y%m%dt%H%M%Sz}-{workflow.uuid4().hex[:12]}"

    @workflow.query
    def standing(self) -> Data:
        """Where the fleet stands: the wave, whether it waits for a person, how each run ended."""
        return {"wave": self._wave, "waits_for_approval": self._waits, "stopped": self._stopped,
                "approvers": self._approvers, "runs": self._runs, "ends": self._ends}  # fmt: skip

    @workflow.update
    async def approve(self, by: Data) -> Data:
        """Approve the wave that waits, {wave, operator, ticket}."""
        self._approved = int(by["wave"])
        self._approvers.append({**by, "at": workflow.now().isoformat()})
        return self.standing()

    @approve.validator
    def _refuse_approval(self, by: Data) -> None:
        if not self._waits:
            raise ApplicationError("no wave waits for an approval", type=ILLEGAL)
        if int(by.get("wave") or 0) != self._wave or not by.get("operator") or not by.get("ticket"):
            raise ApplicationError(f"the wave {self._wave} waits; a name and a ticket are needed", type=ILLEGAL)

    @workflow.update
    async def stop(self, by: Data) -> Data:
        """Start no run any more, {operator, reason}; those that were started go on."""
        self._stopped = f"stopped by {by['operator']}: {by['reason']}"
        return self.standing()

    @stop.validator
    def _refuse_stop(self, by: Data) -> None:
        if not by.get("operator") or not by.get("reason"):
            raise ApplicationError("a name and a reason are needed", type=ILLEGAL)
