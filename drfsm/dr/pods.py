"""What a pod's ``spec`` needs before it can start: objects that it names, and a node that takes it.

Pure: works on plain manifests, asks nobody. Of resources only what a node has in all counts (``allocatable``), not what
runs there now: that may end. Owns no fact; sites/ and backup/ do.

Rules of placement: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from drfsm.dr.workload import Switches
from drfsm.world import Manifest

Pod = Mapping[str, Any]
"""The ``spec`` of a pod, or of a pod template."""

_QUANTITY = re.compile(
    r"(?P<digits>[0-9]+\.?[0-9]*|\.[0-9]+)(?:(?P<power>[eE][+-]?[0-9]{1,3})|(?P<unit>[numkKMGTPE]?i?))"
)
_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{prefix: Decimal(1000) ** power for power, prefix in enumerate("kMGTPE", start=1)},
    **{f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)},
}
_HARD = ("NoSchedule", "NoExecute")  # effects of a taint that keep a pod away
_CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Taints by which the cluster says how a node is just now (not ready, cordoned): health.py tells of those."""


# --- what it names ------------------------------------------------------------------------------------------------


class Reference(NamedTuple):
    """An object without which a pod does not start. ``keys``: those of it that must be there."""

    kind: str
    name: str
    by: str  # what of the pod names it
    keys: frozenset[str] = frozenset()


def references(pod: Pod) -> Iterator[Reference]:
    """Yield the Secrets, ConfigMaps and volume claims that a pod names and must have; pull Secrets are left out."""
    for volume in pod.get("volumes") or ():
        yield from _of_volume(volume)
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        by = f"the environment of container {container['name']}"
        for entry in container.get("envFrom") or ():
            yield from _of(entry, {"configMapRef": "ConfigMap", "secretRef": "Secret"}, by)
        for entry in container.get("env") or ():
            values = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
            yield from _of(entry.get("valueFrom") or {}, values, by)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[Reference]:
    by = f"volume {volume['name']}"
    for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
        yield from _of(source, {"configMap": "ConfigMap", "secret": "Secret"}, by)
    if claim := volume.get("persistentVolumeClaim"):
        yield Reference("PersistentVolumeClaim", str(claim["claimName"]), by)
    if secret := (volume.get("csi") or {}).get("nodePublishSecretRef"):
        yield Reference("Secret", str(secret["name"]), f"{by}, of the driver {volume['csi'].get('driver')}")


def _of(source: Mapping[str, Any], kinds: Mapping[str, str], by: str) -> Iterator[Reference]:
    for field, kind in kinds.items():
        named = source.get(field)
        if named and not named.get("optional"):
            keys = {named.get("key"), *(item.get("key") for item in named.get("items") or ())}
            name = str(named.get("secretName") or named.get("name"))
            yield Reference(kind, name, by, frozenset(map(str, keys - {None})))


def takes(pod: Pod, configmap: str, switches: Switches) -> bool:
    """Say whether a pod would publish by the workload's switches: it takes the ConfigMap, or sets a switch itself.

    A container that sets every switch to off publishes nothing, whatever else it takes.
    """
    names_it = any((volume.get("configMap") or {}).get("name") == configmap for volume in _sources(pod))
    containers = (*(pod.get("initContainers") or ()), *(pod.get("containers") or ()))
    return names_it or any(_container_takes(container, configmap, switches) for container in containers)


def _sources(pod: Pod) -> Iterator[Mapping[str, Any]]:
    """Yield the volumes of a pod, and the sources of projected ones."""
    for volume in pod.get("volumes") or ():
        yield from (volume, *((volume.get("projected") or {}).get("sources") or ()))


def _container_takes(container: Mapping[str, Any], configmap: str, switches: Switches) -> bool:
    entries = {entry["name"]: entry for entry in container.get("env") or ()}
    own = {name: entries[name].get("value") for name in switches.names if name in entries}
    if len(own) == len(switches.names) and switches.position(own) == "off" and None not in own.values():
        return False
    names = [(entry.get("configMapRef") or {}).get("name") for entry in container.get("envFrom") or ()]
    for entry in entries.values():
        reference = (entry.get("valueFrom") or {}).get("configMapKeyRef") or {}
        names += [reference.get("name")] if reference.get("key") in switches.names else []
    return bool(own) or configmap in names


