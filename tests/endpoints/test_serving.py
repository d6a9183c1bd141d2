"""Serving health by address and by name, canaries and refusals, against real HTTPS servers that fail on command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.https import HttpsDoors
from drfsm.dr.endpoints.canary import _id, key_of
from drfsm.errors import ActionFailed, DeadlineExceeded, Unreachable, Unreadable
from drfsm.sandbox.kubernetes.certificates import issue
from drfsm.sandbox.name_servers import NameServer, lies
from drfsm.sandbox.serving_sites import ADDRESSES, HOST
from drfsm.world import Door
from tests.endpoints.conftest import Bench


def wrong(bench: Bench, fact: str = "dr_serving") -> str:
    """Return why something does not serve."""
    seen = bench.seen(fact)
    assert bench.judge(fact, seen) == "fails"
    return str(seen["in_words"])


def test_both_sites_serve_and_each_request_names_the_host(bench: Bench) -> None:
    """By address, with the name in SNI and in the Host header; as often as the check says."""
    assert [bench.fact(name) for name in ("primary_serving", "dr_serving")] == ["serves", "serves"]
    asked = [(path, host) for _, path, host in bench.sites.dr.requests]
    assert asked == [*[("/healthz", f"{HOST}:{bench.sites.port}")] * 2, ("/items", f"{HOST}:{bench.sites.port}")]


def test_what_does_not_serve_says_why(bench: Bench) -> None:
    """Outage, wrong body, slow answer: an observation with words, not an unknown."""
    dr = bench.sites.dr
    dr.faults["wrong_body"] = True
    assert "its body does not fit" in wrong(bench)
    dr.faults.clear()
    bench.changes["checks"] = {"health": {"path": "/healthz", "within_seconds": 0.1}}
    dr.faults["slow_seconds"] = 0.3
    assert "it took longer than 0.1 s" in wrong(bench)
    dr.faults.clear()
    dr.outage()
    assert "connection refused" in wrong(bench)
    dr.end_outage()
    assert bench.fact("dr_serving") == "serves"


CHECKS = [
    ({"path": "/nowhere"}, "status 404 instead of 200"),
    ({"path": "/healthz", "status": [204]}, "status 200 instead of 204"),
    ({"path": "/healthz", "headers": {"Content-Type": "text/html"}}, "header Content-Type is application/json"),
    ({"path": "/healthz", "headers": {"X-Site": "dr"}}, "header X-Site is missing"),
    ({"path": "/healthz", "body": '{"properties": {"site": {"const": "mars"}}}'}, "'mars' was expected"),
]


@pytest.mark.parametrize(("check", "words"), CHECKS, ids=[words for _, words in CHECKS])
def test_a_check_says_in_what_an_answer_differs(bench: Bench, check: dict[str, Any], words: str) -> None:
    """Status, header or body."""
    bench.changes["checks"] = {"health": check}
    assert words in wrong(bench)


def test_a_certificate_must_lead_to_the_contract_s_authorities(bench: Bench, tmp_path: Path) -> None:
    """Somebody else's server at the address does not serve; nor does one whose certificate has another name."""
    bench.changes["ca"] = issue("elsewhere", tmp_path, server="elsewhere").authority
    assert "its certificate is not trusted" in wrong(bench)
    bench.changes = {"host": "other.sandbox.test"}
    assert "its certificate is not trusted" in wrong(bench)


def test_through_the_name_the_new_owner_is_asked(bench: Bench) -> None:
    """Where the name leads is where users go: before the move the old site, after it the new one."""
    bench.sites.dr.outage()
    assert bench.fact("endpoint_serving") == "serves"
    bench.act("move_endpoints")
    assert "connection refused" in wrong(bench, "endpoint_serving")
    bench.sites.dr.end_outage()
    assert bench.fact("endpoint_serving") == "serves"
    with NameServer(lambda _name, _kind: []) as empty, NameServer(lies("127.0.0.3")) as liar:
        bench.changes["name_servers"] = [empty.address]
        assert "no name server has an address" in wrong(bench, "endpoint_serving")
        bench.changes["name_servers"] = [liar.address]
        assert "127.0.0.3" in wrong(bench, "endpoint_serving")


# --- canaries ------------------------------------------------------------------------------------------------


def owned(bench: Bench) -> Bench:
    """Give DR the ownership of writes."""
    for action in ("close_source_gate", "declare_active_site", "open_target_gate"):
        bench.act(action)
    return bench


def items(bench: Bench) -> list[dict[str, Any]]:
    """Return all items of DR."""
    door = Door(ADDRESSES["dr"], bench.sites.port, HOST, bench.sites.authorities)
    listed: list[dict[str, Any]] = json.loads(HttpsDoors().read(door, "/items", seconds=5).body)["items"]
    return listed


