"""A worker: takes rows of runs that workflows of Temporal drive, one row an activity.

Each open run has a session (sessions.py); its next rows come by this worker's own queue. Heartbeats are sent while a
row is taken. If this process dies they end, and the row goes to another worker, which reads in the journal what was
done. A run that fails here holds up no other run. Used by `drfsm worker --temporal`.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from drfsm.engine import Runner
from drfsm.errors import LeaseHeld, LeaseLost, Unreachable
from drfsm.fleet import rows
from drfsm.fleet.process import Process
from drfsm.fleet.runs import Runs
from drfsm.fleet.sessions import Closed, Session, reason_of
from drfsm.fleet.tasks import Position, Task, task_of
from drfsm.fleet.workflows import LEASE_HELD, NOTHING_BEGUN, ROW, DrfsmFleet, DrfsmRun

if TYPE_CHECKING:
    from temporalio.client import Client

BEATS = 4  # in the time after which a silent worker counts as lost
ENDING_SECONDS = 600  # how long a worker that was asked to end waits for its rows' next clean points
_MINUTE = timedelta(minutes=1)
LATER = (Unreachable, LeaseLost, Closed)
"""Faults that another try may mend, without a person."""


class Worker:
    """Serves a task queue with ``runs``. ``tell``: prints a line for a person.

    ``opened_a_second``: how many runs all workers of the queue may open together, as Temporal counts them.
    """

    def __init__(
        self,
        runs: Runs,
        process: Process,
        task_queue: str,
        *,
        tell: Callable[[str], None],
        runs_at_once: int = 20,
        opened_a_second: float | None = None,
        records_a_run: int = rows.RECORDS_A_RUN,
    ) -> None:
        self._runs, self._tell = runs, tell
        self._task_queue, self._own_queue = task_queue, f"{task_queue}.{process.queue}"
        self._runs_at_once, self._records_a_run = runs_at_once, records_a_run
        self._opened_a_second = opened_a_second
        self._sessions: dict[str, Session] = {}
        self._ending = False

    async def serve(self, client: "Client", stop: asyncio.Event) -> None:
        """Take rows until ``stop`` is set; then every open run is left at its next clean point."""
        from temporalio.worker import Worker as Poller

        ending = timedelta(seconds=ENDING_SECONDS)
        pollers = (
            Poller(
                client, task_queue=self._task_queue, workflows=[DrfsmRun, DrfsmFleet], activities=[self.row],
                max_concurrent_activities=self._runs_at_once,
                max_task_queue_activities_per_second=self._opened_a_second, graceful_shutdown_timeout=ending,
            ),
            Poller(
                client, task_queue=self._own_queue, activities=[self.row],
                max_concurrent_activities=2 * self._runs_at_once, graceful_shutdown_timeout=ending,
            ),
        )  # fmt: skip
        serving = [asyncio.create_task(poller.run()) for poller in pollers]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([*serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        self._ending = True
        for session in list(self._sessions.values()):
            session.interrupt()
            session.close()
        await asyncio.gather(*(poller.shutdown() for poller in pollers))
        for session in list(self._sessions.values()):
            await asyncio.to_thread(session.join)
        stopped.cancel()
        for task in done - {stopped}:
            task.result()

    @activity.defn(name=ROW)
    async def row(self, body: dict[str, Any]) -> Position:
        """Take one row of a run; return where the run stands then. Raises ApplicationError."""
        task: Task | None = None
        try:
            task = task_of(body)
            return await self._taken(task)
        except Exception as fault:  # noqa: BLE001  a run that fails here holds up no other one
            self._tell(f"{body.get('run_id')}: {reason_of(fault)}")
            raise self._told(task, fault) from None

    async def _taken(self, task: Task) -> Position:
        if self._ending:
            raise Closed
        session = await self._session(task)
        answer = asyncio.wrap_future(session.ask(task))
        if session.ident is None:  # AFTER its first task was handed in: whatever stops it is this task's answer
            session.start()
        every = (activity.info().heartbeat_timeout or _MINUTE) / timedelta(seconds=BEATS)
        while not answer.done():
            activity.heartbeat()
            try:
                await asyncio.wait([answer], timeout=every)
            except asyncio.CancelledError:  # a person asked for something, or the row is another worker's by now
                session.interrupt()
        position = answer.result()
        self._tell(f"{task.run_id}: {position['state']}, {position['status']}")
        return {**position, "home": self._own_queue if session.is_alive() and not session.left else ""}

    async def _session(self, task: Task) -> Session:
        """Return the session of a task's run, open under the right name. One of another name is left first."""
        before = self._sessions.get(task.run_id)
        if before is not None:
            if before.operator == task.who and not before.left:
                return before
            before.close()
            if before.ident is not None:
                await asyncio.to_thread(before.join)
        session = Session(task.run_id, task.who, partial(self._runs.opened, task), self._row)
        self._sessions[task.run_id] = session
        for run_id in [run_id for run_id, other in self._sessions.items() if other.ident and not other.is_alive()]:
            del self._sessions[run_id]
        return session

    def _row(self, runner: Runner, task: Task) -> tuple[Position, bool]:
        return rows.taken(
            runner, task, ask_hold=partial(self._runs.ask_hold, task.run_id), most_records=self._records_a_run
        )

    def _told(self, task: Task | None, fault: Exception) -> ApplicationError:
        """Return a fault as the workflow is told: whether to try again, and what a person reads."""
        kind, final = type(fault).__name__, not isinstance(fault, (LeaseHeld, *LATER))
        if isinstance(fault, LeaseHeld) and not isinstance(fault, LeaseLost):
            kind = LEASE_HELD
        elif final and (task is None or self._runs.nothing_begun(task)):
            kind = NOTHING_BEGUN
        said_already = ApplicationErrorCategory.BENIGN  # so that the client does not print a traceback, too
        return ApplicationError(reason_of(fault), type=kind, non_retryable=final, category=said_already)
