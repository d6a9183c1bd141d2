"""The validation: the site that is to take over does its work once, and publishes beside.

The Job is made from that site's CronJob, with the image to validate, no owner, no second try, and an
environment that publishes into ``<prefix>/validations/<drfsm run>/`` (layout.staged) under a run id chosen beforehand.
It is found again by its label after a crash, never started twice, and counts by what it published, not
by its exit code: with publishing off the workload succeeds too. Volumes that outlive a pod, and that it could write,
are replaced by empty ones: a validation leaves no trace in the site's state, and finds none there, so that it does the
work, where a workload that knows its last run would find nothing new and publish nothing.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.dr import pod_troubles
from drfsm.dr.layout import pairs_of
from drfsm.dr.objects import ROLE_LABEL, RUN_LABEL, condition, cronjob_of, name_of_ours, redacted, time_of
from drfsm.dr.pointers import pairs, read
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import Cluster, Manifest, World

REMOVE_SECONDS = 180
LOG_LINES, MOST_EVENTS = 20, 10
POLL_SECONDS = 1.0
FLEETING = ("emptyDir", "configMap", "secret", "projected", "downwardAPI", "ephemeral", "csi", "image")
"""The kinds of volumes that end with their pod, or hold nothing of its own. Any other kind outlives it."""


def selector(run: Run, role: str) -> str:
    """Return the label selector of what this run started in a role."""
    return f"{RUN_LABEL}={run.id},{ROLE_LABEL}={role}"


def find(cluster: Cluster, run: Run, role: str) -> Sequence[Manifest]:
    """Return the Jobs that this run started in a role: one, or none."""
    return cluster.list("Job", terms_of(run.inputs).namespace, labels=selector(run, role))


def job_from(cronjob: Manifest, run: Run, role: str) -> Manifest:
    """Return a Job of a CronJob's template, marked as this run's, under a name that only this run gives."""
    template = deepcopy(cronjob["spec"]["jobTemplate"])
    marks = {RUN_LABEL: run.id, ROLE_LABEL: role}
    spec = template["spec"]
    pod = spec["template"].setdefault("metadata", {})
    pod["labels"] = {**(pod.get("labels") or {}), **marks}
    labels = {**((template.get("metadata") or {}).get("labels") or {}), **marks}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of_ours(run, role),
            "namespace": terms_of(run.inputs).namespace,
            "labels": labels,
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        },
        "spec": spec,
    }


def create(cluster: Cluster, job: Manifest, run: Run, role: str) -> None:
    """Create a Job unless this run has it already. Raises Conflict if the name is somebody else's."""
    try:
        cluster.create(job)
    except Conflict:
        if not find(cluster, run, role):
            raise
    run.note(f"Job {job['metadata']['name']} is on {cluster.name}")


def environment(run: Run) -> dict[str, str]:
    """Return what the validation's environment says, whatever the site's says; where it publishes is ours alone."""
    terms = terms_of(run.inputs)
    asked = dict(line.split("=", 1) for line in terms.validation_env if "=" in line)
    # A DR that is promoted must be able to publish: its bucket is the one that its own settings name.
    variables = terms.workload.variables
    bucket = {variables.bucket: terms.bucket} if terms.target_site == "primary" else {}
    return {
        **asked,
        **bucket,
        **terms.workload.switches.on,
        **variables.validation,
        variables.prefix: terms.staged(run.id).prefix,
        variables.run_id: terms.new_run,
    }


