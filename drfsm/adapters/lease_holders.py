"""What the mirror in S3 says of the run that holds a lease: whether that run may still be at work.

    records in the mirror             standing     what the next run does
    none                              no_record    revokes the start, then takes the lease
    only ``start_revoked``            revoked      takes the lease: another run died between the two
    the last is ``ended``, ``seal``   ended        takes the lease
    ``held``, with its lease released released     takes the lease: the run changed nothing, and takes it again
    anything else                     at_work      nothing: only a person can know that its process is dead

A start is revoked by writing record 0 of its journal in its place (``If-None-Match: *``). A process that is only slow
fails there, before any action, because its own record 0 must be in S3 first. So a revoked run never acts, whenever its
process wakes up. The records are claims, as the lease is. Called by s3_lease.py and s3_journal.py.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from drfsm.claims import bounded, field, is_name, object_of, printable
from drfsm.errors import Conflict, DrfsmError, JournalDamaged, LeaseHeld, Unreachable, Unreadable
from drfsm.journal import GENESIS, Record, RunState, encode, fold, read
from drfsm.journal.mirror import home_of, key_of, number_of
from drfsm.journal.record_types import Held, StartRevoked
from drfsm.world import ObjectStore

NO_RECORD, REVOKED, ENDED, RELEASED, AT_WORK = "no_record", "revoked", "ended", "released", "at_work"
FREE = (NO_RECORD, REVOKED, ENDED, RELEASED)
UNKNOWN = "unknown: its records can't be read"  # in the place of what a run left open
LARGEST_BYTES = 16 << 20  # of one record
_LONGEST = 200  # characters of a name


def standing_of(store: ObjectStore, prefix: str, run_id: str) -> str:
    """Return one of the standings above. A mirror whose last record can't be read is ``at_work``: a person looks."""
    home = home_of(prefix, run_id)
    numbers = [number_of(stat.key) or 0 for stat in store.list(f"{home}/") if _is_record(home, stat.key)]
    if not numbers:
        return NO_RECORD
    last = _record(store, key_of(home, max(numbers)))
    if last is None:
        return AT_WORK
    if last.kind in ("ended", "seal"):
        return ENDED
    if isinstance(last.content, Held) and last.content.lease == RELEASED:
        return RELEASED
    return REVOKED if last.kind == "start_revoked" else AT_WORK


@frozen
class Left:
    """What a run left open, by its mirror: the triggers of the rows, and the last epoch on its records."""

    triggers: tuple[str, ...]
    epoch: int = 0


def left_by(store: ObjectStore, prefix: str, run_id: str) -> Left:
    """Return the triggers of a run's rows whose requests may still be on their way: its own, and what it inherited.

    Of a mirror that can't be read, or can't be understood, that is unknown; of one without records, nothing is.
    """
    state = _state_of(store, prefix, run_id)
    if state is None:
        return Left((UNKNOWN,))
    rows = [flight.undoes or flight.row for flight in state.in_flight if flight.facts]  # the others change nothing
    inherited = state.predecessor.left_open if state.predecessor else ()
    own = (bounded(row.partition(" --")[2].partition("-->")[0], _LONGEST) for row in rows)
    return Left(tuple(sorted({*inherited, *own})), state.epoch)


def changed_sites(store: ObjectStore, prefix: str, run_id: str) -> bool:
    """Return whether something that a run changed is still so, by its mirror; one that can't be read counts as that."""
    state = _state_of(store, prefix, run_id)
    return state is None or state.changed_sites


def _state_of(store: ObjectStore, prefix: str, run_id: str) -> RunState | None:
    """Return what a run's mirror says of it; None where that can't be understood. Raises what the store raises."""
    if not is_name("drfsm run", run_id):
        return None
    home = home_of(prefix, run_id)
    numbers = sorted(number_of(stat.key) or 0 for stat in store.list(f"{home}/") if _is_record(home, stat.key))
    try:
        blobs = [store.get(key_of(home, number), largest_bytes=LARGEST_BYTES) for number in numbers]
        chain = read([blob.body for blob in blobs if blob is not None])
        return None if chain.torn else fold(chain.records)  # an object is written whole: a torn one is nobody's record
    except Unreachable:
        raise
    except (DrfsmError, ValueError):
        return None


def _is_record(home: str, key: str) -> bool:
    number = number_of(key)
    return number is not None and key == key_of(home, number)


def _record(store: ObjectStore, key: str) -> Record | None:
    """Return a record by its own line, without the chain before it; None for what is none."""
    blob = store.get(key, largest_bytes=LARGEST_BYTES)
    return None if blob is None else _parsed(blob.body)


def _parsed(line: bytes) -> Record | None:
    """Return the record that a raw line is; None for what is none."""
    try:
        content = object_of(line, "a record", largest_bytes=LARGEST_BYTES)
        typed = (("seq", int), ("kind", str), ("at", str), ("body", dict))
        record = Record(*(field(content, name, kind, "a record") for name, kind in typed))
    except Unreadable:
        return None
    return None if list(record.unreadable()) else record


def revoke_start(store: ObjectStore, prefix: str, lease: Mapping[str, Any], by: Mapping[str, str], at: str) -> None:
    """Take the place of the record 0 that the lease's holder has not written. ``by``: run_id, operator, host.

    Raises LeaseHeld if the holder wrote its record in the same moment: it is at work.
    """
    run_id = str(lease["run_id"])
    body = {
        "run_id": run_id,
        "revoked_by": by["run_id"],
        "operator": by["operator"],
        "host": by["host"],
        "holder": {name: bounded(lease.get(name, ""), _LONGEST) for name in ("operator", "host", "bundle", "at")},
    }
    key = key_of(home_of(prefix, run_id), 0)
    try:
        store.put(key, encode(Record(0, "start_revoked", at, body), GENESIS), if_absent=True)
    except Conflict:
        if standing_of(store, prefix, run_id) in FREE:
            return  # another run revoked it in the same moment; the lease's compare-and-swap decides
        uri = f"s3://{store.bucket}/{home_of(prefix, run_id)}"
        raise LeaseHeld(
            f"the run {run_id} holds the lease of {prefix}, and wrote its first record in this moment: it is at work",
            hint=f"wait for it to end; to see where it stands: drfsm status {uri}",
        ) from None


def revocation(line: bytes) -> StartRevoked | None:
    """Return what a mirror's first line says, if it revokes the run's start; else None."""
    try:
        (record,) = read([line]).records
    except (JournalDamaged, ValueError):
        return None
    content = None if list(record.unreadable()) else record.content
    return content if isinstance(content, StartRevoked) else None


def revoked_fault(revoked: StartRevoked, uri: str) -> LeaseHeld:
    """Return the refusal of a run whose start was revoked. It is no lost lease: the run has changed nothing."""
    taker, place = printable(revoked.revoked_by), uri.rpartition("/")[0]
    return LeaseHeld(
        f"the start of {printable(revoked.run_id)} was revoked by the run {taker} ({bounded(revoked.operator, 100)} on"
        f" {bounded(revoked.host, 100)}): its lease had no record in S3, so that run took the lease. Nothing was"
        " changed here, and this run can't go on",
        hint=f"start again once that run has ended; to see where it stands: drfsm status {place}/{taker}",
    )
