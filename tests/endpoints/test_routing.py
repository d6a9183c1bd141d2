"""Names that are moved, on a strict Route 53 with real name servers: facts, compare-and-swap, crashes, undo."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from drfsm.adapters.aws_session import Services
from drfsm.adapters.route53 import Route53Zones
from drfsm.claims import LARGEST_EPOCH
from drfsm.dr.endpoints import claim
from drfsm.errors import ActionFailed, Conflict, Unreachable, shown
from drfsm.sandbox.cloud import REGION
from drfsm.sandbox.name_servers import NameServer, lies
from drfsm.sandbox.route53 import spread_slowly
from drfsm.sandbox.serving_sites import ADDRESSES, DRILL_HOST, HOST
from drfsm.world import RecordChange
from tests.bench.faulty import Fault, Front
from tests.endpoints.conftest import FAILBACK, PROMOTE, Bench, Benches

ROUTINGS = ["weighted", "failover", "health_check"]


def zones(bench: Bench) -> Route53Zones:
    """Return the zones, as a run has them."""
    return Route53Zones(Services(bench.cloud.endpoint, REGION))


def listed(bench: Bench, host: str = HOST) -> list[dict[str, Any]]:
    """Return a name's routing records."""
    return list(zones(bench).records(bench.sites.zone, host))


def claimed(bench: Bench, host: str = HOST) -> claim.Claim | None:
    """Return a name's claim."""
    return claim.read(zones(bench).records(bench.sites.zone, claim.host_of(host)), host)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_name_moves_there_and_back(benches: Benches, routing: str) -> None:
    """A promote leads it to DR, a failback to the primary; every name server says so, and clients without caches go."""
    bench = benches(routing)
    before = listed(bench)
    assert [bench.fact(name) for name in ("endpoint_site", "endpoint_seen")] == ["old", "old"]
    bench.act("move_endpoints")
    assert [bench.fact(name) for name in ("endpoint_site", "endpoint_seen")] == ["new", "new"]
    assert bench.sites.client().address(HOST) == ADDRESSES["dr"]
    bench.epoch = 2
    assert bench.fact("endpoint_site", FAILBACK) == "old"
    bench.act("move_endpoints", FAILBACK)
    assert [bench.fact(name, FAILBACK) for name in ("endpoint_site", "endpoint_seen")] == ["new", "new"]
    assert listed(bench) == before


@pytest.mark.parametrize("routing", ["weighted", "failover"])
def test_the_claim_says_publicly_whose_the_name_is(benches: Benches, routing: str) -> None:
    """Site, epoch and run stand in a TXT record, moved in the same batch."""
    bench = benches(routing)
    bench.act("move_endpoints")
    current = claimed(bench)
    assert current is not None
    assert (current.site, current.epoch, current.run) == ("dr", 1, "run-1")


def test_an_old_site_that_wakes_up_is_not_led_back_to(benches: Benches) -> None:
    """Failover routing returns by itself; after a move both of its records lead to the owner."""
    bench = benches("failover")
    check = bench.cloud.client("route53").create_health_check(
        CallerReference="wakes-up",
        HealthCheckConfig={"Type": "TCP", "IPAddress": ADDRESSES["primary"], "Port": bench.sites.port},
    )["HealthCheck"]["Id"]
    (before,) = (record for record in listed(bench) if record["Failover"] == "PRIMARY")
    bench.sites.change(("DELETE", before), ("CREATE", {**before, "HealthCheckId": check}))
    bench.sites.primary.outage()
    assert bench.fact("endpoint_seen") == "new"  # by Route 53's own decision; nobody promoted
    assert bench.fact("endpoint_site") == "old"
    bench.act("move_endpoints")
    bench.sites.primary.end_outage()
    assert bench.fact("endpoint_seen") == "new"
    assert next(record for record in listed(bench) if record["Failover"] == "PRIMARY")["HealthCheckId"] == check


def by_hand(bench: Bench, **fields: Any) -> None:
    """Change the primary's record as somebody else."""
    (before,) = (record for record in listed(bench) if record["SetIdentifier"] == "primary")
    bench.sites.change(("DELETE", before), ("CREATE", {**before, **fields}))


