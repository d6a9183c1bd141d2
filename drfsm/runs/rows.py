"""One row of a run that something else drives: where its bundle lies, whether it waits, how a trigger is fired.

Shared by the worker of Step Functions (worker.py) and that of Temporal (drfsm/fleet). Decides nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drfsm.engine import Runner
from drfsm.errors import GuardRefused, IllegalTransition, UsageFault
from drfsm.journal import Record
from drfsm.runs import bundle

RESUME = "resume"


def fire(runner: Runner, trigger: str, args: Mapping[str, Any], *, waits_elsewhere: bool = False) -> str:
    """Take the runner's next row, or a person's; return why that was refused, "" if it was not."""
    trigger = "" if trigger == RESUME else trigger
    if not trigger:
        runner.advance(waits_elsewhere=waits_elsewhere)
        return ""
    try:
        runner.advance(trigger, dict(args), waits_elsewhere=waits_elsewhere)
    except (IllegalTransition, GuardRefused) as refused:
        return refused.what
    return ""


def here(run_id: str) -> Path | None:
    """Return the bundle of a run on this machine, None where it has none."""
    place = bundle.home() / "runs" / run_id
    return place.resolve() if (place / bundle.LOG).exists() else None


def known(run_id: str) -> Path:
    """Return the bundle of a run on this machine. Raises UsageFault where it is gone."""
    place = here(run_id)
    if place is None:
        raise UsageFault(f"the bundle of {run_id} is gone", hint=bundle.WHERE)
    return place


def came_from(records: Sequence[Record]) -> str:
    """Return the state that a run's last move left, "" for none."""
    last = next((record for record in reversed(records) if record.kind == "commit"), None)
    return str(last.body["row"]).partition(" --")[0] if last else ""


def waits(records: Sequence[Record]) -> bool:
    """Whether the records end with a hold that waits for a person: not with one of a worker that was asked to stop."""
    last = _last(records)
    return last is not None and last.kind == "held" and not last.body.get("interrupted")


def was_stopped(records: Sequence[Record]) -> bool:
    """Whether the records end with the hold of a worker that was asked to stop."""
    last = _last(records)
    return last is not None and last.kind == "held" and bool(last.body.get("interrupted"))


def _last(records: Sequence[Record]) -> Record | None:
    """Return the last record that says where a run stands: what was rejected since moved nothing."""
    return next((record for record in reversed(records) if record.kind != "rejected"), None)
