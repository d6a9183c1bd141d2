"""Whether any workload that could publish is still running on a site: sampled, never assumed.

In flight is every Job that has not ended (also one that is being deleted, or waits suspended) and every
pod of a Job that has not ended. A pod on a node that is not ready, or gone, is *out of sight*: it is unknown
whether it still runs, so the run holds, or fences. Jobs that this run made itself (label
``drfsm/run``) are excluded: they publish to their own prefix, and are awaited by name. So are those of CronJobs that
the input ``cronjob_selector`` excludes. A pod that was deleted by force from a node that does not answer is not
listed anywhere: only a fence stops it, so such nodes are reported.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from drfsm.claims import moment
from drfsm.dr.objects import RUN_LABEL, condition, time_of
from drfsm.dr.sites.schedules import listed
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import Manifest, World

_ENDED_PODS = ("Succeeded", "Failed")
_ENDED_JOBS = ("Complete", "Failed")


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster, namespace = world.site(site), terms_of(run.inputs).namespace
        left_out = _left_out(world, site, run)
        # BEFORE the pods, so that a Job that starts in between is seen by one of the two.
        listed_jobs = cluster.list("Job", namespace)
        left_out |= {_key(job) for job in listed_jobs if _owners(job) & left_out}
        jobs = [job for job in listed_jobs if not _ours(job, run) and _key(job) not in left_out]
        pods = [pod for pod in cluster.list("Pod", namespace) if _of_a_job(pod) and not _ours(pod, run)]
        pods = [pod for pod in pods if not _owners(pod) & left_out]
        nodes = {node["metadata"]["name"]: bool(condition(node, "Ready")) for node in cluster.list("Node", "")}
        alive = list(_alive_pods(pods, {name for name, ready in nodes.items() if ready}))
        seen = {
            "jobs": list(_alive_jobs(jobs, alive)),
            "pods": alive,
            "nodes_out_of_sight": sorted(name for name, ready in nodes.items() if not ready),
        }
        for words in _in_words(seen, time_of(cluster, run)):
            run.note(f"on {site}: {words}")
        return seen

    return observe


def _left_out(world: World, site: str, run: Run) -> set[tuple[str, str]]:
    """Return the CronJobs that the operator's selector excludes because they publish nothing."""
    terms = terms_of(run.inputs)
    if not terms.cronjob_selector:
        return set()
    everything = world.site(site).list("CronJob", terms.namespace)
    return {_key(cronjob, "CronJob") for cronjob in everything} - {
        ("CronJob", name) for name in listed(world, site, run)
    }


def _key(manifest: Manifest, kind: str = "Job") -> tuple[str, str]:
    return kind, str(manifest["metadata"]["name"])


def _owners(manifest: Manifest) -> set[tuple[str, str]]:
    return {(owner["kind"], owner["name"]) for owner in manifest["metadata"].get("ownerReferences") or []}


def _in_words(seen: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield what is still running and for how long, to ten seconds, so that only changes are reported."""
    for kind, alive in (("Job", seen["jobs"]), ("pod", seen["pods"])):
        for workload in alive:
            since = moment(workload["since"]) or now
            state = "out of sight, its node does not answer" if workload["out_of_sight"] else "running"
            yield f"{kind} {workload['name']}, {state}, {int((now - since).total_seconds()) // 10 * 10} s old"
    for node in seen["nodes_out_of_sight"]:
        yield f"node {node} does not answer: a pod that was deleted by force while it ran there may run on"


def _ours(manifest: Manifest, run: Run) -> bool:
    return bool((manifest["metadata"].get("labels") or {}).get(RUN_LABEL) == run.id)


def _of_a_job(pod: Manifest) -> bool:
    marks = {"job-name", "batch.kubernetes.io/job-name"} & set(pod["metadata"].get("labels") or {})
    return bool(marks) or any(kind == "Job" for kind, _ in _owners(pod))


def _alive_jobs(jobs: Iterable[Manifest], pods: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        status, name = job.get("status") or {}, str(job["metadata"]["name"])
        counted = (status.get("active") or 0) + (status.get("terminating") or 0)
        if condition(job, *_ENDED_JOBS) and not counted:
            continue
        state = "being deleted" if job["metadata"].get("deletionTimestamp") else "active"
        of_it = [pod["out_of_sight"] for pod in pods if pod["job"] == name]
        yield {
            "name": name,
            "state": state,
            "since": job["metadata"].get("creationTimestamp"),
            "out_of_sight": bool(of_it) and all(of_it),  # its only remaining trace
        }


def _alive_pods(pods: Iterable[Manifest], ready: set[str]) -> Iterator[dict[str, Any]]:
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase", "Pending")
        if phase in _ENDED_PODS:
            continue
        node = pod["spec"].get("nodeName", "")
        yield {
            "name": pod["metadata"]["name"],
            "job": next((name for kind, name in sorted(_owners(pod)) if kind == "Job"), ""),
            "phase": phase,
            "node": node,
            "since": pod["metadata"].get("creationTimestamp"),
            # The node does not answer: its pods may run, or not.
            "out_of_sight": phase == "Unknown" or bool(node and node not in ready),
        }


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    alive = [*seen["jobs"], *seen["pods"]]
    if any(not workload["out_of_sight"] for workload in alive):
        return "yes"
    return "out_of_sight" if alive else "no"


FACTS = {
    "primary_inflight": Fact(_observe("primary"), _judge),
    "dr_inflight": Fact(_observe("dr"), _judge),
}
