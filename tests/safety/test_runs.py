"""Only a run that is whole may become canonical, and where the two runs differ a person decides over all of it."""

import json

import pytest

from drfsm.errors import GuardRefused
from tests.safety.conftest import Make
from tests.safety.world import Failback, Site, refused_with

RANKED = "openai_ranked_jobs.cs.json"


def an_artifact(site: Site, run_id: str) -> str:
    """Return the key of one of a run's artifacts."""
    return next(key for key in site.run_keys(run_id) if "ranked" in key)


@pytest.mark.parametrize("harm", ["flipped", "missing"])
def test_a_damaged_run_of_dr_holds_until_it_is_mended(site: Site, failback: Make, harm: str) -> None:
    """A flipped byte, or a missing artifact: it says which file, nothing moves, and mended it goes on.

    Preflight finds what is there before: it happens once the primary is frozen.
    """
    key = an_artifact(site, site.dr_run_id)
    body = site.body(key)
    run = failback()
    run.when_in("primary_frozen", lambda: (site.flip if harm == "flipped" else site.delete)(key))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "pointers_captured")
    assert f"dr_run is {'damaged' if harm == 'flipped' else 'missing'}" in run.state.reason
    assert json.dumps(key.partition(f"{site.dr_run_id}/")[2]) in run.state.reason
    assert f'"kind": "{"content" if harm == "flipped" else "missing"}"' in run.state.reason
    assert site.named() == {site.dr_run_id}
    site.put(key, body)
    run.stop_after("verify_dr_run")
    run.resume()
    assert run.state.state == "dr_run_verified", run.words


def test_runs_without_a_report_are_proven_by_reading_them_and_the_receipt_says_so(site: Site, failback: Make) -> None:
    """Without reports both runs are listed, read and hashed: the level is observed, not declared."""
    site.delete(f"{site.prefix}/runs/{site.dr_run_id}/run_report.json")
    site.configure("primary", JOBINTEL_PUBLISH_RUN_REPORT="0")
    run = failback()
    run.start()
    assert run.state.status == "complete", run.words
    receipt = run.summary["receipt"]
    assert receipt["dr_run_verification"]["level"] == receipt["primary_run_verification"]["level"] == "observed"
    assert receipt["primary_run_verification"]["checked"] == len(site.run_keys(run.primary_run_id))


def test_a_validated_run_that_loses_a_file_is_never_published(site: Site, failback: Make) -> None:
    """Damaged after it was compared, it is refused when it is to be copied; no canonical key is written."""
    before = site.etags(f"{site.prefix}/runs/")
    run = failback()

    def harm() -> None:
        site.flip(next(key for key in site.etags(f"{site.prefix}/validations/{run.id}/runs/") if "ranked" in key))

    run.when("commit", "confirm_no_divergence", harm)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "no_divergence_confirmed")
    assert "does not hold, so it is not published" in run.state.reason
    assert site.etags(f"{site.prefix}/runs/") == before
    run.abort()
    assert run.state.status == "aborted", run.words
    assert site.etags(f"{site.prefix}/runs/") == before
    assert not site.etags(f"{site.prefix}/validations/")


def test_a_validation_without_its_latest_is_found_before_anything_moves(site: Site, failback: Make) -> None:
    """After the switch it would be too late: a staged run whose latest is missing holds, and is done again."""
    run = failback()

    def harm() -> None:
        for key in site.etags(f"{site.prefix}/validations/{run.id}/latest/"):
            site.delete(key)

    run.when("commit", "await_validation", harm)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_finished")
    assert "primary_run is missing" in run.state.reason
    run.stop_after("confirm_no_divergence")
    run.request("retry_validation")
    assert run.state.state == "no_divergence_confirmed", run.words


def test_a_missing_canonical_latest_is_there_again_after_the_switch(site: Site, failback: Make) -> None:
    """Whatever latest held before, in the end it holds the primary's run, file by file."""
    latest = site.etags(f"{site.prefix}/latest/")
    for key in latest:
        site.delete(key)
    run = failback()
    run.start()
    assert run.state.status == "complete", run.words
    assert site.etags(f"{site.prefix}/latest/").keys() == latest.keys()
    assert run.seen("latest")["unlike_primary"]["total"] == 0


