"""Claims about the order of steps, and about what is looked at before one."""

from collections.abc import Mapping
from itertools import pairwise

from drfsm.spec import MachineSpec, Row
from drfsm.spec.graph import closure, onward
from tests.spec.claims import Breaks, after, claim, lacking

# --- the order, and what is looked at first ---------------------------------------------------------------

ORDER: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "failback": (
        ("confirm_intent", "run_preflight", "reach_primary", "reach_dr", "confirm_dr_promoted", "freeze_primary",
         "silence_primary", "confirm_primary_quiesced", "freeze_dr", "demote_dr", "confirm_dr_quiesced", "fence_dr"),
        ("confirm_primary_quiesced", "fence_lost_dr"),
        ("confirm_primary_quiesced", "capture_pointers", "verify_dr_run", "sync_prefix"),
        ("verify_dr_run", "check_restore"),
        ("verify_dr_run", "refresh_pull_secret"),
        ("verify_dr_run", "assess_primary", "start_validation", "await_validation", "verify_primary_run",
         "confirm_no_divergence"),
        ("verify_primary_run", "publish_artifacts", "switch_provider_pointers", "switch_global_pointer",
         "switch_latest"),
        ("verify_primary_run", "enable_primary_publish", "switch_provider_pointers"),
        ("publish_artifacts", "switch_latest"),
        ("verify_primary_run", "keep_dr_run", "hand_over_ownership"),
        ("unfence_primary", "start_soak"),
        ("unfence_primary", "resume_primary", "confirm_soak"),
        ("resume_primary", "pass_over_soak"),
        ("resume_primary", "tear_down_dr"),
        ("confirm_dr_promoted", "adopt_active_site", "try_endpoint_records", "lower_endpoint_ttl"),
        ("freeze_primary", "close_dr_gate", "check_both_sites_refuse", "confirm_writes_settled"),
        ("unfence_primary", "declare_active_site", "move_endpoints", "await_endpoints_insync",
         "confirm_endpoints_seen", "open_primary_gate", "run_canary", "check_old_site_refuses"),
        ("resume_primary", "finish"),
    ),
    "promote": (
        ("run_preflight", "prepare_validation", "start_validation", "await_validation", "confirm_validation"),
        ("run_preflight", "verify_dr_run", "approve", "fence_primary"),
        ("approve", "freeze_primary", "silence_primary", "confirm_primary_quiesced"),
        ("approve", "record_primary_loss"),
        ("approve", "adopt_active_site", "try_endpoint_records"),
        ("close_primary_gate", "check_both_sites_refuse", "confirm_writes_settled"),
        ("unfence_dr", "declare_active_site", "move_endpoints@endpoints_moved", "await_endpoints_insync",
         "confirm_endpoints_seen@endpoints_seen", "open_dr_gate", "run_canary", "check_old_site_refuses",
         "confirm_endpoints_serve"),
        ("approve", "capture_pointers@pointers_captured", "publish_artifacts@artifacts_published",
         "switch_provider_pointers@provider_switched", "switch_global_pointer@pointers_switched",
         "switch_latest@latest_switched", "unfence_dr", "enable_dr_publish", "schedule_dr", "finish"),
        ("verify_dr_run", "bypass_approval", "stage_rehearsal", "capture_pointers@rehearsal_captured",
         "publish_artifacts@rehearsal_published", "switch_provider_pointers@rehearsal_provider_switched",
         "switch_global_pointer@rehearsal_switched", "switch_latest@rehearsal_latest_switched", "finish_rehearsal"),
    ),
    "drill": (
        ("confirm_scope", "run_preflight", "plan_site", "bring_up_site"),
        ("run_preflight", "reach_site@site_reached", "check_backup", "restore_objects", "apply_control_plane",
         "confirm_secrets", "restore_state"),
        ("reach_site@site_reached", "check_site", "start_validation", "await_validation", "verify_validation",
         "measure_recovery"),
        ("check_site", "renew_pull_secret"),
        ("apply_control_plane", "refresh_pull_secret"),
        ("reach_site", "start_promotion", "finish_promotion"),
        ("run_preflight", "tear_down_site"),
    ),
}  # fmt: skip


@claim("The steps come in the order that the docs give reasons for")
def in_order(spec: MachineSpec) -> Breaks:
    """Find steps that are reached without the one that must come before them."""
    for steps in ORDER[spec.name]:
        for before, step in pairwise(steps):
            around = (row for row in spec.rows if not _is(row, before))
            reached = closure({spec.initial}, onward((row.source, row.to) for row in around))
            rows = [row for row in spec.rows if _is(row, step)]
            yield from (f"{row.key} comes without {before}" for row in rows if row.source in reached)
            if not rows:
                yield f"there is no {step}"


