"""The drill's table alone: what the checker proves of it, and what nobody may fire."""

from collections.abc import Iterator
from itertools import product

import pytest
from attrs import evolve

from drfsm.dr.procedures.drill import binding
from drfsm.engine.engine import Engine
from drfsm.errors import IllegalTransition
from drfsm.evidence.derive import faults
from drfsm.spec import check
from drfsm.spec.model import By
from tests.drill.world import SPEC


def test_what_must_never_happen_is_proven() -> None:
    """Every rule holds in all that can happen, crashes and strangers included, and every row can be taken."""
    report = check(SPEC)
    assert report.ok, "\n".join(report.lines())
    assert len(report.explored) >= 9


@pytest.mark.parametrize(
    ("guard", "rule"),
    [
        ("both_flags", "promotes_without_both_flags"),
        ("promotion_is_canonical", "rehearsal_is_taken_for_the_real_thing"),
        ("site_is_not_canonical", "tears_down_the_canonical_site"),
        ("teardown_is_not_asked", "left_running_at_the_end"),
        ("site_is_not_canonical", "restores_over_the_canonical_site"),
        ("site_is_not_canonical", "validates_on_the_canonical_site"),
        ("site_is_quiet", "rehearsal_enables_dr"),
        ("site_is_quiet", "rehearsal_schedules_dr"),
        ("dr_does_not_own", "brings_up_while_dr_owns"),
        ("dr_does_not_own", "validates_while_dr_owns"),
        ("dr_does_not_own", "promotes_while_dr_owns"),
    ],
)
def test_without_its_guard_a_rule_breaks(guard: str, rule: str) -> None:
    """No rule holds by accident: take a guard away, and the shortest way to the harm is shown."""
    rows = tuple(evolve(row, guards=tuple(each for each in row.guards if each != guard)) for row in SPEC.rows)
    report = check(evolve(SPEC, rows=rows), only=[rule])
    assert [each.name for each in report.findings] == [rule]


def pairs() -> Iterator[tuple[str, str]]:
    """Yield every pair of a state and a trigger that the table doesn't have."""
    legal = {(row.source, row.trigger) for row in SPEC.rows}
    yield from (pair for pair in product(SPEC.states, SPEC.triggers) if pair not in legal)


def test_every_illegal_pair_of_state_and_trigger_is_rejected() -> None:
    """Some eight hundred: each raises, and the state stays."""
    number = 0
    for state, trigger in pairs():
        engine = Engine(SPEC, state)
        for row in (each for each in SPEC.rows if each.trigger == trigger):
            with pytest.raises(IllegalTransition):
                engine.fire(row)
        assert engine.state == state
        number += 1
    assert number > 800


def test_every_promotion_needs_both_flags() -> None:
    """No row starts a promote without the guard that reads both; only that row's action can start one."""
    rows = [row for row in SPEC.rows if row.action == "run_promotion"]
    assert rows
    assert all("both_flags" in row.guards for row in rows)
    assert all(row.when["promote"] == ("asked",) for row in rows)


def test_whatever_takes_the_site_down_asks_whether_it_is_canonical() -> None:
    """Every row that tears down has the guard, and there are three: after success, failure and abort."""
    rows = [row for row in SPEC.rows if row.action == "tear_down_runner"]
    assert {row.source for row in rows} == {"promotion_finished", "promotion_skipped", "phase_failed", "aborting"}
    assert all("site_is_not_canonical" in row.guards for row in rows)


def test_whatever_changes_a_site_asks_whether_it_is_canonical() -> None:
    """Every row that restores to a site, or has it do the work, has the guard."""
    changing = {"restore_manifests", "apply_dr_control_plane", "restore_state", "start_validation"}
    rows = [row for row in SPEC.rows if row.action in changing]
    assert {row.action for row in rows} == changing
    assert all("site_is_not_canonical" in row.guards for row in rows)


def test_a_failure_has_a_place_to_go_from_every_phase() -> None:
    """From each state where machines may run a failure leads to the teardown, but where a person is awaited."""
    running = {row.source for row in SPEC.rows if row.trigger == "abort"}
    leads = {row.source for row in SPEC.rows if row.by is By.FAILURE}
    # A missing Secret is made by a person.
    assert running - leads == {"control_plane_applied", "pull_secret_refreshed"}


def test_the_binding_is_complete_and_the_receipt_names_only_what_there_is() -> None:
    """Every fact and action is bound, none too many, and no receipt field leads nowhere."""
    binding().complete_for(SPEC)
    assert faults(SPEC) == []
