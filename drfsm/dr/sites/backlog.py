"""Whether what is in flight on a site ends by itself: asked before the site is frozen.

A Job that will not end (it is suspended, its pod can't start), or a pod that is started again and again, would hold a
run at its drain, with a site frozen. So the backlog is read first: what is in flight, and what is stuck, each with the
command that ends it. What is out of sight is no matter of a command: the drain holds for it, or a fence is asked for.
Owns the observation and the judge of the facts ``primary_backlog`` and ``dr_backlog``; drain.py lists them. Changes
nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any, NamedTuple

from drfsm.claims import moment, seconds_between
from drfsm.dr.objects import condition, time_of
from drfsm.dr.pod_troubles import ENDED
from drfsm.dr.sites.health import pod_at_fault
from drfsm.dr.sites.in_flight import ENDED_JOBS, in_flight, is_out_of_sight, owner_of, owners, phase_of
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Unreadable
from drfsm.world import Manifest, World

_SCALED = ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")
_ENDING = ("Never", "OnFailure")  # restart policies


def observe(site: str) -> Callable[[World, Run], Any]:
    """Return the observation of a site's backlog."""

    def observe_site(world: World, run: Run) -> dict[str, Any]:
        cluster, terms = world.site(site), terms_of(run.inputs)
        jobs, pods, _ = in_flight(world, site, run)
        now, limits = time_of(cluster, run), _Limits(terms.startup_timeout, terms.drain_timeout)
        kubectl = _kubectl(terms, site)
        left = [str(job["metadata"]["name"]) for job in jobs if not condition(job, *ENDED_JOBS)]
        jobless = [pod for pod in pods if not any(kind == "Job" for kind, _ in owners(pod))]
        alive = [pod for pod in jobless if phase_of(pod) not in ENDED]
        ready = {node["metadata"]["name"] for node in cluster.list("Node", "") if condition(node, "Ready")}
        stuck = [words for job in jobs for words in _stuck(kubectl, job, pods, now, limits)]
        # One out of sight is not ended by a command: the drain holds for it, or a fence is asked for.
        in_sight = [pod for pod in alive if not is_out_of_sight(pod["spec"].get("nodeName", ""), ready)]
        stuck += [words for pod in in_sight for words in _stuck_pod(kubectl, pod)]
        seen: dict[str, Any] = {"jobs": left, "stuck": stuck}
        if alive:
            seen["pods"] = [str(pod["metadata"]["name"]) for pod in alive]
        if stuck:
            seen["in_words"] = "; ".join(
                f"{entry['what']} on {site}: {entry['why']} ({entry['do']})" for entry in stuck
            )
        for words in _elsewhere(world, site, run):
            run.note(f"on {site}: {words}")
        return seen

    return observe_site


class _Limits(NamedTuple):
    """Seconds: that pods may need to start, and that the drain waits."""

    start: float
    drain: float


def _kubectl(terms: Terms, site: str) -> str:
    """Return how a person reaches a site with kubectl: what is to be typed must lead to no other cluster."""
    path = terms.kubeconfig_dr if site == "dr" else terms.kubeconfig_primary
    return f"kubectl --kubeconfig {quote(path)}" if path else "kubectl"


def _stuck_pod(kubectl: str, pod: Manifest) -> Iterator[dict[str, str]]:
    """Yield why a pod that no Job has will not end by itself, and what ends it."""
    if pod["metadata"].get("deletionTimestamp"):
        return
    kind, owner = owner_of(pod)
    why = list(pod_at_fault(pod))
    if kind:
        verb, more = ("scale", " --replicas=0") if kind in _SCALED else ("delete", "")
        do = f"{kubectl} -n {quote(pod['metadata']['namespace'])} {verb} {kind.lower()} {quote(owner)}{more}"
        why.insert(0, f"it takes the workload's switches, and {kind} {owner} starts it again and again")
    else:
        do = _delete(kubectl, "pod", pod)
        if pod["spec"].get("restartPolicy", "Always") not in _ENDING:
            why.insert(0, "it takes the workload's switches, and is started again and again")
    if why:
        yield {"what": f"pod {pod['metadata']['name']}", "why": "; ".join(why), "do": do}


