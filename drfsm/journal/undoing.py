"""What may still be undone: questions about a run's state that need its machine as well.

Stated once, so that the runner (engine/) and the audit (evidence/) give the same answers. Pure.
"""

from drfsm.journal.replay import RunState, Undoable
from drfsm.spec.model import By, MachineSpec, Row


def past_point_of_no_return(spec: MachineSpec, state: RunState) -> bool:
    """Say whether the point of no return is passed: an intent of its row was recorded, and may have changed something.

    One that is closed does not count where its facts were read as before it, and nothing that was sent for it can land
    any more: every attempt was answered, or was shut out by a touch.
    """
    return any(row.key in state.snapshots and row.key not in state.unchanged for row in spec.points_of_no_return)


def leads_to_undo(spec: MachineSpec, state_name: str) -> bool:
    """Say whether a state is one in which everything is undone."""
    return state_name in spec.undo_states


def undo_entry(row: Row, state: RunState) -> Undoable | None:
    """Return what an ``foreach: undo`` row is about, the newest entry of the undo stack; None for any other row."""
    return state.undo[-1] if row.foreach == "undo" and state.undo else None


def acts(row: Row) -> bool:
    """Say whether taking the row changes the world, so that an intent must come first."""
    return bool(row.action) or (row.foreach == "undo" and row.by is By.RUNNER)
