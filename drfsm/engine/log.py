"""The journal of a run together with the state that it folds to, and whoever wants to hear of each record.

Owns the one way in which a record comes to be: append durably, fold, tell the subscribers. A subscriber
derives things (a summary, a step's log, progress); the journal is the truth, so it hears after the fact, and
what goes wrong with it can't undo a record: it is kept in ``fault``, and the run stops at the next clean point.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drfsm.engine.ports import Clock, Journal
from drfsm.errors import DrfsmError
from drfsm.journal import Record, RunState, fold
from drfsm.spec.model import By, MachineSpec, Row

OnRecord = Callable[[Record, RunState], None]


class RunLog:
    """One run's records, folded as they come."""

    def __init__(self, spec: MachineSpec, journal: Journal, clock: Clock, on_record: Sequence[OnRecord] = ()) -> None:
        self.spec = spec
        self.journal = journal
        self.clock = clock
        self.fault: DrfsmError | None = None
        self._on_record = tuple(on_record)
        self._untold: list[tuple[Record, RunState]] = []
        self.state: RunState = fold(journal.records())

    def append(self, kind: str, body: Mapping[str, Any], *, tell: bool = True) -> Record:
        """Write one record durably, then fold it in, then tell the subscribers (or, if not now, at ``tell()``)."""
        record = self.journal.append(kind, body, self.clock.now())
        self._fold([record] if record.seq == self.state.length else self.journal.records()[self.state.length :])
        if tell:
            self.tell()
        return record

    def catch_up(self) -> None:
        """Fold what the journal has and we don't: an interruption may have come in between."""
        self._fold(self.journal.records()[self.state.length :])

    def _fold(self, records: Sequence[Record]) -> None:
        for record in records:
            self.state = fold([record], self.state)
            self._untold.append((record, self.state))

    def tell(self) -> None:
        """Tell the subscribers what they have not heard yet."""
        untold, self._untold = self._untold, []
        for record, state in untold:
            for subscriber in self._on_record:
                try:
                    subscriber(record, state)
                except Exception as fault:  # noqa: BLE001  whatever it derives, the run goes by its journal
                    self._blame(record, fault)

    def _blame(self, record: Record, fault: Exception) -> None:
        told = fault.what if isinstance(fault, DrfsmError) else f"{type(fault).__name__}: {fault}"
        self.fault = self.fault or DrfsmError(
            f"the summary or a step's log could not be written (at record {record.seq}): {told}",
            hint="mend the cause, then `drfsm resume`; the journal itself is whole",
        )

    def frozen(self, readings: Mapping[str, str | None] | None = None) -> list[str]:
        """Say in the operator's words what is frozen, by these readings, else as it was known last."""
        now = {name: value for name, value in (readings or {}).items() if value is not None}
        return list(self.spec.says_frozen({**self.state.known, **now}))

    @property
    def no_return(self) -> bool:
        """Whether the point of no return is passed: the intent of the final write was recorded, ever."""
        return any(row.point_of_no_return and row.key in self.state.snapshots for row in self.spec.rows)

    def next_actions(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return what a person can do from a state: to go on, and each operator's row with its reason."""
        at = state or self.state.state
        if at in self.spec.finals:
            return []
        rows = self.spec.rows_from(at, self.state.inputs, By.OPERATOR)
        open_to = [row for row in rows if not (self.no_return and self.leads_to_undo(row.to))]
        return [
            {"do": "resume", "because": "go on from exactly here"},
            *(_way(row) for row in open_to),
        ]

    def leads_to_undo(self, state: str) -> bool:
        """Whether a state is where everything is undone."""
        return any(row.foreach == "undo" for row in self.spec.rows if row.source == state)


def _way(row: Row) -> dict[str, Any]:
    """Return a way on as records carry it: what to ask for, why, and which arguments it takes."""
    return {"do": row.trigger, "because": row.reason, **({"args": list(row.amends)} if row.amends else {})}
