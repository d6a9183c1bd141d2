"""Which site is canonical, and whether DR was taken down: what decides how everything else weighs.

The ownership object names the canonical site. Where no run of drfsm has written it yet, the schedules tell: the site
whose CronJobs are on publishes. What they don't tell is not known, and no machine is then called superfluous.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve

from drfsm.claims import bounded, moment
from drfsm.errors import DrfsmError
from drfsm.journal import RunState
from drfsm.runs.doctor import the_store
from drfsm.runs.doctor.codes import UNKNOWN
from drfsm.runs.doctor.findings import Finding, Look, finding
from drfsm.runs.doctor.the_sites import fact_of
from drfsm.runs.selection import known_runs

if TYPE_CHECKING:
    from drfsm.engine import Binding

TEAR_DOWN = "tear_down_dr"
"""The trigger whose action terminates the machines of DR and sees them gone."""
_MIRRORS = 10
"""How many runs of other machines are read, the newest first."""


def owner(look: Look) -> str:
    """Return the site that owns the pointers by drfsm's own object, ``unclaimed`` where there is none."""
    from drfsm.dr.pointers import ownership

    return str(ownership.read(look.store, look.terms.layout.own("ownership.json"))["site"] or "unclaimed")


def by_schedules(look: Look, binding: "Binding") -> tuple[str, str]:
    """Return (the site whose schedules alone are on, what both sites' are); "" where they don't tell."""
    values = {site: fact_of(look, binding, f"{site}_schedules")[0] or "not known" for site in ("primary", "dr")}
    words = f"schedules of the primary: {values['primary']}; of DR: {values['dr']}"
    return publishing_site(values), words


def publishing_site(values: Mapping[str, str]) -> str:
    """Return the site that publishes by both sites' schedules, "" where they don't tell."""
    for site, other in (("primary", "dr"), ("dr", "primary")):
        if values[site] in ("on", "mixed") and values[other] in ("off", "none"):
            return site
    return ""


def machines(look: Look, site: str) -> Iterator[Finding]:
    """Find DR's machines that nothing explains. ``site``: the canonical one, "" where that is not known."""
    from drfsm.dr.infrastructure import RUN_TAG, tags_of

    if site == "dr":
        return
    superfluous = list(the_store.machines(look))
    if not superfluous:
        return
    runs = {
        runner.instance_id: runner.tags.get(RUN_TAG, "")
        for runner in look.world.infrastructure.runners(tags_of(look.run))
    }
    for each in superfluous:
        run = bounded(runs.get(each.subject, ""), 200)
        by = f"run {run}, which is not open, brought it up" if run else "its tags name no run"
        if site:
            yield evolve(each, words=f"the canonical site is {site}, and no open run uses this machine ({by})")
            continue
        words = (
            f"no open run uses this machine ({by}), but it may carry the canonical site: which that is, is not known"
        )
        mend = "leave it running; `drfsm pointers own SITE` records the canonical site, then look again"
        yield finding("not_read", each.subject, words, severity=UNKNOWN, mend=mend)


def taken_down(look: Look) -> str:
    """Return the failback that took DR down, and saw its machines gone; "" if it isn't the last run, or none did.

    DR's kubeconfig must be the one of that run: another one leads to another site.
    """
    try:
        states = [state for state in _transfers(look) if not state.dry_run and state.scope == "live"]
    except DrfsmError:  # one that can't be read may be the last one
        return ""
    last = max(states, key=lambda state: str(moment(state.started_at)), default=None)
    return last.run_id if last is not None and took_down(last, str(look.inputs.get("kubeconfig_dr"))) else ""


def took_down(state: RunState, kubeconfig_dr: str) -> bool:
    """Whether a run recorded that the machines of this DR are gone, and were seen to be gone."""
    result = state.results.get(TEAR_DOWN)
    gone = isinstance(result, Mapping) and bool(result.get("terminated")) and result.get("left") == 0
    same_site = bool(kubeconfig_dr) and state.inputs.get("kubeconfig_dr") == kubeconfig_dr
    return state.machine == "failback" and state.status == "complete" and gone and same_site


def _transfers(look: Look) -> Iterator[RunState]:
    """Yield the promotes and failbacks of this bucket and prefix. Raises for a mirror that can't be read."""
    here = {run.id: run.state for run in known_runs() if not run.fault}
    place = f"{look.terms.prefix}/drfsm/runs/"
    others = sorted(the_store.names_below(look, place) - {*here}, key=lambda name: name.partition("-")[2])[-_MIRRORS:]
    mirrored = (the_store._state_of(look, look.terms.prefix, run_id) for run_id in others)  # noqa: SLF001
    for state in chain(here.values(), mirrored):
        where = (state.inputs.get("bucket"), str(state.inputs.get("prefix", "")).strip("/"))
        if state.machine in ("promote", "failback") and where == (look.terms.bucket, look.terms.prefix):
            yield state
