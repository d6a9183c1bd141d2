"""Name servers on loopback, and clients of them: what speaks for a zone, a resolver that lies, a client with a cache.

A server answers from moto's Route 53, as far as changes have spread (route53.published), and routes as Route 53 does:
weighted records in proportion, a record of weight 0 only while every other one is ill; a failover pair by the health of
its first record. It may be told to hold what it has now, so that servers of one zone differ for a while.
"""

import random
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from attrs import define, field

from drfsm.sandbox import route53
from drfsm.sandbox.health_checks import is_healthy

Rows = Sequence[tuple[str, str, int]]
"""(type, value, TTL in seconds) of what a server says of a name."""
Answers = Callable[[str, str], Rows | None]
"""(name with a dot at its end, type) -> rows; None for a name that does not exist."""
_PORT_TRIES = 20


class NameServer:
    """One server on loopback, by UDP and TCP on one port. Usable as a context manager."""

    def __init__(self, answers: Answers, *, authoritative: bool = True) -> None:
        self.answers, self._authoritative = answers, authoritative
        self._servers: list[socketserver.BaseServer] = []
        self.address = ""
        self.questions: list[tuple[str, str]] = []

    def start(self) -> None:
        """Serve on a free port."""
        for _ in range(_PORT_TRIES):
            udp = _Udp(("127.0.0.1", 0), _UdpHandler)
            try:
                tcp = _Tcp(("127.0.0.1", udp.server_address[1]), _TcpHandler)
            except OSError:  # somebody else has this number by TCP
                udp.server_close()
                continue
            break
        else:
            raise OSError("no port is free by UDP and TCP")
        self._servers = [udp, tcp]
        for server in self._servers:
            server.reply = self.reply  # type: ignore[attr-defined]  # what the handlers call
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.address = f"127.0.0.1:{udp.server_address[1]}"

    def stop(self) -> None:
        """Stop serving: questions get no answer."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def reply(self, wire: bytes, *, longest: int = 65535) -> bytes:
        """Return the answer to a question, cut (and marked so) where it is too long for UDP."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rrset

        question = dns.message.from_wire(wire)
        reply: Any = dns.message.make_response(question, our_payload=1232)
        asked = question.question[0]
        kind = _kind_name(asked.rdtype)
        self.questions.append((str(asked.name), kind))
        rows = self.answers(str(asked.name).lower(), kind)
        if self._authoritative:
            reply.flags |= dns.flags.AA
        if rows is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        for row_kind, value, ttl in rows or ():
            reply.answer.append(dns.rrset.from_text(asked.name, ttl, "IN", row_kind, value))
        try:
            return bytes(reply.to_wire(max_size=longest))
        except dns.exception.TooBig:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            return bytes(reply.to_wire())


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, connection = self.request
        server: Any = self.server
        connection.sendto(server.reply(wire, longest=1232), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = struct.unpack("!H", self.rfile.read(2))[0]
        server: Any = self.server
        written = server.reply(self.rfile.read(length))
        self.wfile.write(struct.pack("!H", len(written)) + written)


def _kind_name(kind: Any) -> str:
    import dns.rdatatype

    return str(dns.rdatatype.to_text(kind))


# --- what servers say ------------------------------------------------------------------------------------


@define
class ZoneAnswers:
    """What the name servers of one hosted zone say. ``hold`` keeps what this one has now, ``follow`` ends that."""

    account: str
    zone_id: str
    held: list[Any] | None = None
    chance: random.Random = field(factory=lambda: random.Random(16))  # noqa: S311  weights, no secrets

    def hold(self) -> None:
        """Keep answering from the records of now."""
        self.held = list(route53.published(self.account, self.zone_id))

    def follow(self) -> None:
        """Answer from the zone's records again."""
        self.held = None

    def __call__(self, name: str, kind: str) -> Rows | None:
        """Return what the zone says of a name."""
        records = self.held if self.held is not None else route53.published(self.account, self.zone_id)
        named = [record for record in records if record.name == name]
        if not named:
            return None
        alias = [record for record in named if record.type == "CNAME"]
        record = self._routed(alias or [record for record in named if record.type == kind])
        return [] if record is None else [(record.type, value, int(record.ttl)) for value in record.records]

    def _routed(self, records: Sequence[Any]) -> Any:
        healthy = [record for record in records if is_healthy(self.account, record.health_check_id)]
        if any(record.failover for record in records):
            by_role = {record.failover: record for record in records}
            primary, secondary = by_role.get("PRIMARY"), by_role.get("SECONDARY")
            return primary if primary in healthy or secondary is None else secondary
        chosen = healthy or list(records)  # where all are ill, all count as healthy
        weighted = [record for record in chosen if record.weight]
        if not weighted:
            return self.chance.choice(chosen) if chosen else None
        return self.chance.choices(weighted, [record.weight for record in weighted])[0]


def lies(value: str, ttl_seconds: int = 300) -> Answers:
    """Return the answers of a resolver that gives one address for every name."""
    return lambda _name, kind: [("A", value, ttl_seconds)] if kind == "A" else []


def passes_on(server: str) -> Answers:
    """Return the answers of a resolver that asks another server each time, and keeps nothing."""
    from drfsm.adapters.dns_names import DnsNames

    def answers(name: str, kind: str) -> Rows:
        answer = DnsNames().answer(server, name, kind)
        return [(kind, value, answer.ttl_seconds) for value in answer.values]

    return answers


@define
class CachingClient:
    """A client that keeps what it was told for its TTL, or for ever, as some clients do."""

    server: str
    for_ever: bool = False
    kept: dict[str, tuple[str, float]] = field(factory=dict)

    def address(self, name: str) -> str:
        """Return the address that this client would connect to now."""
        from drfsm.adapters.dns_names import DnsNames

        value, until = self.kept.get(name, ("", 0.0))
        if value and (self.for_ever or time.monotonic() < until):
            return value
        answer = DnsNames().answer(self.server, name, "A")
        self.kept[name] = (answer.values[0], time.monotonic() + answer.ttl_seconds)
        return answer.values[0]


def free_port(addresses: Sequence[str]) -> int:
    """Return a port that is free on each of these addresses."""
    for _ in range(_PORT_TRIES):
        with socket.create_server((addresses[0], 0)) as first:
            port = int(first.getsockname()[1])
            try:
                for address in addresses[1:]:
                    socket.create_server((address, port)).close()
            except OSError:
                continue
            return port
    raise OSError(f"no port is free on {', '.join(addresses)}")
