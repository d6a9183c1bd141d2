"""Validation of specs, and their immutable fields: the rules of single resources.

Pure functions of manifests that have their defaults; admission.py calls them. Fields and messages are those of
the real validation (pkg/apis/*/validation), for the fields that users and drfsm meet.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drfsm import cron
from drfsm.sandbox.kubernetes.metadata import label_faults
from drfsm.sandbox.kubernetes.networking import ingress_faults, policy_faults
from drfsm.sandbox.kubernetes.refusals import Fault, Manifest, refused, required, unacceptable, unsupported

DATA_MAX = 1024 * 1024
NAME_MAX = 63
JOB_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
JOB_NAMES = ("batch.kubernetes.io/job-name", "job-name")
JOB_FIXED = ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex")
CONCURRENCY = ("Allow", "Forbid", "Replace")
RESTARTS = ("Always", "OnFailure", "Never")
POD_CHANGES = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
COUNTS = {
    "jobs": ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"),
    "cronjobs": ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
    "deployments": ("replicas", "revisionHistoryLimit"),
    "replicasets": ("replicas",),
}
SELECTED = ("deployments", "replicasets")


def faults(plural: str, manifest: Manifest) -> Iterator[Fault]:
    """Yield the faults of an object by the rules of its resource."""
    spec = manifest.get("spec") or {}
    for name in COUNTS.get(plural, ()):
        if (spec.get(name) or 0) < 0:
            yield unacceptable(f"spec.{name}", spec[name], "must be greater than or equal to 0")
    if plural in ("configmaps", "secrets"):
        yield from _data_faults(plural, manifest)
    if plural == "jobs":
        yield from _job_faults(manifest)
    if rule := SPEC_RULES.get(plural):
        yield from rule(spec)
    for path, pod in _pod_specs(plural, manifest):
        yield from _pod_faults(path, pod)
        if plural in ("jobs", "cronjobs"):
            yield from _ending(pod, path)


def immutable(plural: str, new: Manifest, old: Manifest) -> Iterator[Fault]:
    """Yield the faults of immutable fields that changed."""
    if plural == "jobs":
        yield from _fixed("spec", new["spec"], old["spec"], _job_fixed(old))
    elif plural == "pods":
        if _fixed_pod(new["spec"], old["spec"]) != _fixed_pod(old["spec"], old["spec"]):
            yield refused("spec", POD_CHANGES)
    elif plural in SELECTED:
        yield from _fixed("spec", new["spec"], old["spec"], ("selector",))
    elif plural in ("configmaps", "secrets"):
        if plural == "secrets":
            yield from _fixed("", new, old, ("type",))
        if old.get("immutable"):
            for name in ("data", "binaryData", "immutable"):
                if new.get(name) != old.get(name):
                    yield refused(name, "field is immutable when `immutable` is set")


def adopt_selector(job: Manifest) -> None:
    """Give a new Job its own selector and its pods' labels, unless it manages them itself."""
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector"):
        return
    template = spec["template"].setdefault("metadata", {})
    labels = template["labels"] = template.get("labels") or {}
    for name in JOB_LABELS:
        labels.setdefault(name, metadata["uid"])
    for name in JOB_NAMES:
        labels.setdefault(name, metadata["name"])
    selector = spec["selector"] = spec.get("selector") or {}
    selector["matchLabels"] = {JOB_LABELS[0]: metadata["uid"], **(selector.get("matchLabels") or {})}
    if not metadata.get("labels"):  # the real API fills them in whenever it reads the Job
        metadata["labels"] = dict(labels)


def quality(pod: Manifest) -> str:
    """Return a pod's quality of service class, from its containers' resources."""
    asked = [container.get("resources") or {} for container in (pod.get("spec") or {}).get("containers") or ()]
    if not any(resources.get("requests") or resources.get("limits") for resources in asked):
        return "BestEffort"
    limits = [resources.get("limits") or {} for resources in asked]
    same = all((resources.get("requests") or limit) == limit for resources, limit in zip(asked, limits, strict=True))
    return "Guaranteed" if same and all({"cpu", "memory"} <= set(limit) for limit in limits) else "Burstable"


# --- the rules ------------------------------------------------------------------------------------------


def _pod_specs(plural: str, manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    paths = {
        "pods": ("spec",),
        "jobs": ("spec", "template", "spec"),
        "cronjobs": ("spec", "jobTemplate", "spec", "template", "spec"),
        "deployments": ("spec", "template", "spec"),
        "replicasets": ("spec", "template", "spec"),
    }
    if path := paths.get(plural):
        value: Any = manifest
        for name in path:
            value = value.get(name) or {}
        yield ".".join(path), value


def _pod_faults(path: str, pod: Manifest) -> Iterator[Fault]:
    if not pod.get("containers"):
        yield required(f"{path}.containers")
    if pod.get("restartPolicy") not in (None, *RESTARTS):
        yield unsupported(f"{path}.restartPolicy", pod["restartPolicy"], RESTARTS)
    volumes = {volume.get("name") for volume in pod.get("volumes") or ()}
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for number, container in enumerate(pod.get(group) or ()):
            yield from _container_faults(f"{path}.{group}[{number}]", container, volumes, names)
            names.add(container.get("name", ""))


def _container_faults(path: str, container: Manifest, volumes: set[Any], names: set[str]) -> Iterator[Fault]:
    name = container.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) or len(name) > NAME_MAX:
        label_rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
        yield unacceptable(f"{path}.name", name, label_rule)
    elif name in names:
        yield f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'
    if not container.get("image"):
        yield required(f"{path}.image")
    yield from _reference_faults(path, container, volumes)


