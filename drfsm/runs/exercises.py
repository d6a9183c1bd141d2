"""The exercises of this computer: their journals, and the copies of them in the bundles that they include.

    <home>/exercises/<exercise>/exercise.log     its journal (evidence/exercises.py), one write and one fdatasync a line
    <home>/exercises/<exercise>/exercise.yaml    its record, made of the journal
    <bundle>/exercise/<exercise>.log, .yaml      both, in each bundle that it includes: pinned there whenever it changes

One process writes at a time: each takes the lock of the exercise's directory. Nothing here changes a run, and nothing
that is already in a bundle: its journal, sealed or not, stays as it is. Used by cli/exercise.py and cli/report.py.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from drfsm.claims import is_name, printable
from drfsm.errors import DrfsmError, EvidenceFault, UsageFault
from drfsm.evidence.exercises import Exercise, checked_record, read, record_of, yaml_text
from drfsm.files import Directory
from drfsm.journal import GENESIS, Record, digest, encode
from drfsm.runs import bundle
from drfsm.runs.glance import glance

LOG, RECORD, PINNED = "exercise.log", "exercise.yaml", "exercise"
_LOCK = ".lock"
_LARGEST_BYTES = 16 << 20
Fields = dict[str, Any]


def home() -> Path:
    """Return where the exercises of this computer are kept."""
    return bundle.home() / "exercises"


def known() -> list[str]:
    """Return the names of the exercises of this computer."""
    try:
        with Directory.look(home()) as directory:
            names = directory.names()
    except UsageFault:
        return []
    return [name for name in names if is_name("drfsm run", name) and os.path.lexists(home() / name / LOG)]


def load(name: str) -> Exercise:
    """Return an exercise. Raises UsageFault where there is none of that name, EvidenceFault for a damaged journal."""
    if name not in known():
        names = ", ".join(known()) or "none: drfsm exercise start PLAN.yaml begins one"
        raise UsageFault(f"no exercise is named {printable(name)}", hint=f"known here: {names}")
    with Directory.look(home() / name) as directory:
        raw = directory.read(LOG, _LARGEST_BYTES) or b""
    return read(raw.splitlines(keepends=True), str(home() / name / LOG))


def chosen(name: str | None) -> Exercise:
    """Return the exercise that a command speaks of: the named one, else the one that is open. Raises UsageFault."""
    if name:
        return load(name)
    opened = [exercise for exercise in map(load, known()) if not exercise.closed]
    if len(opened) != 1:
        what = f"{len(opened)} exercises are open" if opened else "no exercise is open"
        names = ", ".join(exercise.id for exercise in opened) or ", ".join(known())
        hint = f"--exercise, one of {names}" if names else "drfsm exercise start PLAN.yaml"
        raise UsageFault(f"{what} on this computer", hint=hint)
    return opened[0]


def begin(plan: Mapping[str, Any], body: Mapping[str, Any]) -> Exercise:
    """Record the start of an exercise. Raises UsageFault where one of that name exists."""
    name = str(plan["exercise"])
    with Directory.make(home() / name) as directory, _locked(directory):
        if directory.has(LOG):
            raise UsageFault(f"the exercise {name} was started already", hint=f"drfsm exercise show {name}")
        return _append(directory, None, "exercise_started", {"plan": dict(plan), **body})


def add(exercise: Exercise, kind: str, body: Mapping[str, Any]) -> Exercise:
    """Add a record, and pin the exercise in each bundle that it includes. Raises ExerciseRefused, EvidenceFault."""
    with Directory.own(home() / exercise.id) as directory, _locked(directory):
        now = load(exercise.id)  # as it is under the lock
        now.check(kind, body)
        return _append(directory, now, kind, body)


@contextmanager
def _locked(directory: Directory) -> Iterator[None]:
    """Hold the lock of an exercise's directory; it is free in a moment."""
    descriptor = directory.open(_LOCK, os.O_RDWR | os.O_CREAT)
    assert descriptor is not None  # noqa: S101  it was made
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _append(directory: Directory, before: Exercise | None, kind: str, body: Mapping[str, Any]) -> Exercise:
    records = before.records if before else ()
    record = Record(len(records), kind, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), dict(body))
    line = encode(record, before.head if before else GENESIS)
    directory.append(LOG, line, durable=True)
    after = Exercise((*records, record), digest(line))
    raw = directory.read(LOG, _LARGEST_BYTES) or b""
    told = yaml_text(record_of(after))
    directory.write(RECORD, told)
    _pin(after, raw, told)
    return after


