"""A run's phases, from its records: how each went, how long it took, how often it was tried, and what stopped it.

A phase is a set of triggers that the machine declares; what they do does not matter here. An attempt of a phase ends
where one of its steps failed, and the next begins with the repair; or where it was cut off or led back, and the next
begins where that step is begun again. Pure: the same records give the same receipts and logs, whichever process asks.
Called by runs/derived_files.py, after every record and by `status`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.evidence.narrative import lines_of
from drfsm.evidence.tries import Tries, ends_wait, failed_step
from drfsm.evidence.wording import moment, seconds_between, step_of
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, Intent, Transition
from drfsm.spec import PhaseSpec

SCHEMA_VERSION = 2
"""1: until 0.4.0. 2: the end of a phase that the run ended without is none, no more unknown."""
_SEEN_WIDTH = 4000
_STEPS = ("intent", "commit", "failed", "repaired", "sampled", "resolved", "held")


@frozen
class Phase:
    """What one phase left in the records."""

    declared: PhaseSpec
    records: tuple[Record, ...]  # of its steps, in order
    failure: Record | None  # the commit that sent its failure on

    @property
    def name(self) -> str:
        """What the declaration calls it."""
        return self.declared.name

    @property
    def attempts(self) -> list[list[Record]]:
        """Its records by attempt: each ends with a failure or a cut, the last with whatever was reached."""
        attempts: list[list[Record]] = [[]]
        for record in self.records:
            by_failure = isinstance(record.content, Transition) and record.content.by == "failure"
            last = attempts[-1][-1] if attempts[-1] else None
            failed = last is not None and last.kind == "failed" and not by_failure
            waits_again = last is not None and (record.kind == "repaired" or ends_wait(last, record))
            if failed or waits_again or _begun_again(record, attempts[-1]):
                attempts.append([])
            attempts[-1].append(record)
        return attempts if attempts[0] else []


def split(records: Sequence[Record], declared: Iterable[PhaseSpec]) -> list[Phase]:
    """Return every declared phase with the records of its rows, in the declaration's order."""
    declared = tuple(declared)
    phase_of = {trigger: phase.name for phase in declared for trigger in phase.triggers}
    fails = {trigger: phase.name for phase in declared for trigger in phase.fails}
    steps: dict[str, list[Record]] = {phase.name: [] for phase in declared}
    failed: dict[str, Record] = {}
    for record in records:
        trigger = _trigger(record)
        if record.kind == "commit" and trigger in fails:
            failed[fails[trigger]] = record
        elif record.kind in _STEPS and trigger in phase_of:
            steps[phase_of[trigger]].append(record)
    return [Phase(phase, tuple(steps[phase.name]), failed.get(phase.name)) for phase in declared]


def receipt(phase: Phase, state: RunState) -> dict[str, Any]:
    """Return a phase's receipt."""
    rows = list(_rows(phase))
    outcome = _outcome(phase, state, rows)
    began, ended = _times(phase, outcome)
    no_end = {"none": "the run ended without it"} if state.ended else {"unknown": "this phase has not ended"}
    return {
        "schema_version": SCHEMA_VERSION,
        "drfsm_run": state.run_id,
        "machine": state.machine,
        "scope": state.scope,
        "phase": phase.name,
        "outcome": outcome,
        "started_at": began or {"none": "this phase was not begun"},
        "ended_at": ended or no_end,
        "seconds": _seconds(began, ended, no_end),
        "attempts": len(phase.attempts),
        "cause": _cause(phase, state, outcome),
        "rows": rows,
        "logs": [log_name(phase, number) for number in range(1, len(phase.attempts) + 1)],
    }


def _begun_again(record: Record, attempt: Sequence[Record]) -> bool:
    """Whether a step is begun that this attempt had begun already: it was cut off, or done and a row led back to it."""
    if not isinstance(intent := record.content, Intent):
        return False
    steps = [earlier.content for earlier in attempt if isinstance(earlier.content, Transition)]
    done = any(isinstance(step, Commit) and step.row == intent.row for step in steps)
    return done or (bool(steps) and isinstance(steps[-1], Intent) and steps[-1].row == intent.row)


