"""Which cluster has which role: the two kubeconfigs, held against what earlier runs know of this bucket.

After a promote, a failback with its two kubeconfigs swapped would freeze the wrong site, and its confirmation would
name the wrong owner: the ownership object names the cluster that owns the pointers, and the records of earlier runs
name both. A cluster that is known in the other role is ``swapped``, which nothing waives. A cluster that nobody knows
(it was built anew) is no evidence. Owns the fact ``clusters``. Changes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from drfsm import claims
from drfsm.dr.pointers import left_alone, lost, ownership
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Run
from drfsm.errors import Unreadable
from drfsm.journal.mirror import home_of, key_of
from drfsm.world import ObjectStore, World

SITES = ("primary", "dr")
LOST, LEFT_ALONE = "not evaluated: declared lost", "not evaluated: a rehearsal leaves it alone"
_RUNS = 5  # earlier runs, the newest first
_RECORDS = 12  # of each: its preflight is among the first
_LONGEST_UID = 100  # characters
_PREFLIGHT = "run_preflight"


def observe(world: World, run: Run) -> dict[str, Any]:
    """Observe the clusters behind the kubeconfigs, and in which role this bucket knows them."""
    words = {site: LOST if lost(run, site) else LEFT_ALONE for site in SITES if left_alone(run, site)}
    seen: dict[str, Any] = {site: words.get(site) or world.site(site).uid() for site in SITES}
    for source, known in _known(world.store, run):
        if swapped := [site for site, other in (SITES, SITES[::-1]) if seen[site] == known.get(other)]:
            names = " and ".join(f"--kubeconfig-{site}" for site in swapped)
            roles = " and ".join("dr" if site == "primary" else "primary" for site in swapped)
            verb, clusters = ("leads", "cluster") if len(swapped) == 1 else ("lead", "clusters")
            in_words = f"{names} {verb} to the {clusters} that {source} knows as {roles}: the kubeconfigs are swapped"
            return {**seen, "known": dict(known), "source": source, "in_words": in_words}
        if any(seen[site] == known.get(site) for site in SITES):
            return {**seen, "known": dict(known), "source": source}
    return seen


def judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any] | None = None) -> str:
    """Judge whether there are two clusters, each in its role. A run of an older version recorded their UIDs alone."""
    if seen["primary"] == seen["dr"]:
        return "same"
    known = seen.get("known") or {}
    swapped = any(seen[site] == known.get(other) for site, other in (SITES, SITES[::-1]))
    return "swapped" if swapped else "distinct"


def _known(store: ObjectStore, run: Run) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield (who says so, site -> UID): the ownership object, then the run that wrote it, then the newest runs."""
    layout = terms_of(run.inputs).layout
    owned = ownership.read(store, layout.own("ownership.json"))
    if owned["site"] in SITES and owned.get("cluster_uid"):
        yield "the ownership object", {owned["site"]: owned["cluster_uid"]}
    yield from _of_runs(store, layout.prefix, run, owned.get("run"))


def _of_runs(store: ObjectStore, prefix: str, run: Run, first: str | None) -> Iterator[tuple[str, Mapping[str, str]]]:
    home = home_of(prefix, "")
    names = {stat.key.removeprefix(home).partition("/")[0] for stat in store.list(home)} - {run.id, first or ""}
    newest = sorted(filter(_is_of_two_sites, names), key=lambda name: name.partition("-")[2], reverse=True)
    for name in [first, *newest[:_RUNS]] if first and first != run.id else newest[:_RUNS]:
        run.check()
        if clusters := _of_run(store, home_of(prefix, name)):
            yield f"the run {name}", clusters


def _is_of_two_sites(name: str) -> bool:
    return claims.is_name("drfsm run", name) and name.partition("-")[0] in ("promote", "failback")


def _of_run(store: ObjectStore, home: str) -> dict[str, str]:
    """Return the UIDs that a run's preflight recorded; {} where it has none, or its records can't be read."""
    for number in range(_RECORDS):
        try:
            blob = store.get(key_of(home, number), largest_bytes=claims.LARGEST_BYTES)
            record = {} if blob is None else claims.object_of(blob.body, "a record", largest_bytes=claims.LARGEST_BYTES)
        except Unreadable:
            return {}
        if not record:
            return {}
        body = record.get("body")
        if record.get("kind") == "commit" and isinstance(body, dict) and body.get("trigger") == _PREFLIGHT:
            return _uids(body.get("result"))
    return {}


def _uids(result: object) -> dict[str, str]:
    clusters = result.get("clusters") if isinstance(result, dict) else None
    if not isinstance(clusters, dict):
        return {}
    uids = {site: clusters.get(site) for site in SITES}
    return {
        site: uid
        for site, uid in uids.items()
        if isinstance(uid, str) and uid.isprintable() and len(uid) <= _LONGEST_UID and not uid.startswith("not eval")
    }


FACTS = {"clusters": Fact(observe, judge)}
