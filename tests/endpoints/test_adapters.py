"""The adapters of Route 53, name servers and HTTPS: what a valid answer is, and what every other one means."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

from drfsm.adapters.aws_session import Services
from drfsm.adapters.dns_names import DnsNames, parted
from drfsm.adapters.https import LARGEST_BYTES, HttpsDoors
from drfsm.adapters.route53 import Route53Zones, same_name
from drfsm.errors import ActionFailed, Conflict, Unreachable, Unreadable
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.sandbox.kubernetes.certificates import Certificates, issue
from drfsm.world import Door, RecordChange, RecordSet
from tests.bench.faulty import Fault, Front

# --- Route 53 ------------------------------------------------------------------------------------------------


def record(number: int, name: str = "api.example.test.") -> RecordSet:
    """Return one of many weighted records of a name."""
    usual = {"Name": name, "Type": "A", "TTL": 60, "SetIdentifier": f"site-{number:03d}", "Weight": 1}
    return {**usual, "ResourceRecords": [{"Value": f"192.0.2.{number % 250}"}]}


def zone_of(cloud: Cloud, **options: object) -> str:
    """Return the id of a new zone."""
    made = cloud.client("route53").create_hosted_zone(
        Name="example.test", CallerReference=str(time.monotonic_ns()), **options
    )
    return str(made["HostedZone"]["Id"]).rpartition("/")[2]


def zones_at(endpoint: str) -> Route53Zones:
    """Return the zones as a run has them."""
    return Route53Zones(Services(endpoint, REGION))


@pytest.fixture
def zones(cloud: Cloud, operator_keys: None) -> Route53Zones:  # noqa: ARG001  who works on zones has keys
    """Return the zones of the cloud."""
    return zones_at(cloud.endpoint)


@pytest.fixture
def front(cloud: Cloud, operator_keys: None) -> Iterator[Front]:  # noqa: ARG001  likewise
    """Serve a front before the cloud that fails on command."""
    with Front(cloud.endpoint) as serving:
        yield serving


def test_every_record_of_a_name_is_read_over_pages(cloud: Cloud, zones: Route53Zones) -> None:
    """Also where a page ends within the records of one name; other names' are left out."""
    zone = zone_of(cloud)
    wanted = [record(number) for number in range(320)]
    others = [record(1, "api2.example.test."), record(1, "aaa.example.test."), record(1, "x.api.example.test.")]
    zones.change(zone, [RecordChange("CREATE", entry) for entry in [*wanted, *others]], "many")
    assert zones.records(zone, "API.example.test") == wanted
    assert zones.records(zone, "nobody.example.test") == []


def test_a_batch_whose_condition_fails_is_a_conflict_and_others_are_not(cloud: Cloud, zones: Route53Zones) -> None:
    """Who wrote in between is told from a zone that is not there."""
    zone = zone_of(cloud)
    zones.change(zone, [RecordChange("CREATE", record(1))], "one")
    with pytest.raises(Conflict, match="a record is not as it was read, so nothing was changed"):
        zones.change(zone, [RecordChange("CREATE", record(1))], "again")
    with pytest.raises(ActionFailed, match="NoSuchHostedZone") as refused:
        zones.change("ZNOBODY", [RecordChange("CREATE", record(1))], "nowhere")
    assert not isinstance(refused.value, Conflict)


def test_a_batch_is_sent_once(cloud: Cloud, front: Front) -> None:
    """Its answer got lost: repeated, it would conflict with its own success."""
    zone = zone_of(cloud)
    front.rule = lambda method, _path: Fault("lose") if method == "POST" else None
    with pytest.raises(Unreachable):
        zones_at(front.endpoint).change(zone, [RecordChange("CREATE", record(1))], "once")
    assert [method for method, _ in front.seen] == ["POST"]
    assert zones_at(cloud.endpoint).records(zone, "api.example.test") == [record(1)]