def diverging(site: Site, failback: Make, **inputs: str) -> Failback:
    """Return a run that is held because the primary's run says something else than DR's."""
    site.configure("primary", JOBINTEL_DIVERGE="other weather")
    run = failback(**inputs)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_run_verified"), run.words
    assert "divergence is content" in run.state.reason
    assert {"accept_divergence", "keep_dr_run", "retry_validation", "abort"} <= run.next_actions
    assert any(" differences of integrity" in each for each in run.said)
    assert site.named() == {site.dr_run_id}
    return run


def test_a_diverging_run_becomes_canonical_only_by_a_persons_word(site: Site, failback: Make) -> None:
    """Accepted, it is switched to as a whole; who, why and what differs stand in the receipt."""
    run = diverging(site, failback)
    run.request("accept_divergence", reason="live input: the two hours between explain it")
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}
    assert any(run.summary["receipt"]["divergence"]["counts"]["content"].values())
    (decision,) = [each for each in run.summary["decisions"] if each["what"] == "accept_divergence"]
    assert (decision["operator"], decision["reason"]) == ("ann", "live input: the two hours between explain it")


@pytest.mark.parametrize("soak", ["none", "now"])
def test_drs_run_may_stay_canonical_as_a_whole_until_the_primarys_next_cycle(
    site: Site, failback: Make, soak: str
) -> None:
    """No pointer moves, nothing of the validated run is published; the primary owns, publishes, and takes over."""
    before = site.pointers()
    run = diverging(site, failback, soak=soak)
    run.request("keep_dr_run")
    assert run.state.status == "complete", run.words
    assert not site.run_keys(run.primary_run_id)
    assert site.owner() == "primary"
    assert site.publishing("primary") == ("1", "0")
    assert site.schedules("primary")["jobintel-daily"] == (False, None)
    if soak == "none":
        assert site.pointers() == before
        assert "NOT SOAKED" in "".join(each.body["because"] for each in run.records if each.kind == "commit")
    else:
        (own,) = site.named()
        assert own not in (site.dr_run_id, run.primary_run_id)
        assert run.summary["receipt"]["first_post_failback_run_id"] == own


def test_a_kept_run_is_given_back_by_an_abort_up_to_the_hand_over(site: Site, failback: Make) -> None:
    """The way with DR's run has its own point of no return; before it, an abort leaves DR as it was."""
    dr = site.touchable("dr")
    run = diverging(site, failback)
    run.stop_after("enable_primary_publish")
    run.request("keep_dr_run")
    assert run.state.state == "primary_publish_enabled_for_next"
    assert site.publishing("primary") == ("1", "0")
    run.abort()
    assert (run.state.status, site.touchable("dr")) == ("aborted", dr)
    assert site.publishing("primary") == ("0", "1")


def test_a_validation_is_done_again_when_its_cause_is_mended(site: Site, failback: Make) -> None:
    """Thrown away with all that it published, it is run anew under the same id, and the runs agree."""
    run = diverging(site, failback)
    site.configure("primary", JOBINTEL_DIVERGE="")
    run.stop_after("confirm_no_divergence")
    run.request("retry_validation")
    assert run.state.state == "no_divergence_confirmed", run.words
    assert run.state.value("divergence") == "none"
    assert len([job for job in site.jobs("primary") if job["metadata"]["name"].startswith("drfsm-validation")]) == 1
    run.abort()
    assert run.state.status == "aborted", run.words
    assert not site.etags(f"{site.prefix}/validations/")


def test_damage_is_never_a_matter_of_decision(site: Site, failback: Make) -> None:
    """A validated run whose file no longer fits its hash can't be accepted, nor DR's run kept over it unseen."""
    run = failback()

    def harm() -> None:
        site.flip(next(key for key in site.etags(f"{site.prefix}/validations/{run.id}/runs/") if "ranked" in key))

    run.when("commit", "verify_primary_run", harm)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_run_verified")
    for decision in ("accept_divergence", "keep_dr_run"):
        assert "primary_run is damaged" in refused_with(lambda: run.request(decision), GuardRefused)  # noqa: B023  called here
    assert site.named() == {site.dr_run_id}
