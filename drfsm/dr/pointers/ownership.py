"""The owner of the pointers: drfsm's own object, changed by compare-and-swap only.

    <prefix>/drfsm/ownership.json   {schema_version, site, cluster_uid, epoch, run, nonce}

The workload's pointers name no site, and the workload overwrites them unconditionally; only drfsm writes this object.
Where it doesn't exist yet (after a promote by hand), the first procedure adopts the owner that its operator confirmed,
as a recorded step. An unreadable object counts neither as absent nor as owned by another site: the owner is then
unknown, until an operator decides (--adopt-ownership).
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.dr.terms import terms_of
from drfsm.engine import Fact, Late, Run
from drfsm.errors import Conflict, Unreadable
from drfsm.world import ObjectStore, World

LARGEST_BYTES = 1 << 20
TRIES = 5
_LONGEST_UID = 100  # characters; the UID of a namespace has 36
NOT_ASKED = "not evaluated: lost, or left alone"


def _key(run: Run) -> str:
    return terms_of(run.inputs).layout.own("ownership.json")


def read(store: ObjectStore, key: str) -> dict[str, Any]:
    """Return ``{site, cluster_uid, run}``; ``{site: None}`` where there is none.

    An invalid object is ``{site: "unreadable", why}`` and not an error, so that an adoption can replace it.
    """
    try:
        blob = store.get(key, largest_bytes=LARGEST_BYTES)
        return {"site": None} if blob is None else _owned(blob.body, f"the ownership object {key}")
    except Unreadable as fault:
        return {"site": "unreadable", "why": fault.what}


def _owned(body: bytes, what: str) -> dict[str, Any]:
    """Return the object's content. Raises Unreadable."""
    owned = claims.object_of(body, what, largest_bytes=LARGEST_BYTES)
    site = claims.name_of("machine", claims.field(owned, "site", str, what), f"the site in {what}")
    uid = claims.field(owned, "cluster_uid", (str, type(None)), what)
    run = owned.get("run")
    if run is not None:
        claims.name_of("drfsm run", run, f"the run in {what}")
    if uid is not None and not (uid.isprintable() and len(uid) <= _LONGEST_UID):  # only compared and shown
        raise Unreadable(f"{what} can't be read: its cluster_uid is {claims.bounded(uid, 100)}")
    return {"site": site, "cluster_uid": uid, "run": run}


def _observe(world: World, run: Run) -> dict[str, Any]:
    seen = read(world.store, _key(run))
    site, uid = seen["site"], seen.get("cluster_uid")
    # The name alone proves nothing: the cluster's UID must be the one that this run knows.
    if site in ("primary", "dr"):
        unseen = "not evaluated: its cluster could not be asked when this was written" if uid is None else NOT_ASKED
        seen["is_ours"] = unseen if uid is None or left_alone(run, site) else uid == world.site(site).uid()
    return seen


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    if seen["site"] is None:
        return "unclaimed"
    if "why" in seen:
        return None
    return str(seen["site"]) if seen.get("is_ours") else "other"


def lost(run: Run, site: str) -> bool:
    """Whether an operator declared this site lost: it is then not evaluated, but fenced."""
    return terms_of(run.inputs).unreachable(site)


def left_alone(run: Run, site: str) -> bool:
    """Whether a site gets no requests: it is lost, or this is a rehearsal, which does not touch the source site."""
    terms = terms_of(run.inputs)
    return terms.unreachable(site) or (terms.is_rehearsal and site == terms.source_site)


def _adopt(world: World, run: Run) -> dict[str, Any]:
    """Record the source site as the owner, if no owner is recorded or the operator decides so."""
    terms = terms_of(run.inputs)
    blob, seen, site = world.store.stat(_key(run)), _observe(world, run), terms.source_site
    if _judge(seen, run.inputs) == site:
        return {"adopted": False}
    if blob is not None and not terms.adopt_ownership:
        raise Conflict(
            seen.get("why") or f"the ownership object names {seen['site']}",
            hint=f"give --adopt-ownership if {site} was made canonical by hand",
        )
    world.store.put(_key(run), _body(world, run, site), if_match=blob.etag if blob else None, if_absent=blob is None)
    run.note(
        f"recorded {site} as the owner of the pointers; before, the ownership object named {seen['site'] or 'no site'}"
    )
    return {"adopted": True, "in_place_of": seen["site"]}


def hand_over(world: World, run: Run) -> None:
    """Make the target site the owner if the source site is. Already done is not an error. Raises Conflict otherwise."""
    terms = terms_of(run.inputs)
    blob, seen = world.store.stat(_key(run)), _observe(world, run)
    site = seen["site"]
    if "why" in seen:
        raise Conflict(
            f"{seen['why']}: another process wrote it", hint="find out who wrote it; restore it, then `drfsm resume`"
        )
    if site == terms.target_site and seen.get("is_ours") is not False:
        return
    if blob is None or site != terms.source_site:
        raise Conflict(
            f"the pointers are owned by {site or 'no site'}, not by {terms.source_site}: another process changed it"
        )
    world.store.put(_key(run), _body(world, run, terms.target_site), if_match=blob.etag)
    run.note(f"{terms.target_site} now owns the pointers")


def touch(world: World, run: Run) -> dict[str, Any]:
    """Write the object again with the same content and a new nonce: a late write fails on its ETag.

    Where there is no object, or nobody can read it, it is left alone. Raises Conflict if another process writes it.
    """
    key = _key(run)
    for _ in range(TRIES):
        blob = world.store.get(key, largest_bytes=LARGEST_BYTES)
        if blob is None or "why" in read(world.store, key):
            return {"touched": []}
        owned = claims.object_of(blob.body, f"the ownership object {key}", largest_bytes=LARGEST_BYTES)
        try:
            world.store.put(key, _encoded({**owned, "nonce": uuid4().hex}), if_match=blob.etag)
        except Conflict:
            continue
        return {"touched": [key]}
    raise Conflict(f"the ownership object {key} is changed by another process again and again")


def own_by_hand(store: ObjectStore, key: str, site: str, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Record a site as the owner, whatever the object says; return what was there. Raises Conflict.

    ``ours``: run, epoch. No cluster is asked, so none is recorded: the site's name alone counts then.
    """
    blob, seen = store.stat(key), read(store, key)
    owned = {"schema_version": 1, "site": site, "cluster_uid": None, **ours, "nonce": uuid4().hex}
    store.put(key, _encoded(owned), if_match=blob.etag if blob else None, if_absent=blob is None)
    return seen


def _encoded(owned: Mapping[str, Any]) -> bytes:
    return (json.dumps(owned, indent=2) + "\n").encode()


def _body(world: World, run: Run, site: str) -> bytes:
    owned = {
        "schema_version": 1,
        "site": site,
        "cluster_uid": None if left_alone(run, site) else world.site(site).uid(),
        "epoch": run.epoch,
        "run": run.id,
        "nonce": uuid4().hex,
    }
    return _encoded(owned)


LATE = {
    "adopt_ownership": Late(touch, settles="the first ownership object is created where none is"),
    "hand_over_ownership": Late(touch),
}
FACTS = {"owner": Fact(_observe, _judge)}
ACTIONS = {
    "adopt_ownership": _adopt,
    "hand_over_ownership": hand_over,
}
