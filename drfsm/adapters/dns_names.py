"""Questions to name servers, by UDP and, where an answer is too long, by TCP. Implements world.Names.

Each question goes to the server that is named, never to the system's resolver, whose cache would hide what is asked
for. Only the addresses of name servers that are given by name are looked up with the system. Needs ``dnspython``,
which the extra ``endpoints`` installs.
"""

import socket
from typing import Any

from drfsm.adapters.waiting import reason_of, waiting_for
from drfsm.claims import bounded
from drfsm.errors import CANNOT_REACH, Unreachable, Unreadable, UsageFault
from drfsm.world import DnsAnswer

SECONDS, PORT = 3.0, 53
TRIES = 2  # UDP loses packets
_NOTHING = ("NOERROR", "NXDOMAIN")
_LONGEST_CHAIN = 8  # aliases in one answer


class DnsNames:
    """Asks name servers. Keeps nothing from one question to the next. ``seconds``: how long one try waits."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def answer(self, server: str, name: str, kind: str) -> DnsAnswer:
        """Ask one server (``host``, ``host:port``, ``[host]:port``) for one type."""
        dns = _dns()
        host, port = parted(server)
        question = dns.message.make_query(name.rstrip(".") + ".", kind, use_edns=0, payload=1232)
        reply = _asked(dns, question, host, port, f"name server {server}", self._seconds)
        if (code := dns.rcode.to_text(reply.rcode())) not in _NOTHING:
            raise Unreachable(f"the name server {server} answers {code} for {name} {kind}", fault="site")
        return _read(dns, reply, question.question[0].name, kind)


def parted(server: str) -> tuple[str, int]:
    """Return the host and the port of a server's name."""
    host, colon, port = server.rpartition(":")
    if server.count(":") > 1 and not server.startswith("["):
        return server, PORT  # a bare IPv6 address
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else (server.strip("[]"), PORT)


def _dns() -> Any:
    try:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode
        import dns.rdatatype
    except ImportError:
        raise UsageFault(
            "dnspython is not installed, and the contract declares endpoints", hint="pip install 'drfsm[endpoints]'"
        ) from None
    return dns


def _asked(dns: Any, question: Any, host: str, port: int, what: str, seconds: float) -> Any:
    last: Exception | None = None
    for _ in range(TRIES):
        try:
            with waiting_for(f"an answer of {what} (given up after {TRIES} tries of {seconds:g} s)"):
                address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
                reply, _ = dns.query.udp_with_fallback(question, str(address), timeout=seconds, port=port)
        except (OSError, EOFError, dns.exception.Timeout) as fault:
            last = fault
        except dns.exception.DNSException as fault:
            raise Unreadable(f"{what}: the answer can't be read: {bounded(fault)}", fault="site") from None
        else:
            return reply
    why = "no answer within the time limit" if isinstance(last, dns.exception.Timeout) else reason_of(last or OSError())
    raise Unreachable(f"{CANNOT_REACH}{what} ({why})", hint="check the network, then `drfsm resume`", fault="site")


def _read(dns: Any, reply: Any, name: Any, kind: str) -> DnsAnswer:
    """Return the values of one type, following aliases within the answer itself."""
    values: list[str] = []
    lifetimes: list[int] = []
    for _ in range(_LONGEST_CHAIN):
        alias = None
        for entry in reply.answer:
            if entry.name != name:
                continue
            if dns.rdatatype.to_text(entry.rdtype) == kind:
                values += [_text(value, kind) for value in entry]
                lifetimes.append(int(entry.ttl))
            elif dns.rdatatype.to_text(entry.rdtype) == "CNAME":
                alias = entry[0].target
                lifetimes.append(int(entry.ttl))
        if values or alias is None:
            break
        name = alias
    return DnsAnswer(tuple(sorted(values)), min(lifetimes, default=0), bool(reply.flags & dns.flags.AA))


def _text(value: Any, kind: str) -> str:
    text = str(value.to_text())
    return text.rstrip(".").lower() if kind == "CNAME" else text
