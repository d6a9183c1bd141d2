"""Shows the fences in a bucket's policy, and lifts one without a run: compared, recorded, and read back.

A fence outlives its run on purpose: DR's stays after a failback. ``seen`` lists every statement of drfsm's in the
policy, also those of other prefixes; ``lift`` takes out one, of one site of one prefix, and nothing else. It refuses a
statement that says anything else than what drfsm wrote, unless the operator names its digest: somebody changed it.

S3 has no conditional write of a policy, so ``lift`` reads it again right before the write, and again after it. The
lease, which the caller holds, keeps other runs of drfsm away meanwhile. Who lifted it and why stands in the bucket,
written BEFORE the policy is, where nothing of that name exists, and completed by compare-and-swap:

    <prefix>/drfsm/fences/<lift id>.json   {schema_version, what, site, sid, statements, operator, caller, reason, ...}

Called by the CLI.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, object_of
from drfsm.dr.layout import Layout
from drfsm.dr.pointers import ownership
from drfsm.dr.sites.fence import rewrite
from drfsm.dr.sites.fence_statement import SITES, Statement, as_written, digest, essence, sid, statements_of
from drfsm.engine.ports import Clock
from drfsm.errors import ActionFailed, Conflict, Unreadable
from drfsm.world import BucketPolicy, ObjectStore

MOST_RECORDS = 20
LARGEST_RECORD_BYTES = 1 << 20
_SID = re.compile(r"DrfsmFence(?P<site>Primary|Dr)[0-9a-f]{8}", re.ASCII)


@frozen
class Place:
    """The prefix whose fences are meant, and what they lie in."""

    store: ObjectStore
    policy: BucketPolicy
    layout: Layout


@frozen
class Lift:
    """The operator's order: who lifts which site's fence, and why. ``expect``: the digest of its statement, or ""."""

    id: str
    site: str
    operator: str
    caller: str
    host: str
    reason: str
    epoch: int
    expect: str = ""


def seen(place: Place) -> dict[str, Any]:
    """Return the policy's fences as they are now, who owns the pointers, and the newest lifts by hand.

    ``fences`` has one entry for each site of this prefix: ``value`` is down, up (with the ``edition`` of drfsm that
    wrote it) or altered; ``elsewhere`` names the Sids of other prefixes. Raises Unreadable.
    """
    statements = statements_of(place.policy.read())
    fences = {site: _fence(place, site, statements) for site in SITES}
    ours = {fence["sid"] for fence in fences.values()}
    others = [str(entry.get("Sid", "")) for entry in statements if entry.get("Sid") not in ours]
    return {
        "fences": fences,
        "elsewhere": sorted({name for name in others if _SID.fullmatch(name)}),
        "other_statements": len(others),
        "owner": ownership.read(place.store, place.layout.own("ownership.json")),
        "lifts": _lifts(place),
    }


def _fence(place: Place, site: str, statements: list[Statement]) -> dict[str, Any]:
    name = sid(site, place.layout.prefix)
    own = [entry for entry in statements if entry.get("Sid") == name]
    fence: dict[str, Any] = {"site": site, "sid": name, "value": "down", "role": None, "edition": None, "sha256": None}
    if not own:
        return fence
    roles = sorted({role for entry in own for role in _roles(entry)})
    written = (as_written(own, site, place.store.bucket, place.layout, role)[0] for role in roles)
    edition = next(filter(None, written), None)
    return {
        **fence,
        "value": "up" if edition else "altered",
        "role": ", ".join(roles) or None,
        "edition": edition,
        "sha256": digest(own),
        "statements": sorted(own, key=essence),
    }


def _roles(entry: Statement) -> list[str]:
    """Return whom a statement's condition names."""
    conditions = entry.get("Condition")
    tests = [keys for keys in conditions.values() if isinstance(keys, dict)] if isinstance(conditions, dict) else []
    named = [keys["aws:PrincipalArn"] for keys in tests if "aws:PrincipalArn" in keys]
    return [str(role) for roles in named for role in (roles if isinstance(roles, list) else [roles])]


def _lifts(place: Place) -> list[dict[str, Any]]:
    """Return the newest records of lifts, newest first. One that can't be read is told as that."""
    keys = sorted((listed.key for listed in place.store.list(place.layout.own("fences/"))), reverse=True)[:MOST_RECORDS]
    return [_record(place.store, key) for key in keys]


def _record(store: ObjectStore, key: str) -> dict[str, Any]:
    blob = store.get(key, largest_bytes=LARGEST_RECORD_BYTES)
    try:
        record = object_of(blob.body if blob else b"", f"the record {key}", largest_bytes=LARGEST_RECORD_BYTES)
    except Unreadable as fault:
        return {"key": key, "unreadable": fault.what}
    texts = ("what", "site", "role", "operator", "caller", "reason", "at", "host")
    return {"key": key, **{name: bounded(record.get(name, ""), 300) for name in texts}}


def lift(place: Place, order: Lift, clock: Clock, held: Callable[[], None]) -> dict[str, Any]:
    """Take a site's fence out of the policy; return the record. Raises ActionFailed where it is not as expected.

    ``held`` is called before every write, and raises if the lease is lost.
    """
    fence = _fence(place, order.site, statements_of(place.policy.read()))
    _check(fence, order)
    record = {
        "schema_version": 1,
        "what": "being lifted",
        **{name: fence[name] for name in ("site", "sid", "role", "edition", "sha256", "statements")},
        **{name: getattr(order, name) for name in ("operator", "caller", "host", "reason", "epoch")},
        "at": clock.now(),
    }
    key = place.layout.own(f"fences/{order.id}.json")
    held()
    etag = place.store.put(key, _body(record), if_absent=True)
    held()
    again = _fence(place, order.site, statements_of(place.policy.read()))
    if again["sha256"] != fence["sha256"]:
        raise Conflict(
            f"the fence of {order.site} changed while it was being lifted: nothing was taken out",
            hint=f"look again: drfsm fence show; the record of this attempt is {key}",
        )
    others = rewrite(place.policy, clock, fence["sid"], [])
    record |= {"what": "lifted", "lifted_at": clock.now(), **others}
    held()
    place.store.put(key, _body(record), if_match=etag)
    return {**record, "record": f"s3://{place.store.bucket}/{key}"}


def _check(fence: Mapping[str, Any], order: Lift) -> None:
    """Raise ActionFailed where this fence may not be taken out."""
    site, sha256 = order.site, fence["sha256"]
    if fence["value"] == "down":
        raise ActionFailed(
            f"there is no fence of {site} ({fence['sid']}) in the bucket's policy: nothing was changed",
            hint="drfsm fence show   (a fence of another prefix is lifted with that --prefix)",
            final=True,
        )
    if order.expect and order.expect != sha256:
        raise Conflict(
            f"the fence of {site} is not the expected one: its statement has the SHA-256 {sha256}; nothing was changed",
            hint="drfsm fence show",
        )
    if fence["value"] == "altered" and not order.expect:
        raise ActionFailed(
            f"the statement {fence['sid']} is not as drfsm wrote it: somebody changed it; nothing was changed",
            hint=f"drfsm fence show -o json shows it. If it may go, add --expect-sha256 {sha256}",
            fault="operator",
            final=True,
        )


def _body(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()
