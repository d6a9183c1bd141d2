"""One run as the dashboard shows it: what an open one waits for, how an ended one ended, how a drill went.

Everything is of the run's records; a summary is derived from them anew, and never read from the bucket.
"""

from collections.abc import Mapping
from typing import Any

from drfsm.dashboard.runs import SeenRun
from drfsm.dashboard.values import Fields, first_known, none, time_of, unknown, words
from drfsm.errors import DrfsmError
from drfsm.evidence.derive import derive
from drfsm.evidence.wording import commands, frozen_in_order, seconds_between

_MOVED = ("switched_at", "switched_back_at")


def _run(run: SeenRun) -> Fields:
    state = run.state
    damaged = unknown(run.known.fault) if run.known.fault else None
    texts = {"machine": state.machine, "state": state.state, "operator": state.operator, "host": state.host}
    times = {"started_at": state.started_at, "last_record_at": state.last_at}
    return {
        "run_id": words(run.known.id),
        **{name: damaged or (words(text) if text else none("not on record")) for name, text in texts.items()},
        **{name: damaged or (time_of(at) if at else none("not on record")) for name, at in times.items()},
        "scope": damaged or (state.scope if state.scope in ("live", "drill") else unknown("not on record")),
        "dry_run": state.dry_run,
        "status": words(run.status),
        "reason": words(state.reason) if state.reason else none("nothing stopped the run"),
        "superseded_by": words(run.known.superseded_by) if run.known.superseded_by else none("no run took it over"),
        "known_from": run.known_from,
    }


def open_run(run: SeenRun) -> Fields:
    """Return a run that has not ended, with what it waits for and what to type."""
    state = run.state
    return {
        **_run(run),
        "waits_for": words(waits_for(run)),
        "frozen": [
            {"what": words(word), "since": time_of(state.frozen_since[word])}
            for word in frozen_in_order(state.frozen_since)
        ],
        "next": [{"type": words(typed), "because": words(why)} for typed, why in commands(state, run.known.id)],
    }


def waits_for(run: SeenRun) -> str:
    """Return in words what an open run waits for."""
    state, status = run.state, run.status
    begun = f"; {state.open.trigger} was begun, and its outcome is not known yet" if state.open else ""
    if status == "held":
        return (state.reason or "a person") + begun
    if status == "interrupted":
        return f"somebody who resumes it: no process works on it{begun}"
    working = f"nobody: it works on {state.open.trigger}" if state.open else "nobody: it is at work"
    return working if run.is_here else f"{working}, or was interrupted: only {state.host or 'its host'} can tell"


def ended_run(run: SeenRun) -> Fields:
    """Return a run that has ended, or can do nothing more."""
    state = run.state
    open_end = unknown(run.known.fault or "it has no end on record")
    lasted = seconds_between(state.started_at, state.ended_at) if state.ended else None
    return {
        **_run(run),
        "ended_at": time_of(state.ended_at) if state.ended else open_end,
        "seconds": open_end if lasted is None else lasted,
        "pointers_moved_at": moved_at(run),
    }


def moved_at(run: SeenRun) -> Any:
    """Return when a run moved the global pointer, as its receipt says."""
    if run.known.fault:
        return unknown(run.known.fault)
    receipt = receipt_of(run)
    times = [time_of(receipt[name]) for name in _MOVED if isinstance(receipt.get(name), str)]
    return first_known(times, none("this run moved no pointer"))


def receipt_of(run: SeenRun) -> Mapping[str, Any]:
    """Return the fields of a run's own receipt table; {} where that can't be derived."""
    try:
        return derive(run.state.receipt, run.state, run.records)
    except (DrfsmError, ValueError):
        return {}


def drill_of(run: SeenRun) -> Fields:
    """Return how a drill went. Its recovery time is that of its own receipt."""
    state = run.state
    recovery = receipt_of(run).get("recovery")
    recovery = recovery if isinstance(recovery, Mapping) else unknown("it is not on record")
    missing = {name: recovery[name] for name in ("unknown", "none") if isinstance(recovery.get(name), str)}
    lacks = missing or unknown("it is not on record")
    covers = recovery.get("covers")
    return {
        "run_id": words(run.known.id),
        "started_at": time_of(state.started_at),
        "ended_at": time_of(state.ended_at),
        "result": words(state.status),
        "state": words(state.state),
        "recovery_seconds": _number(recovery.get("seconds"), lacks),
        "objective_seconds": _number(recovery.get("objective_seconds"), missing or none("none was set")),
        "covers": words(covers) if isinstance(covers, str) else lacks,
    }


def _number(value: Any, otherwise: Fields) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else otherwise
