"""Temporal's server for the tests of a module, and workers as processes, which die as a test says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

from drfsm.sandbox.temporal_server import Server

with_temporal = pytest.mark.skipif(not os.environ.get("DRFSM_FLEET"), reason="runs on Temporal: make test-fleet")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server; skip where it can't start."""
    made = Server(tmp_path_factory.mktemp("temporal"))
    if why := made.start():
        pytest.skip(why)
    yield made
    made.kill()


@define
class Workers:
    """Workers of runs in memory, as processes."""

    server: Server
    directory: Path
    queue: str
    processes: list["subprocess.Popen[bytes]"] = field(factory=list)

    def start(self, slow_seconds: float = 0.0, poisoned: str = "") -> "subprocess.Popen[bytes]":
        """Start one more worker, without waiting until it serves."""
        number = len(self.processes)
        with (self.directory / f"worker-{number}.log").open("wb") as log:
            argv = ["-m", "tests.fleet.memory_worker", self.server.address, self.queue, str(self.directory)]
            made = subprocess.Popen(
                [sys.executable, *argv, str(slow_seconds), poisoned], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(made)
        return made

    def said(self) -> str:
        """Return what the workers printed."""
        return "".join(log.read_text() for log in sorted(self.directory.glob("worker-*.log")))

    def close(self) -> None:
        """Kill those that are left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def workers(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Return what starts workers of this test's own task queue."""
    made = Workers(server, tmp_path, f"queue-{request.node.name[:40]}")
    yield made
    made.close()
