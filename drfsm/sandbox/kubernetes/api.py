"""The emulated API: it turns a request into an answer by calling the module that is responsible.

It has no sockets, TLS or tokens (server.py), no data (store.py) and no rules of objects (admission.py). server.py calls
it.
"""

import logging
import threading
from collections.abc import Callable, Mapping

from drfsm.sandbox.kubernetes import discovery, listing, pod_parts, reviews, writing
from drfsm.sandbox.kubernetes.http_messages import JSON, Answer, Request, Target, answer, target, verb
from drfsm.sandbox.kubernetes.pod_parts import PodLogs
from drfsm.sandbox.kubernetes.refusals import ApiError
from drfsm.sandbox.kubernetes.store import Store

__all__ = ["HEALTH", "Api", "PodLogs", "refusal"]

_log = logging.getLogger(__name__)
HEALTH = ("/healthz", "/livez", "/readyz")
WRITES: Mapping[str, Callable[[Store, Request, Target], Answer]] = {
    "get": listing.get,
    "list": listing.list_,
    "create": writing.create,
    "update": writing.replace,
    "patch": writing.patch,
    "delete": writing.delete,
    "deletecollection": writing.delete_collection,
}
PARTS: Mapping[str, Callable[[Store, Request, Target], Answer]] = {
    "binding": pod_parts.bind,
    "eviction": pod_parts.evict,
    "scale": pod_parts.scale,
    "token": pod_parts.token,
}


class Api:
    """One cluster's API. ``logs`` is set as soon as the kubelet runs; ``stop`` ends every watch."""

    def __init__(self, store: Store, stop: threading.Event) -> None:
        self.store = store
        self.denials = reviews.Denials()
        self.logs: PodLogs | None = None
        self._stop = stop

    def answer(self, request: Request, *, kubelet: bool = False) -> Answer:
        """Answer a request; a refusal is an answer, too."""
        try:
            return self._answer(request, kubelet=kubelet)
        except ApiError as error:
            return refusal(error)
        except (AttributeError, LookupError, TypeError, ValueError) as fault:
            # A defect of ours, or a body so malformed that our checks missed it: the client gets an answer.
            _log.exception("kubernetes.request_failed method=%s path=%s", request.method, request.path)
            return refusal(ApiError(500, "InternalError", f"Internal error occurred: {type(fault).__name__}: {fault}"))

    def _answer(self, request: Request, *, kubelet: bool) -> Answer:
        path = request.path.rstrip("/") or "/"
        if request.method in ("GET", "HEAD") and (about := self._about(request, path)):
            return about
        if not discovery.serves(path):
            return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
        where = target(path)
        action = verb(request, where)
        if where.resource.virtual:
            return reviews.review(self.denials, request, where)
        if not kubelet:
            reviews.authorize(self.denials, request, action, where)
        if where.part == "log":
            return pod_parts.log(self.store, self.logs, request, where)
        if action == "watch":
            return listing.watch(self.store, request, where, self._stop)
        return PARTS.get(where.part, WRITES[action])(self.store, request, where)

    def _about(self, request: Request, path: str) -> Answer | None:
        """Answer for health, versions, discovery and OpenAPI; None for any other path."""
        if path.startswith(HEALTH):
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        wants = "as=APIGroupDiscoveryList" in request.headers.get("accept", "")
        aggregated = wants and path in ("/api", "/apis")
        if path == "/":
            return answer(200, {"paths": ["/api", "/apis", *HEALTH, "/openapi/v3", "/version"]})
        document = discovery.document(path, aggregated=aggregated)
        if document is None:
            return None
        return answer(200, document, content_type=discovery.AGGREGATED if aggregated else JSON)


def refusal(error: ApiError) -> Answer:
    """Return an error as an answer."""
    return answer(error.status, error.body())
