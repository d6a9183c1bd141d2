"""A worker of runs in memory, a process of its own: python -m tests.fleet.memory_worker ADDRESS QUEUE DIRECTORY."""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from temporalio.client import Client

from drfsm.fleet import process
from drfsm.fleet.worker import Worker
from tests.fleet.memory_runs import MemoryRuns


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(address: str, queue: str, directory: str, slow: str = "0", poisoned: str = "") -> None:
    """Serve until SIGTERM."""
    this, stop = process.this(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runs = MemoryRuns(Path(directory), this, float(slow), tuple(filter(None, poisoned.split(","))))
    worker = Worker(runs, this, queue, tell=say, runs_at_once=60)
    say(f"ready {os.getpid()}")
    await worker.serve(await Client.connect(address), stop)
    used = resource.getrusage(resource.RUSAGE_SELF)
    say(
        f"ended maxrss_kb={used.ru_maxrss} cpu={used.ru_utime + used.ru_stime:.1f}"
        f" requests={sum(runs.requests.values())}"
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    os._exit(0)
