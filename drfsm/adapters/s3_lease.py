"""The lease: one run at a time for a bucket and prefix, with an epoch that only rises.

    <prefix>/drfsm/lease.json   {schema_version, epoch, held, run_id, operator, host, bundle, at, nonce, ...}

Changed by compare-and-swap only, on a store that was tested to honour it. Never taken over by time alone: a slow run
looks the same as a dead one. The same run in the same bundle on the same host may acquire it again (the lock on that
bundle shows that its former process has ended). Any other process needs an operator's --take-over, also one that
fetched the run into another directory of the same host.

The object is only a claim: whoever can write to the bucket can write it. It is read strictly and printed bounded. A
command offered for pasting contains nothing of it but a valid run id or a quoted absolute path. Never delete it by
hand: its epoch would start again, and a former holder's token would be valid again.
"""

import json
from collections.abc import Mapping
from shlex import quote
from typing import Any
from uuid import uuid4

from drfsm.claims import bounded, field, name_of, object_of
from drfsm.engine.ports import Clock, SystemClock
from drfsm.errors import ActionFailed, Conflict, LeaseHeld, LeaseLost, Unreadable
from drfsm.world import ObjectStore

LARGEST_BYTES = 64 << 10
LARGEST_EPOCH = 1 << 53  # beyond it, JSON readers differ about a number
LONGEST_SAID, LONGEST_PATH = 100, 1000  # characters
_LEASE = "the lease"
_TEXTS = ("run_id", "operator", "host", "bundle", "at", "nonce", "taken_over_from", "released_at")


class S3Lease:
    """The lease of one prefix, as one process sees it."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        take_over_from: str | None = None,
        bundle: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._store, self._prefix = store, prefix
        self._key = f"{prefix}/drfsm/lease.json"
        self._take_over_from, self._bundle = take_over_from, bundle
        self._looked: tuple[dict[str, Any], str | None] | None = None
        self._clock: Clock = clock or SystemClock()
        self._nonce = ""

    def look(self) -> None:
        """Read the lease now: the next ``acquire`` fails if another process takes it in between.

        To be called BEFORE the run's records are read, so that the holder has read all of them.
        """
        self._looked = self._read()

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Take the lease and return its epoch.

        Raises LeaseHeld if another run, or this run in another place, has it; ActionFailed if the store does
        not honour compare-and-swap.
        """
        probe_compare_and_swap(self._store, self._prefix)
        (current, etag), self._looked = self._looked or self._read(), None
        taken_from = self._held_by_other(current, run_id, host)
        body: dict[str, Any] = {
            "schema_version": 1,
            "epoch": current.get("epoch", 0) + 1,
            "held": True,
            "run_id": run_id,
            "operator": operator,
            "host": host,
            "bundle": self._bundle,
            "at": self._clock.now(),
            "nonce": uuid4().hex,
        }
        if taken_from:
            body["taken_over_from"] = taken_from
        self._write(body, etag)
        return int(body["epoch"])

    def _held_by_other(self, current: Mapping[str, Any], run_id: str, host: str) -> str:
        """Return the run from which the lease is taken over, "" for none. Raises LeaseHeld."""
        ours = {"run_id": run_id, "host": host, "bundle": self._bundle}
        if not current.get("held") or all(current.get(name, "") == value for name, value in ours.items()):
            return ""
        if current.get("run_id") == self._take_over_from:
            return str(current["run_id"])
        raise LeaseHeld(
            f"the lease of {self._prefix} is held by the run {current['run_id']}, started by"
            f" {_said(current, 'operator')} on {_said(current, 'host')}, since {_said(current, 'at')}",
            hint=f"continue that run there (drfsm resume {_where(current)});"
            f" or, if you know that its process is dead: --take-over {current['run_id']}",
        )

    def check(self) -> None:
        """Raise LeaseLost unless this process still holds the lease."""
        current, _ = self._read()
        if current.get("nonce") != self._nonce:
            raise LeaseLost(
                f"the lease was taken over by the run {_said(current, 'run_id')} of {_said(current, 'operator')} on"
                f" {_said(current, 'host')} at {_said(current, 'at')}: this process stops",
                hint="ask that run's operator; this run cannot continue while the other holds the lease",
            )

    def release(self, run_id: str) -> None:
        """Release the lease if this run holds it."""
        current, etag = self._read()
        if not current.get("held") or current.get("run_id") != run_id:
            return
        if self._nonce and current.get("nonce") != self._nonce:
            return
        try:
            self._write({**current, "held": False, "released_at": self._clock.now(), "nonce": uuid4().hex}, etag)
        except Conflict:
            return  # another run took it over in between

    def _read(self) -> tuple[dict[str, Any], str | None]:
        blob = self._store.get(self._key, largest_bytes=LARGEST_BYTES)
        if blob is None:
            return {}, None
        try:
            return _lease(blob.body), blob.etag
        except Unreadable as fault:
            key = f"--bucket {quote(self._store.bucket)} --prefix {quote(self._key)}"
            raise ActionFailed(
                f"the lease {self._key} is damaged: {fault.what}",
                fault="store",
                hint=f"find out who wrote it (aws s3api list-object-versions {key}) and restore its last good version."
                " Never delete it: its epoch would start again, and a run that lost the lease could write again",
            ) from None

    def _write(self, body: Mapping[str, Any], etag: str | None) -> None:
        raw = (json.dumps(body, indent=2) + "\n").encode()
        try:
            self._store.put(self._key, raw, if_match=etag, if_absent=etag is None)
        except Conflict:
            current, _ = self._read()
            raise LeaseHeld(
                f"the run {_said(current, 'run_id')} of {_said(current, 'operator')} on {_said(current, 'host')} took"
                " the lease in the same moment",
                hint="wait for it to end, then try again",
            ) from None
        again, _ = self._read()
        if again.get("nonce") != body["nonce"]:
            raise LeaseHeld("the lease differs from what was just written: another process writes it, too")
        self._nonce = str(body["nonce"])


