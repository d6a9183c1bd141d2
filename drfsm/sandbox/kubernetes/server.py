"""The API's sockets: TLS, tokens, keep-alive, chunked streams; faults on command, and a whole outage.

Each connection has a thread. The server maps tokens to users and knows nothing of Kubernetes; api.py answers. An
outage closes the listening socket and every open connection, also idle and watching ones (``shutdown`` of the standard
server would let those go on), and reserves the port until the outage ends.
"""

import hmac
import select
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from attrs import evolve

from drfsm.sandbox.kubernetes.api import HEALTH, refusal
from drfsm.sandbox.kubernetes.faults import Fault, Faults
from drfsm.sandbox.kubernetes.http_messages import Answer, Request
from drfsm.sandbox.kubernetes.refusals import ApiError

HOST = "127.0.0.1"
BODY_MAX = 3 * 1024 * 1024  # as the real server
HANDSHAKE_SECONDS = 10.0
POLL_SECONDS = 0.05
OPEN_PATHS = (*HEALTH, "/version")
OPERATOR, KUBELET = "sandbox-operator", "system:node:sandbox"
STATUS_REASONS = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}


class Answering(Protocol):
    """Answers requests: the emulated API, or a forwarder to a real one."""

    def answer(self, request: Request, *, kubelet: bool = False) -> Answer:
        """Answer a request; a refusal is an answer, too."""


class Server:
    """The API of one cluster, on loopback; on a free port unless one is given. Raises OSError if it is taken."""

    def __init__(self, api: Answering, chain: Path, tokens: Mapping[str, str], port: int = 0) -> None:
        self.api, self.faults = api, Faults()
        self._tokens = dict(tokens)  # token -> user
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain)
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((HOST, port))  # bound but not listening: nobody else gets the port during an outage
        self.port: int = self._reserved.getsockname()[1]

    @property
    def url(self) -> str:
        """The API's address."""
        return f"https://{HOST}:{self.port}"

    def open(self) -> None:
        """Begin to answer. Does nothing if the server is open."""
        with self._lock:
            if self._listener is None:
                self._listener = _Listener(self, self._tls)

    def close(self) -> None:
        """Cut every connection and refuse new ones. Does nothing if the server is closed."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def end(self) -> None:
        """Close, and free the port."""
        self.close()
        self._reserved.close()

    def user(self, authorization: str) -> str | None:
        """Return the user whose token an Authorization header holds; None if it is nobody's."""
        kind, _, sent_token = authorization.partition(" ")
        known = [user for token, user in self._tokens.items() if hmac.compare_digest(token, sent_token.strip())]
        return known[0] if known and kind.lower() == "bearer" else None


class _Listener(ThreadingHTTPServer):
    """A listening socket from its opening to its closing, with the connections that it accepted."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner: Server, tls: ssl.SSLContext) -> None:
        self.owner, self._tls = owner, tls
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((HOST, owner.port), _Connection)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True, name="api")
        self._thread.start()

    def server_bind(self) -> None:
        """Bind without the standard method's look-up of the host's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.owner.port

    def close(self) -> None:
        """Stop listening, and cut every open connection."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._guard:
            left = list(self._connections)
        for connection in left:
            _cut(connection)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake in the connection's own thread, so that a slow client delays nobody."""
        with self._guard:
            self._connections.add(request)
        secured: socket.socket | None = None
        try:
            request.settimeout(HANDSHAKE_SECONDS)
            secured = self._tls.wrap_socket(request, server_side=True)
            secured.settimeout(None)
            with self._guard:
                self._connections.add(secured)
            if not self.closing.is_set():
                self.finish_request(secured, client_address)
        except (OSError, ValueError):  # the client went away, or we cut it, perhaps during the handshake
            pass
        finally:
            with self._guard:
                self._connections -= {request, secured}
            self.shutdown_request(secured or request)