def _reference_faults(path: str, container: Manifest, volumes: set[Any]) -> Iterator[Fault]:
    for number, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{path}.env[{number}].name")
        if variable.get("value") and variable.get("valueFrom"):
            reason = "may not be specified when `value` is not empty"
            yield unacceptable(f"{path}.env[{number}].valueFrom", "", reason)
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            field = f"{path}.volumeMounts[{number}].name"
            yield field, "FieldValueNotFound", f"Not found: {json.dumps(mount.get('name'))}"
        if not mount.get("mountPath"):
            yield required(f"{path}.volumeMounts[{number}].mountPath")


def _job_faults(job: Manifest) -> Iterator[Fault]:
    spec, metadata = job["spec"], job["metadata"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    yield from label_faults("spec.template.labels", labels)
    if not spec.get("manualSelector"):
        expected_labels = {**dict.fromkeys(JOB_LABELS, metadata["uid"]), **dict.fromkeys(JOB_NAMES, metadata["name"])}
        for name, value in expected_labels.items():
            if labels.get(name) != value:
                yield unacceptable(f"spec.template.metadata.labels[{name}]", labels.get(name, ""), f"must be '{value}'")
        if spec.get("selector") != {"matchLabels": {JOB_LABELS[0]: metadata["uid"]}}:
            yield unacceptable("spec.selector", spec.get("selector"), "`selector` not auto-generated")


def _ending(pod: Manifest, path: str) -> Iterator[Fault]:
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        yield required(f"{path}.restartPolicy", 'valid values: "OnFailure", "Never"')


def _cron_faults(spec: Manifest) -> Iterator[Fault]:
    yield from _schedule_faults(spec.get("schedule") or "")
    if spec["concurrencyPolicy"] not in CONCURRENCY:
        yield unsupported("spec.concurrencyPolicy", spec["concurrencyPolicy"], CONCURRENCY)
    if "timeZone" in spec and not _known_zone(spec["timeZone"]):
        yield unacceptable("spec.timeZone", spec["timeZone"], f"unknown time zone {spec['timeZone']}")


def _schedule_faults(schedule: str) -> Iterator[Fault]:
    if not schedule:
        yield required("spec.schedule")
        return
    try:
        cron.parse(schedule)
    except cron.BadSchedule as fault:
        yield unacceptable("spec.schedule", schedule, str(fault))
    if "TZ" in schedule:
        reason = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield unacceptable("spec.schedule", schedule, reason)


def _known_zone(name: str) -> bool:
    try:
        cron.zone_of(name)
    except cron.UnknownZone:
        return False
    return bool(name)


def _selector_faults(spec: Manifest) -> Iterator[Fault]:
    selected_labels = (spec.get("selector") or {}).get("matchLabels") or {}
    if not spec.get("selector"):
        yield required("spec.selector")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if any(labels.get(name) != value for name, value in selected_labels.items()):
        reason = "`selector` does not match template `labels`"
        yield unacceptable("spec.template.metadata.labels", labels, reason)
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy != "Always":
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _data_faults(plural: str, manifest: Manifest) -> Iterator[Fault]:
    data = manifest.get("data") or {}
    binary = manifest.get("binaryData") or {}
    for name in (*data, *binary):
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", name) or name in (".", ".."):
            reason = (
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            yield unacceptable(f"data[{name}]", name, reason)
    size = sum(len((value or "").encode()) for value in data.values()) if plural == "configmaps" else 0
    coded = binary if plural == "configmaps" else data
    for name, value in coded.items():
        try:
            size += len(base64.b64decode(value or "", validate=True))
        except binascii.Error:
            yield unacceptable(f"data[{name}]", "", "illegal base64 data")
    if size > DATA_MAX:
        place = "data" if plural == "secrets" else "[]"
        yield place, "FieldValueTooLong", f"Too long: may not be more than {DATA_MAX} bytes"


def _fixed(path: str, new: Manifest, old: Manifest, names: tuple[str, ...]) -> Iterator[Fault]:
    for name in names:
        if new.get(name) != old.get(name):
            field = f"{path}.{name}" if path else name
            yield unacceptable(field, new.get(name), "field is immutable")


def _job_fixed(old: Manifest) -> tuple[str, ...]:
    """Return the immutable fields of a Job. Its template may change while it is suspended and hasn't started."""
    waiting = old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime")
    return tuple(name for name in JOB_FIXED if not (waiting and name == "template"))


def _fixed_pod(spec: Manifest, old: Manifest) -> Mapping[str, Any]:
    """Return the immutable part of a pod's spec. Its node may be set once."""
    free = {"activeDeadlineSeconds", "tolerations", *(() if old.get("nodeName") else ("nodeName",))}
    fixed = {name: value for name, value in spec.items() if name not in free}
    for group in ("initContainers", "containers"):
        if group in fixed:
            fixed[group] = [{k: v for k, v in container.items() if k != "image"} for container in fixed[group] or ()]
    return fixed


SPEC_RULES: Mapping[str, Callable[[Manifest], Iterator[Fault]]] = {
    "cronjobs": _cron_faults,
    "deployments": _selector_faults,
    "replicasets": _selector_faults,
    "ingresses": ingress_faults,
    "networkpolicies": policy_faults,
}
