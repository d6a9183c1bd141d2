"""Whether anything that could publish still runs on a site: sampled, never assumed.

One rule, of the site's namespace (docs/failback.md has it in an operator's words):

    in flight     every Job that has not ended, also one that is being deleted or waits suspended; every pod of a Job
                  that has not ended; every other pod that has not ended and takes the workload's switches
                  (``pods.takes``): a bare one, a ReplicaSet's, whosever it is
    out of sight  whatever of that runs on a node that is not ready, or gone: nobody knows whether it still runs, so
                  the run holds, or fences. A pod that is called Failed there has ended only where its kubelet said so
                  of each container: a controller may write that of a pod that nobody has seen since
    beside        told, and not asked: Jobs of CronJobs that the input ``cronjob_selector`` excludes; pods of the
                  contract's Deployment, which serves; in other namespaces, ConfigMaps that name the same place
    ours          not counted: the Jobs that this run made, by label *and* by name, and their pods. They publish to
                  their own prefix, and are awaited by name. A label alone is anybody's, and another run's Job counts

A pod that was deleted by force from a node that does not answer is not listed anywhere: only a fence stops it, so such
nodes are reported.

A Job that will not end by itself (it is suspended, or its pod can't start) would hold a run at its drain, with a site
frozen. So the *backlog* of a site is read before it is frozen: what is in flight, and what is stuck, each with the
command that ends it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any, NamedTuple

from drfsm.claims import moment
from drfsm.dr import pods as pod_specs
from drfsm.dr.objects import ROLE_LABEL, RUN_LABEL, condition, name_of_ours, time_of
from drfsm.dr.pod_troubles import ENDED, troubles
from drfsm.dr.sites.health import pod_at_fault
from drfsm.dr.sites.schedules import listed
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Unreadable
from drfsm.world import Manifest, World

_ENDED_JOBS = ("Complete", "Failed")


_SCALED = ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController")
_ENDING = ("Never", "OnFailure")  # restart policies


class _InFlight(NamedTuple):
    """What counts on a site, ended ones included, and what is beside: (what, why it is not asked)."""

    jobs: Sequence[Manifest]
    pods: Sequence[Manifest]
    beside: Sequence[tuple[Manifest, str]]


def _observe(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster = world.site(site)
        in_flight = _in_flight(world, site, run)
        nodes = {node["metadata"]["name"]: bool(condition(node, "Ready")) for node in cluster.list("Node", "")}
        ready = {name for name, is_ready in nodes.items() if is_ready}
        alive = list(_alive_pods(in_flight.pods, ready))
        seen = {
            "jobs": list(_alive_jobs(in_flight.jobs, alive)),
            "pods": alive,
            "nodes_out_of_sight": sorted(name for name, is_ready in nodes.items() if not is_ready),
        }
        for words in (*_in_words(seen, time_of(cluster, run)), *_beside_in_words(in_flight.beside, ready)):
            run.note(f"on {site}: {words}")
        return seen

    return observe


def _in_flight(world: World, site: str, run: Run) -> _InFlight:
    cluster, terms = world.site(site), terms_of(run.inputs)
    left_out = _left_out(world, site, run)
    # BEFORE the pods, so that a Job that starts in between is seen by one of the two.
    jobs = [job for job in cluster.list("Job", terms.namespace) if not _ours(job, run)]
    jobs_left_out = {_key(job) for job in jobs if _owners(job) & left_out}
    pods, beside = list[Manifest](), list[tuple[Manifest, str]]()
    for pod in cluster.list("Pod", terms.namespace):
        if _of_ours(pod, run):
            continue
        if _of_a_job(pod):
            excluded = bool(_owners(pod) & jobs_left_out)
            why = "its CronJob is excluded by --cronjob-selector" if excluded else ""
        elif not _takes_the_switches(pod, terms):
            continue
        else:
            serves = _deployment_of(pod) == terms.workload.kubernetes.deployment
            why = "the contract names its Deployment as what serves, not publishes" if serves else ""
        if why:
            beside.append((pod, why))
        else:
            pods.append(pod)
    return _InFlight([job for job in jobs if _key(job) not in jobs_left_out], pods, beside)


def _takes_the_switches(pod: Manifest, terms: Terms) -> bool:
    return pod_specs.takes(pod["spec"], terms.configmap, terms.workload.switches)


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


def _deployment_of(pod: Manifest) -> str:
    """Return the Deployment of a pod by its ReplicaSet's name, which ends with the template's hash; "" for none."""
    suffix = f"-{(pod['metadata'].get('labels') or {}).get('pod-template-hash')}"
    names = (name for kind, name in sorted(_owners(pod)) if kind == "ReplicaSet")
    return next((name.removesuffix(suffix) for name in names if name.endswith(suffix)), "")


def _owner_of(pod: Manifest) -> tuple[str, str]:
    """Return (kind, name) of what a pod that no Job owns belongs to; ("", "") for a bare one."""
    if name := _deployment_of(pod):
        return "Deployment", name
    return next(iter(sorted(_owners(pod))), ("", ""))


def _in_words(seen: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield what is still there, in which state and for how long, to ten seconds, so that only changes are reported."""
    for kind, alive in (("Job", seen["jobs"]), ("pod", seen["pods"])):
        for workload in alive:
            since = moment(workload["since"]) or now
            state = "out of sight, its node does not answer" if workload["out_of_sight"] else workload["words"]
            owner = f" of {workload['owner']}" if workload.get("owner") else ""
            yield f"{kind} {workload['name']}{owner}, {state}, {int((now - since).total_seconds()) // 10 * 10} s old"
    for node in seen["nodes_out_of_sight"]:
        yield f"node {node} does not answer: a pod that was deleted by force while it ran there may run on"


