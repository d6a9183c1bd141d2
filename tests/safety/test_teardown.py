"""DR's recorded runners are gone in the end, seen to be gone, and nothing else is."""

import json

from tests.safety.conftest import Make
from tests.safety.world import Site


def test_what_was_recorded_is_gone_and_what_was_not_survives(site: Site, failback: Make) -> None:
    """Two at the start, one launched since, one of another purpose: the two are terminated, verified to zero."""
    recorded = {site.launch(), site.launch()}
    other = site.launch(Purpose="something-else")
    late: list[str] = []
    run = failback(teardown="true")
    run.when("commit", "capture_pointers", lambda: late.append(site.launch()))
    run.start()
    assert run.state.status == "complete", run.words
    assert set(site.runners()) == {other, *late}
    result = run.results("tear_down_dr")
    assert (set(result["terminated"]), result["left"]) == (recorded, 0)


def test_a_runner_that_cant_be_terminated_holds_and_may_be_left_by_a_person(site: Site, failback: Make) -> None:
    """Protected against termination: held with the cloud's words; the person who leaves it standing is on record."""
    stubborn = site.launch()
    site.ec2.modify_instance_attribute(InstanceId=stubborn, DisableApiTermination={"Value": True})
    run = failback(teardown="true")
    run.start()
    assert (run.state.status, run.state.state) == ("held", "soak_skipped"), run.words
    assert stubborn in run.state.reason
    assert "skip_teardown" in run.next_actions
    assert site.runners() == {stubborn: "running"}
    run.request("skip_teardown", reason="a colleague needs it until Monday")
    assert run.state.status == "complete", run.words
    assert site.runners() == {stubborn: "running"}
    assert site.owner() == "primary"


def test_a_runner_that_is_unprotected_later_goes_with_the_next_resume(site: Site, failback: Make) -> None:
    """Nothing is given up: the held run goes on to zero."""
    stubborn = site.launch()
    site.ec2.modify_instance_attribute(InstanceId=stubborn, DisableApiTermination={"Value": True})
    run = failback(teardown="true")
    run.start()
    assert run.state.status == "held"
    site.ec2.modify_instance_attribute(InstanceId=stubborn, DisableApiTermination={"Value": False})
    run.resume()
    assert (run.state.status, site.runners()) == ("complete", {})


def test_without_teardown_dr_stays_frozen_and_demoted_and_that_is_said(site: Site, failback: Make) -> None:
    """--teardown false leaves every runner; the site can start and publish nothing, and status says so."""
    runner = site.launch()
    run = failback()
    run.start()
    assert run.state.status == "complete", run.words
    assert site.runners() == {runner: "running"}
    assert all(suspended for suspended, _ in site.schedules("dr").values())
    assert site.publishing("dr") == ("0", "1")
    assert "DR's schedules are suspended" in run.words
    assert "DR's publishing is off" in run.words
    assert "DR stays, frozen and demoted" in run.records[-3].body["because"]


def test_an_owner_is_never_torn_down(site: Site, failback: Make) -> None:
    """DR made the owner again by hand before the teardown: refused, its runner lives."""
    runner, key = site.launch(), f"{site.prefix}/drfsm/ownership.json"
    run = failback(teardown="true")

    def give_back() -> None:
        owned = {**json.loads(site.body(key)), "site": "dr", "cluster_uid": site.cluster("dr").uid}
        site.put(key, json.dumps(owned).encode())

    run.when("commit", "resume_primary", give_back)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "soak_skipped"), run.words
    assert "owner is dr" in run.state.reason
    assert site.runners() == {runner: "running"}
