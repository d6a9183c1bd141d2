"""A process that is cut off from the world at its n-th write, on the wire: what it sends after that never arrives.

``Line`` is one process's way to the store and the two clusters, through servers of ours on loopback that pass
everything on. ``killed`` does something in a thread on such a line until it ends, or is cut off: before the n-th
write, which then never gets through, or after it, so that it is done and nobody tells. The thread is then left to
itself, as dead: every later request of its line is hung up on, so nothing of it ever lands. Only writes are counted: to
die after a read is to die before the next write.
"""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import yaml
from attrs import define, evolve, field

from drfsm.adapters.kube import KubeCluster
from drfsm.runs.world import connect
from drfsm.world import World
from tests.bench.answering import Answering, Request, Told

SITES = ("primary", "dr")
Moment = Literal["before", "after"]
PATIENCE_SECONDS = 120.0
_READS = ("Describe", "Get", "List", "Decode")  # how the names of AWS's reading operations begin


class HungUp(Exception):
    """The connection is closed without an answer."""


@define
class Line:
    """One process's way to the world. ``cut_at``: the write, from 1, at which it is cut off; 0: never."""

    cut_at: int = 0
    moment: Moment = "before"
    writes: list[str] = field(factory=list)
    dead: bool = False
    ended: threading.Event = field(factory=threading.Event)  # the process ended, or was cut off
    _one: threading.Lock = field(factory=threading.Lock)

    def passing(self, upstream: str) -> Callable[[Request], Told]:
        """Return what answers in the place of a server."""

        def answer(request: Request) -> Told:
            if not is_write(request):
                self._check()
                return passed_on(upstream, request)
            with self._one:  # many may be on their way at once: exactly so many land
                self._check()
                self.writes.append(f"{request.method} {request.path}")
                cut = len(self.writes) == self.cut_at
                if cut and self.moment == "before":
                    self._cut()
                told = passed_on(upstream, request)
                if cut:
                    self._cut()
                return told

        return answer

    def _check(self) -> None:
        if self.dead:
            raise HungUp

    def _cut(self) -> None:
        self.dead = True
        self.ended.set()
        raise HungUp


def is_write(request: Request) -> bool:
    """Whether a request changes anything."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    if request.path.startswith(("/api/", "/apis/")):
        return not request.path.endswith("reviews")
    action = (
        parse_qs(request.body.decode("utf-8", "replace")).get("Action", [""])[0] if request.method == "POST" else ""
    )
    target = "".join(request.header("X-Amz-Target")).rpartition(".")[2]
    return not (action or target).startswith(_READS)


def passed_on(upstream: str, request: Request) -> Told:
    """Return a server's own answer."""
    parts = urlsplit(upstream)
    assert parts.hostname is not None
    if parts.scheme == "https":
        context = ssl._create_unverified_context()  # noqa: S323  the sandbox's own server, on loopback
        server: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=PATIENCE_SECONDS, context=context
        )
    else:
        server = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_SECONDS)
    try:
        headers = {name: value for name, value in request.headers if name.lower() != "connection"}
        server.request(request.method, request.target, request.body, headers)
        answer = server.getresponse()
        body = answer.read()
    finally:
        server.close()
    dropped = ("content-length", "transfer-encoding", "connection", "content-type")
    kept = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
    length = int(answer.headers["Content-Length"] or 0) if request.method == "HEAD" else None
    return Told(answer.status, body, answer.headers.get("Content-Type", ""), kept, length)


@contextmanager
def world_on(
    line: Line, endpoint: str, inputs: Mapping[str, Any], kubeconfigs: Mapping[str, Path], place: Path, run_id: str
) -> Iterator[World]:
    """Make a new process's world whose every request passes a line. ``place``: the bundle, for what is private in it.

    ``endpoint``: the cloud's; ``kubeconfigs``: site -> the file that leads to it.
    """
    with ExitStack() as stack:
        store = stack.enter_context(Answering(line.passing(endpoint)))
        world = connect({**inputs, "endpoint_url": store.url}, "", place, run_id)[0]
        clusters = dict[str, Any]()
        for site, kubeconfig in kubeconfigs.items():
            config = yaml.safe_load(kubeconfig.read_bytes())
            door = stack.enter_context(Answering(line.passing(config["clusters"][0]["cluster"]["server"])))
            own = place / f"{site}-{uuid4().hex}"
            own.mkdir(parents=True)
            clusters[site] = KubeCluster(site, door.kubeconfig(own, config["users"][0]["user"]))
        yield evolve(world, **clusters)


@define
class Outcome:
    """What became of a process: it was cut off, or it ended, with a fault or none."""

    cut: bool
    fault: BaseException | None = None


def killed(line: Line, act: Callable[[], object]) -> Outcome:
    """Do something in a thread until it ends or its line is cut."""
    faults: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except BaseException as fault:  # noqa: BLE001  told to whoever waits
            faults.append(fault)
        line.ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert line.ended.wait(PATIENCE_SECONDS), f"it neither ended nor was cut off; it wrote {line.writes}"
    return Outcome(line.dead, None if line.dead or not faults else faults[0])
