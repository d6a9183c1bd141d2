"""Faults on command before a real API server, by the emulated API's own server and rules.

``Forwarder`` asks the real server and passes its answer on. Only connections that are opened while faults are pending
come this way (see cluster.py); all others reach the real server directly. Upgrades (exec, port-forward) don't pass.
"""

import http.client
import ssl
from collections.abc import Iterator
from urllib.parse import urlencode

from drfsm.sandbox.controlplane.tcp_proxy import HOST
from drfsm.sandbox.kubernetes.api import refusal
from drfsm.sandbox.kubernetes.http_messages import JSON, Answer, Request
from drfsm.sandbox.kubernetes.refusals import ApiError

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding", "host", "te"})
BLOCK = 65536
ANSWER_SECONDS = 60.0


class Forwarder:
    """Answers requests by forwarding them to a real API server."""

    def __init__(self, port: int, authority: str) -> None:
        self._port, self._context = port, ssl.create_default_context(cadata=authority)

    def answer(self, request: Request, *, kubelet: bool = False) -> Answer:
        """Return what the real server answers, or a 503 if it doesn't."""
        del kubelet
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = {name: value for name, value in request.headers.items() if name not in HOP}
        connection = http.client.HTTPSConnection(HOST, self._port, timeout=ANSWER_SECONDS, context=self._context)
        try:
            connection.request(request.method, request.path + query, request.body or None, headers)
            return _passed_on(request, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            return refusal(ApiError(503, "ServiceUnavailable", f"the API server does not answer: {fault!r}"))


def _passed_on(request: Request, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> Answer:
    kind = response.headers.get("Content-Type", JSON)
    if request.says("watch") or request.says("follow"):
        if connection.sock is not None:
            connection.sock.settimeout(None)
        return Answer(response.status, _pieces(connection, response), kind)
    body = response.read()
    connection.close()
    after = response.headers.get("Retry-After")
    return Answer(response.status, body, kind, retry_after_seconds=int(after) if after else None)


def _pieces(connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the pieces of a stream as they arrive, until the client or the server ends it."""
    try:
        while piece := response.read1(BLOCK):
            yield piece
    finally:
        connection.close()
