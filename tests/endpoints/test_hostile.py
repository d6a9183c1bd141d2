"""Garbage of every kind instead of an answer of Route 53, of a name server, of a site's own server.

None of it is taken for a record, an address, a site that serves, a write that was taken or refused, or "nothing there":
a reader says in bounded words what it could not read, and nothing is changed.
"""

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from drfsm.adapters.aws_session import Services
from drfsm.adapters.dns_names import DnsNames
from drfsm.adapters.route53 import Route53Zones
from drfsm.dr.endpoints import ACTIONS, FACTS
from drfsm.errors import DrfsmError, Unreachable
from drfsm.sandbox.cloud import REGION
from drfsm.sandbox.kubernetes.certificates import issue
from drfsm.sandbox.serving_sites import HOST
from tests.bench.answering import Answering, Request, Told, told
from tests.endpoints.conftest import Bench
from tests.endpoints.test_adapters import udp
from tests.endpoints.test_routing import listed
from tests.hostile.garbage import ANYBODYS, S3, SILENCE, Garbage
from tests.hostile.test_every_fact import Proxy

LONGEST = 1300  # characters of an error: bounded, and whole on a screen


def in_words(fault: DrfsmError) -> None:
    """Hold an error to what a person can read."""
    words = str(fault)
    assert len(words) < LONGEST, len(words)
    assert words.replace("\n", "").isprintable(), words
    assert "defect" not in words


# --- Route 53 --------------------------------------------------------------------------------------------


def _bent(pattern: bytes, new: bytes) -> Garbage:
    def garbage(_request: Request, truth: Callable[[], Told]) -> Told:
        true = truth()
        return true._replace(body=re.sub(pattern, new, true.body, flags=re.DOTALL))

    return garbage


BENT: Mapping[str, Garbage] = {
    "a TTL in words": _bent(rb"<TTL>\d+<", b"<TTL>soon<"),
    "a negative TTL": _bent(rb"<TTL>\d+<", b"<TTL>-5<"),
    "a TTL without end": _bent(rb"<TTL>\d+<", b"<TTL>" + b"9" * 30 + b"<"),
    "a weight in words": _bent(rb"<Weight>\d+<", b"<Weight>all<"),
    "a negative weight": _bent(rb"<Weight>\d+<", b"<Weight>-1<"),
    "records without a type": _bent(rb"<Type>[A-Z]+</Type>", b""),
    "records without a name": _bent(rb"<Name>[^<]*</Name>", b""),
    "a page without end": _bent(rb"<IsTruncated>false<", b"<IsTruncated>true<"),
    "an unknown end": _bent(rb"<IsTruncated>false</IsTruncated>", b""),
}
ASTRAY: Mapping[str, Garbage] = {
    "no records": _bent(rb"<ResourceRecordSet>.*</ResourceRecordSet>", b""),
    "records of another name": _bent(HOST.encode(), b"elsewhere.test"),
    "records without a value": _bent(
        rb"<ResourceRecords>.*?</ResourceRecords>", b"<ResourceRecords></ResourceRecords>"
    ),
    "everything twice": _bent(rb"(<ResourceRecordSet>.*</ResourceRecordSet>)", rb"\1\1"),
    "values that steer a terminal": _bent(rb"<Value>[^<]*<", b"<Value>&#x9b;31m&#x202e;<"),
    "no weights": _bent(rb"<Weight>\d+</Weight>", b""),
    "another type": _bent(rb"<Type>A</Type>", b"<Type>AAAA</Type>"),
}


class Lying:
    """A bench whose Route 53 is reached through a proxy that may lie."""

    def __init__(self, bench: Bench, proxy: Proxy) -> None:
        self.bench, self.proxy = bench, proxy
        self.world = bench.world()
        object.__setattr__(self.world, "zones", Route53Zones(_Once(proxy.server.url, REGION)))

    def fact(self, name: str) -> str | None:
        """Return a fact's value."""
        run = self.bench.run()
        value: str | None = FACTS[name].judge(FACTS[name].observe(self.world, run), run.inputs)
        return value