def _is(row: Row, step: str) -> bool:
    """Whether a row is a step: a trigger, or a trigger that leads to a state (``trigger@state``)."""
    trigger, _, to = step.partition("@")
    return row.trigger == trigger and (not to or row.to == to)


Wants = Mapping[str, tuple[str, ...]]
Asks = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
ASKS: Mapping[str, Asks] = {  # each row of these triggers asks these guards
    "failback": (
        (("reach_primary",), ("primary_is_reachable",)),
        (("reach_dr",), ("dr_is_reachable",)),
        (("confirm_dr_promoted",), ("dr_owns_the_pointers", "dr_is_canonical")),
        (("assess_primary",), ("primary_is_healthy", "configuration_is_equal")),
        (("start_validation",), ("primary_can_start_jobs",)),
        (("confirm_soak",), ("soak_passed_by_itself", "alarms_are_quiet")),
        (("accept_newer_run",), ("tokens_match",)),
        (("mend_pointers",), ("set_is_half_moved", "dr_run_is_whole")),
        (("accept_newer_run", "mend_pointers"), ("primary_is_frozen", "dr_is_frozen", "canonical_run_is_named")),
        (("accept_newer_run", "mend_pointers"), ("primary_is_drained", "dr_is_drained")),
        (("fence_dr", "fence_lost_dr", "ask_dr_fence", "declare_dr_lost"), ("dr_fence_is_safe",)),
        (("fence_primary",), ("primary_fence_is_safe",)),
        (("ask_dr_fence",), ("nothing_reverts_us",)),
        (("answer_for_primary_pod",), ("pod_is_answered_for",)),
        (("accept_divergence", "keep_dr_run"), ("validation_is_kept", "validation_succeeded", "primary_run_is_whole")),
        (("verify_dr_run",), ("pointers_name_dr",)),
        (("fence_dr",), ("dr_is_frozen",)),
        (("declare_dr_lost",), ("dr_loss_is_declared",)),
        (("switch_global_pointer",), ("provider_pointers_moved",)),
    ),
    "promote": (
        (("check_receipt", "prepare_validation", "start_validation"), ("dr_is_healthy", "dr_can_start_jobs")),
        (("check_receipt", "prepare_validation", "confirm_validation"), ("primary_owns_the_pointers",)),
        (("verify_dr_run", "approve", "bypass_approval"), ("dr_run_is_whole",)),
        (("capture_pointers@pointers_captured",), ("canonical_run_is_named", "no_newer_run_is_replaced")),
        (("capture_pointers@rehearsal_captured",), ("rehearsal_is_staged",)),
        (("switch_global_pointer",), ("provider_pointers_moved",)),
        (("enable_dr_publish",), ("dr_is_unfenced", "dr_owns")),
        (("run_preflight",), ("dr_is_reachable",)),
        (("fence_primary", "declare_primary_lost"), ("primary_fence_is_safe",)),
        (("publish_artifacts@artifacts_published",), ("canonical_run_is_named",)),
        (("declare_primary_lost", "declare_primary_lost_unfenced"), ("primary_loss_is_declared",)),
        (("accept_unfenced_primary", "declare_primary_lost_unfenced"), ("unfenced_risk_is_accepted",)),
        (("accept_unfenced_primary", "declare_primary_lost_unfenced"), ("primary_is_silent",)),
        (("record_primary_loss",), ("lost_primary_is_cut_off",)),
        (("freeze_primary",), ("primary_can_drain",)),
    ),
    "drill": ((("run_preflight",), ("cloud_is_expected",)),),
}  # fmt: skip
WANTS: Mapping[str, Mapping[str, tuple[Wants, Wants]]] = {  # guard: what it requires, and what stands in for it
    "failback": {
        "primary_is_reachable": ({"primary_reachability": ("yes",)}, {}),
        "dr_is_reachable": ({"dr_reachability": ("yes",)}, {"dr_loss": ("declared",)}),
        "primary_is_healthy": ({"primary_health": ("healthy", "accepted")}, {}),
        "primary_can_start_jobs": ({"primary_startable": ("yes", "accepted")}, {}),
        "soak_passed_by_itself": ({"soak_result": ("passed", "unchanged")}, {}),
        "alarms_are_quiet": ({"alarm_state": ("quiet",)}, {}),
        "set_is_half_moved": ({"pointer_set": ("half_moved", "older_only")}, {}),
        "canonical_run_is_named": ({"canonical_run": ("dr",)}, {}),
        "provider_pointers_moved": ({"provider_pointers": ("primary",)}, {}),
        "primary_fence_is_kept": ({"primary_fence_stands": ("yes",)}, {}),
        "dr_fence_is_kept": ({"dr_fence_stands": ("yes",)}, {}),
        "primary_is_frozen": ({"primary_schedules": ("off",), "primary_publishing": ("off",)}, {}),
    },
    "promote": {
        "primary_is_reachable": ({"primary_reachability": ("yes",)}, {"primary_loss": ("declared",)}),
        "dr_is_reachable": ({"dr_reachability": ("yes",)}, {}),
        "dr_is_healthy": ({"dr_health": ("healthy", "accepted")}, {}),
        "dr_can_start_jobs": ({"dr_startable": ("yes", "accepted")}, {}),
        "primary_is_silent": ({"primary_answers": ("no",)}, {}),
        "primary_loss_is_declared": ({"primary_loss": ("declared",)}, {}),
        "unfenced_risk_is_accepted": ({"primary_fence": ("up", "risked")}, {}),
        "lost_primary_is_cut_off": ({"primary_fence": ("up", "risked")}, {}),
        "approval_is_in_time": ({"approval_age": ("in_time",)}, {}),
        "canonical_run_is_named": ({"canonical_run": ("primary",)}, {}),
        "provider_pointers_moved": ({"provider_pointers": ("dr",)}, {}),
        "dr_is_quiet": ({"dr_schedules": ("off",), "dr_publishing": ("off",)}, {}),
        "primary_is_frozen": (
            {"primary_schedules": ("off",), "primary_publishing": ("off",)},
            {"primary_loss": ("declared",), "primary_fence": ("up", "risked")},
        ),
        "primary_is_drained_in_sight": ({"primary_inflight": ("no", "out_of_sight")}, {}),
        "primary_fence_is_kept": ({"primary_fence_stands": ("yes",)}, {}),
        "receipt_holds": ({"validation_receipt": ("holds",)}, {}),
        "dr_may_publish": ({"dr_publishing": ("on",), "dr_schedules": ("off",)}, {}),
    },
    "drill": {
        "state_is_kept_where_required": ({"lasting_state": ("kept", "not_required")}, {}),
    },
}


