"""How long the rows of a procedure took in earlier runs, and so how long a run that is at work may still take.

Read from summaries (`state_durations`): those of this computer's bundles, or those of a bucket's mirrors. A summary is
a claim: what is not of its shape counts for nothing, and no decision stands on it. Dry runs and other scopes than the
run's own are left out. A row is known by the state that it leaves and its trigger; its time is that from entering the
state to leaving it, so a hold counts. The median is taken. Pure but for ``here`` and ``below``. `drfsm watch` calls it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from drfsm.claims import object_of
from drfsm.errors import DrfsmError
from drfsm.evidence.standing import state_since
from drfsm.evidence.wording import seconds_between, trigger_of
from drfsm.files import Directory
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, Sampled
from drfsm.runs import bundle

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

MOST_RUNS = 20
"""The newest earlier runs that are looked at."""
_MOST_ROWS = 1000
_SUMMARY_BYTES = 4 << 20
_BEGAN = re.compile(r"-([0-9]{8}t[0-9]{6}z)-")

Leaving = tuple[str, str]  # (state, trigger)


class Pace(NamedTuple):
    """How long a row took: the median in seconds, of so many runs."""

    seconds: float
    runs: int


class Step(NamedTuple):
    """A row of a run: done, under way or ahead. ``seconds``: so far, None for one that is ahead."""

    trigger: str
    to: str
    seconds: float | None
    usual: Pace | None
    phase: str  # done | now | ahead


class History(NamedTuple):
    """What earlier runs tell: of each row its pace, and the way of the newest complete one."""

    paces: Mapping[Leaving, Pace]
    way: Sequence[tuple[str, str, str]]  # (state, trigger, to), in order
    runs: int

    def usual(self, state: str, trigger: str) -> Pace | None:
        """Return how long a row takes as a rule."""
        return self.paces.get((state, trigger))

    def ahead(self, state: str) -> Sequence[tuple[str, str, str]]:
        """Return the rows from a state on, as the newest complete run took them; () where it never was there."""
        places = [number for number, (left, _, _) in enumerate(self.way) if left == state]
        return self.way[places[-1] :] if places else ()


def history_of(summaries: Iterable[Mapping[str, Any]], shown: RunState) -> History:
    """Return what summaries tell of the procedure of a run. ``summaries``: newest first; its own is left out."""
    times: dict[Leaving, list[float]] = {}
    way: Sequence[tuple[str, str, str]] = ()
    runs = 0
    for summary in summaries:
        alike = {"machine": shown.machine, "scope": shown.scope, "dry_run": False}
        if summary.get("run_id") == shown.run_id or {name: summary.get(name) for name in alike} != alike:
            continue
        rows = list(_rows(summary.get("state_durations")))
        runs += bool(rows)
        for state, trigger, _, seconds in rows:
            times.setdefault((state, trigger), []).append(seconds)
        if not way and summary.get("status") == "complete":
            way = tuple((state, trigger, to) for state, trigger, to, _ in rows)
    return History({row: Pace(median(took), len(took)) for row, took in times.items()}, way, runs)


def _rows(durations: Any) -> Iterator[tuple[str, str, str, float]]:
    """Yield (state, trigger, to, seconds) of each entry that has the shape of one."""
    for entry in durations[:_MOST_ROWS] if isinstance(durations, list) else ():
        if not isinstance(entry, Mapping):
            continue
        state, trigger, to, seconds = (entry.get(name) for name in ("state", "trigger", "to", "seconds"))
        is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
        if is_time and isinstance(state, str) and isinstance(trigger, str) and isinstance(to, str):
            yield state, trigger, to, float(seconds or 0.0)


def here(machine: str) -> Iterator[Mapping[str, Any]]:
    """Yield the summaries of a machine's runs on this computer, newest first."""
    places = [place for place in bundle.runs() if (place / f"{machine}.summary.json").exists()]
    for place in places[:MOST_RUNS]:
        try:
            with Directory.look(place) as directory:
                raw = directory.read(f"{machine}.summary.json", _SUMMARY_BYTES)
            yield object_of(raw or b"", "the summary", largest_bytes=_SUMMARY_BYTES)
        except DrfsmError:  # a claim that can't be read tells nothing
            continue


def below(store: "ObjectStore", home: str, machine: str) -> Iterator[Mapping[str, Any]]:
    """Yield the summaries of a machine's mirrored runs, newest first. ``home``: what their keys begin with.

    Raises Unreachable, ActionFailed.
    """
    stats = store.list(f"{home}{machine}-")
    keys = [stat.key for stat in stats if stat.key.removeprefix(home).partition("/")[2] == "summary.json"]
    newest = sorted(keys, key=lambda key: began_at(key.removeprefix(home)), reverse=True)[:MOST_RUNS]
    for key in newest:
        try:
            blob = store.get(key, largest_bytes=_SUMMARY_BYTES)
            yield object_of(blob.body if blob else b"", "the summary", largest_bytes=_SUMMARY_BYTES)
        except DrfsmError:
            continue


def began_at(run_id: str) -> str:
    """Return when a run began, as its id says: text that sorts by time; "" where it says nothing."""
    found = _BEGAN.search(run_id)
    return found[1] if found else ""


def steps(records: Sequence[Record], state: RunState, history: History, now: str) -> Iterator[Step]:
    """Yield a run's rows: those that it took, the one that it stands before, and those ahead as an earlier run did."""
    entered = records[0].at if records else now
    for record in records:
        if isinstance(commit := record.content, Commit):
            usual = history.usual(commit.source, commit.trigger)
            yield Step(commit.trigger, commit.to, seconds_between(entered, record.at), usual, "done")
            entered = record.at
    if state.ended or not records:
        return
    ahead = history.ahead(state.state)
    trigger, to = _under_way(records, state) or (ahead[0][1:] if ahead else ("", ""))
    spent = seconds_between(state_since(records), now)
    yield Step(trigger, to, spent, history.usual(state.state, trigger), "now")
    for left, following, target in ahead[1:]:
        yield Step(following, target, None, history.usual(left, following), "ahead")


def _under_way(records: Sequence[Record], state: RunState) -> tuple[str, str] | None:
    """Return (trigger, to) of the row that a run is at, None between two rows."""
    if state.open is not None:
        return state.open.trigger, state.open.to
    sample = records[-1].content
    return (trigger_of(sample.row), "") if isinstance(sample, Sampled) else None


def left_seconds(rows: Iterable[Step]) -> float | None:
    """Return how long a run may still take, by what is usual; None where that is not known of every row."""
    total = 0.0
    known = False
    for row in rows:
        if row.phase == "done":
            continue
        if row.usual is None:
            return None
        known = True
        total += max(0.0, row.usual.seconds - (row.seconds or 0.0))
    return total if known else None
