"""Defaults that the real API sets in a manifest, and that clients read back.

admission.py calls ``fill`` for every new and every changed object, before its validation. Only fields that users and
drfsm meet have defaults here; a field that is set is never changed.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drfsm.sandbox.kubernetes.networking import fill_policy
from drfsm.sandbox.kubernetes.refusals import Manifest

PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
POD = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
JOB = {"parallelism": 1, "completionMode": "NonIndexed", "suspend": False, "manualSelector": False}
CRON = {
    "concurrencyPolicy": "Allow",
    "suspend": False,
    "successfulJobsHistoryLimit": 3,
    "failedJobsHistoryLimit": 1,
}
MODES = ("secret", "configMap", "projected", "downwardAPI")
TOLERATED_SECONDS = 300
PATIENT = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def fill(plural: str, manifest: Manifest) -> None:
    """Set a manifest's defaults, in place."""
    if rule := RULES.get(plural):
        rule(manifest)


def _fill(into: Manifest, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if into.get(name) is None:
            into[name] = value


def _section(manifest: Manifest, *names: str) -> Manifest:
    """Return a part of a manifest; make it if it is missing."""
    for name in names:
        if manifest.get(name) is None:
            manifest[name] = {}
        manifest = manifest[name]
    return manifest


def containers(pod_spec: Manifest) -> Iterator[Manifest]:
    """Yield a pod's containers, the init containers first."""
    for name in ("initContainers", "containers"):
        yield from pod_spec.get(name) or ()


def _pod_spec(spec: Manifest) -> None:
    _fill(spec, POD)
    _fill(spec, {"securityContext": {}})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for container in spec.get("volumes") or ():
        _volume(container)


def _container(container: Manifest) -> None:
    _fill(container, CONTAINER)
    _fill(container, {"resources": {}, "imagePullPolicy": pull_policy(container.get("image") or "")})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _fill(container[name], PROBE)
    for port in container.get("ports") or ():
        _fill(port, {"protocol": "TCP"})
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            _fill(reference, {"apiVersion": "v1"})


def _volume(volume: Manifest) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for name in MODES:
        if volume.get(name) is not None:
            _fill(volume[name], {"defaultMode": 0o644})


def pull_policy(image: str) -> str:
    """Return the default pull policy: Always for an image without tag and digest, or with the tag latest."""
    last = image.rpartition("/")[2]
    return "Always" if "@" not in image and last.partition(":")[2] in ("", "latest") else "IfNotPresent"


def _pod(manifest: Manifest) -> None:
    spec = _section(manifest, "spec")
    _pod_spec(spec)
    account = spec.get("serviceAccountName") or "default"
    _fill(spec, {"serviceAccountName": account, "serviceAccount": account, "enableServiceLinks": True})
    _fill(spec, {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"})
    tolerated = [*(spec.get("tolerations") or ())]
    for key in PATIENT:
        if not any(toleration.get("key") in (None, key) for toleration in tolerated):
            rule = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            tolerated.append({**rule, "tolerationSeconds": TOLERATED_SECONDS})
    spec["tolerations"] = tolerated


def _job(manifest: Manifest) -> None:
    spec = _section(manifest, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _fill(spec, JOB)
    if spec.get("backoffLimitPerIndex") is None:
        _fill(spec, {"backoffLimit": 6})
    replaced = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    _fill(spec, {"podReplacementPolicy": replaced})
    labels = _section(spec, "template").get("metadata", {}).get("labels")
    if labels and not manifest["metadata"].get("labels"):
        manifest["metadata"]["labels"] = dict(labels)
    _pod_spec(_section(spec, "template", "spec"))


def _cronjob(manifest: Manifest) -> None:
    spec = _section(manifest, "spec")
    _fill(spec, CRON)
    _section(spec, "jobTemplate", "metadata")
    _section(spec, "jobTemplate", "spec", "template", "metadata")
    _pod_spec(_section(spec, "jobTemplate", "spec", "template", "spec"))


def _replicaset(manifest: Manifest) -> None:
    spec = _section(manifest, "spec")
    _fill(spec, {"replicas": 1})
    _pod_spec(_section(spec, "template", "spec"))


def _deployment(manifest: Manifest) -> None:
    _replicaset(manifest)
    spec = manifest["spec"]
    _fill(spec, {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = _section(spec, "strategy")
    _fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        _fill(_section(strategy, "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"})


def _namespace(manifest: Manifest) -> None:
    metadata = manifest["metadata"]
    _section(metadata, "labels")["kubernetes.io/metadata.name"] = metadata["name"]
    _fill(_section(manifest, "spec"), {"finalizers": ["kubernetes"]})
    _fill(_section(manifest, "status"), {"phase": "Active"})


def _secret(manifest: Manifest) -> None:
    _fill(manifest, {"type": "Opaque"})
    if texts := manifest.pop("stringData", None):
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in texts.items()}
        manifest["data"] = {**(manifest.get("data") or {}), **encoded}


def _service(manifest: Manifest) -> None:
    spec = _section(manifest, "spec")
    _fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    for port in spec.get("ports") or ():
        _fill(port, {"protocol": "TCP", "targetPort": port.get("port")})


def _claim(manifest: Manifest) -> None:
    _fill(_section(manifest, "spec"), {"volumeMode": "Filesystem"})
    _fill(_section(manifest, "status"), {"phase": "Pending"})


RULES: Mapping[str, Callable[[Manifest], None]] = {
    "pods": _pod,
    "jobs": _job,
    "cronjobs": _cronjob,
    "replicasets": _replicaset,
    "deployments": _deployment,
    "namespaces": _namespace,
    "secrets": _secret,
    "services": _service,
    "persistentvolumeclaims": _claim,
    "networkpolicies": fill_policy,
}