def _start(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    cluster = world.site(terms.target_site)
    found = find(cluster, run, "validation")
    if not found:
        job = job_from(cronjob_of(cluster, terms.namespace, terms.cronjob, terms.usual_cronjob), run, "validation")
        beside(job, run)
        create(cluster, job, run, "validation")
        found = [job]
    return {"publishes_to": terms.staged(run.id).prefix, **publishes_as(found[0])}


def publishes_as(job: Manifest) -> dict[str, Any]:
    """Return what a Job publishes with: its image, its identity, and where its settings come from. No values."""
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    sources = [
        f"{kind}/{each[reference]['name']}"
        for each in container.get("envFrom") or []
        for kind, reference in (("Secret", "secretRef"), ("ConfigMap", "configMapRef"))
        if reference in each
    ]
    return {
        "image": container["image"],
        "service_account": pod.get("serviceAccountName") or "default",
        "settings_from": sources,
    }


def beside(job: Manifest, run: Run) -> None:
    """Make a Job of the site a validation: its image, its environment, one try, no lasting volume."""
    spec = job["spec"]
    spec["backoffLimit"] = 0
    spec.pop("ttlSecondsAfterFinished", None)
    pod = spec["template"]["spec"]
    pod["restartPolicy"] = "Never"
    pod["volumes"] = [
        {"name": volume["name"], "emptyDir": {}} if keeps_state(volume, pod) else volume
        for volume in pod.get("volumes") or []
    ]
    wanted, current = environment(run), pod["containers"][0]["image"]
    for container in (*(pod.get("initContainers") or ()), *pod["containers"]):
        if container["image"] == current:  # others in the pod are no part of what is validated
            container["image"] = terms_of(run.inputs).image_ref or current
        kept = [each for each in container.get("env") or [] if each["name"] not in wanted]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in wanted.items())]


def keeps_state(volume: Manifest, pod: Manifest) -> bool:
    """Return whether a volume outlives its pod with what a container of it writes there."""
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds or kinds[0] in FLEETING or (volume[kinds[0]] or {}).get("readOnly"):
        return False
    containers = (*(pod.get("initContainers") or ()), *pod["containers"])
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    return any(mount["name"] == volume["name"] and not mount.get("readOnly") for mount in mounts)


def _remove(world: World, run: Run) -> dict[str, Any]:
    """Delete the Job, wait until its pods are gone too, then delete what it published beside."""
    terms = terms_of(run.inputs)
    jobs = remove_jobs(world.site(terms.target_site), run, "validation")
    beside = [each.key for each in world.store.list(f"{terms.staged(run.id).prefix}/")]
    removed = len(list(world.store.delete_many(beside, check=run.check)))
    return {"jobs": jobs, "objects_removed": removed}


def remove_jobs(cluster: Cluster, run: Run, role: str) -> list[str]:
    """Delete the Jobs that this run started in a role, and wait until nothing of them can write any more."""
    namespace = terms_of(run.inputs).namespace
    jobs = {str(job["metadata"]["name"]): str(job["metadata"]["uid"]) for job in find(cluster, run, role)}
    for name, uid in jobs.items():
        cluster.delete("Job", namespace, name, uid=uid)  # never one that is created later under this name
    until = run.clock.monotonic() + REMOVE_SECONDS
    while names := ", ".join(each for left in left_of(cluster, run, role).values() for each in left):
        run.check()
        run.note(f"waiting for {names} on {cluster.name} to be gone")
        if run.clock.monotonic() > until:
            raise ActionFailed(
                f"{names} on {cluster.name} is not gone after {REMOVE_SECONDS} s: it may still write",
                hint="look at its node, then `drfsm resume`; or, in an abort, `drfsm request waive_undo --reason …`",
            )
        run.clock.sleep(POLL_SECONDS)
    return list(jobs)


def _observe_job(world: World, run: Run) -> dict[str, Any]:
    """See all that there is of the validation: it is gone when nothing of it is left."""
    terms = terms_of(run.inputs)
    beside_all = world.store.list(f"{terms.staged(run.id).prefix}/")
    return {**left_of(world.site(terms.target_site), run, "validation"), "objects": sum(1 for _ in beside_all)}


def left_of(cluster: Cluster, run: Run, role: str) -> dict[str, list[str]]:
    """Return the Jobs that this run started in a role, and their pods: those may outlive a Job."""
    pods = cluster.list("Pod", terms_of(run.inputs).namespace, labels=selector(run, role))
    return {
        "jobs": sorted(str(each["metadata"]["name"]) for each in find(cluster, run, role)),
        "pods": sorted(str(each["metadata"]["name"]) for each in pods),
    }


