"""A request that was on its way when its process was killed lands after the abort, and changes nothing.

Each test holds one request back: the process dies while the request is on its way, the run is aborted by another
process, and then the world takes the request, with the conditions that it was sent with.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drfsm.dr import endpoints
from drfsm.dr.procedures.bindings import binding
from drfsm.engine import Run
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.errors import Conflict
from drfsm.resources import shipped
from drfsm.sandbox.seed import BEFORE, CRONJOB
from drfsm.spec import load_machine
from tests.safety.conftest import Make
from tests.safety.test_abort import ended_as_declared, picture
from tests.safety.world import Failback, Killed, Site

# What is sent: the inputs that lead there, and the request (where, verb, what, which of them).
CONDITIONAL: dict[str, tuple[dict[str, str], tuple[str, str, str], int]] = {
    "freeze_dr": ({}, ("dr", "patch", "CronJob"), 1),
    "demote_dr": ({}, ("dr", "patch", "ConfigMap"), 1),
    "enable_primary_publish": ({}, ("primary", "patch", "ConfigMap"), 1),
    "switch_provider_pointers": ({}, ("store", "put", "state/candidates/local/openai/cs/last_success.json"), 1),
}
UNCONDITIONAL: dict[str, tuple[dict[str, str], tuple[str, str, str], int]] = {
    "fence_dr": ({"fence_dr": "asked"}, ("policy", "write", ""), 1),
    "start_validation": ({}, ("primary", "create", "Job"), 1),
    "publish_artifacts": ({}, ("store", "copy", "/runs/"), 1),
}


def killed_at(
    site: Site, failback: Make, trigger: str, table: Mapping[str, Any] = CONDITIONAL
) -> tuple[Failback, Any, dict[str, Any]]:
    """Return a run that was killed while a request of this row was on its way, the request, and the world before."""
    inputs, request, number = table[trigger]
    site.launch()
    before = picture(site, failback())
    run = failback(**inputs, **({"fence_dr_role": site.role("dr")} if inputs else {}))
    held = run.hold_back(*request, number=number)
    run.killed(run.start)
    assert run.state.open is not None
    assert run.state.open.trigger == trigger
    return run, held, before


@pytest.mark.parametrize("trigger", list(CONDITIONAL))
def test_a_conditional_write_that_lands_after_the_abort_is_refused(site: Site, failback: Make, trigger: str) -> None:
    """The abort finds nothing to undo, and still touches what the request could hit: its condition fails."""
    run, held, before = killed_at(site, failback, trigger)
    run.abort()
    ended_as_declared(site, run, before)
    with pytest.raises(Conflict):
        held.lands()
    ended_as_declared(site, run, before)


@pytest.mark.parametrize("trigger", ["fence_dr", "start_validation"])
def test_what_has_no_condition_and_lands_during_the_abort_is_undone_again(
    site: Site, failback: Make, trigger: str
) -> None:
    """The abort reads again after the time that a request can take, and undoes what landed since its undo."""
    run, held, before = killed_at(site, failback, trigger, UNCONDITIONAL)
    run.when("commit", "undo_newest", held.lands)
    run.clock.speed = 200
    run.abort()
    ended_as_declared(site, run, before)
    late = [each.body for each in run.records if each.kind == "settled" and each.body["trigger"] == trigger]
    assert [each["how"] for each in late] == ["landed_late"]
    assert not run.state.not_excluded  # the request has landed: no other is on its way


def test_a_copy_that_lands_during_the_abort_is_waited_for_before_its_undo(site: Site, failback: Make) -> None:
    """What tells it apart from others' files goes away later in the abort, so the undo itself waits."""
    run, held, before = killed_at(site, failback, "publish_artifacts", UNCONDITIONAL)
    run.when("commit", "abort", held.lands)
    run.clock.speed = 200
    run.abort()
    ended_as_declared(site, run, before)
    assert run.clock.monotonic() >= SETTLE_SECONDS


def test_what_has_no_condition_and_did_not_land_is_told_as_not_excluded(site: Site, failback: Make) -> None:
    """Nobody can shut it out: `drfsm status` and the summary say what may still appear, and why."""
    run, held, before = killed_at(site, failback, "fence_dr", UNCONDITIONAL)
    run.clock.speed = 200
    began = run.clock.monotonic()
    run.abort()
    ended_as_declared(site, run, before)
    assert run.clock.monotonic() - began >= SETTLE_SECONDS - 5
    (told,) = run.state.not_excluded
    assert "a write of the bucket's policy has no condition" in told
    assert f"NOT EXCLUDED: {told}" in run.words
    assert run.summary["not_excluded"] == [told]
    held.lands()
    assert site.statements()  # which is what was told


