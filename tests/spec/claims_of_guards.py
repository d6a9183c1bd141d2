"""Claims about what is asked again before each write, and about what an action does."""

from collections.abc import Mapping

from drfsm.spec import By, MachineSpec
from tests.spec.claims import Breaks, after, before_the_switch, by_runner, claim, lacking

# --- what is asked again ----------------------------------------------------------------------------------


@claim("From the primary's drain to the switch, whatever writes asks whether both sites are still and still frozen",
       "failback")  # fmt: skip
def still_still(spec: MachineSpec) -> Breaks:
    """Find writes that would go on beside a site that somebody thawed."""
    before = before_the_switch(spec)
    silent, drained = after(spec, "confirm_primary_quiesced") & before, after(spec, "confirm_dr_quiesced") & before
    rows = [row for row in by_runner(spec) if row.source in silent and (row.sets or row.action == "capture_pointers")]
    rows = [row for row in rows if row.trigger != "refresh_pull_secret"]
    yield from lacking(rows, "primary_is_frozen|primary_may_publish", "primary_is_drained")
    rows = [row for row in rows if row.source in drained and row.action != "raise_dr_fence"]
    yield from lacking(rows, "dr_is_frozen", "dr_is_drained")
    quiesced = [row for row in by_runner(spec) if row.trigger.endswith("_quiesced")]
    yield from lacking(quiesced, "primary_is_frozen", "primary_is_drained")
    yield from lacking((row for row in quiesced if "_dr_" in row.trigger), "dr_is_frozen",
                        "dr_is_drained|dr_is_drained_in_sight")  # fmt: skip


@claim("From the switch to the end every step asks whether DR is still stopped, but where its machines are taken down",
       "failback")  # fmt: skip
def dr_stays_stopped(spec: MachineSpec) -> Breaks:
    """Find steps that would go on, or end, beside a DR that somebody woke."""
    switched = after(spec, "switch_global_pointer", "hand_over_ownership") - spec.undo_states
    rows = [row for row in by_runner(spec) if row.source in switched - after(spec, "tear_down_dr")]
    rows += [row for row in spec.rows if row.trigger == "skip_teardown"]
    yield from lacking((row for row in rows if row.trigger != "tear_down_dr"), "dr_is_frozen", "dr_is_drained")


WATCHED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "failback": {"dr_still_owns": ("confirm_dr_promoted",), "primary_fence_is_kept": ("fence_primary",),
                 "dr_fence_is_kept": ("fence_dr", "fence_lost_dr", "declare_dr_lost")},
    "promote": {"primary_still_owns": ("approve",), "primary_fence_is_kept": ("fence_primary",)},
}  # fmt: skip


@claim("What is watched is read at every row from the one that brings it about until the switch", "failback", "promote")
def watched(spec: MachineSpec) -> Breaks:
    """Find rows that don't read the owner or a fence (docs/failback.md, What is watched)."""
    for guard, triggers in WATCHED[spec.name].items():
        # Where DR is declared lost in dr_quiesced, the guards there ask for the fence itself.
        between = after(spec, *triggers) & before_the_switch(spec) - {"dr_quiesced"}
        yield from lacking((row for row in by_runner(spec) if row.source in between), guard)


EXACTLY: Mapping[str, Mapping[str, tuple[dict[str, set[str]], dict[str, set[str]]]]] = {
    "failback": {
        "pointers_name_dr": ({"global_pointer": {"dr"}, "provider_pointers": {"dr"}}, {}),
        "primary_may_publish": ({"primary_publishing": {"on"}, "primary_schedules": {"off"}}, {}),
        "dr_is_drained_in_sight": ({"dr_inflight": {"no", "out_of_sight"}}, {}),
        "dr_loss_is_declared": ({"dr_loss": {"declared"}}, {}),
        "dr_is_frozen": (
            {"dr_schedules": {"off"}, "dr_publishing": {"off"}}, {"dr_loss": {"declared"}, "dr_fence": {"up"}}
        ),
        "pointers_as_captured": ({"captured": {"unmoved"}}, {}),
    },
    "promote": {"pointers_as_captured": ({"captured": {"unmoved"}}, {})},
}  # fmt: skip


@claim("A site counts as still, lost or ready to publish, and pointers as captured, by nothing less than all of it",
       "failback", "promote")  # fmt: skip
