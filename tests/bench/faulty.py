"""A front before an S3 server that fails as networks and servers do: on command, for the requests that a rule names.

A rule is ``(method, path) -> Fault | None``; the path is percent-decoded and has no query. Everything else
is passed on as it is. It counts what it saw, so that a test can say what was asked and how much at once.
"""

import http.client
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

Rule = Callable[[str, str], "Fault | None"]


class Fault(NamedTuple):
    """What happens to a request: it is answered with a status, or ...

    ``close``: no answer; ``cut``: the answer, but half of its body; ``lose``: it is done, and its answer lost.
    """

    how: str = "status"
    status: int = 500
    body: bytes = b"<Error><Code>InternalError</Code><Message>on command</Message></Error>"
    delay_seconds: float = 0.0
    headers: Mapping[str, str] = MappingProxyType({})


class Front:
    """A proxy on loopback. Usable as a context manager."""

    def __init__(self, upstream: str) -> None:
        self.rule: Rule = lambda _method, _path: None
        self.seen: list[tuple[str, str]] = []
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()
        front, address = self, urlsplit(upstream).netloc

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
                pass

            def _pass(self) -> None:
                with front._lock:
                    front._now += 1
                    front.most_at_once = max(front.most_at_once, front._now)
                    front.seen.append((self.command, path := unquote(urlsplit(self.path).path)))
                try:
                    front._answer(self, address, front.rule(self.command, path))
                finally:
                    with front._lock:
                        front._now -= 1

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass  # noqa: N815  http.server's names

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Door)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, door: BaseHTTPRequestHandler, address: str, fault: Fault | None) -> None:
        body = door.rfile.read(int(door.headers.get("Content-Length") or 0))
        if fault:
            time.sleep(fault.delay_seconds)
        if fault and fault.how in ("close", "status"):
            door.close_connection = fault.how == "close"
            if fault.how == "status":
                _send(door, fault.status, fault.headers, fault.body)
            return
        upstream = http.client.HTTPConnection(address, timeout=30)
        try:
            upstream.request(door.command, door.path, body, dict(door.headers))
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if fault and fault.how == "lose":
            door.close_connection = True
            return
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OURS}
        length = answer.headers.get("Content-Length") if door.command == "HEAD" else None
        _send(door, answer.status, headers, content, cut=bool(fault and fault.how == "cut"), length=length)


_OURS = ("content-length", "transfer-encoding", "connection")


def _send(
    door: BaseHTTPRequestHandler,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    cut: bool = False,
    length: str | None = None,
) -> None:
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
    if status != http.HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {length or len(body)}")
    sent = b"" if door.command == "HEAD" else body[: len(body) // 2] if cut else body
    door.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + sent)  # in one: else it waits for an ACK
    door.close_connection = door.close_connection or cut
