"""One open run in a worker: a thread that holds the Runner between two rows, so that no row opens the run anew.

The worker's activities put tasks in, and get positions back. A session ends when its run ends or is held, before a long
pause, or when no task has come for a while. It leaves the run then (s3_lease.leave), and only AFTER that the last task
is answered: whoever gets the next row finds the lease free for the same run.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from drfsm.engine import Runner
from drfsm.errors import DrfsmError
from drfsm.fleet.tasks import Position, Task
from drfsm.journal import RunState
from drfsm.runs import signals

Serve = Callable[[Runner], RunState]
IDLE_SECONDS = 15.0


class Closed(Exception):
    """The session takes no more tasks: open another one."""


class Session(threading.Thread):
    """One run, open. ``opened``: opens it, and lets ``Serve`` work. ``taken``: takes a task; its position and the end.

    Its attributes beside the thread's: ``operator``, under whose name it was opened.
    """

    def __init__(
        self,
        run_id: str,
        operator: str,
        opened: Callable[[Serve], object],
        taken: Callable[[Runner, Task], tuple[Position, bool]],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        super().__init__(name=f"run {run_id}", daemon=True)
        self.operator = operator
        self._opened, self._taken, self._idle_seconds = opened, taken, idle_seconds
        self._tasks: queue.SimpleQueue[tuple[Task, Future[Position]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: list[Future[Position]] = []
        self._last: Position | None = None  # the answer that is given once the run was left
        self._closed = self._interrupted = False
        self._due_seconds = 0.0  # until the next task is expected

    @property
    def left(self) -> bool:
        """Whether the run was left: the session takes no more tasks."""
        return self._closed

    def ask(self, task: Task) -> "Future[Position]":
        """Hand in a task; its position comes by the future. Raises Closed."""
        answer: Future[Position] = Future()
        with self._lock:
            if self._closed:
                raise Closed
            self._waiting.append(answer)
            self._tasks.put((task, answer))
        return answer

    def interrupt(self) -> None:
        """Ask the run to stop at its next clean point; safe to call from any thread."""
        self._interrupted = True
        if self.ident is not None:
            signals.interrupt(self.ident)

    def close(self) -> None:
        """Leave the run once the tasks that were handed in are done."""
        self._tasks.put(None)

    def run(self) -> None:
        """Open the run, serve, leave it; then give the last answer."""
        fault: BaseException | None = None
        try:
            self._opened(self._serve)
        except BaseException as raised:  # noqa: BLE001  a defect stops this run, never its worker
            fault = raised
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for number, answer in enumerate(waiting):
            if fault is None and number == 0 and self._last is not None:
                answer.set_result(self._last)
            else:
                answer.set_exception(fault or Closed())

    def _serve(self, runner: Runner) -> RunState:
        while (item := self._next()) is not None:
            task, answer = item
            if self._interrupted:
                runner.interrupt()
            position, over = self._taken(runner, task)
            self._due_seconds = runner.due_seconds
            self._interrupted = False
            if over:
                self._last = position
                break
            with self._lock:
                self._waiting.remove(answer)
            answer.set_result(position)
        return runner.state

    def _next(self) -> tuple[Task, "Future[Position]"] | None:
        """Return the next task, None to leave the run. No task is lost between the two: what comes later is refused."""
        try:
            return self._tasks.get(timeout=self._idle_seconds + self._due_seconds)
        except queue.Empty:
            with self._lock:
                if not self._waiting:
                    self._closed = True
                    return None
            return self._tasks.get()


def reason_of(fault: BaseException) -> str:
    """Return what stopped a run, as a person reads it."""
    if isinstance(fault, Closed):
        return "this worker has left the run: another one, or another try, takes it"
    if isinstance(fault, DrfsmError):
        return " ".join(line.strip() for line in fault.lines())
    return f"a defect in drfsm, not in the sites: {type(fault).__name__}: {fault}"