def test_a_canary_is_written_read_listed_and_removed(bench: Bench) -> None:
    """On the new owner; nothing is left."""
    done = owned(bench).act("run_canary")
    assert (done["site"], done["endpoints"]["api"]["removed_before"]) == ("dr", [])
    assert [method for method, _, _ in bench.sites.dr.requests].count(
        "POST"
    ) == 2  # the second one makes no second item
    assert (bench.fact("canary"), items(bench)) == ("clean", [])


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_canary_that_was_cut_off_is_found_by_its_key_and_removed(bench: Bench, lost: int) -> None:
    """The answer to the nth write got lost: what is there is found again, removed, and the canary begins anew."""
    owned(bench)
    bench.sites.dr.lose_after = lost
    with pytest.raises(Unreachable):
        bench.act("run_canary")
    bench.sites.dr.lose_after = 0
    left = len(items(bench))
    assert bench.fact("canary") == ("left" if left else "clean")
    assert len(bench.act("run_canary")["endpoints"]["api"]["removed_before"]) == left
    assert (bench.fact("canary"), items(bench)) == ("clean", [])


def test_what_a_killed_process_wrote_is_removed_by_another(bench: Bench) -> None:
    """Only what carries this run's key: a user's item stays."""
    owned(bench)
    program = (
        "import sys, json; from drfsm.adapters.https import HttpsDoors; from drfsm.world import Door\n"
        "door = Door(*json.loads(sys.argv[1]))\n"
        "for key in sys.argv[2:]:\n"
        "    HttpsDoors().send(door, 'POST', '/items', headers={'Idempotency-Key': key}, body=b'{}', seconds=5)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    door = json.dumps([ADDRESSES["dr"], bench.sites.port, HOST, bench.sites.authorities])
    keys = [key_of(bench.run()), "a user's"]
    assert subprocess.run([sys.executable, "-c", program, door, *keys], check=False).returncode == -9
    assert bench.fact("canary") == "left"
    assert len(bench.act("remove_canary")["removed"]["api"]) == 1
    assert bench.fact("canary") == "clean"
    assert [item["mark"] for item in items(bench)] == ["a user's"]


@pytest.mark.parametrize("item", ["", ".", "..", "a/b", "a?b", "a#b", "%2e%2e", "a b", "é", "a\n", None, True, 1.5])
def test_an_id_that_would_lead_elsewhere_is_put_into_no_path(item: object) -> None:
    """A server in between may resolve `..`: the deletion would be of something else."""
    with pytest.raises(Unreadable):
        _id(item)
    assert [_id(good) for good in ("a.b", "...", 7)] == ["a.b", "...", "7"]


def test_a_site_that_does_not_take_the_canary_fails_it(bench: Bench) -> None:
    """Its gate is closed: the write is refused, which is no canary."""
    with pytest.raises(ActionFailed, match="a write is answered with 503 instead of 200"):
        bench.act("run_canary")
    assert bench.fact("canary") == "clean"


def test_an_answer_that_is_no_item_fails_it(bench: Bench) -> None:
    """Acknowledged is not enough: what was written must come back."""
    owned(bench).sites.dr.faults["wrong_body"] = True
    with pytest.raises((ActionFailed, Unreachable)):
        bench.act("run_canary")
    bench.sites.dr.faults.clear()
    bench.act("remove_canary")
    assert items(bench) == []


def test_both_sites_refuse_while_the_gate_is_closed(bench: Bench) -> None:
    """Before the name moves: reads serve, writes are refused on both; nothing is written."""
    bench.act("close_source_gate")
    seen = bench.act("check_both_sites_refuse")["refused"]
    assert {site: entry["api"] for site, entry in seen.items()} == dict.fromkeys(ADDRESSES, "refused with 503")
    assert items(bench) == []


def test_a_zombie_that_takes_a_write_is_named_and_its_write_removed(bench: Bench) -> None:
    """It does not heed the document: the check says which site, and leaves nothing behind."""
    with pytest.raises(ActionFailed, match="api on primary took a write"):
        bench.act("check_old_site_refuses")  # its gate is open
    bench.sites.primary.is_zombie = True
    owned(bench)
    with pytest.raises(ActionFailed, match="api on primary took a write although its gate is closed"):
        bench.act("check_old_site_refuses")
    assert items(bench) == []


def test_an_old_site_that_gives_no_answer_proves_nothing(bench: Bench) -> None:
    """Unless a fence stands in, or a person declared it lost: then it is not asked."""
    owned(bench).sites.primary.outage()
    with pytest.raises(Unreachable):
        bench.act("check_old_site_refuses")
    bench.inputs = {"fence_primary": "asked"}
    assert "its fence stands in" in bench.act("check_old_site_refuses")["refused"]["primary"]["api"]
    bench.inputs = {"primary_unreachable": "yes"}
    assert bench.act("check_old_site_refuses")["refused"] == {"primary": "not asked"}


def test_a_person_s_interrupt_stops_between_two_requests(bench: Bench) -> None:
    """The row's time is up: no further write is sent."""
    owned(bench)
    with pytest.raises(DeadlineExceeded):
        bench.act("run_canary", deadline=0.0)
    assert bench.fact("canary") == "clean"


def test_replication_is_a_declared_check_of_the_new_owner(bench: Bench) -> None:
    """For data that does not lie in the bucket; what is declared must answer."""
    assert bench.fact("endpoint_replication") == "none"
    contract = json.loads(bench.run().inputs["workload"])
    for schema, value in (('{"required": ["status"]}', "current"), ('{"required": ["lag"]}', "behind")):
        contract["writes"]["replication"] = {"path": "/healthz", "body": schema}
        bench.inputs = {"workload": json.dumps(contract)}
        assert bench.fact("endpoint_replication") == value