BUSY = (
    b'<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>%s</Code>'
    b"<Message>m</Message></Error></ErrorResponse>"
)
ANSWERS = [
    (Fault(status=400, body=BUSY % b"PriorRequestNotComplete"), Unreachable),
    (Fault(status=400, body=BUSY % b"Throttling"), Unreachable),
    (Fault(status=200, body=b"<html>log in</html>"), Unreadable),
    (Fault(status=200, body=b""), Unreadable),
    (Fault(status=503, body=b"busy"), Unreachable),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind"), ANSWERS, ids=["before us", "throttled", "login page", "empty", "busy"])
def test_what_is_no_answer_of_route_53_says_nothing_of_the_records(
    front: Front, fault: Fault, kind: type[Exception]
) -> None:
    """It is never taken for no records, and never for a change that was made."""
    front.rule = lambda _method, _path: fault
    zones = Route53Zones(_Once(front.endpoint, REGION))
    with pytest.raises(kind):
        zones.records("Z1", "api.example.test")
    with pytest.raises(kind):
        zones.change("Z1", [RecordChange("CREATE", record(1))], "c")


class _Once(Services):
    def client(self, service: str, *, once: bool = False) -> object:  # noqa: ARG002  always once: the test is in a hurry
        return super().client(service, once=True)


def test_a_number_that_no_record_can_have_is_no_answer(front: Front) -> None:
    """It would be recorded in a journal that nobody reads again."""
    body = (
        b'<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets>'
        b"<ResourceRecordSet><Name>api.example.test.</Name><Type>A</Type><TTL>" + b"9" * 40 + b"</TTL>"
        b"<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>"
        b"</ResourceRecordSet></ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>300</MaxItems>"
        b"</ListResourceRecordSetsResponse>"
    )
    front.rule = lambda _method, _path: Fault(status=200, body=body)
    with pytest.raises(Unreadable, match="out of range"):
        zones_at(front.endpoint).records("Z1", "api.example.test")


def test_a_private_zone_has_no_name_servers_of_its_own(cloud: Cloud, zones: Route53Zones) -> None:
    """The contract must name them."""
    private = zone_of(
        cloud, HostedZoneConfig={"PrivateZone": True}, VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-12345678"}
    )
    with pytest.raises(ActionFailed, match="it is private"):
        zones.name_servers(private)
    assert len(zones.name_servers(zone_of(cloud))) == 4


def test_names_are_compared_as_dns_does() -> None:
    """In any case, with or without the dot."""
    assert same_name("API.example.test.", "api.example.test")
    assert not same_name("api.example.test", "a.api.example.test")


# --- name servers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("ns-1.example", ("ns-1.example", 53)), ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)), ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)  # fmt: skip
def test_a_server_is_named_with_or_without_a_port(server: str, place: tuple[str, int]) -> None:
    """IPv6 addresses have colons of their own."""
    assert parted(server) == place


@contextmanager
def udp(reply: Callable[[bytes], bytes]) -> Iterator[str]:
    """Serve one answer by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                try:
                    question, client = server.recvfrom(2048)
                    server.sendto(reply(question), client)
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_refusal_and_garbage_are_no_values() -> None:
    """A server that refuses says nothing of the name; nor does one that answers with noise."""
    refuses = bytes([0x84, 0x05])  # an authoritative answer with the code REFUSED
    with udp(lambda wire: wire[:2] + refuses + wire[4:]) as server, pytest.raises(Unreachable, match="REFUSED"):
        DnsNames(seconds=0.5).answer(server, "api.example.test", "A")
    with udp(lambda _wire: b"noise") as server, pytest.raises((Unreachable, Unreadable)):
        DnsNames(seconds=0.3).answer(server, "api.example.test", "A")


def test_an_alias_is_followed_within_the_answer() -> None:
    """A server gives the alias and the address together; the lower TTL counts."""
    import dns.message
    import dns.rrset

    def reply(wire: bytes) -> bytes:
        answer = dns.message.make_response(dns.message.from_wire(wire))
        answer.answer = [
            dns.rrset.from_text("api.example.test.", 30, "IN", "CNAME", "real.example.test."),
            dns.rrset.from_text("real.example.test.", 60, "IN", "A", "192.0.2.7"),
            dns.rrset.from_text("unasked.example.test.", 1, "IN", "A", "192.0.2.8"),
        ]
        return answer.to_wire()

    with udp(reply) as server:
        answer = DnsNames().answer(server, "api.example.test", "A")
        assert (answer.values, answer.ttl_seconds) == (("192.0.2.7",), 30)
        assert DnsNames().answer(server, "api.example.test", "CNAME").values == ("real.example.test",)


# --- HTTPS ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a certificate for api.test at 127.0.0.1."""
    return issue("https", tmp_path_factory.mktemp("tls"), names=("api.test",))


@contextmanager
def answering(certificates: Certificates, reply: bytes, *, pause_seconds: float = 0.0) -> Iterator[Door]:
    """Serve one raw reply behind TLS, then close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(certificates.chain))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            try:
                plain, _ = server.accept()
                with context.wrap_socket(plain, server_side=True) as client:
                    client.recv(65536)
                    for at in range(0, len(reply), 1 << 16):
                        client.sendall(reply[at : at + (1 << 16)])
                        time.sleep(pause_seconds)
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        yield Door("127.0.0.1", server.getsockname()[1], "api.test", certificates.authority)


def head(status: str, *headers: str, length: int | None = None) -> bytes:
    """Return the beginning of a reply."""
    lines = [f"HTTP/1.1 {status}", *headers, *([] if length is None else [f"Content-Length: {length}"])]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_whole_reply_is_given_back(certificates: Certificates) -> None:
    """Status, headers in lower case, body."""
    with answering(certificates, head("200 OK", "X-Site: dr", length=2) + b"{}") as door:
        reply = HttpsDoors().read(door, "/", seconds=2)
    assert (reply.status, reply.headers["x-site"], reply.body) == (200, "dr", b"{}")


def test_a_redirect_is_not_followed(certificates: Certificates) -> None:
    """It would lead to another server than the one that is meant."""
    with answering(certificates, head("302 Found", "Location: https://127.0.0.1:1/", length=0)) as door:
        assert HttpsDoors().read(door, "/", seconds=2).status == 302


BROKEN = [
    ("cut", head("200 OK", length=100) + b"half", "no HTTP"),
    ("too large", head("200 OK", length=LARGEST_BYTES + 1) + b"x" * (LARGEST_BYTES + 1), "more than"),
    ("endless", head("200 OK") + b"x" * (LARGEST_BYTES + 2), "more than"),
    ("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP"),
    ("nothing", b"", "no HTTP"),
]


@pytest.mark.parametrize(("reply", "words"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_is_no_whole_reply_is_no_reply(certificates: Certificates, reply: bytes, words: str) -> None:
    """Half a body is not a body, and an endless one is not read to its end."""
    with answering(certificates, reply) as door, pytest.raises(Unreachable, match=words):
        HttpsDoors().read(door, "/", seconds=2)


def test_the_limit_is_for_all_of_it(certificates: Certificates) -> None:
    """A server that sends a little now and then doesn't keep anybody."""
    slow = head("200 OK", length=1 << 20) + b"x" * (1 << 20)
    begun = time.monotonic()
    with answering(certificates, slow, pause_seconds=1) as door, pytest.raises(Unreachable, match="time limit"):
        HttpsDoors().read(door, "/", seconds=0.6)
    assert time.monotonic() - begun < 10  # the whole reply takes 16 s


DRIPS = {
    "TLS": (b"", b"\x16\x03\x03\x40\x00\x02"),
    "status": (b"HTTP/1.1 200 ", b"a"),
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (head("200 OK", length=1000), b"a"),
    "chunk": (head("200 OK", "Transfer-Encoding: chunked") + b"1;x=", b"a"),
}


@pytest.mark.parametrize("stage", DRIPS)
def test_a_server_that_drips_is_left_at_the_limit(certificates: Certificates, stage: str) -> None:
    """At each stage: every byte begins a socket's own timeout anew. What is cut is no reply."""
    first, drop = DRIPS[stage]
    gone = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(certificates.chain))

    def drip(server: socket.socket) -> None:
        client, _ = server.accept()
        try:
            if stage != "TLS":
                client = context.wrap_socket(client, server_side=True)
                client.recv(65536)
            client.sendall(first)
            for at in range(200):
                client.sendall(drop if len(drop) > 10 else drop[at : at + 1] or drop[-1:])
                time.sleep(0.05)
        except OSError:
            gone.set()
        client.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        door = Door("127.0.0.1", server.getsockname()[1], "api.test", certificates.authority)
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="no answer within the time limit"):
            HttpsDoors().read(door, "/", seconds=0.5)
        assert time.monotonic() - begun < 5  # the whole drip takes 10 s
    assert gone.wait(5)


def test_tls_is_verified_for_the_name(certificates: Certificates) -> None:
    """An unknown authority, or another name, is no connection; the system's authorities don't know ours."""
    reply = head("200 OK", length=0)
    for host, authorities in (("other.test", certificates.authority), ("api.test", "")):
        with answering(certificates, reply) as door, pytest.raises(Unreachable, match="its certificate is not trusted"):
            HttpsDoors().read(evolve(door, host=host, authorities=authorities), "/", seconds=2)
