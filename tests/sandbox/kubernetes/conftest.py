"""A cluster for the conformance cases, known to them by its kubeconfig alone, and real clients for it.

The same cases run on a real control plane: with DRFSM_KUBERNETES=real on one of our own (``make test-cluster``),
with DRFSM_CONFORMANCE_KUBECONFIG on any whose node is served by drfsm's kubelet with IMAGES. Cases that need the
emulation itself stand in test_*_emulated.py.
"""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from drfsm.sandbox.controlplane import RealCluster, build
from drfsm.sandbox.kubernetes import EmulatedCluster

REAL = os.environ.get("DRFSM_KUBERNETES") == "real"
SHELL_IMAGE = "registry.example/shell:1"
IMAGES = {"registry.example/shell": ["/bin/sh", "-c", "echo nothing to do"]}
Manifest = dict[str, Any]


class Cluster(NamedTuple):
    """All that the conformance cases may know of a cluster."""

    kubeconfig: Path


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all cases; each has a namespace of its own."""
    if given := os.environ.get("DRFSM_CONFORMANCE_KUBECONFIG"):
        yield Cluster(Path(given))
        return
    kind = RealCluster if REAL else EmulatedCluster
    with kind("conformance", tmp_path_factory.mktemp("cluster"), IMAGES) as started:
        yield Cluster(started.kubeconfig)


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[EmulatedCluster]:
    """Return an emulated cluster of one's own, to be broken."""
    with EmulatedCluster("emulated", tmp_path / "cluster", IMAGES) as started:
        yield started


class Answer(NamedTuple):
    """What a plain request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Clients:
    """The official client on one cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        import kubernetes

        self.configuration = kubernetes.client.Configuration()
        load: Any = kubernetes.config.load_kube_config
        load(str(kubeconfig), client_configuration=self.configuration)
        self.configuration.retries = False
        self.client: Any = kubernetes.client.ApiClient(self.configuration)
        self.core: Any = kubernetes.client.CoreV1Api(self.client)
        self.batch: Any = kubernetes.client.BatchV1Api(self.client)
        self.apps: Any = kubernetes.client.AppsV1Api(self.client)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make a plain request, for what the typed client hides; ``content_type`` is a header."""
        given = {"Accept": "application/json", "Content-Type": "application/json"}
        given |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        if "Authorization" not in given:
            self.client.update_params_for_auth(given, [], ["BearerToken"], path, method, body)
        text = body if isinstance(body, str | None) else json.dumps(body)
        url = f"{self.configuration.host}{path}"
        found = self.client.rest_client.pool_manager.request(method, url, headers=given, body=text, retries=False)
        return Answer(found.status, found.headers, found.data)


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what becomes true in time; fail if nothing does."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def clients(cluster: Cluster) -> Clients:
    """Return the official client on the shared cluster."""
    return Clients(cluster.kubeconfig)


@pytest.fixture
def namespace(clients: Clients) -> Iterator[str]:
    """Return a new namespace; it goes with the test."""
    name = f"case-{uuid.uuid4().hex[:10]}"
    clients.core.create_namespace({"metadata": {"name": name}})
    until(lambda: clients.ask("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default").status == 200)
    yield name
    clients.core.delete_namespace(name)


Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """Return the real kubectl as a function: its words in, its stdout out; ``fails=True`` gives its stderr."""
    program = str(build.known().get("kubectl") or shutil.which("kubectl") or "")
    if not program:
        pytest.skip("needs the real kubectl: on the PATH, or built by `make test-cluster`")
    home = tmp_path_factory.mktemp("kubectl")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(cluster.kubeconfig)}

    def run(*words: str, stdin: str | Manifest = "", fails: bool = False) -> str:
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(
            [program, *words], input=text, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert (done.returncode != 0) is fails, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Return ``until``: it returns what becomes true in time, and fails if nothing does."""
    return until


@pytest.fixture
def refusal() -> Callable[[Callable[[], Any]], tuple[int, Manifest]]:
    """Return a function that makes a call which must be refused, and returns (code, Status)."""
    from kubernetes.client.exceptions import ApiException

    def refused(call: Callable[[], Any]) -> tuple[int, Manifest]:
        with pytest.raises(ApiException) as caught:
            call()
        return int(caught.value.status or 0), json.loads(caught.value.body or "{}")

    return refused