def _lease(raw: bytes) -> dict[str, Any]:
    """Return a lease's content. Raises Unreadable for an invalid one."""
    lease = object_of(raw, _LEASE, largest_bytes=LARGEST_BYTES)
    if not 0 <= field(lease, "epoch", int, _LEASE) < LARGEST_EPOCH:
        raise Unreadable(f"{_LEASE} can't be read: its epoch {lease['epoch']} is out of range")
    if field(lease, "held", bool, _LEASE):
        name_of("drfsm run", field(lease, "run_id", str, _LEASE), f"the run_id of {_LEASE}")
    for name in _TEXTS:
        if name in lease:
            field(lease, name, str, _LEASE)
    return lease


def _said(lease: Mapping[str, Any], name: str) -> str:
    return bounded(lease.get(name, "?"), LONGEST_SAID)


def _where(lease: Mapping[str, Any]) -> str:
    """Return the argument of ``drfsm resume`` for the holder: its bundle, if that path is safe to paste."""
    bundle = lease.get("bundle", "")
    is_path = bundle.startswith("/") and bundle.isprintable() and len(bundle) <= LONGEST_PATH
    return quote(bundle if is_path else lease["run_id"])


def probe_compare_and_swap(store: ObjectStore, prefix: str) -> None:
    """Raise ActionFailed unless the store honours conditional writes: some stores ignore conditions silently."""
    key = f"{prefix}/drfsm/probes/{uuid4().hex}"
    etag = store.put(key, b"probe 1", if_absent=True)
    try:
        honoured = _refused(store, key, if_absent=True) and _refused(store, key, if_match='"not-its-etag"')
        if honoured:
            store.put(key, b"probe 2", if_match=etag)
    finally:
        store.delete(key)
    if not honoured:
        raise ActionFailed(
            f"the bucket {store.bucket} does not honour conditional writes (If-Match, If-None-Match): two runs"
            " could hold the lease at once",
            fault="store",
            hint="use a store that does (docs/stores.md); nothing was changed",
        )


def _refused(store: ObjectStore, key: str, **condition: Any) -> bool:
    try:
        store.put(key, b"probe, not to be written", **condition)
    except Conflict:
        return True
    return False
