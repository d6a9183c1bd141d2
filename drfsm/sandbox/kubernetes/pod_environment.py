"""The environment and the command line of a container, composed as Kubernetes does.

``env`` overrides ``envFrom``; ``$(NAME)`` is replaced by a variable defined before it, ``$$`` is a dollar sign. A
missing reference that isn't optional raises ``Misconfigured``: the container waits, and is tried again.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from drfsm.sandbox.kubernetes.refusals import Manifest

REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class Misconfigured(Exception):
    """A container refers to something that doesn't exist: CreateContainerConfigError."""


class Sources(Protocol):
    """The source of ConfigMaps and Secrets."""

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Return a ConfigMap; None if there is none."""

    def secret(self, namespace: str, name: str) -> Manifest | None:
        """Return a Secret; None if there is none."""


def environment(pod: Manifest, container: Manifest, sources: Sources, base: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment over ``base``. Raises Misconfigured."""
    environ: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        values = _whole(pod["metadata"]["namespace"], source, sources)
        environ |= {f"{prefix}{name}": value for name, value in values.items()}
    for variable in container.get("env") or ():
        value = variable.get("value")
        if value:
            environ[variable["name"]] = expanded(value, environ)
        elif variable.get("valueFrom"):
            one = _one(pod, variable["valueFrom"], sources)
            if one is not None:
                environ[variable["name"]] = one
        else:
            environ[variable["name"]] = ""
    return {**base, **environ}


def command_line(container: Manifest, entrypoint: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the argv: ``command`` or else the image's entrypoint, then ``args``."""
    command = [expanded(word, environ) for word in container.get("command") or ()]
    args = [expanded(word, environ) for word in container.get("args") or ()]
    return [*(command or entrypoint), *args]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its references replaced; an unknown reference stays as it is."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return REFERENCE.sub(replaced, text)


def decoded(secret: Manifest) -> dict[str, bytes]:
    """Return a Secret's data, decoded."""
    return {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}


def field(pod: Manifest, path: str) -> str:
    """Return a field of a pod by its fieldPath. Raises Misconfigured for an unsupported one."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    if subscript := SUBSCRIPT.fullmatch(path):
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": ",".join(address["ip"] for address in status.get("podIPs") or ()),
    }
    if path in known:
        return str(known[path])
    for name in ("labels", "annotations"):
        if path == f"metadata.{name}":
            return "\n".join(f'{key}="{value}"' for key, value in sorted((metadata.get(name) or {}).items()))
    raise Misconfigured(f"unsupported fieldPath: {path}")


def _whole(namespace: str, source: Manifest, sources: Sources) -> dict[str, str]:
    """Return all variables of a ConfigMap or Secret."""
    if reference := source.get("configMapRef"):
        manifest = sources.config_map(namespace, reference["name"])
        if manifest is None:
            return _missing(reference, f'configmap "{reference["name"]}" not found')
        return dict(manifest.get("data") or {})
    reference = source.get("secretRef") or {}
    manifest = sources.secret(namespace, reference.get("name", ""))
    if manifest is None:
        return _missing(reference, f'secret "{reference.get("name", "")}" not found')
    return {name: value.decode(errors="replace") for name, value in decoded(manifest).items()}


def _missing(reference: Manifest, message: str) -> dict[str, str]:
    if reference.get("optional"):
        return {}
    raise Misconfigured(message)


def _one(pod: Manifest, source: Manifest, sources: Sources) -> str | None:
    """Return one value; None if it is optional and missing."""
    namespace = pod["metadata"]["namespace"]
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"])
    if reference := source.get("configMapKeyRef"):
        manifest = sources.config_map(namespace, reference["name"])
        values = None if manifest is None else manifest.get("data") or {}
        return _key("configmap", "ConfigMap", namespace, reference, values)
    if reference := source.get("secretKeyRef"):
        manifest = sources.secret(namespace, reference["name"])
        texts = None if manifest is None else {k: v.decode(errors="replace") for k, v in decoded(manifest).items()}
        return _key("secret", "Secret", namespace, reference, texts)
    raise Misconfigured(f"this kubelet can't take a value from {', '.join(source)}")


def _key(word: str, kind: str, namespace: str, reference: Manifest, values: Mapping[str, str] | None) -> str | None:
    name, key = reference["name"], reference["key"]
    if values is not None and key in values:
        return values[key]
    if reference.get("optional"):
        return None
    if values is None:
        raise Misconfigured(f'{word} "{name}" not found')
    raise Misconfigured(f"couldn't find key {key} in {kind} {namespace}/{name}")
