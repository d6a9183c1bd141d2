"""Deployments scale, roll and say how available they are; pods go where they fit. The test plays the kubelet."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from drfsm.sandbox.kubernetes.controllers import Controllers
from drfsm.sandbox.kubernetes.scheduling import place_pod
from drfsm.sandbox.kubernetes.store import Store

NAMESPACE = "default"
Manifest = dict[str, Any]


def eventually(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return now


def node(name: str = "n", *, ready: str = "True", **spec: Any) -> Manifest:
    """Return a node."""
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": {"zone": "a"}}, "spec": spec, "status": status}


class Bench:
    """A store with controllers and one Deployment; ``serve`` makes every pod ready."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.controllers = Controllers(self.store)
        self.controllers.start()

    def deploy(self, **spec: Any) -> None:
        """Create the Deployment."""
        labels = {"app": "web"}
        pod = {"containers": [{"name": "main", "image": "web:1"}]}
        template = {"metadata": {"labels": labels}, "spec": pod}
        whole = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template, **spec}
        self.store.create("deployments", {"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": whole})

    def look(self) -> Manifest:
        """Return the Deployment, with a status in any case."""
        return {"status": {}, **self.store.get("deployments", NAMESPACE, "web")}

    def change(self, **spec: Any) -> None:
        """Change the Deployment."""
        with self.store.alone():
            live = self.look()
            self.store.update("deployments", {**live, "spec": {**live["spec"], **spec}})

    def image(self, image: str) -> None:
        """Change the image."""
        template = self.look()["spec"]["template"]
        template["spec"]["containers"][0]["image"] = image
        self.change(template=template)

    def pods(self) -> list[Manifest]:
        """Return the pods."""
        return self.store.list("pods", NAMESPACE)[0]

    def images(self) -> list[str]:
        """Return the pods' images."""
        return sorted(each["spec"]["containers"][0]["image"] for each in self.pods())

    def serve(self) -> None:
        """Make every pod run and ready."""
        marks = [{"type": "Ready", "status": "True", "lastTransitionTime": now()}]
        with self.store.alone():
            for each in self.pods():
                self.store.update("pods", {**each, "status": {"phase": "Running", "conditions": marks}}, status=True)

    def available(self, count: int) -> bool:
        """Serve, and return whether that many are available."""
        self.serve()
        return bool(self.look()["status"].get("availableReplicas", 0) == count)


def now() -> str:
    """Return the time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(manifest: Manifest, kind: str) -> Manifest:
    """Return a condition."""
    return next((each for each in manifest["status"].get("conditions", ()) if each["type"] == kind), {})


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a running bench."""
    made = Bench()
    yield made
    made.controllers.stop()