class _Once(Services):
    def client(self, service: str, *, once: bool = False) -> object:  # noqa: ARG002  always once: the test is in a hurry
        return super().client(service, once=True)


@pytest.fixture
def lying(bench: Bench) -> Iterator[Lying]:
    """Put the proxy before the cloud."""
    proxy = Proxy(bench.cloud.endpoint)
    with proxy.server:
        yield Lying(bench, proxy)


def test_no_garbage_of_route_53_is_taken_for_records(lying: Lying) -> None:
    """Whatever a proxy, a login page or a broken server says: unknown; and a move is not made by it."""
    assert (lying.fact("endpoint_site"), lying.fact("endpoint_ttl")) == ("old", "high")
    lying.bench.changes["name_servers"] = None  # so that the zone is asked for its servers, too
    before = listed(lying.bench)
    for kind, garbage in {**S3, **BENT}.items():
        for name in ("endpoint_site", "endpoint_ttl", "endpoint_seen"):
            lying.proxy.garbage, lying.proxy.bent = garbage, 0
            try:
                value = lying.fact(name)
            except DrfsmError as fault:
                in_words(fault)
            else:
                untouched = not lying.proxy.bent or kind == "in UTF-16"  # another spelling of the truth
                assert untouched or (kind in BENT and value in ("other", "mixed")), (kind, name, value)
        with pytest.raises(DrfsmError) as refused:
            ACTIONS["move_endpoints"](lying.world, lying.bench.run())
        in_words(refused.value)
        assert listed(lying.bench) == before, kind


def test_records_that_are_not_as_declared_lead_astray(lying: Lying) -> None:
    """An answer in the right form with the wrong content: never old, never new."""
    for kind, garbage in ASTRAY.items():
        lying.proxy.garbage = garbage
        try:
            value = lying.fact("endpoint_site")
        except DrfsmError as fault:
            in_words(fault)
        else:
            assert value in ("other", "mixed"), (kind, value)


# --- name servers ------------------------------------------------------------------------------------------


def answer_of(wire: bytes, *records: tuple[str, str, str]) -> dns.message.Message:
    """Return an answer with these records (name, type, value)."""
    answer = dns.message.make_response(dns.message.from_wire(wire))
    answer.answer = [dns.rrset.from_text(name, 30, "IN", kind, value) for name, kind, value in records]
    return answer


def true(wire: bytes) -> bytes:
    """Return what the real server says."""
    return answer_of(wire, (f"{HOST}.", "A", "192.0.2.7")).to_wire()


def short_address(wire: bytes) -> bytes:
    """Return an address of three bytes."""
    whole = true(wire)
    at = whole.rindex(socket.inet_aton("192.0.2.7"))
    return whole[: at - 2] + struct.pack("!H", 3) + whole[at : at + 3]


def flagged(code: int) -> Callable[[bytes], bytes]:
    """Return the truth with a response code."""
    return lambda wire: (whole := true(wire))[:3] + bytes([code]) + whole[4:]


def question_of(name: str) -> Callable[[bytes], bytes]:
    """Return an answer to another question, with the id of ours."""

    def reply(wire: bytes) -> bytes:
        other = dns.message.make_query(name, "A", id=dns.message.from_wire(wire).id)
        answer = dns.message.make_response(other)
        answer.answer = [dns.rrset.from_text(name, 30, "IN", "A", "192.0.2.66")]
        return answer.to_wire()

    return reply


