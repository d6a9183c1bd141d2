"""The figures of docs/scale.md: 200 pairs in memory worlds, through one Temporal and four workers of this machine.

python -m tests.fleet.bench [PAIRS]: drills; a worker is killed every KILL_SECONDS. Prints the figures as lines.
"""

import asyncio
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from temporalio.client import Client

from drfsm.fleet.workflows import FLEET
from drfsm.sandbox.temporal_server import Server
from tests.fleet.conftest import Workers
from tests.fleet.memory_runs import machine, make_pair

PAIRS, WORKERS, AT_ONCE, KILL_SECONDS = 200, 4, 20, 60.0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def body(pairs: list[str]) -> dict[str, Any]:
    """Return the start of a fleet of drills, in one wave."""
    sha256 = machine("drill")[0].sha256
    tasks = [
        {"workflow_id": f"bench-{pair}", "pair": pair, "procedure": "drill", "machine_sha256": sha256,
         "entry_sha256": "0" * 64, "started_by": "ada", "home_seconds": 10, "heartbeat_seconds": 10}
        for pair in pairs
    ]  # fmt: skip
    return {"waves": [tasks], "at_once": max(AT_ONCE, len(pairs) // 20), "stop_after": 0, "approval": "none"}


async def play(server: Server, workers: Workers, pairs: list[str]) -> None:
    """Run the fleet; print the figures."""
    client = await Client.connect(server.address)
    for _ in range(WORKERS):
        workers.start()
    for _ in range(600):
        if workers.said().count("ready") >= WORKERS:
            break
        await asyncio.sleep(0.1)
    began = time.monotonic()
    handle = await client.start_workflow(FLEET, body(pairs), id="bench", task_queue=workers.queue)
    ended = asyncio.create_task(handle.result())
    killed = 0
    while not (await asyncio.wait([ended], timeout=KILL_SECONDS))[0]:
        next(process for process in workers.processes if process.poll() is None).kill()
        workers.start()
        killed += 1
    seconds = time.monotonic() - began
    ends = dict(ended.result())["ends"]
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    say(f"runs: {sum(end == 'complete' for end in ends.values())} of {len(pairs)} complete, in {seconds:.0f} s:"
        f" {60 * len(pairs) / seconds:.0f} runs a minute; workers killed: {killed}")  # fmt: skip
    counts = []
    for pair in pairs[:10]:
        history = client.get_workflow_handle(f"bench-{pair}").fetch_history_events()
        counts.append(len([event async for event in history]))
    say(f"Temporal events a run: {statistics.mean(counts):.0f} (of the fleet's own workflow: some 6 a run)")
    for process in workers.processes:
        if process.poll() is None:
            process.terminate()
            await asyncio.to_thread(process.wait)
    said = workers.said()
    rows = sorted(float(text) for line in re.findall(r"rows=([\d.,]+)", said) for text in line.split(","))
    say(f"a row: p50 {1000 * rows[len(rows) // 2]:.0f} ms, p99 {1000 * rows[int(len(rows) * 0.99)]:.0f} ms"
        f" ({len(rows)} rows, in the worker)")  # fmt: skip
    spans = re.findall(r"idle_kb=(\d+) most_kb=(\d+) open=(\d+)", said)
    say("a worker: " + "; ".join(f"{int(i) // 1024} MB idle, {int(m) // 1024} MB with {o} runs" for i, m, o in spans))
    requests = [int(text) for text in re.findall(r"requests=(\d+)", said)]
    finished = [int(text) for text in re.findall(r"finished=(\d+)", said)]
    say(f"S3 requests a run: {sum(requests) / max(1, sum(finished)):.0f} (of workers that were not killed)")


def status(pairs: int) -> None:
    """Print what `drfsm fleet status` of so many pairs costs, on moto's server of this machine."""
    from drfsm.adapters import limits
    from drfsm.fleet import view
    from drfsm.fleet.pairs import Pair
    from drfsm.journal.mirror import home_of
    from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud

    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    run_id = "drill-20261129t000000z-000000000001"
    summary = {"run_id": run_id, "machine": "drill", "status": "complete", "state": "complete", "started_at": "",
               "dry_run": False, "journal": {"records": 1}, "operators": ["ada"]}  # fmt: skip
    with Cloud() as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="fleet")
        fleet = [Pair(f"p{number}", {"bucket": "fleet", "prefix": f"p{number}", "endpoint_url": cloud.endpoint,
                                     "region": REGION}, {}, {}) for number in range(pairs)]  # fmt: skip
        for pair in fleet:
            home = home_of(f"{pair.prefix}/drills/{run_id}", run_id)
            s3.put_object(Bucket="fleet", Key=f"{home}/000000.json", Body=b"{}")
            s3.put_object(Bucket="fleet", Key=f"{home}/summary.json", Body=json.dumps(summary).encode())
        with limits.metered({}):
            view.standings_of(fleet[0])
            requests = limits.sent()["s3"]
        began = time.monotonic()
        green = sum(standing.is_green for standing in view.standings(fleet))
        seconds = time.monotonic() - began
    say(f"status of {pairs} pairs: {seconds:.1f} s, {green} green, {requests} S3 requests a pair")


def main(pairs: int) -> None:
    """Run the bench in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="drfsm-bench-") as name:
        directory = Path(name)
        server = Server(directory)
        if why := server.start():
            raise SystemExit(why)
        workers = Workers(server, directory / "worlds", "bench")
        names = [f"p{number}" for number in range(pairs)]
        for pair in names:
            make_pair(workers.directory, pair, "drill")
        try:
            asyncio.run(play(server, workers, names))
        finally:
            workers.close()
            server.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
    status(1000)
