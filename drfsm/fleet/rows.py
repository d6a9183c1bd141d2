"""A task of a run's workflow, answered by the run's journal: what is done, and where the run stands then.

A trigger is fired only where the person saw the run stand. A journal that is shorter than the workflow was told is
refused.
"""

from collections.abc import Callable, Sequence

from drfsm.adapters import limits
from drfsm.claims import bounded
from drfsm.engine import Runner
from drfsm.errors import EvidenceFault
from drfsm.fleet.tasks import Position, Task
from drfsm.fleet.workflows import HELD, HOLD, RESUME, TAKE_OVER
from drfsm.journal import Record, RunState
from drfsm.runs.rows import fire, waits, was_stopped

LONG_PAUSE_SECONDS = 10.0  # a longer one holds no process: the run is left
RUNNING = "running"
RECORDS_A_RUN = 10_000
LONGEST_REASON = 2000  # characters


def taken(
    runner: Runner,
    task: Task,
    *,
    ask_hold: Callable[[str, str], None],
    most_records: int = RECORDS_A_RUN,
) -> tuple[Position, bool]:
    """Take a task's row. Returns where the run stands then, and whether the session ends with it.

    ``ask_hold``: asks the run to hold, by an operator's name and a reason. Raises what the Runner raises, and
    EvidenceFault for a journal whose end is missing.
    """
    _check_whole(runner.state, task)
    refused = ""
    if not runner.state.sealed:
        refused = _done(runner, task, ask_hold, most_records)
    state, kept = runner.state, runner.records
    stopped = state.status == HELD and was_stopped(kept)
    over = state.ended or state.status == HELD or (runner.due_seconds > LONG_PAUSE_SECONDS and not runner.due_here)
    return position_of(runner, kept, refused=refused, stopped=stopped), over


def _done(runner: Runner, task: Task, ask_hold: Callable[[str, str], None], most_records: int) -> str:
    """Do what a task asks; return why it was refused, "" if it was not."""
    before = runner.records
    if runner.state.ended:
        runner.resume()  # its end was recorded, and not sealed: that is all there is to do
        return ""
    if not task.trigger and waits(before):
        return ""  # it waits for a person
    if len(before) >= most_records and task.trigger in ("", RESUME):
        ask_hold("drfsm", f"the journal has {len(before)} records, and the fleet allows a run {most_records}")
    if task.trigger == HOLD:
        ask_hold(task.operator, str(task.args.get("reason") or "no reason given"))
    if task.trigger in ("", HOLD, RESUME, TAKE_OVER):
        return fire(runner, "", {}, waits_elsewhere=True)
    shown = (task.position.get("state"), task.position.get("moves"))
    stands = (runner.state.state, moves_of(before))
    if task.began and shown != stands:
        return f"{task.trigger} was asked for in {shown[0]}, and the run stands in {stands[0]} now: look again"
    return fire(runner, task.trigger, task.args, waits_elsewhere=True)


def _check_whole(state: RunState, task: Task) -> None:
    """Raise EvidenceFault for a journal that is shorter than the workflow was told, or of another declaration."""
    told = task.position.get("records") or 0
    if isinstance(told, int) and state.length < told:
        raise EvidenceFault(
            f"the journal of {task.run_id} has {state.length} records, and {told} were told to Temporal: its end was"
            " cut off",
            hint="find out who deleted records in the bucket, restore them, then resume",
        )
    if not task.began and task.machine_sha256 and state.machine_sha256 not in ("", task.machine_sha256):
        raise EvidenceFault(
            f"the run {task.run_id} follows another declaration of {task.procedure} than its workflow was started for",
            hint="start another run: this id is taken",
        )


def moves_of(records: Sequence[Record]) -> int:
    """Return how often a run has moved."""
    return sum(record.kind == "commit" for record in records)


def position_of(runner: Runner, records: Sequence[Record], *, refused: str = "", stopped: bool = False) -> Position:
    """Return where a run stands, as its workflow is told. A run that its worker stopped goes on elsewhere."""
    state = runner.state
    ways, reading = runner.next_actions(), state.facts.get("approval")
    digest = str(reading.seen["sha256"]) if "approve" in ways and reading is not None and reading.seen else ""
    return {
        "state": state.state,
        "status": RUNNING if stopped else state.status,
        "reason": bounded(refused or state.reason, LONGEST_REASON),
        "ways": list(ways),
        "plan_sha256": digest,
        "moves": moves_of(records),
        "records": state.length,
        "due_seconds": runner.due_seconds,
        "began": True,
        "ended": state.ended,
        "requests": limits.sent(),
    }
