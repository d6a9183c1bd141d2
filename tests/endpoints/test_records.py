"""Where records lead, and what they become: pure rules, case by case."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfsm.claims import LARGEST_EPOCH
from drfsm.dr.endpoints import claim, records, switch
from drfsm.dr.workload import Check, Endpoint, EndpointSite
from drfsm.errors import Unreadable

P, D = "192.0.2.1", "192.0.2.2"
Record = dict[str, Any]


def endpoint(routing: str = "weighted") -> Endpoint:
    """Return an endpoint of two sites."""
    return Endpoint(
        host="api.example.com", zone="Z1", routing=routing, primary=EndpointSite(P, "primary"),
        dr=EndpointSite(D, "dr"), checks={"health": Check("/", (200,))},
    )  # fmt: skip


def weighted(primary: int, dr: int, **fields: Any) -> list[Record]:
    """Return a pair of weighted records; ``fields`` are of the primary's."""
    usual = {"Name": "api.example.com.", "Type": "A", "TTL": 300}
    return [
        {**usual, "SetIdentifier": "dr", "Weight": dr, "ResourceRecords": [{"Value": D}]},
        {**usual, "SetIdentifier": "primary", "Weight": primary, "ResourceRecords": [{"Value": P}], **fields},
    ]


def failover(primary: str, secondary: str, **fields: Any) -> list[Record]:
    """Return a failover pair; ``fields`` are of the PRIMARY record."""
    usual = {"Name": "api.example.com.", "Type": "A", "TTL": 60}
    return [
        {**usual, "SetIdentifier": "dr", "Failover": "SECONDARY", "ResourceRecords": [{"Value": secondary}]},
        {**usual, "SetIdentifier": "primary", "Failover": "PRIMARY", "ResourceRecords": [{"Value": primary}], **fields},
    ]


CASES = [
    ("weighted", weighted(100, 0), "primary"),
    ("weighted", weighted(0, 1), "dr"),
    ("weighted", weighted(50, 50), "mixed"),
    ("weighted", weighted(0, 0), "mixed"),  # Route 53 uses both
    ("weighted", weighted(100, 0, HealthCheckId="x"), "other"),  # weight 0 would be used where the other is ill
    ("weighted", weighted(100, 0, ResourceRecords=[{"Value": D}]), "other"),
    ("weighted", weighted(100, 0, ResourceRecords=[{"Value": "203.0.113.1"}]), "other"),
    ("weighted", weighted(100, 0, ResourceRecords=[{"Value": P}, {"Value": D}]), "other"),
    ("weighted", weighted(100, 0, SetIdentifier="blue"), "other"),
    ("weighted", weighted(100, 0, Type="AAAA"), "other"),  # other clients would stay at the old site
    ("weighted", [], "other"),
    ("weighted", failover(P, D), "other"),
    ("failover", failover(P, D), "primary"),
    ("failover", failover(P, P), "primary"),
    ("failover", failover(D, D), "dr"),
    ("failover", failover(D, P), "mixed"),  # it would lead back by itself
    ("failover", failover(P, "203.0.113.1"), "other"),
    ("failover", weighted(100, 0), "other"),
]


@pytest.mark.parametrize(("routing", "read", "site"), CASES)
def test_records_lead_to_one_site_to_both_or_elsewhere(routing: str, read: list[Record], site: str) -> None:
    """Whatever is not as the contract declares is ``other``, which nobody moves."""
    assert records.site_of(endpoint(routing), read)[0] == site


@pytest.mark.parametrize("kind", ["A", "AAAA", "CNAME", "HTTPS", "SVCB"])
def test_a_record_of_another_type_that_leads_clients_is_seen(kind: str) -> None:
    """An HTTPS record's hints lead browsers past the A records; a TXT record leads nobody."""
    more = {"Name": "api.example.com.", "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": "1 . alpn=h2"}]}
    read = records.routing_of([*weighted(100, 0), {**more, "Type": "TXT"}, more])
    assert (len(read), records.site_of(endpoint(), read)[0]) == (3, "other")


SITES = st.sampled_from(["primary", "dr"])


@given(st.integers(0, 255), st.integers(0, 255), SITES, st.integers(1, 86400))
def test_weighted_records_that_are_moved_lead_there_and_keep_the_rest(p: int, d: int, site: str, ttl: int) -> None:
    """Only weights change, one of them to 0; the other is the highest that there was."""
    before = weighted(p, d, TTL=ttl)
    after = records.moved(endpoint(), before, site)
    assert records.site_of(endpoint(), after)[0] == site
    assert [{**record, "Weight": 0} for record in after] == [{**record, "Weight": 0} for record in before]
    assert max(record["Weight"] for record in after) == (max(p, d) or 100)


