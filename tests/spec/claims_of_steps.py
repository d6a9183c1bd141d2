"""Claims about a step by itself: how often it is tried, how a run ends, what a person can do."""

import re
from collections.abc import Mapping
from pathlib import Path

from drfsm.spec import By, MachineSpec
from drfsm.spec.graph import closure, onward
from tests.spec.claims import Breaks, after, before_the_switch, by_runner, claim

DOCS = Path(__file__).parents[2] / "docs"


# --- tries, waits, repairs --------------------------------------------------------------------------------

ONCE = {
    "retry_validation": "a person fires it, and can fire it again",
    "measure_recovery": "it only writes down what was measured",
    "account_costs": "it only writes down what is known",
}
REREAD = ("run_preflight", "reach_primary", "reach_dr", "verify_dr_run", "verify_primary_run", "confirm_no_divergence",
          "confirm_soak", "await_validation")  # fmt: skip


@claim("A step that acts, or reads what takes long, is tried again before a person is called")
def tried_again(spec: MachineSpec) -> Breaks:
    """Find steps that a single lost request would stop."""
    for row in spec.rows:
        acts = row.action is not None or row.trigger in REREAD
        waits_for_a_person = row.trigger == "finish_promotion" and "site_ownership" in row.sets
        if acts and row.attempts.max == 1 and row.wait is None and row.trigger not in ONCE and not waits_for_a_person:
            yield f"{row.key} is tried once"


@claim("An undo is tried again before a person is called", "failback", "promote")
def undone_again(spec: MachineSpec) -> Breaks:
    """Find undos that a single lost request would stop."""
    return (f"{row.key} is tried once" for row in spec.rows
            if row.foreach and row.by is By.RUNNER and row.attempts.max == 1)  # fmt: skip


@claim("A drain is seen empty twice, and is awaited", "failback", "promote")
def drained_twice(spec: MachineSpec) -> Breaks:
    """Find drains that look once: between two Jobs of a schedule one look sees nothing."""
    for row in by_runner(spec):
        if row.trigger.endswith("_quiesced") and (row.wait is None or row.wait.consecutive < 2):
            yield f"{row.key} looks once"


GIVEN_UP: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "await_validation": {"validation_result": ("failed",)},
    "confirm_soak": {"soak_result": ("failed",)},
    "check_site": {
        "site_baseline": ("unfit",), "dr_control_plane": ("different",), "image": ("loose",),
        "site_ownership": ("canonical",), "dr_schedules": ("on", "mixed"), "dr_publishing": ("on", "mixed"),
    },
}  # fmt: skip


@claim("What takes time is awaited, and no longer than it can still come")
def awaited(spec: MachineSpec) -> Breaks:
    """Find waits that go on though what they wait for has failed."""
    for row in by_runner(spec):
        due = GIVEN_UP.get(row.trigger, {})
        if due and row.wait is None:
            yield f"{row.key} does not wait"
        for fact, values in due.items():
            if row.wait and not set(values) <= set(row.wait.give_up.get(fact, ())):
                yield f"{row.key} still waits at {fact}: {', '.join(values)}"


REPAIRS = {
    "plan_site": None, "bring_up_site": "refresh_allowed_address", "reach_site": "refresh_allowed_address",
    "check_backup": "reread_backup", "restore_objects": "reread_backup", "apply_control_plane": "reread_backup",
    "restore_state": "reread_backup", "start_validation": "renew_kubeconfig", "await_validation": "renew_kubeconfig",
    "remove_validation": "renew_kubeconfig", "tear_down_site": "await_teardown",
}  # fmt: skip


@claim("Each phase of a drill mends what docs/drill.md says that it mends", "drill")
def repaired(spec: MachineSpec) -> Breaks:
    """Find steps that mend something else: address, backup, kubeconfig, teardown."""
    for row in spec.rows:
        if row.trigger in REPAIRS and row.attempts.repair != REPAIRS[row.trigger]:
            yield f"{row.key} repairs {row.attempts.repair}"


# --- endings and failures ---------------------------------------------------------------------------------


@claim("A run ends as the name of its last state says")
def ends_as_named(spec: MachineSpec) -> Breaks:
    """Find endings with the wrong word: exit code, summary and receipt come from it."""
    for state, status in spec.finals.items():
        if status != {"declined": "refused"}.get(state, state.rsplit("_", 1)[-1]):
            yield f"{state} ends as {status}"


@claim("Whatever checks everything first foresees what would stop the run later")
def foresees(spec: MachineSpec) -> Breaks:
    """Find first checks that look at themselves only; but for a drill that only takes an earlier site down."""
    first = (row for row in spec.rows if row.trigger == "run_preflight" and not row.foresees)
    return (f"{row.key} foresees nothing" for row in first if row.when.get("only_teardown") != ("yes",))


@claim("Until something was changed, a failure ends the run as refused, and a person may end it, too")
def refused_at_first(spec: MachineSpec) -> Breaks:
    """Find states in which a run that did nothing would have to be aborted."""
    moved = closure({row.to for row in spec.rows if row.action and row.sets},
                    onward((row.source, row.to) for row in spec.rows))  # fmt: skip
    kinds = {"drill": {"start", "scope_confirmed"}, "promote": {"start", "preflight_ok"}}
    for state in kinds.get(spec.name, {state for state in spec.states if state not in moved} - set(spec.finals)):
        to = {row.to for row in spec.rows if row.source == state and row.by is By.FAILURE}
        if "refused" not in {spec.finals.get(end) for end in to}:
            yield f"a failure in {state} does not end as refused"


