"""A machine that is played: a person is the world, the real Runner does the rest, in memory.

Facts have the values that the player gives them; an action brings about what its row sets, fails, or is cut off as the
player says. Between two steps, and at each pause, the Runner asks the player. Called by `drfsm machine simulate`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from drfsm.engine import Act, Binding, Fact, MemoryJournal, NoLease, Run, Runner
from drfsm.engine.legal import LegalRows
from drfsm.engine.log import RunLog
from drfsm.errors import ActionFailed, DrfsmError, Unreachable
from drfsm.journal import RunState, fold
from drfsm.spec import MachineSpec, Row, holds
from drfsm.spec.model import Rule
from drfsm.testing.fuse import Crash, MemoryClock

UNKNOWN = "unknown"
FATES = ("fail", "kill before", "kill half", "kill after")
"""What can become of the next action, beside that it works."""


@define(slots=False)
class Simulation:
    """One run that is played. ``ask`` is called between two steps: "" goes on, a text holds the run."""

    machine: MachineSpec
    inputs: Mapping[str, Any]
    values: dict[str, str]  # of each fact that can be read
    ask: Callable[[], str]
    fate: str = ""  # of the next action: "" or one of FATES
    journal: MemoryJournal = field(factory=MemoryJournal)
    _lease: NoLease = field(factory=NoLease)
    _clock: MemoryClock = field(factory=MemoryClock)

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return fold(self.journal.records())

    def process(self, verb: Callable[[Runner], object]) -> str:
        """Let one process do one verb. Returns why it ended before its time: it was killed, or the verb was refused."""
        runner = Runner(
            self.machine, self._binding(), self.values, self.journal,
            lease=self._lease, clock=self._clock, operator="player", host="here", hold_asked=self.ask,
        )  # fmt: skip
        try:
            verb(runner)
        except Crash as crash:
            return f"the process was killed {crash}"
        except DrfsmError as fault:
            return fault.diagnostics()
        return ""

    def next_row(self) -> Row | None:
        """Return the row that the Runner takes next; None where it waits for a person, or has ended."""
        state = self.state
        if state.ended or state.state in self.machine.finals:
            return None
        return self._legal().next_row()

    def decisions(self) -> list[Row]:
        """Return the rows that a person may ask for here."""
        return [] if self.state.ended else self._legal().operator_rows(self.state.state)

    def moves_of_the_world(self) -> Iterator[Rule]:
        """Yield the environment's rules that can happen now."""
        for rule in self.machine.environment:
            here = not rule.states or self.state.state in rule.states
            if here and holds(rule.when, self.values) and any(self.values.get(f) != v for f, v in rule.sets.items()):
                yield rule

    def answer(self, fact: str, value: str) -> None:
        """Give a fact a value. Raises ValueError, with what may be said, for one that it does not have."""
        declared = self.machine.facts.get(fact)
        if declared is None:
            raise ValueError(f"there is no fact {fact}; the facts are {', '.join(self.machine.facts)}")
        if value not in (*declared.values, UNKNOWN):
            raise ValueError(f"{fact} is one of {', '.join((*declared.values, UNKNOWN))}, not {value}")
        self.values[fact] = value

    def happen(self, rule: Rule) -> None:
        """Let the world do what an environment's rule says."""
        self.values.update(rule.sets)

    # --- pieces -----------------------------------------------------------------------------------------

    def _legal(self) -> LegalRows:
        return LegalRows(self.machine, RunLog(self.machine, MemoryJournal(self.journal.records()), self._clock))

    def _binding(self) -> Binding:
        facts = {name: self._fact(name) for name, fact in self.machine.facts.items() if not fact.hidden}
        named = {name: row for row in self.machine.rows for name in (row.action, row.undo) if name}
        repairs = {row.attempts.repair for row in self.machine.rows if row.attempts.repair}
        actions = {name: self._act(name) for name in named}
        return Binding(facts, {**{name: lambda _world, _run: None for name in repairs}, **actions})

    def _fact(self, name: str) -> Fact:
        def observe(values: Mapping[str, str], _run: Run) -> str:
            if values[name] == UNKNOWN:
                raise Unreachable(f"{name} can't be read: the player says so")
            return values[name]

        return Fact(observe, lambda seen, _inputs: str(seen))

    def _act(self, name: str) -> Act:
        def act(values: dict[str, str], run: Run) -> None:
            fate, self.fate = self.fate, ""
            rows = [row for row in self.machine.rows if row.trigger == run.trigger and row.action == name]
            brings = {str(fact): str(seen) for fact, seen in run.undoing.items()} or (
                dict(rows[0].sets) if rows else {}
            )
            if fate == "fail":
                raise ActionFailed(f"{name} failed: the player says so")
            if fate == "kill before":
                raise Crash(f"before {name} did anything")
            if fate == "kill half":
                values.update(self._half(brings))
                raise Crash(f"when {name} was half done")
            values.update(brings)
            if fate == "kill after":
                raise Crash(f"after {name} was done, before that was on record")

        return act

    def _half(self, brings: Mapping[str, str]) -> dict[str, str]:
        """Return what an action leaves that was cut off: of each fact a part, else of several facts the first."""
        parts = {fact: "mixed" for fact in brings if "mixed" in self.machine.facts[fact].values}
        first, *others = brings.items() if brings else [("", "")]
        return parts or (dict([first]) if others else {})
