"""The workload's state in its persistent volume: read and written by a Job of the workload's own image.

The Job runs in_pod.py with Python, mounts the claim and an emptyDir, and has one presigned URL, from a Secret that
lives as long as the Job does. The transported archive is meanwhile below ``<prefix>/drfsm/state/``. The Job, its Secret
and the object are named after the archive, so that the next attempt after a crash removes them and starts again;
in_pod.py explains why that is safe. Called by backup/create.py and restore.py.
"""

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, object_of
from drfsm.dr.backup.archive import LARGEST_UNPACKED_BYTES, STATE
from drfsm.dr.backup.manifests import pod_of
from drfsm.dr.backup.volumes import Home
from drfsm.dr.objects import ROLE_LABEL, condition
from drfsm.dr.sites import pod_at_fault
from drfsm.engine.ports import Clock
from drfsm.errors import ActionFailed, Unreadable
from drfsm.world import Check, Cluster, Manifest, ObjectStore

ROLE = "state"
URL_SECONDS, JOB_SECONDS, STARTUP_SECONDS, POLL_SECONDS = 3600, 3600, 120.0, 0.2
LOG_LINES, LARGEST_LINE_BYTES = 20, 1 << 20
_ENDED = ("Succeeded", "Failed")
_HOME = "/drfsm"
_KEPT_OF_POD = (
    "serviceAccountName",
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "affinity",
    "securityContext",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
)


@frozen
class Pace:
    """The hooks of a long action: it stops when ``check`` raises, reports by ``say``, and waits by ``clock``."""

    check: Check
    say: Callable[[str], None]
    clock: Clock


@frozen
class Image:
    """The Job's image ("" for the workload's own), and the name of its Python program."""

    ref: str = ""
    python: str = "python3"


