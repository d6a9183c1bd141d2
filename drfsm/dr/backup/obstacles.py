"""What a site can't take of a backup: told before anything is applied, all of it at once, with what to do.

An API refuses some changes for good: a field of a live object that never changes (``FIXED``), an immutable ConfigMap,
anything in a namespace that is being deleted. Met in the middle of a restore, each would leave half a site. Owns
``Target``, the site that is meant. Changes nothing. Called by restore.py and restore_site.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.dr.workload import Workload
from drfsm.errors import ActionFailed
from drfsm.world import Cluster, Manifest


@frozen
class Target:
    """The target site. ``bundled``: the control plane comes from the published bundle, not from the backup."""

    cluster: Cluster
    namespace: str
    workload: Workload
    configmap: str
    cronjob: str = ""
    claim: str = ""
    bundled: bool = True


FIXED: Mapping[str, Sequence[str]] = {
    "Deployment": ("spec.selector",),
    "RoleBinding": ("roleRef",),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.storageClassName", "spec.volumeMode"),
}
"""Fields of a live object that no apply can change, by the API's rules. A claim is left as it is (``apply``)."""
LEFT = ("PersistentVolumeClaim", "Namespace")
"""Kinds whose live objects a restore leaves as they are: a namespace may have other users, too."""


def check_target(target: Target, manifests: Sequence[Manifest]) -> None:
    """Raise ActionFailed where the site can't take these objects. BEFORE anything is applied.

    The namespace, or one of the objects, is being deleted; a live object differs in a field that can't be changed; an
    immutable ConfigMap has other content.
    """
    namespace = target.cluster.get("Namespace", "", target.namespace)
    if namespace is None:
        return
    if since := namespace["metadata"].get("deletionTimestamp"):
        raise ActionFailed(
            f"the namespace {target.namespace} on {target.cluster.name} is being deleted since {since}, so nothing can"
            " be created in it; nothing was changed",
            hint=f"wait until it is gone, then restore again: kubectl get namespace {target.namespace} -o yaml"
            " (status.conditions says what it waits for); or name another --namespace",
            final=True,
        )
    check_mutable(target)
    if obstacles := [reason for manifest in manifests for reason in _obstacles(target, manifest)]:
        raise ActionFailed(
            f"{target.cluster.name} can't take these objects, and nothing was changed: {'; '.join(obstacles)}",
            hint="find out who needs them; delete them there (kubectl delete), then restore again; or name another"
            " --namespace",
            final=True,
        )


def _obstacles(target: Target, manifest: Manifest) -> Iterator[str]:
    """Yield why a live object can't become this one, in words."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    there = target.cluster.get(kind, manifest["metadata"].get("namespace", ""), name)
    if there is None:
        return
    if since := there["metadata"].get("deletionTimestamp"):
        yield f"{kind} {name} is being deleted since {since}"
    elif kind not in LEFT:
        fields = unchangeable(manifest, there)
        yield from (f"{field} of {kind} {name} can't be changed on a live object" for field in fields)
        if kind == "ConfigMap" and there.get("immutable") and _content(manifest) != _content(there):
            yield f"ConfigMap {name} is immutable, and its content is another"


def unchangeable(manifest: Manifest, there: Manifest) -> list[str]:
    """Return the fixed fields in which a live object differs."""
    return [
        field
        for field in FIXED.get(manifest["kind"], ())
        if (ours := _field(manifest, field)) is not None and list(unlike(ours, _field(there, field), ""))
    ]


def _field(manifest: Manifest, path: str) -> Any:
    value: Any = manifest
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _content(manifest: Manifest) -> tuple[Any, Any]:
    return manifest.get("data") or {}, manifest.get("binaryData") or {}


def check_mutable(target: Target) -> None:
    """Raise ActionFailed where the site's ConfigMap can't be switched. BEFORE anything is applied."""
    config = target.cluster.get("ConfigMap", target.namespace, target.configmap) or {}
    if config.get("immutable"):
        raise ActionFailed(
            f"ConfigMap {target.namespace}/{target.configmap} on {target.cluster.name} is immutable, so publishing"
            " could never be switched; nothing was changed",
            hint="delete it there, then restore again: the restored one is mutable",
            final=True,
        )


def unlike(expected: Any, actual: Any, where: str) -> Iterator[str]:
    """Yield the paths where an expected value differs. Never the values: a ConfigMap may contain addresses."""
    if isinstance(expected, dict) and (isinstance(actual, dict) or (actual is None and not expected)):
        for name, value in expected.items():
            yield from unlike(value, (actual or {}).get(name), f"{where}.{name}" if where else name)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (ours, theirs) in enumerate(zip(expected, actual, strict=True)):
            yield from unlike(ours, theirs, f"{where}[{number}]")
    elif expected != actual and not (actual is None and expected in ({}, [], None)):
        yield where
