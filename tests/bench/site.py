"""A site for the tests of one noun: an emulated cluster, a namespace of one's own, and the real client for it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.adapters.kube import KubeCluster
from drfsm.dr.backup.state_volume import Pace
from drfsm.engine import SystemClock
from drfsm.sandbox import workload_image
from drfsm.sandbox.cloud import Identity
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CRONJOB, REPOSITORY, Options, manifests

CLAIM = "jobintel-state"
PYTHON = "python3"


@frozen
class Place:
    """A namespace on a cluster, and what may be done there."""

    emulated: EmulatedCluster
    namespace: str

    @property
    def cluster(self) -> KubeCluster:
        """The cluster as drfsm reaches it."""
        return KubeCluster(self.emulated.name, self.emulated.kubeconfig)

    def lay(self, bucket: str, *, claim: bool, secret: bool = True) -> None:
        """Lay the seed's objects into the namespace, as somebody's admin; perhaps with a lasting volume."""
        options, identity = Options(bucket=bucket), Identity("arn:aws:iam::1:user/x", "key", "s3cr3t-value")
        for each in manifests("primary", options, identity, "http://127.0.0.1:9"):
            if each["kind"] != "Secret" or secret:
                self.put(_with_claim(each) if claim and each["kind"] == "CronJob" else each)
        if claim:
            self.put(self.claim_manifest())

    def claim_manifest(self) -> dict[str, Any]:
        """Return a claim."""
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}

    def put(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Apply an object behind the API, here."""
        found: dict[str, Any] = deepcopy(dict(manifest))
        if found["kind"] == "Namespace":
            found["metadata"]["name"] = self.namespace
        else:
            found["metadata"]["namespace"] = self.namespace
        return self.emulated.apply(found)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object that is there."""
        found = self.cluster.get(kind, "" if kind == "Namespace" else self.namespace, name)
        assert found is not None, f"{kind} {name} is not there"
        return found

    @property
    def volume(self) -> Path:
        """Where the node keeps the claim's files."""
        return self.emulated.directory / "node" / "claims" / self.namespace / CLAIM

    def fill(self, files: Mapping[str, str]) -> None:
        """Write files into the claim: a pod mounts it, then the node's directory is there."""
        script = "import pathlib\n" + "".join(
            f"p=pathlib.Path('state',{name!r}); p.parent.mkdir(parents=True,exist_ok=True); p.write_text({text!r})\n"
            for name, text in files.items()
        )
        self.work("fill", [PYTHON, "-c", script])
        until(lambda: self.phase("fill") == "Succeeded")
        self.cluster.delete("Pod", self.namespace, "fill")
        until(lambda: self.cluster.get("Pod", self.namespace, "fill") is None)

    def work(self, name: str, command: list[str], owners: list[dict[str, Any]] | None = None) -> None:
        """Start a pod that has the claim."""
        container = {
            "name": "c", "image": f"{REPOSITORY}:1", "command": command, "workingDir": "/work",
            "volumeMounts": [{"name": "state", "mountPath": "/work/state"}],
        }  # fmt: skip
        volumes = [{"name": "state", "persistentVolumeClaim": {"claimName": CLAIM}}]
        spec = {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": 0,
        }
        metadata = {"name": name, **({"ownerReferences": owners} if owners else {})}
        self.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def phase(self, pod: str) -> str:
        """Return how a pod stands."""
        return str((self.get("Pod", pod).get("status") or {}).get("phase"))

    def files(self) -> dict[str, str]:
        """Return what the claim holds."""
        home = self.volume
        return {each.relative_to(home).as_posix(): each.read_text() for each in home.rglob("*") if each.is_file()}


def _with_claim(cronjob: Mapping[str, Any]) -> dict[str, Any]:
    found = deepcopy(dict(cronjob))
    pod = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "jobintel-state", "persistentVolumeClaim": {"claimName": CLAIM}}]
    return found


@contextmanager
def emulated(directory: Path) -> Iterator[EmulatedCluster]:
    """Start a cluster that knows the workload's image."""
    images = {REPOSITORY: workload_image.build(directory.parent / "image")}
    with EmulatedCluster("site", directory, images) as started:
        yield started


def pace(said: list[str] | None = None) -> Pace:
    """Return a pace that nothing stops."""
    return Pace(lambda: None, (said if said is not None else []).append, SystemClock())


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what becomes true in time; fail if nothing does."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return found


__all__ = ["CLAIM", "CRONJOB", "Place", "emulated", "pace", "until"]
