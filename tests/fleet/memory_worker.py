"""A worker of runs in memory, a process of its own: python -m tests.fleet.memory_worker ADDRESS QUEUE DIRECTORY."""

import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from temporalio.client import Client

from drfsm.fleet import process
from drfsm.fleet.tasks import Position, Task
from drfsm.fleet.worker import Worker
from tests.fleet.memory_runs import MemoryRuns


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Timed(Worker):
    """A worker that keeps how long its rows took."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seconds: list[float] = []
        self.ended = self.most_open = 0

    async def _taken(self, task: Task) -> Position:
        began = time.monotonic()
        position = await super()._taken(task)
        self.seconds.append(time.monotonic() - began)
        self.ended += bool(position["ended"])
        self.most_open = max(self.most_open, len(self._sessions))
        return position


async def main(address: str, queue: str, directory: str, slow: str = "0", poisoned: str = "") -> None:
    """Serve until SIGTERM."""
    this, stop = process.this(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runs = MemoryRuns(Path(directory), this, float(slow), tuple(filter(None, poisoned.split(","))))
    worker = Timed(runs, this, queue, tell=say, runs_at_once=60)
    client = await Client.connect(address)
    idle_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say(f"ready {os.getpid()}")
    await worker.serve(client, stop)
    used = resource.getrusage(resource.RUSAGE_SELF)
    say(f"idle_kb={idle_kb} most_kb={used.ru_maxrss} open={worker.most_open}")
    say(f"ended cpu={used.ru_utime + used.ru_stime:.1f} requests={sum(runs.requests.values())} finished={worker.ended}")
    if worker.seconds:
        say("rows=" + ",".join(f"{seconds:.4f}" for seconds in worker.seconds))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    os._exit(0)
