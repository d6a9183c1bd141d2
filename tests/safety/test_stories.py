"""The nine stories that a naive order of the failback writes down first (see docs/failback.md), each on the sandbox."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest

from drfsm.dr.sites.fence_statement import sid
from drfsm.errors import GuardRefused, LeaseHeld
from drfsm.sandbox.seed import BEFORE, CRONJOB
from tests.safety.conftest import Make
from tests.safety.world import Killed, Site, one_after_another, refused_with

OLDER, NEWER = "2026-01-01T00:00:00.000001+00:00", "2027-01-01T00:00:00.000001+00:00"
POINTERS_WAIT = "SANDBOX_WAIT_FOR_BEFORE_POINTERS"


def killed() -> None:
    """Cut the power."""
    raise Killed


def publishes_again(site: Site) -> None:
    """Let the primary be as before the disaster: schedule on, publishing on."""
    site.suspend("primary", suspend=False)
    site.configure("primary", PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0")


def publishes_alone(site: Site, run_id: str) -> None:
    """Hold what must be so when the primary has taken over."""
    assert site.named() == {run_id}
    assert site.schedules("primary")[CRONJOB] == (False, None)
    assert site.publishing("primary") == ("1", "0")
    assert site.schedules("dr")[CRONJOB][0] is True
    assert site.publishing("dr") == ("0", "1")
    assert site.owner() == "primary"


def test_the_plain_failback_ends_with_the_primary_publishing_by_itself(site: Site, failback: Make) -> None:
    """The validated run becomes canonical, then the primary's own, and the receipt's fields are true."""
    before = site.pointers()
    run = failback(soak="now", teardown="true")
    run.start()
    assert run.state.status == "complete", run.words
    receipt = run.summary["receipt"]
    publishes_alone(site, receipt["first_post_failback_run_id"])
    assert receipt["first_post_failback_run_id"] not in (run.primary_run_id, site.dr_run_id)
    assert {key: each["pointer"] for key, each in receipt["pointers_before"].items()} == {
        key: before[key] for key in site.pointer_keys()[:2]
    }
    assert {key: each["pointer"] for key, each in receipt["provider_pointers_before"].items()} == {
        key: before[key] for key in site.pointer_keys()[2:]
    }
    assert {each["run_id"] for each in receipt["pointers_after"].values()} == {run.primary_run_id}
    for pointers, named in (("before", "dr"), ("after", "primary")):
        for name in (f"pointers_{pointers}", f"provider_pointers_{pointers}"):
            assert {each["site"] for each in receipt[name].values()} == {named}, name
    assert receipt["caller"] == run.summary["actors"][0]["proven"]["cloud_caller"]
    assert receipt["caller"].split(":")[4] == receipt["account"]["account"]
    assert receipt["alarm_history"] == {"none": "no alarm was named (--alarm)"}
    assert receipt["dr_run_verification"]["verdict"] == receipt["primary_run_verification"]["verdict"] == "verified"
    assert receipt["dr_run_verification"]["level"] == "declared"
    assert not any(receipt["divergence"]["counts"]["integrity"].values())
    assert receipt["freeze_started_at"] < receipt["switched_back_at"] < receipt["freeze_ended_at"]
    assert ("+" in run.primary_run_id, site.dr_run_id[-1]) == (True, "Z")  # both forms of a run's id went through it


def test_1_a_primary_job_that_ran_all_along_is_waited_for_and_what_it_wrote_is_found(
    site: Site, failback: Make
) -> None:
    """The primary is drained too: a Job of it that would make an older run canonical in the middle holds."""
    publishes_again(site)
    site.work("primary", "all-along", OLDER, **{POINTERS_WAIT: "gate/all-along"})
    dr = site.touchable("dr")
    run = failback(drain_timeout=5)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_silenced")
    assert "all-along" in run.state.reason
    assert any("Job all-along, running" in each for each in run.said)
    assert site.touchable("dr") == dr  # DR publishes as long as it can
    site.release("all-along")
    site.await_end("primary", "all-along")
    run.resume()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    assert OLDER in run.state.reason
    assert site.named() == {OLDER}  # the workload's deed; drfsm makes nothing of it canonical
    run.abort()
    assert run.state.status == "aborted"
    assert site.touchable("dr") == dr


def test_2_an_abort_never_gives_back_what_could_publish_beside_dr(site: Site, failback: Make) -> None:
    """The primary that could publish when the run began stays frozen, DR publishes as before, and it is said."""
    publishes_again(site)
    dr, pointers = site.touchable("dr"), site.pointers()
    run = failback()
    run.stop_after("demote_dr")
    run.start()
    run.abort()
    assert run.state.status == "aborted", run.words
    assert (site.touchable("dr"), site.pointers()) == (dr, pointers)
    suspended, before = site.schedules("primary")[CRONJOB]
    assert suspended
    assert '"suspend": false' in str(before)  # how it was is kept on the object, for the next failback
    assert site.publishing("primary") == ("0", "1")
    assert "the primary's schedules stay suspended" in run.words
    assert "the primary's publishing stays off" in run.words


@pytest.mark.parametrize("last", ["global", "provider"])
def test_3_a_set_that_a_killed_job_left_half_moved_is_told_apart_and_completed(
    site: Site, failback: Make, last: str
) -> None:
    """A DR Job dies between its pointers, or before the older keys: its run is accepted and the set completed."""
    site.work("dr", "dying", NEWER, **{POINTERS_WAIT: "gate/dying"}, SANDBOX_DIE_AFTER=last)
    run = failback()

    def let_die() -> None:
        site.release("dying")
        site.await_end("dr", "dying", "Failed")

    run.when("commit", "demote_dr", let_die)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    assert {"accept_newer_run", "mend_pointers", "abort"} <= run.next_actions
    assert "half moved" in run.state.reason
    refused_with(lambda: run.request("mend_pointers"), GuardRefused)  # not before a person took the newer run
    assert site.named() == {site.dr_run_id, NEWER}
    run.request("accept_newer_run", dr_run_id=NEWER, confirm2=f"CONFIRM-{NEWER}")
    assert run.state.status == "held"
    run.request("mend_pointers")
    assert run.state.status == "complete", run.words
    assert run.summary["receipt"]["dr_run_id"] == NEWER
    publishes_alone(site, run.primary_run_id)
    assert NEWER not in site.named()


def test_3_a_torn_set_is_nobody_but_a_persons_to_mend(site: Site, failback: Make) -> None:
    """Provider pointers ahead of the deciding one are no killed job's work: completing them is refused."""
    provider = site.pointer_keys()[2:]
    run = failback()
    torn = one_after_another(*(partial(site.point, key, NEWER, NEWER) for key in provider))
    run.when("commit", "demote_dr", torn)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    before = site.pointers()
    told = refused_with(lambda: run.request("mend_pointers"), GuardRefused)
    assert "pointer_set is torn" in told
    assert site.pointers() == before
    run.abort()
    assert run.state.status == "aborted"
    assert site.publishing("dr") == ("1", "0")


