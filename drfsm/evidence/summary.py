"""The summary of a run of any machine: one derived JSON statement, true at every moment, for whoever wasn't there.

Owns its fields; evidence/schemas/ declares their types, and receipts_schema/<machine>.summary.schema.json is generated
from that. A field that can't be known (yet) is ``{"unknown": why}``, one of which the run has none ``{"none": why}``.
The head and the number of records stand in it because a bare chain doesn't stop truncation: keep a copy of this off
the machine. Confirmation tokens are never in it. Loads nothing heavy: `drfsm status` stands on this. Called after
every record.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from drfsm.claims import printable_json
from drfsm.evidence.derive import derive
from drfsm.evidence.running import running
from drfsm.evidence.tries import Tries, failed_step
from drfsm.evidence.wording import (
    commands,
    document_name,
    nobody_since,
    seconds_between,
    shown_inputs,
    source_of,
    stopping,
    trigger_of,
)
from drfsm.journal import Actor, Record, RunState
from drfsm.journal.record_types import (
    Commit,
    Ended,
    Failed,
    ForeseenCheck,
    Intent,
    Repaired,
    Resolved,
    Sampled,
)

SCHEMA_VERSION = 4
"""1: 0.1.0. 2: with `actors`. 3: `phases` became `state_durations`. 4: in `receipt` what a run has none of is none, not
unknown, and pointers stand with their run's site. drfsm reads `journal` alone, in bundle.py,
and for `list` the fields of runs/glance.py."""
Fields = dict[str, Any]


def summarise(
    state: RunState,
    records: Sequence[Record],
    *,
    head: str,
    dead: bool = False,
) -> Fields:
    """Return the summary. ``dead``: no process works on the run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": state.run_id,
        "machine": state.machine,
        "machine_sha256": state.machine_sha256,
        "workload": _workload(state.inputs),
        "drfsm_version": state.version,
        "scope": state.scope,
        "dry_run": state.dry_run,
        "status": "interrupted" if dead and state.status == "running" else state.status,
        "state": state.state,
        "state_since": _state_since(records) or _unknown("the run has not started"),
        "failed_stage": state.stage or _none("no stage failed or was left waiting"),
        "reason": state.reason or _none("nothing stopped the run"),
        "what_to_do": state.hint or _none("no advice beside the next actions"),
        **_times(state),
        "operators": _people(records, "operator"),
        "hosts": _people(records, "host"),
        "actors": [_actor(actor) for actor in state.actors],
        "inputs": shown_inputs(state.inputs),
        "frozen": [{"what": word, "since": since} for word, since in state.frozen_since.items()],
        "nobody_can_publish_since": nobody_since(state.frozen_since)
        or _none("no reading says that nobody can publish"),
        "open_intent": _open(state),
        "ways_on": [{"type": typed, "because": why} for typed, why in commands(state, state.run_id)],
        "kept": list(state.kept),
        **({"not_excluded": list(state.not_excluded)} if state.not_excluded else {}),
        "decisions": _decisions(records),
        "attempts": _attempts(records),
        "state_durations": _state_durations(records),
        "foreseen": [_foreseen(check) for check in state.foreseen],
        "forecast": _forecast(state, records),
        **({"approvals": approvals} if (approvals := _approvals(state)) else {}),
        **({"config": dict(state.config)} if state.config else {}),
        **({"running_machines": machines} if (machines := running(state, state.last_at)) else {}),
        "receipt": derive(state.receipt, state, records),
        "journal": {"records": len(records), "head": head, "sealed": state.sealed},
    }


def _approvals(state: RunState) -> Fields:
    """Return the approvals that the run's policy asked for: of its plan, or of a promote's; {} without a policy."""
    if not state.approval:
        return {}
    from drfsm.evidence.approvals import recorded

    approval = recorded(state)
    return {
        "policy": dict(approval.get("policy") or {}),
        "plan_sha256": approval.get("plan_sha256") or _unknown("nothing was approved yet"),
        "given": [
            {
                "by": each["statement"]["by"],
                "signer": each.get("signer") or _none("it was not signed by a trusted key"),
                "key": each.get("key") or _none("it was not signed"),
                "ticket": each["statement"].get("ticket") or _none("no ticket was named"),
                "reason": each["statement"].get("reason") or _none("no reason was given"),
                "at": each["statement"].get("at", ""),
            }
            for each in approval.get("given") or ()
            if isinstance(each.get("statement"), Mapping) and each["statement"].get("by")
        ],
    }


def summary_bytes(summary: Mapping[str, Any]) -> bytes:
    """Return the summary as the bytes of its file."""
    return printable_json(json.dumps(summary, indent=2, ensure_ascii=False)).encode() + b"\n"


def _workload(inputs: Mapping[str, Any]) -> Fields:
    """Return the name and the digest of the contract that the run recorded."""
    contract = inputs.get("workload")
    if not isinstance(contract, str) or not contract:
        return _none("no contract of the workload is recorded: the run needs none, or an older version began it")
    return {"name": document_name(contract), "sha256": hashlib.sha256(contract.encode()).hexdigest()}


