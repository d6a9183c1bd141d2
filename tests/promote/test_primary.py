"""How the primary is stopped: frozen and drained, fenced, or lost, and what each of these refuses."""

import json
from functools import partial
from pathlib import Path

import pytest

from drfsm.dr.layout import Layout
from drfsm.dr.sites.fence_statement import sid
from drfsm.errors import GuardRefused
from drfsm.sandbox.seed import CRONJOB
from tests.promote.conftest import Make
from tests.promote.test_approval import NEWER, shown_now
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import Promote, Ready
from tests.safety.world import Failback, Site, refused_with
from tests.safety.world import inputs_of as failback_inputs


def test_a_reachable_primary_may_be_fenced_too(ready: Ready, site: Site, promote: Make) -> None:
    """Fenced before it is frozen: the statement denies pointers and latest of every layout, and stays."""
    run = promote(**ready.fence())
    run.promoted()
    assert run.state.status == "complete", run.words
    (statement,) = site.statements()
    assert statement["Sid"] == sid("primary", site.prefix)
    assert statement["Condition"] == {"ArnEquals": {"aws:PrincipalArn": site.role("primary")}}
    *folders, bucket = statement["Resource"]
    assert bucket == f"arn:aws:s3:::{site.bucket}"
    assert {folder.partition(f"/{site.prefix}/")[2] for folder in folders} == {
        "state/*",
        "latest/*",
        "candidates/*/state/*",
        "candidates/*/latest/*",
    }
    assert run.reached.index("primary_fenced") < run.reached.index("primary_frozen")
    assert run.summary["receipt"]["primary_fence"]["statements"] == [statement]
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_a_lost_primary_is_fenced_and_what_it_does_when_it_returns_changes_nothing(
    ready: Ready, site: Site, promote: Make
) -> None:
    """Its Job runs on while it can't be reached, and wakes after the promote: it is denied every pointer."""
    site.work("primary", "zombie", NEWER, SANDBOX_WAIT_FOR_BEFORE_POINTERS="gate/zombie")
    site.outage("primary")
    run = promote(**ready.lost())
    run.promoted()
    assert run.state.status == "complete", run.words
    assert "primary_lost" in run.reached
    assert "primary_frozen" not in run.reached
    assert run.summary["receipt"]["clusters"]["primary"] == "not evaluated: declared lost"
    site.outage("primary", on=False)
    site.release("zombie")
    site.await_end("primary", "zombie")
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert NEWER not in site.named()


def test_after_such_a_promote_a_failback_freezes_the_returned_primary_and_lifts_its_fence(
    ready: Ready, site: Site, promote: Make, tmp_path: Path
) -> None:
    """Lost and fenced, it returns able to publish; the failback completes, unfenced, as before the disaster."""
    before = site.touchable("primary")
    site.outage("primary")
    run = promote(**ready.lost())
    run.promoted()
    assert run.state.status == "complete", run.words
    site.outage("primary", on=False)
    assert site.touchable("primary") == before  # it is back, and would publish
    back = Failback(site, tmp_path / "failback", failback_inputs(site, dr_run_id=ready.receipt["run_id"]))
    back.start()
    assert back.state.status == "complete", back.words
    back.close()
    assert not site.statements()
    assert site.named() == {back.primary_run_id}
    assert (site.owner(), site.publishing("primary"), site.publishing("dr")) == ("primary", ("1", "0"), ("0", "1"))
    assert site.touchable("primary") == before
    assert site.schedules("dr")[CRONJOB][0] is True