# --- where it can run ---------------------------------------------------------------------------------------------


def unplaceable(pod: Pod, nodes: Sequence[Manifest]) -> str:
    """Return why no node would take a pod, node by node; "" where one would. Nodes that are not ready count as well."""
    reasons = {str(node["metadata"]["name"]): list(_against(pod, node)) for node in nodes}
    if not all(reasons.values()):
        return ""
    return "; ".join(f"{name}: {', '.join(why)}" for name, why in reasons.items()) or "there is no node"


def _against(pod: Pod, node: Manifest) -> Iterator[str]:
    """Yield what keeps a pod from a node."""
    labels = node["metadata"].get("labels") or {}
    for key, value in (pod.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            yield f"it has not the label {key}={value}"
    if not _wanted_by_affinity(pod, labels):
        yield "the pod's node affinity leaves it out"
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") in _HARD and not taint["key"].startswith(_CONDITIONS) and not _tolerated(pod, taint):
            yield f"the pod does not tolerate its taint {taint['key']}"
    yield from _too_small(pod, (node.get("status") or {}).get("allocatable"))


def _too_small(pod: Pod, allocatable: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what a node lacks. One that does not say what it has is no reason."""
    for resource, needed in requests(pod).items():
        has = quantity((allocatable or {}).get(resource, "0"))
        if allocatable is not None and has is not None and needed > has:
            yield f"it has {allocatable.get(resource, 'no')} {resource}, and the pod requests {_plain(needed)}"


def _wanted_by_affinity(pod: Pod, labels: Mapping[str, str]) -> bool:
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(
        all(_matches(expression, labels) for expression in term.get("matchExpressions") or ())
        for term in required.get("nodeSelectorTerms") or ()
    )


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _values: value is not None,
    "DoesNotExist": lambda value, _values: value is None,
    "Gt": lambda value, values: _number(value) > _number(values[0]),
    "Lt": lambda value, values: _number(value) < _number(values[0]),
}


def _number(text: str | None) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("nan")  # compares as false


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether labels fit an expression. One of a kind that drfsm does not know is no reason against a node."""
    known = _OPERATORS.get(str(expression.get("operator")))
    return known is None or known(labels.get(str(expression.get("key"))), expression.get("values") or ())


def _tolerated(pod: Pod, taint: Mapping[str, Any]) -> bool:
    return any(
        toleration.get("effect") in (None, "", taint.get("effect"))
        and (
            (toleration.get("operator") == "Exists" and toleration.get("key") in (None, "", taint["key"]))
            or (
                toleration.get("operator", "Equal") == "Equal"
                and (toleration.get("key"), toleration.get("value") or "") == (taint["key"], taint.get("value") or "")
            )
        )
        for toleration in pod.get("tolerations") or ()
    )


def requests(pod: Pod) -> dict[str, Decimal]:
    """Return what a pod requests of a node: all its containers together, or its largest init container.

    A container that names only a limit requests that much.
    """
    total: dict[str, Decimal] = {}
    for container in pod.get("containers") or ():
        for resource, amount in _requested(container).items():
            total[resource] = total.get(resource, Decimal()) + amount
    for container in pod.get("initContainers") or ():
        for resource, amount in _requested(container).items():
            total[resource] = max(total.get(resource, Decimal()), amount)
    return total


def _requested(container: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    amounts = {str(resource): quantity(amount) for resource, amount in merged.items()}
    return {resource: amount for resource, amount in amounts.items() if amount is not None}


def quantity(text: object) -> Decimal | None:
    """Return a Kubernetes quantity (``500m``, ``2Gi``, ``1e3``) as a number; None for what is none."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or (match["unit"] or "") not in _FACTORS:
        return None
    return Decimal(match["digits"] + (match["power"] or "")) * _FACTORS[match["unit"] or ""]


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
