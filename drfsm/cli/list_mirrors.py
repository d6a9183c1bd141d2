"""The lines of `drfsm list` for runs that are mirrored in a bucket: from each one's summary, else from its records.

A bucket's keys are listed once, page by page; which runs to read at all is chosen by their ids. A summary in a mirror
counts only where it is of that run and knows as many records as lie there. Like the records, it is an unchecked claim.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drfsm.claims import object_of, printable
from drfsm.cli.list_runs import Row, Wanted, damaged
from drfsm.errors import DrfsmError, Unreadable
from drfsm.journal.mirror import home_of, number_of
from drfsm.runs import bundle, mirrors, pace
from drfsm.runs.following import mirror_of
from drfsm.runs.glance import LARGEST_SUMMARY_BYTES, of_summary

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

_FORM = "%Y%m%dt%H%M%Sz"


def used_here() -> list[tuple[str, Mapping[str, str]]]:
    """Return where runs of this computer have their mirrors, each once: (s3://<bucket>/<prefix>, how to reach it)."""
    places: dict[tuple[str, ...], tuple[str, Mapping[str, str]]] = {}
    for place in bundle.runs():
        try:
            uri, reached = mirror_of(place, {})
        except DrfsmError:  # damaged, or a run without a bucket: `drfsm list` shows it
            continue
        address = uri.rpartition("/drfsm/runs/")[0]
        places.setdefault((address, *reached.values()), (address, reached))
    return list(places.values())


def rows_below(address: str, reached: Mapping[str, str], wanted: Wanted) -> Iterator[Row]:
    """Yield the line of every run below an address that may be wanted. Raises UsageFault, Unreachable, ActionFailed."""
    store, prefix = mirrors.below(address, reached)
    home = home_of(prefix, "")
    counts = _counted(store, home)
    names = [name for name in counts if wanted.begun(name.partition("-")[0], _began(name))]
    summaries = _summaries(store, home, names)
    for name in names:
        yield _glanced(store, prefix, name, summaries.get(name), counts[name]) or _row(store, prefix, name)


def _counted(store: "ObjectStore", home: str) -> Counter[str]:
    """Return how many records of each run lie below a prefix, however many keys that are."""
    counts: Counter[str] = Counter()
    for stat in store.list(home):
        name, _, rest = stat.key.removeprefix(home).partition("/")
        if mirrors.is_run(name):
            counts[name] += "/" not in rest and number_of(rest) is not None
    return counts


def _began(name: str) -> datetime | None:
    """Return when a run began, as its id says; None where it doesn't."""
    try:
        return datetime.strptime(pace.began_at(name), _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


def _summaries(store: "ObjectStore", home: str, names: Iterable[str]) -> Mapping[str, bytes]:
    """Return the summaries that there are, by run."""
    keys = {f"{home}{name}/summary.json": name for name in names}
    try:
        blobs = list(store.get_many(keys, largest_bytes=LARGEST_SUMMARY_BYTES)) if keys else []
    except Unreadable:  # one is too large: then each run is read by itself
        return {}
    return {keys[key]: blob.body for key, blob in blobs if blob is not None}


def _glanced(store: "ObjectStore", prefix: str, name: str, raw: bytes | None, count: int) -> Row | None:
    """Return a run's line by its summary; None where that is not of this run, or knows other records."""
    try:
        summary = object_of(raw or b"", "the summary", largest_bytes=LARGEST_SUMMARY_BYTES)
    except Unreadable:
        return None
    seen, journal = of_summary(summary), summary.get("journal")
    known = journal.get("records") if isinstance(journal, Mapping) else None
    if seen is None or seen.run_id != name or known != count:
        return None
    return {
        "run_id": name, "machine": printable(seen.machine), "status": printable(seen.status),
        "state": printable(seen.state), "started_at": printable(seen.started_at),
        "bundle": f"s3://{store.bucket}/{home_of(prefix, name)}", "dry_run": seen.dry_run,
    }  # fmt: skip


def _row(store: "ObjectStore", prefix: str, name: str) -> Row:
    """Return a run's line by its records."""
    where = f"s3://{store.bucket}/{home_of(prefix, name)}"
    try:
        mirror = mirrors.mirror_at(store, prefix, name)
        state = mirrors.state_of(mirror)
    except DrfsmError as fault:
        return damaged(name, printable(fault.what), where)
    return {
        "run_id": name, "machine": printable(state.machine), "status": printable(state.status),
        "state": printable(state.state), "started_at": printable(state.started_at), "bundle": mirror.uri,
        "dry_run": state.dry_run,
    }  # fmt: skip
