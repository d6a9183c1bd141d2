"""A server on loopback that takes what is posted to it, and answers as a test says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Posted(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], object]


def code(number: int, **headers: str) -> Answer:
    """Return an answer of a status and headers, without a body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(number)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def raw(answered: bytes) -> Answer:
    """Return an answer that is these bytes, HTTP or not."""
    return lambda handler: handler.wfile.write(answered)


class Receiver:
    """What came, and how the next requests are answered: by the last answer once the others are used up."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.answers: list[Answer] = [code(200)]
        self.url = ""
        self.came = threading.Condition()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Take one request, and answer it."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self.came:
            self.posted.append(Posted(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.came.notify_all()
        answer(handler)

    def wait(self, number: int, seconds: float = 10) -> None:
        """Wait until so many requests have come."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.posted) >= number, seconds), self.posted


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
