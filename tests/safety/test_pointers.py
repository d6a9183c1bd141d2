"""No pointer is moved over anybody else's work, and every field of a moved one stays the workload's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from drfsm.adapters import aws
from drfsm.dr.layout import Layout
from drfsm.dr.pointers import set_by_hand
from drfsm.dr.pointers.ownership import own_by_hand
from drfsm.errors import IllegalTransition
from drfsm.world import ObjectStore
from tests.safety.conftest import Make
from tests.safety.world import Failback, Killed, Site, refused_with

STRANGER = "2027-01-01T00:00:00.000001+00:00"


def moves(site: Site, key: str) -> Callable[[], None]:
    """Return what lets a pointer name a stranger's run, as a careless hand would."""
    return lambda: site.point(key, STRANGER, STRANGER)


@pytest.mark.parametrize(
    ("after", "which", "held_in"),
    [
        ("capture_pointers", "deciding", "pointers_captured"),
        ("assess_primary", "provider", "primary_healthy"),
        ("confirm_no_divergence", "older", "no_divergence_confirmed"),
        ("enable_primary_publish", "deciding", "primary_publish_enabled"),
        ("enable_primary_publish", "provider", "primary_publish_enabled"),
    ],
)
def test_a_pointer_that_moved_since_the_capture_holds_and_put_back_the_run_goes_on(
    site: Site, failback: Make, after: str, which: str, held_in: str
) -> None:
    """Whichever pointer it is: nothing of ours moves, it is told; the same content put back will do."""
    keys = dict(zip(("deciding", "older", "provider", "older provider"), site.pointer_keys(), strict=True))
    before = site.pointers()
    run = failback()
    run.when("commit", after, moves(site, keys[which]))
    run.start()
    assert (run.state.status, run.state.state) == ("held", held_in), run.words
    assert "Somebody else moved a pointer since it was captured" in run.state.reason
    assert site.pointers() == {**before, keys[which]: site.pointers()[keys[which]]}
    site.put(keys[which], json.dumps(before[keys[which]]).encode())  # by hand: other bytes, another ETag
    run.stop_after_next()
    run.resume()
    assert held_in != run.state.state, run.words


def test_between_the_provider_and_the_global_pointer_a_stranger_holds_and_an_abort_gives_ours_back(
    site: Site, failback: Make
) -> None:
    """The half that was moved already is given back by the abort, the stranger's pointer is left to him."""
    before, deciding = site.pointers(), site.pointer_keys()[0]
    run = failback()
    run.when("commit", "switch_provider_pointers", moves(site, deciding))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "provider_switched")
    assert deciding in run.state.reason
    run.abort()
    assert run.state.status == "aborted", run.words
    assert site.pointers() == {**before, deciding: site.pointers()[deciding]}
    assert site.pointers()[deciding]["run_id"] == STRANGER


def test_a_provider_pointer_that_a_stranger_moved_is_not_given_back_over_his_work(site: Site, failback: Make) -> None:
    """The abort gives back the other one, is held on his, and goes on when a person waives it."""
    before, (_, _, provider, older) = site.pointers(), site.pointer_keys()
    run = failback()
    run.when("commit", "switch_provider_pointers", moves(site, provider))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "provider_switched")
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting")
    assert f"changed by another process, so they are not overwritten: {provider}" in run.state.reason
    assert site.pointers()[older] == before[older]
    run.request("waive_undo", reason="it is bob's, he knows")
    assert run.state.status == "aborted", run.words
    assert site.pointers()[provider]["run_id"] == STRANGER
    assert site.publishing("dr") == ("1", "0")


def test_in_the_moment_of_the_last_write_the_stranger_wins_and_the_run_is_held_past_no_return(
    site: Site, failback: Make
) -> None:
    """Compare-and-swap loses to him; an abort is refused with the reason; put back, the run goes on to the end."""
    before, deciding = site.pointers(), site.pointer_keys()[0]
    run = failback()
    run.on("before", "store", "put", "state/candidates/local/last_success.json", moves(site, deciding))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "provider_switched")
    assert site.pointers()[deciding]["run_id"] == STRANGER
    assert site.owner() == "primary"
    told = refused_with(run.abort, IllegalTransition)
    assert "the point of no return is passed: the only way is forward" in told
    run.resume()
    assert run.state.status == "held"
    site.put(deciding, json.dumps(before[deciding]).encode())
    run.resume()
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}


def test_a_last_write_that_is_refused_before_anything_moved_can_be_given_up(site: Site, failback: Make) -> None:
    """A stranger moved a pointer after the intent: the owner stays, and once it is put back the abort is open."""
    before, older = site.pointers(), site.pointer_keys()[1]
    run = failback()
    run.when("intent", "switch_global_pointer", moves(site, older))
    run.start()
    assert (run.state.status, run.state.state, site.owner()) == ("held", "provider_switched", "dr"), run.words
    assert "the point of no return is passed" in refused_with(run.abort, IllegalTransition)
    site.put(older, json.dumps(before[older]).encode())
    run.abort()
    assert run.state.status == "aborted", run.words
    assert (site.pointers(), site.owner(), site.publishing("dr")) == (before, "dr", ("1", "0"))


