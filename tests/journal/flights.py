"""A machine and requests whose answers nobody saw, for the rules of what must be settled, and when."""

from typing import Any

from drfsm.engine import Late
from drfsm.journal import InFlight, RunState, Undoable
from drfsm.spec import MachineSpec, Row, load_machine

SPEC: MachineSpec = load_machine(b"""
machine: mill
because: "A mill is handed over"
initial: start
finals: {over: complete, back: aborted}
facts:
  sluice: {values: [open, shut], initial: [open]}
  key: {values: [old, new], initial: [old]}
transitions:
  - {from: start, trigger: shut, to: dammed, action: shut, sets: {sluice: shut}, effect: idempotent, undo: reopen,
     because: "No water"}
  - {from: dammed, trigger: rekey, to: keyed, action: rekey, sets: {key: new}, effect: idempotent, undo: unkey,
     lands_late: true, because: "Another key"}
  - {from: keyed, trigger: look, to: seen, because: "It is seen"}
  - {from: seen, trigger: finish, to: over, because: "It is done"}
  - {from: seen, trigger: stop, to: over, by: operator, because: "It is enough"}
  - {from: [dammed, keyed, seen], trigger: abort, to: aborting, by: operator, because: "It is given back"}
  - {from: aborting, trigger: undo_newest, to: aborting, foreach: undo, because: "The newest first"}
  - {from: aborting, trigger: finish_abort, to: back, because: "It is as it was"}
""")
UNDONE = {
    "shut": Undoable("start --shut--> dammed", "shut", "reopen", {"sluice": "open"}),
    "rekey": Undoable("dammed --rekey--> keyed", "rekey", "unkey", {"key": "old"}),
}
TOUCHED = Late(lambda _world, _run: None)
WAITED = Late(settles="it has no condition")
OVERWRITES = Late(lambda _world, _run: None, overwrites=True)


def row(trigger: str) -> Row:
    """Return a row of the machine."""
    return next(row for row in SPEC.rows if row.trigger == trigger)


def flight(trigger: str, *, undo: bool = False, **more: Any) -> InFlight:
    """Return a request of a row, or of its undo, whose answer nobody saw."""
    entry = UNDONE[trigger]
    usual: dict[str, Any] = {"row": entry.row, "trigger": trigger, "facts": frozenset(entry.before), "undo": entry.undo}
    if undo:
        usual |= {"row": row("undo_newest").key, "trigger": "undo_newest", "undo": "", "undoes": entry.row}
    return InFlight(**{**usual, **more})


def state(*flights: InFlight, undone: str = "", **more: Any) -> RunState:
    """Return a run that has sent these."""
    return RunState(in_flight=flights, undone=(UNDONE[undone],) if undone else (), **more)
