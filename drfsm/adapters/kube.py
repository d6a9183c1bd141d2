"""A Kubernetes cluster behind world.Cluster. The only importer of the kubernetes client, when first used.

Speaks plain JSON through the official client's transport: it brings kubeconfigs, TLS and tokens; its typed
models are not needed. Patches are JSON merge patches, or server-side applies, said so explicitly (the client
would send strategic ones), and nothing that writes is ever repeated by the transport behind our back.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from drfsm import claims
from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable, UsageFault
from drfsm.world import Manifest

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
READ_TRIES = 3
PAGE = 500
UNTOLD = "untold"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


class Kind(NamedTuple):
    """Where the API keeps objects of a kind."""

    api: str
    plural: str
    namespaced: bool = True


KINDS: Mapping[str, Kind] = {
    "Namespace": Kind("/api/v1", "namespaces", namespaced=False),
    "Node": Kind("/api/v1", "nodes", namespaced=False),
    "Pod": Kind("/api/v1", "pods"),
    "ConfigMap": Kind("/api/v1", "configmaps"),
    "Event": Kind("/api/v1", "events"),
    "Secret": Kind("/api/v1", "secrets"),
    "ServiceAccount": Kind("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": Kind("/api/v1", "persistentvolumeclaims"),
    "Job": Kind("/apis/batch/v1", "jobs"),
    "CronJob": Kind("/apis/batch/v1", "cronjobs"),
    "Deployment": Kind("/apis/apps/v1", "deployments"),
    "Role": Kind("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Kind("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
}


class KubeCluster:
    """One cluster, through a kubeconfig. Safe for use by many threads."""

    def __init__(self, name: str, kubeconfig: Path) -> None:
        self._name, self._kubeconfig = name, kubeconfig
        self._client: Any = None
        self._uid = ""
        self._dated: tuple[datetime, float] | None = None  # the latest answer's Date, and our monotonic clock then
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What operators call this site."""
        return self._name

    def uid(self) -> str:
        """Return the UID of the kube-system namespace."""
        if not self._uid:
            found = self.get("Namespace", "", "kube-system")
            if found is None:
                raise ActionFailed(f"{self._name} has no namespace kube-system", way="check the kubeconfig")
            self._uid = str(found["metadata"]["uid"])
        return self._uid

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, None if there is none."""
        status, found = self._ask("GET", _path(kind, namespace, name))
        return None if status == HTTPStatus.NOT_FOUND else found

    def list(self, kind: str, namespace: str, *, labels: str = "") -> Sequence[Manifest]:
        """Return every object of a kind, all pages."""
        query = {"limit": str(PAGE), **({"labelSelector": labels} if labels else {})}
        items: list[Manifest] = []
        while True:
            status, page = self._ask("GET", _path(kind, namespace), query=query)
            if status == HTTPStatus.NOT_FOUND:
                raise ActionFailed(f"{self._name} knows no {kind}", way="check the cluster's version")
            items += page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return items
            query["continue"] = following

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises Conflict if one of that name is there."""
        path = _path(manifest["kind"], manifest["metadata"].get("namespace", ""))
        return self._changed("POST", path, manifest)

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, object]) -> Manifest:
        """Merge-patch an object. A resourceVersion in it makes the write conditional (Conflict)."""
        return self._changed("PATCH", _path(kind, namespace, name), dict(change))

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Apply an object on the server; it may create it. Raises Conflict where others set a field otherwise."""
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return self._changed("PATCH", path, manifest, query=query)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and what it owns; one that isn't there is fine."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        self._ask("DELETE", _path(kind, namespace, name), body=body)

    def allowed(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Ask the cluster whether it would let us."""
        resource, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        if part:
            attributes["subresource"] = part
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self._changed("POST", path, review).get("status", {}).get("allowed"))

    def log(self, namespace: str, pod: str, *, tail_lines: int) -> str:
        """Return the end of a pod's log; "" where there is none (yet)."""
        path = f"{_path('Pod', namespace, pod)}/log"
        status, body = self._send("GET", path, {"tailLines": str(tail_lines)}, None)
        return body.decode("utf-8", "replace") if status == HTTPStatus.OK else ""

    def whoami(self) -> str:
        """Return the user name that the cluster knows us by, ``untold`` where it can't or won't say."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._changed("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
            user = answer["status"]["userInfo"]["username"]
        except (DrfsmError, KeyError, TypeError):
            return UNTOLD
        return bounded(user) if isinstance(user, str) and user else UNTOLD

    def now(self) -> datetime | None:
        """Return the cluster's own time as its latest answer said it; None before the first."""
        if self._dated is None:
            return None
        date, since = self._dated
        return date + timedelta(seconds=time.monotonic() - since)

    # --- the transport --------------------------------------------------------------------------------

    def _changed(
        self, method: str, path: str, body: Mapping[str, Any], *, query: Mapping[str, str] | None = None
    ) -> Manifest:
        status, found = self._ask(method, path, body=body, query=query)
        if status == HTTPStatus.NOT_FOUND:
            raise ActionFailed(f"{method} {path} on {self._name}: {found.get('message', 'not found')}")
        return found

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, Manifest]:
        """Make a request; return (200…299 or 404, JSON). Only reads are tried again."""
        tries = READ_TRIES if method == "GET" else 1
        for number in range(1, tries + 1):
            try:
                status, raw = self._send(method, path, query or {}, body)
                return self._understood(method, path, status, raw)
            except Unreachable:
                if number == tries:
                    raise
        raise AssertionError

    def _understood(self, method: str, path: str, status: int, raw: bytes) -> tuple[int, Manifest]:
        try:
            found = json.loads(raw or b"{}")
        except ValueError:
            found = {"message": raw[:200].decode("utf-8", "replace")}
        if status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_FOUND:
            return status, found
        raise self._refusal(f"{method} {path} on {self._name}", status, str(found.get("message", "")))

    def _refusal(self, what: str, status: int, message: str) -> DrfsmError:
        told = f"{what}: {status} {message}".rstrip()
        if status == HTTPStatus.CONFLICT:
            return Conflict(told, fault="site")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unreachable(told, way="drfsm resume")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return ActionFailed(told, way=f"give the user of {self._kubeconfig} this permission on {self._name}")
        return ActionFailed(told)

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        api = self._api()
        patch = APPLY if "fieldManager" in query else MERGE  # JSON is YAML
        content = patch if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": content}
        # The credentials and the connections are the client's; its own request() changes from version to version.
        bearer = api.configuration.auth_settings().get("BearerToken")
        if bearer and bearer["value"]:
            headers[bearer["key"]] = bearer["value"]
        try:
            answer = api.rest_client.pool_manager.request(
                method,
                f"{api.configuration.host}{path}{'?' + urlencode(query) if query else ''}",
                headers=headers,
                body=None if body is None else json.dumps(dict(body)).encode(),
                timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                retries=False,  # nothing that writes is ever repeated behind our back
                redirect=False,
            )
        except (HTTPError, OSError) as fault:
            reason = getattr(fault, "reason", None) or fault
            raise Unreachable(
                f"{self._name} does not answer: {type(reason).__name__}",
                way="check the network, then `drfsm resume`",
            ) from None
        self._dated = _date(answer.headers.get("Date")) or self._dated
        return answer.status, answer.data

    def _api(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def _connected(self) -> Any:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        settings = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]  # the client publishes no types
                config_file=str(self._kubeconfig), client_configuration=settings
            )
        except (ConfigException, OSError, ValueError, TypeError, KeyError) as fault:
            # Never the file's contents: they may hold credentials.
            raise UsageFault(
                f"the kubeconfig {self._kubeconfig} of {self._name} can't be used ({type(fault).__name__})",
                way=f"kubectl --kubeconfig {self._kubeconfig} version",
            ) from None
        return client.ApiClient(settings)


def _date(header: str | None) -> tuple[datetime, float] | None:
    """Return the moment that a Date header names, with our monotonic clock now; None for none that can be read."""
    try:
        date = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return (date, time.monotonic()) if claims.moment(date.isoformat()) else None


def _path(kind: str, namespace: str, name: str = "") -> str:
    found = KINDS[kind]
    place = f"/namespaces/{quote(namespace)}" if found.namespaced and namespace else ""
    return f"{found.api}{place}/{found.plural}{f'/{quote(name)}' if name else ''}"