def log_name(phase: Phase, number: int) -> str:
    """Return the name of an attempt's log."""
    return f"{phase.name}.attempt-{number}.log"


def logs(phase: Phase) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, content) of what each attempt saw and said."""
    attempts = phase.attempts
    for number, records in enumerate(attempts, start=1):
        text = [f"{phase.name}, attempt {number}"]
        more = [phase.failure] if phase.failure is not None and number == len(attempts) else []
        for record in (*records, *more):
            first, *rest = lines_of(record, _SEEN_WIDTH)
            text += [f"{moment(record.at)} #{record.seq} {first}", *(f"    {line}" for line in rest)]
        yield log_name(phase, number), ("\n".join(text) + "\n").encode("utf-8", "backslashreplace")


def _trigger(record: Record) -> str:
    return step_of(record) if record.kind in _STEPS else ""


def _rows(phase: Phase) -> Iterator[dict[str, Any]]:
    """Yield each step: its end, its tries, and what was said when it failed last."""
    for trigger in dict.fromkeys(map(_trigger, phase.records)):
        records = [record for record in phase.records if _trigger(record) == trigger]
        commits = [record for record in records if record.kind == "commit"]
        tries = _tries(phase, trigger)
        ended = commits[-1].at if commits else records[-1].at
        yield {
            "trigger": trigger,
            "outcome": "done" if commits else "failed" if tries.failed or phase.failure else "begun",
            "attempts": max(1, tries.begun, tries.failed + bool(commits)),
            "repaired": tries.repaired,
            "started_at": records[0].at,
            "ended_at": ended,
            "because": Commit.of(commits[-1]).reason if commits else {"none": "it is not done"},
            "last_error": tries.last_error or {"none": "no attempt failed"},
        }


def _tries(phase: Phase, trigger: str) -> Tries:
    """Count a step's tries: its own records, and the commits that send its failures on, also out of the phase."""
    tries = Tries()
    for record in (*phase.records, *((phase.failure,) if phase.failure is not None else ())):
        if _trigger(record) == trigger:
            tries.add(record)
        if failed_step(record) == trigger:
            tries.send_on(record)
    return tries


def _outcome(phase: Phase, state: RunState, rows: Sequence[Mapping[str, Any]]) -> str:
    if phase.failure is not None:
        return "failed"
    done = [row["trigger"] for row in rows if row["outcome"] == "done"]
    if outcomes := [phase.declared.ends[trigger] for trigger in done if trigger in phase.declared.ends]:
        return outcomes[-1]
    if not rows:
        return "not_reached"
    if state.ended:
        return "given_up"
    return "held" if state.status == "held" else "running"


def _times(phase: Phase, outcome: str) -> tuple[str, str]:
    if not phase.records:
        return "", phase.failure.at if phase.failure is not None else ""
    ended = phase.failure.at if phase.failure is not None else phase.records[-1].at
    return phase.records[0].at, "" if outcome in ("running", "held") else ended


def _seconds(began: str, ended: str, no_end: Mapping[str, str]) -> Any:
    """Return how long a phase took, or why there is no such number."""
    if not began:
        return {"none": "this phase was not begun"}
    if not ended:
        return no_end
    lasted = seconds_between(began, ended)
    return {"unknown": "a time on record is no time"} if lasted is None else lasted


def _cause(phase: Phase, state: RunState, outcome: str) -> Any:
    if phase.failure is not None:
        args = Commit.of(phase.failure).args
        return {
            "step": str(args.get("stage", "")),
            "reason": str(args.get("reason", "")),
            "error": str(args.get("error", "")),
        }
    if outcome == "held":
        return {"step": state.stage, "reason": state.reason, "error": "held"}
    return {"none": "nothing stopped it"}
