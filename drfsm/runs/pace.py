"""How long the rows of a procedure took in earlier runs, and so how long a run may take, or may still take.

Asked by `drfsm plan` and `drfsm watch`, and answered alike: by the newest runs of the same machine and scope that were
no dry runs. On this computer by their records, whose chain is verified, of the same bucket and prefix; a row in which
a run stood, or that a person took, is left out (evidence/row_times.py); a watch counts it where no run took the row
without. In a bucket by the summaries of its mirrors, as the records of many runs are many objects: a summary is a
claim, what is not of its shape counts for nothing, and a hold counts as part of its row. No decision stands on any of
it. Reads no more than it must: a summary tells at a glance of which machine a bundle is. What can't be read counts for
nothing: `drfsm list` says what is wrong with it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from drfsm.adapters.file_journal import read_chain
from drfsm.claims import object_of
from drfsm.errors import DrfsmError
from drfsm.evidence.row_times import row_seconds
from drfsm.evidence.standing import state_since
from drfsm.evidence.wording import seconds_between, source_of, trigger_of
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import Commit, Sampled
from drfsm.runs import bundle
from drfsm.runs.glance import glance

if TYPE_CHECKING:
    from drfsm.world import ObjectStore

MOST_RUNS = 10
"""The most runs that count: the newest ones."""
_MOST_LOOKED_AT = 500
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


class Earlier(NamedTuple):
    """An earlier run. ``seconds``: how long each row took, by its key. ``way``: a complete run's rows, in order.

    ``stood``: how long it stood before each row, with holds and a person's time: for rows that no run took without.
    """

    run_id: str
    seconds: Mapping[str, float]
    way: Sequence[tuple[str, str, str]] = ()  # (state, trigger, to)
    stood: Mapping[str, float] = {}


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


def history_of(earlier: Iterable[Earlier], but: str = "") -> History:
    """Return what earlier runs tell. ``earlier``: newest first; ``but``: the run that is shown, which is left out."""
    times: dict[Leaving, list[float]] = {}
    stood: dict[Leaving, list[float]] = {}
    way: Sequence[tuple[str, str, str]] = ()
    runs = 0
    for run in earlier:
        if run.run_id == but:
            continue
        runs += bool(run.seconds)
        for samples, took in ((times, run.seconds), (stood, run.stood)):
            for row, seconds in took.items():
                samples.setdefault((source_of(row), trigger_of(row)), []).append(seconds)
        way = way or run.way
    paces = {row: Pace(median(took), len(took)) for row, took in {**stood, **times}.items()}
    return History(paces, way, runs)


def here(machine: str, inputs: Mapping[str, Any], scope: str = "live") -> Iterator[Earlier]:
    """Yield the newest runs of this computer that count, newest first. Raises nothing."""
    told = 0
    for number, place in enumerate(bundle.runs()):
        if number >= _MOST_LOOKED_AT or told >= MOST_RUNS:
            return
        run = _in_bundle(place, machine, inputs, scope)
        if run is not None and run.seconds:
            told += 1
            yield run


def _in_bundle(place: Path, machine: str, inputs: Mapping[str, Any], scope: str) -> Earlier | None:
    """Return the run in a bundle, None where it does not count."""
    seen = glance(place)
    if seen is not None and (seen.machine != machine or seen.dry_run):
        return None
    try:
        records = read_chain(place).records
        state = fold(records)
    except DrfsmError:
        return None
    alike = (state.machine, state.scope, state.dry_run) == (machine, scope, False)
    if not alike or any(state.inputs.get(name) != inputs.get(name) for name in ("bucket", "prefix")):
        return None
    entered, way = records[0].at, []
    stood: dict[str, float] = {}
    for record in records:
        if isinstance(commit := record.content, Commit):
            lasted = seconds_between(entered, record.at)
            stood |= {commit.row: lasted} if lasted is not None and lasted >= 0 else {}
            way.append((commit.source, commit.trigger, commit.to))
            entered = record.at
    return Earlier(state.run_id, row_seconds(records), tuple(way) if state.status == "complete" else (), stood)


def below(store: "ObjectStore", home: str, machine: str, scope: str = "live") -> Iterator[Earlier]:
    """Yield a machine's newest mirrored runs that count, newest first. ``home``: what their keys begin with.

    Raises Unreachable, ActionFailed.
    """
    stats = store.list(f"{home}{machine}-")
    keys = [stat.key for stat in stats if stat.key.removeprefix(home).partition("/")[2] == "summary.json"]
    newest = sorted(keys, key=lambda key: began_at(key.removeprefix(home)), reverse=True)[:MOST_RUNS]
    for key in newest:
        try:
            blob = store.get(key, largest_bytes=_SUMMARY_BYTES)
            summary = object_of(blob.body if blob else b"", "the summary", largest_bytes=_SUMMARY_BYTES)
        except DrfsmError:
            continue
        if (run := of_summary(summary, machine, scope)) is not None:
            yield run


def of_summary(summary: Mapping[str, Any], machine: str, scope: str) -> Earlier | None:
    """Return what a summary claims of its run, None where it does not count."""
    alike = {"machine": machine, "scope": scope, "dry_run": False}
    run_id = summary.get("run_id")
    if not isinstance(run_id, str) or {name: summary.get(name) for name in alike} != alike:
        return None
    rows = list(_rows(summary.get("state_durations")))
    seconds = {f"{state} --{trigger}--> {to}": lasted for state, trigger, to, lasted in rows}
    way = tuple((state, trigger, to) for state, trigger, to, _ in rows)
    return Earlier(run_id, seconds, way if summary.get("status") == "complete" else ())


def _rows(durations: Any) -> Iterator[tuple[str, str, str, float]]:
    """Yield (state, trigger, to, seconds) of each entry that has the shape of one."""
    for entry in durations[:_MOST_ROWS] if isinstance(durations, list) else ():
        if not isinstance(entry, Mapping):
            continue
        state, trigger, to, seconds = (entry.get(name) for name in ("state", "trigger", "to", "seconds"))
        is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
        if is_time and isinstance(state, str) and isinstance(trigger, str) and isinstance(to, str):
            yield state, trigger, to, float(seconds or 0.0)


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
