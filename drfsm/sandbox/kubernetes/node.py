"""The kubelet's own node: registered once, then kept alive by its status and its lease.

``ready(False)`` reports a node that is not ready but can be reached. ``lose`` stops the heartbeats, and marks the node
as the control plane's node controller would some time later: Ready Unknown.
"""

import os
import platform
import threading
import time
from datetime import UTC, datetime
from http import HTTPStatus

from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.errors import ApiUnreachable
from drfsm.sandbox.kubernetes.pod_status import ADDRESS
from drfsm.sandbox.kubernetes.reading import condition, stamp, with_condition
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest

HEARTBEAT_SECONDS, LEASE_SECONDS = 10.0, 40
RETRY_SECONDS = 0.2
LEASES = "kube-node-lease"
VERSION = "v1.35.4"  # what the emulated API says it is, and what go.mod builds
PODS = "1000"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PRESSURES = {  # condition: (reason, message)
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


class Node:
    """One node's object and lease."""

    def __init__(self, client: Client, name: str, port: int) -> None:
        self._client, self._name, self._port = client, name, port
        self._ready, self._lost = True, False
        self._conditions: list[Manifest] = []
        self._uid = ""
        self._renewals: Manifest = {}
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="kubelet-node", daemon=True)

    def start(self, timeout_seconds: float) -> None:
        """Register, and begin the heartbeats. Raises ApiUnreachable if the API doesn't answer in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._register()
                break
            except ApiUnreachable:
                if time.monotonic() > deadline:
                    raise
                self._stopping.wait(RETRY_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Stop the heartbeats; the node's object stays."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def ready(self, is_ready: bool) -> None:
        """Report the node as ready or not ready. Raises ApiError, ApiUnreachable."""
        self._ready = is_ready
        if not self._lost:
            self._write_status()

    def lose(self) -> None:
        """Stop the heartbeats, and mark the node Ready Unknown. Raises ApiError, ApiUnreachable."""
        with self._writing:
            self._lost = True
            for kind in ("Ready", *PRESSURES):
                mark = {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                }
                before = condition({"status": {"conditions": self._conditions}}, kind) or {}
                mark["lastHeartbeatTime"] = before.get("lastHeartbeatTime", stamp(_now()))
                self._conditions = with_condition(self._conditions, mark, _now())
            self._client.patch("nodes", "", self._name, {"status": {"conditions": self._conditions}}, part="status")

    def rejoin(self) -> None:
        """Resume the heartbeats. Raises ApiError, ApiUnreachable."""
        self._lost = False
        self._write_status()
        self._renew()

    def _beat(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            if self._lost:
                continue
            try:
                self._write_status()
                self._renew()
            except (ApiUnreachable, ApiError):
                continue  # the next heartbeat will tell

    def _register(self) -> None:
        try:
            made = self._client.create("nodes", {**_node(self._name), "status": self._status()})
        except ApiError as refusal:
            if refusal.reason != "AlreadyExists":
                raise
            made = self._client.get("nodes", "", self._name)
            self._client.patch("nodes", "", self._name, {"metadata": {"labels": _labels(self._name)}})
        self._uid = made["metadata"]["uid"]
        self._conditions = (made.get("status") or {}).get("conditions") or []
        self._write_status()
        self._renew()

    def _write_status(self) -> None:
        with self._writing:
            if not self._lost:
                self._client.patch("nodes", "", self._name, {"status": self._status()}, part="status")

    def _status(self) -> Manifest:
        now = _now()
        for mark in self._marks():
            self._conditions = with_condition(self._conditions, {**mark, "lastHeartbeatTime": stamp(now)}, now)
        capacity = {
            "cpu": str(os.cpu_count() or 1),
            "memory": f"{_memory_kib()}Ki",
            "ephemeral-storage": "100Gi",
            "pods": PODS,
        }
        return {
            "addresses": [
                {"type": "InternalIP", "address": ADDRESS},
                {"type": "Hostname", "address": self._name},
            ],
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": self._conditions,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": _node_info(self._name),
        }

    def _marks(self) -> list[Manifest]:
        marks: list[Manifest] = [
            {"type": kind, "status": "False", "reason": reason, "message": message}
            for kind, (reason, message) in PRESSURES.items()
        ]
        if self._ready:
            ready = {"status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
        else:
            ready = {"status": "False", "reason": "KubeletNotReady", "message": "the kubelet was told not to be ready"}
        return [*marks, {"type": "Ready", **ready}]

    def _renew(self) -> None:
        """Renew the lease, by which a control plane sees that the node is alive."""
        times = {"renewTime": _now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        try:
            self._client.patch("leases", LEASES, self._name, {"spec": times})
        except ApiError as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            self._client.create("leases", self._lease(times))

    def _lease(self, times: Manifest) -> Manifest:
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": self._uid}
        metadata = {"name": self._name, "namespace": LEASES, "ownerReferences": [owner]}
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": LEASE_SECONDS, **times}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _node(name: str) -> Manifest:
    metadata = {"name": name, "labels": _labels(name)}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}


def _labels(name: str) -> Manifest:
    system, architecture = platform.system().lower(), _architecture()
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": system,
        "beta.kubernetes.io/arch": architecture,
    }


def _node_info(name: str) -> Manifest:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": platform.release(),
        "osImage": "drfsm sandbox (processes of this machine)",
        "containerRuntimeVersion": "drfsm://1",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": platform.system().lower(),
        "architecture": _architecture(),
    }


def _architecture() -> str:
    machine = platform.machine().lower()
    return ARCHITECTURES.get(machine, machine)


def _memory_kib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def _now() -> datetime:
    return datetime.now(UTC)