def _observe_result(world: World, run: Run) -> dict[str, Any]:
    terms = terms_of(run.inputs)
    job = job_of(world, run, "validation")  # BEFORE what it published: that is there when the Job has ended
    layout = terms.staged(run.id)
    form = layout.workload.pointers
    global_pointers = read(world.store, layout.global_pointers(), form)
    # Every pair that is canonical must have been done: its pointer will name this run.
    canonical = pairs(world.store, terms.layout, *terms.pair)
    found = [pair for each in global_pointers.values() for pair in pairs_of(each or {})]
    providers = read(world.store, layout.provider_pointers(dict.fromkeys([*found, *canonical])), form)
    named = {key: (each or {}).get("run_id") for key, each in {**global_pointers, **providers}.items()}
    return {**seen_job(world, run, job, satisfied=_published(named, terms)), "published": named}


def _published(named: Mapping[str, Any], terms: Terms) -> bool:
    return all(each == terms.new_run for each in named.values())


def job_of(world: World, run: Run, role: str) -> Manifest | None:
    """Return the Job that this run started in a role, None if there is none."""
    return next(iter(find(world.site(terms_of(run.inputs).target_site), run, role)), None)


def seen_job(world: World, run: Run, job: Manifest | None, *, satisfied: bool) -> dict[str, Any]:
    """See how a Job of the site that takes over stands: its end, and what keeps its pods from working, in their words.

    ``satisfied``: what it was to publish is there; where it isn't, the last words of one that has ended are told.
    """
    terms = terms_of(run.inputs)
    if job is None:
        return {"job": "absent"}
    name, namespace, cluster = str(job["metadata"]["name"]), terms.namespace, world.site(terms.target_site)
    ended = condition(job, "Complete", "Failed")
    seen: dict[str, Any] = {"job": ended.lower() or "unfinished", "name": name}
    pods = cluster.list("Pod", namespace, labels=f"job-name={name}")
    now = time_of(cluster, run)  # AFTER the list: the site stamped its objects by it
    troubles = sorted({trouble.words for pod in pods for trouble in pod_troubles.troubles(pod)})
    limit = terms.startup_timeout
    if not ended and (job.get("spec") or {}).get("suspend"):
        troubles = ["it is suspended, so it starts no pod"]
    elif not ended and not pods and _too_long(job, now, limit):
        troubles = ["no pod of it was created"]
    if troubles:
        seen |= {
            "trouble": [redacted(each) for each in troubles],
            "too_long": any(_too_long(each, now, limit) for each in (*pods, job)),
        }
    unsatisfied = bool(ended) and (ended == "Failed" or not satisfied)
    if unsatisfied and pods:
        raw = cluster.log(namespace, pods[-1]["metadata"]["name"], tail_lines=LOG_LINES)
        seen["log"] = [redacted(line) for line in raw.splitlines()]
    if unsatisfied or troubles:
        seen["events"] = _events(cluster, run, {name, *(pod["metadata"]["name"] for pod in pods)})
    for each in (*seen.get("trouble", ()), *seen.get("log", ())[-1:]):
        run.note(f"{name}: {each}")
    return seen


def _events(cluster: Cluster, run: Run, names: set[str]) -> list[str]:
    """Return what the cluster tells of these objects, each thing once."""
    found = cluster.list("Event", terms_of(run.inputs).namespace)
    told = (f"{e.get('reason')}: {e.get('message')}" for e in found if e["involvedObject"].get("name") in names)
    return sorted(dict.fromkeys(map(redacted, told)))[:MOST_EVENTS]


def _too_long(manifest: Manifest, now: datetime, limit: float) -> bool:
    born = moment(manifest["metadata"].get("creationTimestamp"))
    return born is not None and seconds_between(born, now) > limit


def _judge_result(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge by what was published beside, once the Job has ended (it writes its pointers last)."""
    if seen["job"] in ("complete", "failed"):
        return "succeeded" if _published(seen["published"], terms_of(inputs)) else "failed"
    hopeless = any(told.startswith(pod_troubles.HOPELESS) for told in seen.get("trouble", ()))
    return "failed" if hopeless or seen.get("too_long") or seen["job"] == "absent" else "pending"


FACTS = {
    "validation_job": Fact(_observe_job, lambda seen, _inputs: "present" if any(seen.values()) else "absent"),
    "validation_result": Fact(_observe_result, _judge_result),
}
LATE = {
    "start_validation": Late(settles="the creation of a Job has no condition"),
    "remove_validation": Late(settles="the deletion of what a Job published has no condition"),
}
ACTIONS = {"start_validation": _start, "remove_validation": _remove}
