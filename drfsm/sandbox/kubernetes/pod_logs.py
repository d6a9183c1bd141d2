"""Containers' logs: read in this process (``Logs``), and served over HTTPS as a real kubelet does (``LogServer``).

A log is the file that the process itself writes, so nothing is lost when the kubelet dies. The file holds no times.
With ``timestamps`` an existing line therefore has the time of the container's start, and a line that arrives while
the log is followed has the time of its arrival.
"""

import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from attrs import frozen

from drfsm.sandbox.kubernetes import certificates
from drfsm.sandbox.kubernetes.pod_status import ADDRESS
from drfsm.sandbox.kubernetes.refusals import ApiError, bad_request, not_found

POLL_SECONDS = 0.03
BLOCK = 65536
PARTS = 4  # containerLogs, namespace, pod, container


@frozen
class Log:
    """The log of one start of a container: its file, and whether the container still runs."""

    path: Path
    runs: Callable[[], bool]
    started_at: str


class Logs:
    """The logs of a node's pods. ``find`` returns a container's log, or raises ApiError."""

    def __init__(self, find: Callable[[str, str, str, bool], Log]) -> None:
        self._find = find

    def read(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        tail_lines: int | None = None,
        follow: bool = False,
        *,
        previous: bool = False,
        timestamps: bool = False,
    ) -> Iterator[bytes]:
        """Return a log's bytes, in pieces; with ``follow`` until the container ends.

        Raises ApiError at once: 404 for no such pod, 400 for a container that isn't there or hasn't started.
        """
        log = self._find(namespace, pod, container, previous)
        pieces = _pieces(log, tail_lines, follow=follow)
        return _stamped(pieces, log) if timestamps else pieces


def _pieces(log: Log, tail_lines: int | None, *, follow: bool) -> Iterator[bytes]:
    with log.path.open("rb") as stream:
        if tail_lines is not None:
            stream.seek(_offset(stream.read(), tail_lines))
        while True:
            running = follow and log.runs()  # before reading: what comes after it has ended is nothing
            while piece := stream.read(BLOCK):
                yield piece
            if not running:
                return
            time.sleep(POLL_SECONDS)


def _offset(body: bytes, lines: int) -> int:
    """Return the offset at which the last ``lines`` lines begin."""
    at = len(body)
    end = at - 1 if body.endswith(b"\n") else at
    for _ in range(lines):
        at = body.rfind(b"\n", 0, end) + 1
        end = at - 1
        if at == 0:
            break
    return at


def _stamped(pieces: Iterator[bytes], log: Log) -> Iterator[bytes]:
    begin, rest, there = log.started_at.replace("Z", ".000000000Z"), b"", log.path.stat().st_size
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        when = begin if there > 0 else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        there -= len(piece)
        yield b"".join(when.encode() + b" " + line + b"\n" for line in lines)
    if rest:
        yield begin.encode() + b" " + rest


class LogServer:
    """``/containerLogs/{namespace}/{pod}/{container}`` over HTTPS on a free port of loopback, for an API server."""

    def __init__(self, logs: Logs) -> None:
        self._server = _Server((ADDRESS, 0), _answering(logs))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="kubelet-logs", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def start(self, home: Path) -> None:
        """Start, with a certificate of its own in ``home``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.issue("kubelet", home, ADDRESS, server="kubelet").chain)
        # The handshake is left to each connection's thread, so that a silent client can't hold up the others.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing about clients that go away or don't speak TLS."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # the base names a socket


def _answering(logs: Logs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            """Answer with a log."""
            try:
                pieces = self._asked()
            except ApiError as refusal:
                self._refuse(refusal)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Print nothing about requests."""

        def _asked(self) -> Iterator[bytes]:
            url = urlsplit(self.path)
            path = url.path.strip("/").split("/")
            if len(path) != PARTS or path[0] != "containerLogs":
                raise ApiError(404, "NotFound", f"no such path: {url.path}")
            parameters = parse_qs(url.query)
            _, namespace, pod, container = path
            return logs.read(
                namespace,
                pod,
                container,
                _number(parameters.get("tailLines")),
                _flag(parameters.get("follow")),
                previous=_flag(parameters.get("previous")),
                timestamps=_flag(parameters.get("timestamps")),
            )

        def _refuse(self, refusal: ApiError) -> None:
            body = refusal.message.encode()
            self.send_response(refusal.status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _flag(values: Sequence[str] | None) -> bool:
    return bool(values) and values[-1].lower() in ("true", "1") if values else False


def _number(values: Sequence[str] | None) -> int | None:
    if not values:
        return None
    if not values[-1].isdigit():
        raise bad_request(f"tailLines={values[-1]} is no number")
    return int(values[-1])


def no_pod(name: str) -> ApiError:
    """Return the refusal for a pod that isn't on this node."""
    return not_found("pods", name)