@pytest.mark.parametrize("trigger", [*CONDITIONAL, "fence_dr", "start_validation"])
def test_a_request_that_lands_after_its_row_was_done_again_changes_nothing(
    site: Site, failback: Make, trigger: str
) -> None:
    """A second process does the row again: the first one's request fails on its condition, or says the same."""
    table = CONDITIONAL if trigger in CONDITIONAL else UNCONDITIONAL
    run, held, _ = killed_at(site, failback, trigger, table)
    run.stop_after(trigger)
    run.resume()
    after = site.touchable("dr"), site.touchable("primary"), site.pointers(), site.statements()
    if trigger == "fence_dr":
        held.lands()
    else:
        with pytest.raises(Conflict):
            held.lands()
    assert (site.touchable("dr"), site.touchable("primary"), site.pointers(), site.statements()) == after


@pytest.mark.parametrize(("trigger", "reached"), [("freeze_dr", "freeze_primary"), ("demote_dr", "freeze_dr")])
def test_a_request_of_a_run_that_was_taken_over_by_a_new_one_is_refused(
    site: Site, failback: Make, trigger: str, reached: str
) -> None:
    """The new run touches what the dead one left open before its own first change, not when it gets there."""
    inputs, request, number = CONDITIONAL[trigger]
    site.launch()
    dead = failback(**inputs)
    dead.mirrored = True
    held = dead.hold_back(*request, number=number)
    dead.killed(dead.start)
    heir = failback()
    heir.take_over, heir.mirrored = dead.id, True
    heir.stop_after(reached)
    heir.start()
    (settled,) = [record.body for record in heir.records if record.kind == "predecessor_settled"]
    assert (settled["run_id"], settled["left_open"], settled["how"]) == (dead.id, [trigger], "touched"), heir.words
    before = site.touchable("dr")
    with pytest.raises(Conflict):
        held.lands()
    assert site.touchable("dr") == before


def test_a_request_to_a_site_that_is_declared_lost_is_told_as_not_excluded(site: Site, failback: Make) -> None:
    """DR gets no requests any more, so nothing there can be touched: the end says what may still take effect there."""
    run, _, _ = killed_at(site, failback, "freeze_dr")
    site.outage("dr")
    run.resolve("not_done")
    run.stop_after("declare_dr_lost")
    run.request("declare_dr_lost", dr_unreachable="yes", fence_dr_role=site.role("dr"))
    run.abort()
    assert (run.state.status, run.state.state) == ("held", "aborting"), run.words
    assert "declared lost, so it gets no requests" in run.state.reason
    run.request("waive_undo", reason="the site burnt down")
    assert run.state.status == "aborted", run.words
    (told,) = run.state.not_excluded
    assert told.startswith("freeze_dr may still take effect")


# --- every action, by the declarations ---------------------------------------------------------------------

ELSEWHERE = {
    "move_provider_pointers": "above: switch_provider_pointers",
    "restore_provider_pointers": "the same touch",
    "move_global_pointer": "the touches of both; test_abort.py gives it up at its intent",
    "complete_pointer_set": "the same touch",
    "adopt_ownership": "the touch of hand_over_ownership",
}
"""Touched actions that are not held back one by one below, and why."""
OF_ENDPOINTS = {name for name, late in endpoints.LATE.items() if late.touch}
"""tests/endpoints/test_routing.py and test_gates.py hold back a batch, a routing object, a document, a switch."""
TRIED = {"run_canary"}  # it sets no fact: what it writes it removes, and what it leaves is the fact canary


def _configured(site: Site, where: str) -> None:
    site.configure(where, PUBLISH_S3="1", PUBLISH_S3_DRY_RUN="0")


def _owned_by_dr(site: Site) -> None:
    owned = {"schema_version": 1, "site": "dr", "cluster_uid": None, "epoch": 1, "run": "x", "nonce": "y"}
    site.put(f"{site.prefix}/drfsm/ownership.json", json.dumps(owned).encode())


def _undone(before: str, site: str) -> dict[str, Any]:
    """Return the snapshot that an undo restores: a schedule that ran, switches that were on or off."""
    if before == "schedules":
        return {f"{site}_schedules": {CRONJOB: {"suspend": False, "before": None}}}
    on = before == "on"
    data = {"PUBLISH_S3": "1" if on else "0", "PUBLISH_S3_DRY_RUN": "0" if on else "1"}
    return {f"{site}_publishing": {**data, "before": None}}


