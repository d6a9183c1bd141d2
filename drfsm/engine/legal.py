"""Which row may be taken from where a run stands: the runner's next one, a person's, a failure's.

Reads the machine and the run's state, and facts only where a failure's row has guards. Moves nothing. Called by
runner.py.
"""

from collections.abc import Callable

from drfsm import __version__
from drfsm.engine.binding import Binding
from drfsm.engine.log import RunLog
from drfsm.errors import (
    DiskFault,
    DrfsmError,
    EvidenceFault,
    FileDamaged,
    GuardRefused,
    IllegalTransition,
    Interrupted,
    JournalDamaged,
    Unreachable,
)
from drfsm.journal.undoing import leads_to_undo
from drfsm.spec.model import By, Effect, MachineSpec, Row

FORWARD_ONLY = "the point of no return is passed: the only way is forward"


class LegalRows:
    """The rows of one machine that its run may take."""

    def __init__(self, spec: MachineSpec, log: RunLog) -> None:
        self._spec, self._log = spec, log

    def row(self, key: str) -> Row:
        """Return the row that a record names. Raises EvidenceFault if the declaration has none."""
        try:
            return self._spec.row_of(key, self._log.state.inputs)
        except KeyError:
            raise EvidenceFault(f"the journal names {key}, which the declaration doesn't have") from None

    def next_row(self) -> Row | None:
        """Return the runner's row: that of an open intent first; of a loop of undos and the row after it, the undo."""
        state = self._log.state
        if state.open is not None:
            return self.row(state.open.row)
        rows = list(self._spec.rows_from(state.state, state.inputs, By.RUNNER))
        undo = next((row for row in rows if row.foreach == "undo"), None)
        if undo is not None and state.undo:
            return undo
        return next((row for row in rows if row.foreach != "undo"), None)

    def operator_rows(self, state: str) -> list[Row]:
        """Return the rows that a person may ask for in a state."""
        return list(self._spec.rows_from(state, self._log.state.inputs, By.OPERATOR))

    def operator_row(self, trigger: str) -> Row:
        """Return a person's row. Raises IllegalTransition where it is not legal here."""
        state = self._log.state
        row = next((row for row in self.operator_rows(state.state) if row.trigger == trigger), None)
        if row is None:
            raise self.illegal(trigger)
        if self._log.no_return and leads_to_undo(self._spec, row.to):
            raise self.illegal(trigger, reason=FORWARD_ONLY)
        if row.foreach == "undo" and not state.undo:
            raise self.illegal(trigger, reason="nothing is left to undo")
        return row

    def failure_row(self, fault: DrfsmError, guards_hold: Callable[[Row], bool]) -> Row | None:
        """Return the failure's row that may be taken, the first whose guards hold; None where the run must be held.

        An open intent, or a fault that says nothing about the world, holds the run: something may be half done. Only a
        row that overrides an open intent is still taken then, because what follows takes everything down. After the
        point of no return no row that leads to an undo is taken. A row that leads back is taken as often as its
        rounds allow since a person last asked for the run to go on.
        """
        state = self._log.state
        if isinstance(fault, Interrupted):
            return None
        unclear = state.open is not None or _says_nothing(fault)
        for row in self._spec.rows_from(state.state, state.inputs, By.FAILURE):
            barred = self._log.no_return and leads_to_undo(self._spec, row.to)
            if (most := row.returns(state.inputs)) is not None and state.returns.get(row.key, 0) >= most:
                continue
            if not barred and (not unclear or self._overrides(row)) and guards_hold(row):
                return row
        return None

    def _overrides(self, row: Row) -> bool:
        """Say whether a failure's row may be taken although nobody knows how the world is."""
        intent = self._log.state.open
        begun = self.row(intent.row) if intent is not None else None
        return row.overrides_open_intent and (
            begun is None or not (begun.point_of_no_return or begun.effect is Effect.ONCE)
        )

    def touches_world(self, row: Row) -> bool:
        """Say whether a row touches anything but its inputs; only then the lease is needed."""
        names = {fact for _, fact, _ in self._spec.wanted_of(row)} | self._spec.stand_ins(row)
        local = all(self._spec.facts[name].local for name in names)
        return row.action is not None or row.foreach is not None or not local

    def illegal(self, trigger: str, reason: str = "") -> IllegalTransition:
        """Return the refusal of a trigger that is not legal here."""
        state = self._log.state
        rows = self._spec.rows_from(state.state, state.inputs)
        if not reason and any(row.trigger == trigger for row in rows):
            reason = "the runner fires it by itself: drfsm resume"
        legal = [action["do"] for action in self._log.next_actions()]
        return IllegalTransition(
            machine=self._spec.name, state=state.state, trigger=trigger, legal=legal, reason=reason
        )


def check_binding(spec: MachineSpec, binding: Binding, log: RunLog) -> None:
    """Hold a binding against the machine: exactly for a new run, for all that it names where a run is pinned to it.

    Raises BindingFault, EvidenceFault.
    """
    if log.state.machine_sha256 != spec.sha256:
        binding.complete_for(spec)
    elif missing := binding.missing_for(spec):
        raise EvidenceFault(
            f"this drfsm ({__version__}) lacks what the run's declaration of {spec.name} names: {'; '.join(missing)}",
            hint=f"go on with drfsm {log.state.version}, which started the run",
        )


def _says_nothing(fault: DrfsmError) -> bool:
    """Say whether a failure leaves open how the world is: it could not be reached, or this computer failed."""
    if isinstance(fault, GuardRefused):
        return all(check["value"] == "unknown" for check in fault.refusals)
    return isinstance(fault, Unreachable | DiskFault | FileDamaged | JournalDamaged)
