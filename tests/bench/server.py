"""A small S3 on loopback that answers every request after a fixed latency: what speed is measured against.

Enough of S3 for the bench: GET, HEAD, PUT (a body, or a copy by ``x-amz-copy-source``), DELETE, and LIST
(version 2, with pages). It checks no signature and keeps objects in memory. moto serves about 230 requests
a second, which would measure moto. It is a process of its own, so that it shares no interpreter lock with
what is measured.
"""

import asyncio
import hashlib
import multiprocessing
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

LATENCY_SECONDS = 0.025
PAGE = 1000
BUCKET = "bench"
WHEN = "2026-02-27T00:22:29.000Z"
WHEN_HTTP = "Fri, 27 Feb 2026 00:22:29 GMT"


class Objects:
    """The keys of one bucket, sorted, with their bytes."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bucket = BUCKET
        self.bodies = {key: (body, _etag(body)) for key, body in bodies.items()}
        self.keys = sorted(self.bodies)

    def put(self, key: str, body: bytes) -> str:
        """Write an object; return its ETag."""
        if key not in self.bodies:
            insort(self.keys, key)
        self.bodies[key] = body, _etag(body)
        return self.bodies[key][1]

    def delete(self, key: str) -> None:
        """Delete an object; one that isn't there is fine."""
        if self.bodies.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def page(self, prefix: str, after: str, *, encoded: bool) -> str:
        """Return one page of a listing as S3 writes it; the continuation token is the last key.

        ``encoded``: the client asked for keys as in a URL (``encoding-type=url``).
        """
        word = partial(quote, safe="/") if encoded else escape
        start = bisect_right(self.keys, after) if after else bisect_left(self.keys, prefix)
        found = [key for key in self.keys[start : start + PAGE] if key.startswith(prefix)]
        more = len(found) == PAGE and start + PAGE < len(self.keys) and self.keys[start + PAGE].startswith(prefix)
        token = f"<NextContinuationToken>{quote(found[-1])}</NextContinuationToken>" if more else ""
        rows = "".join(
            f"<Contents><Key>{word(key)}</Key><LastModified>{WHEN}</LastModified>"
            f"<ETag>{escape(self.bodies[key][1], {chr(34): '&quot;'})}</ETag><Size>{len(self.bodies[key][0])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in found
        )
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>{self.bucket}</Name>'
            f"<Prefix>{word(prefix)}</Prefix>{'<EncodingType>url</EncodingType>' if encoded else ''}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated><KeyCount>{len(found)}</KeyCount>{token}{rows}"
            "</ListBucketResult>"
        )


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class _Door(asyncio.Protocol):
    """One connection: requests in order, each answered after the latency."""

    def __init__(self, objects: Objects, latency_seconds: float) -> None:
        self._objects, self._latency_seconds = objects, latency_seconds
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            size = int(headers.get("content-length", "0"))
            if len(self._buffer) < end + 4 + size:
                if "100-continue" in headers.get("expect", "") and self._transport:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + size], self._buffer[end + 4 + size :]
            method, target, _ = lines[0].split(" ", 2)
            answer = self._answer(method, target, headers, body)
            asyncio.get_running_loop().call_later(self._latency_seconds, self._send, answer)

    def _send(self, answer: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(answer)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        path, _, query = target.partition("?")
        key = unquote(path).lstrip("/").partition("/")[2]
        if method in ("GET", "HEAD"):
            return self._listed(parse_qs(query)) if not key else self._got(key, whole=method == "GET")
        if method == "DELETE":
            self._objects.delete(key)
            return _response(204)
        if method == "PUT":
            return self._put(key, headers.get("x-amz-copy-source", ""), body)
        return _response(405)

    def _listed(self, query: Mapping[str, list[str]]) -> bytes:
        prefix, token = (query.get(name, [""])[0] for name in ("prefix", "continuation-token"))
        page = self._objects.page(prefix, unquote(token), encoded="encoding-type" in query)
        return _response(200, page.encode(), kind="application/xml")

    def _got(self, key: str, *, whole: bool) -> bytes:
        found = self._objects.bodies.get(key)
        if found is None:
            return _response(404, b"<Error><Code>NoSuchKey</Code></Error>" if whole else b"", kind="application/xml")
        return _response(200, found[0], etag=found[1], send_body=whole)

    def _put(self, key: str, source: str, body: bytes) -> bytes:
        if not source:
            return _response(200, etag=self._objects.put(key, body))
        found = self._objects.bodies.get(unquote(source).lstrip("/").partition("/")[2])
        if found is None:
            return _response(404, b"<Error><Code>NoSuchKey</Code></Error>", kind="application/xml")
        etag = escape(self._objects.put(key, found[0]), {'"': "&quot;"})
        told = f"<CopyObjectResult><LastModified>{WHEN}</LastModified><ETag>{etag}</ETag></CopyObjectResult>"
        return _response(200, told.encode(), kind="application/xml")


def _response(
    status: int,
    body: bytes = b"",
    *,
    etag: str = "",
    kind: str = "application/octet-stream",
    send_body: bool = True,
) -> bytes:
    head = (
        f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n"
        f"Last-Modified: {WHEN_HTTP}\r\n" + (f"ETag: {etag}\r\n" if etag else "") + "\r\n"
    )
    return head.encode() + (body if send_body else b"")


async def _serve(bodies: Mapping[str, bytes], latency_seconds: float, ready: Connection) -> None:
    objects = Objects(bodies)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Door(objects, latency_seconds), "127.0.0.1", 0, backlog=512
    )
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(bodies: Mapping[str, bytes], latency_seconds: float, ready: Connection) -> None:
    asyncio.run(_serve(bodies, latency_seconds, ready))


@contextmanager
def serving(bodies: Mapping[str, bytes], latency_seconds: float = LATENCY_SECONDS) -> Iterator[str]:
    """Serve these objects in a process of its own; yield the endpoint. Any bucket's name will do."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_main, args=(bodies, latency_seconds, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()
