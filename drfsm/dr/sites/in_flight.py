"""What counts as in flight on a site: whatever could publish and has not ended.

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

Pure but for the lists that it reads, and changes nothing. drain.py samples it, backlog.py asks beforehand.
"""

from collections.abc import Sequence
from typing import NamedTuple

from drfsm.dr import pods as pod_specs
from drfsm.dr.objects import ROLE_LABEL, RUN_LABEL, name_of_ours
from drfsm.dr.pod_troubles import ENDED
from drfsm.dr.sites.schedules import listed
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Run
from drfsm.world import Manifest, World

ENDED_JOBS = ("Complete", "Failed")


class InFlight(NamedTuple):
    """What counts on a site, ended ones included, and what is beside: (what, why it is not asked)."""

    jobs: Sequence[Manifest]
    pods: Sequence[Manifest]
    beside: Sequence[tuple[Manifest, str]]


def in_flight(world: World, site: str, run: Run) -> InFlight:
    """Return what counts on a site by the rule above. Raises what the cluster raises."""
    cluster, terms = world.site(site), terms_of(run.inputs)
    left_out = _left_out(world, site, run)
    # BEFORE the pods, so that a Job that starts in between is seen by one of the two.
    jobs = [job for job in cluster.list("Job", terms.namespace) if not _ours(job, run)]
    jobs_left_out = {_key(job) for job in jobs if owners(job) & left_out}
    pods, beside = list[Manifest](), list[tuple[Manifest, str]]()
    for pod in cluster.list("Pod", terms.namespace):
        if _of_ours(pod, run):
            continue
        if is_of_a_job(pod):
            excluded = bool(owners(pod) & jobs_left_out)
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
    return InFlight([job for job in jobs if _key(job) not in jobs_left_out], pods, beside)


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


def owners(manifest: Manifest) -> set[tuple[str, str]]:
    """Return (kind, name) of each owner of an object."""
    return {(owner["kind"], owner["name"]) for owner in manifest["metadata"].get("ownerReferences") or []}


def _deployment_of(pod: Manifest) -> str:
    """Return the Deployment of a pod by its ReplicaSet's name, which ends with the template's hash; "" for none."""
    suffix = f"-{(pod['metadata'].get('labels') or {}).get('pod-template-hash')}"
    names = (name for kind, name in sorted(owners(pod)) if kind == "ReplicaSet")
    return next((name.removesuffix(suffix) for name in names if name.endswith(suffix)), "")


def owner_of(pod: Manifest) -> tuple[str, str]:
    """Return (kind, name) of what a pod that no Job owns belongs to; ("", "") for a bare one."""
    if name := _deployment_of(pod):
        return "Deployment", name
    return next(iter(sorted(owners(pod))), ("", ""))


def _ours(job: Manifest, run: Run) -> bool:
    """Say whether this run made a Job: its labels say so, and it has the name that only this run gives."""
    labels = job["metadata"].get("labels") or {}
    role = labels.get(ROLE_LABEL, "")
    return labels.get(RUN_LABEL) == run.id and job["metadata"]["name"] == name_of_ours(run, role)


def _of_ours(pod: Manifest, run: Run) -> bool:
    labels = pod["metadata"].get("labels") or {}
    owner = ("Job", name_of_ours(run, labels.get(ROLE_LABEL, "")))
    return labels.get(RUN_LABEL) == run.id and owner in owners(pod)


def is_of_a_job(pod: Manifest) -> bool:
    """Say whether a pod is a Job's, by its owner or by the label that Jobs give."""
    marks = {"job-name", "batch.kubernetes.io/job-name"} & set(pod["metadata"].get("labels") or {})
    return bool(marks) or any(kind == "Job" for kind, _ in owners(pod))


def is_out_of_sight(node: str, ready: set[str]) -> bool:
    """Say whether a pod's node does not answer. ``node``: "" for a pod that found none."""
    return bool(node) and node not in ready


def has_ended(pod: Manifest, ready: set[str]) -> bool:
    """Say whether every process of a pod has ended, by the word of the kubelet that ran it.

    Only kubelets write Succeeded. Failed is also written, of a pod whose node is lost, by those who never saw it end.
    """
    phase = phase_of(pod)
    if phase == "Failed" and is_out_of_sight(pod["spec"].get("nodeName", ""), ready):
        containers = (pod.get("status") or {}).get("containerStatuses") or []
        return bool(containers) and all((container.get("state") or {}).get("terminated") for container in containers)
    return phase in ENDED


def phase_of(pod: Manifest) -> str:
    """Return a pod's phase, Pending where it has none yet."""
    return str((pod.get("status") or {}).get("phase", "Pending"))
