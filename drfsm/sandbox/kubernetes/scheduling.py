"""The scheduler: chooses the node of a pod, and binds it.

``place_pod`` is pure. The ``Scheduler`` of the controllers calls it, and so does binding.py for a control plane without
a scheduler; each binds in its own way.

A pod fits a node that is Ready and not cordoned, matches the pod's nodeSelector, and has no taint that the pod doesn't
tolerate. Resources, affinity and spreading are ignored, because a sandbox's cluster has one node.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import frozen

from drfsm.sandbox.kubernetes.reading import (
    Place,
    condition,
    has_ended,
    is_being_deleted,
    is_true,
    place,
    with_condition,
)
from drfsm.sandbox.kubernetes.refusals import Manifest
from drfsm.sandbox.kubernetes.workqueue import Workqueue

COMPONENT = "default-scheduler"
REPELLING = ("NoSchedule", "NoExecute")


@frozen
class Fit:
    """The node that a pod fits. ``node`` is empty if it fits none; then ``why`` is the real scheduler's message."""

    node: str
    why: str = ""


def place_pod(pod: Manifest, nodes: Iterable[Manifest]) -> Fit:
    """Return the node that a pod is to be bound to."""
    obstacles: Counter[str] = Counter()
    for node in nodes:
        obstacle = _obstacle(pod, node)
        if obstacle is None:
            return Fit(place(node).name)
        obstacles[obstacle] += 1
    total = sum(obstacles.values())
    if not total:
        return Fit("", "no nodes available to schedule pods")
    summary = ", ".join(f"{count} {obstacle}" for obstacle, count in sorted(obstacles.items()))
    unhelpful = f"preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    return Fit("", f"0/{total} nodes are available: {summary}. {unhelpful}")


def unschedulable(why: str) -> Manifest:
    """Return the PodScheduled condition of a pod that fits nowhere."""
    return {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}


def waits_for_a_node(pod: Manifest) -> bool:
    """Return whether a pod still needs a node."""
    return not pod["spec"].get("nodeName") and not has_ended(pod) and not is_being_deleted(pod)


def _obstacle(pod: Manifest, node: Manifest) -> str | None:
    """Return why a pod doesn't fit a node, in the real scheduler's words; None if it fits."""
    if node.get("spec", {}).get("unschedulable"):
        return "node(s) were unschedulable"
    if not is_true(node, "Ready"):
        return "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
    taint = _repelled(pod["spec"].get("tolerations") or (), node.get("spec", {}).get("taints") or ())
    if taint is not None:
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(name) != value for name, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    return None


def _repelled(tolerations: Sequence[Manifest], taints: Sequence[Manifest]) -> Manifest | None:
    for taint in taints:
        if taint["effect"] in REPELLING and not any(_tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def _tolerates(toleration: Manifest, taint: Manifest) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


class Scheduler:
    """Binds pods that wait for a node, and reports why one can't be bound."""

    resource = "pods"

    def __init__(self, workqueue: Workqueue) -> None:
        self._workqueue = workqueue

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the waiting pods when a node changed: they may fit now."""
        del manifest, gone
        if resource != "nodes":
            return ()
        return [place(pod) for pod in self._workqueue.mirror("pods") if waits_for_a_node(pod)]

    def sync(self, where: Place) -> None:
        """Bind a pod, if it waits and fits somewhere."""
        pod = self._workqueue.mirror("pods").get(where)
        if pod is None or not waits_for_a_node(pod):
            return
        fit = place_pod(pod, self._workqueue.mirror("nodes"))
        if fit.node:
            self._bind(pod, fit.node)
        else:
            self._refuse(pod, fit.why)

    def _bind(self, pod: Manifest, node: str) -> None:
        scheduled = self._marked(pod, {"type": "PodScheduled", "status": "True"})
        bound = self._workqueue.write("pods", {**scheduled, "spec": {**scheduled["spec"], "nodeName": node}})
        message = f"Successfully assigned {place(pod).namespace}/{place(pod).name} to {node}"
        self._workqueue.tell(COMPONENT, bound, "Normal", "Scheduled", message)

    def _refuse(self, pod: Manifest, why: str) -> None:
        before = condition(pod, "PodScheduled") or {}
        if before.get("message") != why:
            self._marked(pod, unschedulable(why))
            self._workqueue.tell(COMPONENT, pod, "Warning", "FailedScheduling", why)

    def _marked(self, pod: Manifest, mark: Manifest) -> Manifest:
        status = pod.get("status", {})
        conditions = with_condition(status.get("conditions") or (), mark, self._workqueue.now())
        return self._workqueue.write("pods", {**pod, "status": {**status, "conditions": conditions}}, status=True)