def check_idle(cluster: Cluster, namespace: str, claim: str) -> None:
    """Raise ActionFailed while a Job's pod uses the claim: it could write at the same time."""
    for pod in cluster.list("Pod", namespace):
        ended = (pod.get("status") or {}).get("phase") in _ENDED
        owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences") or []}
        ours = (pod["metadata"].get("labels") or {}).get(ROLE_LABEL) == ROLE
        used = {
            (volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod["spec"].get("volumes") or []
        }
        if "Job" in owners and claim in used and not ended and not ours:
            raise ActionFailed(
                f"pod {pod['metadata']['name']} on {cluster.name} is still using the claim {claim}",
                hint="suspend the schedules, wait for the pod's end, then try again",
            )


@frozen
class Transport:
    """One transport between a volume and the store. ``name``: of the Job and its Secret; ``key``: of the object."""

    cluster: Cluster
    store: ObjectStore
    namespace: str
    name: str
    key: str
    home: Home
    image: Image
    pace: Pace

    def save(self) -> tuple[bytes, Mapping[str, Any]]:
        """Return the volume's files as a tar, and the pod's result. Raises ActionFailed."""
        most = LARGEST_UNPACKED_BYTES[STATE]
        done = self._run({"DRFSM_VERB": "save", "DRFSM_MOST": str(most)}, write=True)
        blob = self.store.get(self.key, largest_bytes=most)
        self.store.delete(self.key)
        if blob is None or hashlib.sha256(blob.body).hexdigest() != done.get("sha256"):
            raise ActionFailed(f"the archive from Job {self.name} differs from what it sent", hint="try again")
        return blob.body, done

    def restore(self, body: bytes, sha256: str, *, replace: bool) -> Mapping[str, Any]:
        """Restore a tar's files into the volume; return the pod's result. Raises ActionFailed."""
        self.store.put(self.key, body)
        environment = {"DRFSM_VERB": "restore", "DRFSM_SHA256": sha256, "DRFSM_REPLACE": "1" if replace else "0"}
        try:
            return self._run(environment, write=False)
        finally:
            self.store.delete(self.key)

    def _run(self, environment: Mapping[str, str], *, write: bool) -> Mapping[str, Any]:
        self._clear()
        url = self.store.presigned_url(self.key, seconds=URL_SECONDS, write=write)
        try:
            self.cluster.create(self._secret(url))
            self.cluster.create(self._job(environment, reads_only=write))
            self.pace.say(f"Job {self.name} on {self.cluster.name}: {environment['DRFSM_VERB']} {self.home.claim}")
            return self._ended()
        finally:
            self._clear()

    def _clear(self) -> None:
        """Delete the Job, its pods and its Secret, and wait until they are gone."""
        self.cluster.delete("Secret", self.namespace, self.name)
        if job := self.cluster.get("Job", self.namespace, self.name):  # never one that a later attempt creates
            self.cluster.delete("Job", self.namespace, self.name, uid=job["metadata"]["uid"])
        while self.cluster.get("Job", self.namespace, self.name) or self._pods():
            self.pace.check()
            self.pace.clock.sleep(POLL_SECONDS)

    def _pods(self) -> list[Manifest]:
        return list(self.cluster.list("Pod", self.namespace, labels=f"job-name={self.name}"))

    def _ended(self) -> Mapping[str, Any]:
        """Wait for the Job's end; return its pod's result. Raises ActionFailed."""
        began, trouble_since = self.pace.clock.monotonic(), 0.0
        while True:
            self.pace.check()
            job = self.cluster.get("Job", self.namespace, self.name)
            if job is None:
                raise ActionFailed(
                    f"Job {self.name} on {self.cluster.name} was deleted before its end", hint="try again"
                )
            if condition(job, "Complete", "Failed"):
                return self._answer(job)
            now = self.pace.clock.monotonic()
            trouble = [words for pod in self._pods() for words in pod_at_fault(pod)]
            trouble_since = (trouble_since or now) if trouble else 0.0
            if (trouble and now - trouble_since > STARTUP_SECONDS) or now - began > JOB_SECONDS:
                raise ActionFailed(f"Job {self.name} does not start: {'; '.join(trouble) or 'it takes too long'}")
            self.pace.clock.sleep(POLL_SECONDS)

    def _answer(self, job: Manifest) -> Mapping[str, Any]:
        logs = [self.cluster.log(self.namespace, pod["metadata"]["name"], tail_lines=LOG_LINES) for pod in self._pods()]
        for line in (line for log in logs for line in reversed(log.splitlines())):
            if (said := _json(line)) is None:
                continue
            if "fault" in said:
                fault = bounded(said["fault"])
                raise ActionFailed(f"Job {self.name} on {self.cluster.name}: {fault}", hint=_way(fault))
            if condition(job, "Complete"):
                return said
        raise ActionFailed(
            f"Job {self.name} on {self.cluster.name} ended without a readable result",
            hint="its image needs Python 3.8 or later: name another image with --job-image",
        )

    # --- manifests ------------------------------------------------------------------------------------

    def _secret(self, url: str) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {ROLE_LABEL: ROLE}},
            "stringData": {"url": url},
        }

    def _job(self, environment: Mapping[str, str], *, reads_only: bool) -> Manifest:
        labels = {ROLE_LABEL: ROLE}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": JOB_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": self._pod(environment, reads_only=reads_only)},
            },
        }

    def _pod(self, environment: Mapping[str, str], *, reads_only: bool) -> Manifest:
        """Return the Job's pod. ``reads_only``: it saves, so it must not be able to change the state."""
        theirs = pod_of(self.home.cronjob)
        container = theirs["containers"][0]
        url = {"name": "DRFSM_URL", "valueFrom": {"secretKeyRef": {"name": self.name, "key": "url"}}}
        variables = [{"name": name, "value": value} for name, value in environment.items()]
        ours: Manifest = {
            "name": ROLE,
            "image": self.image.ref or container["image"],
            "command": [
                self.image.python,
                "-c",
                files("drfsm.dr.backup").joinpath("in_pod.py").read_text(encoding="utf-8"),
            ],
            "env": [*variables, url],
            "workingDir": _HOME,
            "volumeMounts": [
                {"name": "state", "mountPath": f"{_HOME}/state", **({"readOnly": True} if reads_only else {})},
                {"name": "scratch", "mountPath": f"{_HOME}/scratch"},
            ],
        }
        ours |= {
            name: container[name] for name in ("securityContext", "resources", "imagePullPolicy") if name in container
        }
        return {
            **{name: theirs[name] for name in _KEPT_OF_POD if name in theirs},
            "restartPolicy": "Never",
            "containers": [ours],
            "volumes": [
                {"name": "state", "persistentVolumeClaim": self._claim()},
                {"name": "scratch", "emptyDir": {}},
            ],
        }

    def _claim(self) -> Manifest:
        """Return the claim as the workload has it: one that it only reads may be attached for reading only."""
        return {"claimName": self.home.claim, **({"readOnly": True} if self.home.read_only else {})}


def _json(line: str) -> Mapping[str, Any] | None:
    """Return the result in a line of a pod's log, None for a line that is not in_pod.py's."""
    try:
        return object_of(line, "a line of its log", largest_bytes=LARGEST_LINE_BYTES)
    except Unreadable:
        return None


def _way(fault: str) -> str:
    if fault.startswith("the volume is not empty"):
        return "check its content; --replace-state replaces it by the backup's"
    return "fix the reason, then try again"
