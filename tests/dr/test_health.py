"""A site is healthy when it could do its work now; what is wrong is told in words."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.dr.progress import first_of
from drfsm.dr.sites.health import cronjobs_at_fault, deployment_at_fault, examine, judge, nodes_at_fault, pod_at_fault
from drfsm.sandbox import workload_image
from drfsm.sandbox.cloud import Identity
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CRONJOB, DASHBOARD, NAMESPACE, REPOSITORY, Options, manifests


def node(name: str = "n1", *, cordoned: bool = False, **conditions: str) -> dict[str, Any]:
    """Return a node with these conditions."""
    told = [{"type": kind, "status": status} for kind, status in conditions.items()]
    return {"metadata": {"name": name}, "spec": {"unschedulable": cordoned}, "status": {"conditions": told}}


def deployment(*, replicas: int | None = 1, **status: int) -> dict[str, Any]:
    """Return a Deployment of generation 2."""
    spec = {} if replicas is None else {"replicas": replicas}
    return {"metadata": {"name": "dashboard", "generation": 2}, "spec": spec, "status": status}


def pod(*, phase: str = "Pending", deleted: bool = False, **status: Any) -> dict[str, Any]:
    """Return a pod."""
    metadata = {"name": "p", **({"deletionTimestamp": "2026-02-28T00:00:00Z"} if deleted else {})}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, **status}}


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    """Return the status of a container that waits."""
    return [{"name": "jobintel", "state": {"waiting": {"reason": reason, "message": message}}}]


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node(Ready="True")], []),
        ([node(Ready="True"), node("n2", cordoned=True, Ready="True")], []),
        ([], ["no node is ready to run a pod"]),
        ([node(Ready="False")], ["no node is ready to run a pod", "node n1 is not ready"]),
        ([node(Ready="True"), node("n2", Ready="Unknown")], ["node n2 is not ready"]),
        ([node(cordoned=True, Ready="True")], ["no node is ready to run a pod"]),
        ([node(Ready="True", DiskPressure="True")], ["node n1 is under DiskPressure"]),
    ],
)
def test_nodes_must_be_ready_and_one_must_take_pods(nodes: list[dict[str, Any]], told: list[str]) -> None:
    """Each node that is not ready is named; a site where no pod can go is told as such."""
    assert list(nodes_at_fault(nodes)) == told


@pytest.mark.parametrize(
    ("names", "named", "told"),
    [
        (["jobintel-daily"], "", []),
        (["jobintel-daily", "other"], "other", []),
        ([], "", ["there is no CronJob in jobintel"]),
        (["a"], "b", ["CronJob jobintel/b does not exist; the namespace has: a"]),
        (["b", "a"], "", ["which CronJob publishes? There are a, b: name one with --cronjob"]),
    ],
)
def test_the_cronjob_that_publishes_must_be_there(names: list[str], named: str, told: list[str]) -> None:
    """The named one, else the only one."""
    assert list(cronjobs_at_fault([{"metadata": {"name": each}} for each in names], named, "jobintel")) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (deployment(availableReplicas=1, observedGeneration=2), []),
        (deployment(replicas=None, availableReplicas=1, observedGeneration=2), []),
        (deployment(replicas=0, observedGeneration=2), []),
        (deployment(observedGeneration=2), ["Deployment dashboard has 0 of 1 replicas available"]),
        (
            deployment(availableReplicas=1, observedGeneration=1),
            ["Deployment dashboard was changed, and its controller has not seen it yet"],
        ),
    ],
)
def test_deployments_must_be_available_as_last_changed(given: dict[str, Any], told: list[str]) -> None:
    """Fewer replicas than wanted, or a status that is older than the wish, is a fault."""
    assert list(deployment_at_fault(given)) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (pod(phase="Running"), []),
        (pod(containerStatuses=waiting("ContainerCreating")), []),
        (
            pod(containerStatuses=waiting("ImagePullBackOff", "Back-off pulling image")),
            ["pod p, container jobintel: ImagePullBackOff: Back-off pulling image"],
        ),
        (
            pod(phase="Running", containerStatuses=waiting("CrashLoopBackOff")),
            ["pod p, container jobintel: CrashLoopBackOff"],
        ),
        (pod(initContainerStatuses=waiting("ErrImagePull")), ["pod p, container jobintel: ErrImagePull"]),
        (pod(phase="Failed", containerStatuses=waiting("CrashLoopBackOff")), []),
        (pod(deleted=True, containerStatuses=waiting("CrashLoopBackOff")), []),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"}]),
            ["pod p finds no node: 0/1"],
        ),
    ],
)
def test_no_pod_may_be_stuck(given: dict[str, Any], told: list[str]) -> None:
    """Crash and pull errors, and pods that find no node, are told with the cluster's words; ended pods are not."""
    assert list(pod_at_fault(given)) == told


