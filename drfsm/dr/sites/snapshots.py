"""Compares the snapshots that an abort would restore with the objects themselves, for records of another writer.

A freeze records the earlier state twice, in the journal and in the object's annotation ``drfsm/before``. A forger of
the journal can't forge the annotation, which is in the cluster. So a snapshot that would let a site start or publish
again must match the annotation or the object's present state. A snapshot that keeps a site quiet is always safe.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm.dr.sites import publishing, schedules
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from drfsm.journal import Undoable
from drfsm.world import World

SITES = ("primary", "dr")


def forged(world: World, run: Run, undo: Sequence[Undoable]) -> Iterator[str]:
    """Yield, in words, every snapshot that the objects contradict. Raises Unreachable if one can't be read."""
    for entry in undo:
        for fact, snapshot in entry.before.items():
            site, _, what = fact.partition("_")
            if site in SITES and what == "schedules":
                yield from _schedules(world, site, run, snapshot)
            elif site in SITES and what == "publishing":
                yield from _publishing(world, site, run, snapshot)


def _schedules(world: World, site: str, run: Run, snapshot: Any) -> Iterator[str]:
    if not isinstance(snapshot, Mapping):
        yield f"the schedules of {site}: the snapshot is not a table of CronJobs"
        return
    live = schedules.see(world, site, run)
    for name, image in snapshot.items():
        if not isinstance(image, Mapping) or name not in live:
            yield f"CronJob {name} on {site}: it is missing in the cluster or in the snapshot"
        elif not image.get("suspend"):
            recorded = schedules.parsed(live[name]["before"]).get("suspend")
            if recorded is not False and live[name]["suspend"]:
                yield f"CronJob {name} on {site} would be started, and its annotation {schedules.BEFORE} names no run"


def _publishing(world: World, site: str, run: Run, snapshot: Any) -> Iterator[str]:
    terms = terms_of(run.inputs)
    switches = terms.workload.switches
    live = publishing.see(world.site(site), terms.namespace, terms.configmap, switches)
    where = f"ConfigMap {terms.configmap} on {site}"
    if not isinstance(snapshot, Mapping) or not set(switches.names) <= snapshot.keys():
        yield f"{where}: the snapshot lacks its switches"
        return
    if switches.position(snapshot) == "off":
        return
    values = {name: snapshot[name] for name in switches.names}
    recorded = schedules.parsed(live["before"]).get("data")
    if values not in (recorded, {name: live[name] for name in switches.names}):
        yield f"{where} would publish again, and its annotation {schedules.BEFORE} does not say so"
