"""Holds every row of a run that acts against what the row ``sets``, also cut off at each of its writes.

``Probe`` listens to a run in this process. At a row's intent it reads all facts; with ``cuts`` it then does the row's
own action, cut off at its first write, and done again and cut off at the next one, until nothing is left to write, and
looks at all facts after each cut. At the row's commit it reads all facts again.
"""

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field

from drfsm.dr import workload
from drfsm.dr.procedures.bindings import binding
from drfsm.engine import Binding, MemoryJournal, Run
from drfsm.engine.log import RunLog
from drfsm.engine.observer import Observer
from drfsm.journal import Record
from drfsm.spec import MachineSpec, Row
from drfsm.spec.model import FactSpec
from drfsm.world import World
from tests.agree.cutting import SITES, Line, Moment, Outcome, killed, world_on
from tests.safety.world import Failback, Site, _Hook

Values = Mapping[str, str | None]
Kind = tuple[str, tuple[tuple[str, str], ...]]
"""An action and what it sets: rows of one kind do the same, whatever state they leave."""
MOST_WRITES = 200
CUTS = "DRFSM_CUTS"  # in the environment: also cut every action off
BY_ITSELF = tuple(f"{site}_{what}" for site in SITES for what in ("inflight", "backlog"))
"""What changes under a run's feet in a sandbox: Jobs start and end."""
GOES_ON: Mapping[str, tuple[str, ...]] = {
    # The Job that it starts publishes, and may have done so as soon as anybody looks.
    "start_soak": ("global_pointer", "provider_pointers", "captured", "canonical_run", "pointer_set", "latest"),
}
"""Action -> what else changes in the world by what it started."""
AGAIN: Mapping[str, str] = {
    "refresh_pull_secret": "each time there is a new token: a person may ask for one",
    "restore_manifests": "the server compares: each object is applied again",
    "apply_dr_control_plane": "likewise",
}
"""Actions that write from their beginning when they are done again, and why: each time they are cut off one later."""
HALF = ("mixed", "partial")  # what an action leaves behind that was cut off, where the fact declares no other


def kind_of(row: Row) -> Kind | None:
    """Return the kind of a row that acts, None for any other."""
    return (row.action, tuple(sorted(row.sets.items()))) if row.action else None


def kinds_of(spec: MachineSpec) -> set[Kind]:
    """Return every kind of a machine's rows."""
    return {kind for row in spec.rows if (kind := kind_of(row))}


def half(fact: FactSpec) -> tuple[str, ...]:
    """Return the values that a fact may have when an action was cut off in the middle."""
    return fact.partial or tuple(value for value in HALF if value in fact.values)


