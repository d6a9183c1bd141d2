"""The active-site document: which site the workload's users belong to, and whether it takes writes.

    <prefix>/drfsm/active.json   {schema_version, site, writes, epoch, lease_epoch, run, since, nonce}

SCHEMA describes it, for servers that go by it: a site takes a write only while ``site`` is its own name and ``writes``
is ``open``, read before the write, and read again, with the same ``epoch``, before the write is acknowledged. A server
that can't read the document refuses writes. ``epoch`` rises with each change. Only drfsm writes the document, by
compare-and-swap.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.claims import LARGEST_EPOCH
from drfsm.dr.endpoints.declared import check_readable
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import SITES
from drfsm.engine import Fact, Late, Run, SystemClock
from drfsm.errors import ActionFailed, Conflict, Unreadable
from drfsm.world import ObjectStore, World

OPEN, CLOSED = "open", "closed"
LARGEST_BYTES = 1 << 16
MOST_CHANGES = 1000  # of one run: what it could not finish it does not begin
TRIES = 5
_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "maximum": LARGEST_EPOCH - 1}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The active site of a workload, as drfsm declares it",
    "type": "object",
    "required": ["schema_version", "site", "writes", "epoch", "lease_epoch", "run", "since", "nonce"],
    "properties": {
        "schema_version": {"const": 1, "description": "another number: refuse writes"},
        "site": {"enum": list(SITES), "description": "the site that the workload's users belong to"},
        "writes": {"enum": [OPEN, CLOSED], "description": "whether that site takes writes; no other site does"},
        "epoch": {**_NUMBER, "minimum": 1, "description": "rises with each change of site or writes"},
        "lease_epoch": {**_NUMBER, "minimum": 0, "description": "the lease's, of the run that wrote it"},
        "run": {**_TEXT, "description": "the drfsm run that wrote it"},
        "since": {**_TEXT, "format": "date-time", "description": "when site or writes last changed"},
        "nonce": {**_TEXT, "description": "another one in each version, so that no two are equal"},
    },
}
"""For whoever reads it: active.schema.json beside this file, which a test holds against it. Fields may be added."""


def key_of(run: Run) -> str:
    """Return the document's key. A rehearsal has one of its own, below the drill's prefix."""
    return terms_of(run.inputs).layout.own("active.json")


def read(store: ObjectStore, key: str) -> dict[str, Any]:
    """Return ``{site, writes, epoch, lease_epoch, run, since}``; ``{site: None}`` where there is none.

    An invalid document is ``{site: "unreadable", why}``: servers refuse writes by it, and an adoption can replace it.
    """
    blob = store.get(key, largest_bytes=LARGEST_BYTES)
    try:
        return {"site": None} if blob is None else _said(blob.body, f"the active-site document {key}")
    except Unreadable as fault:
        return {"site": "unreadable", "why": fault.what}


def _said(body: bytes, what: str) -> dict[str, Any]:
    document = claims.object_of(body, what, largest_bytes=LARGEST_BYTES)
    site, writes, since, run = (claims.field(document, name, str, what) for name in ("site", "writes", "since", "run"))
    epoch, lease_epoch = (claims.field(document, name, int, what) for name in ("epoch", "lease_epoch"))
    version = claims.field(document, "schema_version", int, what)
    fits = version == 1 and site in SITES and writes in (OPEN, CLOSED) and claims.moment(since) is not None
    if not fits or not all(0 <= number < LARGEST_EPOCH for number in (epoch, lease_epoch)):
        raise Unreadable(f"{what} can't be read: it is not of its schema")
    claims.name_of("drfsm run", run, f"the run in {what}")
    return {"site": site, "writes": writes, "epoch": epoch, "lease_epoch": lease_epoch, "run": run, "since": since}


def gate_of(store: ObjectStore, key: str) -> dict[str, Any]:
    """Return what an undo gives back: ``{site, writes}``, without what differs in every version."""
    document = read(store, key)
    return {name: document[name] for name in ("site", "writes", "why") if name in document}


def write(world: World, run: Run, site: str, writes: str, *, allowed: tuple[str | None, ...]) -> bool:
    """Declare a site and its gate; return whether that was a change. Done already is no error.

    ``allowed``: whom the document may name before; None for no document. Raises Conflict for any other, and for a
    document that a run with a newer lease wrote.
    """
    store, key = world.store, key_of(run)
    for _ in range(TRIES):
        blob = store.stat(key)
        before = read(store, key)
        _check_lease(run, before, key)
        if (before["site"], before.get("writes")) == (site, writes):
            return False
        _check(before, key, allowed)
        body = _body(run, before, site, writes)
        check_readable(partial(_said, body, f"the active-site document {key}"))
        try:
            store.put(key, body, if_match=blob.etag if blob else None, if_absent=blob is None)
        except Conflict:
            continue
        run.note(f"the active site is {site}, and its writes are {writes}")
        return True
    raise Conflict(f"the active-site document {key} is changed by another process again and again")


def _check_lease(run: Run, before: Mapping[str, Any], key: str) -> None:
    """Raise Conflict where a run with a newer lease wrote the document, also where there would be nothing to change."""
    if before.get("lease_epoch", 0) <= run.epoch:
        return
    said = f"the active-site document {key} names the lease epoch {before['lease_epoch']}, and this run has {run.epoch}"
    if before["run"] == run.id:
        raise Conflict(
            f"{said}. It names this run as its writer, so no other run took over: somebody changed it by hand",
            hint="restore the object's earlier version, or its lease_epoch alone; then `drfsm resume`",
        )
    raise Conflict(
        f"{said}: {before['run']} wrote it",
        hint="`drfsm list` shows whether that run took over; if there is none with that epoch, somebody changed the"
        " document by hand: restore its earlier version, then `drfsm resume`",
    )


def _check(before: Mapping[str, Any], key: str, allowed: tuple[str | None, ...]) -> None:
    if before["site"] in allowed:
        return
    if before["site"] is None:
        raise ActionFailed(
            f"there is no active-site document {key}: servers refuse every write until there is one",
            hint="declare the active site first: `drfsm endpoints declare`",
            fault="operator",
        )
    raise Conflict(
        before.get("why") or f"the active site is {before['site']}, which another process declared",
        hint="find out who wrote it; restore it, then `drfsm resume`",
    )


def _body(run: Run, before: Mapping[str, Any], site: str, writes: str) -> bytes:
    epoch = int(before.get("epoch", 0)) + 1
    return _encoded(site, writes, {"epoch": epoch, "lease_epoch": run.epoch, "run": run.id, "since": run.clock.now()})


def _encoded(site: str, writes: str, by: Mapping[str, Any]) -> bytes:
    document = {"schema_version": 1, "site": site, "writes": writes, **by, "nonce": uuid4().hex}
    return (json.dumps(document, indent=2) + "\n").encode()


def declare_by_hand(
    store: ObjectStore, key: str, site: str, writes: str, *, run: str, lease_epoch: int
) -> dict[str, Any]:
    """Declare the first active site; return what was there: {} or ``{why}``, where nobody could read it.

    Raises ActionFailed for a document that can be read, and Conflict where somebody writes one meanwhile.
    """
    blob, before = store.stat(key), read(store, key)
    if before["site"] in SITES:
        raise ActionFailed(
            f"{before['site']} is declared as the active site since {before['since']}, by {before['run']}",
            hint="`drfsm promote` and `drfsm failback` move it, with all that belongs to it; nothing was touched",
            fault="operator",
        )
    by = {"epoch": 1, "lease_epoch": lease_epoch, "run": run, "since": SystemClock().now()}
    store.put(key, _encoded(site, writes, by), if_match=blob.etag if blob else None, if_absent=blob is None)
    return {"why": before["why"]} if "why" in before else {}


def touch(world: World, run: Run) -> dict[str, Any]:
    """Write the document again with a new nonce only: a late write fails on its ETag, and servers see no change."""
    key = key_of(run)
    for _ in range(TRIES):
        blob = world.store.get(key, largest_bytes=LARGEST_BYTES)
        if blob is None or "why" in read(world.store, key):
            return {"touched": []}
        document = claims.object_of(blob.body, f"the active-site document {key}", largest_bytes=LARGEST_BYTES)
        body = (json.dumps({**document, "nonce": uuid4().hex}, indent=2) + "\n").encode()
        try:
            world.store.put(key, body, if_match=blob.etag)
        except Conflict:
            continue
        return {"touched": [key]}
    raise Conflict(f"the active-site document {key} is changed by another process again and again")


def _adopt(world: World, run: Run) -> dict[str, Any]:
    """Declare the source site, with writes open, where there is no document yet; an invalid one is replaced."""
    site, key = terms_of(run.inputs).source_site, key_of(run)
    epoch = int(read(world.store, key).get("epoch", 0))
    if epoch + MOST_CHANGES >= LARGEST_EPOCH:
        raise ActionFailed(
            f"the active-site document {key} has the epoch {epoch}, which drfsm never reaches and can hardly raise",
            hint="find out who wrote it; restore its earlier version, then `drfsm resume`",
            fault="store",
        )
    return {"adopted": write(world, run, site, OPEN, allowed=(None, "unreadable")), "site": site}


def _declare(world: World, run: Run) -> dict[str, Any]:
    """Declare the target site, with writes closed. Declared already, with writes open or closed, is no change."""
    terms = terms_of(run.inputs)
    before = read(world.store, key_of(run))
    _check_lease(run, before, key_of(run))
    if before["site"] == terms.target_site:
        return {"declared": False}
    return {"declared": write(world, run, terms.target_site, CLOSED, allowed=(terms.source_site,))}


def _observe(world: World, run: Run) -> dict[str, Any]:
    return read(world.store, key_of(run))


def _judge(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """Judge whom the document names: old, new, or none where there is no document."""
    terms = terms_of(inputs)
    if seen["site"] is None:
        return "none"
    return {terms.source_site: "old", terms.target_site: "new"}.get(seen["site"])


FACTS = {"active_site": Fact(_observe, _judge)}
LATE = {
    "adopt_active_site": Late(touch, settles="the first active-site document is created where none is"),
    "declare_active_site": Late(touch),
}
ACTIONS = {"adopt_active_site": _adopt, "declare_active_site": _declare}
