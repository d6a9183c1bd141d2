"""What the Kubernetes adapter sends, and how often: every page of a list, each write once, reads with patience.

Against the sandbox's API server, and against a server of raw sockets that hangs up, resets, stutters or is silent.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from drfsm.adapters.kube import PAGE, KubeCluster
from drfsm.dr.sites.drain import FACTS
from drfsm.engine import Run, SystemClock
from drfsm.errors import Unreachable
from drfsm.sandbox.kubernetes import EmulatedCluster
from tests.bench.answering import Answering, Request, Told, told

NAMESPACE = "jobintel"
CONFIGMAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "x", "namespace": "ns"},
    "data": {},
}
STORED: dict[str, Any] = {
    **CONFIGMAP,
    "metadata": {
        **CONFIGMAP["metadata"],
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-02-27T00:00:00Z",
    },
}
READS: Mapping[str, Callable[[KubeCluster], Any]] = {
    "get": lambda cluster: cluster.get("ConfigMap", "ns", "x"),
    "list": lambda cluster: cluster.list("ConfigMap", "ns"),
    "allowed": lambda cluster: cluster.allowed("get", "", "configmaps", "ns"),
}
WRITES: Mapping[str, Callable[[KubeCluster], Any]] = {
    "create": lambda cluster: cluster.create(CONFIGMAP),
    "patch": lambda cluster: cluster.patch("ConfigMap", "ns", "x", {"data": {"k": "v"}}),
    "apply": lambda cluster: cluster.apply(CONFIGMAP),
    "delete": lambda cluster: cluster.delete("ConfigMap", "ns", "x"),
}


# --- every page -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """Return a cluster with more Jobs than one page holds, all of them suspended."""
    with EmulatedCluster("primary", tmp_path_factory.mktemp("site"), {}) as cluster:
        cluster.store.create("namespaces", {"metadata": {"name": NAMESPACE}})
        pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}
        for number in range(PAGE + 3):
            job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"suspend": True, "template": pod}}
            cluster.apply({**job, "metadata": {"name": f"j-{number:04}", "namespace": NAMESPACE}})
        yield cluster


class World:
    """A world of one cluster."""

    def __init__(self, cluster: KubeCluster) -> None:
        self._cluster = cluster

    def site(self, _name: str) -> KubeCluster:
        """Return it."""
        return self._cluster


def run_of(**inputs: Any) -> Run:
    """Return a run that observes."""
    given = {"namespace": NAMESPACE, "cronjob_selector": "", "startup_timeout": 600, "workload": "", **inputs}
    return Run("run-1", given, "ann", 1, dry_run=False, trigger="t", results={}, args={}, clock=SystemClock())


def test_a_drain_sees_the_jobs_of_every_page(emulated: EmulatedCluster) -> None:
    """A Job beyond the first five hundred is in flight, too; the list is what one page would have been."""
    cluster = KubeCluster("primary", emulated.kubeconfig)
    seen = FACTS["primary_inflight"].observe(World(cluster), run_of())
    names = [job["name"] for job in seen["jobs"]]
    assert names == [f"j-{number:04}" for number in range(PAGE + 3)]
    assert FACTS["primary_inflight"].judge(seen, {}) == "yes"


@pytest.mark.parametrize("how", ["410 at the second page", "410 at the third page"])
def test_a_list_that_expires_between_two_pages_is_read_again_whole(how: str, tmp_path: Path) -> None:
    """What was read before the 410 counts for nothing: an object that is gone by then is not listed."""
    expired = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Expired",
        "code": 410,
        "message": "too old",
    }
    live, refusals = [f"c-{number}" for number in range(6)], [how]

    def answer(request: Request) -> Told:
        begin = int(request.target.partition("continue=")[2] or 0)
        if refusals and begin == (2 if "second" in how else 4):
            refusals.clear()
            live.remove("c-0")
            return told(expired, 410)
        page = [{**STORED, "metadata": {**STORED["metadata"], "name": name}} for name in live[begin : begin + 2]]
        token = str(begin + 2) if begin + 2 < len(live) else ""
        return told({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"continue": token}, "items": page})

    with Answering(answer) as api:
        listed = KubeCluster("primary", api.kubeconfig(tmp_path)).list("ConfigMap", "ns")
    assert [item["metadata"]["name"] for item in listed] == [f"c-{number}" for number in range(1, 6)]


# --- once -----------------------------------------------------------------------------------------------


class Wire:
    """A server of raw sockets. ``behaves`` gets a connection on which a whole request has been read."""

    def __init__(self, behaves: Callable[[socket.socket], None]) -> None:
        self._behaves, self.requests = behaves, list[bytes]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._listener.close()

    def kubeconfig(self, directory: Path) -> Path:
        """Write a kubeconfig that leads here."""
        config = {
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "users": [{"name": "here", "user": {"token": "t"}}],
        }
        (directory / "kubeconfig.yaml").write_text(json.dumps(config))
        return directory / "kubeconfig.yaml"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := _whole_request(connection):
                self.requests.append(request)
                self._behaves(connection)
                if connection.fileno() < 0:
                    return


def _whole_request(connection: socket.socket) -> bytes:
    """Return a request's head and body, b"" where the client has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