def test_a_failback_after_a_plain_promote_gives_the_schedules_of_before_the_disaster_back(
    ready: Ready, site: Site, promote: Make, tmp_path: Path
) -> None:
    """The promote's freeze kept on each object how it was; of two CronJobs the one that slept sleeps again."""
    site.add_cronjob("primary", "jobintel-asleep", suspend=True)
    before = site.touchable("primary")
    run = promote(cronjob=CRONJOB)
    run.promoted()
    assert run.state.status == "complete", run.words
    back = Failback(
        site, tmp_path / "failback", failback_inputs(site, dr_run_id=ready.receipt["run_id"], cronjob=CRONJOB)
    )
    back.start()
    assert back.state.status == "complete", back.words
    back.close()
    assert site.touchable("primary") == before


def test_a_lost_primary_without_a_fence_is_a_risk_that_is_said_loudly(ready: Ready, site: Site, promote: Make) -> None:
    """Declared lost, with --no-fence and a reason: it completes, no policy is written, every summary says so."""
    site.outage("primary")
    run = promote(primary_unreachable="yes", no_fence="yes", reason="the account is gone, too")
    run.promoted()
    assert run.state.status == "complete", run.words
    assert not site.statements()
    finish = next(e for e in run.records if e.kind == "commit" and e.body["trigger"] == "finish")
    assert "stopped" not in finish.body["because"]  # it was not: a person took the risk
    assert "THE PRIMARY IS LOST AND NOT FENCED" in run.words
    assert "ACCEPTED RISK" in run.summary["receipt"]["primary_stop"]
    assert run.plan["plan"]["primary"] == {
        "stop": "by_risk", "unreachable": True, "fence_role": None, "reason": "the account is gone, too",
    }  # fmt: skip
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_a_primary_that_answers_is_not_left_unfenced(site: Site, promote: Make) -> None:
    """Declared lost, without a fence, and it answers: known beforehand, so it is refused there."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"))
    run = promote(primary_unreachable="yes", no_fence="yes", reason="so I was told")
    run.start()
    assert run.state.status == "refused", run.words
    assert "primary_is_silent: would hold at accept_unfenced_primary: primary_answers is yes" in run.state.reason
    assert (site.pointers(), site.touchable("primary"), site.touchable("dr")) == before


def test_a_primary_that_answers_again_is_not_left_unfenced(ready: Ready, site: Site, promote: Make) -> None:
    """It was silent at the start, and answers when it is to be left: held before anything is stopped."""
    site.outage("primary")
    run = promote(primary_unreachable="yes", no_fence="yes", reason="so I was told")
    run.when_in("approved", lambda: site.outage("primary", on=False))
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", "approved"), run.words
    assert "primary_is_silent: primary_answers is yes" in run.state.reason
    site.outage("primary")
    run.resume()
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])


@pytest.mark.parametrize("state", ["primary_quiesced", "provider_switched"])
def test_on_the_way_a_primary_that_answers_is_not_declared_lost_without_a_fence(promote: Make, state: str) -> None:
    """In both rows that go on without a fence: refused while it answers, and the run goes on as it was approved."""
    run = promote()
    run.brought_to(state)
    told = refused_with(
        lambda: run.request("declare_primary_lost_unfenced", primary_unreachable="yes", no_fence="yes", reason="gone"),
        GuardRefused,
    )
    assert "primary_answers is yes" in told
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_primary_to_which_nothing_leads_is_silent(site: Site, promote: Make) -> None:
    """Without a kubeconfig of it nobody can ask it: what was declared stands."""
    site.outage("primary")
    run = promote(primary_unreachable="yes", no_fence="yes", reason="gone", kubeconfig_primary="")
    run.promoted()
    assert run.state.status == "complete", run.words
    assert run.seen("primary_answers")["answers"] is False


@pytest.mark.parametrize("trigger", ["declare_primary_lost", "declare_primary_lost_unfenced"])
@pytest.mark.parametrize("state", ["primary_quiesced", "provider_switched", "latest_switched"])
def test_to_declare_it_lost_is_to_say_so(site: Site, promote: Make, trigger: str, state: str) -> None:
    """Who fires the row and says primary_unreachable=no is refused: no fence goes up, the inputs stay."""
    run = promote()
    run.brought_to(state)
    roles = {"fence_primary_role": site.role("primary"), "fence_dr_role": site.role("dr")}
    more = roles if trigger == "declare_primary_lost" else {"no_fence": "yes"}
    told = refused_with(
        lambda: run.request(trigger, primary_unreachable="no", reason="gone", **more), GuardRefused
    )  # fmt: skip
    assert "primary_loss_is_declared: primary_loss is none" in told
    assert not site.statements()
    assert run.state.inputs["primary_unreachable"] == "no"


UNSAFE = {
    "no reason": ({"primary_unreachable": "yes", "no_fence": "yes", "reason": ""}, "primary_stop is unclear"),
    "no roles": ({"primary_unreachable": "yes", "reason": "gone", "fence_primary": "asked"}, "primary_stop is unclear"),
    "neither fence nor risk": ({"primary_unreachable": "yes", "reason": "gone"}, "primary_stop is unclear"),
    "one role": (
        {"primary_unreachable": "yes", "reason": "gone", "fence_primary": "asked", "fence_primary_role": "PRIMARY"},
        "primary_stop is unclear",
    ),
    "a shared identity": (
        {"primary_unreachable": "yes", "reason": "gone", "fence_primary": "asked", "fence_primary_role": "DR",
         "fence_dr_role": "DR"},
        "also the other site's",
    ),
    "a wildcard": (
        {"fence_primary": "asked", "fence_primary_role": "arn:aws:iam::123456789012:user/*", "fence_dr_role": "DR"},
        "primary_stop is unclear",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(UNSAFE))
def test_a_primary_that_would_not_be_stopped_safely_is_refused_before_anything(
    ready: Ready, site: Site, promote: Make, case: str
) -> None:
    """A fence takes both sites' own identities, no fence a reason: else refused, with nothing moved."""
    given, words = UNSAFE[case]
    roles = {"PRIMARY": site.role("primary"), "DR": site.role("dr")}
    if given.get("primary_unreachable"):
        site.outage("primary")
    run = promote(**{name: roles.get(value, value) for name, value in given.items()})
    run.start()
    assert run.state.status == "refused", run.words
    assert words in run.state.reason
    assert site.named() == {site.sandbox.primary_run_id}
    assert not site.statements()
    del ready


