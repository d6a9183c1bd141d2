"""The page of `drfsm status` for a run of this computer: what is frozen, where the run stands, what to type next.

Loads neither click nor anything heavy: door.py asks for the page of `drfsm status [RUN]` at once, and status.py for
every other form. What is wrong is raised; whoever asked reports it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from drfsm.adapters.file_journal import holder, read_lines
from drfsm.claims import object_of
from drfsm.cli import remembered
from drfsm.cli.fitting import say_fitting
from drfsm.cli.say import say_json, say_lines
from drfsm.errors import (
    DeclarationFault,
    DiskFault,
    DrfsmError,
    EvidenceFault,
    ExitCode,
    FileDamaged,
    Unreadable,
    UsageFault,
)
from drfsm.evidence.durations import filled
from drfsm.evidence.remains import frozen_heading, frozen_words
from drfsm.evidence.running import running
from drfsm.evidence.standing import standing
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.evidence.wording import LATER
from drfsm.files import Directory
from drfsm.journal import Record, RunState, fold, read
from drfsm.runs import bundle, selection
from drfsm.runs.derived import make_true


def shown(named: str | None, output: str = "text", prices: str = "") -> int:
    """Show where a run of this computer stands; return the exit code. ``named``: a directory or an id, None for any.

    ``prices``: those of a file, as text. Raises UsageFault, JournalDamaged, FileDamaged, DiskFault.
    """
    words = [] if named is None else [named]
    origin = remembered.before(words) if output == "text" else ""
    runs = list(selection.known_runs())
    try:
        place = bundle.find(named) if named is not None else selection.chosen(runs, to_read=True).place
    except UsageFault:
        if output == "text":
            say_fitting(_frozen_elsewhere(runs, now_utc()))
        else:
            say_json(with_other_runs({}, runs))
        raise
    lines = read_lines(place)
    chain = read(lines)
    bundle.check_not_emptied(place, chain.records)
    state = fold(chain.records)
    worker, fault = worker_of(place)
    dead = state.status == "running" and worker is None
    told: Sequence[str] = ()
    summary = summarise(state, chain.records, head=chain.head, dead=dead)
    if output == "json":
        say_json(with_other_runs(counted(summary, state, prices), runs))
    else:
        costs = running(state, now_utc(), prices) is not None  # they grow by more than a duration
        origin = "" if costs else origin
        now = LATER if origin else now_utc()
        told = tuple(page(state, chain.records, str(place), runs, prices, now=now, dead=dead))
        say_fitting(filled(line, time.time()) for line in told)
    remarks: list[str] = []
    if fault is None and worker is None and state.machine:
        fault = _make_true(place, state, chain.records, lines, summary, remarks.append)
    if fault is None and not remarks:
        remembered.remember(origin, words, told)
    return _ended(fault, remarks)


def _ended(fault: DrfsmError | None, remarks: Sequence[str]) -> int:
    """Print what was not as it should be; return the exit code."""
    say_lines(remarks, err=True)
    if fault is None:
        return int(ExitCode.DONE)
    first, *rest = fault.lines()
    say_lines([f"drfsm: {first}", *rest], err=True)
    return int(ExitCode.DONE if isinstance(fault, DiskFault | UsageFault) else fault.exit_code)


def page(
    state: RunState,
    records: Sequence[Record],
    place: str,
    runs: Sequence[selection.KnownRun],
    prices: str,
    *,
    now: str,
    dead: bool = False,
    remark: str = "",
) -> Iterator[str]:
    """Yield the page of a run: what is frozen, by whichever run of this computer, and where this one stands."""
    yield from _frozen_here(state, runs, now)
    if remark:
        yield remark
    yield from standing(
        state, place, dead, records=records, with_frozen=False, superseded_by=_heir(state, runs), now=now, prices=prices
    )


def now_utc() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def counted(summary: dict[str, Any], state: RunState, prices: str) -> dict[str, Any]:
    """Return the summary with the machines that run on counted until now, where prices are given."""
    machines = running(state, now_utc(), prices) if prices else None
    return {**summary, "running_machines": machines} if machines else summary


def _frozen_here(shown: RunState, runs: Sequence[selection.KnownRun], now: str) -> Iterator[str]:
    """Yield what is frozen, by the run that is shown and by every other run of this computer."""
    if heir := _heir(shown, runs):
        yield (
            f"{shown.run_id} was TAKEN OVER by {heir}, which has changed the sites since: what it says of them below is"
            " no longer so, and it can neither go on nor be aborted."
        )
    own = [] if heir else list(frozen_words(shown, now))
    others = list(_frozen_elsewhere(runs, now, but=shown.run_id))
    if own:
        yield frozen_heading(shown)
        yield from own
    elif not others:
        yield "Frozen now: nothing, as far as the runs of this computer know."
    yield from others


def _heir(shown: RunState, runs: Sequence[selection.KnownRun]) -> str:
    """Return the run that took over the one that is shown, and changed the sites since; "" where none did."""
    return next((run.superseded_by for run in runs if run.id == shown.run_id), "")


def _frozen_elsewhere(runs: Sequence[selection.KnownRun], now: str, but: str = "") -> Iterator[str]:
    """Yield what the runs of this computer say is frozen, and where to read more; ``but``: the run that is shown."""
    for run in selection.freezing(runs):
        if run.id == but:
            continue
        if run.fault:
            yield f"Frozen by {run.id}: UNKNOWN. Its records cannot be read: {run.fault}"
            continue
        at = f"which ended {run.status}" if run.state.ended else f"{run.status.upper()} in {run.state.state}"
        yield f"Frozen now by {'another run, ' if but else ''}{run.id}, {at}:"
        yield from frozen_words(run.state, now)
        yield f"  more about it: drfsm status {quote(run.name)}"


def with_other_runs(summary: Mapping[str, Any], runs: Sequence[selection.KnownRun]) -> dict[str, Any]:
    """Return what `-o json` shows: the summary, and what the head of the text says of the other runs."""
    others = selection.others(runs, but=str(summary.get("run_id", "")))
    return {**summary, "other_runs": [_other_run(run) for run in others]}


def _other_run(run: selection.KnownRun) -> dict[str, Any]:
    known: dict[str, Any] = {
        "status": run.status,
        "state": run.state.state,
        "open": run.is_open,
        "frozen": [{"what": word, "since": since} for word, since in run.state.frozen_since.items()],
    }
    if run.fault:
        known = {name: {"unknown": f"its records cannot be read: {run.fault}"} for name in known}
    return {"run_id": run.id, **known, "type": f"drfsm status {quote(run.name)}"}


def worker_of(place: Path) -> tuple[dict[str, Any] | None, DrfsmError | None]:
    """Return the process that works on a bundle; or the error, if the lock file is damaged and nobody can tell."""
    try:
        return holder(place), None
    except FileDamaged as fault:
        return {}, fault


def _make_true(
    place: Path,
    state: RunState,
    records: Sequence[Record],
    lines: Sequence[bytes],
    summary: dict[str, Any],
    remark: Callable[[str], None],
) -> DrfsmError | None:
    """Write the derived files of a run that nobody works on, if they differ from its records.

    Returns the reason if it wrote nothing: the journal contradicts the summary (which stays, as evidence), the disk
    refuses, or the bundle belongs to another user.
    """
    name = f"{state.machine}.summary.json"
    try:
        if contradiction := bundle.contradiction(place, state.machine, lines):
            return EvidenceFault(
                f"the evidence does NOT hold: {contradiction}; the summary was left as it is",
                hint="keep both for the investigation; resume from the run's mirror, or from an undamaged copy",
            )
        with Directory.look(place) as directory:
            old = directory.read(name)
        if _differs(old, summary):
            bundle.replace(place / name, summary_bytes(summary))
        try:
            make_true(state.machine, place, records, state)
        except (EvidenceFault, DeclarationFault) as fault:  # `status` needs no declaration; a drill's receipts do
            remark(f"phases/ was not checked against the records: {fault.what}")
    except (DiskFault, UsageFault, FileDamaged) as fault:
        fault.what = f"the summary on disk is out of date and could not be written: {fault.what}"
        return fault
    return None


def _differs(old: bytes | None, summary: dict[str, Any]) -> bool:
    try:
        return old is None or bool(object_of(old, "the summary", largest_bytes=len(old)) != summary)
    except Unreadable:
        return True
