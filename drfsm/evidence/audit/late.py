"""Whether what a run gave up was settled in time: the engine's rule (journal/settling.py), read from the records.

An action whose answer nobody saw may take effect after another row's guards were read, or after it was undone. Each one
is settled before that, and leaves a ``settled`` record. Which actions are concerned the declaration says of those
without a condition (``lands_late``), the binding of the others. Pure. Called by kinds.py and steps.py.
"""

from collections.abc import Iterator

from drfsm.journal import InFlight, RunState
from drfsm.journal.settling import Settlings, may_land, owed
from drfsm.journal.versions import is_older
from drfsm.spec.model import MachineSpec, Row

_SETTLED_SINCE = {"drill": "0.5.0"}
"""Machine -> the version since which what it gave up is settled; the others since 0.4.0."""


def unsettled(spec: MachineSpec, state: RunState, late: Settlings | None) -> Iterator[InFlight]:
    """Yield what had to be settled before the end, and was not. ``late``: action -> how; None: not known.

    A run of an older version, which settled nothing, owes nothing. That it is one its version says, and its
    declaration.
    """
    settled_since = _SETTLED_SINCE.get(spec.name, "0.4.0")
    if is_older(state.version, settled_since) and not any(row.lands_late for row in spec.rows):
        return
    yield from (flight for flight in state.in_flight if _is_owed_at_the_end(spec, state, flight, late))


def unsettled_before(spec: MachineSpec, state: RunState, row: Row, late: Settlings | None) -> Iterator[InFlight]:
    """Yield what had to be settled before the guards of a row were read, and was not.

    A run that a version before 0.6.0 started owes that only at its end.
    """
    if not is_older(state.version, "0.6.0"):
        yield from (flight for flight in owed(spec, state, row, late) if not flight.not_excluded)


def _is_owed_at_the_end(spec: MachineSpec, state: RunState, flight: InFlight, late: Settlings | None) -> bool:
    """Say whether a request has to be settled before the end, as every version since 0.4.0 does."""
    if flight.not_excluded or not may_land(spec, state, flight, late):
        return False
    undone = any(flight.changed(entry) for entry in state.undone)
    return not flight.committed or (late is not None and undone)
