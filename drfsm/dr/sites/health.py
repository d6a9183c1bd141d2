"""Whether a site can work now: its nodes, its CronJob, its Deployments, its pods.

Describes each fault so that an operator can act on it. A Deployment whose latest change its controller has not seen yet
is not counted as available. Changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from drfsm.dr.objects import check_namespace, condition
from drfsm.dr.pod_troubles import troubles
from drfsm.dr.progress import first_of
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import Cluster, Manifest, World

SITES = {"primary": "the primary", "dr": "DR"}
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def examine(cluster: Cluster, namespace: str, cronjob: str, usual: str = "") -> dict[str, Any]:
    """Observe a site's health. ``cronjob``: the publishing one, "" for the contract's (``usual``) or the only one."""
    nodes = cluster.list("Node", "")
    deployments = cluster.list("Deployment", namespace)
    pods = cluster.list("Pod", namespace)
    wrong = [
        *nodes_at_fault(nodes),
        *cronjobs_at_fault(cluster.list("CronJob", namespace), cronjob, namespace, usual),
        *(words for deployment in deployments for words in deployment_at_fault(deployment)),
        *(words for pod in pods for words in pod_at_fault(pod)),
    ]
    seen: dict[str, Any] = {
        "nodes": len(nodes),
        "nodes_ready": sum(bool(condition(node, "Ready")) for node in nodes),
        "deployments": len(deployments),
        "pods": len(pods),
        "wrong": first_of(wrong),
    }
    return {**seen, "in_words": "; ".join(seen["wrong"]["first"])} if wrong else seen


def nodes_at_fault(nodes: Sequence[Manifest]) -> Iterator[str]:
    """Yield the faults of nodes that keep them from running pods."""
    if not any(condition(node, "Ready") and not node["spec"].get("unschedulable") for node in nodes):
        yield "no node is ready to run a pod"
    for node in nodes:
        name = node["metadata"]["name"]
        if not condition(node, "Ready"):
            yield f"node {name} is not ready"
        elif pressure := condition(node, *_PRESSURES):
            yield f"node {name} is under {pressure}"


def cronjobs_at_fault(cronjobs: Sequence[Manifest], named: str, namespace: str, usual: str = "") -> Iterator[str]:
    """Yield why the publishing CronJob is ambiguous or missing."""
    names = sorted(cronjob["metadata"]["name"] for cronjob in cronjobs)
    if named and named not in names:
        yield f"CronJob {namespace}/{named} does not exist; the namespace has: {', '.join(names) or 'none'}"
    elif not names:
        yield f"there is no CronJob in {namespace}"
    elif not named and len(names) > 1 and usual not in names:
        yield f"which CronJob publishes? There are {', '.join(names)}: name one with --cronjob"


def deployment_at_fault(deployment: Manifest) -> Iterator[str]:
    """Yield a Deployment's faults."""
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    expected = deployment["spec"].get("replicas")
    expected = 1 if expected is None else expected
    available = status.get("availableReplicas") or 0
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        yield f"Deployment {metadata['name']} was changed, and its controller has not seen it yet"
    elif available < expected:
        yield f"Deployment {metadata['name']} has {available} of {expected} replicas available"


def pod_at_fault(pod: Manifest) -> Iterator[str]:
    """Yield why a pod that should run does not."""
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        return
    for trouble in troubles(pod):
        if trouble.reason == "Unschedulable":
            yield f"pod {name} finds no node: {trouble.message}"
        elif not trouble.is_beginning:
            container = f", container {trouble.container}" if trouble.container else ""
            yield f"pod {name}{container}: {trouble.words}"


def judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge whether there is a fault, and whether a person accepts it."""
    if not seen["wrong"]["total"]:
        return "healthy"
    return "accepted" if terms_of(inputs).degradation_taken else "degraded"


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> Any:
        terms = terms_of(run.inputs)
        seen = examine(world.site(site), terms.namespace, terms.cronjob, terms.usual_cronjob)
        if seen["wrong"]["total"]:
            check_namespace(world.site(site), terms.namespace)
            if terms.degradation_taken:
                seen["accepted"] = f"{SITES[site]} is not healthy: {terms.reason.strip()}"
        return seen

    return observe


FACTS = {"primary_health": Fact(_observe("primary"), judge)}
DR_HEALTH = Fact(_observe("dr"), judge)
