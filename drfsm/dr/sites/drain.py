"""Whether any workload that could publish is still running on a site: sampled, never assumed.

In flight is every Job that has not ended (also one that is being deleted, or waits suspended) and every
pod of a Job that has not ended. A pod on a node that is not ready, or gone, is *out of sight*: it is unknown
whether it still runs, so the run holds, or fences. Jobs that this run made itself (label
``drfsm/run``) are excluded: they publish to their own prefix, and are awaited by name. So are those of CronJobs that
the input ``cronjob_selector`` excludes. A pod that was deleted by force from a node that does not answer is not
listed anywhere: only a fence stops it, so such nodes are reported.

A Job that will not end by itself (it is suspended, or its pod can't start) would hold a run at its drain, with a site
frozen. So the *backlog* of a site is read before it is frozen: the Jobs in flight, and the stuck ones with the command
that ends them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any

from drfsm.claims import moment
from drfsm.dr.objects import RUN_LABEL, condition, time_of
from drfsm.dr.sites.health import pod_at_fault
from drfsm.dr.sites.schedules import listed
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.world import Manifest, World

_ENDED_PODS = ("Succeeded", "Failed")
_ENDED_JOBS = ("Complete", "Failed")


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster = world.site(site)
        jobs, pods = _in_flight(world, site, run)
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


def _in_flight(world: World, site: str, run: Run) -> tuple[list[Manifest], list[Manifest]]:
    """Return the Jobs, and the pods of Jobs, that count on a site, ended ones included."""
    cluster, namespace = world.site(site), terms_of(run.inputs).namespace
    left_out = _left_out(world, site, run)
    # BEFORE the pods, so that a Job that starts in between is seen by one of the two.
    listed_jobs = cluster.list("Job", namespace)
    left_out |= {_key(job) for job in listed_jobs if _owners(job) & left_out}
    jobs = [job for job in listed_jobs if not _ours(job, run) and _key(job) not in left_out]
    pods = [pod for pod in cluster.list("Pod", namespace) if _of_a_job(pod) and not _ours(pod, run)]
    return jobs, [pod for pod in pods if not _owners(pod) & left_out]


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
        phase = _phase(pod)
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


# --- beforehand: what would never end -----------------------------------------------------------------------------


def _observe_backlog(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster, terms = world.site(site), terms_of(run.inputs)
        jobs, pods = _in_flight(world, site, run)
        now, limit = time_of(cluster, run), terms.startup_timeout
        left = [str(job["metadata"]["name"]) for job in jobs if not condition(job, *_ENDED_JOBS)]
        stuck = [words for job in jobs for words in _stuck(job, pods, now, limit)]
        orphans = (pod for pod in pods if not any(kind == "Job" for kind, _ in _owners(pod)))
        stuck += [
            {"what": f"pod {pod['metadata']['name']}", "why": why, "do": _delete("pod", pod)}
            for pod in orphans
            for why in pod_at_fault(pod)
        ]
        seen: dict[str, Any] = {"jobs": left, "stuck": stuck}
        if stuck:
            seen["in_words"] = "; ".join(f"{each['what']} on {site}: {each['why']} ({each['do']})" for each in stuck)
        return seen

    return observe


def _stuck(job: Manifest, pods: Sequence[Manifest], now: datetime, limit: float) -> Iterator[dict[str, str]]:
    """Yield why a Job will not end by itself. ``limit``: seconds that pods may need to start."""
    name, spec = str(job["metadata"]["name"]), job.get("spec") or {}
    if condition(job, *_ENDED_JOBS) or job["metadata"].get("deletionTimestamp"):
        return
    of_it = [pod for pod in pods if ("Job", name) in _owners(pod) and _phase(pod) not in _ENDED_PODS]
    why = [list(pod_at_fault(pod)) for pod in of_it]
    born = moment(job["metadata"].get("creationTimestamp"))
    late = born is not None and (now - born).total_seconds() > limit
    if spec.get("suspend"):
        words = "it is suspended, so it starts no pod and never ends"
    elif spec.get("activeDeadlineSeconds"):
        return  # its own limit ends it
    elif of_it and all(why):
        words = "; ".join(dict.fromkeys(word for each in why for word in each))
    elif late and all(_phase(pod) == "Pending" for pod in of_it):
        words = f"no pod of it has started in {limit:.0f} s"
    else:
        return
    yield {"what": f"Job {name}", "why": words, "do": _delete("job", job)}


def _delete(kind: str, manifest: Manifest) -> str:
    """Return the command with which a person ends what is stuck."""
    metadata = manifest["metadata"]
    return f"kubectl -n {quote(metadata['namespace'])} delete {kind} {quote(metadata['name'])}"


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _judge_backlog(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "stuck" if seen["stuck"] else "ends" if seen["jobs"] else "none"


FACTS = {
    "primary_inflight": Fact(_observe("primary"), _judge),
    "dr_inflight": Fact(_observe("dr"), _judge),
    "primary_backlog": Fact(_observe_backlog("primary"), _judge_backlog),
    "dr_backlog": Fact(_observe_backlog("dr"), _judge_backlog),
}
