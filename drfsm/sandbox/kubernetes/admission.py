"""Admission of an object: defaults first, then every fault at once, as the real API does.

The store calls ``admit_new`` and ``admit_change`` under its lock for every write, a client's or a controller's. They
change the object in place (defaults, a Job's selector and labels, a new object's status) or raise ApiError BadRequest
(400) or Invalid (422). The rules of single resources are in specs.py.
"""

from drfsm.sandbox.kubernetes import defaults, specs
from drfsm.sandbox.kubernetes.metadata import late_finalizers, metadata_faults
from drfsm.sandbox.kubernetes.refusals import Fault, Manifest, invalid
from drfsm.sandbox.kubernetes.resources import Resource
from drfsm.sandbox.kubernetes.schema import pruned

BORN_EMPTY = ("jobs", "cronjobs", "deployments", "replicasets")


def admit_new(kind: Resource, new: Manifest) -> None:
    """Complete and check a new object. Raises ApiError Invalid, BadRequest."""
    _prune(kind, new)
    if kind.plural in BORN_EMPTY:
        new["status"] = {"replicas": 0} if kind.plural == "replicasets" else {}
    elif kind.plural == "ingresses":
        new["status"] = {"loadBalancer": {}}
    elif kind.plural == "pods":
        new["status"] = {"phase": "Pending", "qosClass": specs.quality(new)}
    defaults.fill(kind.plural, new)
    if kind.plural == "jobs":
        specs.adopt_selector(new)
    _refuse_if_any(kind, new, [*metadata_faults(kind, new["metadata"]), *specs.faults(kind.plural, new)])


def admit_change(kind: Resource, new: Manifest, old: Manifest, *, status: bool) -> None:
    """Complete and check a changed object. Raises ApiError Invalid, BadRequest."""
    _prune(kind, new)
    if status:
        return
    defaults.fill(kind.plural, new)
    faults = [
        *metadata_faults(kind, new["metadata"]),
        *late_finalizers(new, old),
        *specs.faults(kind.plural, new),
        *specs.immutable(kind.plural, new, old),
    ]
    _refuse_if_any(kind, new, faults)


def _refuse_if_any(kind: Resource, manifest: Manifest, faults: list[Fault]) -> None:
    if faults:
        raise invalid(kind.kind, kind.group, manifest["metadata"]["name"], faults)


def _prune(kind: Resource, manifest: Manifest) -> None:
    """Drop the fields that the real API wouldn't store. Raises ApiError BadRequest (400) for what it can't decode."""
    kept, _ = pruned(kind, manifest)
    manifest.clear()
    manifest.update(kept)
