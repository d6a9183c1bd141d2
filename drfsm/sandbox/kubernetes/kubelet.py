"""A kubelet whose containers are processes of this machine; it serves the emulated API and a real one alike.

It reaches the API server through a kubeconfig and in no other way. It registers its node, watches the pods that are
bound to the node, and runs a ``PodWorker`` for each. Where a control plane has no scheduler (``binds=True``) it also
binds the pods that fit. It isolates nothing: a container sees this machine and its volumes below DRFSM_SANDBOX_ROOT;
it inherits no variable of our environment.

    <directory>/pods/<uid>/{volumes,roots,logs}/       until the pod is gone from the API
    <directory>/claims/<namespace>/<name>/             persistent volume claims: they are never removed
    <directory>/kubelet.pem                            key and certificate of the server that serves its logs

``stop`` ends every process; ``start`` ends those that a kubelet before it left when it was killed.
"""

import shutil
import threading
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from drfsm.sandbox.kubernetes.binding import Binder
from drfsm.sandbox.kubernetes.client import Change, Client
from drfsm.sandbox.kubernetes.containers import Container
from drfsm.sandbox.kubernetes.images import Images
from drfsm.sandbox.kubernetes.node import Node
from drfsm.sandbox.kubernetes.pod_logs import Log, Logs, LogServer, no_pod
from drfsm.sandbox.kubernetes.pod_worker import Host, PodWorker
from drfsm.sandbox.kubernetes.processes import end_leftovers
from drfsm.sandbox.kubernetes.reading import Place, is_being_deleted, place, uid
from drfsm.sandbox.kubernetes.recorder import Recorder, Severity
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request
from drfsm.sandbox.kubernetes.reporter import Reporter
from drfsm.sandbox.kubernetes.scheduling import COMPONENT

BACK_OFF_SECONDS = 10.0
REGISTER_SECONDS = 10.0


