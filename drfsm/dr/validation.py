"""The validation: the primary does its work once, and publishes beside.

The Job is made from the primary's CronJob, with the image to validate, no owner, no second try, and an
environment that publishes into ``<prefix>/validations/<drfsm run>/`` under a run id chosen beforehand.
It is found again by its label after a crash, never started twice, and counts by what it published, not
by its exit code: with publishing off the workload succeeds too. Volumes that outlive a pod are replaced
by empty ones, so that a validation leaves no trace in the primary's state.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from drfsm.dr.drain import ROLE_LABEL, RUN_LABEL, condition
from drfsm.dr.layout import pairs_of, staged
from drfsm.dr.pointers import read
from drfsm.dr.preflight import cronjob_of
from drfsm.engine import Fact, Run
from drfsm.errors import Conflict
from drfsm.world import Cluster, Manifest, World

STARTUP_SECONDS = 90
LOG_LINES, MOST_EVENTS = 20, 10
# A workload's log is not ours: what looks like a credential in it stays out of the journal.
SECRET = re.compile(
    r"(?i)((?:secret|token|password|passwd|authorization|credential|access_?key)[\w-]*[\"']?\s*[:= ]\s*)\S.*"
)
POLL_SECONDS = 0.2
HOPELESS = ("InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull")
STUCK = (
    "ErrImagePull",
    "ImagePullBackOff",
    "CrashLoopBackOff",
    "ContainerCreating",
    "Unschedulable",
    *HOPELESS,
)


def selector(run: Run, role: str) -> str:
    """Return the label selector of what this run started in a role."""
    return f"{RUN_LABEL}={run.id},{ROLE_LABEL}={role}"


def find(cluster: Cluster, run: Run, role: str) -> Sequence[Manifest]:
    """Return the Jobs that this run started in a role: one, or none."""
    return cluster.list("Job", run.inputs["namespace"], labels=selector(run, role))


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
            "name": f"drfsm-{role}-{run.id}"[:63].rstrip("-."),
            "namespace": run.inputs["namespace"],
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
    asked = dict(line.split("=", 1) for line in str(run.inputs["validation_env"]).splitlines() if "=" in line)
    return {
        **asked,
        "PUBLISH_S3": "1",
        "PUBLISH_S3_DRY_RUN": "0",
        "PUBLISH_S3_REQUIRE": "1",
        "JOBINTEL_S3_BUCKET": str(run.inputs["bucket"]),
        "JOBINTEL_S3_PREFIX": staged(run.inputs, run.id).prefix,
        "JOBINTEL_RUN_ID": str(run.inputs["primary_run_id"]),
    }


def _start(world: World, run: Run) -> dict[str, Any]:
    if not find(world.primary, run, "validation"):
        namespace = run.inputs["namespace"]
        job = job_from(cronjob_of(world.primary, namespace, run.inputs["cronjob"]), run, "validation")
        beside(job, run)
        create(world.primary, job, run, "validation")
    return {"publishes_to": staged(run.inputs, run.id).prefix}


def beside(job: Manifest, run: Run) -> None:
    """Make a Job of the site a validation: its image, its environment, one try, no lasting volume."""
    spec = job["spec"]
    spec["backoffLimit"] = 0
    spec.pop("ttlSecondsAfterFinished", None)
    pod = spec["template"]["spec"]
    pod["volumes"] = [
        {"name": each["name"], "emptyDir": {}} if "persistentVolumeClaim" in each else each
        for each in pod.get("volumes") or []
    ]
    wanted = environment(run)
    for container in pod["containers"]:
        container["image"] = str(run.inputs["image_ref"]) or container["image"]
        kept = [each for each in container.get("env") or [] if each["name"] not in wanted]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in wanted.items())]


def _remove(world: World, run: Run) -> dict[str, Any]:
    """Delete the Job, wait until its pods are gone too, then delete what it published beside."""
    namespace, labels = run.inputs["namespace"], f"{RUN_LABEL}={run.id},{ROLE_LABEL}=validation"
    jobs = [each["metadata"]["name"] for each in find(world.primary, run, "validation")]
    for name in jobs:
        world.primary.delete("Job", namespace, name)
    while find(world.primary, run, "validation") or world.primary.list("Pod", namespace, labels=labels):
        run.check()
        run.clock.sleep(POLL_SECONDS)
    home = f"{staged(run.inputs, run.id).prefix}/"
    removed = 0
    for each in list(world.store.list(home)):
        run.check()
        world.store.delete(each.key)
        removed += 1
    return {"jobs": jobs, "objects_removed": removed}


def _observe_job(world: World, run: Run) -> dict[str, Any]:
    return {"jobs": sorted(each["metadata"]["name"] for each in find(world.primary, run, "validation"))}


def _observe_result(world: World, run: Run) -> dict[str, Any]:
    seen = job_state(world, run, "validation")
    layout = staged(run.inputs, run.id)
    global_pointers = read(world.store, layout.global_pointers())
    found = [pair for each in global_pointers.values() for pair in pairs_of(each or {})]
    wanted = (str(run.inputs["provider"]), str(run.inputs["profile"]))
    providers = read(world.store, layout.provider_pointers(dict.fromkeys([*found, wanted])))
    named = {key: (each or {}).get("run_id") for key, each in {**global_pointers, **providers}.items()}
    return {**seen, "published": named}


def job_state(world: World, run: Run, role: str) -> dict[str, Any]:
    """See how a Job of this run stands: its end, and what keeps its pods from working."""
    jobs = find(world.primary, run, role)
    if not jobs:
        return {"job": "absent"}
    ended = condition(jobs[0], "Complete", "Failed")
    seen: dict[str, Any] = {"job": ended.lower() or "running", "name": jobs[0]["metadata"]["name"]}
    pods = world.primary.list("Pod", run.inputs["namespace"], labels=selector(run, role))
    if reasons := sorted({reason for pod in pods for reason in _troubles(pod)}):
        seen |= {"trouble": reasons, "too_long": any(map(_too_long, pods))}
    if ended == "Failed" and pods:
        raw = world.primary.log(run.inputs["namespace"], pods[-1]["metadata"]["name"], tail_lines=LOG_LINES)
        seen["log"] = [SECRET.sub(r"\1…", line) for line in raw.splitlines()]
    if ended == "Failed" or reasons:
        seen["events"] = _events(world.primary, run, {seen["name"], *(pod["metadata"]["name"] for pod in pods)})
    return seen


def _events(cluster: Cluster, run: Run, names: set[str]) -> list[str]:
    """Return what the cluster tells of these objects, each thing once."""
    found = cluster.list("Event", run.inputs["namespace"])
    told = (f"{e.get('reason')}: {e.get('message')}" for e in found if e["involvedObject"].get("name") in names)
    return sorted(dict.fromkeys(told))[:MOST_EVENTS]


def _troubles(pod: Manifest) -> list[str]:
    status = pod.get("status", {})
    told = [
        f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
        for each in status.get("containerStatuses") or []
        if (waiting := each.get("state", {}).get("waiting")) and waiting.get("reason") in STUCK
    ]
    told += [
        f"{each['reason']}: {each.get('message', '')}"
        for each in status.get("conditions") or []
        if each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason")
    ]
    return told


def _too_long(pod: Manifest) -> bool:
    born = pod["metadata"].get("creationTimestamp")
    if not born:
        return False
    age = datetime.now(UTC) - datetime.fromisoformat(str(born))
    return age.total_seconds() > STARTUP_SECONDS


def _judge_result(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge by what was published beside, once the Job has ended (it writes its pointers last)."""
    published = all(each == inputs["primary_run_id"] for each in seen["published"].values())
    if seen["job"] in ("complete", "failed"):
        return "succeeded" if published else "failed"
    hopeless = any(told.startswith(HOPELESS) for told in seen.get("trouble", ()))
    return "failed" if hopeless or seen.get("too_long") or seen["job"] == "absent" else "pending"


FACTS = {
    "validation_job": Fact(_observe_job, lambda seen, _inputs: "present" if seen["jobs"] else "absent"),
    "validation_result": Fact(_observe_result, _judge_result),
}
ACTIONS = {"start_validation": _start, "remove_validation": _remove}
