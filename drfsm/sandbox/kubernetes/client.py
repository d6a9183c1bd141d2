"""A client of the Kubernetes API on the standard library: enough for a kubelet, on any API server.

It reads a kubeconfig (server, CA, bearer token) and keeps its connections open. A refusal of the server raises
``ApiError``, a server that can't be reached ``ApiUnreachable``. ``follow`` is a watch that survives outages and a
compacted history: it lists again, and yields what it missed. Only reads, replacements, patches and deletions are sent
a second time. Safe for use by many threads; ``close`` ends whatever is under way.
"""

import base64
import http.client
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from attrs import frozen

from drfsm.sandbox.kubernetes.errors import ApiUnreachable, UsageError
from drfsm.sandbox.kubernetes.reading import Place, place
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.resources import BY_PLURAL

ANSWER_SECONDS = 30.0
WATCH_SECONDS = 300
SOONEST_SECONDS, LATEST_SECONDS = 0.05, 2.0
MERGE_PATCH = "application/merge-patch+json"
REPEATABLE = ("GET", "PUT", "PATCH", "DELETE")


class Change(NamedTuple):
    """One event of a watch."""

    type: str  # ADDED, MODIFIED, DELETED
    object: Manifest


@frozen
class Access:
    """How a kubeconfig reaches a cluster."""

    host: str
    port: int
    context: ssl.SSLContext | None
    token: str

    @classmethod
    def read(cls, kubeconfig: Path) -> "Access":
        """Return the access of a kubeconfig's current context. Raises UsageError where it needs more than a token."""
        import yaml

        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        context = _named(config, "contexts", config.get("current-context"))["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
        if not user.get("token"):
            raise UsageError(f"{kubeconfig}: user {context['user']} has no token", hint="use a bearer token")
        server = urlsplit(cluster["server"])
        secure = server.scheme == "https"
        tls = _tls(cluster, kubeconfig.parent) if secure else None
        return cls(server.hostname or "", server.port or (443 if secure else 80), tls, user["token"])


class Client:
    """One cluster's API."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = Access.read(kubeconfig)
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._busy: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    # --- single objects -------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """Return an object. Raises ApiError, ApiUnreachable; so do all of these."""
        return self._ask("GET", _path(resource, namespace, name))

    def list(self, resource: str, namespace: str = "", *, fields: str = "") -> tuple[list[Manifest], str]:
        """Return the objects of one namespace or of all, and the list's version."""
        answer = self._ask("GET", _path(resource, namespace) + _query(fieldSelector=fields))
        head = {"apiVersion": BY_PLURAL[resource].api_version, "kind": BY_PLURAL[resource].kind}
        items = [{**head, **item} for item in answer.get("items") or ()]  # the items of a list carry no kind
        return items, str(answer["metadata"]["resourceVersion"])

    def create(self, resource: str, manifest: Manifest, *, part: str = "", name: str = "") -> Manifest:
        """Create an object, or with ``part`` and ``name`` a subresource of one (binding, token)."""
        namespace = manifest["metadata"].get("namespace", "")
        return self._ask("POST", _path(resource, namespace, name, part), manifest)

    def patch(self, resource: str, namespace: str, name: str, change: Manifest, *, part: str = "") -> Manifest:
        """Merge a change into an object, or its ``part`` (status)."""
        return self._ask("PATCH", _path(resource, namespace, name, part), change, MERGE_PATCH)

    def replace(self, resource: str, manifest: Manifest, *, part: str = "") -> Manifest:
        """Replace an object, or its ``part`` (status)."""
        where = place(manifest)
        return self._ask("PUT", _path(resource, where.namespace, where.name, part), manifest)

    def delete(
        self, resource: str, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        """Delete an object; with ``uid`` only the one of that uid. Does nothing if there is none."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._ask("DELETE", _path(resource, namespace, name), options)
        except ApiError as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise

    # --- watching -------------------------------------------------------------------------------------

    def watch(
        self, resource: str, namespace: str, version: str, *, fields: str = "", seconds: int = WATCH_SECONDS
    ) -> Iterator[Change]:
        """Yield the changes after a version, BOOKMARKs too, until the server ends the watch.

        Raises ApiError with status 410 if the version is too old, ApiUnreachable if the connection breaks.
        """
        query = _query(
            watch="1",
            resourceVersion=version,
            timeoutSeconds=str(seconds),
            allowWatchBookmarks="true",
            fieldSelector=fields,
        )
        with self._borrowed(fresh=True) as connection:
            answer = self._send(connection, "GET", _path(resource, namespace) + query, None, "")
            if answer.status != HTTPStatus.OK:
                raise _refusal(answer.status, _read(answer))
            if connection.sock is not None:
                connection.sock.settimeout(seconds + ANSWER_SECONDS)
            for line in _lines(answer):
                event = _event(line)
                if event["type"] == "ERROR":
                    raise _refusal(int(event["object"].get("code", 500)), line, event["object"])
                yield Change(event["type"], event["object"])

    def follow(self, resource: str, namespace: str = "", *, fields: str = "") -> Iterator[Change]:
        """Yield the present objects as ADDED, then every change, until the client is closed.

        After an outage, or if the version is too old for the server, it lists again and yields the differences.
        """
        known: dict[Place, Manifest] = {}
        version, pause_seconds = "", SOONEST_SECONDS
        while not self._closed.is_set():
            try:
                if not version:
                    items, version = self.list(resource, namespace, fields=fields)
                    yield from _differences(known, items)
                for change in self.watch(resource, namespace, version, fields=fields):
                    pause_seconds = SOONEST_SECONDS
                    version = str(change.object["metadata"]["resourceVersion"])
                    if change.type != "BOOKMARK":
                        _keep(known, change)
                        yield change
            except ApiError as refusal:
                version = "" if refusal.status == HTTPStatus.GONE else version
                if refusal.status != HTTPStatus.GONE:
                    pause_seconds = self._pause(pause_seconds)
            except ApiUnreachable:
                pause_seconds = self._pause(pause_seconds)

    def close(self) -> None:
        """Cut every connection: a request that waits for its answer raises ApiUnreachable, ``follow`` ends."""
        self._closed.set()
        with self._lock:
            connections = [*self._busy, *self._idle]
            self._idle.clear()
        for connection in connections:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _pause(self, seconds: float) -> float:
        """Wait before another try; return how long to wait before the one after it."""
        self._closed.wait(seconds)
        return min(seconds * 2, LATEST_SECONDS)

    # --- the transport --------------------------------------------------------------------------------

    def _ask(self, method: str, target: str, body: Manifest | None = None, kind: str = "application/json") -> Manifest:
        raw = json.dumps(body).encode() if body is not None else None
        status, answer = self._exchange(method, target, raw, kind)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _refusal(status, answer)
        manifest: Manifest = json.loads(answer)
        return manifest

    def _exchange(self, method: str, target: str, body: bytes | None, kind: str) -> tuple[int, bytes]:
        """Send a request; on a connection that the server closed while it was idle, once more on a fresh one."""
        try:
            return self._once(method, target, body, kind, fresh=False)
        except ApiUnreachable:
            if method not in REPEATABLE or self._closed.is_set():
                raise
            return self._once(method, target, body, kind, fresh=True)

    def _once(self, method: str, target: str, body: bytes | None, kind: str, *, fresh: bool) -> tuple[int, bytes]:
        with self._borrowed(fresh=fresh) as connection:
            answer = self._send(connection, method, target, body, kind)
            raw = _read(answer)
            if not answer.will_close:
                self._give_back(connection)
            return answer.status, raw

    def _send(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None, kind: str
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._access.token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = kind
        try:
            if connection.sock is None:
                connection.connect()
            if self._closed.is_set():  # `close` may have looked at the connection before it had a socket
                raise ApiUnreachable("the client is closed")
            connection.request(method, target, body, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as fault:
            raise ApiUnreachable(f"{method} {self._access.host}:{self._access.port}{target}: {fault!r}") from None

    @contextmanager
    def _borrowed(self, *, fresh: bool) -> Iterator[http.client.HTTPConnection]:
        """Lend a connection; it is closed afterwards unless it was given back."""
        with self._lock:
            if self._closed.is_set():
                raise ApiUnreachable("the client is closed")
            connection = self._idle.pop() if self._idle and not fresh else self._new()
            self._busy.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                lent = connection in self._busy
                self._busy.discard(connection)
            if lent:
                connection.close()

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            self._idle.append(connection)

    def _new(self) -> http.client.HTTPConnection:
        access = self._access
        if access.context is None:
            return http.client.HTTPConnection(access.host, access.port, timeout=ANSWER_SECONDS)
        return http.client.HTTPSConnection(access.host, access.port, timeout=ANSWER_SECONDS, context=access.context)


def _path(resource: str, namespace: str = "", name: str = "", part: str = "") -> str:
    row = BY_PLURAL[resource]
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    home = f"/namespaces/{namespace}" if namespace and row.namespaced else ""
    return "/".join([f"{root}{home}/{resource}", *(word for word in (name, part) if word)])


def _query(**parameters: str) -> str:
    said = {name: value for name, value in parameters.items() if value}
    return f"?{urlencode(said)}" if said else ""


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read()
    except (OSError, http.client.HTTPException) as fault:
        raise ApiUnreachable(f"the answer broke off: {fault!r}") from None


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            line = answer.readline()
        except (OSError, ValueError, http.client.HTTPException) as fault:
            raise ApiUnreachable(f"the watch broke off: {fault!r}") from None
        if not line:
            return
        yield line


def _event(line: bytes) -> Manifest:
    try:
        event: Manifest = json.loads(line)
    except ValueError:
        raise ApiUnreachable("the watch broke off in the middle of a line") from None
    return event


def _refusal(status: int, raw: bytes, status_object: Any = None) -> ApiError:
    """Return a refusal of the server, or of a proxy before it, whose body is no Status."""
    with suppress(ValueError):
        status_object = status_object or json.loads(raw)
    if not isinstance(status_object, dict):
        status_object = {}
    return ApiError(
        status, status_object.get("reason", ""), status_object.get("message") or raw[:200].decode(errors="replace")
    )


def _differences(known: dict[Place, Manifest], items: list[Manifest]) -> Iterator[Change]:
    """Yield the differences between the known objects and a fresh list; update the known objects."""
    fresh = {place(item): item for item in items}
    for where, old in list(known.items()):
        if where not in fresh or fresh[where]["metadata"]["uid"] != old["metadata"]["uid"]:
            del known[where]
            yield Change("DELETED", old)
    for where, new in fresh.items():
        before = known.get(where)
        known[where] = new
        if before is None:
            yield Change("ADDED", new)
        elif before["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"]:
            yield Change("MODIFIED", new)


def _keep(known: dict[Place, Manifest], change: Change) -> None:
    if change.type == "DELETED":
        known.pop(place(change.object), None)
    else:
        known[place(change.object)] = change.object


def _named(config: Manifest, section: str, name: object) -> Manifest:
    for entry in config.get(section) or ():
        if entry["name"] == name:
            match: Manifest = entry
            return match
    raise UsageError(f"the kubeconfig has no {section} entry named {name}", hint="check the kubeconfig")


def _tls(cluster: Manifest, home: Path) -> ssl.SSLContext:
    if cluster.get("certificate-authority-data"):
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return ssl.create_default_context(cadata=authority)
    if cluster.get("certificate-authority"):
        return ssl.create_default_context(cafile=str(home / cluster["certificate-authority"]))
    return ssl.create_default_context()
