"""The controllers of Deployments and ReplicaSets: enough of apps/v1 to scale, to roll and to report availability.

A changed template makes a new ReplicaSet. ``RollingUpdate`` brings all of it up before the old one goes down;
``Recreate`` does the opposite. Left out: the steps of maxSurge and maxUnavailable, and rollback. The store deletes the
pods whose owner is gone.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from math import floor

from drfsm.sandbox.kubernetes.reading import (
    Place,
    by_readiness,
    condition,
    controller_of,
    is_active,
    is_being_deleted,
    is_true,
    moment,
    owner_reference,
    place,
    uid,
    with_condition,
)
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.store import clone
from drfsm.sandbox.kubernetes.workqueue import Workqueue

HASH, REVISION = "pod-template-hash", "deployment.kubernetes.io/revision"
RETRY_SECONDS = 1.0
COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


class ReplicaSets:
    """Keeps as many pods as each ReplicaSet asks for."""

    resource = "replicasets"
    component = "replicaset-controller"

    def __init__(self, workqueue: Workqueue) -> None:
        self._workqueue = workqueue

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the ReplicaSet of a pod."""
        del gone
        return _owner_place("ReplicaSet", manifest) if resource == "pods" else ()

    def sync(self, where: Place) -> None:
        """Create or remove pods, then count them."""
        replicaset = self._workqueue.mirror("replicasets").get(where)
        if replicaset is None:
            return
        if not is_being_deleted(replicaset):
            active = [pod for pod in self._workqueue.mirror("pods").owned(uid(replicaset)) if is_active(pod)]
            missing = replicaset["spec"].get("replicas", 1) - len(active)
            self._create(replicaset, missing)
            for pod in by_readiness(active)[: max(0, -missing)]:
                if self._workqueue.delete("pods", pod):
                    self._tell(replicaset, "SuccessfulDelete", f"Deleted pod: {place(pod).name}")
        self._count(replicaset)

    def _create(self, replicaset: Manifest, missing: int) -> None:
        for _ in range(missing):
            try:
                pod = self._workqueue.create("pods", _pod_of(replicaset))
            except ApiError as refusal:
                message = f"Error creating: {refusal.message}"
                self._workqueue.tell(self.component, replicaset, "Warning", "FailedCreate", message)
                later = self._workqueue.now() + timedelta(seconds=RETRY_SECONDS)
                self._workqueue.look_again("replicasets", place(replicaset), later)
                return
            self._tell(replicaset, "SuccessfulCreate", f"Created pod: {place(pod).name}")

    def _count(self, replicaset: Manifest) -> None:
        active = [pod for pod in self._workqueue.mirror("pods").owned(uid(replicaset)) if is_active(pod)]
        ready = [pod for pod in active if is_true(pod, "Ready")]
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "readyReplicas": len(ready),
            "availableReplicas": len(self._available(replicaset, ready)),
            "observedGeneration": replicaset["metadata"]["generation"],
        }
        status = {name: count for name, count in status.items() if count or name == "replicas"}
        if status != replicaset.get("status"):
            self._workqueue.write("replicasets", {**replicaset, "status": status}, status=True)

    def _available(self, replicaset: Manifest, ready: Sequence[Manifest]) -> list[Manifest]:
        """Return the pods that have been ready for long enough; sync again when the others will have been."""
        least = timedelta(seconds=replicaset["spec"].get("minReadySeconds") or 0)
        available = []
        for pod in ready:
            since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
            at = moment(since) + least if since and least else self._workqueue.now()
            if at <= self._workqueue.now():
                available.append(pod)
            else:
                self._workqueue.look_again("replicasets", place(replicaset), at)
        return available

    def _tell(self, replicaset: Manifest, reason: str, message: str) -> None:
        self._workqueue.tell(self.component, replicaset, "Normal", reason, message)