def test_anything_wrong_is_degraded() -> None:
    """The judge counts what was found, also where there is more than is told."""
    assert judge({"wrong": first_of([])}, {}) == "healthy"
    assert judge({"wrong": first_of(["x"] * 100)}, {}) == "degraded"


def test_a_fault_is_accepted_with_a_reason_only_and_a_healthy_site_needs_no_acceptance() -> None:
    """The health is read all the same, so that nobody calls a site healthy that a person took as it was."""
    accepts = {"allow_degraded": "yes", "reason": "one node is enough"}
    assert judge({"wrong": first_of(["x"])}, accepts) == "accepted"
    assert judge({"wrong": first_of(["x"])}, {**accepts, "reason": " "}) == "degraded"
    assert judge({"wrong": first_of([])}, accepts) == "healthy"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[EmulatedCluster, KubeCluster]]:
    """Run a primary as it is before any disaster, and return it with the operator's way to it."""
    identity = Identity("arn:aws:iam::123456789012:user/primary", "key", "secret")
    images = {REPOSITORY: workload_image.build(tmp_path / "image")}
    with EmulatedCluster("primary", tmp_path / "primary", images) as cluster:
        for each in manifests("primary", Options(), identity, "http://127.0.0.1:9"):
            cluster.apply(each)
        yield cluster, KubeCluster("primary", cluster.kubeconfig)


def until(site: KubeCluster, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look at a site's health until it is as awaited, for ten seconds at most; return what was seen last."""
    deadline = time.monotonic() + 60
    seen = examine(site, NAMESPACE, "")
    while not holds(seen) and time.monotonic() < deadline:
        time.sleep(0.05)
        seen = examine(site, NAMESPACE, "")
    return seen


def healthy(seen: dict[str, Any]) -> bool:
    """Say whether nothing is wrong."""
    return judge(seen, {}) == "healthy"


def saying(words: str) -> Callable[[dict[str, Any]], bool]:
    """Return whether something that is wrong says this."""
    return lambda seen: any(words in each for each in seen["wrong"]["first"])


def test_a_sites_health_is_seen_through_its_api(site: tuple[EmulatedCluster, KubeCluster]) -> None:
    """Healthy when its Deployment runs; degraded with a node that is not ready; healthy again after it."""
    cluster, seen_by_us = site
    seen = until(seen_by_us, healthy)
    assert (judge(seen, {}), seen["nodes"], seen["nodes_ready"], seen["deployments"]) == ("healthy", 1, 1, 1)
    assert json.loads(json.dumps(seen)) == seen
    cluster.node_ready(ready=False)
    assert "node primary-node is not ready" in until(seen_by_us, saying("is not ready"))["wrong"]["first"]
    cluster.node_ready(ready=True)
    assert judge(until(seen_by_us, healthy), {}) == "healthy"


def test_an_image_that_can_not_be_pulled_and_a_cronjob_that_is_gone_are_told(
    site: tuple[EmulatedCluster, KubeCluster],
) -> None:
    """Both are degraded, each with what is wrong and where."""
    _, seen_by_us = site
    assert judge(until(seen_by_us, healthy), {}) == "healthy"
    image = {"containers": [{"name": "dashboard", "image": "registry.example/none:1", "command": ["sleep", "9"]}]}
    seen_by_us.patch("Deployment", NAMESPACE, DASHBOARD, {"spec": {"template": {"spec": image}}})
    seen = until(seen_by_us, lambda now: saying("ErrImagePull")(now) or saying("ImagePullBackOff")(now))
    assert any("container dashboard: " in each for each in seen["wrong"]["first"])
    seen_by_us.delete("CronJob", NAMESPACE, CRONJOB)
    assert f"there is no CronJob in {NAMESPACE}" in until(seen_by_us, saying("no CronJob"))["wrong"]["first"]
    assert judge(examine(seen_by_us, NAMESPACE, ""), {}) == "degraded"
