"""The runs of one prefix: by the bundles of this computer, and by their mirrors in the bucket.

A run that is known from both has one history: the longer of the two, if the shorter is its beginning. Anything else is
no history that a dashboard could show; it says so. Records are read as ``drfsm status`` reads them: their chain is
verified, and no more; ``drfsm replay`` proves a run.

``Mirrors`` looks at the bucket's listing each time, and does not download again what has the same ETags as before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from drfsm.adapters.file_journal import read_lines
from drfsm.claims import is_name, moment
from drfsm.dashboard.values import Unread
from drfsm.errors import DrfsmError, EvidenceFault, Unreachable
from drfsm.journal import Record, RunState, fold, read
from drfsm.journal.record_types import Reading
from drfsm.runs import mirrors, selection
from drfsm.runs.selection import KnownRun

if TYPE_CHECKING:
    from drfsm.world import ObjectStore, Stat

HOME, DRILLS = "drfsm/runs", "drills"
MOST_MIRRORS = 100
"""The newest mirrors are read; how many are left out is told."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
Lines = tuple[bytes, ...]


@frozen
class SeenRun:
    """A run with its records. ``known_from``: bundle, mirror or both; ``is_here``: its newest records are here."""

    known: KnownRun
    records: Sequence[Record]
    known_from: str
    is_here: bool

    @property
    def state(self) -> RunState:
        """Where it stands, by its records."""
        return self.known.state

    @property
    def status(self) -> str:
        """Its status. Whether a process works on a run of another computer, only that computer can see."""
        if self.known.fault:
            return "damaged"
        return self.known.status if self.is_here else self.state.status


@define
class Mirrors:
    """Reads mirrors. Keeps the lines of each as long as its listing is the same."""

    _kept: dict[str, tuple[frozenset[tuple[str, str]], Lines]] = field(factory=dict, init=False)

    def read(self, store: "ObjectStore", prefix: str, listing: Iterable["Stat"], unread: Unread) -> dict[str, Lines]:
        """Return the lines of the newest mirrors, by run; what can't be read is noted, and has no lines.

        ``listing``: what lies below ``folders_of(prefix)``.
        """
        listed = _by_run(prefix, listing)
        ordered = sorted(listed, key=lambda run_id: max(stat.modified for stat in listed[run_id]), reverse=True)
        if left_out := ordered[MOST_MIRRORS:]:
            unread.add(
                "older runs", f"{len(left_out)} older mirrors were not read: drfsm list s3://{store.bucket}/{prefix}"
            )
        shown: dict[str, Lines] = {}
        for run_id in ordered[:MOST_MIRRORS]:
            etags = frozenset((stat.key, stat.etag) for stat in listed[run_id])
            own_prefix = listed[run_id][0].key.partition(f"/{HOME}/")[0]
            shown[run_id] = self._lines(store, own_prefix, run_id, etags, unread)
        self._kept = {run_id: kept for run_id, kept in self._kept.items() if run_id in shown}
        return shown

    def _lines(
        self, store: "ObjectStore", prefix: str, run_id: str, etags: frozenset[tuple[str, str]], unread: Unread
    ) -> Lines:
        kept = self._kept.get(run_id)
        if kept is not None and kept[0] == etags:
            return kept[1]
        try:
            mirror = mirrors.mirror_at(store, prefix, run_id)
            if mirror.lines:
                mirrors.state_of(mirror)
        except Unreachable:
            raise  # of the whole store: nothing more can be read
        except DrfsmError as fault:
            unread.add(f"the mirror of {run_id}", fault.what)
            return ()
        self._kept[run_id] = (etags, mirror.lines)
        return mirror.lines


def folders_of(prefix: str) -> tuple[str, str]:
    """Return where drfsm's own objects lie, and where drills do: each has its journal below its own folder."""
    return f"{prefix}/drfsm/", f"{prefix}/{DRILLS}/"


