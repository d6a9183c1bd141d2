"""A person's yes is bound to exactly what was shown; nothing leads to canonical without it."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from drfsm.dr.pointers.pointers import is_older
from drfsm.dr.procedures.approval import FACTS as APPROVAL
from drfsm.dr.procedures.approval import differences
from drfsm.dr.procedures.approver import FACTS as APPROVER_FACTS
from drfsm.dr.procedures.approver import compared
from drfsm.errors import GuardRefused, IllegalTransition
from drfsm.spec import By
from tests.promote.conftest import Make
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import SPEC, Promote, Ready
from tests.safety.world import Killed, Site, refused_with

NEWER = "2027-01-01T00:00:00.000001+00:00"
CANONICAL = {"pointers_captured", "artifacts_published", "provider_switched", "pointers_switched", "latest_switched",
             "dr_unfenced", "dr_publish_enabled", "dr_scheduled", "complete"}  # fmt: skip
STOPPING = {
    "approved",
    "primary_fenced",
    "primary_not_fenced",
    "primary_frozen",
    "primary_silenced",
    "primary_quiesced",
    "primary_lost",
}


def reachable(without: Iterable[str] = ()) -> set[str]:
    """Return the states that can be reached from the start when rows with these triggers are taken out of the table."""
    rows = [row for row in SPEC.rows if row.trigger not in without]
    found = {SPEC.initial}
    while more := {row.to for row in rows if row.source in found} - found:
        found |= more
    return found


def test_auto_promotion_is_impossible_by_the_declared_table() -> None:
    """With the rows `approve` taken out, no state in which anything is stopped or canonical can be reached at all."""
    assert reachable() >= CANONICAL | STOPPING
    assert not (CANONICAL | STOPPING) & reachable(without=["approve"])


def test_only_a_person_approves_and_only_with_a_plan_a_name_and_a_ticket() -> None:
    """Every row `approve` is by the operator, is guarded by the plan's digest, and records who and under which."""
    rows = [row for row in SPEC.rows if row.trigger == "approve"]
    assert rows
    for row in rows:
        assert row.by is By.OPERATOR
        assert {"approval_is_current", "dr_run_is_whole"} <= set(row.guards)
        assert {"approved_plan", "approved_by", "ticket"} <= set(row.amends)


def test_what_is_newer_is_held_against_at_each_approval_and_at_the_capture() -> None:
    """Every row `approve` names anew whether an older run may replace a newer one, over pointers that are all there."""
    for row in (row for row in SPEC.rows if row.trigger == "approve"):
        assert {"no_newer_run_is_replaced", "pointers_are_complete", "canonical_run_is_named"} <= set(row.guards)
        assert "allow_older" in row.amends
    captures = [row for row in SPEC.rows if (row.trigger, row.to) == ("capture_pointers", "pointers_captured")]
    assert captures
    assert all("no_newer_run_is_replaced" in row.guards for row in captures)


def test_the_bypass_of_a_drill_leads_to_rehearsals_and_nowhere_else() -> None:
    """From `approved_for_rehearsal` no canonical state can be reached, and no row there stops or wakes a site."""
    found = {"approved_for_rehearsal"}
    while more := {row.to for row in SPEC.rows if row.source in found} - found:
        found |= more
    assert all(each.startswith("rehearsal_") for each in found - {"approved_for_rehearsal"})
    touched = {fact for row in SPEC.rows if row.source in found for fact in row.sets}
    assert not {fact for fact in touched if fact.endswith(("_schedules", "_publishing", "_fence"))}


