"""A person's yes is bound to exactly what was shown; nothing leads to canonical without it."""

from collections.abc import Iterable
from functools import partial

import pytest

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
    renewed = shown_now(run)
    run.request("approve", **renewed)
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert run.summary["receipt"]["in_place_of_run_id"] == NEWER


def shown_now(run: object) -> dict[str, str]:
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
        "approved_plan": seen["sha256"], "approved_by": APPROVER, "ticket": TICKET,
        "primary_run_id": canonical_now(seen["plan"]),
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
    assert "approve" in run.ways
    assert site.named() == {NEWER}
    run.resume()
    assert run.state.status == "held"
    run.request("approve", **shown_now(run))
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
        run.request("approve", approved_plan="", approved_by="", ticket="", primary_run_id="")
    run.resume()
    run.stop_after("switch_global_pointer")
    run.approve()
    assert run.state.state == "pointers_switched"
    with pytest.raises(IllegalTransition):
        run.approve()