AWAITS_A_PERSON = {"control_plane_applied", "pull_secret_refreshed"}  # a Secret that is missing is made by a person


@claim("From every phase of a drill a failure leads to the teardown, whatever was begun", "drill")
def fails_to_the_teardown(spec: MachineSpec) -> Breaks:
    """Find states in which machines would be left because something failed, or a request is open."""
    running = {row.source for row in spec.rows if row.trigger == "abort" and row.to == "aborting"}
    for state in sorted(running - AWAITS_A_PERSON):
        rows = [row for row in spec.rows if row.source == state and row.by is By.FAILURE and row.to == "phase_failed"]
        if not any(row.overrides_open_intent for row in rows):
            yield f"a failure in {state} does not lead to the teardown"
        asks = [row.key for row in rows if row.guards]
        yield from (key for key in asks if state != "canonical_promotion_started")


@claim("A rehearsal that fails says so, and holds nobody", "promote")
def rehearsal_fails(spec: MachineSpec) -> Breaks:
    """Find states of a rehearsal in which a failure would hold the drill."""
    rehearsing = after(spec, "bypass_approval") | {"rehearsal_verified", "dr_validated"}
    for state in sorted(rehearsing - set(spec.finals) - {"rehearsal_failing", "rehearsal_aborting"}):
        rows = [row for row in spec.rows if row.source == state and row.by is By.FAILURE]
        if not any(row.to in ("rehearsal_failed", "rehearsal_failing") for row in rows):  # the name is led back first
            yield f"a failure in {state} does not end the rehearsal"


@claim("Before the point of no return a person may abort in every state", "failback", "promote")
def may_be_aborted(spec: MachineSpec) -> Breaks:
    """Find states without a way back."""
    aborts = {row.source for row in spec.rows if row.trigger == "abort"}
    undo = spec.undo_states
    for state in sorted(before_the_switch(spec) - undo - aborts - set(spec.finals) - {"start"}):
        yield f"no abort from {state}"


@claim("Before it ends a drill may be aborted wherever its machines run", "drill")
def drill_may_be_aborted(spec: MachineSpec) -> Breaks:
    """Find states without a way back."""
    aborts = {row.source for row in spec.rows if row.trigger == "abort"}
    ends = {row.to for row in spec.rows if row.trigger in ("tear_down_site", "leave_site")} | set(spec.finals)
    over = {"promotion_finished", "promotion_skipped", "phase_failed", "aborting", "backup_checked"}
    yield from (f"no abort from {state}" for state in spec.states if state not in aborts | ends | over)


# --- what a person does -----------------------------------------------------------------------------------

TYPED = re.compile(r"drfsm request (\w+)((?:\s+\\?\s*--arg \w+=\S+)*)")
BY_COMMAND = {
    "approve": {"approved_plan", "approved_by", "approved_at", "ticket", "primary_run_id", "allow_older"},
    "declare_dr_lost": {"dr_unreachable", "reason", "fence_dr_role"},
    "accept_degraded_primary": {"allow_degraded", "reason"},
    "accept_degraded_dr": {"allow_degraded", "reason"},
    "declare_primary_lost": {"primary_unreachable", "reason", "fence_primary_role", "fence_dr_role"},
    "declare_primary_lost_unfenced": {"primary_unreachable", "no_fence", "reason"},
}
"""What commands send besides what docs show: ``approve``, ``resume --dr-unreachable``, and each ``--reason``."""

A_PERSONS = {
    "failback": {"accept_newer_run", "mend_pointers", "ask_dr_fence", "declare_dr_lost", "answer_for_primary_pod",
                 "skip_sync", "skip_restore_check", "accept_degraded_primary", "retry_validation", "renew_pull_secret",
                 "accept_divergence", "keep_dr_run", "retry_soak", "skip_soak", "skip_teardown", "abort", "waive_undo",
                 "skip_cache_wait", "remove_canary", "accept_missing_writes"},
    "promote": {"approve", "decline", "declare_primary_lost", "declare_primary_lost_unfenced", "renew_pull_secret",
                "accept_degraded_dr", "retry_validation", "abort", "waive_undo", "remove_canary",
                "accept_missing_writes"},
    "drill": {"abort", "keep_site"},
}  # fmt: skip


@claim("What only a person may do, a person can do, and nobody else does")
def a_persons(spec: MachineSpec) -> Breaks:
    """Find decisions that nobody can take, or that a person is not asked for."""
    rows = [row for row in spec.rows if row.by is By.OPERATOR]
    for trigger in sorted({row.trigger for row in rows} ^ A_PERSONS[spec.name]):
        yield f"{trigger} is {'not' if trigger in A_PERSONS[spec.name] else 'also'} a person's"
    for row in spec.rows:
        if row.trigger in A_PERSONS[spec.name] and row.by is not By.OPERATOR:
            yield f"{row.key} is taken by {row.by}"


@claim("Every argument that docs tell a person to type is one that the row takes")
def arguments_are_taken(spec: MachineSpec) -> Breaks:
    """Find arguments without which the command that is shown does nothing."""
    page = (DOCS / f"{spec.name}.md").read_text(encoding="utf-8")
    typed = {trigger: set(re.findall(r"--arg (\w+)=", rest)) for trigger, rest in TYPED.findall(page)}
    for row in spec.rows:
        due = typed.get(row.trigger, set()) | BY_COMMAND.get(row.trigger, set())
        if row.by is By.OPERATOR and not due <= set(row.amends):
            yield f"{row.key} does not take {', '.join(sorted(due - set(row.amends)))}"
