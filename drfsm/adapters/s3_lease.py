"""The lease: one run at a time for a bucket and prefix, with an epoch that only rises.

    <prefix>/drfsm/lease.json   {schema_version, epoch, held, run_id, operator, host, bundle, at, nonce, ...}

Moved by compare-and-swap only, on a store that was seen to honour it. Never taken over by time alone: a
run that is alive and slow looks the same as one that is dead. The same run in the same bundle on the same
host may take it again (the lock on that bundle shows that its former process is gone); anybody else, also
who fetched the run into another directory of the same host, needs a person's word.

What lies there is a claim: whoever can write to the bucket can write it. It is read strictly, what it says is printed
bounded, and a command that is offered for pasting holds nothing of it but a run's name by its grammar, or a quoted
absolute path. Never to be deleted by hand: its epoch would begin anew, and a former holder's token be valid again.
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
LARGEST_EPOCH = 1 << 53  # beyond it JSON's readers don't agree about a number
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
        """Look at the lease now: the next ``acquire`` loses if anybody takes it in between.

        To be called BEFORE the run's records are read, so that who acquires has read all that there is.
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
        """Return whom it is taken over from, "" for nobody. Raises LeaseHeld."""
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
                f" {_said(current, 'host')} at {_said(current, 'at')}: nothing more is done here",
                hint="ask its operator; this run cannot continue while that run holds the lease",
            )

    def release(self, run_id: str) -> None:
        """Give the lease back if this run holds it."""
        current, etag = self._read()
        if not current.get("held") or current.get("run_id") != run_id:
            return
        if self._nonce and current.get("nonce") != self._nonce:
            return
        try:
            self._write({**current, "held": False, "released_at": self._clock.now(), "nonce": uuid4().hex}, etag)
        except Conflict:
            return  # somebody took it over in between: it is theirs

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
            raise LeaseHeld("the lease does not read as it was just written: somebody else writes it too")
        self._nonce = str(body["nonce"])


def _lease(raw: bytes) -> dict[str, Any]:
    """Return a lease as it was written. Raises Unreadable for what is none."""
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
    """Return what ``drfsm resume`` takes for the holder: its bundle, if that is a path that can be pasted."""
    bundle = lease.get("bundle", "")
    is_path = bundle.startswith("/") and bundle.isprintable() and len(bundle) <= LONGEST_PATH
    return quote(bundle if is_path else lease["run_id"])


def probe_compare_and_swap(store: ObjectStore, prefix: str) -> None:
    """Raise ActionFailed unless the store refuses what a condition forbids: some ignore conditions silently."""
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
            f"the bucket {store.bucket} does not honour conditional writes (If-Match, If-None-Match): two operators"
            " could not be told apart there",
            fault="store",
            hint="use a store that does; nothing was changed",
        )


def _refused(store: ObjectStore, key: str, **condition: Any) -> bool:
    try:
        store.put(key, b"probe, not to be written", **condition)
    except Conflict:
        return True
    return False
