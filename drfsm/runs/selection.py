"""Which run a command without a name speaks of, and what the runs of this computer have left frozen.

A command without a name means the run that is open: live, begun, not ended. A run that was refused, a dry run and a
run that has ended are never chosen while another one is open, however new they are: both sites may be frozen by the
open one. A run that another one took over, which changed the sites since, is not open: it can do nothing any more, and
what it froze is the other's to say. Several open runs are refused with a list. A child run (a drill's promote) stands
for the run that started it. Where nothing is open, a verb that only reads takes the newest run, and a verb that changes
something takes one that still lacks its end (a dry run that was interrupted, a log without its seal), else it is
refused.

Reads the bundles of this computer, offline, and writes nothing. Called by every command on a run.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shlex import quote

from attrs import evolve, frozen

from drfsm.adapters.file_journal import holder, read_chain
from drfsm.errors import DrfsmError, UsageFault
from drfsm.evidence.wording import NOBODY, frozen_in_order
from drfsm.journal import RunState, fold
from drfsm.runs import bundle


@frozen
class KnownRun:
    """A run of this computer. ``fault`` says why its records cannot be read, "" where they can.

    ``superseded_by``: the run of this computer that took it over and changed the sites since; "" where none did.
    """

    place: Path
    state: RunState
    fault: str = ""
    superseded_by: str = ""

    @property
    def id(self) -> str:
        """The run's id; of a run whose records cannot be read the name of its directory."""
        return self.state.run_id or self.place.name

    @property
    def is_open(self) -> bool:
        """Whether the run is live and has not ended: what it froze stays frozen until it goes on."""
        may_go_on = not self.state.ended and not self.superseded_by
        return bool(self.state.machine) and may_go_on and not self.state.dry_run

    @property
    def lacks_its_end(self) -> bool:
        """Whether a resume still has something to do, though nothing in the world."""
        return bool(self.state.machine) and not self.is_open and not self.state.sealed and not self.superseded_by

    @property
    def status(self) -> str:
        """Its status; ``interrupted`` where no process works on a run that says it is running."""
        return "interrupted" if self.state.status == "running" and _is_dead(self.place) else self.state.status

    @property
    def name(self) -> str:
        """The shortest name by which the commands find it."""
        return self.id if os.path.realpath(bundle.home() / "runs" / self.id) == str(self.place) else str(self.place)


def _is_dead(place: Path) -> bool:
    try:
        return holder(place) is None
    except DrfsmError:  # a damaged lock: nobody can tell
        return False


def known_runs() -> Iterator[KnownRun]:
    """Yield the runs of this computer, newest first; a child run is left out where its parent is known."""
    yield from with_heirs(list(_runs()))


def with_heirs(runs: Sequence[KnownRun]) -> Iterator[KnownRun]:
    """Yield the runs, each with the one of them that took it over. ``runs``: newest first."""
    heirs = {dead: run.id for run in reversed(runs) if run.state.changed_sites for dead in run.state.took_over}
    yield from (evolve(run, superseded_by="" if run.state.ended else heirs.get(run.id, "")) for run in runs)


def _runs() -> Iterator[KnownRun]:
    seen: set[Path] = set()
    for link in bundle.runs():
        place = link.resolve()
        if os.path.lexists(place.parent / bundle.LOG):
            place = place.parent
        if place not in seen:
            seen.add(place)
            yield read_run(place)


def read_run(place: Path) -> KnownRun:
    """Read one run. Raises nothing: what is wrong with its records is its fault."""
    try:
        records = read_chain(place).records
        bundle.check_not_emptied(place, records)
        return KnownRun(place, fold(records))
    except DrfsmError as fault:
        return KnownRun(place, fold(()), fault.what)


def find(named: str | None, *, to_read: bool = False) -> Path:
    """Return the bundle that ``named`` names; without a name that of the run that is meant.

    ``to_read``: the command changes nothing, so that the newest run will do where none is open. Raises UsageFault,
    JournalDamaged.
    """
    return bundle.find(named) if named is not None else chosen(known_runs(), to_read=to_read).place


def chosen(runs: Iterable[KnownRun], *, to_read: bool) -> KnownRun:
    """Return the run that a command without a name speaks of. ``runs``: newest first.

    Raises UsageFault where several are open, where none is known, and, but ``to_read``, where none can go on.
    """
    known = list(runs)
    open_runs = [run for run in known if run.is_open]
    if len(open_runs) > 1:
        ordered = sorted(open_runs, key=lambda run: not run.state.frozen_since)
        raise UsageFault(
            f"{len(open_runs)} runs are open on this computer; name the one that you mean:"
            f" {', '.join(f'{run.id} ({run.status} in {run.state.state})' for run in ordered)}",
            frozen=[f"{_frozen_words(run.state)}, by {run.id}" for run in ordered],
            hint="; or ".join(f"drfsm status {quote(run.name)}" for run in ordered),
        )
    unfinished = open_runs or [run for run in known if run.lacks_its_end or run.fault]
    if not known:
        raise UsageFault(f"no run is known in {bundle.home() / 'runs'}", hint=bundle.WHERE)
    if to_read and not open_runs:
        return known[0]
    if not unfinished:
        ended = known[0]
        raise UsageFault(
            f"no run is open on this computer. The newest, {ended.id}, ended: {ended.state.status}",
            hint=f"drfsm status {quote(ended.name)}; a run of another computer: {bundle.WHERE}",
        )
    return unfinished[0]


def _frozen_words(state: RunState) -> str:
    """Return what a run has frozen in one line; that nobody can publish stands first, and alone."""
    ordered = frozen_in_order(state.frozen_since)
    loud = [word for word in ordered if word.startswith(NOBODY)]
    words = [NOBODY] if len(loud) > 1 else loud or ordered
    return ", ".join(word.replace(NOBODY, NOBODY.upper()) for word in words) or "nothing"


def freezing(runs: Iterable[KnownRun]) -> Iterator[KnownRun]:
    """Yield the runs whose records say what is frozen now, newest first, and those whose records cannot be read.

    Each open run does, and of those that ended the last one of its bucket and prefix, as long as no later run there
    has read what is frozen. A run that was refused, and a dry run, changed nothing. ``runs``: newest first.
    """
    told: set[tuple[str, ...]] = set()
    for run in runs:
        at = _where(run.state)
        ended_live = run.state.ended and run.state.status not in ("refused", "dry_run")
        if run.fault or (run.state.frozen_since and (run.is_open or (ended_live and at not in told))):
            yield run
        if ended_live or (run.is_open and run.state.frozen_since):
            told.add(at)


def others(runs: Iterable[KnownRun], but: str = "") -> Iterator[KnownRun]:
    """Yield the runs that are open, that left something frozen, or whose records cannot be read, newest first.

    ``but``: the run that is shown, which is left out.
    """
    known = list(runs)
    left_frozen = {run.place for run in freezing(known)}
    yield from (run for run in known if run.id != but and (run.is_open or run.place in left_frozen))


def _where(state: RunState) -> tuple[str, ...]:
    """Return what two runs share that work on the same sites. A drill freezes its own site only."""
    inputs = state.inputs
    prefix = inputs.get("journal_prefix") or inputs.get("prefix") or ""
    return state.scope, str(inputs.get("bucket", "")), str(prefix).strip("/")