def test_4_the_primary_ends_unfenced_and_scheduled_whatever_the_promote_left(site: Site, failback: Make) -> None:
    """The promote's fence is lifted after the switch, not before; the schedule runs as it ran before the disaster."""
    foreign = {"Sid": "Audit", "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketAcl",
               "Resource": f"arn:aws:s3:::{site.bucket}"}  # fmt: skip
    fence = {"Sid": sid("primary", "jobintel"), "Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"],
             "Resource": [f"arn:aws:s3:::{site.bucket}/{site.prefix}/state/*"],
             "Condition": {"ArnEquals": {"aws:PrincipalArn": site.role("primary")}}}  # fmt: skip
    site.policy({"Version": "2012-10-17", "Statement": [foreign, fence]})
    run = failback()
    seen: list[int] = []
    run.when("commit", "switch_latest", lambda: seen.append(len(site.statements())))
    run.start()
    assert run.state.status == "complete", run.words
    assert seen == [2]
    assert site.statements() == [foreign]
    publishes_alone(site, run.primary_run_id)


def test_5_a_newer_run_that_dr_published_while_it_drained_is_never_dropped(site: Site, failback: Make) -> None:
    """It is held at the capture; a wrong token is refused; accepted, the failback goes on from the newer run."""
    site.work("dr", "late", NEWER, **{POINTERS_WAIT: "gate/late"})
    run = failback()

    def publish() -> None:
        site.release("late")
        site.await_end("dr", "late")

    run.when("commit", "demote_dr", publish)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    assert "accept_newer_run" in run.state.reason
    assert NEWER in run.state.reason
    told = refused_with(
        lambda: run.request("accept_newer_run", dr_run_id=NEWER, confirm2=f"CONFIRM-{site.dr_run_id}"), GuardRefused
    )
    assert "tokens_match" in told
    told = refused_with(
        lambda: run.request("accept_newer_run", dr_run_id=OLDER, confirm2=f"CONFIRM-{OLDER}"), GuardRefused
    )
    assert "canonical_run_is_named" in told
    assert run.state.status == "held"
    assert site.named() == {NEWER}
    run.request("accept_newer_run", dr_run_id=NEWER, confirm2=f"CONFIRM-{NEWER}")
    assert run.state.status == "complete", run.words
    receipt = run.summary["receipt"]
    assert receipt["dr_run_id"] == receipt["dr_run_verification"]["run_id"] == NEWER
    publishes_alone(site, run.primary_run_id)


