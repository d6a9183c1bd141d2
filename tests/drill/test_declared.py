"""The drill's table alone: what the checker proves of it, and what nobody may fire."""

from collections.abc import Iterator
from itertools import product

import pytest
from attrs import evolve

from drfsm.cli.outcome import exit_code
from drfsm.dr.procedures import bindings
from drfsm.dr.procedures.drill import binding
from drfsm.dr.procedures.promote_flags import CASES, FLAGS, Case
from drfsm.engine import Run, SystemClock
from drfsm.engine.engine import Engine
from drfsm.errors import ExitCode, IllegalTransition
from drfsm.evidence.derive import faults
from drfsm.journal import RunState
from drfsm.journal.record_types import Reading
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.spec.check import check
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


@pytest.mark.parametrize(("required", "leads_to"), [("no", "state_not_restored"), ("yes", "phase_failed")])
def test_state_that_can_not_be_restored_fails_a_drill_that_requires_it(required: str, leads_to: str) -> None:
    """Where only the site showed it, the first row that fits a failed restore says which way the drill goes."""
    rows = [row for row in SPEC.rows if (row.source, row.by) == ("secrets_confirmed", By.FAILURE)]
    first = next(row for row in rows if row.selected({"require_state": required}))
    assert first.to == leads_to


@pytest.mark.parametrize(
    ("required", "status", "restored", "code"),
    [
        ("yes", "refused", None, ExitCode.REFUSED),
        ("yes", "failed", "not_restorable", ExitCode.NO_STATE),
        ("yes", "failed", "restored", ExitCode.ABORTED),
        ("yes", "held", "not_restorable", ExitCode.HELD),
        ("no", "failed", "not_restorable", ExitCode.ABORTED),
        ("no", "complete", "not_restorable", ExitCode.DONE),
    ],
)
def test_the_exit_code_of_missing_state_is_one_of_its_own(
    required: str, status: str, restored: str | None, code: ExitCode
) -> None:
    """13 only where --require-state ended the drill; what a manifest's refusal exits with is seen in test_guards.py."""
    facts = {"restored_state": Reading(value=restored, seen={})}
    assert exit_code(RunState(status=status, inputs={"require_state": required}, facts=facts), ()) == code


@pytest.mark.parametrize(("flags", "case"), CASES.items())
def test_the_promote_flags_mean_one_thing_everywhere(flags: tuple[bool, bool], case: Case) -> None:
    """The drill's inputs, its fact and the rehearsal's fact, in words that both machines declare, follow one table."""
    recorded = {name: str(value).lower() for name, value in zip(FLAGS, flags, strict=True)}
    wanted = {**recorded, "promote": "none", "promote_target": "drill", "teardown": "true"}
    run = Run("r", wanted, "ann", 1, False, "t", {}, {}, SystemClock())  # noqa: FBT003
    for machine, word in (("drill", case.drill), ("promote", case.rehearsal)):
        fact = bindings.binding(machine).facts["promote_flags"]
        assert fact.judge(fact.observe(None, run), wanted) == word
        declared = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=machine)
        assert word in declared.facts["promote_flags"].values
    assert case.promotes == all(flags) == (not case.missing)


def test_every_action_that_changes_a_drilled_site_says_how_a_late_request_of_it_is_settled() -> None:
    """Those that don't: the machines (asked for once more by their token), this computer's files, the child run."""
    changing = {row.action for row in SPEC.rows if row.action and row.sets}
    machines = {"plan_runner", "bring_up_runner", "tear_down_runner"}
    elsewhere = {"fetch_kubeconfig", "run_promotion", "finish_promotion"}
    assert changing - machines - elsewhere == set(binding().late)


def test_the_binding_is_complete_and_the_receipt_names_only_what_there_is() -> None:
    """Every fact and action is bound, none too many, and no receipt field leads nowhere."""
    binding().complete_for(SPEC)
    assert faults(SPEC) == []
