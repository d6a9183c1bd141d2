"""What `drfsm doctor` finds of endpoints, on real servers: names, servers, resolvers, the active site."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drfsm.dr.terms import terms_of
from drfsm.runs.doctor import proof
from drfsm.runs.doctor.examination import CHECKS
from drfsm.runs.doctor.findings import Look
from drfsm.runs.world import read_only
from drfsm.sandbox.name_servers import NameServer, lies
from drfsm.sandbox.serving_sites import ADDRESSES
from tests.endpoints.conftest import Bench, Benches
from tests.endpoints.test_routing import by_hand

ENDPOINTS = ("endpoints", "endpoint servers", "active site")


def look(bench: Bench) -> Look:
    """Return what the checks look at, in a world that refuses writes."""
    run = bench.run(dry_run=True)
    terms, now = terms_of(run.inputs), datetime.now(UTC)
    return Look(read_only(bench.world()), bench.world().store, run, terms, now, Path("/"), None, 1.0, read_only=True)


def found(bench: Bench) -> dict[str, str]:
    """Return what is found: code and subject -> the words."""
    seen = look(bench)
    findings = [finding for name in ENDPOINTS for finding in CHECKS[name](seen)]
    return {f"{finding.code} of {finding.subject}": finding.words for finding in findings}


@pytest.mark.parametrize("routing", ["weighted", "failover", "health_check"])
def test_sites_that_are_ready_have_no_finding(benches: Benches, routing: str) -> None:
    """Only the TTL is too high at first; once that is low, users could be moved."""
    bench = benches(routing)
    high = found(bench)
    assert list(high) == ["endpoint_ttl_is_high of endpoint api"]
    assert "and the contract says" in high["endpoint_ttl_is_high of endpoint api"]
    bench.act("lower_endpoint_ttl")
    assert found(bench) == {}


def test_a_name_that_leads_astray_and_a_site_that_does_not_serve_are_found(bench: Bench) -> None:
    """Both at once: one finding hides no other."""
    bench.act("lower_endpoint_ttl")
    by_hand(bench, ResourceRecords=[{"Value": "203.0.113.9"}])
    bench.sites.set_outage("dr", on=True)
    faults = found(bench)
    assert "the active-site document names primary" in faults["endpoint_is_astray of endpoint api"]
    assert "Cannot reach" in faults["endpoint_does_not_serve of dr: endpoint api"]
    assert len(faults) == 2


def test_a_zone_that_can_not_be_read_hides_nothing_of_the_servers(bench: Bench) -> None:
    """What is unknown is told as such, and is never ready."""
    bench.changes["zone"] = "ZNOTTHERE"
    bench.sites.set_outage("dr", on=True)
    assert set(found(bench)) == {
        "not_read of records of endpoint api",
        "endpoint_does_not_serve of dr: endpoint api",
    }


def test_a_resolver_that_says_otherwise_and_one_that_is_silent_are_told(bench: Bench) -> None:
    """An honest one is in order."""
    bench.act("lower_endpoint_ttl")
    with NameServer(lies(ADDRESSES["dr"]), authoritative=False) as liar, bench.sites.resolver() as honest:
        bench.changes["resolvers"] = [honest.address, liar.address, "127.0.0.1:9"]
        faults = found(bench)
    words = faults["endpoint_resolver_differs of endpoint api"]
    assert (liar.address in words, honest.address in words) == (True, False)
    assert f"says {ADDRESSES['dr']}, and the zone's own servers say {ADDRESSES['primary']}" in words
    assert set(faults) == {
        "endpoint_resolver_differs of endpoint api",
        "not_read of resolver 127.0.0.1:9 of endpoint api",
    }


def test_an_active_site_that_takes_no_writes_is_told(bench: Bench) -> None:
    """Closed, at the other site, unreadable or undeclared: each in its own words."""
    bench.act("lower_endpoint_ttl")
    code = "active_site_is_wrong of active site"
    bench.sites.declare("primary", "closed")
    assert "writes are closed" in found(bench)[code]
    owned = {"schema_version": 1, "site": "primary", "cluster_uid": "a-b", "epoch": 1, "run": "promote-1", "nonce": "x"}
    bench.world().store.put(f"{bench.prefix}/drfsm/ownership.json", json.dumps(owned).encode())
    bench.sites.declare("dr")
    assert found(bench)[code] == "the document names dr, and the pointers are primary's"
    client, key = bench.cloud.client("s3"), f"{bench.prefix}/drfsm/active.json"
    client.put_object(Bucket=bench.bucket, Key=key, Body=b"{}")
    assert "can't be read" in found(bench)[code]
    client.delete_object(Bucket=bench.bucket, Key=key)
    assert "nobody has declared it" in found(bench)[code]


def test_a_name_that_no_rehearsal_moved_is_told(bench: Bench) -> None:
    """A drill that rehearsed the promote of a contract with drill names proves it; any other does not."""

    def unproven(promote: str) -> list[str]:
        drill: Any = SimpleNamespace(state=SimpleNamespace(inputs={"promote": promote}))
        return [finding.words for finding in proof.endpoints(look(bench), drill)]

    assert unproven("asked") == []
    assert unproven("none") == ["the drill rehearsed no promote"]
    bench.changes["drill_host"] = None
    assert unproven("asked") == ["the contract declares no `drill_host` for it"]
