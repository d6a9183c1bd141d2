"""The table of the emulated API's resources: a row each, named as by the real discovery.

Discovery, paths, the store and kubectl's tables follow from it. A resource without a row doesn't exist: its paths
answer 404. With ``statuses``, status is a subresource, written apart from the rest. With ``generations``,
metadata.generation counts the changes of spec. ``virtual`` resources are reviews, which are answered and not stored.
"""

from collections.abc import Mapping

from attrs import frozen

STANDARD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@frozen
class Resource:
    """One row."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    statuses: bool = False
    generations: bool = False
    virtual: bool = False

    @property
    def api_version(self) -> str:
        """As in a manifest: ``batch/v1``, ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name it: ``jobs.batch``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """As kubectl takes it: ``job``."""
        return self.kind.lower()


_NETWORKING = "networking.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_REVIEWS = "authorization.k8s.io"

KEPT: tuple[Resource, ...] = (
    Resource("namespaces", "Namespace", namespaced=False, short=("ns",), statuses=True),
    Resource("nodes", "Node", namespaced=False, short=("no",), statuses=True),
    Resource("pods", "Pod", short=("po",), categories=("all",), statuses=True),
    Resource("configmaps", "ConfigMap", short=("cm",)),
    Resource("secrets", "Secret"),
    Resource("serviceaccounts", "ServiceAccount", short=("sa",)),
    Resource("services", "Service", short=("svc",), categories=("all",), statuses=True),
    Resource("events", "Event", short=("ev",)),
    Resource("persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",), statuses=True),
    Resource("jobs", "Job", "batch", categories=("all",), statuses=True, generations=True),
    Resource("cronjobs", "CronJob", "batch", short=("cj",), categories=("all",), statuses=True, generations=True),
    Resource(
        "deployments", "Deployment", "apps", short=("deploy",), categories=("all",), statuses=True, generations=True
    ),
    Resource("replicasets", "ReplicaSet", "apps", short=("rs",), categories=("all",), statuses=True, generations=True),
    Resource("leases", "Lease", "coordination.k8s.io"),
    Resource("ingresses", "Ingress", _NETWORKING, short=("ing",), statuses=True, generations=True),
    Resource("networkpolicies", "NetworkPolicy", _NETWORKING, short=("netpol",), generations=True),
    Resource("roles", "Role", _RBAC),
    Resource("rolebindings", "RoleBinding", _RBAC),
    Resource("clusterroles", "ClusterRole", _RBAC, namespaced=False),
    Resource("clusterrolebindings", "ClusterRoleBinding", _RBAC, namespaced=False),
)

VIRTUAL: tuple[Resource, ...] = (
    Resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", _REVIEWS, namespaced=False, virtual=True),
    Resource("selfsubjectreviews", "SelfSubjectReview", "authentication.k8s.io", namespaced=False, virtual=True),
)

BY_PLURAL: Mapping[str, Resource] = {resource.plural: resource for resource in KEPT}
BY_KIND: Mapping[tuple[str, str], Resource] = {(resource.api_version, resource.kind): resource for resource in KEPT}
BY_PATH: Mapping[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource for resource in (*KEPT, *VIRTUAL)
}