def test_without_an_approval_it_waits_whoever_resumes_it(site: Site, promote: Make) -> None:
    """Held at the plan with the words of what to type; a resume changes nothing of that, and nothing has moved."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"))
    run = promote()
    run.start()
    for _ in range(2):
        assert (run.state.status, run.state.state) == ("held", "dr_run_verified")
        assert "drfsm approve" in run.words
        run.resume()
    assert (site.pointers(), site.touchable("primary"), site.touchable("dr")) == before


@pytest.mark.parametrize(
    "given", [{"approved_plan": "0" * 64}, {"approved_by": " "}, {"ticket": ""}], ids=["digest", "name", "ticket"]
)
def test_a_wrong_approval_is_refused_and_leaves_a_record(site: Site, promote: Make, given: dict[str, str]) -> None:
    """Another plan's digest, no name, no ticket: refused, a rejected record, nothing moved; the right one then goes."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"))
    run = promote()
    run.start()
    told = refused_with(partial(run.approve, **given), GuardRefused)
    assert "approval_is_current" in told
    assert [e.body["trigger"] for e in run.records if e.kind == "rejected"] == ["approve"]
    assert (site.pointers(), site.touchable("primary"), site.touchable("dr")) == before
    assert run.state.status == "held"
    run.approve()
    assert run.state.status == "complete", run.words


def test_declined_it_ends_refused_with_nothing_moved(ready: Ready, site: Site, promote: Make) -> None:
    """A person says no: the run ends, the validated run stays beside for another try."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"))
    run = promote()
    run.start()
    run.request("decline")
    assert (run.state.status, run.state.state) == ("refused", "declined")
    assert (site.pointers(), site.touchable("primary"), site.touchable("dr")) == before
    assert site.etags(f"{ready.receipt['staged_prefix']}/runs/")
    with pytest.raises(IllegalTransition):
        run.approve()


def test_a_primary_that_publishes_before_the_approval_makes_the_shown_plan_stale(
    ready: Ready, site: Site, promote: Make
) -> None:
    """What was shown is not what would be done: the old digest is refused, the plan as it is now can be approved."""
    run = promote()
    run.start()
    site.work("primary", "newer", NEWER)
    site.await_end("primary", "newer")
    assert "approval is stale" in refused_with(run.approve, GuardRefused)
    run.resume()  # looks again; a person still has to look, too
    told = refused_with(lambda: run.request("approve", **shown_now(run)), GuardRefused)
    assert "succession is older" in told
    assert "approval is" not in told
    run.request("approve", **shown_now(run, allow_older="yes"))
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert run.summary["receipt"]["in_place_of_run_id"] == NEWER


def shown_now(run: object, **given: Any) -> dict[str, Any]:
    """Return an approval of the plan as it is now, as `drfsm approve` reads it."""
    from drfsm.dr.procedures.approval import FACTS, canonical_now
    from drfsm.engine import Run
    from tests.promote.world import APPROVER, TICKET, Promote

    assert isinstance(run, Promote)
    world, _ = run.world()
    here = Run(
        id=run.id, inputs=run.state.inputs, operator="", epoch=0, dry_run=False, trigger="approve",
        results=run.state.results, args=run.state.args, clock=run.clock,
    )  # fmt: skip
    seen = FACTS["approval"].observe(world, here)
    return {
        "approved_plan": seen["sha256"], "approved_by": APPROVER, "approved_at": seen["store_time"], "ticket": TICKET,
        "allow_older": "no",
        "primary_run_id": canonical_now(seen["plan"]), "plan": seen["plan"], **given,
    }  # fmt: skip


def test_a_run_that_the_primary_published_while_it_drained_needs_a_new_approval(
    ready: Ready, site: Site, promote: Make
) -> None:
    """Approved, then the drained Job publishes: held before the capture, saying so; nothing is dropped unseen."""
    site.work("primary", "late", NEWER, SANDBOX_WAIT_FOR_BEFORE_POINTERS="gate/late")
    run = promote()

    def finish() -> None:
        site.release("late")
        site.await_end("primary", "late")

    run.when_in("primary_silenced", finish)
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", "primary_quiesced"), run.words
    assert "approval is stale" in run.state.reason
    assert "canonical_run is other" in run.state.reason
    moved = f"pointers state/candidates/local/last_success.json: was run {run.inputs['primary_run_id']}, is run {NEWER}"
    assert f'approval is stale, needed current (seen: {{"changed": ["{moved}"' in run.state.reason
    assert "approve" in run.next_actions
    assert site.named() == {NEWER}
    run.resume()
    assert run.state.status == "held"
    refused_with(lambda: run.request("approve", **shown_now(run)), GuardRefused)
    run.request("approve", **shown_now(run, allow_older="yes"))
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    receipt = run.summary["receipt"]
    assert receipt["in_place_of_run_id"] == NEWER
    assert {each["run_id"] for each in receipt["pointers_before"].values()} == {NEWER}
    assert (
        receipt["approved_at"]
        == [e.at for e in run.records if e.kind == "commit" and e.body["trigger"] == "approve"][-1]
    )


def test_an_approval_can_be_given_only_where_it_means_something(promote: Make) -> None:
    """After the point of no return, and before there is a plan, `approve` is illegal and moves nothing."""
    run = promote()
    run.stop_after("run_preflight")
    run.start()
    with pytest.raises(IllegalTransition):
        run.request("approve", approved_plan="", approved_by="", approved_at="", ticket="", primary_run_id="")
    run.resume()
    run.stop_after("switch_global_pointer")
    run.approve()
    assert run.state.state == "pointers_switched"
    with pytest.raises(IllegalTransition):
        run.approve()


LATER = "2031-01-01T00:00:00Z"


def test_an_older_run_replaces_a_newer_one_only_by_a_persons_word(ready: Ready, site: Site, promote: Make) -> None:
    """The canonical run ended later than the validated one: refused, both named, until the approval accepts that."""
    run = promote()
    for key in site.pointer_keys():
        site.point(key, run.inputs["primary_run_id"], ended_at=LATER)
    run.start()
    assert run.state.state == "dr_run_verified", run.words
    told = refused_with(run.approve, GuardRefused)
    assert "succession is older" in told
    assert LATER in told
    assert ready.receipt["run_id"] in told
    assert site.named() == {run.inputs["primary_run_id"]}
    run.approve(allow_older="yes")
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])


@pytest.mark.parametrize(
    ("ended_at", "canonical", "older"),
    [
        ("2026-01-01T12:00:00+00:00", "2026-01-01T12:00:00Z", False),
        ("2026-01-01T12:00:00+02:00", "2026-01-01T11:00:00Z", True),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000001Z", True),
        ("2026-01-02T12:00:00", "2026-01-01T12:00:00Z", False),
        ("2026-01-01T12:00:00Z", None, False),
        (None, "2026-01-01T12:00:00Z", True),
        ("2026-01-01T12:00:00Z", "yesterday", True),
    ],
)
def test_times_are_compared_as_times(ended_at: str | None, canonical: str | None, older: bool) -> None:
    """Whatever zone and precision they are written in; what can't be understood is not taken for newer."""
    assert is_older(ended_at, canonical) is older


