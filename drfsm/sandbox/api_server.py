"""The serving part of the sandbox's workload: a small HTTPS API of one site, with its data in the bucket, and a gate.

    GET /healthz           the site and whether it is well
    GET /items             all items, or with ?mark=KEY the one that was made with that idempotency key
    POST /items            make one; the header Idempotency-Key makes a repeat harmless
    GET, DELETE /items/ID

A write is taken only while the gate says so: ``<prefix>/drfsm/active.json`` names this site, and its writes are open.
The server reads the document before it writes and again before it acknowledges, so what was acknowledged was written
while the gate was open. A server that can't read the document refuses writes. Faults on command: an outage, slow
answers, wrong bodies, a lost answer, and a zombie, which believes for ever what it read last.
"""

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

FOLDER = "api/items"
Gate = Callable[[], int | None]
"""Returns the epoch under which this site takes writes, None while it does not."""
_FAULTS = (OSError, ValueError, KeyError, TypeError)


class ApiServer:
    """One site's server. ``faults``: slow_seconds, wrong_body; ``acknowledged``: the writes that it answered for.

    ``client``: an S3 client with the site's own identity.
    """

    def __init__(
        self,
        site: str,
        address: str,
        port: int,
        chain: Path,
        client: Any,
        bucket: str,
        prefix: str,
        gate: Gate | None = None,
    ) -> None:
        self.site, self.address, self.port = site, address, port
        self._chain, self._client, self._bucket, self._prefix = chain, client, bucket, prefix
        self.gate = gate or self._by_document
        self._believed: int | None = None
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[Any] = set()
        self.faults: dict[str, float] = {}
        self.is_zombie = False
        self.lose_after = 0  # the answer to the nth write from now on gets lost; 0: none
        self.stall_seconds = 0.0  # between a write and its acknowledgement
        self.acknowledged: list[str] = []
        self.requests: list[tuple[str, str, str]] = []  # (method, path, Host)

    def start(self) -> None:
        """Answer on the address and port."""
        server: Any = _Server((self.address, self.port), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain)
        server.tls, server.api = context, self
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def outage(self) -> None:
        """Go away: connections are cut, and new ones refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self._connections):
            with suppress(OSError):
                connection.close()

    def end_outage(self) -> None:
        """Come back."""
        self.start()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.outage()

    # --- what it does ------------------------------------------------------------------------------------

    def reply(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any] | None:
        """Return (status, JSON body); None where the answer gets lost."""
        self.requests.append((method, target, str(headers.get("Host", ""))))
        time.sleep(self.faults.get("slow_seconds", 0))
        parts = urlsplit(target)
        status, content = self._answered(method, parts.path, parse_qs(parts.query), headers, body)
        if method != "GET":
            self.lose_after -= 1
            if self.lose_after == 0:
                return None
        if method == "POST" and status in (200, 201):
            self.acknowledged.append(content["id"])
        return status, {"oops": True} if self.faults.get("wrong_body") else content

    def _answered(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any]:
        item_id = path.removeprefix("/items/") if path.startswith("/items/") else ""
        match method, path if not item_id else "/items/":
            case "GET", "/healthz":
                return 200, {"status": "ok", "site": self.site}
            case "GET", "/items":
                return 200, {"items": self._items((query.get("mark") or [""])[0])}
            case "GET", "/items/":
                item = self._read(item_id)
                return (200, item) if item else (404, {"error": "no such item"})
            case "POST", "/items":
                return self._gated(lambda epoch: self._make(epoch, str(headers.get("Idempotency-Key", "")), body))
            case "DELETE", "/items/":
                return self._gated(lambda _epoch: self._remove(item_id))
        return 404, {"error": "no such path"}

    def _gated(self, write: Callable[[int], tuple[int, Any]]) -> tuple[int, Any]:
        refusal = {"error": "read only", "site": self.site}
        if (epoch := self._epoch()) is None:
            return 503, refusal
        try:
            status, content = write(epoch)
        except Exception:  # noqa: BLE001  a fence, or no store: whatever it is, the write is not acknowledged
            return 503, refusal
        time.sleep(self.stall_seconds)
        return (status, content) if self._epoch() == epoch else (503, refusal)

    def _epoch(self) -> int | None:
        if self.is_zombie and self._believed is not None:
            return self._believed
        epoch = self.gate()
        self._believed = epoch if epoch is not None else self._believed  # what a zombie goes on with
        return epoch

    def _by_document(self) -> int | None:
        try:
            reply = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/drfsm/active.json")
            document = json.loads(reply["Body"].read())
            is_ours = document["site"] == self.site and document["writes"] == "open"
            return int(document["epoch"]) if is_ours else None
        except Exception:  # noqa: BLE001  a document that can't be read is no permission
            return None

    def _key(self, item_id: str) -> str:
        return f"{self._prefix}/{FOLDER}/{item_id}.json"

    def _make(self, epoch: int, mark: str, body: bytes) -> tuple[int, Any]:
        try:
            said = json.loads(body)
        except _FAULTS:
            return 400, {"error": "no JSON"}
        item_id = hashlib.sha256(mark.encode()).hexdigest()[:16] if mark else f"{time.time_ns():x}"
        if (existing := self._read(item_id)) is not None:
            return 200, existing
        item = {"id": item_id, "mark": mark, "note": said.get("note"), "site": self.site, "epoch": epoch}
        self._client.put_object(Bucket=self._bucket, Key=self._key(item_id), Body=json.dumps(item).encode())
        return 201, item

    def _remove(self, item_id: str) -> tuple[int, Any]:
        self._client.delete_object(Bucket=self._bucket, Key=self._key(item_id))
        return 204, {}

    def _read(self, item_id: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return json.loads(self._client.get_object(Bucket=self._bucket, Key=self._key(item_id))["Body"].read())
        except ClientError:
            return None

    def _items(self, mark: str) -> list[Any]:
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._prefix}/{FOLDER}/")
        names = [entry["Key"].rpartition("/")[2].removesuffix(".json") for entry in page.get("Contents", ())]
        items = [item for name in names if (item := self._read(name))]
        return [item for item in items if not mark or item["mark"] == mark]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext
    api: ApiServer

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Speak TLS in the connection's own thread: a client that says nothing keeps nobody waiting."""
        request.settimeout(10)
        try:
            secured = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            return  # no TLS, or gone
        connections = self.api._connections  # noqa: SLF001  its own server
        connections.add(secured)
        try:
            super().finish_request(secured, client_address)
        except OSError:
            return  # the client went away, or an outage began
        finally:
            connections.discard(secured)
            with suppress(OSError):
                secured.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.server.api.reply(self.command, self.path, dict(self.headers.items()), body)
        self.close_connection = True
        if reply is None:
            return
        status, content = reply
        written = b"" if status == 204 else json.dumps(content).encode()  # noqa: PLR2004  no content
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing: a line for each request would bury what else there is to say."""