def nothing_less(spec: MachineSpec) -> Breaks:
    """Find guards that would pass with less: half a set of pointers, a Job in sight, a loss that nobody declared."""
    for name, (requires, unless) in EXACTLY[spec.name].items():
        guard = spec.guards.get(name)
        if guard is None:
            yield f"{name} is gone"
            continue
        if {fact: set(values) for fact, values in guard.requires.items()} != requires:
            yield f"{name} asks for {dict(guard.requires)}"
        if {fact: set(values) for fact, values in guard.unless.items()} != unless:
            yield f"{name} is waived by {dict(guard.unless)}"


@claim("Whoever waits in a state in which nobody may publish is told at once that the owner or a fence changed",
       "failback")  # fmt: skip
def told_while_it_waits(spec: MachineSpec) -> Breaks:
    """Find states between the drain and the switch that do not watch the owner and the primary's fence."""
    for state in (after(spec, "confirm_dr_quiesced") & before_the_switch(spec)) - spec.undo_states:
        for name in ("dr_still_owns", "primary_fence_is_kept"):
            if name not in spec.guards or state not in spec.guards[name].watched:
                yield f"{name} is not watched in {state}"


@claim("Whatever is captured is compared again before each write that relies on it", "failback", "promote")
def captured(spec: MachineSpec) -> Breaks:
    """Find writes that would go on though somebody moved a pointer."""
    between = after(spec, "capture_pointers") & before_the_switch(spec)
    relies = ("verify_dr_run", "start_validation", "publish_artifacts", "enable_primary_publish")
    rows = (row for row in by_runner(spec) if row.source in between)
    yield from lacking(
        (row for row in rows if row.trigger in relies or "switch" in row.trigger or row.point_of_no_return),
        "pointers_as_captured",
    )


@claim("Until the pointers have moved every step asks whether DR stands by", "promote")
def dr_stands_by(spec: MachineSpec) -> Breaks:
    """Find steps that would go on beside a DR that woke."""
    asks = [row for row in by_runner(spec) if row.source not in ("start", "validation_started", "dr_publish_enabled",
                                                                 "dr_scheduled")]  # fmt: skip
    asks = [row for row in asks if row.source not in spec.undo_states | {"rehearsal_failing", "rehearsal_aborting"}]
    yield from lacking(asks, "dr_is_quiet")
    yield from lacking((row for row in asks if row.trigger != "refresh_pull_secret"), "dr_is_drained")


@claim("Who takes over has every write, or a person goes on without; the gate is looked at again before each switch",
       "failback", "promote")  # fmt: skip
def no_write_is_lost(spec: MachineSpec) -> Breaks:
    """Find steps that would go on though the old site takes writes, or the new one lacks some."""
    rows = [row for row in by_runner(spec) if "drill" not in row.when.get("target", ()) and "rehears" not in row.source]
    yield from lacking(
        (row for row in rows if row.trigger in ("confirm_writes_settled", "confirm_endpoints_seen")),
        "writes_are_replicated",
    )
    switches = ("switch_provider_pointers", "switch_global_pointer", "hand_over_ownership")
    yield from lacking((row for row in rows if row.trigger in switches), "users_cannot_write")


@claim("From the primary's drain to the end every step asks whether the primary is still stopped", "promote")
def primary_stays_stopped(spec: MachineSpec) -> Breaks:
    """Find steps that would go on beside a primary that was thawed, or returned."""
    stopped = after(spec, "confirm_primary_quiesced", "record_primary_loss") - spec.undo_states
    rows = [row for row in by_runner(spec) if row.source in stopped]
    quiesced = [row for row in by_runner(spec) if row.trigger == "confirm_primary_quiesced"]
    yield from lacking([*rows, *quiesced], "primary_is_frozen")
    yield from lacking([row for row in rows if row.trigger != "finish"] + quiesced,
                        "primary_is_drained|primary_is_drained_in_sight")  # fmt: skip


@claim("Whatever stops the primary or moves a pointer asks whether the plan is the approved one", "promote")
def approved(spec: MachineSpec) -> Breaks:
    """Find steps that would go on by an approval of another plan, or of yesterday."""
    begin = [row for row in by_runner(spec) if row.source == "approved"]
    moves = [row for row in by_runner(spec) if row.source in after(spec, "confirm_primary_quiesced")]
    moves = [row for row in moves if row.source in before_the_switch(spec)]
    yield from lacking([*begin, *moves, *(row for row in spec.rows if row.trigger == "approve")], "approval_is_current")
    timely = [row for row in spec.rows if row.trigger in ("approve", "freeze_primary")]
    yield from lacking([*begin, *timely], "approval_is_in_time")