def _elsewhere(world: World, site: str, run: Run) -> Iterator[str]:
    """Yield what publishes to the same place from other namespaces, where the cluster lets us look: told, not asked."""
    cluster, terms = world.site(site), terms_of(run.inputs)
    place = dict(zip(terms.workload.variables.place, (terms.bucket, terms.prefix), strict=True))
    try:
        configmaps = cluster.list("ConfigMap", "") if cluster.allowed("list", "", "configmaps", "") else []
    except (ActionFailed, Unreadable):
        return  # it is a help, and nothing depends on it
    for configmap in configmaps:
        metadata, data = configmap["metadata"], configmap.get("data") or {}
        if metadata["namespace"] != terms.namespace and all(data.get(n, "").strip("/") == v for n, v in place.items()):
            yield (
                f"namespace {metadata['namespace']} is not asked, and its ConfigMap {metadata['name']} names the same"
                " bucket and prefix: see that nothing publishes from there"
            )


def _stuck(
    kubectl: str, job: Manifest, pods: Sequence[Manifest], now: datetime, limits: _Limits
) -> Iterator[dict[str, str]]:
    """Yield why a Job will not end by itself while the drain waits."""
    name, spec = str(job["metadata"]["name"]), job.get("spec") or {}
    if condition(job, *ENDED_JOBS):
        return
    if job["metadata"].get("deletionTimestamp"):
        yield from _stuck_deletion(kubectl, job, now, limits.start)
        return
    left = _deadline(job, now)
    if not spec.get("suspend") and left is not None and left <= limits.drain:
        return  # its own limit ends it in time
    if words := _why_stuck(job, pods, now, limits.start):
        later = "" if left is None or spec.get("suspend") else f"; its own limit ends it only in {left:.0f} s"
        yield {"what": f"Job {name}", "why": f"{words}{later}", "do": _delete(kubectl, "job", job)}


def _deadline(job: Manifest, now: datetime) -> float | None:
    """Return the seconds after which a Job's own limit ends it; None where it has none. It counts from its start."""
    limit = (job.get("spec") or {}).get("activeDeadlineSeconds")
    if not limit:
        return None
    started = moment((job.get("status") or {}).get("startTime"))
    return float(limit) - (seconds_between(started, now) if started is not None else 0.0)


def _why_stuck(job: Manifest, pods: Sequence[Manifest], now: datetime, limit: float) -> str:
    """Return why a Job goes on for ever, as far as is known; "" where it may end. ``limit``: seconds to start in."""
    name, spec = str(job["metadata"]["name"]), job.get("spec") or {}
    of_it = [pod for pod in pods if ("Job", name) in owners(pod) and phase_of(pod) not in ENDED]
    why = [list(pod_at_fault(pod)) for pod in of_it]
    born = moment(job["metadata"].get("creationTimestamp"))
    late = born is not None and seconds_between(born, now) > limit
    words = ""
    if spec.get("suspend"):
        words = "it is suspended, so it starts no pod and never ends"
    elif spec.get("parallelism") == 0:
        words = "its parallelism is 0, so it starts no pod and never ends"
    elif of_it and all(why):
        words = "; ".join(dict.fromkeys(word for each in why for word in each))
    elif late and all(phase_of(pod) == "Pending" for pod in of_it):
        words = f"no pod of it has started in {limit:.0f} s"
    return words


def _stuck_deletion(kubectl: str, job: Manifest, now: datetime, limit: float) -> Iterator[dict[str, str]]:
    metadata = job["metadata"]
    since, finalizers = moment(metadata["deletionTimestamp"]), ", ".join(metadata.get("finalizers") or ())
    if since is not None and finalizers and seconds_between(since, now) > limit:
        why = f"it is being deleted since {metadata['deletionTimestamp']}, and waits for its finalizers: {finalizers}"
        do = f"{kubectl} -n {quote(metadata['namespace'])} get job {quote(metadata['name'])} -o yaml shows who set them"
        yield {"what": f"Job {metadata['name']}", "why": why, "do": do}


def _delete(kubectl: str, kind: str, manifest: Manifest) -> str:
    """Return the command with which a person ends what is stuck."""
    metadata = manifest["metadata"]
    return f"{kubectl} -n {quote(metadata['namespace'])} delete {kind} {quote(metadata['name'])}"


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    """Judge a backlog."""
    return "stuck" if seen["stuck"] else "ends" if seen["jobs"] or seen.get("pods") else "none"