def hang_up(connection: socket.socket) -> None:
    """Close the connection without an answer."""
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def reset(connection: socket.socket) -> None:
    """Reset the connection (RST)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stutter(connection: socket.socket) -> None:
    """Send half an answer, then hang up."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
    hang_up(connection)


def be_silent(_connection: socket.socket) -> None:
    """Never answer."""
    time.sleep(3)


FAULTS = (hang_up, reset, stutter, be_silent)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_answer_is_lost_is_sent_once(
    write: str, fault: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    """Nobody knows whether it took effect: whoever asked has to look. A second one could undo a later change."""
    with Wire(fault) as api:
        cluster = KubeCluster("primary", api.kubeconfig(tmp_path), read_seconds=0.3)
        with pytest.raises(Unreachable):
            WRITES[write](cluster)
        time.sleep(0.05)
        assert len(api.requests) == 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("read", READS)
def test_a_read_whose_answer_is_lost_is_repeated(
    read: str, fault: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    """Reads change nothing, reviews by POST included: three times, then the site is out of reach.

    Silence is waited for once: it uses up the time that a read has.
    """
    with Wire(fault) as api:
        cluster = KubeCluster("primary", api.kubeconfig(tmp_path), read_seconds=0.2)
        with pytest.raises(Unreachable):
            READS[read](cluster)
        assert len(api.requests) == (1 if fault is be_silent else 3)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_after_the_server_closed_an_idle_connection_is_sent_once(write: str, tmp_path: Path) -> None:
    """The connection of an earlier answer is gone: the write goes out on a new one, and only there."""
    body = json.dumps(STORED).encode()
    status = b"201 Created" if write == "create" else b"200 OK"

    def answer(connection: socket.socket) -> None:
        head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)  # and keep it alive, it says
        hang_up(connection)

    with Wire(answer) as api:
        cluster = KubeCluster("primary", api.kubeconfig(tmp_path))
        cluster.get("ConfigMap", "ns", "x")
        time.sleep(0.05)  # until the client's side has seen the end
        WRITES[write](cluster)
        assert [request.split(b" ")[0] for request in api.requests].count(b"GET") == 1
        assert len(api.requests) == 2


# --- patience -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_read_that_is_throttled_waits_as_long_as_it_is_asked_to(status: int, tmp_path: Path) -> None:
    """Retry-After of a second: the next try comes after a second, not at once, and is answered."""
    times: list[float] = []

    def answer(_request: Request) -> Told:
        times.append(time.monotonic())
        return Told(status, headers={"Retry-After": "1"}) if len(times) == 1 else told(STORED)

    with Answering(answer) as api:
        assert KubeCluster("primary", api.kubeconfig(tmp_path)).get("ConfigMap", "ns", "x") == STORED
    assert 1 <= times[1] - times[0] < 5


@pytest.mark.parametrize("header", ["86400", "-1", "soon", "Fri, 27 Feb 2026 00:22:31 GMT", "1e9", ""])
def test_no_header_makes_a_read_wait_for_ever(header: str, tmp_path: Path) -> None:
    """An absurd wait is refused at once, with its length in the words; what is no number of seconds is no wait."""
    began = time.monotonic()
    with Answering(lambda _request: Told(429, headers={"Retry-After": header})) as api:
        with pytest.raises(Unreachable) as fault:
            KubeCluster("primary", api.kubeconfig(tmp_path)).get("ConfigMap", "ns", "x")
        assert len(api.seen) == (1 if header == "86400" else 3)
    assert time.monotonic() - began < 5
    assert ("86400 s" in fault.value.what) is (header == "86400")


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_is_throttled_is_not_repeated(write: str, tmp_path: Path) -> None:
    """Whatever the header says: a row has its own attempts, and looks at the site between them."""
    began = time.monotonic()
    with Answering(lambda _request: Told(429, headers={"Retry-After": "1"})) as api:
        with pytest.raises(Unreachable):
            WRITES[write](KubeCluster("primary", api.kubeconfig(tmp_path)))
        assert len(api.seen) == 1
    assert time.monotonic() - began < 1