@claim("What a person approves was looked at in that moment", "promote")
def approves_what_is_there(spec: MachineSpec) -> Breaks:
    """Find approvals of a run that nobody looked at again."""
    rows = [row for row in spec.rows if row.trigger == "approve"]
    yield from lacking(rows, "dr_run_is_whole", "canonical_run_is_named", "pointers_are_complete",
                        "no_newer_run_is_replaced", "approver_is_another")  # fmt: skip
    yield from lacking((row for row in rows if row.to != row.source), "dr_is_quiet", "dr_is_drained")


@claim("Every step of a rehearsal asks for both flags, and whether it stays beside", "promote")
def rehearses_beside(spec: MachineSpec) -> Breaks:
    """Find steps of a rehearsal that could reach the pointers that everybody reads."""
    rows = [row for row in by_runner(spec) if row.source in after(spec, "bypass_approval") | {"rehearsal_verified"}]
    rows = [row for row in rows if row.trigger != "finish_rehearsal"]
    yield from lacking(rows, "rehearsal_stays_beside", "both_flags_are_set")


@claim("Whatever changes a drilled site asks whether DR owns the pointers, and whether the site is canonical", "drill")
def drilled_site_is_free(spec: MachineSpec) -> Breaks:
    """Find changes of a site that somebody may have promoted in this moment."""
    changing = (
        "restore_manifests",
        "apply_dr_control_plane",
        "refresh_pull_secret",
        "restore_state",
        "start_validation",
    )
    rows = [row for row in spec.rows if row.action in changing or row.trigger == "check_site"]
    yield from lacking(rows, "dr_does_not_own", "site_is_not_canonical")
    begins = ("plan_site", "bring_up_site", "start_promotion")
    yield from lacking((row for row in spec.rows if row.trigger in begins), "dr_does_not_own")
    works = ("check_site", "start_validation", "start_promotion")
    yield from lacking((row for row in spec.rows if row.trigger in works), "site_is_quiet")
    ours = ("plan_site", "bring_up_site", "adopt_site")
    yield from lacking((row for row in spec.rows if row.trigger in ours), "nobody_elses_runners")
    first = [row for row in spec.rows if row.trigger == "run_preflight" and row.when.get("only_teardown") != ("yes",)]
    yield from lacking(first, "dr_does_not_own")


@claim("A failed phase is given up only for a reason that stays, and what was applied is read back", "drill")
def gives_up_for_a_reason(spec: MachineSpec) -> Breaks:
    """Find failures that are believed too early: a promote that waits for a person has not failed."""
    wants = {
        "promotion_has_failed": {"promotion": ("failed",)},
        "another_try_may_help": {"validation_failure": ("image_pull", "memory")},
    }
    for name, required in wants.items():
        guard = spec.guards.get(name)
        if guard is None or dict(guard.requires) != required:
            yield f"{name} does not ask for {required}"
    canonical = [row for row in spec.rows if row.source == "canonical_promotion_started" and row.by is By.FAILURE]
    yield from lacking(canonical, "promotion_has_failed")
    yield from lacking((row for row in spec.rows if row.trigger == "retry_validation"), "another_try_may_help")
    read_back = (row for row in spec.rows if row.trigger == "confirm_secrets")
    yield from lacking(read_back, "secrets_are_there", "configuration_is_equal")


@claim("Nothing is left standing unless that was asked for, and the end looks once more", "drill")
def nothing_is_left(spec: MachineSpec) -> Breaks:
    """Find ends with a machine that nobody uses."""
    leaves = [row for row in spec.rows if row.trigger == "leave_site"]
    yield from lacking(leaves, "teardown_is_not_asked")
    ends = (row for row in spec.rows if row.to in spec.finals and spec.finals[row.to] != "refused")
    yield from (f"{row.key} ends without the costs" for row in ends if row.trigger != "account_costs")
    left = {row.to for row in leaves}
    for row in (row for row in spec.rows if row.trigger == "account_costs"):
        yield from lacking([row], "teardown_is_not_asked" if row.source in left else "nothing_is_left")


# --- what an action does ----------------------------------------------------------------------------------

