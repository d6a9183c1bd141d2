"""What stands on the page of a run: one value, made of its records, its declaration and the verdict of an audit.

A function of these alone: no clock, no computer's name. So whoever has the same bundle and the same drfsm gets the same
page, byte by byte, and that is how a page is verified. Every text that a page shows of a record comes from here, plain:
page.py escapes. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import evolve, frozen

from drfsm.evidence import times
from drfsm.evidence.derive import derive
from drfsm.evidence.recovery import achieved
from drfsm.evidence.report.steps import steps
from drfsm.evidence.wording import identities, seconds_between, shown_inputs
from drfsm.journal import Actor, Record, RunState, fold
from drfsm.journal.record_types import Commit, Held, Resolved
from drfsm.spec.model import MachineSpec

Fields = dict[str, Any]
_NO_POINTERS = {"none": "this run captured no pointers"}


@frozen
class Judged:
    """What a report says of an audit: the seam to whichever verb audits. ``verdict``: in one word of three."""

    verdict: str  # holds | holds with remarks | does not hold
    words: str
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    checked_again: int = 0

    @property
    def holds(self) -> bool:
        """Whether the evidence holds, with remarks or without."""
        return self.verdict != "does not hold"

    def remarked(self, remarks: Sequence[str]) -> "Judged":
        """Return it with more remarks."""
        if not remarks:
            return self
        verdict = "holds with remarks" if self.holds else self.verdict
        return evolve(self, verdict=verdict, remarks=(*self.remarks, *remarks))


def document(
    records: Sequence[Record],
    spec: MachineSpec,
    judged: Judged,
    *,
    head: str,
    source: str,
    objectives: Mapping[str, float] | None = None,
    exercises: Sequence[Mapping[str, Any]] = (),
) -> Fields:
    """Return what stands on the page of a run.

    ``head``: the SHA-256 of the journal's last line. ``source``: the file's name of the declaration. ``objectives``: of
    an exercise, where the run has none of its own. ``exercises``: the exercise records that name this run.
    """
    state = fold(records)
    receipt = derive(state.receipt or spec.receipt, state, records)
    return {
        "run": _run(state, spec, source),
        "judged": judged,
        "outcome": _outcome(state),
        "journal": {"head": head, "records": len(records), "sealed": state.sealed},
        "recovery": achieved(state, records, objectives, _disaster(exercises)),
        "spent": times.spent(records),
        "nobody": times.nobody_could_publish(records),
        "frozen": times.frozen_intervals(records),
        "visits": times.visits(records),
        "gone": list(_gone(records)),
        "steps": list(steps(records)),
        "receipt": receipt,
        "pointers": _pointers(receipt),
        "artifacts": list(_artifacts(receipt)),
        "divergence": receipt.get("divergence", {"none": "this procedure compares no two runs"}),
        "people": [_person(actor) for actor in state.actors],
        "decisions": list(_decisions(records)),
        "holds": list(_holds(records)),
        "remains": _remains(state),
        "inputs": {name: value for name, value in shown_inputs(state.inputs).items() if name != "receipt"},
        "exercises": list(exercises),
    }


def _disaster(exercises: Sequence[Mapping[str, Any]]) -> str:
    """Return when the disaster began that an exercise assumed; "" where none says so."""
    return next((said for record in exercises if isinstance(said := record["disaster_at"], str)), "")


def _run(state: RunState, spec: MachineSpec, source: str) -> Fields:
    where = [str(state.inputs.get(name) or "") for name in ("bucket", "prefix")]
    return {
        "id": state.run_id,
        "machine": state.machine,
        "about": spec.reason,
        "mode": "dry run" if state.dry_run else state.scope,
        "where": f"s3://{where[0]}/{where[1].strip('/')}" if where[0] else "",
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "last_at": state.last_at,
        "seconds": seconds_between(state.started_at, state.ended_at or state.last_at),
        "operator": state.operator,
        "host": state.host,
        "version": state.version,
        "declaration": source,
        "machine_sha256": state.machine_sha256,
        "epoch": state.epoch,
    }


def _outcome(state: RunState) -> Fields:
    return {
        "status": state.status,
        "state": state.state,
        "ended": state.ended,
        "stage": state.stage,
        "reason": state.reason,
        "findings": list(state.findings),
        "hint": state.hint,
        "open": state.open.trigger if state.open else "",
        "loud": list(state.loud),
        "causes": [cause.reason for cause in state.causes if cause.reason],
    }


def _gone(records: Sequence[Record]) -> Iterator[Fields]:
    """Yield each time that a process was killed: when it was last heard of, and who went on when."""
    state = RunState()
    for before, record in pairwise(records):
        state = fold([before], state)
        if times.taken_up(state, before.kind, record):
            at_work = state.open.trigger if state.open else ""
            yield {"last_heard": before.at, "taken_up": record.at, "in_state": state.state, "unfinished": at_work}


def _pointers(receipt: Mapping[str, Any]) -> list[Fields]:
    """Return a line for each pointer: the site and the run that it named before and after."""
    keys: dict[str, Fields] = {}
    for moment in ("before", "after"):
        for name in (f"provider_pointers_{moment}", f"pointers_{moment}"):
            value = receipt.get(name, _NO_POINTERS)
            told = value if isinstance(value, Mapping) else {}
            for key, pointer in told.items():
                if key not in ("unknown", "none"):
                    keys.setdefault(key, {"key": key, "before": {}, "after": {}})[moment] = _pointer(pointer)
    lacking = {"none": "there was no pointer, or it was not read"}
    return [{**line, **{when: line[when] or lacking for when in ("before", "after")}} for line in keys.values()]


def _pointer(pointer: Any) -> Any:
    """Return the site and the run of a pointer; those of older runs have no site."""
    if not isinstance(pointer, Mapping):
        return {"none": "there was no pointer"}
    if "none" in pointer:
        return pointer
    return {"site": pointer.get("site", ""), "run_id": pointer.get("run_id", "")}


_ARTIFACTS = {
    "dr_run_verification": "DR's run",
    "primary_run_verification": "the primary's run",
    "validation": "the validated run",
}


def _artifacts(receipt: Mapping[str, Any]) -> Iterator[Fields]:
    """Yield what was verified of each run's artifacts."""
    for name, what in _ARTIFACTS.items():
        found = receipt.get(name)
        if isinstance(found, Mapping) and "verdict" in found:
            problems = found.get("problems")
            yield {
                "what": what,
                "run_id": found.get("run_id", ""),
                "where": found.get("where", ""),
                "verdict": found["verdict"],
                "level": found.get("level", ""),
                "checked": found.get("checked", ""),
                "expected": found.get("expected", ""),
                "bytes": found.get("bytes", ""),
                "tree_sha256": found.get("tree_sha256", ""),
                "problems": problems.get("total", "") if isinstance(problems, Mapping) else "",
            }


