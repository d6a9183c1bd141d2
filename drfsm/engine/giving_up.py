"""Gives up the point of no return: its intent is closed where it changed nothing and nothing of it can land any more.

The point of no return is an intent, written BEFORE its action. That action may be refused: somebody moved a pointer
meanwhile. Then nothing was changed, and the run must not stand there for ever, with no way forward and an abort that is
refused. So before such a run is held, and before an operator's row is judged,

    1. the facts that the row sets are read again: all are exactly as before the first attempt, else nothing is given up
    2. what was sent is shut out by a touch (late.py), and the facts are read once more
    3. the ``settled`` record says so; folded (journal/replay.py) it closes the intent, and the abort is open again

Not given up: what may be done once, which a person decides about; and an action of which a request has no condition,
since a wait does not exclude that the request lands. Called by runner.py.
"""

from drfsm.engine.late import LateWrites
from drfsm.engine.log import RunLog
from drfsm.engine.step import Step
from drfsm.spec.model import Row


def give_up(log: RunLog, step: Step, late: LateWrites) -> None:
    """Close the point of no return's intent where it changed nothing. Raises LeaseLost, Interrupted."""
    row = _begun(log)
    if row is not None and late.shuts_out(row) and step.changed_nothing(row):
        late.give_up(row)


def _begun(log: RunLog) -> Row | None:
    """Return the row of the point of no return which the run still stands before, though its intent was written."""
    state = log.state
    rows = (row for row in log.spec.rows_from(state.state, state.inputs) if row.point_of_no_return)
    row = next((row for row in rows if row.key in state.snapshots and row.key not in state.unchanged), None)
    other = state.open is not None and row is not None and state.open.row != row.key
    return None if row is None or other or not row.can_be_given_up else row
