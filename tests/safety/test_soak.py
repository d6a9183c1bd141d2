"""The soak: one full batch cycle of the primary by itself, and what it means when that goes wrong."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drfsm.runs.derived import make_true
from drfsm.sandbox.seed import CRONJOB, NAMESPACE
from tests.safety.conftest import Make
from tests.safety.world import Failback, Site

OWN_RUN = "2027-01-01T00:00:00.000001+00:00"


def due_now(site: Site) -> None:
    """Let the primary's schedule have missed its last start, so that the controller makes up for it at the thaw."""
    hour = (datetime.now(UTC) - timedelta(minutes=1)).replace(second=0, microsecond=0)
    schedule = f"{hour.minute} {hour.hour} * * *"
    site.edit("primary", "CronJob", CRONJOB, lambda live: live["spec"].update(schedule=schedule))
    store = site.cluster("primary").store
    live = store.get("cronjobs", NAMESPACE, CRONJOB)
    last = (hour - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    store.update("cronjobs", {**live, "status": {"lastScheduleTime": last}}, status=True)


def soak_of(run: Failback) -> dict[str, Any]:
    """Return what was last seen of the soak."""
    return dict(run.seen("soak_result"))


def test_the_next_cycle_by_schedule_passes_and_what_starts_at_once_is_said_before(site: Site, failback: Make) -> None:
    """The forecast names the missed start, the controller makes up for it at the thaw, and its run ends the soak."""
    run = failback(soak="next")
    run.when("commit", "switch_latest", lambda: due_now(site))
    run.start()
    assert run.state.status == "complete", run.words
    forecast = run.results("resume_primary")["forecast"][CRONJOB]
    assert forecast["starts_at_once"]
    at_once = next(n for n, each in enumerate(run.said) if each.startswith(f"CronJob {CRONJOB} starts at once"))
    assert at_once < run.said.index(f"CronJob {CRONJOB} on primary runs again")
    (own,) = site.named()
    assert own not in (site.dr_run_id, run.primary_run_id)
    assert run.summary["receipt"]["first_post_failback_run_id"] == own


@pytest.mark.parametrize("soak", ["now", "next"])
def test_a_cycle_that_fails_holds_with_its_last_words(site: Site, failback: Make, soak: str) -> None:
    """The primary owns, and its run fails: held, not complete; log and Job are on record; the schedule stays on."""
    run = failback(soak=soak)
    run.when("commit", "switch_latest", lambda: site.configure("primary", SANDBOX_FAIL="1"))
    if soak == "next":
        run.when("commit", "switch_latest", lambda: due_now(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert soak_of(run)["job"] == "failed"
    assert soak_of(run)["log"][-1] == "the run failed; no pointer was moved"
    assert site.named() == {run.primary_run_id}
    assert site.schedules("primary")[CRONJOB] == (False, None)
    assert "abort" not in run.next_actions
    site.configure("primary", SANDBOX_FAIL="0")
    if soak == "now":
        run.request("retry_soak", reason="the flag is gone")
    else:
        site.work("primary", "the-next-one", OWN_RUN)
        site.await_end("primary", "the-next-one")
        run.resume()
    assert run.state.status == "complete", run.words
    assert site.named().isdisjoint({run.primary_run_id, site.dr_run_id})
    assert run.summary["receipt"]["first_post_failback_run_id"] in site.named()


def test_a_failed_soak_may_be_skipped_by_a_person_and_that_is_said(site: Site, failback: Make) -> None:
    """The end is complete, and says that it was not soaked, by whom, and why."""
    run = failback(soak="now")
    run.when("commit", "switch_latest", lambda: site.configure("primary", SANDBOX_FAIL="1"))
    run.start()
    assert run.state.status == "held"
    run.request("skip_soak", reason="the vendor is down, we watch it")
    assert run.state.status == "complete", run.words
    assert "soak_skipped" in run.reached
    (decision,) = [each for each in run.summary["decisions"] if each["what"] == "skip_soak"]
    assert decision["reason"] == "the vendor is down, we watch it"
    told = run.summary["receipt"]["first_post_failback_run_id"]  # never made up: it was not awaited, so there is none
    assert told == {"none": "the run ended complete without confirm_soak"}


def test_a_cycle_that_published_damage_has_failed(site: Site, failback: Make) -> None:
    """Its pointers moved, but an artifact of it is missing: held, with the file's name."""
    run = failback(soak="now")
    run.when("commit", "switch_latest", lambda: site.configure("primary", SANDBOX_WAIT_FOR="gate/soak"))

    def harm() -> None:
        site.work("primary", "by-hand", OWN_RUN, SANDBOX_WAIT_FOR="")
        site.await_end("primary", "by-hand")
        site.delete(next(key for key in site.run_keys(OWN_RUN) if "ranked" in key))
        (job,) = [e for e in site.jobs("primary") if e["metadata"]["name"].startswith("drfsm-soak")]
        site.remove("primary", "Job", job["metadata"]["name"])

    run.when("commit", "resume_primary", harm)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert soak_of(run)["verification"]["verdict"] == "missing"


def test_one_may_leave_during_a_long_soak_and_come_back(site: Site, failback: Make) -> None:
    """Nothing needs to stay running: interrupted while it waits, resumed after the primary published by itself."""
    run = failback(soak="next")
    run.when("sampled", "confirm_soak", run.interrupt)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert run.state.open is None
    assert site.schedules("primary")[CRONJOB] == (False, None)
    site.work("primary", "jobintel-daily-1", OWN_RUN)
    site.await_end("primary", "jobintel-daily-1")
    run.resume()
    assert run.state.status == "complete", run.words
    assert site.named() == {OWN_RUN}


def test_a_soak_that_takes_too_long_is_held_and_may_be_gone_on_with(site: Site, failback: Make) -> None:
    """No cycle within the limit is no success: held, with the primary scheduled and owning."""
    run = failback(soak="next", soak_timeout=5)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert "soak_result is pending" in run.state.reason
    assert site.owner() == "primary"


def test_without_a_soak_the_summary_says_so(failback: Make) -> None:
    """Left out by the operator, with a reason: the run is complete, and nowhere does it look soaked."""
    run = failback(soak="none", reason="its next cycle is watched by hand")
    run.start()
    assert run.state.status == "complete", run.words
    assert "soak_skipped" in run.reached
    assert run.summary["inputs"]["reason"] == "its next cycle is watched by hand"
    assert isinstance(run.summary["receipt"]["first_post_failback_run_id"], dict)


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
def test_an_alarm_that_is_not_quiet_holds_until_it_is(site: Site, failback: Make, state: str) -> None:
    """Ringing, or unable to tell: held at the limit of the soak, with the alarm's name; quiet, the run goes on.

    What the alarms did meanwhile is in the journal, the receipt and the bundle.
    """
    site.alarm("jobintel-failures, of any kind", "OK")
    site.alarm("jobintel-stale", state)
    run = failback(soak="now", soak_timeout=40, alarms="jobintel-failures, of any kind\njobintel-stale")
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert f"the alarm jobintel-stale is {state}" in run.state.reason
    assert run.seen("alarm_state")["states"]["jobintel-stale"] == state
    site.alarm("jobintel-stale", "OK")
    run.resume()
    assert run.state.status == "complete", run.words
    counted = [{"alarm": "jobintel-failures, of any kind", "changes": 0}, {"alarm": "jobintel-stale", "changes": 1}]
    assert run.summary["receipt"]["alarm_history"] == counted
    make_true("failback", run.directory, run.records, run.state)
    history = json.loads((run.directory / "alarm_history.json").read_bytes())
    assert (history["drfsm_run"], history["alarms"]) == (run.id, counted)
    assert history["since"] < history["newest"][0]["at"] < history["until"]
    assert [(change["from"], change["to"]) for change in history["newest"]] == [(state, "OK")]


def test_a_kept_soak_job_is_never_started_twice(site: Site, failback: Make) -> None:
    """The soak's Job belongs to the CronJob, as one made by kubectl would, and there is one."""
    run = failback(soak="now")
    run.stop_after("start_soak")
    run.start()
    run.resume()
    assert run.state.status == "complete", run.words
    jobs = [each for each in site.jobs("primary") if each["metadata"]["name"].startswith("drfsm-soak")]
    assert [each["metadata"]["ownerReferences"][0]["name"] for each in jobs] == [CRONJOB]


# --- a cycle that finds nothing new --------------------------------------------------------------------------


def keeps_its_state(site: Site) -> None:
    """Give the primary's CronJob a volume that outlives its pods, as an overlay of the base does."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "jobintel-state", "namespace": NAMESPACE}
    site.cluster("primary").apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}
    )
    volume = {"name": "jobintel-state", "persistentVolumeClaim": {"claimName": "jobintel-state"}}

    def mounted(live: dict[str, Any]) -> None:
        pod = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        pod["volumes"] = [volume if each["name"] == volume["name"] else each for each in pod["volumes"]]

    site.edit("primary", "CronJob", CRONJOB, mounted)


def has_run_before(site: Site) -> None:
    """Let the primary do today's work once beside everything, so that its state knows it."""
    site.work("primary", "earlier", "2026-01-01T00:00:00Z", JOBINTEL_S3_PREFIX="elsewhere", PUBLISH_S3="1",
              PUBLISH_S3_DRY_RUN="0")  # fmt: skip
    site.await_end("primary", "earlier")


@pytest.mark.parametrize("soak", ["now", "next"])
def test_a_cycle_that_finds_nothing_new_passes_as_unchanged(site: Site, failback: Make, soak: str) -> None:
    """The validation did the work on an empty volume; the soak's Job knows it, says so, and leaves the pointers."""
    keeps_its_state(site)
    has_run_before(site)
    run = failback(soak=soak)
    if soak == "next":
        run.when("commit", "switch_latest", lambda: due_now(site))
    run.start()
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}
    seen = soak_of(run)
    assert (run.state.value("soak_result"), seen["job"]) == ("unchanged", "complete")
    assert seen["unchanged"].startswith("No changes detected")
    receipt = run.summary["receipt"]
    assert receipt["soak_result"] == "unchanged"
    assert isinstance(receipt["first_post_failback_run_id"], dict)  # there is none, and that is said


def test_a_cycle_that_publishes_nothing_for_no_such_reason_has_failed(site: Site, failback: Make) -> None:
    """Publishing was off in the Job's own environment: it ended with 0, and that is no success."""
    off = {"name": "PUBLISH_S3", "value": "0"}
    run = failback(soak="now")
    run.when("commit", "switch_latest", lambda: site.container("primary", env=[off]))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert (run.state.value("soak_result"), soak_of(run)["job"]) == ("failed", "complete")
    assert "publishing is off" in soak_of(run)["log"][-1]


def test_saying_unchanged_is_not_enough_where_the_pointers_moved_elsewhere(site: Site, failback: Make) -> None:
    """Somebody moved a pointer to another run meanwhile: the set is no longer the verified run's, so it has failed."""
    keeps_its_state(site)
    has_run_before(site)
    run = failback(soak="now", soak_timeout=30)
    run.when("commit", "resume_primary", lambda: site.point(site.pointer_keys()[1], site.dr_run_id))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_resumed"), run.words
    assert run.state.value("soak_result") == "failed"