def test_an_approval_in_another_name_stops_nothing_and_the_receipt_tells_who_fired_it(
    site: Site, promote: Make
) -> None:
    """Fired by ann in the name of zoe: held before anything is stopped; the receipt says ann."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"))
    run = promote()
    run.start()
    run.approve(approved_by="zoe")
    assert (run.state.status, run.state.state) == ("held", "approved"), run.words
    assert "approval is none" in run.state.reason
    assert "approved in the name of zoe, by ann" in run.state.reason
    assert (site.pointers(), site.touchable("primary"), site.touchable("dr")) == before
    assert run.summary["receipt"]["operator"] == "ann"
    run.request("approve", **shown_now(run))
    assert run.state.status == "complete", run.words


def test_a_renewed_approval_can_not_say_that_another_run_was_replaced(site: Site, promote: Make) -> None:
    """Approved again with another run as the canonical one: refused; what the receipt says was replaced, was."""
    run = promote()
    run.brought_to("primary_quiesced")
    told = refused_with(lambda: run.request("approve", **shown_now(run, primary_run_id="2020-01-01")), GuardRefused)
    assert "canonical_run is other" in told
    run.resume()
    assert run.state.status == "complete", run.words
    assert run.summary["receipt"]["in_place_of_run_id"] == site.sandbox.primary_run_id


def test_an_approval_records_its_plan_once_and_what_changed_is_told_in_words(promote: Make) -> None:
    """The plan lies in the approval's own record; two plans differ by the fields that differ, pointers first."""
    run = promote()
    run.promoted()
    given = [each for each in run.records if isinstance(each.body.get("args"), dict) and "plan" in each.body["args"]]
    assert [each.kind for each in given] == ["commit"]
    plan = dict(run.plan["plan"])
    assert run.plan["changed"] == []
    assert not list(differences(plan, plan))
    key = next(iter(plan["pointers"]))
    pointers = {**plan["pointers"], key: {**plan["pointers"][key], "content": "0" * 64}}
    other = {**plan, "pointers": pointers, "primary": {**plan["primary"], "stop": "by_risk"}, "cluster_uid": "another"}
    first, *rest = differences(plan, other)
    assert first.startswith("pointers state/")
    assert "other fields of the run" in first
    assert rest == [f"cluster_uid: was {plan['cluster_uid']}, is another", "primary.stop: was by_freeze, is by_risk"]


