"""`drfsm status`: what is frozen here, where a run stands, and what to type next, on one screen. Loads nothing heavy.

It begins with what is frozen, by whichever run of this computer: another run than the one that is shown may have both
sites frozen.

Reads a bundle offline. Of a mirror (``s3://…``) it reads the records, and adopts, executes and writes nothing.

If the process of a run is gone, the summary is written again; the bundle's lock is taken for a moment to be sure of
that. A summary that contradicts its journal is evidence: it is left as it is, and reported.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

import click

from drfsm.adapters.file_journal import holder, read_lines
from drfsm.claims import object_of
from drfsm.cli import remembered
from drfsm.cli.fitting import say_fitting
from drfsm.cli.prices import prices_option, read_prices
from drfsm.cli.reading_options import bundle_or_mirror, output_format
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import (
    DeclarationFault,
    DiskFault,
    DrfsmError,
    EvidenceFault,
    ExitCode,
    FileDamaged,
    JournalDamaged,
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


@click.command()
@bundle_or_mirror
@output_format
@prices_option
@click.option(
    "--by-hand",
    is_flag=True,
    help="Print plain kubectl and aws commands that put back what the run changed (docs/by-hand.md).",
)
@click.option("--roll-back", is_flag=True, help="With --by-hand: the commands for a run that is complete, too.")
def status(bundle_: str | None, output: str, prices: str, *, by_hand: bool, roll_back: bool) -> int:
    """Show what is frozen now, where a run stands, since when, and what to type next.

    BUNDLE is a directory or a run's id; without it the run that is open, else the newest. S3_URI is a run's mirror,
    which is only read.
    """
    if by_hand:
        if output == "json":
            raise UsageFault("--by-hand prints a shell script, which has no JSON", hint="leave out -o json")
        return _by_hand(bundle_, complete_too=roll_back)
    if roll_back:
        raise UsageFault("--roll-back goes with --by-hand", hint="drfsm status --by-hand --roll-back")
    if bundle_ is not None and bundle_.startswith("s3://"):
        return _status_of_mirror(bundle_, output, read_prices(prices))
    document = read_prices(prices)
    words = [] if bundle_ is None else [bundle_]
    origin = remembered.before(words) if output == "text" else ""
    runs = list(selection.known_runs())
    try:
        place = bundle.find(bundle_) if bundle_ is not None else selection.chosen(runs, to_read=True).place
    except UsageFault:
        if output == "text":
            say_fitting(_frozen_elsewhere(runs, _now()))
        else:
            say_json(_with_other_runs({}, runs))
        raise
    lines = read_lines(place)
    chain = read(lines)
    bundle.check_not_emptied(place, chain.records)
    state = fold(chain.records)
    worker, fault = _holder(place)
    dead = state.status == "running" and worker is None
    page: Sequence[str] = ()
    summary = summarise(state, chain.records, head=chain.head, dead=dead)
    if output == "json":
        say_json(_with_other_runs(_counted(summary, state, document), runs))
    else:
        costs = running(state, _now(), document) is not None  # they grow by more than a duration
        origin = "" if costs else origin
        now = LATER if origin else _now()
        page = tuple(_page(state, chain.records, str(place), runs, document, now=now, dead=dead))
        say_fitting(filled(line, time.time()) for line in page)
    remarks: list[str] = []
    if fault is None and worker is None and state.machine:
        fault = _make_true(place, state, chain.records, lines, summary, remarks.append)
    if fault is None and not remarks:
        remembered.remember(origin, words, page)
    return _ended(fault, remarks)


def _ended(fault: DrfsmError | None, remarks: Sequence[str]) -> int:
    """Print what was not as it should be; return the exit code."""
    say_lines(remarks, err=True)
    if fault is None:
        return int(ExitCode.DONE)
    first, *rest = fault.lines()
    say_lines([f"drfsm: {first}", *rest], err=True)
    return int(ExitCode.DONE if isinstance(fault, DiskFault | UsageFault) else fault.exit_code)


def _by_hand(named: str | None, *, complete_too: bool) -> int:
    """Print the commands by which a person puts back what a run changed: from its records alone, also damaged ones."""
    from drfsm.runs import by_hand, mirrors

    if mirrors.is_mirror(named):
        lines: Sequence[bytes] = mirrors.open_mirror(named, {}).lines
    else:
        place = selection.find(named, to_read=True)
        lines = read_lines(place)
        if worker := _holder(place)[0]:
            who = f"PROCESS {worker.get('pid', '?')} ON {worker.get('host', '?')}"
            say(f"# {who} WORKS ON THIS RUN NOW. Stop it first: drfsm hold, or end the process.")
    records, damage = _as_many_as_can_be_read(lines)
    if damage is not None:
        say(f"# THE JOURNAL IS DAMAGED ({damage.what}): what was done from there on is not in this list.")
        say("# Look for the whole of it in the run's mirror: drfsm list s3://<bucket>/<prefix>")
    say_lines(by_hand.commands(records, complete_too=complete_too))
    return int(ExitCode.DONE if damage is None else ExitCode.DAMAGED)


def _as_many_as_can_be_read(lines: Sequence[bytes]) -> tuple[Sequence[Record], JournalDamaged | None]:
    """Return the records up to the first that can't be read or understood, and what is wrong with that one."""
    damage: JournalDamaged | None = None
    while lines:
        try:
            records = read(lines).records
            fold(records)
        except JournalDamaged as fault:
            damage = damage or fault
            lines = lines[: min(fault.line, len(lines)) - 1]
        else:
            return records, damage
    raise damage or UsageFault("this journal has no record", hint="drfsm list")


def _status_of_mirror(uri: str, output: str, prices: str) -> int:
    """Show where a mirrored run stands, as its unchecked records say."""
    from drfsm.runs import mirrors

    mirror = mirrors.open_mirror(uri, {})
    state, runs = mirrors.state_of(mirror), list(selection.known_runs())
    if output == "json":
        summary = summarise(state, mirror.records, head=mirror.head)
        say_json(_with_other_runs(_counted(summary, state, prices), runs))
        return int(ExitCode.DONE)
    unchecked = f"Unchecked records of the mirror (`drfsm replay {quote(uri)}` checks them). Head: {mirror.head}"
    say_fitting(_page(state, mirror.records, uri, runs, prices, now=_now(), remark=unchecked))
    return int(ExitCode.DONE)


def _page(
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


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _counted(summary: dict[str, Any], state: RunState, prices: str) -> dict[str, Any]:
    """Return the summary with the machines that run on counted until now, where prices are given."""
    machines = running(state, _now(), prices) if prices else None
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


def _with_other_runs(summary: Mapping[str, Any], runs: Sequence[selection.KnownRun]) -> dict[str, Any]:
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


def _holder(place: Path) -> tuple[dict[str, Any] | None, DrfsmError | None]:
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