def test_5_instead_of_accepting_it_the_operator_may_abort(site: Site, failback: Make) -> None:
    """Aborted, the newer run is canonical, DR publishes as before, and nothing else changed."""
    dr = site.touchable("dr")
    site.work("dr", "late", NEWER)
    site.await_end("dr", "late")
    run = failback()
    run.start()
    assert (run.state.status, site.touchable("dr")) == ("refused", dr)  # seen before anything was frozen
    site.reset()
    run = failback()
    late = one_after_another(lambda: site.work("dr", "late", NEWER), lambda: site.await_end("dr", "late"))
    run.when("commit", "freeze_dr", late)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_quiesced")
    run.abort()
    assert (run.state.status, site.touchable("dr"), site.named()) == ("aborted", dr, {NEWER})


def test_6_a_stale_operator_in_the_middle_of_the_pointers_writes_none_of_them(site: Site, failback: Make) -> None:
    """Taken over between reading a pointer and writing it, he loses: what was given back stays given back."""
    pointers, stale, fresh = site.pointers(), failback(), failback()
    stale.mirrored = True
    fresh.mirrored, fresh.host, fresh.operator = True, "there", "bob"
    fresh.id, fresh.inputs, fresh.take_over = stale.id, stale.inputs, stale.id

    def take_over() -> None:
        shutil.copytree(stale.directory, fresh.directory)
        fresh.abort("taken over")
        assert fresh.state.status == "aborted", fresh.words

    stale.on("before", "store", "put", "/state/openai/cs/last_success.json", take_over)
    told = refused_with(stale.start, LeaseHeld)
    assert "bob" in told or "elsewhere" in told
    assert site.pointers() == pointers
    assert site.publishing("dr") == ("1", "0")
    assert site.owner() == "dr"
    stale.closed = True  # its own journal ends in the middle, as it must: the run went on in the other


def test_7_a_crash_between_two_freezes_of_one_action_keeps_how_each_was(site: Site, failback: Make) -> None:
    """Of three CronJobs one slept before; killed after the first freeze, the run gives each back as it was."""
    site.add_cronjob("dr", "jobintel-extra")
    site.add_cronjob("dr", "jobintel-asleep", suspend=True)
    dr = site.touchable("dr")
    run = failback()
    run.on("after", "dr", "patch", "CronJob", killed)
    run.killed(run.start)
    assert sorted(suspended for suspended, _ in site.schedules("dr").values()) == [False, True, True]
    run.stop_after("demote_dr")
    run.resume()
    assert all(suspended for suspended, _ in site.schedules("dr").values())
    run.abort()
    assert run.state.status == "aborted", run.words
    assert site.touchable("dr") == dr


def test_7_the_primary_too_is_thawed_as_it_was_before_the_disaster(site: Site, failback: Make) -> None:
    """Killed between two freezes of the primary, it still ends with each schedule as it was."""
    publishes_again(site)
    for name, suspend in (("jobintel-extra", False), ("jobintel-asleep", True)):
        site.add_cronjob("primary", name, suspend=suspend)
    run = failback(cronjob=CRONJOB)
    run.on("after", "primary", "patch", "CronJob", killed)
    run.killed(run.start)
    run.resume()
    assert run.state.status == "complete", run.words
    assert site.schedules("primary") == {
        CRONJOB: (False, None), "jobintel-extra": (False, None), "jobintel-asleep": (True, None)
    }  # fmt: skip


