"""The dry run: walk the whole table, change nothing, write down what each step would meet.

A guard is *passed*, *failed* or *not_evaluated* (it reads a fact that an earlier step would have changed,
so what it reads now says nothing). Nothing here writes anything but ``forecast`` records: no lease, no
intent, no commit; and it ends as ``dry_run``, or ``refused``, never as a success. What is walked already is
on record, so a walk that was cut short goes on from there.
"""

from collections.abc import Callable, Mapping
from typing import Any

from drfsm.engine.log import RunLog
from drfsm.engine.step import Judged, Step
from drfsm.errors import Interrupted
from drfsm.journal import RunState
from drfsm.spec.model import By, MachineSpec, Row

Body = Mapping[str, Any]


def walk(spec: MachineSpec, log: RunLog, step: Step, interrupted: Callable[[], bool] = lambda: False) -> RunState:
    """Forecast from where the records end to a final state, then end the run. Raises Interrupted between two rows."""
    position = log.state.forecasts[-1]["to"] if log.state.forecasts else spec.initial
    while position not in spec.finals and not _refused(spec, log):
        if interrupted():
            raise Interrupted("the dry run was interrupted between two steps")
        row = _next(spec, log, position)
        if row is None:
            break
        log.append("forecast", _forecast(spec, row, step.judge(row, skip=dict.fromkeys(_changed(spec, log)))))
        position = row.to
    _end(spec, log, position)
    return log.state


def _next(spec: MachineSpec, log: RunLog, position: str) -> Row | None:
    rows = spec.rows_from(position, log.state.inputs, By.RUNNER)
    return next((row for row in rows if row.foreach != "undo"), None)


def _forecast(spec: MachineSpec, row: Row, judged: Judged) -> dict[str, Any]:
    checks = [*map(_outcome, judged.checks), *_not_evaluated(spec, row, judged)]
    return {
        "row": row.key,
        "trigger": row.trigger,
        "from": row.source,
        "to": row.to,
        "guards": checks,
        "action": row.action,
        "sets": dict(row.sets),
        "facts": judged.facts,
        "waits": row.wait is not None and any(each["outcome"] == "failed" for each in checks),
        "final_write": row.point_of_no_return,
        "because": row.reason,
    }


def _outcome(check: dict[str, Any]) -> dict[str, Any]:
    return {**check, "outcome": "passed" if check["holds"] else "failed"}


def _not_evaluated(spec: MachineSpec, row: Row, judged: Judged) -> list[dict[str, Any]]:
    return [
        {
            "guard": guard.name,
            "fact": fact,
            "value": None,
            "needed": list(values),
            "seen": None,
            "holds": None,
            "because": guard.reason,
            "outcome": "not_evaluated",
        }
        for guard, fact, values in spec.wanted_of(row, spec.waived(row, judged.values))
        if (guard.name, fact) not in judged.named
    ]


# --- what the forecasts so far add up to ------------------------------------------------------------------


def _changed(spec: MachineSpec, log: RunLog) -> set[str]:
    """Return the facts that the steps so far would have changed: what they read now says nothing."""
    changed: set[str] = set()
    for body in log.state.forecasts:
        row = spec.row_of(body["row"], log.state.inputs)
        changed |= set(row.sets)
        if row.wait:  # likewise what will have been awaited by then
            changed |= {fact for _, fact, _ in spec.wanted_of(row)}
    return spec.depending_on(changed)


def _failed(body: Body) -> list[Body]:
    """Return the guards of a forecast that would refuse it; those of a wait are awaited."""
    return [] if body["waits"] else [each for each in body["guards"] if each["outcome"] == "failed"]


def _refused(spec: MachineSpec, log: RunLog) -> str:
    """Return the trigger at which the run would be refused, "" if none: then the walk goes on."""
    for body in log.state.forecasts:
        known = any(each["value"] != "unknown" for each in _failed(body))
        if known and spec.refuses(body["from"], log.state.inputs):
            return str(body["trigger"])
    return ""


def _end(spec: MachineSpec, log: RunLog, position: str) -> None:
    refused, changed_nothing = _refused(spec, log), "nothing was changed: this was a dry run"
    findings = [
        f"{body['trigger']}: {each['guard']}: {each['fact']} is {each['value']} ({each['because']})"
        for body in log.state.forecasts
        for each in _failed(body)
    ]
    waits = "" if refused or position in spec.finals else f"; from {position} on a person decides"
    log.append(
        "ended",
        {
            "state": log.state.state,
            "status": "refused" if refused else "dry_run",
            "stage": refused,
            "reason": ("; ".join(findings) if findings else changed_nothing) + waits,
            "findings": findings,
            "frozen": log.frozen(),
            "ways": [],
            "kept": [],
        },
    )
