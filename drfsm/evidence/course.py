"""The course that a run took through its machine, from its records: for `drfsm machine diagram --bundle`.

A process that was killed leaves no record of it: what shows it is that another one takes the run up while the records
say that it is running. Reads records only, however badly they were written.
"""

from collections.abc import Iterable
from contextlib import suppress

from drfsm.claims import printable
from drfsm.errors import EvidenceFault
from drfsm.evidence.wording import moment
from drfsm.journal import Record, RunState, fold
from drfsm.spec import MachineSpec
from drfsm.spec.course import Course, Mark, Note


def course_of(records: Iterable[Record], spec: MachineSpec) -> Course:
    """Return the rows that a run took, the states that it passed, and where it was killed, resumed, held or ended.

    Raises EvidenceFault for records that hold no run.
    """
    telling = _Telling(spec)
    for record in records:
        telling.add(record)
    return telling.course()


class _Telling:
    """What was told so far."""

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec
        self._state = RunState()
        self._last = ""  # the kind of the record before
        self._taken: dict[tuple[str, int], list[int]] = {}
        self._states: dict[str, None] = {}
        self._notes: dict[str, list[Note]] = {}
        self._steps = 0

    def add(self, record: Record) -> None:
        """Add the next record."""
        before, self._state = self._state, fold([record], self._state)
        self._states.setdefault(self._state.state)
        if record.kind == "commit":
            self._steps += 1
            with suppress(KeyError):  # a row that the declaration does not have is the audit's matter
                row = self._spec.row_of(str(record.body["row"]), before.inputs)
                self._taken.setdefault((row.key, row.line), []).append(self._steps)
        elif self._taken_up(record, before):
            begun = f" in {printable(before.open.trigger)}" if before.open else ""
            self._note(before.state, Mark.KILLED, f"after {moment(before.last_at)}{begun}")
        if record.kind == "resumed":
            self._note(before.state, Mark.RESUMED, f"{moment(record.at)} by {printable(record.body['operator'])}")
        elif record.kind == "held":
            stage, reason = printable(record.body["stage"]), printable(record.body["reason"])
            self._note(before.state, Mark.HELD, f"{moment(record.at)} at {stage}: {reason}")
        elif record.kind == "ended":
            self._note(before.state, Mark.ENDED, f"{printable(self._state.status)} {moment(record.at)}")
        self._last = record.kind

    def _taken_up(self, record: Record, before: RunState) -> bool:
        """Say whether a process takes a run up that another one left without a word."""
        if before.status != "running":
            return False
        if record.kind == "lease_acquired":
            return before.epoch > 0
        return record.kind == "resumed" and self._last != "lease_acquired"

    def _note(self, state: str, mark: Mark, words: str) -> None:
        self._notes.setdefault(state, []).append(Note(mark, words))

    def course(self) -> Course:
        """Return the whole."""
        state = self._state
        if not state.run_id:
            raise EvidenceFault("this journal holds no run", hint="name the bundle of a run")
        if not state.ended and state.status != "held":
            self._note(state.state, Mark.STANDS, f"last record {moment(state.last_at)}")
        status = f"{state.status.replace('_', ' ')}{' (dry run)' if state.dry_run else ''}"
        return Course(
            title=f"{printable(state.run_id)}: {printable(status)} in {printable(state.state)}",
            taken={key: tuple(steps) for key, steps in self._taken.items()},
            states=frozenset(name for name in self._states if name),
            notes={name: tuple(notes) for name, notes in self._notes.items()},
        )
