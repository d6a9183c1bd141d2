"""The dry run: walk the whole table, change nothing, write down what each step would meet.

A guard is *passed*, *failed* or *not_evaluated* (it reads a fact that an earlier step would have changed,
so what it reads now says nothing). Nothing here writes anything but ``forecast`` records: no lease, no
intent, no commit; and it ends as ``dry_run``, or ``refused``, never as a success.
"""

from typing import Any

from drfsm.engine.log import RunLog
from drfsm.engine.step import Judged, Step
from drfsm.journal import RunState
from drfsm.spec.model import By, MachineSpec, Row


def walk(spec: MachineSpec, log: RunLog, step: Step) -> RunState:
    """Forecast from the initial state to a final one, then end the run."""
    position, changed = spec.initial, set[str]()
    findings: list[str] = []
    refused = ""
    while position not in spec.finals and not refused:
        row = _next(spec, log, position)
        if row is None:
            break
        judged = step.judge(row, skip=dict.fromkeys(spec.depending_on(changed)))
        checks = [*map(_outcome, judged.checks), *_not_evaluated(spec, row, judged)]
        failed = [each for each in checks if each["outcome"] == "failed" and row.wait is None]
        findings += [
            f"{row.trigger}: {each['guard']}: {each['fact']} is {each['value']} ({each['because']})" for each in failed
        ]
        log.append(
            "forecast",
            {
                "row": row.key,
                "trigger": row.trigger,
                "from": row.source,
                "to": row.to,
                "guards": checks,
                "action": row.action,
                "sets": dict(row.sets),
                "facts": judged.facts,
                "waits": row.wait is not None and any(each["outcome"] == "failed" for each in checks),
                "final_write": row.final_write,
                "because": row.because,
            },
        )
        if failed and next(spec.rows_from(position, log.state.inputs, By.FAILURE), None):
            refused = row.trigger
        changed |= set(row.sets)
        if row.wait:  # what will have been awaited by then says nothing now
            changed |= {fact for _, fact, _ in spec.wanted_of(row)}
        position = row.to
    _end(log, findings, refused)
    return log.state


def _next(spec: MachineSpec, log: RunLog, position: str) -> Row | None:
    rows = spec.rows_from(position, log.state.inputs, By.RUNNER)
    return next((row for row in rows if row.each != "undo"), None)


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
            "because": guard.because,
            "outcome": "not_evaluated",
        }
        for guard, fact, values in spec.wanted_of(row)
        if fact not in judged.readings
    ]


def _end(log: RunLog, findings: list[str], refused: str) -> None:
    state = log.state
    log.append(
        "ended",
        {
            "state": state.state,
            "status": "refused" if refused else "dry_run",
            "stage": refused,
            "reason": "; ".join(findings) if findings else "nothing was changed: this was a dry run",
            "findings": findings,
            "frozen": log.frozen(),
            "ways": [],
            "kept": [],
        },
    )
    log.append("seal", {"records": log.state.length, "head": log.journal.head})