@given(st.sampled_from([(P, D), (P, P), (D, D), (D, P)]), SITES)
def test_a_failover_pair_keeps_its_health_check(values: tuple[str, str], site: str) -> None:
    """Its id is in the record that was read; a record written without it would lose it."""
    before = failover(*values, HealthCheckId="check-1")
    after = records.moved(endpoint("failover"), before, site)
    assert records.site_of(endpoint("failover"), after)[0] == site
    assert [record.get("HealthCheckId") for record in after] == [None, "check-1"]


def test_a_ttl_is_lowered_and_never_raised() -> None:
    """What is low already stays as it is."""
    before = weighted(100, 0, TTL=20)
    assert [record["TTL"] for record in records.lowered(before, 60)] == [60, 20]
    assert records.longest_ttl(before) == 300


def test_a_claim_is_read_as_it_was_written() -> None:
    """Its record's value gives it back; two claims of the same content differ."""
    for epoch in (12, LARGEST_EPOCH - 1):
        one = claim.new("dr", epoch, "promote-20261129t100000z-abc", "2026-11-29T10:00:00Z")
        assert claim.read([claim.record_of("api.example.com", one)], "api.example.com") == one
    assert claim.new(one.site, one.epoch, one.run, one.until) != one
    assert claim.read([], "api.example.com") is None


FOREIGN = [
    '"v=spf1 -all"',
    '"drfsm=1" "site=mars" "epoch=1" "run=r" "until=2026-11-29T10:00:00Z" "nonce=0123456789abcdef"',
    '"drfsm=1" "site=dr" "epoch=-1" "run=r" "until=2026-11-29T10:00:00Z" "nonce=0123456789abcdef"',
    '"drfsm=1" "site=dr" "epoch=1" "run=../r" "until=2026-11-29T10:00:00Z" "nonce=0123456789abcdef"',
    '"drfsm=1" "site=dr" "epoch=1" "run=r" "until=tomorrow" "nonce=0123456789abcdef"',
    '"drfsm=1" "site=dr" "epoch=1" "run=r" "until=2026-11-29T10:00:00Z"',
    f'"drfsm=1" "site=dr" "epoch={LARGEST_EPOCH}" "run=r" "until=2026-11-29T10:00:00Z" "nonce=0123456789abcdef"',
    "",
]


@pytest.mark.parametrize("value", FOREIGN)
def test_what_is_no_claim_of_drfsm_is_unreadable(value: str) -> None:
    """Somebody else's record at that name is never taken for no claim."""
    record = {"Name": "_drfsm.api.example.com.", "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": value}]}
    with pytest.raises(Unreadable):
        claim.read([record], "api.example.com")
    with pytest.raises(Unreadable):
        claim.read([record, record], "api.example.com")


BUCKET, KEY = "dr-bucket", "jobintel/drfsm/routing/api.json"
FOLLOWS = {
    "Type": "HTTPS_STR_MATCH", "Inverted": True, "Disabled": False, "SearchString": switch.SWITCHED,
    "FullyQualifiedDomainName": f"{BUCKET}.s3.eu-west-1.amazonaws.com", "ResourcePath": f"/{KEY}",
}  # fmt: skip
PLACES = [
    ("s3.eu-west-1.amazonaws.com", f"/{BUCKET}/{KEY}", True),
    (f"{BUCKET}.s3-eu-west-1.amazonaws.com", f"/{KEY}", True),
    ("routing.example.com", f"/{KEY}", True),
    ("", f"/{BUCKET}/{KEY}", True),
    ("other.s3.eu-west-1.amazonaws.com", f"/{KEY}", False),
    ("ec2-192-0-2-1.compute.amazonaws.com", f"/{BUCKET}/{KEY}", False),
    ("s3.eu-west-1.amazonaws.com", f"/other/{KEY}", False),
    (f"{BUCKET}.s3.eu-west-1.amazonaws.com", f"/x/{KEY}", False),
    ("routing.example.com", "/healthz", False),
    ("routing.example.com", f"/{KEY}?versionId=1", False),
    ("routing.example.com", f"/healthz?/{KEY}", False),
    ("routing.example.com", f"/x{KEY}", False),
]


@pytest.mark.parametrize(("host", "path", "follows"), PLACES)
def test_a_health_check_that_asks_elsewhere_is_noticed(host: str, path: str, follows: bool) -> None:
    """Another path, another bucket, or an old version of the object."""
    check = {**FOLLOWS, "FullyQualifiedDomainName": host, "ResourcePath": path}
    assert (switch.fault_of(check, BUCKET, KEY) == "") is follows


@pytest.mark.parametrize(
    "wrong", [{"Inverted": False}, {"Disabled": True}, {"SearchString": "dr"}, {"Type": "HTTPS"}], ids=str
)
def test_a_health_check_that_does_not_follow_the_object_is_noticed(wrong: Record) -> None:
    """Disabled it is always ill, uninverted it leads to the wrong site, and without a search it sees nothing."""
    assert switch.fault_of(FOLLOWS, BUCKET, KEY) == ""
    assert next(iter(wrong)) in switch.fault_of({**FOLLOWS, **wrong}, BUCKET, KEY)
