"""The state, and the only thing that assigns it: ``transitions``, wrapped so that its traps can't bite.

All stages of a step hang on ``before_state_change``: an exception in any of them, KeyboardInterrupt
included, leaves the state unmoved. The rest closes what ``transitions`` leaves open:

- ``auto_transitions=False``: no ``to_<state>()`` back doors.
- of two rows with the same source and trigger the first would win silently: each has a condition that
  lets only the row that is being fired pass.
- a false condition returns False silently: here it raises.
- an unknown trigger is a KeyError, a wrong state a MachineError: here both are IllegalTransition.
- re-entrant triggers are silently overwritten: here a second ``fire`` inside a stage raises.
"""

from collections.abc import Callable, Sequence
from typing import Any

from transitions import EventData, Machine, MachineError

from drfsm.errors import DrfsmError, IllegalTransition
from drfsm.spec.model import MachineSpec, Row

Stage = Callable[[Row], None]


class Position:
    """Where the run is. Only ``transitions`` writes ``state``."""

    def __init__(self) -> None:
        self.state = ""


class Engine:
    """One declared machine at one position."""

    def __init__(self, spec: MachineSpec, state: str, stages: Sequence[Stage] = ()) -> None:
        self._spec = spec
        self._firing: Row | None = None
        self._position = Position()
        self._machine = Machine(
            model=None,
            states=list(spec.states),
            initial=spec.initial,
            auto_transitions=False,
            send_event=True,
            before_state_change=[self._staged(stage) for stage in stages],
        )
        for row in spec.rows:
            self._machine.add_transition(row.trigger, row.source, row.to, conditions=[self._only(row)])
        self.place(state)

    @property
    def state(self) -> str:
        """The state as the machine has it."""
        return self._position.state

    def place(self, state: str) -> None:
        """Stand where a journal says that the run stands."""
        self._machine.set_state(state, self._position)

    def legal(self, state: str | None = None) -> tuple[str, ...]:
        """Return the triggers that the machine knows from a state (the present one if not given)."""
        return tuple(self._machine.get_triggers(state or self.state))

    def fire(self, row: Row) -> None:
        """Take exactly this row: run the stages, then move. Raises IllegalTransition, or what a stage raises."""
        if self._firing is not None:
            raise DrfsmError(f"{row.trigger} was fired while {self._firing.trigger} is being taken")
        event = self._machine.events.get(row.trigger)
        if event is None:
            raise self._illegal(row.trigger)
        self._firing = row
        try:
            moved = event.trigger(self._position)
        except MachineError:
            raise self._illegal(row.trigger) from None
        finally:
            self._firing = None
        if not moved:
            raise self._illegal(row.trigger)

    def _illegal(self, trigger: str) -> IllegalTransition:
        return IllegalTransition(machine=self._spec.name, state=self.state, trigger=trigger, legal=self.legal())

    def _only(self, row: Row) -> Callable[[EventData], bool]:
        return lambda _event: self._firing is row

    def _staged(self, stage: Stage) -> Callable[[EventData], Any]:
        def run_stage(_event: EventData) -> None:
            assert self._firing is not None  # noqa: S101  fire() has set it
            stage(self._firing)

        return run_stage