def test_8_a_pod_on_a_lost_node_is_out_of_sight_and_holds(site: Site, failback: Make) -> None:
    """Nobody can say whether it still runs, so the run holds; the node back and the pod ended, it goes on."""
    site.work("dr", "lost", NEWER, SANDBOX_WAIT_FOR="gate/never")
    run = failback(drain_timeout=5)
    run.when("commit", "demote_dr", lambda: site.lose_node("dr"))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_demoted")
    assert "dr_inflight is out_of_sight" in run.state.reason
    assert any("out of sight, its node does not answer" in each for each in run.said)
    assert site.publishing("dr") == ("0", "1")
    run.resume()
    assert run.state.status == "held"
    site.find_node("dr")
    site.remove("dr", "Job", "lost")
    run.resume()
    assert run.state.status == "complete", run.words


@pytest.mark.parametrize("asked", ["at the start", "when held"])
def test_8_fenced_it_can_do_no_harm_and_the_run_goes_on(site: Site, failback: Make, asked: str) -> None:
    """Fenced, the pod on the lost node is denied every pointer when it wakes, and the failback completes."""
    site.work("dr", "lost", NEWER, **{POINTERS_WAIT: "gate/lost"})
    fence = {"fence_dr": "asked", "fence_dr_role": site.role("dr")}
    run = failback(drain_timeout=5, **(fence if asked == "at the start" else {}))
    run.when("commit", "demote_dr", lambda: site.lose_node("dr"))

    def wake() -> None:
        site.release("lost")
        site.find_node("dr")
        site.await_end("dr", "lost", "Complete")  # it counts itself a success: publishing was not required

    run.when("commit", "verify_dr_run", wake)
    run.start()
    if asked == "when held":
        assert (run.state.status, run.state.state) == ("held", "dr_demoted")
        run.request("ask_dr_fence", **fence)
    assert run.state.status == "complete", run.words
    assert NEWER not in site.named()
    assert [each["Sid"] for each in site.statements()] == [sid("dr", "jobintel")]
    assert "DR's identity is fenced" in run.words
    publishes_alone(site, run.primary_run_id)


Mark = Callable[[dict[str, dict[str, object]]], object]
MARKS: dict[str, tuple[str, Mark]] = {
    "Argo CD: set the application's syncPolicy.automated to null": (
        "CronJob", lambda live: live["metadata"].setdefault("annotations", {}).update(  # type: ignore[attr-defined]  # JSON
            {"argocd.argoproj.io/tracking-id": "jobs:batch/CronJob:jobintel/jobintel-daily"})),
    "Flux: flux suspend kustomization": (
        "ConfigMap", lambda live: live["metadata"].setdefault("labels", {}).update(  # type: ignore[attr-defined]  # JSON
            {"kustomize.toolkit.fluxcd.io/name": "jobintel"})),
    "Flux: flux suspend helmrelease": (
        "CronJob", lambda live: live["metadata"].setdefault("managedFields", []).append(  # type: ignore[attr-defined]  # JSON
            {"manager": "helm-controller", "operation": "Apply", "apiVersion": "batch/v1",
             "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {}})),
}  # fmt: skip


@pytest.mark.parametrize("pause", list(MARKS))
def test_9_a_gitops_controller_is_found_before_anything_moves(site: Site, failback: Make, pause: str) -> None:
    """Its marks on a CronJob or the ConfigMap of either site refuse the run, and say what to pause."""
    kind, mark = MARKS[pause]
    name = CRONJOB if kind == "CronJob" else "jobintel-config"
    site.edit("dr", kind, name, mark)
    before = [site.touchable("primary"), site.touchable("dr"), site.pointers()]
    run = failback()
    run.start()
    assert run.state.status == "refused"
    assert f"dr: {kind} {name}" in run.state.reason
    assert pause in run.state.reason
    assert [site.touchable("primary"), site.touchable("dr"), site.pointers()] == before


def test_9_paused_controllers_leave_their_marks_so_the_operator_says_that_they_are(site: Site, failback: Make) -> None:
    """With --gitops-paused the run goes on; one that thaws a site all the same is caught before anything moves."""
    site.edit("dr", "CronJob", CRONJOB, MARKS["Argo CD: set the application's syncPolicy.automated to null"][1])
    run = failback(gitops_paused="yes")
    run.when("commit", "capture_pointers", lambda: site.suspend("dr", suspend=False))
    run.start()
    assert (run.state.status, site.named()) == ("held", {site.dr_run_id})
    assert "dr_schedules is on" in run.state.reason or "dr_schedules is mixed" in run.state.reason
    assert deepcopy(run.seen("gitops"))["marks"]
    site.suspend("dr")
    run.resume()
    assert run.state.status == "complete", run.words
    assert BEFORE not in site.touchable("primary")[f"cronjobs/{CRONJOB}"][2]
