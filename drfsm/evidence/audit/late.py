"""Whether what a run gave up was settled before its end: the engine's rule (engine/late.py), read from the records.

An action whose answer nobody saw may take effect after it was undone. Before the end each one is settled, and leaves a
``settled`` record. Which actions are concerned the declaration says of those without a condition (``lands_late``), the
binding of the others. Pure. Called by kinds.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from drfsm.journal import InFlight, RunState
from drfsm.spec.model import MachineSpec

_WITHOUT = ("0.1.", "0.2.", "0.3.")  # versions that settled nothing; no declaration of theirs says `lands_late`
_WITHOUT_OF = {"drill": ("0.4.",)}  # likewise, of one machine


class Settling(Protocol):
    """What a binding says of an action (engine/binding.py): how a late request of it is shut out, or waited for."""

    @property
    def touch(self) -> Any:
        """What gives everything that the action could change a new version; None where nothing can."""

    @property
    def settles(self) -> str:
        """What of the action has no condition; "" where everything has one."""


Settlings = Mapping[str, Settling]


def unsettled(spec: MachineSpec, state: RunState, late: Settlings | None) -> Iterator[InFlight]:
    """Yield what had to be settled before the end, and was not. ``late``: action -> how; None: not known.

    A run of an older version, which settled nothing, owes nothing. That it is one its version says, and its
    declaration.
    """
    versions = (*_WITHOUT, *_WITHOUT_OF.get(spec.name, ()))
    if state.version.startswith(versions) and not any(row.lands_late for row in spec.rows):
        return
    yield from (flight for flight in state.in_flight if _is_owed(spec, state, flight, late))


def _is_owed(spec: MachineSpec, state: RunState, flight: InFlight, late: Settlings | None) -> bool:
    declared = next((row for row in spec.rows if row.key == (flight.undoes or flight.row)), None)
    if declared is None:
        return False
    how = late.get((declared.undo if flight.undoes else declared.action) or "") if late is not None else None
    if how is None:  # by the declaration alone
        return declared.lands_late and not flight.undoes and not flight.committed
    undone = any(flight.changed(entry) for entry in state.undone)
    return not flight.committed or bool(how.settles and undone)