OF_SITE = {"failback": ("primary", "dr"), "promote": ("dr", "primary"), "drill": ("dr", "primary")}  # taker, giver
DOES: Mapping[str, Mapping[str, str]] = {
    "adopt_ownership": {"owner": "GIVER"},
    "raise_primary_fence": {"primary_fence": "up"},
    "lift_primary_fence": {"primary_fence": "down"},
    "raise_dr_fence": {"dr_fence": "up"},
    "lift_dr_fence": {"dr_fence": "down"},
    "suspend_primary_schedules": {"primary_schedules": "off"},
    "resume_primary_schedules": {"primary_schedules": "on"},
    "suspend_dr_schedules": {"dr_schedules": "off"},
    "resume_dr_schedules": {"dr_schedules": "on"},
    "silence_primary": {"primary_publishing": "off"},
    "enable_primary_publishing": {"primary_publishing": "on"},
    "silence_dr": {"dr_publishing": "off"},
    "enable_dr_publishing": {"dr_publishing": "on"},
    "sync_prefix": {"sync": "done"},
    "refresh_pull_secret": {"pull_token": "fresh"},
    "start_validation": {"validation_job": "present"},
    "remove_validation": {"validation_job": "absent"},
    "publish_artifacts": {"artifacts": "published"},
    "move_provider_pointers": {"provider_pointers": "TAKER"},
    "move_global_pointer": {"global_pointer": "TAKER", "owner": "TAKER"},
    "hand_over_ownership": {"owner": "TAKER"},
    "complete_pointer_set": {"global_pointer": "GIVER", "provider_pointers": "GIVER"},
    "switch_latest": {"latest": "TAKER"},
    "start_soak": {"soak_job": "present"},
    "remove_soak": {"soak_job": "absent"},
    "terminate_runners": {"runners": "gone"},
    "stage_rehearsal": {"rehearsal": "staged"},
    "plan_runner": {"runner_plan": "ready"},
    "bring_up_runner": {"runner": "present"},
    "fetch_kubeconfig": {"site_kubeconfig": "held", "runner_ready": "yes"},
    "restore_manifests": {"restored_manifests": "quiet"},
    "apply_dr_control_plane": {"dr_control_plane": "equal"},
    "restore_state": {"restored_state": "restored"},
    "run_promotion": {"promotion_run": "present"},
    "finish_promotion": {"promotion": "complete"},
    "tear_down_runner": {"runner": "absent"},
    "adopt_active_site": {"active_site": "old"},
    "await_endpoints_insync": {"endpoint_insync": "yes"},
    "lower_endpoint_ttl": {"endpoint_ttl": "low"},
    "close_source_gate": {"GIVER_gate": "closed"},
    "declare_active_site": {"active_site": "new"},
    "move_endpoints": {"endpoint_site": "new"},
    "return_endpoints": {"endpoint_site": "old"},
    "open_target_gate": {"TAKER_gate": "open"},
    "remove_canary": {"canary": "clean"},
}
WHEN_CANONICAL = {"pointer_owner": "dr", "site_ownership": "canonical"}


@claim("Each action brings about what its code does, wherever a row calls it")
def does_what_it_does(spec: MachineSpec) -> Breaks:
    """Find rows that set what their action does not do: they would hold every run, or believe what was not done."""
    taker, giver = OF_SITE[spec.name]
    for row in (row for row in spec.rows if row.sets):
        due = {
            fact.replace("TAKER", taker).replace("GIVER", giver): {"TAKER": taker, "GIVER": giver}.get(value, value)
            for fact, value in DOES[row.action or ""].items()
        }
        due |= WHEN_CANONICAL if row.source == "canonical_promotion_started" else {}
        if dict(row.sets) != due:
            yield f"{row.key} sets {dict(row.sets)}"


UNDONE = {
    "failback": {"suspend_dr_schedules", "silence_dr", "raise_dr_fence", "start_validation", "publish_artifacts",
                 "enable_primary_publishing", "move_provider_pointers", "lower_endpoint_ttl", "close_source_gate"},
    "promote": {"raise_primary_fence", "suspend_primary_schedules", "silence_primary", "start_validation",
                "publish_artifacts", "move_provider_pointers", "close_source_gate"},
    "drill": set(),
}  # fmt: skip
UNCONDITIONAL = {"raise_primary_fence", "raise_dr_fence", "start_validation", "publish_artifacts"}


@claim("Before the switch an abort gives back what it must, and waits for what may still arrive", "failback", "promote")
def given_back(spec: MachineSpec) -> Breaks:
    """Find what would stay after an abort, or arrive after it: a policy, a new Job and a copy have no condition."""
    rehearsing = after(spec, "bypass_approval")
    for row in spec.rows:
        undone = row.action in UNDONE[spec.name] and row.source in before_the_switch(spec) - rehearsing
        if undone != (row.undo is not None):
            yield f"{row.key} is {'not ' if undone else ''}undone"
        if (undone and row.action in UNCONDITIONAL) != row.lands_late:
            yield f"{row.key} {'lands' if row.lands_late else 'does not land'} late"