@claim("What may change at any moment is looked at in that moment, and the right thing is asked for")
def looked_at(spec: MachineSpec) -> Breaks:
    """Find looks that are left out, or that are content with less: no rule can tell of what changes by itself later."""
    for steps, guards in ASKS[spec.name]:
        yield from lacking((row for row in spec.rows if any(_is(row, step) for step in steps)), *guards)
    if spec.name == "promote":
        canonical = [
            row for row in spec.rows if row.trigger == "run_preflight" and row.when["target"] == ("canonical",)
        ]
        yield from lacking(canonical, "primary_is_reachable", "stop_is_planned")
        shown = [row for row in spec.rows if row.trigger == "verify_dr_run" and row.to == "dr_run_verified"]
        yield from lacking(shown, "canonical_run_is_named", "pointers_are_complete", "plan_is_read")
    if spec.name == "drill":
        first = [row for row in spec.rows if row.trigger == "run_preflight"]
        earnest = [row for row in first if row.when["only_teardown"] == ("no",)]
        yield from lacking(earnest, "state_is_kept_where_required", "image_is_pinned", "rights_suffice")
    for name, (requires, unless) in WANTS[spec.name].items():
        guard = spec.guards.get(name)
        if guard is None or (dict(guard.requires), dict(guard.unless)) != (requires, unless):
            yield f"{name} does not ask for {requires}"


@claim("A lost site may be declared lost in every state in which the run may need it", "failback", "promote")
def may_be_declared_lost(spec: MachineSpec) -> Breaks:
    """Find states in which the loss of a site would hold a run for ever."""
    if spec.name == "failback":
        states, triggers = after(spec, "confirm_primary_quiesced") - after(spec, "tear_down_dr"), ["declare_dr_lost"]
        states -= {"dr_lost"} | after(spec, "abort")
    else:
        states = after(spec, "fence_primary", "leave_primary_unfenced", "accept_unfenced_primary")
        triggers, states = ["declare_primary_lost", "declare_primary_lost_unfenced"], states - {"complete"}
    for trigger in triggers:
        sources = {row.source for row in spec.rows if row.trigger == trigger}
        for state in sorted(states - sources - set(spec.finals) - spec.undo_states):
            if (trigger, state) != ("declare_primary_lost_unfenced", "primary_lost"):
                yield f"{trigger} is not possible in {state}"
