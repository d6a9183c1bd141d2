"""What rows that move users ask for, each time again: somebody may have changed it since the row before."""

from drfsm.spec import MachineSpec
from tests.spec.claims import Breaks, by_runner, claim, lacking

ASKED = {
    "adopt_active_site": "nobody_else_is_active name_leads_to_{old} {new}_serves",
    "try_endpoint_records": "name_leads_to_{old} ttl_is_shown",
    "lower_endpoint_ttl": "name_leads_to_{old}",
    "await_old_ttl": "old_ttl_has_passed",
    "check_both_sites_refuse": "{old}_is_frozen {old}_is_drained",
    "confirm_writes_settled": "{old}_is_frozen {old}_is_drained {old}_takes_no_writes",
    "declare_active_site": "{old}_takes_no_writes {new}_takes_no_writes {old}_is_declared_active",
    "move_endpoints": "{new}_serves name_is_movable",
    "await_endpoints_insync": "name_leads_to_{new}",
    "confirm_endpoints_seen": "name_leads_to_{new} name_is_seen_at_{new}",
    "open_{new}_gate": "{new}_is_unfenced {new}_is_declared_active {old}_takes_no_writes",
    "check_old_site_refuses": "canary_is_removed",
    "confirm_endpoints_serve": "name_leads_to_{new} name_serves caches_are_shown",
}
REHEARSED = {
    "begin_endpoints": "name_leads_to_primary dr_serves",
    "move_endpoints": "name_is_movable",
    "confirm_endpoints_seen": "name_leads_to_dr name_is_seen_at_dr",
    "return_endpoints": "name_is_movable",
    "check_endpoints": "dr_serves",
}
GIVEN_UP = ("rehearsal_failing", "rehearsal_aborting")
CUT_OFF = (
    "declare_active_site", "move_endpoints", "await_endpoints_insync", "confirm_endpoints_seen", "open_{new}_gate",
    "run_canary", "check_old_site_refuses", "confirm_endpoints_serve",
)  # fmt: skip


def sites(spec: MachineSpec) -> dict[str, str]:
    """Return the site that users come from, and the one that they are led to."""
    return {"old": "dr", "new": "primary"} if spec.name == "failback" else {"old": "primary", "new": "dr"}


@claim("What leads users, and what they may write, is asked again by each row that relies on it", "failback", "promote")
def users_are_led(spec: MachineSpec) -> Breaks:
    """Find rows that would go on though the name leads elsewhere, a site does not serve, or a gate stands otherwise."""
    rows = [row for row in by_runner(spec) if "rehears" not in row.source]
    for trigger, guards in ASKED.items():
        asking = [row for row in rows if row.trigger == trigger.format(**sites(spec))]
        for guard in guards.format(**sites(spec)).split():
            yield from lacking(asking, guard)


@claim("A rehearsal moves only a name that it can lead back, to a site that serves", "promote")
def rehearsed(spec: MachineSpec) -> Breaks:
    """Find rows of a rehearsal that would move a name by chance."""
    rows = [row for row in by_runner(spec) if "rehears" in row.source and row.source not in GIVEN_UP]
    for trigger, guards in REHEARSED.items():
        for guard in guards.split():
            yield from lacking([row for row in rows if row.trigger == trigger], guard)


@claim("From the switch on, users are led on only while a lost site stays cut off", "failback", "promote")
def lost_stays_cut_off(spec: MachineSpec) -> Breaks:
    """Find rows that would open the new site beside an old one that may return."""
    old, triggers = sites(spec)["old"], {trigger.format(**sites(spec)) for trigger in CUT_OFF}
    rows = [row for row in by_runner(spec) if row.trigger in triggers and "rehears" not in row.source]
    lost = [row for row in spec.rows if row.trigger == "check_both_sites_refuse" and "yes" in row.when.get(
        f"{old}_unreachable", ())]  # fmt: skip
    yield from lacking([*rows, *lost], f"lost_{old}_stays_cut_off")
    approving = [row for row in by_runner(spec) if row.trigger in ("adopt_active_site", "try_endpoint_records")]
    for guard in ("approval_is_current", "approval_is_in_time") if spec.name == "promote" else ():
        yield from lacking(approving, guard)
