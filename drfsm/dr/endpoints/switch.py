"""The second router: an object that an inverted health check looks at. It needs no Route 53 API at the time of a move.

    <prefix>/drfsm/routing/<endpoint>.json   {schema_version, site, epoch, run, until, nonce}

The health check searches the object for SWITCHED, and is inverted. While the object names DR, the check finds it, so
the PRIMARY record counts as ill, and name servers answer with SECONDARY, which is DR's. An object that is not there or
can't be read leads to the primary site. So the object must lie in a region that outlives the primary site, and the
checkers must be able to read it. It moves by compare-and-swap only (If-Match).
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.dr.endpoints.claim import Claim
from drfsm.dr.workload import SITES
from drfsm.engine import Run
from drfsm.errors import Conflict, Unreadable
from drfsm.world import ObjectStore

SWITCHED = '"site": "dr"'
"""What the health check searches for."""
LARGEST_BYTES, LARGEST_EPOCH = 1 << 16, 10**15
_WANTED = {"Inverted": True, "Disabled": False, "SearchString": SWITCHED}
TRIES = 5


def name_of(endpoint: str) -> str:
    """Return the name of an endpoint's object among drfsm's own."""
    return f"routing/{endpoint}.json"


def fault_of(check: Mapping[str, Any]) -> str:
    """Return why a health check would not follow the object; "" where it does.

    A disabled check is always healthy, and an inverted one that is disabled always ill, whatever the object says.
    """
    wrong = [f"{name} is {check.get(name)!r}" for name, value in _WANTED.items() if check.get(name) != value]
    if "STR_MATCH" not in str(check.get("Type")):
        wrong.append(f"Type is {check.get('Type')!r}, which searches for nothing")
    return f"the health check does not follow the object: {'; '.join(wrong)}" if wrong else ""


def read(store: ObjectStore, key: str) -> tuple[Claim | None, str]:
    """Return (what the object says, its ETag); (None, "") where there is none. Raises Unreadable."""
    blob = store.get(key, largest_bytes=LARGEST_BYTES)
    if blob is None:
        return None, ""
    what = f"the routing object {key}"
    said = claims.object_of(blob.body, what, largest_bytes=LARGEST_BYTES)
    texts = {name: claims.field(said, name, str, what) for name in ("site", "run", "until", "nonce")}
    epoch = claims.field(said, "epoch", int, what)
    if texts["site"] not in SITES or claims.moment(texts["until"]) is None or not 0 <= epoch < LARGEST_EPOCH:
        raise Unreadable(f"{what} can't be read: it names no site, no time or no epoch")
    claims.name_of("drfsm run", texts["run"], f"the run in {what}")
    return Claim(epoch=epoch, **texts), blob.etag


def write(store: ObjectStore, key: str, run: Run, site: str, until: str, etag: str) -> None:
    """Write the object if it is as it was read. Raises Conflict."""
    said = {"schema_version": 1, "site": site, "epoch": run.epoch, "run": run.id, "until": until}
    body = (json.dumps({**said, "nonce": uuid4().hex}, indent=2) + "\n").encode()
    store.put(key, body, if_match=etag or None, if_absent=not etag)


def touch(store: ObjectStore, key: str) -> bool:
    """Write the object again with a new nonce: a late write fails on its ETag. Returns whether there is one.

    Where there is none, or nobody can read it, it is left alone.
    """
    for _ in range(TRIES):
        blob = store.get(key, largest_bytes=LARGEST_BYTES)
        if blob is None:
            return False
        try:
            said = claims.object_of(blob.body, f"the routing object {key}", largest_bytes=LARGEST_BYTES)
        except Unreadable:
            return False
        try:
            store.put(key, (json.dumps({**said, "nonce": uuid4().hex}, indent=2) + "\n").encode(), if_match=blob.etag)
        except Conflict:
            continue
        return True
    raise Conflict(f"the routing object {key} is changed by another process again and again")