# --- of one run ---------------------------------------------------------------------------------------------------


def declined(run: Promote) -> None:
    """Have a person say no."""
    run.start()
    run.request("decline")


def approved_and_aborted(run: Promote) -> None:
    """Have a person say yes, and think better of it."""
    run.brought_to("approved")
    run.abort()


ENDS: dict[str, Callable[[Promote], object]] = {
    "declined": declined,
    "approved, then aborted": approved_and_aborted,
    "foreseen by a dry run": Promote.dry_run,
}


@pytest.mark.parametrize("end", ENDS)
def test_the_plan_of_one_run_is_approved_in_no_other(site: Site, promote: Make, end: str) -> None:
    """Two promotes by one receipt would do the same; a yes, or a no, to one says nothing in the other."""
    other = promote()
    ENDS[end](other)
    assert other.state.ended
    readings = [forecast.facts.get("approval") for forecast in other.state.forecasts] or [other.state.facts["approval"]]
    plan = next(reading.seen for reading in reversed(readings) if reading)
    run = promote()
    run.start()
    assert run.state.state == "dr_run_verified", run.words
    assert (run.plan["plan"]["run"], plan["plan"]["run"]) == (run.id, other.id)
    given = {"approved_plan": plan["sha256"], "plan": plan["plan"], "approved_at": plan["store_time"]}
    told = refused_with(partial(run.approve, **given), GuardRefused)
    assert "approval is stale" in told
    assert "nonce: was" in "".join(differences(plan["plan"], run.plan["plan"]))
    assert site.named() == {site.sandbox.primary_run_id}


def test_a_declined_plan_stays_declined_and_is_on_record(promote: Make) -> None:
    """Ended for good: no approval and no resume changes that; the summary says who, when, and which plan was shown."""
    run = promote()
    run.start()
    run.request("decline")
    refused_with(run.approve, IllegalTransition)
    run.resume()
    assert (run.state.status, run.state.state) == ("refused", "declined")
    receipt = run.summary["receipt"]
    assert (receipt["declined_by"], receipt["shown_plan"]) == ("ann", run.plan["sha256"])
    assert receipt["declined_at"] == run.records[-3].at
    assert receipt["approved_plan"] == {"none": "the run ended refused without approve"}


def test_a_run_that_an_earlier_version_began_has_the_plan_that_it_had(promote: Make) -> None:
    """Without a nonce among its inputs the plan is of schema 1, names no run, and its digest is what it was."""
    run = promote(plan_nonce="")
    run.start()
    assert run.plan["plan"]["schema_version"] == 1
    assert not {"run", "nonce"} & run.plan["plan"].keys()
    judge, seen = APPROVAL["approval"].judge, run.plan
    older = {"approved_plan": seen["sha256"], "approved_by": "ann", "ticket": "T"}  # as 0.1.0 recorded inputs
    assert judge({"plan": seen["plan"], "fired_by": "ann"}, older) == "current"
    assert judge({"plan": seen["plan"], "fired_by": "ann"}, {**older, "plan_nonce": "0" * 32}) == "stale"


# --- of its day ---------------------------------------------------------------------------------------------------