class Kubelet:
    """One node."""

    def __init__(
        self,
        kubeconfig: Path,
        directory: Path,
        images: Images,
        node: str,
        *,
        back_off_seconds: float = BACK_OFF_SECONDS,
        binds: bool = False,
    ) -> None:
        self._directory, self._name = directory.resolve(), node
        self._client = Client(kubeconfig)
        self._reporter = Reporter(self._client)
        self._recorder = Recorder("kubelet", self._reporter.event, host=node)
        self.logs = Logs(self._find_log)
        self._log_server = LogServer(self.logs)
        self._node = Node(self._client, node, self._log_server.port)
        self._connected = threading.Event()
        self._connected.set()
        sources = _ApiSources(self._client, self._connected)
        self._host = Host(self._directory, images, sources, self._reporter.report, self._tell, back_off_seconds)
        self._workers: dict[Place, PodWorker] = {}
        self._leaving: list[PodWorker] = []  # their objects are deleted, their processes may still run
        self._watcher = threading.Thread(target=self._watch, name="kubelet-pods", daemon=True)
        binding = Recorder(COMPONENT, self._reporter.event)
        self._binder = Binder(self._client, binding) if binds else None
        self._started = self._stopping = False

    def start(self) -> None:
        """End what an earlier kubelet left, register the node, and run pods. Raises ApiUnreachable, ApiError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # pods' Secrets will lie there
        end_leftovers(self._directory)
        self._log_server.start(self._directory)
        self._node.start(REGISTER_SECONDS)
        self._started = True
        self._reporter.start()
        self._watcher.start()
        if self._binder is not None:
            self._binder.start()

    def stop(self) -> None:
        """End every process that it started, and wait for them. Nothing of that is reported to the API."""
        self._stopping = True
        self._client.close()
        self._connected.set()
        if self._started:
            self._watcher.join()
            workers = [*self._workers.values(), *self._leaving]
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join()
            self._reporter.stop()
            if self._binder is not None:
                self._binder.stop()
        self._node.stop()
        self._log_server.stop()

    def node_ready(self, ready: bool) -> None:
        """Report the node as ready or not ready."""
        self._node.ready(ready)

    def lose(self) -> None:
        """Disconnect the node: it neither reports nor hears anything, while its processes keep running."""
        self._connected.clear()
        self._reporter.hold(held=True)
        self._node.lose()

    def rejoin(self) -> None:
        """Reconnect the node: it learns what it missed, and reports what it could not."""
        self._node.rejoin()
        self._reporter.hold(held=False)
        self._connected.set()

    # --- pods -----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for change in self._client.follow("pods", fields=f"spec.nodeName={self._name}"):
            self._connected.wait()
            if self._stopping:
                return
            self._see(change)

    def _see(self, change: Change) -> None:
        pod, worker = change.object, self._workers.get(place(change.object))
        if worker is not None and uid(worker.pod) != uid(pod):
            self._forget(worker)
            worker = None
        if change.type == "DELETED":
            if worker is not None:
                self._forget(worker)
        elif worker is None:
            self._take(pod)
        elif not worker.change(pod) and is_being_deleted(pod):
            self._reporter.report(pod, pod.get("status", {}), deletable=True)

    def _take(self, pod: Manifest) -> None:
        worker = self._workers[place(pod)] = PodWorker(pod, self._host)
        worker.start()

    def _forget(self, worker: PodWorker) -> None:
        del self._workers[place(worker.pod)]
        self._leaving = [leaving for leaving in self._leaving if not leaving.has_ended]
        if worker.remove():
            self._leaving.append(worker)
        else:
            shutil.rmtree(worker.home, ignore_errors=True)

    def _tell(self, pod: Manifest, severity: Severity, reason: str, message: str) -> None:
        self._recorder.tell(pod, severity, reason, message, datetime.now(UTC))

    # --- logs -----------------------------------------------------------------------------------------

    def _find_log(self, namespace: str, pod: str, name: str, previous: bool) -> Log:
        if not self._connected.is_set():
            raise ApiError(500, "InternalError", f"the node {self._name} can't be reached")
        worker = self._workers.get(Place(namespace, pod))
        if worker is None:
            raise no_pod(pod)
        container = self._container(worker, name)
        number = container.restarts - (1 if previous else 0)
        path = worker.log(container, number)
        if not path.exists():
            raise bad_request(_no_log(container, pod, previous=previous))
        running = container.state.get("running", container.ended or {})
        return Log(path, lambda: _writes(container, number), running.get("startedAt", ""))

    def _container(self, worker: PodWorker, name: str) -> Container:
        pod = place(worker.pod).name
        names = [container_spec["name"] for container_spec in worker.pod["spec"]["containers"]]
        if not name and len(names) > 1:
            raise bad_request(f"a container name must be specified for pod {pod}, choose one of: {names}")
        container = worker.container(name or names[0])
        if container is None:
            raise bad_request(f"container {name} is not valid for pod {pod}")
        return container


def _no_log(container: Container, pod: str, *, previous: bool) -> str:
    if previous:
        return f'previous terminated container "{container.name}" in pod "{pod}" not found'
    reason = container.state.get("waiting", {}).get("reason", "ContainerCreating")
    return f'container "{container.name}" in pod "{pod}" is waiting to start: {reason}'


def _writes(container: Container, number: int) -> bool:
    if not container.was_started:  # the log's file exists a moment before the process
        return True
    return container.restarts == number and container.process is not None


class _ApiSources:
    """ConfigMaps, Secrets and tokens from the API; a lost node waits for them."""

    def __init__(self, client: Client, connected: threading.Event) -> None:
        self._client, self._connected = client, connected

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Return a ConfigMap."""
        return self._get("configmaps", namespace, name)

    def secret(self, namespace: str, name: str) -> Manifest | None:
        """Return a Secret."""
        return self._get("secrets", namespace, name)

    def claim(self, namespace: str, name: str) -> Manifest | None:
        """Return a PersistentVolumeClaim."""
        return self._get("persistentvolumeclaims", namespace, name)

    def token(self, namespace: str, account: str, audience: str, seconds: int, pod: Manifest) -> str:
        """Return a new token of a ServiceAccount, bound to a pod."""
        self._connected.wait()
        bound = {"apiVersion": "v1", "kind": "Pod", "name": place(pod).name, "uid": uid(pod)}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": seconds, "boundObjectRef": bound}
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": namespace},
            "spec": spec,
        }
        answer = self._client.create("serviceaccounts", asked, part="token", name=account)
        return str(answer["status"]["token"])

    def _get(self, resource: str, namespace: str, name: str) -> Manifest | None:
        self._connected.wait()
        try:
            return self._client.get(resource, namespace, name)
        except ApiError as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None
            raise
