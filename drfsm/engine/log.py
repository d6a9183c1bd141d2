"""The journal of a run, the state that it folds to, and the subscribers that are called with each record.

Owns the one way in which a record is written: check it against its kind, append durably, fold, call the subscribers. A
record that does not fit its kind is refused, and nothing is written: it could never be read again. A subscriber derives
something (a summary, a step's log, progress). The journal is the truth, so subscribers come after it, and their
failure can't undo a record: it is kept in ``fault``, and the run stops at the next clean point.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drfsm.engine.ports import Clock, Journal
from drfsm.errors import DrfsmError, UsageFault
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import misfits, parse, undeclared
from drfsm.journal.replay import fold_read
from drfsm.journal.undoing import leads_to_undo, past_point_of_no_return
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
        self._pending: list[tuple[Record, RunState]] = []
        self.state: RunState = fold(journal.records())

    def append(self, kind: str, body: Mapping[str, Any], *, notify: bool = True) -> Record:
        """Write one record durably, then fold it in, then call the subscribers (or, if not now, at ``notify()``).

        Raises UsageFault, and writes nothing, for a body that does not fit its kind (journal/record_types.py).
        """
        unreadable = tuple(misfits(kind, body))
        if faults := [*unreadable, *undeclared(kind, body)]:
            raise UsageFault(
                f"the {kind} record can't be written: {'; '.join(faults)}",
                hint="correct the value that was handed to drfsm; nothing was recorded",
            )
        content = parse(kind, body, unreadable)
        record = self.journal.append(kind, body, self.clock.now())
        if record.seq == self.state.length:
            self.state = fold_read(self.state, record, content)
            self._pending.append((record, self.state))
        else:  # the journal wrote a record of its own before this one
            self._fold(self.journal.records()[self.state.length :])
        if notify:
            self.notify()
        return record

    def catch_up(self) -> None:
        """Fold records that the journal has and this state lacks: an interruption may have come in between."""
        self._fold(self.journal.records()[self.state.length :])

    def _fold(self, records: Sequence[Record]) -> None:
        for record in records:
            self.state = fold([record], self.state)
            self._pending.append((record, self.state))

    def notify(self) -> None:
        """Call the subscribers with the records that they have not had yet."""
        pending, self._pending = self._pending, []
        for record, state in pending:
            for subscriber in self._on_record:
                try:
                    subscriber(record, state)
                except Exception as fault:  # noqa: BLE001  whatever it derives, the run goes by its journal
                    self._blame(record, fault)

    def _blame(self, record: Record, fault: Exception) -> None:
        what = fault.what if isinstance(fault, DrfsmError) else f"{type(fault).__name__}: {fault}"
        self.fault = self.fault or DrfsmError(
            f"the summary or a step's log could not be written (at record {record.seq}): {what}",
            hint="mend the cause, then `drfsm resume`; the journal itself is whole",
        )

    def frozen(self, values: Mapping[str, str | None] | None = None) -> list[str]:
        """Say in the operator's words what is frozen: by these values, for all other facts by the last known ones."""
        if not self.spec.frozen:
            return []
        now = {name: value for name, value in (values or {}).items() if value is not None}
        return list(self.spec.says_frozen(ChainMap(now, self.state.known)))  # type: ignore[arg-type]  # it is only read

    @property
    def no_return(self) -> bool:
        """Whether the point of no return is passed."""
        return past_point_of_no_return(self.spec, self.state)

    def next_actions(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return what a person can do from a state: to go on, and each operator's row with its reason."""
        at = state or self.state.state
        if at in self.spec.finals:
            return []
        rows = self.spec.rows_from(at, self.state.inputs, By.OPERATOR)
        open_to = [row for row in rows if not (self.no_return and leads_to_undo(self.spec, row.to))]
        return [
            {"do": "resume", "because": "go on from exactly here"},
            *(self._action(row) for row in open_to),
        ]

    def _action(self, row: Row) -> dict[str, Any]:
        """Return a next action as records carry it: what to ask for, why, its arguments and their legal values."""
        values = self.spec.values_of(row)
        return {
            "do": row.trigger,
            "because": row.reason,
            **({"args": list(row.amends)} if row.amends else {}),
            **({"values": {name: list(legal) for name, legal in values.items()}} if values else {}),
        }
