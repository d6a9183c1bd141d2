"""The highest epoch that anything below a prefix knows, so that a lease that is written anew never repeats one.

The lease object itself may be deleted, or restored from an old version; then its epoch says nothing. Every epoch under
which a run acted also stands in a ``lease_acquired`` record of the run's mirror (written before the run's first
action), and that of the last change of ownership in ``ownership.json``. All of them are claims: what is no epoch is
passed over, and a wrong one can only raise the next epoch. Called by s3_lease.py.
"""

from collections.abc import Iterator

from drfsm.claims import LARGEST_EPOCH, field, object_of
from drfsm.errors import Unreadable
from drfsm.journal.mirror import home_of, number_of
from drfsm.world import ObjectStore

LARGEST_BYTES = 64 << 10  # of a lease, an ownership object, a ``lease_acquired`` record
LONGEST = 1 << 20  # records below one prefix that are read at most
_OWNERSHIP = "the ownership object"


def owners_epoch(store: ObjectStore, prefix: str) -> int:
    """Return the epoch of the last change of ownership; 0 where there is none, or none that can be read."""
    try:
        blob = store.get(f"{prefix}/drfsm/ownership.json", largest_bytes=LARGEST_BYTES)
        return 0 if blob is None else _epoch(object_of(blob.body, _OWNERSHIP), _OWNERSHIP)
    except Unreadable:
        return 0


def mirrored_epoch(store: ObjectStore, prefix: str) -> int:
    """Return the highest epoch in the mirrors of all runs below a prefix. Reads every small record: it may take long.

    Raises Unreadable where there are more records than drfsm can have written.
    """
    return max(_epochs(store, prefix).values(), default=0)


def later_runs(store: ObjectStore, prefix: str, run_id: str, epoch: int) -> list[str]:
    """Return the other runs that took the lease at an epoch above ``epoch``, the last one first."""
    epochs = {other: taken for other, taken in _epochs(store, prefix).items() if taken > epoch and other != run_id}
    return sorted(epochs, key=lambda other: -epochs[other])


def _epochs(store: ObjectStore, prefix: str) -> dict[str, int]:
    """Return run -> the highest epoch in its mirror."""
    home, epochs = home_of(prefix, ""), dict[str, int]()
    for key, blob in store.get_many(list(_small_records(store, home)), largest_bytes=LARGEST_BYTES):
        run_id = key.removeprefix(home).partition("/")[0]
        epochs[run_id] = max(epochs.get(run_id, 0), _taken(blob.body) if blob is not None else 0)
    return epochs


def _small_records(store: ObjectStore, home: str) -> Iterator[str]:
    for count, stat in enumerate(store.list(home)):
        if count > LONGEST:
            raise Unreadable(
                f"s3://{store.bucket}/{home} holds more than {LONGEST} objects: the highest epoch of the lease is not"
                " known",
                hint="find out who wrote them; or restore the last version of drfsm/lease.json",
            )
        if number_of(stat.key) is not None and stat.size_bytes <= LARGEST_BYTES:
            yield stat.key


def _taken(line: bytes) -> int:
    """Return the epoch that a raw line took; 0 for any other line."""
    try:
        record = object_of(line, "a record", largest_bytes=LARGEST_BYTES)
        if record.get("kind") != "lease_acquired":
            return 0
        return _epoch(field(record, "body", dict, "a record"), "a record")
    except Unreadable:
        return 0


def _epoch(content: object, what: str) -> int:
    assert isinstance(content, dict)  # noqa: S101  object_of and field saw to it
    epoch = int(field(content, "epoch", int, what))
    return epoch if 0 <= epoch < LARGEST_EPOCH else 0
