"""The lease: one run at a time for a bucket and prefix, with an epoch that only rises.

    <prefix>/drfsm/lease.json   {schema_version, epoch, held, run_id, operator, host, bundle, keeps_records, at, nonce,
                                 left}

Changed by compare-and-swap only, on a store that was tested to honour it. Never taken over by time alone: a slow run
looks the same as a dead one. The same run in the same bundle on the same host may acquire it again (the lock on that
bundle shows that its former process has ended). A run that can do nothing more (lease_holders.py: it has ended, never
had a record, or was held before it changed anything) does not keep it from the next run. Any other process needs an
operator's --take-over, also one that fetched the run into another directory of the same host; or ``may_take_over``, a
rule that judges the very lease which the compare-and-swap replaces (fleet/takeover.py). A process may also ``leave`` a
run: its last write says so, its own token is void with it, and any process of the same run may go on.

The epoch is higher than every epoch that is known: of the lease, of the run's own records, of the last change of
ownership. Where the lease does not exist, or is older than those, the mirrors of all runs are read, too
(lease_epochs.py): so whoever deletes or restores the object makes no former holder's token valid again.

The object is only a claim: whoever can write to the bucket can write it. It is read strictly and printed bounded. A
command offered for pasting contains nothing of it but a valid run id or a quoted absolute path.
"""

import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from shlex import quote
from typing import Any
from uuid import uuid4

from drfsm.adapters.lease_epochs import LARGEST_EPOCH, later_runs, mirrored_epoch, owners_epoch
from drfsm.adapters.lease_holders import (
    ENDED,
    FREE,
    NO_RECORD,
    RELEASED,
    Left,
    changed_sites,
    left_by,
    revoke_start,
    standing_of,
)
from drfsm.claims import bounded, field, name_of, object_of, seconds_between
from drfsm.engine.ports import Clock, SystemClock
from drfsm.errors import ActionFailed, Conflict, DrfsmError, LeaseHeld, LeaseLost, Unreadable
from drfsm.world import ObjectStore

LARGEST_BYTES = 64 << 10
LONGEST_SAID, LONGEST_PATH = 100, 1000  # characters
NEXT_RECORD_SECONDS = 5.0  # how long a process is waited for that has the lease, and no record of that yet
PROBE_SECONDS = 600.0  # a probe object that is older was left behind by a process that was killed
WITHOUT_RECORDS = "pointers-"  # until 0.3.0 a lease did not say that `drfsm pointers set` keeps no records
_LEASE = "the lease"
_TEXTS = ("run_id", "operator", "host", "bundle", "at", "nonce", "taken_over_from", "released_at", "left_at")
_PROBE = b"probe, not to be written"