def _unknown(why: str) -> Fields:
    return {"unknown": why}


def _none(why: str) -> Fields:
    return {"none": why}


def _times(state: RunState) -> Fields:
    running = _unknown("the run has not ended")
    lasted = seconds_between(state.started_at, state.ended_at) if state.ended else None
    return {
        "started_at": state.started_at,
        "ended_at": state.ended_at or running,
        "duration_seconds": running if lasted is None else lasted,
    }


def _state_since(records: Sequence[Record]) -> str:
    return next((record.at for record in reversed(records) if record.kind in ("commit", "run_started")), "")


def _people(records: Sequence[Record], name: str) -> list[str]:
    """Return who worked on the run, or where, in order of first appearance."""
    named = (
        source[name]
        for record in records
        for source in (record.body, record.body.get("args") or {})
        if record.kind != "rejected" and source.get(name)
    )
    return list(dict.fromkeys(named))


def _actor(actor: Actor) -> Fields:
    """Return who started the run, went on with it or decided something, and what of that is proven."""
    proven = actor.proven or {}
    not_asked = _unknown("not asked" if proven else "this version of drfsm recorded names only")
    return {
        "did": actor.did,
        "at": actor.at,
        "operator": actor.operator or _unknown("no operator is on record"),
        "host": actor.host or _none("the host of a command stands with its OS user"),
        "proven": {name: proven.get(name) or not_asked for name in ("os_user", "cloud_caller", "cluster_users")},
    }


def _open(state: RunState) -> Fields:
    intent = state.open
    if intent is None:
        return _none("no action's outcome is open")
    return {
        "trigger": intent.trigger,
        "from": intent.source,
        "to": intent.to,
        "begun_at": intent.at,
        "attempt": intent.attempt,
        "effect": intent.effect,
    }


def _decisions(records: Sequence[Record]) -> list[Fields]:
    """Return what persons decided, by commands that only a person may give."""
    decisions = []
    for record in records:
        content = record.content
        if isinstance(content, Resolved):
            what = f"resolve {content.outcome}"
            decisions.append(_decision(record.at, what, content.operator, content.reason, source_of(content.row)))
        elif isinstance(content, Commit) and content.by == "operator" and content.how != "resolved":
            operator, reason = content.args.get("operator"), content.args.get("reason")
            decisions.append(_decision(record.at, content.trigger, operator, reason, content.source))
    return decisions


def _decision(at: str, what: str, operator: Any, reason: Any, state: str) -> Fields:
    return {
        "at": at,
        "what": what,
        "operator": operator or _unknown("no operator is on record"),
        "reason": reason or _none("no reason was given"),
        "state": state,
    }


def _attempts(records: Sequence[Record]) -> list[Fields]:
    """How often each action was begun and failed, and the last error; of the waits those that failed or were mended."""
    rows: dict[str, Tries] = {}
    latest: dict[tuple[str, str], str] = {}  # (state, trigger) -> the row that was tried there last
    for record in records:
        content = record.content
        if isinstance(content, Intent | Failed | Repaired | Sampled):
            latest[source_of(content.row), trigger_of(content.row)] = content.row
            rows.setdefault(content.row, Tries()).add(record)
        elif isinstance(content, Commit):
            if tries := rows.get(content.row):
                tries.add(record)
            if failed := latest.get((content.source, failed_step(record))):
                rows[failed].send_on(record)
    return [
        {
            "row": row,
            "begun": tries.begun,
            "failed": tries.failed,
            "repaired": tries.repaired,
            "last_error": tries.last_error or _none("no attempt failed"),
        }
        for row, tries in rows.items()
        if tries.acted or tries.failed or tries.repaired
    ]


def _state_durations(records: Sequence[Record]) -> list[Fields]:
    """Return how long the run stood in each state, from entering it to the commit that left it; oldest first."""
    durations: list[Fields] = []
    entered = records[0].at if records else ""
    for record in records:
        if isinstance(commit := record.content, Commit):
            lasted = seconds_between(entered, record.at)
            durations.append(
                {
                    "state": commit.source,
                    "trigger": commit.trigger,
                    "to": commit.to,
                    "how": commit.how,
                    "entered_at": entered,
                    "left_at": record.at,
                    "seconds": _unknown("a time on record is no time") if lasted is None else lasted,
                }
            )
            entered = record.at
    return durations


def _foreseen(check: ForeseenCheck) -> Fields:
    return {
        "guard": check.guard,
        "at": check.at,
        "would": "refuse" if check.refuses else "wait" if check.waits else "hold",
        "fact": check.fact,
        "value": check.value or "unknown",
        "because": check.reason,
        "what_to_do": check.mend or _none("the guard's reason says it"),
    }


def _forecast(state: RunState, records: Sequence[Record]) -> Fields:
    if not state.dry_run:
        return _none("this was no dry run")
    ended = any(isinstance(record.content, Ended) for record in records)
    steps = [
        {"trigger": forecast.trigger, "to": forecast.to, "outcome": forecast.outcome} for forecast in state.forecasts
    ]
    return {"steps": steps, "findings": stopping(state.forecasts) if ended else []}