AT = "2026-11-28T12:00:00+00:00"
AGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "just given": ({}, {}, "in_time"),
    "a day old, to the second": ({"store_time": "2026-11-29T12:00:00+00:00"}, {}, "in_time"),
    "a second older": ({"store_time": "2026-11-29T12:00:01+00:00"}, {}, "expired"),
    "in another zone": ({"store_time": "2026-11-29T15:00:00+03:00"}, {}, "in_time"),
    "written as text that sorts earlier": ({"store_time": "2026-11-29T02:00:01-10:00"}, {}, "expired"),
    "a shorter limit": ({"store_time": "2026-11-28T12:31:00+00:00"}, {"approval_expires": 0.5}, "expired"),
    "a limit as text": ({"store_time": "2026-11-28T12:31:00+00:00"}, {"approval_expires": "1"}, "in_time"),
    "old, and the stop has begun": ({"stop_begun": True, "store_time": None}, {}, "in_time"),
    "two servers' clocks apart": ({"store_time": "2026-11-28T11:56:00+00:00"}, {}, "in_time"),
    "from the future": ({"store_time": "2026-11-28T11:00:00+00:00"}, {}, "unclear"),
    "never given": ({}, {"approved_at": ""}, "unclear"),
    "at no time": ({}, {"approved_at": "yesterday"}, "unclear"),
    "without an offset": ({}, {"approved_at": "2026-11-28T12:00:00"}, "unclear"),
    "by a store without a clock": ({"store_time": None}, {}, "unclear"),
    "no limit": ({}, {"approval_expires": "nan"}, "unclear"),
    "a limit that never comes": ({}, {"approval_expires": "inf"}, "unclear"),
    "no number": ({}, {"approval_expires": "a day"}, "unclear"),
}


@pytest.mark.parametrize("case", AGES)
def test_an_approval_ages_by_the_stores_times_in_what_was_seen(case: str) -> None:
    """Compared as moments; what can't be told, or lies ahead, is not in time."""
    seen, inputs, wanted = AGES[case]
    given = {"approved_at": AT, "approval_expires": 24, **inputs}
    judged = APPROVER_FACTS["approval_age"].judge({"store_time": AT, "stop_begun": False, **seen}, given)
    assert judged == wanted


@pytest.mark.parametrize("state", ["approved", "primary_not_fenced"])
def test_an_approval_that_nobody_acted_on_expires_before_the_primarys_stop(
    site: Site, promote: Make, state: str
) -> None:
    """A day and an hour later by the store's clock: held with words, the primary as it was; approved again it goes."""
    before = (site.pointers(), site.touchable("primary"))
    run = promote()
    run.brought_to(state)
    run.store_ahead = timedelta(hours=25)
    run.resume()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    assert "approval_age is expired" in run.state.reason
    assert "approved 25.0 hours ago by the store's clock; it expires after 24 hours" in run.state.reason
    assert (site.pointers(), site.touchable("primary")) == before
    run.request("approve", **shown_now(run))
    assert run.state.status == "complete", run.words


@pytest.mark.parametrize("begun", ["freeze_primary begun", "freeze_primary done", "capture_pointers done"])
def test_once_the_primarys_stop_has_begun_an_approval_does_not_expire(promote: Make, begun: str) -> None:
    """From the intent of its freeze on: whoever takes it up days later finishes what stands half done."""
    trigger, _, how = begun.partition(" ")
    run = promote()

    def cut() -> None:
        raise Killed

    run.when("intent" if how == "begun" else "commit", trigger, cut)
    run.start()
    run.killed(run.approve)
    run.store_ahead = timedelta(days=9)
    run.resume()
    assert run.state.status == "complete", run.words


@pytest.mark.parametrize("ahead", [timedelta(days=3), -timedelta(days=3)], ids=["ahead", "behind"])
def test_this_machines_clock_makes_no_approval_older_or_younger(promote: Make, ahead: timedelta) -> None:
    """Three days off after the approval: nobody's clock but the store's counts, so it goes on."""
    run = promote()
    run.brought_to("approved")
    run.clock.ahead = ahead
    run.resume()
    assert run.state.status == "complete", run.words


# --- of another person --------------------------------------------------------------------------------------------


