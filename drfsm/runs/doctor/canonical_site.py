"""Which site is canonical, and whether DR was taken down: what decides how everything else weighs.

The ownership object names the canonical site. Where no run of drfsm has written it yet, the schedules tell: the site
whose CronJobs are on publishes. What they don't tell is not known, and no machine is then called superfluous.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from drfsm.claims import bounded, moment
from drfsm.errors import DrfsmError
from drfsm.journal import RunState
from drfsm.runs import mirrors
from drfsm.runs.doctor import proof, the_store
from drfsm.runs.doctor.codes import UNKNOWN
from drfsm.runs.doctor.findings import Finding, Look, finding
from drfsm.runs.doctor.the_sites import fact_of
from drfsm.runs.selection import known_runs

if TYPE_CHECKING:
    from drfsm.engine import Binding

Vouched = Callable[[], bool]
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
    """Find DR's machines that no open run explains. ``site``: the canonical one, "" where that is not known."""
    from drfsm.dr.infrastructure import RUN_TAG, tags_of

    if site == "dr":
        return
    at_work = {run.id for run in known_runs() if run.is_open}
    for runner in look.world.infrastructure.runners(tags_of(look.run)):
        run_id = runner.tags.get(RUN_TAG, "")
        if runner.state == "terminated" or run_id in at_work or (run_id and the_store.is_at_work(look, run_id)):
            continue
        by = f"run {bounded(run_id, 200)}, which is not open, brought it up" if run_id else "its tags name no run"
        if site:
            words = f"it is {bounded(runner.state, 40)}; the canonical site is {site}, and no open run uses it ({by})"
            yield finding("runner_is_nobodys", runner.instance_id, words)
            continue
        words = f"no open run uses it ({by}), but it may carry the canonical site: which that is, is not known"
        mend = "leave it running; `drfsm pointers own SITE` records the canonical site, then look again"
        yield finding("not_read", runner.instance_id, words, severity=UNKNOWN, mend=mend)


def taken_down(look: Look) -> str:
    """Return the failback that took DR down, and saw its machines gone; "" if it isn't the last run, or none did.

    DR's kubeconfig must be the one of that run: another one leads to another site. Somebody must answer for its
    records (this computer, or a trusted key): what only lies in the bucket hides no site.
    """
    try:
        runs = list(_transfers(look))
    except DrfsmError:  # one that can't be read may be the last one
        return ""
    return by_the_last(runs, str(look.inputs.get("kubeconfig_dr")))


def by_the_last(runs: Sequence[tuple[RunState, Vouched]], kubeconfig_dr: str) -> str:
    """Return the last live run's id if it took DR down and somebody answers for it, else ""."""
    live = [(state, vouched) for state, vouched in runs if not state.dry_run and state.scope == "live"]
    if not live:
        return ""
    last, vouched = max(live, key=lambda run: str(moment(run[0].started_at)))
    return last.run_id if took_down(last, kubeconfig_dr) and vouched() else ""


def took_down(state: RunState, kubeconfig_dr: str) -> bool:
    """Whether a run recorded that the machines of this DR are gone, and were seen to be gone."""
    result = state.results.get(TEAR_DOWN)
    gone = isinstance(result, Mapping) and bool(result.get("terminated")) and result.get("left") == 0
    same_site = bool(kubeconfig_dr) and state.inputs.get("kubeconfig_dr") == kubeconfig_dr
    return state.machine == "failback" and state.status == "complete" and gone and same_site


def _transfers(look: Look) -> Iterator[tuple[RunState, Vouched]]:
    """Yield the promotes and failbacks of this bucket and prefix, each with what asks whether somebody answers for it.

    Raises for a mirror that can't be read.
    """
    here = {run.id: run for run in known_runs() if not run.fault}
    place = f"{look.terms.prefix}/drfsm/runs/"
    others = sorted(the_store.names_below(look, place) - {*here}, key=lambda name: name.partition("-")[2])[-_MIRRORS:]
    own: Iterator[tuple[RunState, Vouched]] = ((run.state, partial(proof.is_own, run)) for run in here.values())
    for state, vouched in chain(own, (_mirrored(look, run_id) for run_id in others)):
        where = (state.inputs.get("bucket"), str(state.inputs.get("prefix", "")).strip("/"))
        if state.machine in ("promote", "failback") and where == (look.terms.bucket, look.terms.prefix):
            yield state, vouched


def _mirrored(look: Look, run_id: str) -> tuple[RunState, Vouched]:
    mirror = mirrors.mirror_at(look.store, look.terms.prefix, run_id)
    return mirrors.state_of(mirror), lambda: proof.is_signed(look, mirror)