def test_an_unreachable_primary_that_nobody_declared_lost_holds_with_what_to_do(site: Site, promote: Make) -> None:
    """It says nothing about the primary that it can't be read; the way on is named, and an abort ends it."""
    site.outage("primary")
    run = promote()
    run.start()
    assert (run.state.status, run.state.state) == ("held", "start"), run.words
    assert "--primary-unreachable" in run.state.reason
    run.abort()
    assert run.state.status == "aborted"


@pytest.mark.parametrize("state", ["primary_not_fenced", "primary_quiesced"])
def test_a_primary_that_is_lost_on_the_way_is_declared_so_and_approved_anew(
    ready: Ready, site: Site, promote: Make, state: str
) -> None:
    """Lost while it is being stopped: held; declared so it is fenced, which is another plan: approved again."""
    run = promote(drain_timeout=4)
    run.when_in(state, partial(site.outage, "primary"))
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    assert "declare_primary_lost" in run.next_actions
    run.request(
        "declare_primary_lost", primary_unreachable="yes", reason="gone for good",
        fence_primary_role=site.role("primary"), fence_dr_role=site.role("dr"),
    )  # fmt: skip
    assert (run.state.status, run.state.state) == ("held", "primary_lost"), run.words
    assert "approval is stale" in run.state.reason
    assert [each["Sid"] for each in site.statements()] == [sid("primary", site.prefix)]
    run.request("approve", **shown_now(run))
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])


