"""What `drfsm watch` says of a run between two records: where it stands, how long, and how long it may take.

For the table (watch_screen.py) and for the lines (watch.py).
"""

from collections.abc import Sequence

from drfsm.claims import printable
from drfsm.evidence.durations import lasting
from drfsm.evidence.standing import waits
from drfsm.evidence.wording import nobody_since, seconds_between
from drfsm.journal import Record, RunState
from drfsm.runs.pace import Step, left_seconds


def pace_words(rows: Sequence[Step]) -> str:
    """Return the row that is under way, what is usual for it, and what is left of the whole run; "" if not known."""
    row = next((row for row in rows if row.phase == "now"), None)
    if row is None or row.usual is None:
        return ""
    left = left_seconds(rows)
    rest = "" if left is None else f"; to the end of the run about {lasting(left)}"
    runs = f"{row.usual.runs} earlier run" + "s" * (row.usual.runs > 1)
    return printable(f"{row.trigger}: usually {lasting(row.usual.seconds)}, by {runs}{rest}")


def standing_words(state: RunState, rows: Sequence[Step], now: str) -> str:
    """Return where a run stands and how long, and how long nobody can publish."""
    row = next((row for row in rows if row.phase == "now"), None)
    spent = f" for {lasting(row.seconds)}" if row and row.seconds is not None else ""
    since = nobody_since(state.frozen_since)
    frozen = seconds_between(since, now) if since else None
    loud = "" if frozen is None else f"; NOBODY CAN PUBLISH for {lasting(frozen)}"
    return printable(f"{state.status} in {state.state}{spent}{loud}")


def waiting(state: RunState, records: Sequence[Record], now: str) -> Sequence[str]:
    """Return what the run waits for, and how long that may take, as `drfsm status` says it."""
    return [line.strip() for line in waits(state, records, now, alive=state.status == "running")]
