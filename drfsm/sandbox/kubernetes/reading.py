"""Small readings of Kubernetes manifests, and the parts of manifests that all controllers write alike.

Pure: no clock, no store. Times are aware datetimes; in manifests they are whole seconds of UTC. The controllers, the
kubelet and its client use them.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from drfsm.sandbox.kubernetes.refusals import Manifest


class Place(NamedTuple):
    """An object's namespace and name."""

    namespace: str
    name: str


def place(manifest: Manifest) -> Place:
    """Return an object's namespace and name."""
    metadata = manifest["metadata"]
    return Place(metadata.get("namespace") or "", metadata["name"])


def uid(manifest: Manifest) -> str:
    """Return an object's uid."""
    return str(manifest["metadata"]["uid"])


def stamp(at: datetime) -> str:
    """Return a time as manifests write it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Return the time that a manifest's text stands for."""
    return datetime.fromisoformat(text)


def controller_of(manifest: Manifest) -> Manifest | None:
    """Return the owner reference of an object's controller; None without one."""
    for owner in manifest["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            controller: Manifest = owner
            return controller
    return None


def owner_reference(owner: Manifest) -> Manifest:
    """Return the reference that makes ``owner`` the controller of an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def reference(manifest: Manifest) -> Manifest:
    """Return an ObjectReference to this version of an object."""
    metadata = manifest["metadata"]
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "name": metadata["name"],
        **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def condition(manifest: Manifest, kind: str) -> Manifest | None:
    """Return an object's condition of a type; None without one."""
    for entry in manifest.get("status", {}).get("conditions") or ():
        if entry["type"] == kind:
            match: Manifest = entry
            return match
    return None


def is_true(manifest: Manifest, kind: str) -> bool:
    """Return whether an object has a condition of a type, and it is True."""
    entry = condition(manifest, kind)
    return entry is not None and entry["status"] == "True"


def with_condition(conditions: Iterable[Manifest], new: Manifest, now: datetime) -> list[Manifest]:
    """Return the conditions with one replaced or added. Its transition time changes only with its status."""
    kept = list(conditions)
    for number, old in enumerate(kept):
        if old["type"] == new["type"]:
            since = old.get("lastTransitionTime") if old["status"] == new["status"] else None
            kept[number] = {**new, "lastTransitionTime": since or stamp(now)}
            return kept
    return [*kept, {**new, "lastTransitionTime": stamp(now)}]


def is_being_deleted(manifest: Manifest) -> bool:
    """Return whether an object is marked for deletion."""
    return "deletionTimestamp" in manifest["metadata"]


def phase(pod: Manifest) -> str:
    """Return a pod's phase; without a reported one it is Pending."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def has_ended(pod: Manifest) -> bool:
    """Return whether all containers of a pod have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Manifest) -> bool:
    """Return whether a pod runs or will run, as controllers count it."""
    return not has_ended(pod) and not is_being_deleted(pod)


def by_readiness(pods: Sequence[Manifest]) -> list[Manifest]:
    """Return pods in the order of their removal by a controller: unbound, pending, not ready, youngest first."""

    def rank(pod: Manifest) -> tuple[bool, bool, bool, float]:
        bound = bool(pod.get("spec", {}).get("nodeName"))
        age = -moment(pod["metadata"]["creationTimestamp"]).timestamp()
        return bound, phase(pod) == "Running", is_true(pod, "Ready"), age

    return sorted(pods, key=rank)
