"""Where every pair stands, by its newest run's mirror: read in parallel, without a worker and without Temporal.

A pair's runs lie below its prefix, its drills each below a prefix of their own. Only keys are listed to find the newest
run; of that one alone the summary is read, or its records where the summary is missing or old. Like every mirror, what
is read is an unchecked claim; `drfsm replay URI` checks it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.claims import bounded, is_name
from drfsm.errors import DrfsmError
from drfsm.evidence.wording import NOBODY
from drfsm.fleet.pairs import Pair
from drfsm.journal import RunState
from drfsm.journal.mirror import home_of
from drfsm.runs import mirrors

if TYPE_CHECKING:
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
    last_at: str = ""
    records: int = 0
    frozen: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()
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
    """Return where each pair stands, in the order of the pairs. Raises nothing for a pair that can't be read."""
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(pairs)))) as pool:
        return list(pool.map(standing_of, pairs))


def standing_of(pair: Pair) -> Standing:
    """Return where one pair stands."""
    try:
        store = mirrors.store_of(pair.bucket, pair.places)
        found = _newest(store, pair)
        if found is None:
            return Standing(pair)
        prefix, run_id = found
        mirror = mirrors.mirror_at(store, prefix, run_id)
        return _of(pair, mirror.uri, mirrors.state_of(mirror), held=any(r.kind == "held" for r in mirror.records))
    except DrfsmError as fault:
        return Standing(pair, fault=bounded(fault.what, 500))


def _of(pair: Pair, uri: str, state: RunState, *, held: bool) -> Standing:
    return Standing(
        pair, state.run_id, state.status, state.state, state.reason, state.last_at, state.length,
        tuple(state.frozen_since), (), held, "", uri,
    )  # fmt: skip


def _newest(store: "ObjectStore", pair: Pair) -> tuple[str, str] | None:
    """Return (prefix, id) of the run of a pair that began last, by its id; None where there is none."""
    runs: dict[str, str] = {}
    own = home_of(pair.prefix, "")
    for stat in store.list(own):
        _add(runs, pair.prefix, stat.key.removeprefix(own).partition("/")[0])
    drills = f"{pair.prefix}/drills/"
    for stat in store.list(drills):
        name, _, rest = stat.key.removeprefix(drills).partition("/")
        if rest.startswith(f"drfsm/runs/{name}/"):
            _add(runs, f"{drills}{name}", name)
    newest = max(runs, key=_began, default=None)
    return None if newest is None else (runs[newest], newest)


def _add(runs: dict[str, str], prefix: str, name: str) -> None:
    if is_name("drfsm run", name):
        runs[name] = prefix


def _began(run_id: str) -> str:
    """Return when a run began, as its id says it: <machine>-<time>-<random>; ids of another form are the oldest."""
    return run_id.partition("-")[2]


def now() -> str:
    """Return the time, as a page says it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
