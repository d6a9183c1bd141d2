"""Where every pair stands, by its newest run's mirror: read in parallel, without a worker and without Temporal.

A pair's live runs lie below its prefix, its drills each below a prefix of their own. Only keys are listed to find the
newest of both; of these alone the summary is read, or the records where the summary is missing or behind. Like every
mirror, what is read is an unchecked claim; `drfsm replay URI` checks it.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.claims import bounded, is_name, object_of, printable
from drfsm.errors import DrfsmError, Unreadable
from drfsm.evidence.wording import NOBODY
from drfsm.fleet.pairs import Pair
from drfsm.journal.mirror import home_of, number_of
from drfsm.runs import mirrors
from drfsm.runs.glance import LARGEST_SUMMARY_BYTES, of_summary
from drfsm.runs.trust import region_here

if TYPE_CHECKING:
    from drfsm.adapters.aws_session import Services
    from drfsm.world import ObjectStore

AT_ONCE = 32
GREEN = ("complete",)
WAITING = ("held",)


@frozen
class Standing:
    """Where a pair stands: its newest run, "" for none. ``fault``: why that can't be read."""

    pair: Pair
    run_id: str = ""
    status: str = ""
    state: str = ""
    reason: str = ""
    records: int = 0
    frozen: tuple[str, ...] = ()
    was_held: bool = False
    fault: str = ""
    uri: str = ""

    @property
    def is_green(self) -> bool:
        """Whether the newest run ended as it was meant to."""
        return self.status in GREEN and not self.fault

    @property
    def nobody_publishes(self) -> bool:
        """Whether nobody can publish, by the newest run."""
        return any(word.startswith(NOBODY) for word in self.frozen)


def standings(pairs: Sequence[Pair]) -> list[Standing]:
    """Return where each pair stands, in the order of the pairs: its newest live run, and its newest drill.

    Raises nothing for a pair that can't be read.
    """
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(pairs)))) as pool:
        return [standing for of_pair in pool.map(standings_of, pairs) for standing in of_pair]


def standings_of(pair: Pair) -> list[Standing]:
    """Return where one pair stands; one standing without a run where it has none."""
    try:
        store = store_of(pair)
        return standings_in(store, pair) or [Standing(pair)]
    except DrfsmError as fault:
        return [Standing(pair, fault=bounded(fault.what, 500))]


def store_of(pair: Pair) -> "ObjectStore":
    """Return a pair's bucket. All of one endpoint and region share one client: a thousand would cost minutes."""
    from drfsm.adapters.aws import S3Store

    region = pair.places.get("region") or region_here()
    return S3Store(_services(pair.places.get("endpoint_url", ""), region), pair.bucket)


@cache
def _services(endpoint_url: str, region: str) -> "Services":
    from drfsm.adapters.aws_session import Services

    return Services(endpoint_url or None, region or None)


def standings_in(store: "ObjectStore", pair: Pair) -> list[Standing]:
    """Return where one pair stands, by its bucket: two listings, and one object for each run that is shown."""
    return [
        _by_summary(store, pair, prefix, run_id, count) or _by_records(store, pair, prefix, run_id)
        for prefix, run_id, count in _newest(store, pair)
    ]


def _by_summary(store: "ObjectStore", pair: Pair, prefix: str, run_id: str, count: int) -> Standing | None:
    """Return a run's standing by its summary; None where that is not of this run, or does not know all its records.

    Where several people worked on a run, its records say whether it was held.
    """
    home = home_of(prefix, run_id)
    try:
        blob = store.get(f"{home}/summary.json", largest_bytes=LARGEST_SUMMARY_BYTES)
        summary = object_of(blob.body if blob else b"", "the summary", largest_bytes=LARGEST_SUMMARY_BYTES)
    except Unreadable:
        return None
    seen, journal, people = of_summary(summary), summary.get("journal"), summary.get("operators")
    known = journal.get("records") if isinstance(journal, dict) else None
    if seen is None or seen.run_id != run_id or known != count or not isinstance(people, list) or len(people) != 1:
        return None
    reason, frozen = summary.get("reason"), summary.get("frozen")
    words = [str(entry.get("what")) for entry in frozen if isinstance(entry, dict)] if isinstance(frozen, list) else []
    return Standing(
        pair, run_id, printable(seen.status), printable(seen.state), reason if isinstance(reason, str) else "",
        count, tuple(words), uri=f"s3://{store.bucket}/{home}",
    )  # fmt: skip


def _by_records(store: "ObjectStore", pair: Pair, prefix: str, run_id: str) -> Standing:
    mirror = mirrors.mirror_at(store, prefix, run_id)
    state = mirrors.state_of(mirror)
    held = any(record.kind == "held" for record in mirror.records)
    return Standing(
        pair, state.run_id, state.status, state.state, state.reason, state.length, tuple(state.frozen_since), held,
        uri=mirror.uri,
    )  # fmt: skip


def _newest(store: "ObjectStore", pair: Pair) -> list[tuple[str, str, int]]:
    """Return (prefix, id, number of records) of the live run and of the drill that began last, by their ids."""
    drills = f"{pair.prefix}/drills/"
    live, own = Counter[str](), home_of(pair.prefix, "")
    for stat in store.list(own):
        _count(live, *stat.key.removeprefix(own).split("/", 1))
    drilled = Counter[str]()
    for stat in store.list(drills):
        name, _, rest = stat.key.removeprefix(drills).partition("/")
        if rest.startswith(f"drfsm/runs/{name}/"):
            _count(drilled, name, rest.removeprefix(f"drfsm/runs/{name}/"))
    found = []
    for counts, prefix in ((live, pair.prefix), (drilled, "")):
        if newest := max(counts, key=_began, default=""):
            found.append((prefix or f"{drills}{newest}", newest, counts[newest]))
    return found


def _count(counts: Counter[str], run_id: str, name: str = "") -> None:
    """Count a key that is a record of a run."""
    if is_name("drfsm run", run_id):
        counts[run_id] += "/" not in name and number_of(name) is not None


def _began(run_id: str) -> str:
    """Return when a run began, as its id says it: <machine>-<time>-<random>; ids of another form are the oldest."""
    return run_id.partition("-")[2]


def now() -> str:
    """Return the time, as a page says it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
