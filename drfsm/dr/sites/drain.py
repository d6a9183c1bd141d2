"""Whether anything that could publish still runs on a site: sampled, never assumed.

in_flight.py has the rule of what counts; a pod on a node that is not ready, or gone, is *out of sight*, so the run
holds, or fences. A pod that was deleted by force from a node that does not answer is not listed anywhere: only a fence
stops it, so such nodes are reported. backlog.py asks beforehand whether what is in flight ends by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.dr.objects import condition, time_of
from drfsm.dr.pod_troubles import troubles
from drfsm.dr.sites import backlog
from drfsm.dr.sites.in_flight import (
    ENDED_JOBS,
    has_ended,
    in_flight,
    is_of_a_job,
    is_out_of_sight,
    owner_of,
    owners,
    phase_of,
)
from drfsm.engine import Fact, Run
from drfsm.world import Manifest, World


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster = world.site(site)
        counting = in_flight(world, site, run)
        nodes = {node["metadata"]["name"]: bool(condition(node, "Ready")) for node in cluster.list("Node", "")}
        ready = {name for name, is_ready in nodes.items() if is_ready}
        alive = list(_alive_pods(counting.pods, ready))
        seen = {
            "jobs": list(_alive_jobs(counting.jobs, alive)),
            "pods": alive,
            "nodes_out_of_sight": sorted(name for name, is_ready in nodes.items() if not is_ready),
        }
        for words in (*_in_words(seen, time_of(cluster, run)), *_beside_in_words(counting.beside, ready)):
            run.note(f"on {site}: {words}")
        return seen

    return observe


def _in_words(seen: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield what is still there, in which state and for how long, to ten seconds, so that only changes are reported."""
    for kind, alive in (("Job", seen["jobs"]), ("pod", seen["pods"])):
        for workload in alive:
            since = moment(workload["since"]) or now
            state = "out of sight, its node does not answer" if workload["out_of_sight"] else workload["words"]
            owner = f" of {workload['owner']}" if workload.get("owner") else ""
            yield f"{kind} {workload['name']}{owner}, {state}, {int(seconds_between(since, now)) // 10 * 10} s old"
    for node in seen["nodes_out_of_sight"]:
        yield f"node {node} does not answer: a pod that was deleted by force while it ran there may run on"


def _beside_in_words(beside: Iterable[tuple[Manifest, str]], ready: set[str]) -> Iterator[str]:
    for pod, why in beside:
        if not has_ended(pod, ready):
            yield f"pod {pod['metadata']['name']} is not waited for: {why}"


def _alive_jobs(jobs: Iterable[Manifest], pods: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        status, name = job.get("status") or {}, str(job["metadata"]["name"])
        counted = (status.get("active") or 0) + (status.get("terminating") or 0)
        if condition(job, *ENDED_JOBS) and not counted:
            continue
        of_it = [pod for pod in pods if pod["job"] == name]
        yield {
            "name": name,
            "state": "being deleted" if job["metadata"].get("deletionTimestamp") else "active",
            "words": _job_in_words(job, of_it),
            "since": job["metadata"].get("creationTimestamp"),
            "out_of_sight": bool(of_it) and all(pod["out_of_sight"] for pod in of_it),  # its only remaining trace
        }


def _job_in_words(job: Manifest, pods: Sequence[Mapping[str, Any]]) -> str:
    if job["metadata"].get("deletionTimestamp"):
        return "being deleted"
    if any(pod["phase"] == "Running" for pod in pods):
        return "running"
    if (job.get("spec") or {}).get("suspend"):
        return "suspended"
    return "waiting for its pod to start" if pods else "without a pod"


def _alive_pods(pods: Iterable[Manifest], ready: set[str]) -> Iterator[dict[str, Any]]:
    for pod in pods:
        if has_ended(pod, ready):
            continue
        phase, node = phase_of(pod), pod["spec"].get("nodeName", "")
        kind, owner = ("", "") if is_of_a_job(pod) else owner_of(pod)
        yield {
            "name": pod["metadata"]["name"],
            "job": next((name for kind, name in sorted(owners(pod)) if kind == "Job"), ""),
            **({"owner": f"{kind} {owner}"} if kind else {}),
            "phase": phase,
            "words": _pod_in_words(pod),
            "node": node,
            "since": pod["metadata"].get("creationTimestamp"),
            # The node does not answer: its pods may run, or not.
            "out_of_sight": phase == "Unknown" or is_out_of_sight(node, ready),
        }


def _pod_in_words(pod: Manifest) -> str:
    """Return what a pod does, in words: never "running" of one that has not started."""
    if pod["metadata"].get("deletionTimestamp"):
        return "being deleted"
    phase, reasons = phase_of(pod), dict.fromkeys(trouble.reason for trouble in troubles(pod))
    if reasons:
        return f"{'' if phase == 'Running' else 'not '}started: {', '.join(reasons)}"
    return {"Running": "running", "Pending": "not started"}.get(phase, phase.lower())


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    alive = [*seen["jobs"], *seen["pods"]]
    if any(not workload["out_of_sight"] for workload in alive):
        return "yes"
    return "out_of_sight" if alive else "no"


FACTS = {
    "primary_inflight": Fact(_observe("primary"), _judge),
    "dr_inflight": Fact(_observe("dr"), _judge),
    "primary_backlog": Fact(backlog.observe("primary"), backlog.judge),
    "dr_backlog": Fact(backlog.observe("dr"), backlog.judge),
}