@pytest.mark.parametrize("state", ["provider_switched", "latest_switched"])
def test_a_primary_that_is_lost_late_is_declared_so_where_the_run_stands(
    ready: Ready, site: Site, promote: Make, state: str
) -> None:
    """Between capture and the end: the declaration stays where it is; before the switch it wants a new approval."""
    run = promote()
    run.when_in(state, partial(site.outage, "primary"))
    run.promoted()
    assert run.state.status == "held", run.words
    refused_with(
        lambda: run.request(
            "declare_primary_lost_unfenced", primary_unreachable="yes", no_fence="yes", reason=" "
        ),
        GuardRefused,
    )  # fmt: skip
    run.request("declare_primary_lost_unfenced", primary_unreachable="yes", no_fence="yes", reason="no rights left")
    if state != "latest_switched":
        assert "approval is stale" in run.state.reason
        run.request("approve", **shown_now(run))
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert "NOT FENCED" in run.words


def test_a_job_of_the_primary_is_waited_for_and_a_lost_node_holds(site: Site, promote: Make) -> None:
    """A running Job holds the drain at its limit; out of sight on a lost node nobody can say, so it holds as well."""
    site.work("primary", "long", NEWER, SANDBOX_WAIT_FOR="gate/never")
    run = promote(drain_timeout=4)
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", "primary_silenced"), run.words
    assert "long" in run.state.reason
    site.lose_node("primary")
    run.resume()
    assert "primary_inflight is out_of_sight" in run.state.reason
    site.find_node("primary")
    site.remove("primary", "Job", "long")
    run.resume()
    assert run.state.status == "complete", run.words


def test_a_pod_out_of_sight_is_passed_over_where_the_primary_is_fenced(ready: Ready, site: Site, promote: Make) -> None:
    """With the fence up nothing that it does can move a pointer: the promote goes on without it."""
    site.work("primary", "lost", NEWER, SANDBOX_WAIT_FOR_BEFORE_POINTERS="gate/lost")
    run = promote(**ready.fence(), drain_timeout=4)
    run.when_in("primary_silenced", partial(site.lose_node, "primary"))
    run.promoted()
    assert run.state.status == "complete", run.words
    site.release("lost")
    site.find_node("primary")
    site.await_end("primary", "lost")
    dr_publishes_alone(site, ready.receipt["run_id"])


def test_drs_own_fence_of_an_earlier_failback_is_lifted_before_dr_may_publish(
    ready: Ready, site: Site, promote: Make
) -> None:
    """A statement that an earlier failback left on DR goes before publishing is on; foreign statements stay."""
    from drfsm.dr.sites.fence_statement import statement

    other = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
             "Resource": f"arn:aws:s3:::{site.bucket}"}  # fmt: skip
    old = statement("dr", site.bucket, Layout(site.prefix), site.role("dr"))
    site.policy({"Version": "2012-10-17", "Statement": [other, old]})
    run = promote()
    run.promoted()
    assert run.state.status == "complete", run.words
    assert site.statements() == [other]
    assert run.reached.index("dr_unfenced") < run.reached.index("dr_publish_enabled")
    dr_publishes_alone(site, ready.receipt["run_id"])


def ownership(site: Site) -> dict[str, object]:
    """Return drfsm's own ownership object."""
    found: dict[str, object] = json.loads(site.body(f"{site.prefix}/drfsm/ownership.json"))
    return found


def test_a_lost_primarys_cluster_is_recorded_as_unknown_and_another_promote_still_knows_the_owner(
    ready: Ready, site: Site, promote: Make
) -> None:
    """Aborted while the primary is lost, ownership says primary with no cluster; a later run takes that as it is."""
    site.outage("primary")
    run = promote(**ready.lost())
    run.brought_to("primary_lost")
    assert ownership(site)["cluster_uid"] is None
    run.abort()
    assert run.state.status == "aborted", run.words
    site.outage("primary", on=False)
    again: Promote = promote()
    again.promoted()
    assert again.state.status == "complete", again.words
    assert ownership(site)["cluster_uid"] == ready.receipt["cluster_uid"]
