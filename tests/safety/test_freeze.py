"""Both sites stay frozen and drained up to the switch, and are given back exactly, whoever else is at work on them."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest

from drfsm.sandbox.seed import CONFIGMAP, CRONJOB
from tests.safety.conftest import Make
from tests.safety.world import Site, soon

STRAGGLER = "2027-01-01T00:00:00.000001+00:00"


class Thaw(NamedTuple):
    """What somebody does behind our back, what puts it back, and the fact that tells."""

    do: Callable[[Site], Any]
    put_back: Callable[[Site], Any]
    fact: str
    named: str


def _schedule(site: str) -> Thaw:
    return Thaw(
        lambda all_of: all_of.suspend(site, suspend=False),
        lambda all_of: all_of.suspend(site),
        f"{site}_schedules",
        CRONJOB,
    )


def _new_cronjob(site: str) -> Thaw:
    return Thaw(
        lambda all_of: all_of.add_cronjob(site, "sneaked-in"),
        lambda all_of: all_of.remove(site, "CronJob", "sneaked-in"),
        f"{site}_schedules",
        "sneaked-in",
    )


def _publishing(site: str) -> Thaw:
    return Thaw(
        lambda all_of: all_of.configure(site, PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0"),
        lambda all_of: all_of.configure(site, PUBLISH_S3="0", PUBLISH_S3_DRY_RUN="1"),
        f"{site}_publishing",
        "PUBLISH_S3",
    )


THAWS = [
    ("confirm_primary_quiesced", _schedule("primary"), "primary_quiesced"),
    ("freeze_dr", _publishing("primary"), "dr_frozen"),
    ("demote_dr", _schedule("dr"), "dr_demoted"),
    ("confirm_dr_quiesced", _new_cronjob("dr"), "dr_quiesced"),
    ("capture_pointers", _publishing("dr"), "primary_healthy"),
    ("assess_primary", _new_cronjob("primary"), "primary_healthy"),
    ("confirm_no_divergence", _schedule("dr"), "no_divergence_confirmed"),
    ("publish_artifacts", _schedule("primary"), "artifacts_published"),
    ("publish_artifacts", _publishing("dr"), "artifacts_published"),
    ("enable_primary_publish", _schedule("primary"), "primary_publish_enabled"),
    ("enable_primary_publish", _new_cronjob("dr"), "primary_publish_enabled"),
    ("switch_provider_pointers", _schedule("dr"), "provider_switched"),
    ("switch_provider_pointers", _new_cronjob("primary"), "provider_switched"),
    ("switch_provider_pointers", _publishing("dr"), "provider_switched"),
]


@pytest.mark.parametrize(("after", "thaw", "held_in"), THAWS, ids=[f"{t.fact}-after-{a}" for a, t, _ in THAWS])
def test_a_site_that_thaws_behind_our_back_holds_before_anything_moves(
    site: Site, failback: Make, after: str, thaw: Thaw, held_in: str
) -> None:
    """Whatever is switched on after the freeze is found and named by the next row; put back, the run goes on."""
    run = failback(drain_timeout=5)
    run.when("commit", after, lambda: thaw.do(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", held_in), run.words
    assert thaw.fact in run.state.reason
    assert thaw.named in run.state.reason
    assert site.pointers()[site.pointer_keys()[0]]["run_id"] == site.dr_run_id  # the one that decides
    assert site.owner() == "dr"
    thaw.put_back(site)
    steps = len(run.reached)
    run.stop_after_next()
    run.resume()
    assert len(run.reached) == steps + 1, run.words
    assert "interrupted" in run.state.reason or "stopped on request" in run.state.reason


def test_a_job_made_by_hand_on_the_frozen_dr_holds_until_it_has_ended(site: Site, failback: Make) -> None:
    """It publishes nothing, but nobody knows that: no pointer moves while anything is in flight."""
    run = failback(drain_timeout=5)
    run.when("commit", "publish_artifacts", lambda: site.work("dr", "by-hand", STRAGGLER, SANDBOX_SLEEP_SECONDS="60"))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "artifacts_published")
    assert "by-hand" in run.state.reason
    site.remove("dr", "Job", "by-hand")
    soon("its pod is gone", lambda: not site.phase("dr", "by-hand"))
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_drain_that_takes_too_long_is_held_with_the_schedules_as_they_are(site: Site, failback: Make) -> None:
    """It says what still runs and for how long; the schedules stay suspended; when the Job has ended it goes on."""
    site.work("dr", "slow", STRAGGLER, SANDBOX_WAIT_FOR="gate/slow", SANDBOX_FAIL="1")
    run = failback(drain_timeout=10)
    run.clock.ahead = timedelta(minutes=10)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_demoted")
    assert "s (limit 10 s)" in run.state.reason
    assert "slow" in run.state.reason
    assert any("Job slow, running, 600 s old" in each for each in run.said)
    assert all(suspended for name in ("primary", "dr") for suspended, _ in site.schedules(name).values())
    for told in ("the primary's schedules are suspended", "DR's schedules are suspended", "NOBODY CAN PUBLISH, since"):
        assert told in run.words
    assert run.summary["nobody_can_publish_since"].startswith("20")
    run.resume()
    assert run.state.status == "held"
    site.release("slow")
    site.await_end("dr", "slow", "Failed")
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_terminating_job_is_in_flight_until_its_pod_is_gone(site: Site, failback: Make) -> None:
    """A Job that is being deleted in the foreground still has a pod, and a finalizer holds it there."""
    site.work("dr", "going", STRAGGLER, SANDBOX_WAIT_FOR="gate/never")
    store = site.cluster("dr").store
    site.edit("dr", "Job", "going", lambda live: live["metadata"].update(finalizers=["example.com/hold"]))
    store.delete("jobs", "jobintel", "going")
    run = failback(drain_timeout=5)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_demoted")
    assert "being deleted" in run.state.reason
    site.edit("dr", "Job", "going", lambda live: live["metadata"].update(finalizers=[]))
    soon("the pod is gone", lambda: not site.phase("dr", "going"))
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_selector_says_which_cronjobs_are_meant_and_the_others_are_left_alone(site: Site, failback: Make) -> None:
    """An unselected CronJob keeps running, and a Job of it in flight does not hold the drain."""
    site.add_cronjob("dr", "tidy-up", role="tidy")
    site.edit("dr", "CronJob", CRONJOB, lambda live: live["metadata"]["labels"].update(role="batch"))
    site.edit("primary", "CronJob", CRONJOB, lambda live: live["metadata"]["labels"].update(role="batch"))
    store = site.cluster("dr").store
    owner = store.get("cronjobs", "jobintel", "tidy-up")["metadata"]
    site.work("dr", "tidy-up-1", STRAGGLER, SANDBOX_WAIT_FOR="gate/never")
    site.edit(
        "dr",
        "Job",
        "tidy-up-1",
        lambda live: live["metadata"].update(
            ownerReferences=[
                {**live["metadata"]["ownerReferences"][0], "name": "tidy-up", "uid": owner["uid"]},
            ]
        ),
    )
    run = failback(cronjob_selector="role=batch", cronjob=CRONJOB, drain_timeout=5)
    run.start()
    assert run.state.status == "complete", run.words
    assert site.schedules("dr")["tidy-up"] == (False, None)
    assert site.schedules("dr")[CRONJOB][0] is True


@pytest.mark.parametrize("how", ["waived", "put back"])
def test_a_cronjob_that_vanished_holds_and_an_abort_gives_all_the_others_back(
    site: Site, failback: Make, how: str
) -> None:
    """The abort is held on the object that is gone, and only on that; a person waives it, or puts it back."""
    site.add_cronjob("dr", "jobintel-extra")
    dr = site.touchable("dr")
    gone: list[dict[str, Any]] = []
    run = failback()
    run.when("commit", "confirm_dr_quiesced", lambda: gone.append(site.remove("dr", "CronJob", CRONJOB)))
    run.stop_after("confirm_dr_quiesced")
    run.start()
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting")
    assert f"CronJob jobintel/{CRONJOB} on dr does not exist any more" in run.state.reason
    assert site.schedules("dr") == {"jobintel-extra": (False, None)}
    assert site.publishing("dr") == ("1", "0")
    assert "waive_undo" in run.next_actions
    if how == "waived":
        run.request("waive_undo", reason="we deleted it ourselves")
        assert "freeze_dr was not given back: we deleted it ourselves" in run.words
    else:
        site.cluster("dr").apply(gone[0])
        run.resume()
        assert site.touchable("dr") == dr
    assert run.state.status == "aborted", run.words


def test_the_only_cronjob_vanished_is_no_frozen_site(site: Site, failback: Make) -> None:
    """Where no schedule is left nobody can say that it is suspended: it holds; put back suspended, the run goes on."""
    run = failback()
    gone: list[dict[str, Any]] = []
    run.when("commit", "confirm_dr_quiesced", lambda: gone.append(site.remove("dr", "CronJob", CRONJOB)))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    assert "dr_schedules is none" in run.state.reason
    site.cluster("dr").apply(gone[0])
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_configmap_that_vanished_holds_and_is_waived_in_an_abort(site: Site, failback: Make) -> None:
    """What can't be read is not frozen; the abort can't give it back, says so, and gives back all else."""
    run = failback()
    run.when("commit", "confirm_dr_quiesced", lambda: site.remove("dr", "ConfigMap", CONFIGMAP))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    assert f"ConfigMap jobintel/{CONFIGMAP} does not exist on dr" in run.state.reason
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting")
    run.request("waive_undo", reason="it is being rebuilt")
    assert run.state.status == "aborted", run.words
    assert site.schedules("dr")[CRONJOB] == (False, None)


@pytest.mark.parametrize("where", ["dr", "primary"])
def test_a_cronjob_edited_during_the_freeze_keeps_the_edit_which_is_told(
    site: Site, failback: Make, where: str
) -> None:
    """Only its suspension is given back; what somebody else changed stays, and the operator reads of it."""
    run = failback()
    run.when(
        "commit",
        "confirm_dr_quiesced",
        lambda: site.edit(where, "CronJob", CRONJOB, lambda live: live["spec"].update(schedule="5 4 * * *")),
    )
    if where == "dr":
        run.stop_after("capture_pointers")
    run.start()
    if where == "dr":
        run.abort()
    assert run.state.status == ("aborted" if where == "dr" else "complete"), run.words
    live = site.cluster(where).store.get("cronjobs", "jobintel", CRONJOB)
    assert live["spec"]["schedule"] == "5 4 * * *"
    assert live["spec"]["suspend"] is False
    told = f"on {where}, another process changed this since the freeze: the spec of CronJob {CRONJOB} was changed"
    assert told in run.said
    trigger = "undo_newest" if where == "dr" else "resume_primary"
    results = [e.body["result"] for e in run.records if e.kind == "commit" and e.body["trigger"] == trigger]
    assert [f"the spec of CronJob {CRONJOB} was changed"] in [each.get("changed_meanwhile") for each in results]


def test_other_keys_of_the_configmap_are_never_touched(site: Site, failback: Make) -> None:
    """What somebody adds or changes beside the two switches is there in the end, on both sites."""
    run = failback()
    for name in ("primary", "dr"):
        run.when("commit", "demote_dr", partial(site.configure, name, NEW_KEY="kept"))
    run.stop_after("enable_primary_publish")
    run.start()
    run.abort()
    assert run.state.status == "aborted", run.words
    for name in ("primary", "dr"):
        data = site.cluster(name).store.get("configmaps", "jobintel", CONFIGMAP)["data"]
        assert data["NEW_KEY"] == "kept"
        assert data["AWS_REGION"] == "us-east-1"
    assert site.publishing("dr") == ("1", "0")
    assert site.publishing("primary") == ("0", "1")


def test_a_switch_that_somebody_else_set_is_never_overwritten_silently(site: Site, failback: Make) -> None:
    """An abort stops at it and says what it is set to; set as it is to be, the abort goes on."""
    run = failback()
    run.when("commit", "capture_pointers", lambda: site.configure("dr", PUBLISH_S3_DRY_RUN="0"))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_healthy")
    assert "dr_publishing is mixed" in run.state.reason
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting")
    assert "another process set PUBLISH_S3=0, PUBLISH_S3_DRY_RUN=0" in run.state.reason
    assert site.publishing("dr") == ("0", "0")
    site.configure("dr", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0")
    run.resume()
    assert run.state.status == "aborted", run.words
    assert site.publishing("dr") == ("1", "0")
