"""How long a recovery took, and how old what it recovered was, in every procedure: achieved, against the objective.

    procedure   the recovery time ends when             the recovery point is
    drill       the restored site's run was validated   the age of the backup that was restored
    promote     DR publishes (or the rehearsal ended)   the age of the run that became canonical
    failback    the primary publishes again             likewise

The time begins with the run's first record; what came before it (that somebody noticed, and decided) no journal has: an
exercise's record may add it. It is told with what it was spent on (times.py): machine, waiting, people. A figure that
the records don't give is ``{"unknown": why}``, one that this run has none of ``{"none": why}``. Pure; called by the
report and by exercises.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import moment, seconds_between
from drfsm.evidence.times import Spent, spent
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, Intent, Transition

Fields = dict[str, Any]


@frozen
class _Measure:
    """Of one procedure: the triggers by which its recovery ends, in words, and the inputs with its objectives."""

    ends: tuple[str, ...]
    until: str
    point: str


_MEASURES: Mapping[str, _Measure] = {
    "drill": _Measure(("verify_validation",), "the restored site's run was validated", "backup"),
    "promote": _Measure(("schedule_dr", "finish_rehearsal"), "DR publishes by schedule", "dr_run_id"),
    "failback": _Measure(("resume_primary",), "the primary publishes by schedule again", "primary_run_id"),
}
_TIME_INPUT, _POINT_INPUT = "recovery_time_objective", "recovery_point_objective"
_MOVES = ("switch_global_pointer", "hand_over_ownership")
"""Triggers after which another run is canonical."""
_STARTS_A_RUN = "start_validation"
_NO_OBJECTIVE = {"none": "no objective was set"}


def achieved(
    state: RunState,
    records: Sequence[Record],
    objectives: Mapping[str, float] | None = None,
    disaster_at: str = "",
) -> Fields:
    """Return the recovery time and the recovery point of a run, in seconds, each with its objective.

    ``objectives``: ``recovery_time_seconds`` and ``recovery_point_seconds``, where the run's own inputs set none.
    ``disaster_at``: from when to count, where that is known and before the run: people took the time up to its start.
    """
    given = objectives or {}
    wanted = _objective(state, _TIME_INPUT, given.get("recovery_time_seconds"))
    return {
        "recovery_time": _time(state, records, wanted, disaster_at),
        "recovery_point": _point(state, records, _objective(state, _POINT_INPUT, given.get("recovery_point_seconds"))),
    }


def _objective(state: RunState, name: str, given: float | None) -> float | None:
    try:
        return float(state.inputs.get(name) or "")
    except (TypeError, ValueError):
        return given


def _held_against(seconds: float, objective: float | None) -> Fields:
    """Return an objective, and whether a figure is within it."""
    if objective is None:
        return {"objective_seconds": _NO_OBJECTIVE, "within": _NO_OBJECTIVE}
    return {"objective_seconds": objective, "within": seconds <= objective}


def _time(state: RunState, records: Sequence[Record], objective: float | None, disaster_at: str) -> Fields:
    measure = _MEASURES.get(state.machine)
    if state.dry_run:
        return {"none": "this was a dry run: nothing was recovered"}
    if measure is None:
        return {"none": f"drfsm does not know at which step of {state.machine} a recovery ends"}
    ends = [record for record in records if isinstance(record.content, Commit)]
    end = next((record for record in ends if record.body["trigger"] in measure.ends), None)
    if end is None:
        why = f"the run has not come so far: {measure.until}"
        return {"none": f"the run ended {state.status} before {measure.until}"} if state.ended else {"unknown": why}
    began, first = moment(disaster_at), moment(records[0].at)
    before = seconds_between(began, first) if began and first else 0.0
    parts = spent(records, until=end.seq) + Spent(person=before)
    return {
        "from": disaster_at if before else records[0].at,
        "until": end.at,
        "until_what": measure.until,
        "seconds": parts.seconds,
        "spent": parts.json,
        **_held_against(parts.seconds, objective),
    }


def _point(state: RunState, records: Sequence[Record], objective: float | None) -> Fields:
    measure = _MEASURES.get(state.machine)
    if measure is None or state.dry_run:
        return {"none": "nothing was recovered by this run"}
    return (
        _backup_point(state, records, objective)
        if measure.point == "backup"
        else _run_point(state, records, measure.point, objective)
    )


def _backup_point(state: RunState, records: Sequence[Record], objective: float | None) -> Fields:
    """Return how old the backup was when the drill began."""
    if state.inputs.get("restore") == "none":
        return {"none": "no backup was restored"}
    for record in records:
        step = record.content
        reading = step.facts.get("recovery_point") if isinstance(step, Transition) else None
        created = reading.seen.get("created_at") if reading and isinstance(reading.seen, Mapping) else None
        if created:
            return _age("the backup was taken", str(created), state.started_at, objective)
    return {"unknown": "no record says when the backup was taken"}


def _run_point(state: RunState, records: Sequence[Record], name: str, objective: float | None) -> Fields:
    """Return how old the run was that became canonical, when the procedure began."""
    moved = any(isinstance(record.content, Commit) and record.content.trigger in _MOVES for record in records)
    if not moved:
        if not state.ended:
            return {"unknown": "the global pointer was not moved yet"}
        return {"none": f"the run ended {state.status}, and moved no global pointer"}
    run_id = str(state.inputs.get(name) or "")
    return _age(f"the run {run_id} began", _begun_here(records) or run_id, state.started_at, objective)


def _begun_here(records: Sequence[Record]) -> str:
    """Return when the procedure itself started the run that became canonical; "" where it was there before.

    Its id says when it was thought of: the id is in a plan, which people may approve for hours.
    """
    steps = (record for record in records if isinstance(record.content, Intent))
    return next((record.at for record in steps if record.body["trigger"] == _STARTS_A_RUN), "")


def _age(what: str, at: str, until: str, objective: float | None) -> Fields:
    """Return how long before a time something was, as far as both are times."""
    then, now = moment(at), moment(until)
    if then is None or now is None:
        return {"unknown": f"{at or 'nothing'} is no time"}
    seconds = round(seconds_between(then, now), 3)
    return {"from": at, "until": until, "from_what": what, "seconds": seconds, **_held_against(seconds, objective)}
