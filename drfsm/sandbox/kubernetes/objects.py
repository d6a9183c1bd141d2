"""A single object in a write: its key and name, its copy, and what of it is stored. Pure functions of manifests.

store.py and its neighbours call them. Nothing here knows of other objects, of locks or of the next version.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from secrets import choice
from typing import Any, NamedTuple, TypeVar, cast

from drfsm.sandbox.kubernetes.refusals import Manifest, conflict, invalid, modified
from drfsm.sandbox.kubernetes.resources import Resource

Json = TypeVar("Json")
DEFAULT_GRACE_SECONDS = 30
GENERATED = "bcdfghjklmnpqrstvwxz2456789"  # as the real one: no vowels, so no words
KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class Key(NamedTuple):
    """The key of an object: resource, namespace and name."""

    resource: str
    namespace: str
    name: str


def clone(value: Json) -> Json:
    """Copy a JSON value; many times faster than deepcopy."""
    if isinstance(value, dict):
        return cast("Json", {key: clone(item) for key, item in value.items()})
    if isinstance(value, list):
        return cast("Json", [clone(item) for item in value])
    return value


def timestamp(after_seconds: float = 0) -> str:
    """Return the time, now or later, as Kubernetes writes it: UTC, whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=after_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(kind: Resource, manifest: Mapping[str, Any]) -> Key:
    """Return the key of an object."""
    metadata = manifest["metadata"]
    return Key(kind.plural, metadata.get("namespace") or "" if kind.namespaced else "", metadata["name"])


def give_name(kind: Resource, metadata: Manifest) -> None:
    """Give a new object its name, from generateName if it has none. Raises ApiError Invalid."""
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(choice(GENERATED) for _ in range(5))
        metadata["name"] = metadata["generateName"][: 63 - len(suffix)] + suffix
    if not metadata.get("name"):
        fault = ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        raise invalid(kind.kind, kind.group, "", [fault])


def check_same(kind: Resource, manifest: Manifest, old: Manifest) -> None:
    """Raise ApiError Conflict if a write is meant for another uid or was made from an older version."""
    written, kept, name = manifest["metadata"], old["metadata"], old["metadata"]["name"]
    uid = written.get("uid")
    if uid and uid != kept["uid"]:
        key = "/".join(filter(None, (kind.plural, kept.get("namespace", ""), name)))
        storage_error = (
            f"StorageError: invalid object, Code: 4, Key: /registry/{key}, ResourceVersion: 0, AdditionalErrorMsg"
        )
        why = f"{storage_error}: Precondition failed: UID in precondition: {uid}, UID in object meta: {kept['uid']}"
        raise conflict(kind.qualified, name, why)
    version = written.get("resourceVersion")
    if version and version != kept["resourceVersion"]:
        raise modified(kind.qualified, name)


def with_status(old: Manifest, manifest: Manifest) -> Manifest:
    """Return the old object with the status of another."""
    new = clone(old)
    put(new, "status", clone(manifest.get("status")))
    if fields := manifest["metadata"].get("managedFields"):
        new["metadata"]["managedFields"] = clone(fields)
    return new


def with_rest(kind: Resource, old: Manifest, manifest: Manifest) -> Manifest:
    """Return a manifest with the old object's status, identity and deletion marks."""
    new = clone(manifest)
    new["apiVersion"], new["kind"] = kind.api_version, kind.kind
    metadata = new["metadata"]
    for mark in KEPT_METADATA:
        put(metadata, mark, old["metadata"].get(mark))
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    if kind.statuses:
        new["status"] = clone(old.get("status") or {})
    return new


def put(into: Manifest, name: str, value: Any) -> None:
    """Set a field, or remove it where the value is empty."""
    if value in (None, [], {}, ""):
        into.pop(name, None)
    else:
        into[name] = value


def is_same(new: Manifest, old: Manifest) -> bool:
    """Return whether two objects are equal, apart from their versions and the times of their managers."""
    return essence_of(new) == essence_of(old)


def essence_of(manifest: Manifest) -> Manifest:
    """Return an object without its version and the times of its managers."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "resourceVersion"}
    if "managedFields" in metadata:
        metadata["managedFields"] = [{**entry, "time": ""} for entry in metadata["managedFields"]]
    return {**manifest, "metadata": metadata}


def may_go(manifest: Manifest) -> bool:
    """Return whether an object is marked for deletion and can be removed now."""
    metadata = manifest["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def grace_seconds_of(pod: Manifest, asked: int | None) -> int:
    """Return a pod's grace period; 0 where nothing runs, as the real strategy does."""
    spec, phase = pod.get("spec", {}), pod.get("status", {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    return 1 if asked < 0 else int(asked)
