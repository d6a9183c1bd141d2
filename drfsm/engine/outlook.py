"""What a run that has not begun would meet, row by row: for `drfsm plan`.

Walks every row that a run with these inputs would take until it completes, also past a row that would be refused and
past a person's decision: whoever reads a plan wants all that is wrong at once. Each fact is read once, so that the
whole plan speaks of one moment. A guard whose fact a row on the way changes is not judged by what is there today: that
row sets what the guard requires, or it is known later. What can be learnt only by writing is not asked here: the world
must refuse writes with LeaseLost.

Writes nothing, takes no lease, keeps its records in memory. forecast.py is the dry run of a run with a journal.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from drfsm.engine.binding import Binding, Run
from drfsm.engine.forecast import checks_of
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer
from drfsm.engine.ports import Clock, MemoryJournal, SystemClock
from drfsm.engine.runner import Runner
from drfsm.errors import LeaseLost
from drfsm.journal.record_types import Check, ForeseenCheck, Reading
from drfsm.spec.model import By, MachineSpec, Row
from drfsm.spec.ways import likely_way

BY_WRITING = "it can be learnt only by writing: the run asks it when it starts"


@frozen
class Change:
    """What became of a fact on the way: by which row, how, and which values it has then; () where nobody can say."""

    trigger: str
    how: str  # sets | waits | changes | decides
    values: tuple[str, ...] = ()

    def meets(self, needed: Collection[str]) -> bool:
        """Return whether the fact has one of the needed values, whichever it has."""
        return bool(self.values) and set(self.values) <= set(needed)


@frozen
class Outlook:
    """One row of a run that has not begun."""

    row: Row
    checks: tuple[Check, ...]  # outcome: passed, failed, not_evaluated
    foreseen: tuple[ForeseenCheck, ...]  # guards of later rows that this row judges, too
    changed: Mapping[str, Change]  # fact -> what the rows before this one did to it


class Readings(Observer):
    """Reads each fact once. ``asked_later`` are facts that are not read at all, with the reason."""

    def __init__(self, log: RunLog, binding: Binding, world: Any, asked_later: Mapping[str, str]) -> None:
        super().__init__(log, binding, world)
        self._once: dict[str, Reading] = {}
        self.asked_later = dict(asked_later)

    @property
    def all(self) -> Mapping[str, Reading]:
        """Every fact that was read so far."""
        return dict(self._once)

    def read_one(self, name: str, run: Run) -> Reading:
        """Return the reading of a fact, from the first time that it was asked for."""
        if name not in self._once:
            try:
                self._once[name] = super().read_one(name, run)
            except LeaseLost:
                self.asked_later[name] = BY_WRITING
                self._once[name] = Reading(value=None, seen=None, why=BY_WRITING)
        return self._once[name]

    def now(self, names: Iterable[str], row: Row) -> Mapping[str, Reading]:
        """Return what facts read now, for a row."""
        return self.read(names, row)


def readings(
    spec: MachineSpec,
    binding: Binding,
    world: Any,
    inputs: Mapping[str, Any],
    *,
    run_id: str,
    asked_later: Mapping[str, str],
    clock: Clock | None = None,
) -> Readings:
    """Return what reads the world for a run that has not begun. ``asked_later``: fact -> why it is not read.

    Raises UsageFault for inputs that the machine refuses.
    """
    journal, clock = MemoryJournal(), clock or SystemClock()
    Runner(spec, binding, world, journal, clock=clock).begin(inputs, run_id=run_id, dry_run=True)
    return Readings(RunLog(spec, journal, clock), binding, world, asked_later)


def outlook(spec: MachineSpec, inputs: Mapping[str, Any], read: Readings) -> Iterator[Outlook]:
    """Yield the rows of a run with these inputs, in order, with what is known of each guard now."""
    changed: dict[str, Change] = {}
    for row in likely_way(spec, inputs):
        before = dict(changed)
        person = _decided(spec, row)
        skip = {*changed, *person, *read.asked_later}
        judgement = read.judge(row, skip=skip)
        late = {check.fact for check in judgement.checks} & read.asked_later.keys()
        checks = [_unless_late(check, late) for check in checks_of(spec, row, judgement)]
        yield Outlook(row, tuple(checks), judgement.foreseen, {**before, **person})
        changed |= person
        changed |= _changes(spec, row)


def _unless_late(check: Check, late: set[str]) -> Check:
    """Return a check; not evaluated where its fact turned out to be one that only writing tells."""
    return evolve(check, outcome="not_evaluated", value=None, holds=None) if check.fact in late else check


def _decided(spec: MachineSpec, row: Row) -> dict[str, Change]:
    """Return the facts that a person's arguments of a row decide."""
    if row.by is not By.OPERATOR:
        return {}
    decided = {name for name, fact in spec.facts.items() if set(fact.reads) & set(row.amends)}
    return {name: Change(row.trigger, "decides") for name in decided}


def _changes(spec: MachineSpec, row: Row) -> dict[str, Change]:
    """Return what a row does to facts, once it is taken: what it sets and waits for, and what depends on that."""
    waited = {fact: needed for _, fact, needed in spec.wanted_of(row)} if row.wait else {}
    itself = {*row.sets, *waited, *spec.brought_about(row)}
    changes = {name: Change(row.trigger, "changes") for name in spec.depending_on(itself)}
    changes |= {name: Change(row.trigger, "waits", needed) for name, needed in waited.items()}
    return changes | {name: Change(row.trigger, "sets", (value,)) for name, value in row.sets.items()}