BY_HAND = [
    ({"Weight": 7}, "old"),  # still the primary's alone
    ({"Weight": 0}, "mixed"),
    ({"ResourceRecords": [{"Value": "203.0.113.9"}]}, "other"),
]


@pytest.mark.parametrize(("fields", "value"), BY_HAND, ids=str)
def test_a_record_that_somebody_changed_is_noticed(bench: Bench, fields: dict[str, Any], value: str) -> None:
    """What leads elsewhere is never overwritten; what was changed harmlessly is moved from what is there."""
    by_hand(bench, **fields)
    assert bench.fact("endpoint_site") == value
    if value == "old":
        bench.act("move_endpoints")
        assert [record["Weight"] for record in listed(bench)] == [7, 0]
        return
    before = listed(bench)
    with pytest.raises(ActionFailed, match="not as the contract and their claim say"):
        bench.act("move_endpoints")
    assert (listed(bench), claimed(bench)) == (before, None)


def test_a_name_that_was_moved_by_hand_contradicts_its_claim(bench: Bench) -> None:
    """The records lead to one site, the claim names the other: mixed, and it holds."""
    bench.act("move_endpoints")
    primary, dr = (next(r for r in listed(bench) if r["SetIdentifier"] == site) for site in ("primary", "dr"))
    bench.sites.change(
        ("DELETE", primary), ("CREATE", {**primary, "Weight": 1}), ("DELETE", dr), ("CREATE", {**dr, "Weight": 0})
    )
    assert bench.fact("endpoint_site") == "mixed"
    with pytest.raises(ActionFailed, match="moved it by hand"):
        bench.act("move_endpoints")