NO_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _wire: b"",
    "a byte": lambda _wire: b"\0",
    "half of it": lambda wire: (whole := true(wire))[: len(whole) // 2],
    "more behind it": lambda wire: true(wire) + b"\0" * 40,
    "binary": lambda _wire: bytes(range(256)) * 4,
    "the question itself": lambda wire: wire,
    "another id": lambda wire: bytes([wire[0] ^ 255]) + true(wire)[1:],
    "another question": question_of("elsewhere.test."),
    "an address of three bytes": short_address,
    "a name that points at itself": lambda wire: (whole := true(wire))[:12] + b"\xc0\x0c" + whole[14:],
    "counts that are not so": lambda wire: (whole := true(wire))[:6] + b"\xff\xff" + whole[8:],
    **{f"the code {code}": flagged(code) for code in (1, 2, 4, 5, 9, 15)},
}
NO_VALUES: dict[str, Callable[[bytes], bytes]] = {
    "no records": lambda wire: answer_of(wire).to_wire(),
    "records of another name": lambda wire: answer_of(wire, ("elsewhere.test.", "A", "192.0.2.66")).to_wire(),
    "another type": lambda wire: answer_of(wire, (f"{HOST}.", "AAAA", "2001:db8::1")).to_wire(),
    "an alias that leads nowhere": lambda wire: answer_of(wire, (f"{HOST}.", "CNAME", "x.test.")).to_wire(),
    "aliases in a circle": lambda wire: answer_of(
        wire, (f"{HOST}.", "CNAME", "x.test."), ("x.test.", "CNAME", f"{HOST}.")
    ).to_wire(),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_of_a_name_server_says_nothing(kind: str) -> None:
    """Unreachable, or not to be read: never an address, and never that the name has none."""
    with udp(NO_ANSWERS[kind]) as server, pytest.raises(Unreachable) as refused:
        DnsNames(seconds=0.2).answer(server, HOST, "A")
    in_words(refused.value)


def test_an_answer_without_the_name_s_address_has_no_value() -> None:
    """What is said of other names, and aliases in a circle, is no address of this one."""
    for kind, reply in NO_VALUES.items():
        with udp(reply) as server:
            assert DnsNames(seconds=1).answer(server, HOST, "A").values == (), kind


# --- a site's own server ----------------------------------------------------------------------------------------


def healthy(request: Request) -> Told:
    """Return what a healthy site says."""
    return told({"status": "ok"} if request.path == "/healthz" else {"items": []})


def test_no_garbage_of_a_site_is_taken_for_one_that_serves(bench: Bench, tmp_path: Path) -> None:
    """It fails its checks; a canary is not written by it; no write is said to be refused; what is left is unknown."""
    certificates = issue("https", tmp_path, names=(HOST,))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.chain)
    with Answering(healthy, tls) as server:
        port = int(server.url.rpartition(":")[2])
        sites = {"primary": {"address": "127.0.0.2"}, "dr": {"address": "127.0.0.1"}}
        bench.changes |= {"port": port, "ca": certificates.authority, **sites}
        world, run, back = bench.world(), bench.run(), bench.run("primary")

        def fact(name: str) -> str | None:
            value: str | None = FACTS[name].judge(FACTS[name].observe(world, run), run.inputs)
            return value

        assert (fact("dr_serving"), fact("canary")) == ("serves", "clean")
        for kind, garbage in {**ANYBODYS, **SILENCE}.items():
            server.answer = lambda request, garbage=garbage: garbage(request, lambda: healthy(request))  # type: ignore[misc]
            assert fact("dr_serving") == "fails" or kind == "in UTF-16", kind
            for doing in (
                lambda: fact("canary"),
                lambda: ACTIONS["run_canary"](world, run),
                lambda: refused(world, back),
            ):
                if kind == "in UTF-16":
                    continue
                with pytest.raises(DrfsmError) as fault:
                    doing()
                in_words(fault.value)


def refused(world: Any, run: Any) -> None:
    """Try a write on DR, the old site of a failback; an answer that the contract takes for a refusal is one."""
    said = ACTIONS["check_old_site_refuses"](world, run)["refused"]["dr"]["api"]
    if said in ("refused with 403", "refused with 503"):  # by its status alone, as the contract says
        raise Unreachable(said)
    raise AssertionError(said)
