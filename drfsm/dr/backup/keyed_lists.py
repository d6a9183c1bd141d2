"""Lists of a pod whose entries have keys: a key that is there twice, and what is left of it.

An API takes a variable that is set twice from `kubectl create`, and a pod gets the last one. A server-side apply merges
such lists by their keys, so it refuses the object: with 500, as if the server were broken. restore_policy.py finds them
beforehand; restore.py restores the last of each, where the operator allows the object. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from drfsm.claims import bounded
from drfsm.dr.backup.manifests import pod_of
from drfsm.world import Manifest

KEYED: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
}
"""A pod's lists whose entries have keys. Source: ``x-kubernetes-list-map-keys`` of the API's published schema."""


def _key_of(name: str, entry: Any) -> tuple[Any, ...]:
    fields = entry if isinstance(entry, Mapping) else {}
    return tuple(fields.get(key) or ("TCP" if key == "protocol" else None) for key in KEYED[name])


def twice(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield a fault for an entry whose key comes again later in its list."""
    where = "spec.jobTemplate.spec.template.spec" if manifest["kind"] == "CronJob" else "spec.template.spec"
    yield from _twice_below(pod_of(manifest), where)


def _twice_below(value: Any, where: str) -> Iterator[tuple[str, str]]:
    for name, content in value.items() if isinstance(value, Mapping) else ():
        entries = content if isinstance(content, list) else []
        keys = [_key_of(name, entry) for entry in entries] if name in KEYED else []
        for number, key in enumerate(keys):
            if key in keys[number + 1 :]:
                named = bounded("/".join(str(part) for part in key if part is not None), 100)
                yield f"{where}.{name}[{number}]", f"{named} is set again later in the list, and {_ONCE}"
        for number, entry in enumerate(entries):
            yield from _twice_below(entry, f"{where}.{name}[{number}]")
        if isinstance(content, Mapping):
            yield from _twice_below(content, f"{where}.{name}")


_ONCE = (
    "a cluster applies each once: remove it from the source's manifest and take the backup again; where the object is"
    " allowed, the last one is restored, which is the one that a pod gets"
)


def once(value: Any) -> Any:
    """Return a pod's spec, or a part of it, with each key of a list once: the last entry that has it."""
    if isinstance(value, list):
        return [once(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    return {name: once(_last_of_each(name, content)) for name, content in value.items()}


def _last_of_each(name: str, content: Any) -> Any:
    if name not in KEYED or not isinstance(content, list):
        return content
    keys = [_key_of(name, entry) for entry in content]
    return [entry for number, entry in enumerate(content) if keys[number] not in keys[number + 1 :]]