@define
class Probe:
    """Listens to one run: ``heard`` is called with each of its records."""

    spec: MachineSpec
    clock: Any
    look: Callable[[], World]  # as a process that only reads
    way: Callable[[Line], AbstractContextManager[World]]  # the world of a new process on a line
    cuts: bool = False
    uncut: Collection[str] = ()  # actions that are not cut off here
    findings: list[str] = field(factory=list)
    seen: set[Kind] = field(factory=set)  # kinds of rows that were held against what they set
    written: dict[Kind, int] = field(factory=dict)  # kind -> how many writes its action made, cut off at each
    _records: list[Record] = field(factory=list)
    _before: Values = field(factory=dict)
    _bound: Binding = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Find the code."""
        self._bound = binding(self.spec.name)

    # --- what happens -----------------------------------------------------------------------------------------

    def heard(self, record: Record) -> bool:
        """Take note of a record. Returns False: a run's hooks ask whether it fits."""
        self._records.append(record)
        row = self._row(record)
        if row is not None and self._kind(row) in self.seen:
            return False  # once for each kind
        if row is not None and record.kind == "intent":
            self._before = self._values(row, record)
            if self.cuts and row.action not in self.uncut:
                self._cut_everywhere(row, record)
        elif row is not None and self._before:
            self._held(row, "when it is done", self._values(row, record), done=True)
            self.seen.add(self._kind(row))
            self._before = {}
        return False

    def _row(self, record: Record) -> Row | None:
        """Return the acting row that an intent or a commit is of, None for any other record."""
        if record.kind not in ("intent", "commit") or not record.body.get("row"):
            return None
        inputs = self._log.state.inputs
        rows = (row for row in self.spec.rows if row.key == record.body["row"] and row.selected(inputs) and row.action)
        return next(rows, None)

    @property
    def _log(self) -> RunLog:
        return RunLog(self.spec, MemoryJournal(self._records), self.clock)

    def _kind(self, row: Row) -> Kind:
        found = kind_of(row)
        assert found is not None
        return found

    # --- looking ----------------------------------------------------------------------------------------------

    def _run(self, row: Row, observer: Observer, record: Record) -> Run:
        return observer.run(row, record.body.get("args") or {})

    def _values(self, row: Row, record: Record) -> Values:
        """Read every fact, for a row."""
        observer = Observer(self._log, self._bound, self.look())
        run = self._run(row, observer, record)
        facts = [fact.name for fact in self.spec.facts.values() if not fact.hidden]
        return {name: observer.read_one(name, run).value for name in facts}

    def _held(self, row: Row, when: str, now: Values, *, done: bool) -> None:
        """Hold the facts against what a row says of them."""
        moving = self._may_change(row)
        for name, value in now.items():
            before, fact = self._before[name], self.spec.facts[name]
            wanted = {before}
            if name in row.sets:
                wanted = {row.sets[name]} if done else {before, row.sets[name], *half(fact)}
            unknown = name not in row.sets and None in (
                value,
                before,
            )  # what it is of may not be there, before or after
            if value not in wanted and not unknown and not (name in moving and name not in row.sets):
                of = (
                    "and the row does not set it"
                    if name not in row.sets
                    else f"and {sorted(map(str, wanted))} is right"
                )
                self.findings.append(f"{row.key}: {when}, {name} is {value}; it was {before}, {of}")

    def _may_change(self, row: Row) -> set[str]:
        known = {fact.name for fact in self.spec.facts.values() if fact.known_after == row.trigger}
        amended = {fact.name for fact in self.spec.facts.values() if set(fact.reads) & set(row.amends)}
        started = GOES_ON.get(row.action or "", ())
        return {*BY_ITSELF, *known, *started, *self.spec.depending_on(set(row.sets) | amended)}

    # --- cutting ----------------------------------------------------------------------------------------------

    def _cut_everywhere(self, row: Row, record: Record) -> None:
        """Do the row's action in processes that die one write later each."""
        writes = 0
        moment: Moment = "before"
        for _ in range(MOST_WRITES):
            line = Line(writes + 1 if row.action in AGAIN else 1, moment)
            outcome = self._done_on(line, row, record)
            if not outcome.cut:
                when = f"done again after {writes} writes"
                if outcome.fault is not None:
                    self.findings.append(f"{row.key}: {when}, it fails: {outcome.fault!r}")
                self._held(row, when, self._values(row, record), done=outcome.fault is None)
                self.written[self._kind(row)] = writes
                return
            writes += moment == "after"
            when = f"cut off {moment} write {writes or 1} ({line.writes[-1]})"
            self._held(row, when, self._values(row, record), done=False)
            moment = "after"
        self.findings.append(f"{row.key}: done {MOST_WRITES} times, it still writes")

    def _done_on(self, line: Line, row: Row, record: Record) -> Outcome:
        with self.way(line) as world:
            run = self._run(row, Observer(self._log, self._bound, world), record)
            return killed(line, lambda: self._bound.action(self._kind(row)[0])(world, run))


def served(site: Site) -> dict[str, str]:
    """Return the inputs of a run whose workload serves: the sandbox's own contract."""
    contract = workload.read(Path(site.sandbox.environment["WORKLOAD"]).read_bytes())
    return {"workload": workload.canonical(contract), "endpoints": "asked"}


def probed(run: Failback) -> Probe:
    """Have a probe listen to a failback or a promote, which has not started yet."""
    run.world()
    world = next(iter(run.site.worlds.values()))
    kubeconfigs = {site: run.site.cluster(site).kubeconfig for site in SITES if run.inputs[f"kubeconfig_{site}"]}
    way = partial(_way, run, kubeconfigs)
    probe = Probe(run.spec, run.clock, lambda: world, way, cuts=bool(os.environ.get(CUTS)))
    run._hooks.append(_Hook(probe.heard, lambda: None))
    return probe


def _way(run: Failback, kubeconfigs: Mapping[str, Any], line: Line) -> AbstractContextManager[World]:
    place = run.directory.parent / "lines"
    return world_on(line, str(run.inputs["endpoint_url"]), run.inputs, kubeconfigs, place, run.id)