def test_a_deployment_makes_a_replicaset_and_its_pods(bench: Bench) -> None:
    """Two replicas: one ReplicaSet owned by the Deployment, two pods owned by the ReplicaSet."""
    bench.deploy()
    assert eventually(lambda: len(bench.pods()) == 2)
    (replicaset,), _ = bench.store.list("replicasets", NAMESPACE)
    assert replicaset["metadata"]["ownerReferences"][0]["name"] == "web"
    assert replicaset["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    for pod in bench.pods():
        assert pod["metadata"]["ownerReferences"][0]["name"] == replicaset["metadata"]["name"]
        assert pod["metadata"]["labels"]["pod-template-hash"] in replicaset["metadata"]["name"]


def test_it_is_available_when_its_pods_are_ready(bench: Bench) -> None:
    """Before: Available False. After: True, Progressing done, all counts and the generation observed."""
    bench.deploy()
    assert eventually(lambda: condition(bench.look(), "Available").get("status") == "False")
    assert eventually(lambda: bench.available(2))
    status = bench.look()["status"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert "unavailableReplicas" not in status
    assert status["observedGeneration"] == bench.look()["metadata"]["generation"]
    assert condition(bench.look(), "Available")["status"] == "True"
    assert eventually(lambda: condition(bench.look(), "Progressing")["reason"] == "NewReplicaSetAvailable")


def test_scaling_up_down_and_to_nothing(bench: Bench) -> None:
    """As many pods as asked for, and a status that follows."""
    bench.deploy()
    for replicas in (3, 1, 0, 2):
        bench.change(replicas=replicas)
        assert eventually(lambda: len(bench.pods()) == replicas)  # noqa: B023  used within this turn
        assert eventually(lambda: bench.available(replicas))  # noqa: B023  likewise


def test_a_deleted_pod_is_replaced(bench: Bench) -> None:
    """Deleting one of the pods makes another."""
    bench.deploy()
    assert eventually(lambda: len(bench.pods()) == 2)
    gone = bench.pods()[0]["metadata"]
    bench.store.delete("pods", NAMESPACE, gone["name"])
    assert eventually(lambda: len(bench.pods()) == 2)
    assert gone["uid"] not in {each["metadata"]["uid"] for each in bench.pods()}


def test_a_changed_template_rolls_without_a_gap(bench: Bench) -> None:
    """RollingUpdate: the old pods stay until the new ones are available, then go."""
    bench.deploy()
    assert eventually(lambda: bench.available(2))
    bench.image("web:2")
    assert eventually(lambda: bench.images() == ["web:1", "web:1", "web:2", "web:2"])
    time.sleep(0.05)
    assert bench.images().count("web:1") == 2
    bench.serve()
    assert eventually(lambda: bench.images() == ["web:2", "web:2"])
    assert bench.look()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


def test_recreate_ends_the_old_before_the_new(bench: Bench) -> None:
    """Recreate: never do two versions exist side by side."""
    bench.deploy(strategy={"type": "Recreate"})
    assert eventually(lambda: bench.available(2))
    seen: list[list[str]] = []

    def rolled() -> bool:
        seen.append(bench.images())
        return seen[-1] == ["web:2", "web:2"]

    bench.image("web:2")
    assert eventually(rolled)
    assert not [each for each in seen if len(set(each)) > 1]


class LateStore(Store):
    """A store whose watches tell of pods a little later than of anything else: each watch is a thread of its own."""

    def watch(self, resource: str, *args: Any, **more: Any) -> Iterator[tuple[str, Manifest]]:
        """Watch."""
        for each in super().watch(resource, *args, **more):
            time.sleep(0.02 * (resource == "pods"))
            yield each


def test_recreate_goes_on_when_the_old_pods_are_seen_gone_after_their_replicaset_was_counted() -> None:
    """That the ReplicaSet has none any more may be seen before its pods' end is: the end itself brings the new ones."""
    bench = Bench(LateStore())
    try:
        bench.deploy(strategy={"type": "Recreate"})
        assert eventually(lambda: bench.available(2))
        bench.image("web:2")
        assert eventually(lambda: bench.images() == ["web:2", "web:2"], seconds=15)
    finally:
        bench.controllers.stop()


def test_a_deleted_deployment_takes_everything_along(bench: Bench) -> None:
    """ReplicaSet and pods go with it, and stay gone."""
    bench.deploy()
    assert eventually(lambda: len(bench.pods()) == 2)
    bench.store.delete("deployments", NAMESPACE, "web")
    assert eventually(lambda: bench.pods() == [] and bench.store.list("replicasets", NAMESPACE)[0] == [])
    time.sleep(0.05)
    assert bench.pods() == []


# --- where pods go -----------------------------------------------------------------------------------


def test_a_pod_goes_to_a_node_that_is_ready_and_open() -> None:
    """Of three nodes only the one that is Ready, not cordoned, and labelled as asked for is taken."""
    pod: Manifest = {"metadata": {"name": "p"}, "spec": {"nodeSelector": {"zone": "a"}}}
    nodes = [node("cordoned", unschedulable=True), node("sick", ready="False"), node("good")]
    assert place_pod(pod, nodes).node == "good"


@pytest.mark.parametrize(
    ("nodes", "selector", "why"),
    [
        ([], {}, "no nodes available to schedule pods"),
        ([node(unschedulable=True)], {}, "0/1 nodes are available: 1 node(s) were unschedulable. preemption: "),
        ([node(ready="Unknown")], {}, "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/"),
        ([node()], {"zone": "b"}, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        (
            [node("a", unschedulable=True), node("b", unschedulable=True)],
            {},
            "0/2 nodes are available: 2 node(s) were unschedulable.",
        ),
    ],
)
def test_what_fits_nowhere_says_why(nodes: list[Manifest], selector: dict[str, str], why: str) -> None:
    """The message is the real scheduler's."""
    fit = place_pod({"metadata": {"name": "p"}, "spec": {"nodeSelector": selector}}, nodes)
    assert (fit.node, fit.why[: len(why)]) == ("", why)


def test_a_taint_repels_unless_it_is_tolerated() -> None:
    """NoSchedule keeps a pod away; a toleration of that key lets it in."""
    tainted = node(taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    pod: Manifest = {"metadata": {"name": "p"}, "spec": {}}
    assert "untolerated taint {gpu: yes}" in place_pod(pod, [tainted]).why
    pod["spec"]["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    assert place_pod(pod, [tainted]).node == "n"


def test_a_waiting_pod_is_bound_when_the_node_is_opened(bench: Bench) -> None:
    """Cordoned: PodScheduled False, Unschedulable, with an event. Uncordoned: bound at once."""
    bench.store.create("nodes", node(unschedulable=True))
    live = bench.store.get("nodes", "", "n")
    bench.store.update("nodes", {**live, "status": node()["status"]}, status=True)
    spec = {"containers": [{"name": "main", "image": "x"}]}
    bench.store.create("pods", {"metadata": {"name": "p", "namespace": NAMESPACE}, "spec": spec})
    assert eventually(lambda: bool(condition(bench.store.get("pods", NAMESPACE, "p"), "PodScheduled")))
    mark = condition(bench.store.get("pods", NAMESPACE, "p"), "PodScheduled")
    assert (mark["status"], mark["reason"]) == ("False", "Unschedulable")
    live = bench.store.get("nodes", "", "n")
    bench.store.update("nodes", {**live, "spec": {}})
    assert eventually(lambda: bench.store.get("pods", NAMESPACE, "p")["spec"].get("nodeName") == "n")
    assert condition(bench.store.get("pods", NAMESPACE, "p"), "PodScheduled")["status"] == "True"
    reasons = {each["reason"] for each in bench.store.list("events", NAMESPACE)[0]}
    assert eventually(lambda: "FailedScheduling" in reasons)
