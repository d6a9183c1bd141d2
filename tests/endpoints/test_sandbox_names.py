"""The sandbox's name servers route as Route 53 does, its traps included; its clients keep what they were told."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.dns_names import DnsNames
from drfsm.errors import Unreachable
from drfsm.sandbox.cloud import Cloud
from drfsm.sandbox.health_checks import is_healthy
from drfsm.sandbox.name_servers import CachingClient, NameServer, lies
from drfsm.sandbox.serving_sites import ADDRESSES, HOST, ServingSites

PRIMARY, DR = ADDRESSES["primary"], ADDRESSES["dr"]


@pytest.fixture
def sites(cloud: Cloud, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServingSites]:
    """Serve both sites under a routing (weighted, unless a test says another)."""
    bucket = f"names-{time.monotonic_ns()}"
    cloud.create_bucket(bucket)
    with ServingSites(cloud, bucket, "p", tmp_path, routing=getattr(request, "param", "weighted")) as serving:
        yield serving


def asked(sites: ServingSites, server: int = 0) -> str:
    """Return the address that one name server gives."""
    return DnsNames().answer(sites.name_servers[server].address, HOST, "A").values[0]


def checked(sites: ServingSites, cloud: Cloud, site: str, **config: Any) -> str:
    """Make a health check, let a site's record have it, and return its id."""
    usual = {"Type": "TCP", "IPAddress": ADDRESSES[site], "Port": sites.port}
    made = cloud.client("route53").create_health_check(
        CallerReference=str(time.monotonic_ns()), HealthCheckConfig={**usual, **config}
    )
    (before,) = (record for record in sites.records() if record["SetIdentifier"] == site)
    sites.change(("DELETE", before), ("CREATE", {**before, "HealthCheckId": made["HealthCheck"]["Id"]}))
    return str(made["HealthCheck"]["Id"])


def test_clients_are_led_by_weight(sites: ServingSites) -> None:
    """Three of four go where the weight is 75; with weight 0 nobody goes."""
    assert {asked(sites) for _ in range(10)} == {PRIMARY}
    primary, dr = sites.records()
    sites.change(("DELETE", dr), ("CREATE", {**dr, "Weight": 33}), ("DELETE", primary), ("CREATE", primary))
    share = Counter(asked(sites) for _ in range(80))
    assert 40 < share[PRIMARY] < 75


def test_weight_zero_is_used_while_every_other_record_is_ill(sites: ServingSites, cloud: Cloud) -> None:
    """Route 53 documents it: so weighted records that decide about ownership may carry no health checks."""
    checked(sites, cloud, "primary")
    assert asked(sites) == PRIMARY
    sites.primary.outage()
    assert asked(sites) == DR


@pytest.mark.parametrize("sites", ["failover"], indirect=True)
def test_failover_returns_by_itself(sites: ServingSites, cloud: Cloud) -> None:
    """As soon as the primary answers again, clients go back to it: nobody decided that."""
    checked(sites, cloud, "primary")
    sites.primary.outage()
    assert asked(sites) == DR
    sites.primary.end_outage()
    assert asked(sites) == PRIMARY


def test_inverted_and_disabled_is_the_one_deterministic_way_out(sites: ServingSites, cloud: Cloud) -> None:
    """An inverted check of what is really ill reads as healthy; a disabled check is healthy, whatever it sees."""

    def health(**config: Any) -> bool:
        check = {"Type": "TCP", "IPAddress": PRIMARY, "Port": sites.port, **config}
        made = cloud.client("route53").create_health_check(
            CallerReference=str(time.monotonic_ns()), HealthCheckConfig=check
        )
        return is_healthy(cloud.account, made["HealthCheck"]["Id"])

    well = (health(), health(Inverted=True), health(Disabled=True), health(Inverted=True, Disabled=True))
    sites.primary.outage()
    ill = (health(), health(Inverted=True), health(Disabled=True), health(Inverted=True, Disabled=True))
    assert well == (True, False, True, False)
    assert ill == (False, True, True, False)


def test_servers_of_one_zone_may_differ_for_a_while(sites: ServingSites) -> None:
    """One holds what it had; it is still authoritative."""
    sites.answers[1].hold()
    primary, dr = sites.records()
    sites.change(
        ("DELETE", primary), ("CREATE", {**primary, "Weight": 0}), ("DELETE", dr), ("CREATE", {**dr, "Weight": 1})
    )
    assert (asked(sites, 0), asked(sites, 1)) == (DR, PRIMARY)
    sites.answers[1].follow()
    assert asked(sites, 1) == DR


def test_a_client_keeps_what_it_was_told(sites: ServingSites) -> None:
    """For the TTL, or for ever: some clients ask once in their life."""
    client, stubborn = sites.client(), sites.client(for_ever=True)
    assert client.address(HOST) == stubborn.address(HOST) == PRIMARY
    primary, dr = sites.records()
    sites.change(
        ("DELETE", primary), ("CREATE", {**primary, "Weight": 0}), ("DELETE", dr), ("CREATE", {**dr, "Weight": 1})
    )
    assert client.address(HOST) == PRIMARY
    for keeping in (client, stubborn):
        keeping.kept = {name: (value, 0.0) for name, (value, _) in keeping.kept.items()}  # the TTL has passed
    assert (client.address(HOST), stubborn.address(HOST)) == (DR, PRIMARY)


def test_a_resolver_may_lie() -> None:
    """It gives one address for every name, and does not claim to speak for the zone."""
    with NameServer(lies(PRIMARY), authoritative=False) as resolver:
        answer = DnsNames().answer(resolver.address, "anything.test", "A")
        assert (answer.values, answer.authoritative) == ((PRIMARY,), False)
        assert CachingClient(resolver.address).address("anything.test") == PRIMARY


def test_a_long_answer_comes_by_tcp_on_the_same_port(sites: ServingSites) -> None:
    """UDP says that it was cut, and the client asks again."""
    value = " ".join(f'"{letter * 250}"' for letter in "abcdefgh")
    record = {"Name": f"long.{HOST}.", "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    sites.change(("CREATE", record))
    server = sites.name_servers[0]
    assert DnsNames().answer(server.address, f"long.{HOST}", "TXT").values == (value,)
    assert server.questions.count((f"long.{HOST}.", "TXT")) == 2


def test_a_name_that_is_not_there_has_no_values_and_a_dead_server_no_answer(sites: ServingSites) -> None:
    """No answer is not the same as no value."""
    server = sites.name_servers[1].address
    assert DnsNames().answer(server, f"nobody.{HOST}", "A").values == ()
    with NameServer(lambda _name, _kind: []) as gone:
        address = gone.address
    with pytest.raises(Unreachable, match=r"Cannot reach name server"):
        DnsNames(seconds=0.2).answer(address, HOST, "A")
