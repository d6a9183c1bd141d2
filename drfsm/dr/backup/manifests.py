"""A site's objects as a backup stores them: as a person wrote them, without the fields that the cluster adds.

Included: the namespace, ServiceAccounts, Roles, RoleBindings, PersistentVolumeClaims, ConfigMaps, CronJobs,
Deployments. Excluded, and listed: objects that the cluster or another object creates, cluster-wide RBAC, and every
Secret. Secrets are listed by name and keys, so that a restore can say which are missing. Their values never leave this
module. Pure but for ``collect``. Called by backup/create.py and restore.py.
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
"""The included kinds, in the order in which they are applied: publishing is off before a CronJob exists."""

CLUSTERS_OWN = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
"""Objects that the cluster creates in every namespace: never in a backup of drfsm's, so never restored."""
_CLUSTERS_SECRETS = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1")
_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
_CLUSTERS_ANNOTATIONS = re.compile(
    r"(kubectl\.kubernetes\.io/|deployment\.kubernetes\.io/|pv\.kubernetes\.io/|volume\.(beta\.)?kubernetes\.io/"
    r"|control-plane\.alpha\.kubernetes\.io/|batch\.kubernetes\.io/|drfsm/restored-state)"
)
_CLUSTERS_FIELDS: Mapping[str, Sequence[str]] = {"PersistentVolumeClaim": ("volumeName",)}


@frozen
class Collected:
    """A site's objects: ``secrets`` by name with their keys, None where drfsm may not list them."""

    manifests: Sequence[Manifest]
    secrets: Mapping[str, Sequence[str] | None]
    excluded: Sequence[str]


def collect(cluster: Cluster, namespace: str) -> Collected:
    """Read a site's objects. Raises ActionFailed if the namespace doesn't exist."""
    home = cluster.get("Namespace", "", namespace)
    if home is None:
        raise ActionFailed(
            f"the namespace {namespace} does not exist on {cluster.name}", hint="give the right --namespace"
        )
    kept, excluded = [cleaned({**home, "apiVersion": "v1", "kind": "Namespace"})], []
    for kind, api in APIS.items():
        for manifest in sorted(cluster.list(kind, namespace), key=lambda listed: str(listed["metadata"]["name"])):
            if why := _left_out(kind, manifest):
                excluded.append(f"{kind}/{manifest['metadata']['name']}: {why}")
            else:
                kept.append(cleaned({**manifest, "apiVersion": api, "kind": kind}))
    secrets = _secrets(cluster, namespace, kept)
    excluded += [f"Secret/{name}: never in a backup" for name in secrets]
    return Collected(kept, secrets, [*excluded, "ClusterRoles and ClusterRoleBindings: not in the namespace"])


def _left_out(kind: str, manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    if (kind, metadata["name"]) in CLUSTERS_OWN:
        return "the cluster creates it"
    if metadata.get("deletionTimestamp"):
        return "it is being deleted"
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")]
    return f"{owners[0]['kind']} {owners[0]['name']} creates it" if owners else ""


def cleaned(manifest: Manifest) -> Manifest:
    """Return an object that could be applied anywhere: no status, no identity, no field that the cluster fills in."""
    clean = deepcopy({name: value for name, value in manifest.items() if name != "status"})
    metadata = {name: value for name, value in clean["metadata"].items() if name in _KEPT_METADATA and value}
    annotations = metadata.pop("annotations", {})
    if kept := {name: value for name, value in annotations.items() if not _CLUSTERS_ANNOTATIONS.match(name)}:
        metadata["annotations"] = kept
    clean["metadata"] = metadata
    for name in _CLUSTERS_FIELDS.get(clean["kind"], ()):
        clean["spec"].pop(name, None)
    if clean["kind"] == "Namespace":
        clean.pop("spec", None)
        metadata.get("labels", {}).pop("kubernetes.io/metadata.name", None)
    if clean["kind"] == "ServiceAccount":
        clean.pop("secrets", None)  # tokens, which the cluster creates
    return clean


def _secrets(cluster: Cluster, namespace: str, manifests: Sequence[Manifest]) -> dict[str, Sequence[str] | None]:
    if not cluster.allowed("list", "", "secrets", namespace):
        return dict.fromkeys(sorted(wanted_secrets(manifests)))
    return {
        secret["metadata"]["name"]: sorted({**(secret.get("data") or {}), **(secret.get("stringData") or {})})
        for secret in cluster.list("Secret", namespace)
        if secret.get("type") not in _CLUSTERS_SECRETS and not (secret["metadata"].get("labels") or {}).get(ROLE_LABEL)
    }


# --- which Secrets objects need -------------------------------------------------------------------------


def wanted_secrets(manifests: Sequence[Manifest]) -> dict[str, set[str]]:
    """Return the Secrets that a pod of these objects needs to start, with the keys that it names."""
    keys_by_secret: dict[str, set[str]] = {}
    for manifest in manifests:
        for name, keys in _named(manifest):
            keys_by_secret.setdefault(name, set()).update(keys)
    return keys_by_secret


def _named(manifest: Manifest) -> Iterator[tuple[str, frozenset[str]]]:
    pod = pod_of(manifest)
    for pull in (*(pod.get("imagePullSecrets") or ()), *(manifest.get("imagePullSecrets") or ())):
        yield pull["name"], frozenset()
    for reference in references(pod):
        if reference.kind == "Secret":
            yield reference.name, reference.keys


def pod_of(manifest: Manifest) -> Manifest:
    """Return the pod spec of a CronJob or a Deployment, {} for other kinds."""
    spec = manifest.get("spec") or {}
    spec = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
    pod_spec: Manifest = (spec.get("template") or {}).get("spec") or {}
    return pod_spec