def _by_run(prefix: str, listing: Iterable["Stat"]) -> dict[str, list["Stat"]]:
    """Return the objects of each run's mirror. The promote that a drill rehearsed is the drill's matter."""
    found: dict[str, list[Stat]] = {}
    for stat in listing:
        own_prefix, within, rest = stat.key.partition(f"/{HOME}/")
        run_id, slash, _ = rest.partition("/")
        at_home = own_prefix in (prefix, f"{prefix}/{DRILLS}/{run_id}")
        if within and slash and at_home and is_name("drfsm run", run_id):
            found.setdefault(run_id, []).append(stat)
    return found


def seen_runs(bucket: str, prefix: str, mirrored: Mapping[str, Lines], unread: Unread) -> list[SeenRun]:
    """Return every run of a prefix, newest first. ``mirrored``: the lines of each mirror; () where it can't be read."""
    runs: dict[str, SeenRun] = {}
    for known in selection.known_runs():
        if known.fault:
            unread.add(f"the bundle {known.place.name} of this computer", known.fault)
            if mirrored.get(known.id):  # its mirror tells it all
                continue
        elif not _is_of(known.state, bucket, prefix):
            continue
        run = _of_bundle(known, mirrored.get(known.id, ()), unread)
        runs.setdefault(run.known.id, run)
    for run_id, lines in mirrored.items():
        if run_id not in runs:
            runs[run_id] = _of_mirror(run_id, lines)
    ordered = sorted(runs.values(), key=_began, reverse=True)
    heirs = selection.with_heirs([run.known for run in ordered])
    return [SeenRun(known, run.records, run.known_from, run.is_here) for known, run in zip(heirs, ordered, strict=True)]


def _is_of(state: RunState, bucket: str, prefix: str) -> bool:
    inputs = state.inputs
    return (str(inputs.get("bucket", "")), str(inputs.get("prefix", "")).strip("/")) == (bucket, prefix)


def _began(run: SeenRun) -> datetime:
    return moment(run.state.started_at or run.state.last_at) or _LONG_AGO


def _of_mirror(run_id: str, lines: Lines) -> SeenRun:
    """Return a run that has no bundle here; the place that it is given has its name, and is never looked at."""
    records = read(lines).records
    known = KnownRun(Path(run_id), fold(records), "" if records else "its mirror can't be read")
    return SeenRun(known, records, "mirror", is_here=False)


def _of_bundle(known: KnownRun, mirrored: Lines, unread: Unread) -> SeenRun:
    if known.fault:
        return SeenRun(known, (), "bundle", is_here=True)
    try:
        own = tuple(line for line in read_lines(known.place) if line.endswith(b"\n"))
        if not mirrored:
            return SeenRun(known, read(own).records, "bundle", is_here=True)
        check_same_history(own, mirrored)
    except DrfsmError as fault:
        unread.add(f"the run {known.id}", fault.what)
        return SeenRun(KnownRun(known.place, fold(()), fault.what), (), "both", is_here=True)
    if len(mirrored) <= len(own):
        return SeenRun(known, read(own).records, "both", is_here=True)
    elsewhere = _of_mirror(known.id, mirrored)
    return SeenRun(elsewhere.known, elsewhere.records, "both", is_here=False)


def check_same_history(own: Lines, mirrored: Lines) -> None:
    """Raise EvidenceFault unless the lines of a bundle begin with those of its mirror, or the other way round."""
    for number, (here, there) in enumerate(zip(own, mirrored, strict=False)):
        if here != there:
            raise EvidenceFault(
                f"the bundle on this computer and the mirror have two histories: record {number} differs",
                hint="find out who wrote which; `drfsm replay` audits each",
            )


def readings(runs: Iterable[SeenRun], fact: str) -> Iterator[tuple[str, str, str]]:
    """Yield (time, value, run) of every reading of a fact by live runs, oldest first; unknown values are left out."""
    found = [
        (record.at, reading.value, run.known.id)
        for run in runs
        if run.state.scope == "live" and not run.state.dry_run
        for record in run.records
        if (reading := _facts(record).get(fact)) is not None and reading.value is not None
    ]
    yield from sorted(found, key=lambda entry: moment(entry[0]) or _LONG_AGO)


def _facts(record: Record) -> Mapping[str, Reading]:
    facts = getattr(record.content, "facts", None)
    return facts if isinstance(facts, Mapping) else {}
