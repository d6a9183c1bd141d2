"""A site's objects as a backup keeps them: what a person wrote, without what the cluster made of it.

Kept: the namespace, ServiceAccounts, Roles, RoleBindings, PersistentVolumeClaims, ConfigMaps, CronJobs, Deployments.
Left out, and said: what the cluster or another object makes by itself, cluster-wide RBAC, and every Secret:
those are listed by name and keys, so that a restore can say which are missing. Their values are never
returned from here. Pure but for ``collect``. Called by backup/create.py and restore.py.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from attrs import frozen

from drfsm.dr.objects import ROLE_LABEL
from drfsm.dr.pods import references
from drfsm.errors import ActionFailed
from drfsm.world import Cluster, Manifest

APIS: Mapping[str, str] = {
    "ServiceAccount": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "ConfigMap": "v1",
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
}
"""The kinds that are kept, in the order in which they are applied: publishing is off before a CronJob is there."""

CLUSTERS_OWN = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
"""What the cluster makes in every namespace: never in a backup of ours, so never restored from one of others'."""
_CLUSTERS_SECRETS = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1")
_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
_CLUSTERS_ANNOTATIONS = re.compile(
    r"(kubectl\.kubernetes\.io/|deployment\.kubernetes\.io/|pv\.kubernetes\.io/|volume\.(beta\.)?kubernetes\.io/"
    r"|control-plane\.alpha\.kubernetes\.io/|batch\.kubernetes\.io/|drfsm/restored-state)"
)
_CLUSTERS_FIELDS: Mapping[str, Sequence[str]] = {"PersistentVolumeClaim": ("volumeName",)}


@frozen
class Collected:
    """What was found: ``secrets`` by name, with the keys of each, None where we may not look."""

    manifests: Sequence[Manifest]
    secrets: Mapping[str, Sequence[str] | None]
    excluded: Sequence[str]


def collect(cluster: Cluster, namespace: str) -> Collected:
    """Read a site's objects. Raises ActionFailed if the namespace isn't there."""
    home = cluster.get("Namespace", "", namespace)
    if home is None:
        raise ActionFailed(f"there is no namespace {namespace} on {cluster.name}", hint="name the right --namespace")
    kept, excluded = [cleaned({**home, "apiVersion": "v1", "kind": "Namespace"})], []
    for kind, api in APIS.items():
        for each in sorted(cluster.list(kind, namespace), key=lambda found: str(found["metadata"]["name"])):
            if why := _left_out(kind, each):
                excluded.append(f"{kind}/{each['metadata']['name']}: {why}")
            else:
                kept.append(cleaned({**each, "apiVersion": api, "kind": kind}))
    secrets = _secrets(cluster, namespace, kept)
    excluded += [f"Secret/{name}: never kept" for name in secrets]
    return Collected(kept, secrets, [*excluded, "ClusterRoles and ClusterRoleBindings: not of the namespace"])


def _left_out(kind: str, manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    if (kind, metadata["name"]) in CLUSTERS_OWN:
        return "the cluster makes it"
    if metadata.get("deletionTimestamp"):
        return "it is being deleted"
    owners = [each for each in metadata.get("ownerReferences") or [] if each.get("controller")]
    return f"{owners[0]['kind']} {owners[0]['name']} makes it" if owners else ""


def cleaned(manifest: Manifest) -> Manifest:
    """Return an object as it could be applied anywhere: no status, no identity, nothing that the cluster filled in."""
    found = deepcopy({name: value for name, value in manifest.items() if name != "status"})
    metadata = {name: value for name, value in found["metadata"].items() if name in _KEPT_METADATA and value}
    annotations = metadata.pop("annotations", {})
    if kept := {name: value for name, value in annotations.items() if not _CLUSTERS_ANNOTATIONS.match(name)}:
        metadata["annotations"] = kept
    found["metadata"] = metadata
    for name in _CLUSTERS_FIELDS.get(found["kind"], ()):
        found["spec"].pop(name, None)
    if found["kind"] == "Namespace":
        found.pop("spec", None)
        metadata.get("labels", {}).pop("kubernetes.io/metadata.name", None)
    if found["kind"] == "ServiceAccount":
        found.pop("secrets", None)  # tokens, which the cluster makes
    return found


def _secrets(cluster: Cluster, namespace: str, manifests: Sequence[Manifest]) -> dict[str, Sequence[str] | None]:
    if not cluster.allowed("list", "", "secrets", namespace):
        return dict.fromkeys(sorted(wanted_secrets(manifests)))
    return {
        each["metadata"]["name"]: sorted({**(each.get("data") or {}), **(each.get("stringData") or {})})
        for each in cluster.list("Secret", namespace)
        if each.get("type") not in _CLUSTERS_SECRETS and not (each["metadata"].get("labels") or {}).get(ROLE_LABEL)
    }


# --- which Secrets objects need -------------------------------------------------------------------------


def wanted_secrets(manifests: Sequence[Manifest]) -> dict[str, set[str]]:
    """Return the Secrets without which some pod of these objects would not start, with the keys that it names."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for name, keys in _named(manifest):
            found.setdefault(name, set()).update(keys)
    return found


def _named(manifest: Manifest) -> Iterator[tuple[str, frozenset[str]]]:
    pod = pod_of(manifest)
    for pull in (*(pod.get("imagePullSecrets") or ()), *(manifest.get("imagePullSecrets") or ())):
        yield pull["name"], frozenset()
    for reference in references(pod):
        if reference.kind == "Secret":
            yield reference.name, reference.keys


def pod_of(manifest: Manifest) -> Manifest:
    """Return the spec of the pods that a CronJob or a Deployment makes, {} for what makes none."""
    spec = manifest.get("spec") or {}
    spec = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
    found: Manifest = (spec.get("template") or {}).get("spec") or {}
    return found
