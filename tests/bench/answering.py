"""A small HTTP server on loopback whose answers are a test's: what an attacker, a proxy or a broken server would say.

``answer`` takes a request and returns what to send; every request is kept in ``seen``. With ``tls`` it speaks TLS.
"""

import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self


class Request(NamedTuple):
    """What was asked. ``headers`` as they came, each line of its own."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Told(NamedTuple):
    """What is sent. ``length``: what Content-Length claims, None for the truth; ``date``: "" for none."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = {}
    length: int | None = None


def told(value: Any, status: int = 200) -> Told:
    """Return an answer of JSON."""
    return Told(status, json.dumps(value).encode())


Answers = Callable[[Request], Told]


class Answering:
    """The server. Usable as a context manager."""

    def __init__(self, answer: Answers | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answers = answer or (lambda _request: Told(500))
        self.seen: list[Request] = []
        server = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, list(self.headers.items()), body)
                server.seen.append(request)
                self._send(server.answer(request))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815  http.server's names

            def _send(self, answer: Told) -> None:
                length = len(answer.body) if answer.length is None else answer.length
                lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {each}" for name, each in answer.headers.items())]
                lines += [f"Content-Type: {answer.kind}"] if answer.kind else []
                if answer.status != 204:
                    lines.append(f"Content-Length: {length}")
                self.close_connection = length != len(answer.body)
                body = b"" if self.command == "HEAD" else answer.body
                self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing: clients hang up on what they can't read."""

        self._server = Server(("127.0.0.1", 0), Door)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"

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

    def kubeconfig(self, directory: Path, user: Mapping[str, Any] | None = None, **cluster: Any) -> Path:
        """Write a kubeconfig that leads here; return it."""
        place = directory / "kubeconfig.yaml"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url, **cluster}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "users": [{"name": "here", "user": {"token": "t"} if user is None else dict(user)}],
        }
        place.write_text(json.dumps(config))
        return place