def _cut(connection: socket.socket) -> None:
    """Cut a connection, whoever uses it. SSLSocket's own shutdown would let plain bytes through."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _CutOff(ConnectionError):
    """A fault, or the client, ended the connection."""


class _Connection(BaseHTTPRequestHandler):
    """One connection, and its requests one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def _serve(self) -> None:
        """Read a request; make the fault that it meets, or answer it."""
        owner, arrived = self.server.owner, time.monotonic()
        request = self._request()
        if request is None:
            return
        fault = owner.faults.meet(self.command, self.path) if request.user != KUBELET else None
        if fault is None:
            self._send(owner.api.answer(request, kubelet=request.user == KUBELET))
        else:
            self._fail(fault, request, arrived)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815  http.server's names

    def _request(self) -> Request | None:
        """Read a request; None if it was refused at once."""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        size = int(headers.get("content-length") or 0)
        if size > BODY_MAX:
            self.close_connection = True
            message = f"Request entity too large: limit is {BODY_MAX}"
            self._send(refusal(ApiError(413, "RequestEntityTooLarge", message)))
            return None
        body = self.rfile.read(size) if size else self._chunks(headers)
        user = self.server.owner.user(headers.get("authorization", ""))
        if user is None and not path.startswith(OPEN_PATHS):
            self._send(refusal(ApiError(401, "Unauthorized", "Unauthorized")))
            return None
        parameters = dict(reversed(parse_qsl(query, keep_blank_values=True)))
        request = Request(self.command, path, parameters, headers, body, user or "system:anonymous")
        if not (other := headers.get("impersonate-user", "")):
            return request
        groups = (*(self.headers.get_all("Impersonate-Group") or ()), "system:authenticated")
        return evolve(request, user=other, groups=groups)

    def _chunks(self, headers: Mapping[str, str]) -> bytes:
        """Read a body that comes in chunks."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return b""
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    # --- answers --------------------------------------------------------------------------------------

    def _send(self, answer: Answer) -> None:
        head = [
            f"HTTP/1.1 {answer.status} {_phrase(answer.status)}",
            f"Content-Type: {answer.content_type}",
            "Cache-Control: no-cache, private",
            f"Date: {self.date_time_string()}",
            *(f'Warning: 299 - "{_quoted(warning)}"' for warning in answer.warnings),
            f"Content-Length: {len(answer.body)}" if isinstance(answer.body, bytes) else "Transfer-Encoding: chunked",
            *([] if answer.retry_after_seconds is None else [f"Retry-After: {answer.retry_after_seconds}"]),
            *(["Connection: close"] if self.close_connection else []),
        ]
        raw = "\r\n".join([*head, "", ""]).encode()
        if isinstance(answer.body, bytes):
            self.wfile.write(raw + (answer.body if self.command != "HEAD" else b""))
        else:
            self.wfile.write(raw)
            self._stream(answer.body)

    def _stream(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif self._client_left():
                raise _CutOff
        self.wfile.write(b"0\r\n\r\n")

    def _client_left(self) -> bool:
        """Return whether the client of a stream has gone: a client that only listens sends nothing."""
        return bool(select.select([self.connection], [], [], 0)[0])

    # --- faults ---------------------------------------------------------------------------------------

    def _fail(self, fault: Fault, request: Request, arrived: float) -> None:
        self.server.closing.wait(max(0.0, fault.delay_seconds - (time.monotonic() - arrived)))
        kind, api = fault.status, self.server.owner.api
        if isinstance(kind, int):
            refused = ApiError(kind, STATUS_REASONS.get(kind, "InternalError"), "refused by a fault of the sandbox")
            self._send(evolve(refusal(refused), retry_after_seconds=fault.retry_after_seconds))
            return
        if kind is None or kind.endswith("-after-commit"):
            carried_out = api.answer(request)
            if kind is None:
                self._send(carried_out)
                return
        if kind.startswith("hang"):
            while not self.server.closing.wait(POLL_SECONDS) and not self._client_left():
                pass
        _cut(self.connection)
        raise _CutOff

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's name
        """Print nothing: a line for each request would bury a test's own output."""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
