"""A room for one rule at a time: a machine of a few rows, facts that read a dictionary, actions that are told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from drfsm.engine import Act, Binding, Fact, MemoryJournal, NoLease, Run, Runner
from drfsm.journal import Record
from drfsm.spec import MachineSpec, load_machine
from drfsm.testing.fuse import MemoryClock

HEAD = """
machine: room
because: "a rule"
initial: start
finals: {done: complete%s}
inputs: {patience: {because: "seconds"}, way: {values: [long, short], because: "which way"}}
facts:
  light: {values: [on, off, mixed]}
  door: {values: [open, shut]}
  alarm: {values: [armed, loud]}
guards:
  light_is_off: {requires: {light: off}, because: "It is dark"}
  door_is_shut: {requires: {door: shut}, because: "Somebody could come in"}
  alarm_is_armed: {requires: {alarm: armed}, because: "It is loud"}
transitions:
"""
ABORT = """
  - {from: %s, trigger: abort, to: going, by: operator, because: "back"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, attempts: {max: 2}, because: "newest first"}
  - {from: going, trigger: finish_abort, to: back, because: "all is as before"}
  - {from: going, trigger: waive_undo, to: going, by: operator, foreach: undo, because: "A person answers"}
"""
UNUSED = """
  - {from: start, trigger: use, to: done, by: operator, guards: [light_is_off, door_is_shut, alarm_is_armed],
     when: {way: long}, because: "so that all is used"}
"""


def machine(rows: str, abort_from: str = "") -> MachineSpec:
    """Return a machine of these rows; ``abort_from`` lists the states that can be aborted."""
    finals = (", back: aborted" if abort_from else "") + (", refused: refused" if "to: refused" in rows else "")
    abort = ABORT % abort_from if abort_from else ""
    return load_machine(HEAD % finals + rows + UNUSED + abort, source="room.yaml")


@define
class Room:
    """One run of a machine: ``has`` is the world, ``acts`` what was called, ``broken`` what can't be read."""

    spec: MachineSpec
    has: dict[str, Any] = field(factory=lambda: {"light": "off", "door": "shut", "alarm": "armed"})
    actions: dict[str, Act] = field(factory=dict)
    observe: dict[str, Callable[["Room", Run], Any]] = field(factory=dict)
    judge: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = field(factory=dict)
    acts: list[str] = field(factory=list)
    clock: MemoryClock = field(factory=MemoryClock)
    lease: NoLease = field(factory=NoLease)
    journal: MemoryJournal = field(factory=MemoryJournal)

    def runner(self, records: Sequence[Record] | None = None, **more: Any) -> Runner:
        """Return a runner over the journal (or over these records in its place), as a new process would have."""
        if records is not None:
            self.journal = MemoryJournal(records)
        facts = {name: self._fact(name) for name in self.spec.facts}
        names = {name for row in self.spec.rows for name in (row.action, row.undo, row.attempts.repair) if name}
        binding = Binding(facts, {name: self._act(name) for name in names})
        given: dict[str, Any] = {"clock": self.clock, "lease": self.lease, "operator": "op", "host": "here"} | more
        return Runner(self.spec, binding, self, self.journal, **given)

    def start(self, **more: Any) -> Runner:
        """Start a run and return its runner."""
        runner = self.runner()
        runner.start({"patience": 5, "way": "short"}, run_id="run-1", **more)
        return runner

    def records(self, *kinds: str) -> list[Record]:
        """Return the records, of these kinds only if any are given."""
        return [each for each in self.journal.records() if not kinds or each.kind in kinds]

    def until(self, kind: str, which: int = 0) -> list[Record]:
        """Return the records up to and with the n-th of a kind: what a crash right after it leaves."""
        wanted = self.records(kind)[which]
        return list(self.journal.records()[: wanted.seq + 1])

    def _fact(self, name: str) -> Fact:
        def observe(room: "Room", run: Run) -> Any:
            return room.observe[name](room, run) if name in room.observe else room.has[name]

        return Fact(observe, self.judge.get(name, lambda seen, _inputs: seen))

    def _act(self, name: str) -> Act:
        def act(room: "Room", run: Run) -> Any:
            room.acts.append(name)
            if name in room.actions:
                return room.actions[name](room, run)
            sets = next((row.sets for row in room.spec.rows if (row.action, row.trigger) == (name, run.trigger)), {})
            room.has.update(run.undoing or sets)
            return None

        return act