Deeds = tuple[Callable[[Site], None], tuple[str, str, str], Mapping[str, Any]]
NOTHING: Mapping[str, Any] = {}
# What is there before, the request that is held back, and what an undo restores.
TOUCHED: dict[str, Deeds] = {
    "suspend_primary_schedules": (
        lambda site: site.suspend("primary", suspend=False), ("primary", "patch", "CronJob"), NOTHING,
    ),
    "restore_primary_schedules": (
        lambda _site: None, ("primary", "patch", "CronJob"), _undone("schedules", "primary"),
    ),
    "resume_primary_schedules": (lambda _site: None, ("primary", "patch", "CronJob"), NOTHING),
    "suspend_dr_schedules": (lambda _site: None, ("dr", "patch", "CronJob"), NOTHING),
    "restore_dr_schedules": (lambda site: site.suspend("dr"), ("dr", "patch", "CronJob"), _undone("schedules", "dr")),
    "resume_dr_schedules": (
        lambda site: site.edit("dr", "CronJob", CRONJOB, lambda live: (
            live["spec"].update(suspend=True),
            live["metadata"].setdefault("annotations", {}).update({BEFORE: '{"run": "x", "suspend": false}'}),
        )),
        ("dr", "patch", "CronJob"), NOTHING,
    ),
    "silence_primary": (lambda site: _configured(site, "primary"), ("primary", "patch", "ConfigMap"), NOTHING),
    "restore_primary_publishing": (
        lambda site: _configured(site, "primary"), ("primary", "patch", "ConfigMap"), _undone("off", "primary"),
    ),
    "enable_primary_publishing": (lambda _site: None, ("primary", "patch", "ConfigMap"), NOTHING),
    "silence_dr": (lambda site: _configured(site, "dr"), ("dr", "patch", "ConfigMap"), NOTHING),
    "restore_dr_publishing": (
        lambda site: site.configure("dr", PUBLISH_S3="0", PUBLISH_S3_DRY_RUN="1"), ("dr", "patch", "ConfigMap"),
        _undone("on", "dr"),
    ),
    "enable_dr_publishing": (
        lambda site: site.configure("dr", PUBLISH_S3="0", PUBLISH_S3_DRY_RUN="1"), ("dr", "patch", "ConfigMap"),
        NOTHING,
    ),
    "hand_over_ownership": (_owned_by_dr, ("store", "put", "/drfsm/ownership.json"), NOTHING),
}  # fmt: skip
LATE = {name: late for machine in ("failback", "promote") for name, late in binding(machine).late.items()}


@pytest.mark.parametrize("machine", ["failback", "promote"])
def test_the_declarations_name_no_action_that_nobody_settles(machine: str) -> None:
    """Each action and undo that changes something is touched, or settles; `lands_late` says which of the two."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes())
    late = binding(machine).late
    changing = [row for row in spec.rows if row.action and row.sets]
    assert {row.action for row in changing} | {row.undo for row in changing if row.undo} == set(late) - TRIED
    for row in changing:
        how = late[str(row.action)]
        assert bool(how.touch) or bool(how.settles)
        if row.undo:
            assert row.lands_late is bool(how.settles), row.key


def test_every_touched_action_is_held_back_here() -> None:
    """The table above, with what is tried elsewhere, is what the bindings say."""
    assert set(TOUCHED) | set(ELSEWHERE) | OF_ENDPOINTS == {name for name, late in LATE.items() if late.touch}


@pytest.mark.parametrize("name", list(TOUCHED))
def test_a_touch_shuts_a_held_back_write_out(site: Site, failback: Make, name: str) -> None:
    """Held back, touched, landed: the world refuses it, and everything is as before."""
    prepare, request, undoing = TOUCHED[name]
    prepare(site)
    machine = "failback" if name in binding("failback").actions else "promote"
    made = failback()
    world, lease = made.world()
    lease.acquire(made.id, "ann", "here")
    run = Run(
        id=made.id, inputs=binding(machine).with_defaults(made.inputs), operator="ann", epoch=1, dry_run=False,
        trigger="", results={}, args={}, clock=made.clock, undoing=undoing,
    )  # fmt: skip
    held = made.hold_back(*request)
    before = site.touchable("primary"), site.touchable("dr"), site.owner()
    with pytest.raises(Killed):
        binding(machine).actions[name](world, run)
    touch = LATE[name].touch
    assert touch is not None
    touch(world, run)
    with pytest.raises(Conflict):
        held.lands()
    assert (site.touchable("primary"), site.touchable("dr"), site.owner()) == before
