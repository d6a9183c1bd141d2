"""The second router: an object that an inverted health check looks at. It needs no Route 53 API at the time of a move.

    <prefix>/drfsm/routing/<endpoint>.json   {schema_version, site, epoch, run, until, nonce}

The health check searches the object for SWITCHED, and is inverted. While the object names DR, the check finds it, so
the PRIMARY record counts as ill, and name servers answer with SECONDARY, which is DR's. An object that is not there or
can't be read leads to the primary site. So the object must lie in a region that outlives the primary site, and the
checkers must be able to read it. It moves by compare-and-swap only (If-Match).
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from drfsm import claims
from drfsm.claims import bounded
from drfsm.dr.endpoints.claim import Claim
from drfsm.dr.endpoints.declared import check_readable
from drfsm.dr.workload import SITES
from drfsm.engine import Run
from drfsm.errors import Conflict, Unreadable
from drfsm.world import ObjectStore

SWITCHED = '"site": "dr"'
"""What the health check searches for."""
_SEARCHED_BYTES = 5120  # of an answer, by Route 53
LARGEST_BYTES = 1 << 16
_WANTED = {"Inverted": True, "Disabled": False, "SearchString": SWITCHED}
_S3 = (".amazonaws.com", ".amazonaws.com.cn")
TRIES = 5


def name_of(endpoint: str) -> str:
    """Return the name of an endpoint's object among drfsm's own."""
    return f"routing/{endpoint}.json"


def fault_of(check: Mapping[str, Any], bucket: str, key: str) -> str:
    """Return why a health check would not follow the object; "" where it does.

    A disabled check is always healthy, and an inverted one that is disabled always ill, whatever the object says.
    """
    wrong = [f"{name} is {check.get(name)!r}" for name, value in _WANTED.items() if check.get(name) != value]
    if "STR_MATCH" not in str(check.get("Type")):
        wrong.append(f"Type is {check.get('Type')!r}, which searches for nothing")
    path, host = str(check.get("ResourcePath")), str(check.get("FullyQualifiedDomainName") or "").lower().rstrip(".")
    if not _is_of(path, host, bucket, key):
        wrong.append(f"it asks {bounded(host or check.get('IPAddress'), 100)} for {bounded(path, 200)}, not for {key}")
    return f"the health check does not follow the object: {'; '.join(wrong)}" if wrong else ""


def _is_of(path: str, host: str, bucket: str, key: str) -> bool:
    """Whether a check asks for the object. A host that is not S3's may be anything before the bucket: its path decides.

    A query may name an old version of the object, so there must be none.
    """
    if "?" in path or "#" in path:
        return False
    if not host.endswith(_S3):
        return path.endswith(f"/{key}")
    of_bucket = host.startswith((f"{bucket}.s3.", f"{bucket}.s3-"))
    return path == (f"/{key}" if of_bucket else f"/{bucket}/{key}") and (of_bucket or host.startswith(("s3.", "s3-")))


def read(store: ObjectStore, key: str) -> tuple[Claim | None, str]:
    """Return (what the object says, its ETag); (None, "") where there is none. Raises Unreadable."""
    blob = store.get(key, largest_bytes=LARGEST_BYTES)
    if blob is None:
        return None, ""
    return _said(blob.body, f"the routing object {key}"), blob.etag


def _said(body: bytes, what: str) -> Claim:
    said = claims.object_of(body, what, largest_bytes=LARGEST_BYTES)
    texts = {name: claims.field(said, name, str, what) for name in ("site", "run", "until", "nonce")}
    epoch = claims.field(said, "epoch", int, what)
    if texts["site"] not in SITES or claims.moment(texts["until"]) is None or not 0 <= epoch < claims.LARGEST_EPOCH:
        raise Unreadable(f"{what} can't be read: it names no site, no time or no epoch")
    claims.name_of("drfsm run", texts["run"], f"the run in {what}")
    is_found = SWITCHED.encode() in body[:_SEARCHED_BYTES]
    if is_found != (texts["site"] == "dr"):
        found = "finds" if is_found else "does not find"
        raise Unreadable(f"{what} names {texts['site']}, and the health check {found} {SWITCHED} in it")
    return Claim(epoch=epoch, **texts)


def write(store: ObjectStore, key: str, run: Run, site: str, until: str, etag: str) -> None:
    """Write the object if it is as it was read. Raises Conflict."""
    said = {"schema_version": 1, "site": site, "epoch": run.epoch, "run": run.id, "until": until}
    body = (json.dumps({**said, "nonce": uuid4().hex}, indent=2) + "\n").encode()
    check_readable(partial(_said, body, f"the routing object {key}"))
    store.put(key, body, if_match=etag or None, if_absent=not etag)


def touch(store: ObjectStore, key: str) -> bool:
    """Write the object again with a new nonce: a late write fails on its ETag. Returns whether there is one.

    One that nobody can read is left alone: no write of drfsm's is built on it, and another one might move users.
    """
    for _ in range(TRIES):
        blob = store.get(key, largest_bytes=LARGEST_BYTES)
        if blob is None:
            return False
        try:
            _said(blob.body, f"the routing object {key}")
        except Unreadable:
            return True
        said = claims.object_of(blob.body, f"the routing object {key}", largest_bytes=LARGEST_BYTES)
        try:
            store.put(key, (json.dumps({**said, "nonce": uuid4().hex}, indent=2) + "\n").encode(), if_match=blob.etag)
        except Conflict:
            continue
        return True
    raise Conflict(f"the routing object {key} is changed by another process again and again")