def _store(site: Site) -> ObjectStore:
    return aws.connect(bucket=site.bucket, endpoint_url=site.sandbox.cloud.endpoint, region="us-east-1").store


def test_once_the_owner_was_changed_the_pointers_that_are_set_by_hand_lead_on(site: Site, failback: Make) -> None:
    """As the refusal says: a person makes the whole set name the primary's run, and the run goes on to the end."""
    deciding = site.pointer_keys()[0]
    run = failback()
    run.on("before", "store", "put", "state/candidates/local/last_success.json", moves(site, deciding))
    run.start()
    assert (run.state.status, site.owner()) == ("held", "primary")
    assert "once the primary owns the pointers, `drfsm pointers set`" in run.state.reason
    layout = Layout(site.prefix)
    ours = {"run": "by-hand", "epoch": 99, "operator": "ann", "reason": "as the refusal says"}
    set_by_hand(_store(site), layout, run.primary_run_id, ("openai", "cs"), ours, lambda: None, allow_older=True)
    run.resume()
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}


@pytest.mark.parametrize("owner", ["dr", "other"])
def test_an_owner_that_somebody_changed_after_the_switch_is_put_right_by_hand(
    site: Site, failback: Make, owner: str
) -> None:
    """The refusal names the command; with the ownership object put right the run goes on to the end."""
    run = failback()
    run.when("commit", "switch_global_pointer", lambda: _own(site, owner))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "pointers_switched")
    assert "`drfsm pointers own primary`" in run.state.reason
    key = f"{site.prefix}/drfsm/ownership.json"
    assert own_by_hand(_store(site), key, "primary", {"run": "by-hand", "epoch": 99})["site"] == owner
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_pointer_that_is_gone_holds(site: Site, failback: Make) -> None:
    """It is never made anew over whoever took it away; put back, the run goes on."""
    older = site.pointer_keys()[1]
    body = site.body(older)
    run = failback()
    run.when("commit", "enable_primary_publish", lambda: site.delete(older))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_publish_enabled")
    assert older not in site.pointers()
    site.put(older, body)
    run.resume()
    assert run.state.status == "complete", run.words


def _own(site: Site, owner: str) -> None:
    key = f"{site.prefix}/drfsm/ownership.json"
    site.put(key, json.dumps({**json.loads(site.body(key)), "site": owner}).encode())


@pytest.mark.parametrize(
    ("after", "held_in"),
    [("enable_primary_publish", "primary_publish_enabled"), ("switch_provider_pointers", "provider_switched")],
)
def test_an_owner_that_somebody_changed_holds_before_the_point_of_no_return(
    site: Site, failback: Make, after: str, held_in: str
) -> None:
    """It is read again before each move: changed by somebody else, no pointer moves, and the way back is open."""
    run = failback()
    run.when("commit", after, lambda: _own(site, "primary"))
    run.start()
    assert (run.state.status, run.state.state) == ("held", held_in)
    assert "Somebody else changed who owns the pointers" in run.state.reason
    assert site.pointers()[site.pointer_keys()[0]]["run_id"] == site.dr_run_id
    assert "abort" in run.next_actions
    _own(site, "dr")
    run.resume()
    assert run.state.status == "complete", run.words


def test_another_clusters_claim_to_be_dr_is_no_claim(site: Site, failback: Make) -> None:
    """The name alone proves nothing: an owner called dr with another cluster's UID refuses the run at the start."""
    owned = {"schema_version": 1, "site": "dr", "cluster_uid": "another", "epoch": 1, "run": "x", "nonce": "y"}
    site.put(f"{site.prefix}/drfsm/ownership.json", json.dumps(owned).encode())
    run = failback()
    run.start()
    assert run.state.status == "refused"
    assert "owner is other" in run.state.reason


@pytest.mark.parametrize("which", range(4))
def test_every_field_of_a_pointer_stays_wherever_the_power_is_cut(site: Site, failback: Make, which: int) -> None:
    """Killed at any of the four: the resumed run moves each once, keeps unknown fields, rebuilds the run's path."""
    keys = site.pointer_keys()
    for key in keys:
        site.put(key, json.dumps({**json.loads(site.body(key)), "note": f"of {key}"}).encode())

    def cut() -> None:
        raise Killed

    run = failback()
    run.on("after", "store", "put", keys[which].removeprefix(f"{site.prefix}/"), cut)
    run.killed(run.start)
    run.resume()
    assert run.state.status == "complete", run.words
    ended = {each["ended_at"] for each in site.pointers().values()}
    for key, pointer in site.pointers().items():
        assert pointer["note"] == f"of {key}"
        assert pointer["run_path"] == f"{site.prefix}/runs/{run.primary_run_id}"
        assert pointer["provider_profiles"] == {"openai:cs": run.primary_run_id}
        assert pointer["providers"] == ["openai"]
    assert len(ended) == 1
    assert site.run_keys(run.primary_run_id)
    _marked_once(run, site)


def _marked_once(run: Failback, site: Site) -> None:
    """Hold that each pointer carries the run's mark, with a nonce of its own."""
    marks: list[dict[str, Any]] = [json.loads(site.body(key))["drfsm"] for key in site.pointer_keys()]
    assert {each["run"] for each in marks} == {run.id}
    assert len({each["nonce"] for each in marks}) == 4