class S3Lease:
    """The lease of one prefix, as one process sees it.

    ``keeps_records``: the holder mirrors its records, the first one before any action. ``known_epoch``: the highest
    epoch in the holder's own records; ``has_changed``: whether it has changed the sites, as these say;
    ``may_take_over``: whether the lease may be taken from a process that holds it, by what the lease says.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        take_over_from: str | None = None,
        bundle: str = "",
        clock: Clock | None = None,
        keeps_records: bool = False,
        known_epoch: Callable[[], int] = lambda: 0,
        has_changed: Callable[[], bool] = lambda: False,
        may_take_over: Callable[[Mapping[str, Any]], bool] = lambda _lease: False,
    ) -> None:
        self._may_take_over = may_take_over
        self._store, self._prefix = store, prefix
        self._key = f"{prefix}/drfsm/lease.json"
        self._take_over_from, self._bundle = take_over_from, bundle
        self._looked: tuple[dict[str, Any], str | None] | None = None
        self._clock: Clock = clock or SystemClock()
        self._keeps_records, self._known_epoch, self._has_changed = keeps_records, known_epoch, has_changed
        self._holds, self._nonce = False, ""  # the nonce of this process's last write
        self._taken_from: Mapping[str, Any] = {}
        self._left_by = ""  # the run whose requests may still be on their way

    @property
    def taken_from(self) -> Mapping[str, Any]:
        """The run that held the lease when this process acquired it, why it could be taken, and what it left open.

        Empty for a lease that nobody held, and whose last holder left nothing open.
        """
        return self._taken_from

    def look(self) -> None:
        """Read the lease now: the next ``acquire`` fails if another process takes it in between.

        To be called BEFORE the run's records are read, so that the holder has read all of them.
        """
        self._looked = self._read()

    def current(self) -> Mapping[str, Any]:
        """Return what the lease says now, {} where there is none. A claim; raises ActionFailed for a damaged one."""
        return self._read()[0]

    def in_the_way(self) -> LeaseHeld | None:
        """Return why a new run's ``acquire`` would be refused now, None where it would not. Changes nothing."""
        current = self.current()
        if not current.get("held") or str(current["run_id"]) == self._take_over_from:
            return None
        return None if self._standing(current, wait=False) in FREE else self._held_by(current)

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Take the lease and return its epoch.

        Raises LeaseHeld if another run, or this run in another place, has it, or if another run has changed the sites
        since this one had it; ActionFailed if the store does not honour compare-and-swap.
        """
        probe_compare_and_swap(self._store, self._prefix)
        (current, etag), self._looked = self._looked or self._read(), None
        by = {"run_id": run_id, "operator": operator, "host": host}
        self._refuse_superseded(current, run_id)
        self._taken_from = self._with_left_open(current, self._taken(current, by), run_id)
        body: dict[str, Any] = {
            "schema_version": 1,
            "epoch": self._next_epoch(current),
            "held": True,
            **by,
            "bundle": self._bundle,
            "keeps_records": self._keeps_records,
            "at": self._clock.now(),
            "nonce": uuid4().hex,
        }
        if self._taken_from:
            body["taken_over_from"] = self._left_by or self._taken_from["run_id"]
        self._write(body, etag)
        self._holds = True
        return int(body["epoch"])

    def _refuse_superseded(self, current: Mapping[str, Any], run_id: str) -> None:
        """Raise LeaseHeld where a later run has changed the sites: what this run would do, or undo, is no longer so.

        An abort would give back what was before this run, over what the later one made of it: two sites could publish.
        """
        epoch = self._known_epoch()
        is_last = current.get("run_id") == run_id and current.get("epoch") == epoch
        if not self._has_changed() or is_last:
            return
        others = later_runs(self._store, self._prefix, run_id, epoch)
        later = next((other for other in others if changed_sites(self._store, self._prefix, other)), None)
        if later is not None:
            uri = f"s3://{self._store.bucket}/{self._prefix}/drfsm/runs/{bounded(later, LONGEST_SAID)}"
            raise LeaseHeld(
                f"the run {bounded(later, LONGEST_SAID)} took the lease after {run_id} had it, and changed the sites."
                f" The records of {run_id} no longer say what is there: it can't go on, and can't be aborted."
                " Nothing was changed now",
                hint=f"what is frozen, and who may publish, is said by: drfsm status {quote(uri)}; go on with that run,"
                " or, if it has ended, start a new one",
            )

    def _next_epoch(self, current: Mapping[str, Any]) -> int:
        """Return an epoch above every one that is known. Reads all mirrors only where the lease is no proof."""
        lease, known = int(current.get("epoch", 0)), max(self._known_epoch(), owners_epoch(self._store, self._prefix))
        if not current or lease < known:  # deleted, never written, or restored from an old version
            known = max(known, mirrored_epoch(self._store, self._prefix))
        return max(lease, known) + 1

    def _taken(self, current: Mapping[str, Any], by: Mapping[str, str]) -> Mapping[str, str]:
        """Return the run from which the lease is taken, and why: empty for a free lease. Raises LeaseHeld."""
        ours = {"run_id": by["run_id"], "host": by["host"], "bundle": self._bundle}
        if not current.get("held") or all(current.get(name, "") == value for name, value in ours.items()):
            return {}
        holder = str(current["run_id"])
        if current.get("left") and holder == by["run_id"]:
            return {}
        is_named = holder == self._take_over_from or self._may_take_over(current)
        standing = self._standing(current, wait=not is_named)
        is_own = holder == by["run_id"]  # begun in another place: nobody can see from here whether it is at work there
        if not is_named and (standing not in FREE or (is_own and standing == NO_RECORD)):
            raise self._held_by(current)
        if standing == NO_RECORD and not is_own:
            revoke_start(self._store, self._prefix, current, by, self._clock.now())
        return {"run_id": holder, "why": standing if standing in FREE else "taken_over"}

    def _with_left_open(self, current: Mapping[str, Any], taken: Mapping[str, str], run_id: str) -> Mapping[str, Any]:
        """Add the triggers of rows whose requests may be on their way: of the last holder, or of whom it took over.

        A holder that took the lease over, and ended before it settled what it inherited, hands that on: also where it
        has given the lease back. Where its records don't go as far as its lease (it has none, or its process died
        between the two), only the lease knows whom it took over; so does this very run, when it goes on.
        """
        earlier, holder = current.get("taken_over_from", ""), str(current.get("run_id", ""))
        if not (taken or earlier):
            return taken
        is_own = holder == run_id
        left = Left((), self._known_epoch()) if is_own else left_by(self._store, self._prefix, holder)
        is_unrecorded = earlier not in ("", run_id) and left.epoch < int(current.get("epoch", 0))
        inherited = left_by(self._store, self._prefix, earlier).triggers if is_unrecorded else ()
        self._left_by = earlier if inherited and not left.triggers else holder
        if not (triggers := sorted({*left.triggers, *inherited})):
            return taken
        named = {"run_id": earlier, "why": "taken_over"} if is_own else {"run_id": holder, "why": ENDED}
        return {**(taken or named), "left_open": triggers}

    def _standing(self, current: Mapping[str, Any], *, wait: bool) -> str:
        """Return where the holder stands by its records, "" for one that keeps none.

        Waits for the next record of a holder that may have taken the lease just now: as a courtesy, it proves nothing.
        """
        holder = str(current["run_id"])
        if not current.get("keeps_records", not holder.startswith(WITHOUT_RECORDS)):
            return ""
        standing = standing_of(self._store, self._prefix, holder)
        if standing not in (NO_RECORD, RELEASED) or not wait:
            return standing
        stat = self._store.stat(self._key)
        age = _age_seconds(self._store, stat.modified) if stat else 0
        if age < NEXT_RECORD_SECONDS:
            self._clock.sleep(NEXT_RECORD_SECONDS - age)
            standing = standing_of(self._store, self._prefix, holder)
        return standing

    def _held_by(self, current: Mapping[str, Any]) -> LeaseHeld:
        holder = current["run_id"]
        go_on = f"continue that run there (drfsm resume {_where(current)})"
        if not current.get("keeps_records", not holder.startswith(WITHOUT_RECORDS)):
            go_on = "it is a single command, which can't be resumed: wait for its end"
        return LeaseHeld(
            f"the lease of {self._prefix} is held by the run {holder}, started by"
            f" {_said(current, 'operator')} on {_said(current, 'host')}, since {_said(current, 'at')}",
            hint=f"{go_on}; or, if you know that its process is dead: --take-over {holder}",
        )

    def check(self) -> None:
        """Raise LeaseLost unless this process still holds the lease."""
        if not self._holds:
            raise LeaseLost(
                f"this process does not hold the lease of {self._prefix}, and without it nothing may be changed",
                hint="drfsm resume takes it",
            )
        current, _ = self._read()
        if current.get("nonce") == self._nonce:
            return
        if not current:
            raise LeaseLost(
                f"the lease s3://{self._store.bucket}/{self._key} does not exist any more: somebody deleted it, and"
                " another run could have started since. This process stops",
                hint="find out who deleted it. No epoch is repeated: `drfsm resume` takes a new lease with a higher"
                " one, unless another run has it by then",
            )
        raise LeaseLost(
            f"the lease was taken over by the run {_said(current, 'run_id')} of {_said(current, 'operator')} on"
            f" {_said(current, 'host')} at {_said(current, 'at')}: this process stops",
            hint="ask that run's operator; this run cannot continue while the other holds the lease",
        )

    def is_elsewhere(self, run_id: str) -> bool:
        """Whether another process may write this run's records now: then this one must not write any."""
        current, _ = self._read()
        if self._nonce:
            return bool(current.get("nonce") != self._nonce)
        ours = current.get("bundle", "") == self._bundle and current.get("host") == platform.node()
        left = bool(current.get("left"))
        return bool(current.get("held") and current.get("run_id") == run_id and not ours and not left)

    def leave(self, run_id: str) -> None:
        """Say, as this process's last write, that it works on the run no more: another may go on with the same run.

        The run keeps the lease, so no other run gets it. From here on ``check`` fails in this process.
        """
        current, etag = self._read()
        held, self._holds = self._holds, False
        if not held or current.get("nonce") != self._nonce or current.get("run_id") != run_id:
            return
        with suppress(LeaseHeld):  # another process took it over in between
            self._write({**current, "left": True, "left_at": self._clock.now(), "nonce": uuid4().hex}, etag)

    def release(self, run_id: str) -> None:
        """Release the lease if this run holds it."""
        current, etag = self._read()
        self._holds = False
        if not current.get("held") or current.get("run_id") != run_id:
            return
        if self._nonce and current.get("nonce") != self._nonce:
            return
        try:
            self._write({**current, "held": False, "released_at": self._clock.now(), "nonce": uuid4().hex}, etag)
        except LeaseHeld:
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
                f" If there is none: stop every run of this prefix (drfsm list s3://{quote(self._store.bucket)}/"
                f"{quote(self._prefix)}), then delete the object: the next lease is above every epoch that the runs'"
                " records and the ownership object know",
            ) from None

    def _write(self, body: Mapping[str, Any], etag: str | None) -> None:
        raw = (json.dumps(body, indent=2) + "\n").encode()
        before, self._nonce = self._nonce, str(body["nonce"])  # BEFORE the write: its answer may get lost
        try:
            self._store.put(self._key, raw, if_match=etag, if_absent=etag is None)
        except Conflict:
            self._nonce = before
            current, _ = self._read()
            if not current.get("held"):
                raise LeaseHeld(
                    "another process changed the lease in the same moment; nobody holds it now", hint="try again"
                ) from None
            raise LeaseHeld(
                f"the run {_said(current, 'run_id')} of {_said(current, 'operator')} on {_said(current, 'host')} took"
                " the lease in the same moment",
                hint="wait for it to end, then try again",
            ) from None
        again, _ = self._read()
        if again.get("nonce") != body["nonce"]:
            raise LeaseHeld("the lease differs from what was just written: another process writes it, too")


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
    for name in ("keeps_records", "left"):
        if name in lease:
            field(lease, name, bool, _LEASE)
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
    home = f"{prefix}/drfsm/probes/"
    _remove_old_probes(store, home)
    key = f"{home}{uuid4().hex}"
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


def _remove_old_probes(store: ObjectStore, home: str) -> None:
    """Delete what killed processes left behind. A store that refuses it is no reason to stop."""
    with suppress(DrfsmError):
        for stat in list(store.list(home)):
            if _age_seconds(store, stat.modified) > PROBE_SECONDS:
                store.delete(stat.key)


def _age_seconds(store: ObjectStore, modified: str) -> float:
    """Return an object's age by the store's clock; 0 where that is not known."""
    now = store.now()
    return 0.0 if now is None else seconds_between(datetime.fromisoformat(modified), now)


def _refused(store: ObjectStore, key: str, **condition: Any) -> bool:
    try:
        store.put(key, _PROBE, **condition)
    except Conflict:
        return True
    return False