def _pin(exercise: Exercise, log: bytes, told: bytes) -> None:
    """Copy an exercise into each bundle that it includes and that is still here."""
    for record in exercise.of("run_included"):
        place = Path(str(record.body.get("bundle", "")))
        if record.body.get("bundle") and os.path.lexists(place / bundle.LOG):
            with Directory.own(place) as directory:
                directory.write(f"{PINNED}/{exercise.id}.log", log)
                directory.write(f"{PINNED}/{exercise.id}.yaml", told)


def pinned(place: Path | None, run_id: str) -> tuple[list[Fields], list[str]]:
    """Return the records of the exercises that are pinned in a bundle, and what is wrong with others.

    Of a mirror, none.

    A bundle may be of anybody: each journal is read strictly, and must include the bundle's run.
    """
    told: list[Fields] = []
    faults: list[str] = []
    if place is None:
        return told, faults
    with Directory.look(place) as directory:
        for name in directory.names(PINNED):
            if not name.endswith(".log") or name.startswith("."):
                continue
            try:
                raw = directory.read(f"{PINNED}/{name}", _LARGEST_BYTES) or b""
                record = checked_record(raw.splitlines(keepends=True), f"{PINNED}/{name}")
            except DrfsmError as fault:
                faults.append(fault.what)
                continue
            if any(run["run_id"] == run_id for run in record["runs"]):
                told.append(record)
            else:
                faults.append(f"{PINNED}/{printable(name)} is of an exercise that does not include this run")
    return told, faults


def objectives(records: Sequence[Mapping[str, Any]], machine: str) -> Mapping[str, float]:
    """Return the objectives that pinned exercises set for a procedure, in seconds; of several, the strictest."""
    strictest: dict[str, float] = {}
    for record in records:
        for name, seconds in record["procedures"].get(machine, {}).items():
            strictest[name] = min(seconds, strictest.get(name, seconds))
    return strictest


def year(period: str, today: date | None = None) -> Fields:
    """Return what stands on the page of a period (``2026``, ``2026-11``): exercises, runs, what is open, what is due.

    Raises UsageFault for a text that is no period.
    """
    first, _, second = period.partition("-")
    months = not second or (second.isdigit() and len(second) == 2 and 1 <= int(second) <= 12)  # noqa: PLR2004  a month
    if not (first.isdigit() and len(first) == 4 and months) or period.endswith("-"):  # noqa: PLR2004  a year
        raise UsageFault(f"--period {printable(period)!r} is no period", hint="give a year or a month: 2026, 2026-11")
    day = (today or datetime.now(UTC).date()).isoformat()
    told, faults = _all()
    within = [record for record in told if str(record["started_at"]).startswith(period)]
    still_open = [
        {**deficiency, "exercise": record["exercise"], "overdue": deficiency["due"] < day}
        for record in told
        for deficiency in record["deficiencies"]
        if deficiency["status"] == "open"
    ]
    due = [
        {"exercise": record["exercise"], "title": record["title"], "next_due": record["next_due"],
         "overdue": record["next_due"] < day}
        for record in told
        if isinstance(record["next_due"], str)
    ]  # fmt: skip
    return {
        "period": period,
        "read_on": day,
        "exercises": sorted(within, key=lambda record: str(record["started_at"])),
        "runs": list(_runs(period)),
        "open_deficiencies": sorted(still_open, key=lambda deficiency: str(deficiency["due"])),
        "due": sorted(due, key=lambda entry: str(entry["next_due"])),
        "faults": faults,
    }


def _all() -> tuple[list[Fields], list[str]]:
    """Return the record of every exercise here, and why others can't be read."""
    told, faults = [], []
    for name in known():
        try:
            told.append(record_of(load(name)))
        except EvidenceFault as fault:
            faults.append(fault.what)
    return told, faults


def _runs(period: str) -> Iterator[Fields]:
    """Yield the runs of this computer that began within a period, oldest first."""
    from drfsm.adapters.file_journal import read_chain
    from drfsm.evidence.recovery import achieved
    from drfsm.journal import fold

    rows = []
    for place in bundle.runs():
        seen = glance(place)
        if seen is not None and not seen.started_at.startswith(period):
            continue
        try:
            records = read_chain(place).records
            state = fold(records)
        except DrfsmError as fault:
            rows.append({"run_id": place.name, "machine": "unreadable", "fault": fault.what, "started_at": ""})
            continue
        if state.started_at.startswith(period):
            rows.append(
                {
                    "run_id": state.run_id, "machine": state.machine, "status": state.status, "fault": "",
                    "mode": "dry run" if state.dry_run else state.scope, "started_at": state.started_at,
                    **achieved(state, records),
                }
            )  # fmt: skip
    yield from sorted(rows, key=lambda row: str(row["started_at"]))
