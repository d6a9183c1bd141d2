"""What the two sites are told to do now: schedules, publishing, fences, names; and so whether anybody can publish.

A site's cluster is asked where its kubeconfig is named. Where it is not, the newest reading in the records of runs
stands in its place, with its time. The bucket's policy is always read, and a name's records where the contract declares
endpoints. Whether a process runs, or a server answers, is not tried here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from drfsm.dashboard.runs import SeenRun, readings
from drfsm.dashboard.values import Fields, Unread, is_known, none, time_of, unknown, words
from drfsm.errors import Unreachable
from drfsm.evidence import wording
from drfsm.runs.doctor.canonical_site import took_down
from drfsm.runs.selection import freezing

if TYPE_CHECKING:
    from drfsm.engine import Run
    from drfsm.world import World

SITES = ("primary", "dr")
NAMES = {"primary": "the primary", "dr": "DR"}
TAKEN_DOWN = "taken down"
HERE = "this command, from the site's cluster"


@frozen
class Sight:
    """What the sites are read from. ``asked``: the sites whose kubeconfig is named."""

    world: "World"
    run: "Run"  # of nobody: facts are observed for a run's inputs
    asked: tuple[str, ...]
    runs: Sequence[SeenRun]
    unread: Unread


def schedules(sight: Sight, fences: Mapping[str, Any]) -> Fields:
    """Return the document's `schedules`. ``fences``: by site."""
    sites = {
        site: {
            "schedules": _reading(sight, site, "schedules"),
            "publishing": _reading(sight, site, "publishing"),
            "fence": fences[site],
        }
        for site in SITES
    }
    active = _active({site: _value(sites[site]["schedules"]) for site in SITES})
    return {"site": active, "since": _since(sight, sites), "sites": sites}


def _reading(sight: Sight, site: str, what: str) -> Any:
    """Return a fact of a site: as its cluster has it, else as a run read it last."""
    if site in sight.asked:
        value = sight.unread.reading(f"{what} of {NAMES[site]}", lambda: _observed(sight, site, what))
        if isinstance(value, Mapping):  # not known, or taken down
            return value
        return {"value": value, "read": {"at": time_of(sight.run.clock.now()), "by": HERE}}
    recorded = list(readings(sight.runs, f"{site}_{what}"))
    if not recorded:
        return unknown(f"no run has read it, and --kubeconfig-{site} is not given")
    at, value, run_id = recorded[-1]
    return {"value": words(value), "read": {"at": time_of(at), "by": words(run_id)}}


def _observed(sight: Sight, site: str, what: str) -> str | Fields:
    """Return a fact as the site's cluster has it; of a DR that a failback took down, that run's word."""
    try:
        return _asked(sight, site, what)
    except Unreachable:
        if site == "dr" and (down := _taken_down(sight)):
            return down
        raise


def _taken_down(sight: Sight) -> Fields | None:
    """Return the reading of a DR whose machines the last transfer, a failback, terminated and saw gone.

    By this computer's own bundle: what only lies in the bucket is a claim, and excuses no site that can't be reached.
    """
    transfers = (run for run in sight.runs if run.state.machine in ("promote", "failback"))
    last = next((run for run in transfers if run.state.scope == "live" and not run.state.dry_run), None)
    named = str(sight.run.inputs.get("kubeconfig_dr") or "")
    place = str(Path(named).expanduser().absolute()) if named else ""
    if last is None or not last.is_here or not took_down(last.state, place):
        return None
    return {"value": TAKEN_DOWN, "read": {"at": time_of(last.state.ended_at), "by": words(last.state.run_id)}}


def _asked(sight: Sight, site: str, what: str) -> str:
    from drfsm.dr.sites import publishing, schedules

    facts = {"schedules": schedules.FACTS, "publishing": publishing.FACTS}[what]
    fact = facts[f"{site}_{what}"]
    run = evolve(sight.run, inputs={**sight.run.inputs, "taker": site})  # its Deployments count as well
    return str(fact.judge(fact.observe(sight.world, run), run.inputs) or "unknown")


def _value(reading: Mapping[str, Any]) -> str:
    return str(reading["value"]) if is_known(reading) else "unknown"


def _active(values: Mapping[str, str]) -> Any:
    """Return the site whose schedules are on."""
    on = [site for site, value in values.items() if value == "on"]
    if len(on) > 1 or "mixed" in values.values():
        return "mixed"
    if missing := [NAMES[site] for site, value in values.items() if value == "unknown"]:
        others = "".join(f"; those of {NAMES[site]} are on" for site in on)
        return unknown(f"the schedules of {' and '.join(missing)} are not known{others}")
    return on[0] if on else none("the schedules of both sites are off")