def person(name: str, *, cloud: Any = None, dr: Any = None, uid: int | None = None) -> dict[str, Any]:
    """Return a person as an observation has them."""
    return {
        "operator": name,
        "proven": {
            **({"cloud_caller": cloud} if cloud else {}),
            **({"cluster_users": {"dr": dr}} if dr else {}),
            **({"os_user": {"uid": uid, "name": "x", "host": "desk"}} if uid is not None else {}),
        },
    }


SILENT = {"unknown": "no answer"}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = {
    "two callers": (person("a", cloud="arn:a"), person("a", cloud="arn:b"), ("cloud_caller", "another")),
    "one caller, two names": (person("a", cloud="arn:a"), person("b", cloud="arn:a"), ("cloud_caller", "same")),
    "one caller, two owners": (
        person("a", cloud="arn:a", uid=1), person("b", cloud="arn:a", uid=2), ("cloud_caller", "same"),
    ),
    "a caller that is not asked for the second": (
        person("a", cloud="arn:a", uid=1), person("b", cloud=SILENT, uid=2), ("cloud_caller", "unclear"),
    ),
    "no caller known of the first": (
        person("a", cloud=SILENT, dr="ann"), person("b", cloud="arn:b", dr="bea"), ("cluster_users", "another"),
    ),
    "one cluster user": (person("a", dr="admin"), person("b", dr="admin"), ("cluster_users", "same")),
    "two owners": (person("a", uid=1), person("a", cloud="arn:a", uid=2), ("os_user", "another")),
    "one owner": (person("a", uid=1), person("b", uid=1), ("os_user", "same")),
    "names only": (person("a"), person("b", uid=2), ("name", "another")),
    "one name": (person("a"), person(" a "), ("name", "same")),
    "no name": (person(""), person("b"), ("name", "unclear")),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_two_people_are_compared_by_the_strongest_proof_of_the_starter(case: str) -> None:
    """What proves the starter is asked of the approver; a name decides only where nothing proves anything."""
    starter, approver, wanted = PAIRS[case]
    assert compared(starter, approver) == wanted
    seen = {"starter": starter, "approver": approver}
    judge = APPROVER_FACTS["approver"].judge
    assert judge(seen, {"approval_distinct": "yes"}) == wanted[1]
    assert judge(seen, {"approval_distinct": "no"}) == "not_asked"


def test_where_two_people_are_asked_for_the_starter_approves_nothing(site: Site, promote: Make) -> None:
    """One cloud caller under another name is refused, saying by what; another caller goes on; the receipt has both."""
    role = "arn:aws:sts::123456789012:assumed-role/ops"
    run = promote(approval_distinct="yes")
    run.proven = {"os_user": {"uid": 1, "name": "ann", "host": "desk"}, "cloud_caller": f"{role}/ann"}
    run.start()
    run.operator = "bea"
    told = refused_with(partial(run.approve, approved_by="bea"), GuardRefused)
    assert "approver is same" in told
    assert '"compared_by": "cloud_caller"' in told
    assert site.named() == {site.sandbox.primary_run_id}
    run.proven = {**run.proven, "cloud_caller": f"{role}/bea"}
    run.approve(approved_by="bea")
    assert run.state.status == "complete", run.words
    receipt = run.summary["receipt"]
    assert receipt["approver"]["proven"]["cloud_caller"] == f"{role}/bea"
    assert receipt["two_people"]["starter"]["proven"]["cloud_caller"] == f"{role}/ann"
    assert (receipt["two_people"]["asked_for_two_people"], receipt["two_people"]["compared_by"]) == (
        "yes", "cloud_caller",
    )  # fmt: skip


def test_who_approves_is_asked_when_it_is_approved(promote: Make) -> None:
    """A process that was told of no proof asks the cloud and the clusters itself, in the row that approves."""
    run = promote()
    run.promoted()
    proven = run.summary["receipt"]["approver"]["proven"]
    assert proven["cloud_caller"].startswith("arn:aws:")
    assert set(proven["cluster_users"]) == {"primary", "dr"}
    started = run.summary["actors"][0]["proven"]  # learnt by the preflight
    assert (started["cloud_caller"], started["cluster_users"]) == (proven["cloud_caller"], proven["cluster_users"])
