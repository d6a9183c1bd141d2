"""A person's yes is bound to exactly what was shown; nothing leads to canonical without it."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from drfsm.dr.approval import differences
from drfsm.dr.pointers import is_older
from drfsm.errors import GuardRefused, IllegalTransition
from drfsm.spec import By
from tests.promote.conftest import Make
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import SPEC, Ready
from tests.safety.world import Site, refused_with

NEWER = "2027-01-01T00:00:00.000001+00:00"
CANONICAL = {"pointers_captured", "artifacts_published", "provider_switched", "pointers_switched", "latest_switched",
             "dr_unfenced", "dr_publish_enabled", "dr_scheduled", "complete"}  # fmt: skip
STOPPING = {"approved", "primary_fenced", "primary_frozen", "primary_silenced", "primary_quiesced", "primary_lost"}


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
    from drfsm.dr.approval import FACTS, canonical_now
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
    assert "approve" in run.ways
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
    assert "says something else of the run" in first
    assert rest == [f"cluster_uid: was {plan['cluster_uid']}, is another", "primary.stop: was by_freeze, is by_risk"]
