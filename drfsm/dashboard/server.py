"""Serves the dashboard on loopback: each request reads the world anew, and nothing is kept from one to the next.

    GET /             the page; its browser reads it again every REFRESH_SECONDS
    GET /status.json  the document

It answers for 127.0.0.1 and localhost only, so that a page of another site can't read it through a name of its own.
Two requests are never gathered at once, and what takes too long is answered with a page that says so. It changes
nothing, and has no other path.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from drfsm.claims import bounded
from drfsm.dashboard.page import POLICY, page, trouble
from drfsm.dashboard.publish import json_of
from drfsm.errors import DrfsmError, Unreachable, UsageFault

ADDRESS = "127.0.0.1"
REFRESH_SECONDS = 15
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 10.0  # a client that sends nothing for so long is let go
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Read = Callable[[], Mapping[str, Any]]
Tell = Callable[[str], None]


class Server(ThreadingHTTPServer):
    """Answers on loopback. ``read`` gathers the document; ``tell`` is told of a request that failed."""

    daemon_threads = True

    def __init__(self, port: int, read: Read, tell: Tell, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Listen. Raises UsageFault where the port can't be had."""
        self._read, self.tell, self._one_at_a_time = read, tell, threading.Lock()
        self.answer_seconds = answer_seconds
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as fault:
            raise UsageFault(
                f"port {port} of {ADDRESS} can't be had: {fault.strerror or fault}",
                hint="name another --port; 0 takes one that is free",
            ) from None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def document(self) -> Mapping[str, Any]:
        """Return the document of now. Raises Unreachable where that takes longer than a browser should wait.

        Until then a browser shows the page that it has, which is older. What is read too late is thrown away.
        """
        late = Unreachable(f"the bucket or a cluster has not answered within {self.answer_seconds:.0f} s")
        if not self._one_at_a_time.acquire(timeout=self.answer_seconds):
            raise late
        read: Future[Mapping[str, Any]] = Future()
        threading.Thread(target=self._gather, args=(read,), daemon=True).start()
        try:
            return read.result(timeout=self.answer_seconds)
        except TimeoutError:
            raise late from None

    def _gather(self, read: "Future[Mapping[str, Any]]") -> None:
        try:
            read.set_result(self._read())
        except BaseException as fault:  # noqa: BLE001  whoever waits for it says it
            read.set_exception(fault)
        finally:
            self._one_at_a_time.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = IDLE_SECONDS
    server_version, sys_version = "drfsm", ""
    paths: ClassVar[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], bytes]]]] = {
        "/": (HTML, partial(page, refresh_seconds=REFRESH_SECONDS)),
        "/index.html": (HTML, partial(page, refresh_seconds=REFRESH_SECONDS)),
        "/status.json": (JSON, json_of),
    }

    def do_GET(self) -> None:
        """Answer with what is there now."""
        if (self.headers.get("Host") or "").partition(":")[0] not in (ADDRESS, "localhost"):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, TEXT, b"this address is not served here\n")
            return
        kind, made = self.paths.get(self.path.partition("?")[0], (TEXT, None))
        if made is None:
            self._send(HTTPStatus.NOT_FOUND, TEXT, b"there are / and /status.json\n")
            return
        try:
            body = made(self.server.document())
        except DrfsmError as fault:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, kind, fault.what)
        except Exception as fault:  # noqa: BLE001  a page that says why is better than a closed connection
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, kind, f"a defect in drfsm: {type(fault).__name__}: {fault}")
        else:
            self._send(HTTPStatus.OK, kind, body)

    do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

    def _refuse(self, status: HTTPStatus, kind: str, why: str) -> None:
        """Say why there is nothing to show, to the browser, which reads again, and to whoever serves."""
        why = bounded(why, 500)
        self.server.tell(f"not shown: {why}")
        body = trouble(why, refresh_seconds=REFRESH_SECONDS) if kind == HTML else json_of({"unread_because": why})
        self._send(status, kind, body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Say nothing of a request that was answered."""