def _person(actor: Actor) -> Fields:
    return {
        "did": actor.did,
        "at": actor.at,
        "operator": actor.operator,
        "host": actor.host,
        "proven": identities(actor.proven) if actor.proven else "",
    }


def _decisions(records: Sequence[Record]) -> Iterator[Fields]:
    """Yield what persons decided, with their reasons, and what they answered for."""
    for record in records:
        content = record.content
        if isinstance(content, Resolved):
            yield _decision(record, f"said that it was {content.outcome}", content.operator, {"reason": content.reason})
        elif isinstance(content, Commit) and content.by == "operator":
            args = shown_inputs(content.args)
            yield _decision(record, content.trigger, str(args.pop("operator", "")), args)


def _decision(record: Record, what: str, operator: str, args: Mapping[str, Any]) -> Fields:
    given = {name: value for name, value in args.items() if name not in ("proven", "host")}
    return {"at": record.at, "seq": record.seq, "what": what, "operator": operator, "args": given}


def _holds(records: Sequence[Record]) -> Iterator[Fields]:
    """Yield each hold, and how long it lasted."""
    for number, record in enumerate(records):
        held = record.content
        if isinstance(held, Held):
            after = next((later for later in records[number + 1 :] if later.kind != "rejected"), None)
            yield {
                "at": record.at,
                "state": held.state,
                "stage": held.stage,
                "reason": held.reason,
                "findings": list(held.findings),
                "seconds": seconds_between(record.at, after.at) if after else None,
            }


def _remains(state: RunState) -> Fields:
    """Return what the run left: frozen, kept on purpose, not undone, perhaps still on its way."""
    return {
        "frozen": [{"what": what, "since": since} for what, since in state.frozen_since.items()],
        "kept": list(state.kept),
        "not_undone": [entry.trigger for entry in state.undo] if state.ended and state.status == "aborted" else [],
        "not_excluded": list(state.not_excluded),
    }
