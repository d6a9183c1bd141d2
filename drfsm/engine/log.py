"""The journal of a run together with the state that it folds to, and whoever wants to hear of each record.

Owns the one way in which a record comes to be: append durably, fold, tell the subscribers. A subscriber
derives things (a summary, a step's log, progress); the journal is the truth, so it hears after the fact.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drfsm.engine.ports import Clock, Journal
from drfsm.journal import Record, RunState, fold
from drfsm.spec.model import By, MachineSpec

OnRecord = Callable[[Record, RunState], None]


class RunLog:
    """One run's records, folded as they come."""

    def __init__(self, spec: MachineSpec, journal: Journal, clock: Clock, on_record: Sequence[OnRecord] = ()) -> None:
        self.spec = spec
        self.journal = journal
        self.clock = clock
        self._on_record = tuple(on_record)
        self.state: RunState = fold(journal.records())

    def append(self, kind: str, body: Mapping[str, Any]) -> Record:
        """Write one record durably, then fold it in, then tell the subscribers."""
        record = self.journal.append(kind, body, self.clock.now())
        self.state = fold([record], self.state)
        for subscriber in self._on_record:
            subscriber(record, self.state)
        return record

    def frozen(self, readings: Mapping[str, str | None] | None = None) -> list[str]:
        """Say in the operator's words what is frozen, by the last recorded facts and these newer ones."""
        known = {name: found["value"] for name, found in self.state.facts.items()}
        return list(self.spec.says_frozen({**known, **(readings or {})}))

    @property
    def no_return(self) -> bool:
        """Whether the point of no return is passed: the intent of the final write was recorded, ever."""
        return any(row.final_write and row.key in self.state.images for row in self.spec.rows)

    def ways(self, state: str | None = None) -> list[dict[str, str]]:
        """Return what a person can do from a state: to go on, and each operator's row with its reason."""
        at = state or self.state.state
        if at in self.spec.finals:
            return []
        found = [{"do": "resume", "because": "go on from exactly here"}]
        for row in self.spec.rows_from(at, self.state.inputs, By.OPERATOR):
            if not (self.no_return and self.leads_to_undo(row.to)):
                found.append({"do": row.trigger, "because": row.because})
        return found

    def leads_to_undo(self, state: str) -> bool:
        """Whether a state is where everything is undone."""
        return any(row.each == "undo" for row in self.spec.rows if row.source == state)
