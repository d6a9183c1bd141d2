"""The sites' base: the manifests in ``manifests/``, which ``kubectl apply -k`` takes, and of which the sandbox is made.

``manifests/base`` has what the real workload's base has, under the real names; ``manifests/overlays`` are two ways to
install it. ``objects`` returns the base under the names of any contract. seed.py calls it, and ``drfsm sandbox
manifests`` copies the folders.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from drfsm.dr import workload

HOME = Path(__file__).resolve().parent / "manifests"
IMAGE = "registry.example/jobintel"

Manifest = dict[str, Any]


def objects(contract: workload.Workload, image: str) -> list[Manifest]:
    """Return the base's objects in the order of their kustomization, with this image, under a contract's names."""
    documents: Iterable[Manifest] = _documents()
    if not contract.kubernetes.deployment:
        documents = [document for document in documents if "dashboard" not in document["metadata"]["name"]]
    return [_renamed(document, contract, image) for document in documents]


@cache
def _documents() -> tuple[Manifest, ...]:
    """Return the base's objects as they stand there; ``_walked`` copies what it changes."""
    import yaml

    def read(name: str) -> list[Manifest]:
        text = (HOME / "base" / name).read_text(encoding="utf-8")
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))

    (listed,) = read("kustomization.yaml")
    return tuple(document for name in listed["resources"] for document in read(name))


def _renamed(document: Manifest, contract: workload.Workload, image: str) -> Manifest:
    """Return an object of the base under a contract's names; its ConfigMap has the contract's variables."""
    names = contract.kubernetes
    renamed: Manifest = _walked(document, "", contract, _table(contract, image))
    kind, metadata = renamed["kind"], renamed["metadata"]
    if kind == "Namespace":
        metadata["name"] = names.namespace
    elif kind == "ServiceAccount":
        metadata["name"] = names.service_account
    elif kind == "RoleBinding":
        renamed["subjects"][0]["name"] = names.service_account
    elif kind == "ConfigMap":
        ours = workload.shipped()
        others = {
            name: value
            for name, value in renamed["data"].items()
            if name not in (ours.variables.prefix, *ours.switches.names)
        }
        own = {contract.variables.prefix: contract.defaults.prefix, **contract.switches.off}
        renamed["data"] = {**others, **own}
    return renamed


def _table(contract: workload.Workload, image: str) -> dict[str, str]:
    """Return which name of the base becomes which."""
    ours, names = workload.shipped().kubernetes, contract.kubernetes
    kinds = ("cronjob", "configmap", "deployment", "secret")
    return {IMAGE: image, **{getattr(ours, kind): getattr(names, kind) for kind in kinds}}


def _walked(value: Any, key: str, contract: workload.Workload, table: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        walked = {name: _walked(item, name, contract, table) for name, item in value.items()}
        own = workload.shipped().kubernetes.labels
        if key in ("labels", "matchLabels", "selector") and own.keys() <= value.keys():
            return {**contract.kubernetes.labels, **{name: walked[name] for name in walked if name not in own}}
        return walked
    if isinstance(value, list):
        return [_walked(item, key, contract, table) for item in value]
    if not isinstance(value, str):
        return value
    placed = {"namespace": contract.kubernetes.namespace, "serviceAccountName": contract.kubernetes.service_account}
    return placed.get(key) or table.get(value) or _own(value, key, contract)


def _own(value: str, key: str, contract: workload.Workload) -> str:
    """Return a name that begins with the workload's, as that of another workload: ``jobintel-state``."""
    ours = workload.shipped().name
    is_name = key == "name" and (value == ours or value.startswith(f"{ours}-"))
    return contract.name + value.removeprefix(ours) if is_name else value