def test_somebody_else_s_record_at_the_claim_s_name_holds(bench: Bench) -> None:
    """It is not taken for no claim, and not deleted."""
    foreign = {"Name": f"_drfsm.{HOST}.", "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"hello"'}]}
    bench.sites.change(("CREATE", foreign))
    assert bench.fact("endpoint_site") == "other"
    with pytest.raises(ActionFailed):
        bench.act("move_endpoints")
    assert zones(bench).records(bench.sites.zone, claim.host_of(HOST)) == [foreign]


def test_a_second_address_type_holds(bench: Bench) -> None:
    """An AAAA record would leave clients of IPv6 at the old site."""
    record = {"Name": f"{HOST}.", "Type": "AAAA", "TTL": 60, "ResourceRecords": [{"Value": "2001:db8::1"}]}
    bench.sites.change(("CREATE", record))
    assert bench.fact("endpoint_site") == "other"


def test_a_run_whose_lease_was_taken_over_moves_nothing(bench: Bench) -> None:
    """The claim has the newer epoch; and two that read the same claim can't both win."""
    bench.epoch = 5
    bench.act("move_endpoints")
    bench.epoch = 4
    before = listed(bench)
    with pytest.raises(Conflict, match="under the epoch 5"):
        bench.act("move_endpoints", FAILBACK)
    assert listed(bench) == before


@pytest.mark.parametrize("routing", ["weighted", "health_check"])
def test_what_nobody_could_read_again_is_not_written(benches: Benches, routing: str) -> None:
    """Every epoch of a lease moves a name there; one beyond them moves nothing."""
    bench = benches(routing)
    bench.epoch = LARGEST_EPOCH
    with pytest.raises(ActionFailed, match="nobody could read it again"):
        bench.act("move_endpoints")
    assert bench.fact("endpoint_site") == "old"
    bench.epoch = LARGEST_EPOCH - 1
    bench.act("move_endpoints")
    assert bench.fact("endpoint_site") == "new"


def test_a_batch_of_a_given_up_run_fails_after_a_touch(bench: Bench) -> None:
    """It was on its way when the run was killed; a new nonce of the claim makes its condition fail."""
    bench.act("await_endpoints_insync")
    (before,) = zones(bench).records(bench.sites.zone, claim.host_of(HOST))
    late = [
        RecordChange("DELETE", before),
        RecordChange("CREATE", claim.record_of(HOST, claim.new("dr", 1, "r", "2026-01-01T00:00:00Z"))),
    ]
    bench.touch("move_endpoints")
    with pytest.raises(Conflict):
        zones(bench).change(bench.sites.zone, late, "late")
    assert bench.fact("endpoint_site") == "old"


def test_a_first_batch_of_a_given_up_run_fails_after_a_touch(bench: Bench) -> None:
    """Also where there was no claim yet: the touch makes one."""
    late = [RecordChange("CREATE", claim.record_of(HOST, claim.new("dr", 1, "r", "2026-01-01T00:00:00Z")))]
    bench.touch("move_endpoints")
    with pytest.raises(Conflict):
        zones(bench).change(bench.sites.zone, late, "late")
    assert bench.fact("endpoint_site") == "old"


def test_a_late_write_of_the_routing_object_fails_after_a_touch(benches: Benches) -> None:
    """The second router's condition is the object's ETag; where there is no object yet, the touch makes one."""
    bench = benches("health_check")
    bench.touch("move_endpoints")
    assert bench.fact("endpoint_site") == "old"
    with pytest.raises(Conflict):
        bench.world().store.put(f"{bench.prefix}/drfsm/routing/api.json", b"{}", if_absent=True)


@pytest.mark.parametrize("how", ["close", "lose"])
@pytest.mark.parametrize("action", ["move_endpoints", "lower_endpoint_ttl"])
def test_killed_at_any_request_it_is_made_once(bench: Bench, front: Front, action: str, how: str) -> None:
    """From the nth request on nothing goes through (the nth was done, or not); the next process ends the same."""
    wanted, batches = {"move_endpoints": ("endpoint_site", "new"), "lower_endpoint_ttl": ("endpoint_ttl", "low")}, []
    start = listed(bench)
    fact, value = wanted[action]
    for number in range(1, 12):
        _reset(bench, start)
        count = 0

        def rule(_method: str, _path: str, number: int = number) -> Fault | None:
            nonlocal count
            count += 1
            return None if count < number else Fault(how) if count == number else Fault("close")

        front.rule = rule
        try:
            bench.act(action, world=_alone(bench, front))
        except Unreachable:
            pass
        else:
            assert count < number
            break
        made = claimed(bench)
        bench.act(action)
        assert bench.fact(fact) == value
        assert made is None or claimed(bench) == made  # what was made is not made again
        batches.append(made)
    else:
        pytest.fail("the action makes more requests than were tried")
    assert len(batches) >= 4
    assert any(batches) or how == "close"


def _alone(bench: Bench, front: Front) -> Any:
    """Return a world whose zones lie behind a front, and are asked once each: as by a process that gets killed."""

    class Once(Services):
        def client(self, service: str, *, once: bool = False) -> Any:  # noqa: ARG002  always once
            return super().client(service, once=True)

    return evolve(bench.world(), zones=Route53Zones(Once(front.endpoint, REGION)))


def _reset(bench: Bench, start: list[dict[str, Any]]) -> None:
    """Put a name's records back as they were, without a claim."""
    now = [*listed(bench), *zones(bench).records(bench.sites.zone, claim.host_of(HOST))]
    bench.sites.change(*(("DELETE", record) for record in now), *(("CREATE", record) for record in start))


def test_a_lost_answer_is_found_again_by_the_claim(bench: Bench, front: Front) -> None:
    """The batch was made; the same attempt reads the claim, and makes no second batch."""

    def rule(method: str, _path: str) -> Fault | None:
        return Fault("lose") if method == "POST" else None

    front.rule = rule
    done = bench.act(
        "move_endpoints", world=evolve(bench.world(), zones=Route53Zones(Services(front.endpoint, REGION)))
    )
    assert done["endpoints"]["api"] == {"moved": True, "change": ""}
    assert bench.fact("endpoint_site") == "new"
    assert [method for method, _ in front.seen].count("POST") == 1


def test_a_move_waits_until_name_servers_have_it(bench: Bench) -> None:
    """Seen and in sync only then; until then clients that ask are still led to the old site."""
    spread_slowly(bench.cloud.account, 0.4)
    try:
        bench.act("move_endpoints")
        assert [bench.fact(name) for name in ("endpoint_seen", "endpoint_insync")] == ["new", "yes"]
        bench.sites.answers[1].hold()
        bench.act("await_endpoints_insync")
        assert bench.fact("endpoint_insync") == "no"  # one server still has the claim before
        bench.sites.answers[1].follow()
        assert bench.fact("endpoint_insync") == "yes"
    finally:
        spread_slowly(bench.cloud.account, 0)


def test_every_server_that_speaks_for_the_zone_is_asked(bench: Bench) -> None:
    """One that has the old records makes it mixed; one that does not answer makes it unknown."""
    bench.sites.answers[1].hold()
    bench.act("move_endpoints")
    assert bench.fact("endpoint_seen") == "mixed"
    bench.sites.answers[1].follow()
    with NameServer(lies(ADDRESSES["dr"]), authoritative=False) as liar:
        bench.changes["name_servers"] = [liar.address]
        assert bench.fact("endpoint_seen") == "other"  # right, and not authoritative
        dead = liar.address
    bench.changes["name_servers"] = [bench.sites.name_servers[0].address, dead]
    with pytest.raises(Unreachable):
        bench.seen("endpoint_seen")


def test_the_zone_s_own_name_servers_are_asked_where_the_contract_names_none(bench: Bench) -> None:
    """They are the zone's delegation set."""
    from moto.route53.models import route53_backends

    zone = route53_backends[bench.cloud.account]["aws"].get_hosted_zone(bench.sites.zone)
    assert zone.delegation_set is not None
    zone.delegation_set.name_servers = [bench.sites.name_servers[0].address]
    bench.changes["name_servers"] = None
    assert list(bench.seen("endpoint_seen")["api"]) == [bench.sites.name_servers[0].address]


def test_resolvers_are_told_of_and_guard_nothing(bench: Bench) -> None:
    """A liar keeps them stale for ever; a dead one is told, too."""
    assert bench.fact("endpoint_resolvers") == "none"
    with NameServer(lies(ADDRESSES["primary"]), authoritative=False) as liar, bench.sites.resolver() as honest:
        bench.changes["resolvers"] = [honest.address]
        bench.act("move_endpoints")
        assert bench.fact("endpoint_resolvers") == "new"
        bench.changes["resolvers"] = [honest.address, liar.address]
        assert bench.fact("endpoint_resolvers") == "stale"
    assert "why" in bench.seen("endpoint_resolvers")["api"][liar.address]


def test_caches_are_waited_for_from_the_change_on(bench: Bench) -> None:
    """The old TTL is what caches may keep; a second claim does not begin the wait anew."""
    assert bench.fact("endpoint_caches") == "passed"
    bench.act("lower_endpoint_ttl")
    assert bench.fact("endpoint_caches") == "waiting"
    now = claimed(bench)
    assert now is not None
    assert shown(bench.seen("endpoint_caches")) == f"caches may keep the records of before: api: until {now.until}"
    assert shown(bench.seen("endpoint_site")) == "api: weights: primary 100, dr 0"
    bench.clock.ahead = timedelta(seconds=290)
    bench.act("await_endpoints_insync")
    assert bench.fact("endpoint_caches") == "waiting"
    bench.clock.ahead = timedelta(seconds=301)
    assert bench.fact("endpoint_caches") == "passed"
    bench.act("move_endpoints")  # now caches keep the old records for the low TTL
    bench.clock.ahead = timedelta(seconds=301 + 61)
    assert bench.fact("endpoint_caches") == "passed"


@pytest.mark.parametrize("routing", ROUTINGS)
def test_an_undo_restores_the_exact_records(benches: Benches, routing: str) -> None:
    """Lowering a TTL is taken back to what was observed, field by field; twice is once."""
    bench = benches(routing)
    before, records = bench.seen("endpoint_ttl"), listed(bench)
    bench.act("lower_endpoint_ttl")
    assert bench.fact("endpoint_ttl") == "low"
    assert {record["TTL"] for record in listed(bench)} == {60}
    undoing = {"endpoint_ttl": before}
    assert bench.act("restore_endpoint_ttl", undoing=undoing) == {"restored": ["api"]}
    assert (bench.seen("endpoint_ttl"), listed(bench)) == (before, records)
    assert bench.act("restore_endpoint_ttl", undoing=undoing) == {"restored": []}


def test_an_undo_overwrites_nobody(bench: Bench) -> None:
    """A record that was changed since stays; the undo says so, and can be waived."""
    before = bench.seen("endpoint_ttl")
    bench.act("lower_endpoint_ttl")
    by_hand(bench, Weight=9)
    now = listed(bench)
    with pytest.raises(ActionFailed, match="changed by another process since their TTL was lowered"):
        bench.act("restore_endpoint_ttl", undoing={"endpoint_ttl": before})
    assert listed(bench) == now


def test_a_drill_moves_the_drill_s_name_and_no_other(bench: Bench) -> None:
    """It is led to DR and back; the real name is only looked at. Without a drill's name nothing is moved."""
    bench.inputs = {"target": "drill"}
    real = listed(bench)
    bench.act("move_endpoints", PROMOTE)
    assert (bench.fact("endpoint_site"), listed(bench)) == ("new", real)
    assert bench.fact("endpoint_serving") == "serves"
    bench.act("return_endpoints", PROMOTE)
    assert listed(bench, DRILL_HOST) == zones(bench).records(bench.sites.zone, DRILL_HOST)
    assert bench.fact("endpoint_site") == "old"
    bench.epoch = 9
    bench.act("move_endpoints", PROMOTE)
    bench.epoch = 1  # another drill, with a lease of its own
    bench.act("return_endpoints", PROMOTE)
    assert bench.fact("endpoint_site") == "old"
    bench.changes["drill_host"] = None
    assert (bench.fact("endpoint_site"), bench.fact("endpoint_seen")) == (None, None)  # it moves no name
    assert bench.act("move_endpoints", PROMOTE) == {"site": "dr", "endpoints": {}}


def test_an_unreadable_routing_object_holds(benches: Benches) -> None:
    """Nobody knows what the health check makes of it."""
    bench = benches("health_check")
    bench.world().store.put(f"{bench.prefix}/drfsm/routing/api.json", b'{"site": "dr"}')
    assert bench.fact("endpoint_site") == "other"
    with pytest.raises(ActionFailed):
        bench.act("move_endpoints")


ODD: list[dict[str, Any]] = [
    {"site": "primary", "x": {"site": "dr"}},  # the check finds it, and leads to DR
    {"x": "y" * 5120, "site": "dr"},  # the check doesn't look so far
]


def test_an_object_that_the_health_check_reads_otherwise_holds(benches: Benches) -> None:
    """Its JSON says one site, and what the check searches for is, or is not, in it: name servers answer the other."""
    bench = benches("health_check")
    bench.act("move_endpoints")
    store, key = bench.world().store, f"{bench.prefix}/drfsm/routing/api.json"
    blob = store.get(key)
    assert blob is not None
    said = json.loads(blob.body)
    bodies = [json.dumps({**odd, **said, **odd}, indent=2) for odd in ODD]
    for body in (*bodies, json.dumps({**said, "site": "dr"}, separators=(",", ":"))):
        store.put(key, body.encode())
        assert bench.fact("endpoint_site") == "other"
        bench.touch("move_endpoints")
        left = store.get(key)
        assert left is not None
        assert left.body == body.encode()  # written again, it might lead elsewhere


def test_a_claim_can_not_keep_everybody_waiting(bench: Bench) -> None:
    """A wait that no cache needs is cut to a week, once; an honest one stays as it is."""
    for days, rest in ((3650, 7), (3, 3)):
        until = (datetime.fromisoformat(bench.clock.now()) + timedelta(days=days)).isoformat()
        before = zones(bench).records(bench.sites.zone, claim.host_of(HOST))
        forged = claim.record_of(HOST, claim.new("primary", 1, "r", until))
        bench.sites.change(*(("DELETE", record) for record in before), ("CREATE", forged))
        bench.act("await_endpoints_insync")
        now = claimed(bench)
        assert now is not None
        assert abs(datetime.fromisoformat(now.until) - datetime.fromisoformat(bench.clock.now())) <= timedelta(
            days=rest, minutes=1
        )
        assert (now.until == until) is (days == rest)


def test_a_health_check_that_was_disabled_holds(benches: Benches) -> None:
    """Disabled and inverted it is always ill: the name leads to DR, whatever the object says."""
    bench = benches("health_check")
    bench.cloud.client("route53").update_health_check(HealthCheckId=bench.sites.health_check, Disabled=True)
    seen = bench.seen("endpoint_site")
    assert "Disabled" in json.dumps(seen["api"]["in_words"])
    assert bench.judge("endpoint_site", seen) == "other"
