"""Whether anything on a site is still at work that could publish: sampled, never assumed.

In flight is every Job that has not ended (also one that is being deleted, or waits suspended) and every
pod of a Job that has not ended. A pod on a node that is not ready, or gone, is *unknown*: nobody can say
whether it still runs, so the fact can't be told and the run holds. Jobs that this run made itself (label
``drfsm/run``) are left out: they publish beside, and are awaited by name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from drfsm.engine import Fact, Run
from drfsm.world import Manifest, World

RUN_LABEL, ROLE_LABEL = "drfsm/run", "drfsm/role"
_ENDED_PODS = ("Succeeded", "Failed")
_ENDED_JOBS = ("Complete", "Failed")


def condition(manifest: Manifest, *kinds: str) -> str:
    """Return which of these conditions is true of an object, "" if none."""
    for each in manifest.get("status", {}).get("conditions") or []:
        if each["type"] in kinds and each["status"] == "True":
            return str(each["type"])
    return ""


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster, namespace = world.site(site), run.inputs["namespace"]
        # BEFORE the pods, so that a Job that starts in between is seen by one of the two.
        jobs = [each for each in cluster.list("Job", namespace) if not _ours(each, run)]
        pods = [each for each in cluster.list("Pod", namespace) if _of_a_job(each) and not _ours(each, run)]
        ready = {each["metadata"]["name"] for each in cluster.list("Node", "") if condition(each, "Ready")}
        seen = {"jobs": list(_alive_jobs(jobs)), "pods": list(_alive_pods(pods, ready))}
        for each in _told(seen, datetime.fromisoformat(run.clock.now())):
            run.note(f"still at work on {site}: {each}")
        return seen

    return observe


def _told(seen: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Say what is still running and for how long, to ten seconds, so that it is said when it changes."""
    for kind, listed in (("Job", seen["jobs"]), ("pod", seen["pods"])):
        for each in listed:
            since = datetime.fromisoformat(each["since"]) if each["since"] else now
            told = "out of sight, its node does not answer" if each.get("out_of_sight") else "running"
            yield f"{kind} {each['name']}, {told}, {int((now - since).total_seconds()) // 10 * 10} s old"


def _ours(manifest: Manifest, run: Run) -> bool:
    return bool(manifest["metadata"].get("labels", {}).get(RUN_LABEL) == run.id)


def _of_a_job(pod: Manifest) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return any(each["kind"] == "Job" for each in owners) or "job-name" in pod["metadata"].get("labels", {})


def _alive_jobs(jobs: Iterable[Manifest]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        status = job.get("status", {})
        pods = (status.get("active") or 0) + (status.get("terminating") or 0)
        if not condition(job, *_ENDED_JOBS) or pods:
            told = "being deleted" if job["metadata"].get("deletionTimestamp") else "active"
            yield {
                "name": job["metadata"]["name"],
                "state": told,
                "since": job["metadata"].get("creationTimestamp"),
            }


def _alive_pods(pods: Iterable[Manifest], ready: set[str]) -> Iterator[dict[str, Any]]:
    for pod in pods:
        phase = pod.get("status", {}).get("phase", "Pending")
        if phase in _ENDED_PODS:
            continue
        node = pod["spec"].get("nodeName", "")
        yield {
            "name": pod["metadata"]["name"],
            "phase": phase,
            "node": node,
            "since": pod["metadata"].get("creationTimestamp"),
            # Nobody hears from it: it may run, or not.
            "out_of_sight": phase == "Unknown" or bool(node and node not in ready),
        }


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    if any(each["out_of_sight"] for each in seen["pods"]):
        return None
    return "yes" if seen["jobs"] or seen["pods"] else "no"


FACTS = {
    "primary_inflight": Fact(_observe("primary"), _judge),
    "dr_inflight": Fact(_observe("dr"), _judge),
}
