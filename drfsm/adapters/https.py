"""Requests to a site's server by its address, with the served name in SNI and Host. Implements world.Https.

Nothing in between: no proxy, no resolver, no redirect, no cache, no second try, so that a reply is this site's own.
TLS is always verified, for the name, against the contract's authorities or the system's.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import TracebackType

from drfsm.adapters.waiting import reason_of, waiting_for
from drfsm.claims import bounded
from drfsm.errors import CANNOT_REACH, Unreachable, Unreadable
from drfsm.world import Door, HttpReply

LARGEST_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16


class HttpsDoors:
    """HTTPS requests, each on a connection of its own."""

    def read(self, door: Door, path: str, *, seconds: float) -> HttpReply:
        """GET a path."""
        return self.send(door, "GET", path, headers={}, body=b"", seconds=seconds)

    def send(
        self, door: Door, method: str, path: str, *, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> HttpReply:
        """Make one request. ``seconds`` limits all of it."""
        what = f"{method} https://{door.host}{path} at {door.address}:{door.port}"
        begun = time.monotonic()
        try:
            with waiting_for(f"{what} (given up after {seconds:.0f} s)"):
                return _sent(door, method, path, headers, body, begun, begun + seconds)
        except ssl.SSLCertVerificationError as fault:
            raise Unreachable(
                f"{what}: its certificate is not trusted: {bounded(fault.verify_message)}",
                hint="check the certificate, and `ca` in the contract",
            ) from None
        except http.client.HTTPException as fault:
            raise Unreadable(f"{what}: the reply is no HTTP: {bounded(type(fault).__name__)}", fault="site") from None
        except (OSError, ValueError) as fault:
            raise Unreachable(
                f"{CANNOT_REACH}{what} ({reason_of(fault)})", hint="check the site, then `drfsm resume`"
            ) from None


def _sent(
    door: Door, method: str, path: str, headers: Mapping[str, str], body: bytes, begun: float, until: float
) -> HttpReply:
    plain = socket.create_connection((door.address, door.port), timeout=max(0.001, until - begun))
    with plain:
        secured = _context(door.authorities).wrap_socket(
            plain, server_hostname=door.host, do_handshake_on_connect=False
        )
    with secured, _Deadline(secured, until):
        secured.do_handshake()
        connection = http.client.HTTPConnection(door.host, door.port)
        connection.sock = secured
        named = door.host if door.port == http.client.HTTPS_PORT else f"{door.host}:{door.port}"
        length = {"Content-Length": str(len(body))} if body or method not in ("GET", "DELETE") else {}
        connection.request(
            method, path, body=body or None, headers={"Host": named, "Connection": "close", **length, **headers}
        )
        reply = connection.getresponse()
        content = _whole(reply, secured, until)
        return HttpReply(
            reply.status,
            {name.lower(): value for name, value in reply.getheaders()},
            content,
            time.monotonic() - begun,
        )


class _Deadline:
    """Ends a connection at a moment: a socket's own timeout begins anew with each byte, so a drip would last for ever.

    Leaving it raises TimeoutError if the moment has come: what was read then may be cut.
    """

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._has_come = connection, False
        self._timer = threading.Timer(max(0.0, until - time.monotonic()), self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        """Begin."""
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End. The timer has ended before the connection is closed: its number may be another one's then."""
        self._timer.cancel()
        self._timer.join()
        if self._has_come:
            raise TimeoutError from fault

    def _end(self) -> None:
        self._has_come = True
        with suppress(OSError):
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)  # TLS's own would wait, and drop its state


def _whole(reply: http.client.HTTPResponse, connection: socket.socket, until: float) -> bytes:
    """Return the body, in time and whole. Raises TimeoutError, HTTPException for one that is cut, ValueError."""
    content = b""
    while not reply.isclosed():
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        content += reply.read(min(_CHUNK_BYTES, LARGEST_BYTES + 1 - len(content)))
        if len(content) > LARGEST_BYTES:
            raise ValueError(f"its body has more than {LARGEST_BYTES} bytes")
    if reply.length:
        raise http.client.IncompleteRead(content, reply.length)
    return content


@lru_cache(maxsize=8)
def _context(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authorities or None)
