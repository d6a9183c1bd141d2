"""A Kubernetes cluster behind world.Cluster. With the other kube modules, the only importer of the kubernetes client.

Sends plain JSON over the official client's connections; its typed models are not needed. Patches are explicitly JSON
merge patches or server-side applies (the client's default is strategic). The transport never repeats a write by
itself; reads, reviews by POST included, are retried. Bodies are read up to a limit. kube_answers.py validates the
responses; kube_access.py owns the identity and TLS.

A read that gets no answer is given up after READ_SECONDS in all. The cluster then counts as out of reach for as long
again: a dozen facts that are read one after the other do not wait a dozen times.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from drfsm import claims
from drfsm.adapters import kube_answers as answers
from drfsm.adapters import limits
from drfsm.adapters.kube_access import Access
from drfsm.adapters.kube_answers import KINDS, Answer, Asked
from drfsm.adapters.waiting import reason_of, shown_address, waiting_for
from drfsm.claims import bounded
from drfsm.errors import CANNOT_REACH, ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable
from drfsm.world import Manifest

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
READ_TRIES = LIST_TRIES = 3
LONGEST_PAUSE_SECONDS = 10  # an API server asks for one second
HUNG_SECONDS = 2.0  # a failure that took longer is believed for as long again
PAGE, MOST_PAGES = 500, 400
LARGEST_LOG_BYTES = PIECE_BYTES = 1 << 20
_MOST_DIGITS = 9
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
UNTOLD = "untold"


class KubeCluster:
    """One cluster, through a kubeconfig. Safe for use by many threads.

    Every call may raise Unreachable (no response), Unreadable (an invalid response, or no credentials can be
    obtained), UsageFault (the kubeconfig can't be used) and ActionFailed (the cluster refuses).
    """

    def __init__(self, name: str, kubeconfig: Path, *, read_seconds: float = READ_SECONDS) -> None:
        self._name, self._kubeconfig, self._read_seconds = name, kubeconfig, read_seconds
        self._access: Access | None = None
        self._uid = ""
        self._dated: tuple[datetime, float] | None = None  # the latest response's Date, and our monotonic clock then
        self._lock = threading.Lock()
        self._away: tuple[float, Unreachable] | None = None  # until when it counts as out of reach, and why

    @property
    def name(self) -> str:
        """The operators' name for this site."""
        return self._name

    def uid(self) -> str:
        """Return the UID of the kube-system namespace."""
        if not self._uid:
            namespace = self.get("Namespace", "", "kube-system")
            if namespace is None:
                raise ActionFailed(
                    f"the cluster {self._name} has no namespace kube-system", hint="check the kubeconfig"
                )
            self._uid = str(namespace["metadata"]["uid"])
        return self._uid

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, None if the cluster says that it does not exist."""
        asked = self._asked("GET", kind, namespace, name)
        try:
            return answers.object_in(self._read(asked), asked)
        except answers.NotThere:
            return None

    def list(self, kind: str, namespace: str, *, labels: str = "") -> Sequence[Manifest]:
        """Return every object of a kind, all pages; starts again if the list expired between two pages."""
        asked = self._asked("GET", kind, namespace)._replace(labels=labels)
        for _ in range(LIST_TRIES):
            try:
                return self._pages(asked)
            except answers.Expired:
                continue
        message = f"{asked.words}: the list expired before its last page was read, {LIST_TRIES} times"
        raise Unreachable(message, hint="drfsm resume")

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises Conflict if one of that name exists."""
        metadata = manifest["metadata"]
        asked = self._asked("POST", manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        return answers.object_in(self._send(asked, {}, manifest), asked)

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, object]) -> Manifest:
        """Merge-patch an object. A resourceVersion in it makes the write conditional (Conflict)."""
        asked = self._asked("PATCH", kind, namespace, name)
        return answers.object_in(self._send(asked, {}, change), asked)

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Apply an object on the server, which may create it. Raises Conflict if others manage one of its fields."""
        metadata = manifest["metadata"]
        asked = self._asked("PATCH", manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return answers.object_in(self._send(asked, query, manifest), asked)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object and its dependents. An absent object is not an error.

        ``uid``: only that very object; another one that has its name by then is left alone, whenever the request lands.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        asked = self._asked("DELETE", kind, namespace, name)
        try:
            answers.deleted(self._send(asked, {}, body), asked)
        except answers.NotThere:
            return
        except Conflict:
            if not uid:
                raise

    def allowed(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Ask the cluster whether this user has a permission."""
        resource, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": part, "namespace": namespace}
        attributes = {name: value for name, value in attributes.items() if value}
        review = self._review("SelfSubjectAccessReview", {"spec": {"resourceAttributes": attributes}})
        answered = {name: value for name, value in review["spec"]["resourceAttributes"].items() if value}
        if answered != attributes:
            raise self._asked("POST", "SelfSubjectAccessReview").unreadable("it reviews another permission")
        return bool(review["status"]["allowed"])

    def log(self, namespace: str, pod: str, *, tail_lines: int) -> str:
        """Return the end of a pod's log, printable; "" where there is none (yet)."""
        asked = self._asked("GET", "Pod", namespace, pod)
        answer = self._send(asked, {"tailLines": str(tail_lines)}, None, part="/log")
        if answers.is_no_log(answer, asked):
            return ""
        return claims.printable_lines(answer.body[:LARGEST_LOG_BYTES].decode("utf-8", "replace"))

    def whoami(self) -> str:
        """Return our user name on the cluster, ``untold`` where the cluster does not say."""
        try:
            user = self._review("SelfSubjectReview", {})["status"]["userInfo"]["username"]
        except DrfsmError:
            return UNTOLD
        return bounded(user) or UNTOLD

    def now(self) -> datetime | None:
        """Return the cluster's own time by its latest response; None before the first."""
        if self._dated is None:
            return None
        date, since = self._dated
        return date + timedelta(seconds=time.monotonic() - since)

    # --- asking ---------------------------------------------------------------------------------------

    def _asked(self, method: str, kind: str, namespace: str = "", name: str = "") -> Asked:
        return Asked(self._name, method, kind, namespace, name, kubeconfig=str(self._kubeconfig))

    def _pages(self, asked: Asked) -> Sequence[Manifest]:
        """Return the objects of all pages. Raises Expired; Unreadable for endless pages or an object listed twice."""
        query = {"limit": str(PAGE), **({"labelSelector": asked.labels} if asked.labels else {})}
        items: dict[tuple[str, str], Manifest] = {}
        tokens: set[str] = set()
        for _ in range(MOST_PAGES):
            page, following = answers.page_in(self._read(asked, query), asked)
            for item in page:
                place = item["metadata"].get("namespace", ""), item["metadata"]["name"]
                if place in items:
                    raise asked.unreadable(f"its list contains {asked.kind} {'/'.join(filter(None, place))} twice")
                items[place] = item
            if not following:
                return list(items.values())
            if following in tokens:
                raise asked.unreadable("its list never ends: a page names an earlier page as the next one")
            tokens.add(following)
            query["continue"], asked = following, asked._replace(continues=True)
        raise asked.unreadable(f"its list has more than {MOST_PAGES} pages of {PAGE}")

    def _review(self, kind: str, body: Mapping[str, Any]) -> Manifest:
        """Send a review: a POST that changes nothing."""
        asked = self._asked("POST", kind)
        review = {"apiVersion": KINDS[kind].version, "kind": kind, **body}
        return answers.object_in(self._read(asked, body=review), asked)

    def _read(
        self, asked: Asked, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send a request that changes nothing; retry it where there is no response, or a busy one, after its pause.

        For READ_SECONDS at most.
        """
        began = time.monotonic()
        if self._away is not None and began < self._away[0]:
            raise self._away[1]
        for number in range(1, READ_TRIES + 1):
            try:
                answer = self._send(asked, query or {}, body)
            except Unreadable:
                raise
            except Unreachable as fault:
                ended = time.monotonic()
                if number == READ_TRIES or ended - began >= self._read_seconds:
                    self._away = (2 * ended - began, fault) if ended - began > HUNG_SECONDS else None
                    raise
            else:
                if number == READ_TRIES or not _is_passing(answer.status):
                    return answer
                if answer.retry_after > LONGEST_PAUSE_SECONDS:
                    message = f"{asked.words}: {answer.status}, and asks for a pause of {answer.retry_after} s"
                    raise Unreachable(message, hint="drfsm resume")
                time.sleep(answer.retry_after)
        raise AssertionError

    def _send(self, asked: Asked, query: Mapping[str, str], body: Mapping[str, Any] | None, part: str = "") -> Answer:
        """Make one request; repeat it once with renewed credentials where the cluster rejects the old ones."""
        target = f"{_path(asked)}{part}{'?' + urlencode(query) if query else ''}"
        content = APPLY if "fieldManager" in query else MERGE  # JSON is YAML
        headers = [
            ("Accept", "application/json, */*" if part else "application/json"),
            ("Content-Type", content if asked.method == "PATCH" else "application/json"),
        ]
        access, raw = self._through(), None if body is None else json.dumps(dict(body)).encode()
        pool, who, held = access.now()
        answer = self._answer(asked, pool, target, [*headers, *who], raw)
        if answer.status == HTTPStatus.UNAUTHORIZED and access.renew(held):
            pool, who, _ = access.now()
            answer = self._answer(asked, pool, target, [*headers, *who], raw)
        return answer

    def _answer(
        self, asked: Asked, pool: Any, target: str, headers: Sequence[tuple[str, str]], raw: bytes | None
    ) -> Answer:
        from urllib3 import HTTPHeaderDict, Timeout
        from urllib3.exceptions import HTTPError

        largest, server = answers.LARGEST_PAGE_BYTES, self._through().config.server
        address = shown_address(server)
        limits.sending("cluster", server)
        patience = f"{self._name} to answer ({address}; given up after {self._read_seconds:.0f} s)"
        try:
            with waiting_for(patience):
                answer = pool.request(
                    asked.method,
                    f"{server}{target}",
                    headers=HTTPHeaderDict(headers),
                    body=raw,
                    timeout=Timeout(connect=CONNECT_SECONDS, read=self._read_seconds),
                    retries=False,  # the transport never repeats a write by itself
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
                try:
                    content = _bounded_body(answer, largest)
                finally:
                    answer.close()  # a connection whose response was read to its end is already back in the pool
        except (HTTPError, OSError, ValueError) as fault:
            raise Unreachable(
                f"{CANNOT_REACH}{self._name} ({reason_of(fault)}): {address}",
                hint="check the network, then try again (a run: `drfsm resume`)",
            ) from None
        self._dated = _date(answer.headers.get("Date")) or self._dated
        if len(content) > largest:
            raise asked.unreadable(f"it has more than {largest} bytes")
        if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise asked.unreadable(f"it is encoded ({bounded(encoding, 60)}), which was not requested")
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Answer(answer.status, media_type, content, _pause(answer.headers.get("Retry-After", "")))

    def _through(self) -> Access:
        with self._lock:
            if self._access is None:
                self._access = Access.through(self._kubeconfig)
            return self._access


def _bounded_body(answer: Any, largest: int) -> bytes:
    """Return the body, at most ``largest`` + 1 bytes of it. Raises HTTPError if it breaks off."""
    pieces, size = list[bytes](), 0
    while size <= largest and (piece := answer.read(PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _is_passing(status: int) -> bool:
    """Return whether a status only means that the API does not answer at the moment."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _pause(header: str) -> int:
    """Return the seconds of a Retry-After header; 0 where it has none (API servers send no dates)."""
    return int(header) if header.isascii() and header.isdecimal() and len(header) <= _MOST_DIGITS else 0


def _date(header: str | None) -> tuple[datetime, float] | None:
    """Return the time of a Date header and our monotonic clock now; None if the header can't be read."""
    try:
        date = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return (date, time.monotonic()) if claims.moment(date.isoformat()) else None


def _path(asked: Asked) -> str:
    """Return the URL path of a request. Raises Unreadable for an invalid name."""
    kind, name = KINDS[asked.kind], "" if asked.method == "POST" else asked.name
    if asked.namespace:
        claims.name_of("Kubernetes name", asked.namespace, "the namespace")
    if name:
        grammar = "RBAC name" if asked.kind in ("Role", "RoleBinding") else "Kubernetes name"
        claims.name_of(grammar, name, f"the name of a {asked.kind}")
    place = f"/namespaces/{quote(asked.namespace, safe='')}" if kind.namespaced and asked.namespace else ""
    path = f"{kind.api}{place}/{kind.plural}"
    return f"{path}/{quote(name, safe='')}" if name else path
