"""Which requests must be settled before a row: a question about a run's state that needs its machine as well.

A request whose answer nobody saw may take effect at any later moment. So before the guards of a row are read, every
request of another row that may still be on its way is settled: then nothing that this run has sent can change what the
guards saw. A run in which every request was answered owes nothing.

Not asked: the row itself, which does its own action again; and the rows that lead into, and are, the undo of changes:
each undo shuts out what it gives back, and the row that leaves the loop settles what is left.

Stated once, so that the runner (engine/late.py) and the audit (evidence/audit/late.py) give the same answers. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from drfsm.journal.replay import InFlight, RunState
from drfsm.spec.model import MachineSpec, Row


class Settling(Protocol):
    """What a binding says of an action (engine/binding.py): how a late request of it is shut out, or waited for."""

    @property
    def touch(self) -> Any:
        """What gives everything that the action could change a new version; None where nothing can."""

    @property
    def settles(self) -> str:
        """What of the action has no condition; "" where everything has one."""

    @property
    def overwrites(self) -> bool:
        """Whether such a request replaces also what other rows wrote since."""


Settlings = Mapping[str, Settling]
"""Action -> how a late request of it is settled."""


def owed(spec: MachineSpec, state: RunState, row: Row, late: Settlings | None) -> Iterator[InFlight]:
    """Yield what is to be settled before a row's guards are read. ``late`` None: only the declaration is known.

    What could not be shut out is on record, and is tried again only before the end.
    """
    if row.foreach is not None or spec.goes_straight_to_undo(row):
        return
    for flight in state.in_flight:
        again = flight.row == row.key and not flight.undoes
        tried = bool(flight.not_excluded) and row.to not in spec.finals
        if not again and not tried and may_land(spec, state, flight, late):
            yield flight


def may_land(spec: MachineSpec, state: RunState, flight: InFlight, late: Settlings | None) -> bool:
    """Say whether a request may still change something.

    One with a condition can't once its action was done by another request: only one of the two is taken. One without
    can, whatever was done since.
    """
    declared = spec.declared(flight.undoes or flight.row)
    if declared is None:
        return False
    lands_late = declared.lands_late and not flight.undoes
    how = late.get((declared.undo if flight.undoes else declared.action) or "") if late is not None else None
    if how is None:
        return lands_late
    undone = any(flight.changed(entry) for entry in state.undone)
    return not flight.committed or how.overwrites or bool(how.settles and (lands_late or undone))