def _since(sight: Sight, sites: Mapping[str, Any]) -> Any:
    """Return since when the records have both sites' schedules as they are now."""
    begun = []
    for site in SITES:
        value, streak = _value(sites[site]["schedules"]), ""
        if value == TAKEN_DOWN:
            begun.append(sites[site]["schedules"]["read"]["at"])
            continue
        for at, recorded, _ in readings(sight.runs, f"{site}_schedules"):
            streak = (streak or at) if recorded == value else ""
        if not streak:
            return unknown(f"no run has recorded when the schedules of {NAMES[site]} became so")
        begun.append(time_of(streak))
    return max(begun, key=str)


# --- who can publish -------------------------------------------------------------------------------------


def publish(sight: Sight, sites: Mapping[str, Any]) -> Fields:
    """Return the document's `publish`: whether the schedules of any site may start a Job that publishes."""
    able = {site: _can(sites[site]) for site in SITES}
    because = "; ".join(f"{NAMES[site]}: {why}" for site, (_, why) in able.items())
    frozen, since, unreadable = _nobody(sight.runs)
    is_read_now = set(SITES) <= {*sight.asked}
    answers = [answer for answer, _ in able.values()]
    if "yes" in answers and (is_read_now or not frozen):
        return {"possible": "yes", "because": words(because), "nobody_since": none("somebody can")}
    if answers == ["no", "no"] or (frozen and not is_read_now):
        nobody_since = time_of(since) if since else unknown("no run has recorded since when")
        return {"possible": "no", "because": words(frozen or because), "nobody_since": nobody_since}
    if unreadable:
        because = f"{because}; the records of {unreadable} can't be read"
    return {"possible": "unknown", "because": words(because), "nobody_since": unknown("it is not known")}


def _can(site: Mapping[str, Any]) -> tuple[str, str]:
    """Return (yes, no or unknown; why) for one site."""
    schedules, publishing, fence = _value(site["schedules"]), _value(site["publishing"]), site["fence"]
    state = f"schedules {schedules}, publishing {publishing}"
    if schedules == TAKEN_DOWN:
        return "no", f"it is taken down (run {site['schedules']['read']['by']})"
    if fence == "up":
        return "no", "its identity is fenced"
    if "off" in (schedules, publishing) or schedules == "none":
        return "no", state
    if (schedules, publishing) == ("on", "on"):
        return ("yes", state) if fence == "down" else ("unknown", f"{state}, and its fence is not known")
    return "unknown", state


def _nobody(runs: Sequence[SeenRun]) -> tuple[str, str, str]:
    """Return what the records say of nobody: (the words, since when, the first run whose records can't be read)."""
    unreadable = ""
    for known in freezing([run.known for run in runs]):
        if known.fault:
            unreadable = unreadable or known.id
        elif since := wording.nobody_since(known.state.frozen_since):
            loud = wording.frozen_in_order(known.state.frozen_since)[0]
            return f"{loud}, by the records of {known.id}", since, unreadable
    return "", "", unreadable


def no_writes_since(runs: Sequence[SeenRun]) -> str:
    """Return since when no site takes writes, by the run that says so; "" where none does."""
    for known in freezing([run.known for run in runs]):
        for word, since in known.state.frozen_since.items():
            if word.startswith(wording.NO_WRITES):
                return since
    return ""


def fences(world: "World", layout: Any, unread: Unread) -> Mapping[str, Any]:
    """Return by site whether its fence is up, down or altered."""
    from drfsm.dr.sites import fence_by_hand

    place = fence_by_hand.Place(world.store, world.policy, layout)
    seen = unread.reading("the fences in the bucket's policy", lambda: fence_by_hand.seen(place)["fences"])
    return {site: seen[site]["value"] if is_known(seen) else seen for site in SITES}


# --- names -----------------------------------------------------------------------------------------------


def names(sight: Sight) -> Any:
    """Return where each endpoint's name leads: by its records, and by every server for its zone."""
    from drfsm.dr.endpoints import FACTS
    from drfsm.dr.terms import terms_of

    declared = terms_of(sight.run.inputs).workload.endpoints
    if not declared:
        return none("the contract declares no endpoints (--workload names another contract)")
    sides = {
        kind: sight.unread.reading(what, lambda fact=FACTS[fact]: fact.observe(sight.world, sight.run))  # type: ignore[misc]  # a default binds it
        for kind, fact, what in (
            ("records", "endpoint_site", "the records of the endpoints"),
            ("served", "endpoint_seen", "the name servers of the endpoints"),
        )
    }
    return [
        {
            "name": name,
            "host": endpoint.host,
            "records": _leads(sides["records"], name, FACTS["endpoint_site"].judge, sight.run.inputs),
            "served": _leads(sides["served"], name, FACTS["endpoint_seen"].judge, sight.run.inputs),
        }
        for name, endpoint in declared.items()
    ]


def _leads(seen: Any, name: str, judge: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the site that one endpoint leads to. The inputs' run goes from the primary (old) to DR (new)."""
    if not is_known(seen):
        return seen
    value = judge({name: seen[name]}, inputs)
    return {"old": "primary", "new": "dr"}.get(value, value)