def _beside_in_words(beside: Iterable[tuple[Manifest, str]], ready: set[str]) -> Iterator[str]:
    for pod, why in beside:
        if not _has_ended(pod, ready):
            yield f"pod {pod['metadata']['name']} is not waited for: {why}"


def _ours(job: Manifest, run: Run) -> bool:
    """Say whether this run made a Job: its labels say so, and it has the name that only this run gives."""
    labels = job["metadata"].get("labels") or {}
    role = labels.get(ROLE_LABEL, "")
    return labels.get(RUN_LABEL) == run.id and job["metadata"]["name"] == name_of_ours(run, role)


def _of_ours(pod: Manifest, run: Run) -> bool:
    labels = pod["metadata"].get("labels") or {}
    owner = ("Job", name_of_ours(run, labels.get(ROLE_LABEL, "")))
    return labels.get(RUN_LABEL) == run.id and owner in _owners(pod)


def _of_a_job(pod: Manifest) -> bool:
    marks = {"job-name", "batch.kubernetes.io/job-name"} & set(pod["metadata"].get("labels") or {})
    return bool(marks) or any(kind == "Job" for kind, _ in _owners(pod))


def _alive_jobs(jobs: Iterable[Manifest], pods: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        status, name = job.get("status") or {}, str(job["metadata"]["name"])
        counted = (status.get("active") or 0) + (status.get("terminating") or 0)
        if condition(job, *_ENDED_JOBS) and not counted:
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
        if _has_ended(pod, ready):
            continue
        phase, node = _phase(pod), pod["spec"].get("nodeName", "")
        kind, owner = ("", "") if _of_a_job(pod) else _owner_of(pod)
        yield {
            "name": pod["metadata"]["name"],
            "job": next((name for kind, name in sorted(_owners(pod)) if kind == "Job"), ""),
            **({"owner": f"{kind} {owner}"} if kind else {}),
            "phase": phase,
            "words": _pod_in_words(pod),
            "node": node,
            "since": pod["metadata"].get("creationTimestamp"),
            # The node does not answer: its pods may run, or not.
            "out_of_sight": phase == "Unknown" or _is_out_of_sight(node, ready),
        }


def _is_out_of_sight(node: str, ready: set[str]) -> bool:
    return bool(node) and node not in ready


def _has_ended(pod: Manifest, ready: set[str]) -> bool:
    """Say whether every process of a pod has ended, by the word of the kubelet that ran it.

    Only kubelets write Succeeded. Failed is also written, of a pod whose node is lost, by those who never saw it end.
    """
    phase = _phase(pod)
    if phase == "Failed" and _is_out_of_sight(pod["spec"].get("nodeName", ""), ready):
        containers = (pod.get("status") or {}).get("containerStatuses") or []
        return bool(containers) and all((container.get("state") or {}).get("terminated") for container in containers)
    return phase in ENDED


def _pod_in_words(pod: Manifest) -> str:
    """Return what a pod does, in words: never "running" of one that has not started."""
    if pod["metadata"].get("deletionTimestamp"):
        return "being deleted"
    reasons = dict.fromkeys(trouble.reason for trouble in troubles(pod))
    if reasons:
        return f"{'' if _phase(pod) == 'Running' else 'not '}started: {', '.join(reasons)}"
    return "running" if _phase(pod) == "Running" else "not started" if _phase(pod) == "Pending" else _phase(pod).lower()


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    alive = [*seen["jobs"], *seen["pods"]]
    if any(not workload["out_of_sight"] for workload in alive):
        return "yes"
    return "out_of_sight" if alive else "no"


# --- beforehand: what would never end -----------------------------------------------------------------------------


def _observe_backlog(site: str) -> Callable[[World, Run], Any]:
    def observe(world: World, run: Run) -> dict[str, Any]:
        cluster, terms = world.site(site), terms_of(run.inputs)
        jobs, pods, _ = _in_flight(world, site, run)
        now, limit = time_of(cluster, run), terms.startup_timeout
        left = [str(job["metadata"]["name"]) for job in jobs if not condition(job, *_ENDED_JOBS)]
        alive = [pod for pod in pods if _phase(pod) not in ENDED and not any(kind == "Job" for kind, _ in _owners(pod))]
        ready = {node["metadata"]["name"] for node in cluster.list("Node", "") if condition(node, "Ready")}
        stuck = [words for job in jobs for words in _stuck(job, pods, now, limit)]
        # One out of sight is not ended by a command: the drain holds for it, or a fence is asked for.
        in_sight = [pod for pod in alive if not _is_out_of_sight(pod["spec"].get("nodeName", ""), ready)]
        stuck += [words for pod in in_sight for words in _stuck_pod(pod)]
        seen: dict[str, Any] = {"jobs": left, "stuck": stuck}
        if alive:
            seen["pods"] = [str(pod["metadata"]["name"]) for pod in alive]
        if stuck:
            seen["in_words"] = "; ".join(f"{each['what']} on {site}: {each['why']} ({each['do']})" for each in stuck)
        for words in _elsewhere(world, site, run):
            run.note(f"on {site}: {words}")
        return seen

    return observe


def _stuck_pod(pod: Manifest) -> Iterator[dict[str, str]]:
    """Yield why a pod that no Job has will not end by itself, and what ends it."""
    if pod["metadata"].get("deletionTimestamp"):
        return
    kind, owner = _owner_of(pod)
    why = list(pod_at_fault(pod))
    if kind:
        verb, more = ("scale", " --replicas=0") if kind in _SCALED else ("delete", "")
        do = f"kubectl -n {quote(pod['metadata']['namespace'])} {verb} {kind.lower()} {quote(owner)}{more}"
        why.insert(0, f"it takes the workload's switches, and {kind} {owner} starts it again and again")
    else:
        do = _delete("pod", pod)
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


def _stuck(job: Manifest, pods: Sequence[Manifest], now: datetime, limit: float) -> Iterator[dict[str, str]]:
    """Yield why a Job will not end by itself. ``limit``: seconds that pods may need to start."""
    name, spec = str(job["metadata"]["name"]), job.get("spec") or {}
    if condition(job, *_ENDED_JOBS):
        return
    if job["metadata"].get("deletionTimestamp"):
        yield from _stuck_deletion(job, now, limit)
        return
    of_it = [pod for pod in pods if ("Job", name) in _owners(pod) and _phase(pod) not in ENDED]
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


def _stuck_deletion(job: Manifest, now: datetime, limit: float) -> Iterator[dict[str, str]]:
    metadata = job["metadata"]
    since, finalizers = moment(metadata["deletionTimestamp"]), ", ".join(metadata.get("finalizers") or ())
    if since is not None and finalizers and (now - since).total_seconds() > limit:
        why = f"it is being deleted since {metadata['deletionTimestamp']}, and waits for its finalizers: {finalizers}"
        do = f"kubectl -n {quote(metadata['namespace'])} get job {quote(metadata['name'])} -o yaml shows who set them"
        yield {"what": f"Job {metadata['name']}", "why": why, "do": do}


def _delete(kind: str, manifest: Manifest) -> str:
    """Return the command with which a person ends what is stuck."""
    metadata = manifest["metadata"]
    return f"kubectl -n {quote(metadata['namespace'])} delete {kind} {quote(metadata['name'])}"


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _judge_backlog(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    return "stuck" if seen["stuck"] else "ends" if seen["jobs"] or seen.get("pods") else "none"


FACTS = {
    "primary_inflight": Fact(_observe("primary"), _judge),
    "dr_inflight": Fact(_observe("dr"), _judge),
    "primary_backlog": Fact(_observe_backlog("primary"), _judge_backlog),
    "dr_backlog": Fact(_observe_backlog("dr"), _judge_backlog),
}