class Deployments:
    """Keeps one ReplicaSet for each Deployment's template, and the others at zero."""

    resource = "deployments"
    component = "deployment-controller"

    def __init__(self, workqueue: Workqueue) -> None:
        self._workqueue = workqueue

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the Deployment of a ReplicaSet, or of a deleted pod, for which ``Recreate`` waits."""
        if resource == "replicasets":
            yield from _owner_place("Deployment", manifest)
        elif resource == "pods" and gone:
            for where in _owner_place("ReplicaSet", manifest):
                if (replicaset := self._workqueue.mirror("replicasets").get(where)) is not None:
                    yield from _owner_place("Deployment", replicaset)

    def sync(self, where: Place) -> None:
        """Roll towards the current template, then report how far the rollout is."""
        deployment = self._workqueue.mirror("deployments").get(where)
        if deployment is None:
            return
        if not is_being_deleted(deployment) and not deployment["spec"].get("paused"):
            self._roll(deployment)
        self._report(self._workqueue.mirror("deployments").get(where) or deployment)

    def _roll(self, deployment: Manifest) -> None:
        name = f"{place(deployment).name}-{template_hash(deployment)}"
        owned = self._workqueue.mirror("replicasets").owned(uid(deployment))
        old = [replicaset for replicaset in owned if place(replicaset).name != name]
        current = next((replicaset for replicaset in owned if place(replicaset).name == name), None)
        recreate = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
        if recreate and any(self._workqueue.mirror("pods").owned(uid(replicaset)) for replicaset in old):
            self._shrink(deployment, old)
            return
        replicas = deployment["spec"].get("replicas", 1)
        if current is None:
            current = self._create(deployment, name, owned)
        elif current["spec"]["replicas"] != replicas:
            current = self._scale(deployment, current, replicas)
        if current.get("status", {}).get("availableReplicas", 0) >= replicas:
            self._shrink(deployment, old)
            self._forget(deployment, old)

    def _create(self, deployment: Manifest, name: str, owned: Sequence[Manifest]) -> Manifest:
        revision = str(1 + max((_revision(replicaset) for replicaset in owned), default=0))
        created = self._workqueue.create("replicasets", _replicaset_of(deployment, name, revision))
        count = created["spec"]["replicas"]
        self._tell(deployment, f"Scaled up replica set {name} from 0 to {count}")
        marked = clone(deployment)
        marked["metadata"].setdefault("annotations", {})[REVISION] = revision
        self._workqueue.write("deployments", marked)
        return created

    def _scale(self, deployment: Manifest, replicaset: Manifest, replicas: int) -> Manifest:
        before = replicaset["spec"]["replicas"]
        scaled = {**clone(replicaset), "spec": {**clone(replicaset["spec"]), "replicas": replicas}}
        written = self._workqueue.write("replicasets", scaled)
        way = "up" if replicas > before else "down"
        self._tell(deployment, f"Scaled {way} replica set {place(replicaset).name} from {before} to {replicas}")
        return written

    def _shrink(self, deployment: Manifest, old: Sequence[Manifest]) -> None:
        for replicaset in old:
            if replicaset["spec"]["replicas"]:
                self._scale(deployment, replicaset, 0)

    def _forget(self, deployment: Manifest, old: Sequence[Manifest]) -> None:
        """Delete old ReplicaSets beyond the history's limit."""
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        empty = [one for one in old if not one["spec"]["replicas"] and not one.get("status", {}).get("replicas")]
        for replicaset in sorted(empty, key=_revision)[: max(0, len(empty) - limit)]:
            self._workqueue.delete("replicasets", replicaset)

    def _report(self, deployment: Manifest) -> None:
        spec = deployment["spec"]
        owned = self._workqueue.mirror("replicasets").owned(uid(deployment))
        name = f"{place(deployment).name}-{template_hash(deployment)}"
        current = next((replicaset for replicaset in owned if place(replicaset).name == name), None)
        replicas = spec.get("replicas", 1)
        totals = {field: sum(replicaset["status"].get(field, 0) for replicaset in owned) for field in COUNTS}
        totals["updatedReplicas"] = current["status"].get("replicas", 0) if current else 0
        totals["unavailableReplicas"] = max(0, max(replicas, totals["replicas"]) - totals["availableReplicas"])
        status = {
            **{field: count for field, count in totals.items() if count},
            "observedGeneration": deployment["metadata"]["generation"],
            "conditions": self._conditions(deployment, name, totals, replicas),
        }
        if status != deployment.get("status"):
            self._workqueue.write("deployments", {**deployment, "status": status}, status=True)

    def _conditions(self, deployment: Manifest, name: str, totals: Manifest, replicas: int) -> list[Manifest]:
        spec, now = deployment["spec"], self._workqueue.now()
        least = replicas - _unavailable_allowed(spec, replicas)
        if totals["availableReplicas"] >= least:
            available = _mark("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            message = "Deployment does not have minimum availability."
            available = _mark("Available", "False", "MinimumReplicasUnavailable", message)
        done = totals["updatedReplicas"] == totals["replicas"] == totals["availableReplicas"] == replicas
        if done:
            message = f'ReplicaSet "{name}" has successfully progressed.'
            progress = _mark("Progressing", "True", "NewReplicaSetAvailable", message)
        else:
            message = f'ReplicaSet "{name}" is progressing.'
            progress = _mark("Progressing", "True", "ReplicaSetUpdated", message)
        conditions: Sequence[Manifest] = deployment.get("status", {}).get("conditions") or ()
        for mark in (available, progress):
            before = next((old_mark for old_mark in conditions if old_mark["type"] == mark["type"]), {})
            if any(before.get(field) != value for field, value in mark.items()):
                updated = {**mark, "lastUpdateTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
                conditions = with_condition(conditions, updated, now)
        return list(conditions)

    def _tell(self, deployment: Manifest, message: str) -> None:
        self._workqueue.tell(self.component, deployment, "Normal", "ScalingReplicaSet", message)


def template_hash(deployment: Manifest) -> str:
    """Return the hash in the name of a template's ReplicaSet; the same template has the same one."""
    body = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()[:10]


def _replicaset_of(deployment: Manifest, name: str, revision: str) -> Manifest:
    spec = clone(deployment["spec"])
    mark = {HASH: template_hash(deployment)}
    template = spec["template"]
    template["metadata"] = {**(template.get("metadata") or {})}
    template["metadata"]["labels"] = {**(template["metadata"].get("labels") or {}), **mark}
    selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), **mark}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": place(deployment).namespace,
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION: revision},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": spec.get("replicas", 1),
            "selector": selector,
            "template": template,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        },
    }


def _pod_of(replicaset: Manifest) -> Manifest:
    template = clone(replicaset["spec"]["template"])
    template_metadata = template.get("metadata") or {}
    metadata = {
        "generateName": f"{place(replicaset).name[:52]}-",
        "namespace": place(replicaset).namespace,
        "labels": template_metadata.get("labels") or {},
        "annotations": template_metadata.get("annotations") or {},
        "ownerReferences": [owner_reference(replicaset)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _unavailable_allowed(spec: Manifest, replicas: int) -> int:
    """Return how many replicas may be missing; rounded down, as the real one does."""
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0
    allowed = strategy.get("rollingUpdate", {}).get("maxUnavailable", "25%")
    if isinstance(allowed, int):
        return allowed
    return floor(replicas * float(allowed.rstrip("%")) / 100)


def _owner_place(kind: str, manifest: Manifest) -> Iterable[Place]:
    owner = controller_of(manifest)
    if owner is None or owner["kind"] != kind:
        return ()
    return (Place(place(manifest).namespace, owner["name"]),)


def _revision(replicaset: Manifest) -> int:
    return int((replicaset["metadata"].get("annotations") or {}).get(REVISION, "0"))


def _mark(kind: str, status: str, reason: str, message: str) -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": message}
