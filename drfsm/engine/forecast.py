"""The dry run: walk the whole table, change nothing, write down what each step would meet.

A guard is *passed*, *failed* or *not_evaluated* (it reads a fact that an earlier step would have changed,
so what it reads now says nothing). After a step that could not be read, a site being out of reach, every later step
is unknown (``unread`` says why). Nothing here writes anything but ``forecast`` records: no lease, no
intent, no commit; and it ends as ``dry_run``, or ``refused``, never as a success. What is walked already is
on record, so an interrupted walk continues from there.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from drfsm.engine.log import RunLog
from drfsm.engine.observer import Judgement, Observer, recorded
from drfsm.errors import Interrupted
from drfsm.evidence.wording import stopping
from drfsm.journal import RunState
from drfsm.journal.record_types import Check
from drfsm.spec.model import By, MachineSpec, Row


def walk(
    spec: MachineSpec, log: RunLog, observer: Observer, interrupted: Callable[[], bool] = lambda: False
) -> RunState:
    """Forecast from where the records end to a final state, then end the run. Raises Interrupted between two rows."""
    position = log.state.forecasts[-1].to if log.state.forecasts else spec.initial
    while position not in spec.finals and not _refused(spec, log, but_local=True):
        if interrupted():
            raise Interrupted("the dry run was interrupted between two steps")
        row = _next(spec, log, position)
        if row is None:
            break
        forecast = _forecast(spec, row, observer.judge(row, skip=_changed(spec, log)))
        if unread := _unread(log) or "; ".join(_causes(forecast)):
            forecast["unread"] = unread
        log.append("forecast", forecast)
        position = row.to
    _end(spec, log, position)
    return log.state


def _next(spec: MachineSpec, log: RunLog, position: str) -> Row | None:
    rows = spec.rows_from(position, log.state.inputs, By.RUNNER)
    return next((row for row in rows if row.foreach != "undo"), None)


def _forecast(spec: MachineSpec, row: Row, judgement: Judgement) -> dict[str, Any]:
    checks = checks_of(spec, row, judgement)
    return {
        "row": row.key,
        "trigger": row.trigger,
        "from": row.source,
        "to": row.to,
        "guards": [check.json for check in checks],
        "action": row.action,
        "sets": dict(row.sets),
        "facts": recorded(judgement.readings),
        "waits": row.wait is not None and any(check.outcome == "failed" for check in checks),
        "final_write": row.point_of_no_return,
        "because": row.reason,
        **({"foreseen": foreseen} if (foreseen := [_with_outcome(check).json for check in judgement.foreseen]) else {}),
    }


def checks_of(spec: MachineSpec, row: Row, judgement: Judgement) -> list[Check]:
    """Return every check of a row's guards and its outcome: passed, failed, or (nothing was read) not_evaluated."""
    return [*map(_with_outcome, judgement.checks), *_not_evaluated(spec, row, judgement)]


def _unread(log: RunLog) -> str:
    """Return why an earlier step could not be read, "" where all could."""
    return log.state.forecasts[-1].unread if log.state.forecasts else ""


def _causes(forecast: Mapping[str, Any]) -> list[str]:
    """Return why guards of a forecast that stop its row could not be read, each reason once."""
    own = [check for check in forecast["guards"] if check["outcome"] == "failed"]
    foreseen = [check for check in forecast.get("foreseen", ()) if check["foreseen"] == "refuse" and not check["holds"]]
    unread = [str(check["seen"]) for check in [*own, *foreseen] if check["value"] == "unknown"]
    return list(dict.fromkeys(unread))


def _with_outcome(check: Check) -> Check:
    return evolve(check, outcome="passed" if check.holds else "failed")


def _not_evaluated(spec: MachineSpec, row: Row, judgement: Judgement) -> list[Check]:
    evaluated = {(check.guard, check.fact) for check in judgement.checks}
    return [
        Check(
            guard=guard.name,
            fact=fact,
            value=None,
            needed=needed,
            seen=None,
            reason=guard.reason,
            holds=None,
            outcome="not_evaluated",
        )
        for guard, fact, needed in spec.wanted_of(row, spec.waived(row, judgement.values))
        if (guard.name, fact) not in evaluated
    ]


# --- what the forecasts so far add up to ------------------------------------------------------------------


def _changed(spec: MachineSpec, log: RunLog) -> set[str]:
    """Return the facts that the steps so far would have changed: what they read now says nothing."""
    changed: set[str] = set()
    for forecast in log.state.forecasts:
        row = spec.row_of(forecast.row, log.state.inputs)
        changed |= {*row.sets, *spec.brought_about(row)}
        if row.wait:  # likewise what the run would have waited for by then
            changed |= {fact for _, fact, _ in spec.wanted_of(row)}
    return spec.depending_on(changed)


def _refused(spec: MachineSpec, log: RunLog, *, but_local: bool = False) -> str:
    """Return the trigger at which the run would be refused, "" if none.

    ``but_local``: pass over what only the command's own words refuse (a token that was not given): the rest of the
    table can be judged all the same.
    """
    for forecast in log.state.forecasts:
        known = any(
            check.value != "unknown" and not (but_local and spec.facts[check.fact].local) for check in forecast.failed
        )
        if known and spec.refuses(forecast.source, log.state.inputs):
            return forecast.trigger
    return ""


def _end(spec: MachineSpec, log: RunLog, position: str) -> None:
    refused, changed_nothing = _refused(spec, log), "nothing was changed: this was a dry run"
    findings = stopping(log.state.forecasts)
    waits = "" if refused or position in spec.finals else f"; from {position} on a person decides"
    log.append(
        "ended",
        {
            "state": log.state.state,
            "status": "refused" if refused else "dry_run",
            "stage": refused,
            "reason": ("; ".join(findings) or changed_nothing) + waits,
            "findings": findings,
            "frozen": log.frozen(),
            "ways": [],
            "kept": [],
        },
    )
