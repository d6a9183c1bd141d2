"""A run in words: everything that happened (`drfsm replay`); standing.py says where it stands.

``tell`` is for whoever wants to understand the run afterwards: one paragraph a record, with what was seen and who did
it. It shows no confirmation token, reads records only, however badly those were written, and loads nothing heavy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

from drfsm.claims import printable
from drfsm.errors import shown
from drfsm.evidence.durations import lasting
from drfsm.evidence.wording import (
    ACCEPTED,
    accepted_words,
    clip,
    compact,
    identities,
    moment,
    observation,
    one_by_one,
    shown_inputs,
    trigger_of,
)
from drfsm.journal import Record, findings_of
from drfsm.journal.record_types import (
    Check,
    Commit,
    Ended,
    Failed,
    Forecast,
    ForeseenCheck,
    Held,
    Intent,
    LeaseAcquired,
    PredecessorSettled,
    Reading,
    Rejected,
    Repaired,
    Resolved,
    Resumed,
    RunStarted,
    Sampled,
    Seal,
    Settled,
    StartRevoked,
    TailCut,
)

_REASON_WIDTH = 400
_FINDING_WIDTH = 3000  # each says what was seen and what to do
_SEEN_WIDTH = 100
_VERDICTS = {
    "not_done": "nothing was done",
    "mixed": "it may be half done",
    "unknown": "its outcome could not be read",
}
_HOW = {
    "judged": "guards held",
    "acted": "done",
    "found": "already done",
    "resolved": "a person said that it was done",
}
_SETTLED = {
    "touched": "a late write of it is shut out",
    "answered": "every attempt of it was answered, and nothing was changed",
    "read_again": "read again, as a late request of it can't be shut out",
    "landed_late": "LANDED LATE",
    "gone": "what its requests were sent to is gone",
    "waited": "an earlier request of it had its time to take effect",
    "not_excluded": "a late request of it is NOT EXCLUDED",
}
Json = Mapping[str, Any]


def tell(records: Iterable[Record], *, brief: bool = False) -> Iterator[str]:
    """Yield what happened in a run: for each record its time and number, what it says, and what was seen.

    ``brief``: an action and its commit make one paragraph; of the readings it has only new ones, of the guards only
    those that do not hold.
    """
    paragraphs = _in_brief(records) if brief else ((record, lines_of(record)) for record in records)
    for record, lines in paragraphs:
        first, *rest = lines
        yield f"{moment(record.at)} #{record.seq:<4} {first}"
        yield from (f"{'':27}{line}" for line in rest)


def _in_brief(records: Iterable[Record]) -> Iterator[tuple[Record, list[str]]]:
    known: dict[str, Any] = {}
    for record, following in pairwise(chain(records, [None])):
        assert record is not None  # noqa: S101  only the last one is followed by nothing
        lines = lines_of(record)
        content = None if any(record.unreadable()) else record.content
        if not isinstance(content, Intent | Commit | Sampled | Forecast):
            yield record, lines
            continue
        if isinstance(content, Intent) and following and following.kind == "commit":
            continue
        kept = [line for line in lines if not line.startswith(_DETAILS) or "DOES NOT HOLD" in line]
        if isinstance(content, Forecast):
            yield record, [line for line in kept if not line.endswith((", passed", ", not_evaluated"))]
            continue
        values = {name: reading.value or "unknown" for name, reading in content.facts.items()}
        new = [f"{name}={value}" for name, value in values.items() if known.get(name) != value]
        known |= values
        yield record, [*kept, *([printable("saw " + ", ".join(new))] if new else [])]


_DETAILS = ("saw ", "result ", "guard ")


def lines_of(record: Record, width: int = _SEEN_WIDTH) -> list[str]:
    """Return what a record says: one line, then its details; what was seen in at most ``width`` characters."""
    faults = list(record.unreadable())
    if faults:
        return [f"a {printable(record.kind)} record that can't be read", *faults]
    return list(_TELL[record.kind](record.content, width))


def _started(started: RunStarted, width: int) -> Iterator[str]:
    dry = "a dry run" if started.dry_run else started.scope
    yield printable(f"{started.run_id} starts in {started.state} ({dry}), by {started.operator} on {started.host}")
    yield from _proven(started.proven)
    yield printable(f"machine {started.machine}, sha256 {started.machine_sha256}, drfsm {started.version}")
    if started.config:
        yield printable(f"configuration {started.config.get('path')}, sha256 {started.config.get('sha256')}")
    if started.approval:
        yield from map(printable, _approvals(started.approval))
    yield from (f"{printable(name)} = {clip(value, width)}" for name, value in shown_inputs(started.inputs).items())


def _approvals(approval: Mapping[str, Any]) -> Iterator[str]:
    from drfsm.evidence.approvals import in_words

    if plan := approval.get("plan_sha256"):
        yield f"the plan {plan} was approved; {next(in_words(approval), '')}"
    yield from list(in_words(approval))[1 if plan else 0 :]


def _leased(lease: LeaseAcquired, _width: int) -> Iterator[str]:
    yield printable(f"takes the lease, epoch {lease.epoch}, by {lease.operator} on {lease.host}")
    if lease.taken_from:
        run_id, why = lease.taken_from.get("run_id", ""), str(lease.taken_from.get("why", ""))
        yield printable(f"from the run {run_id}: {_WHY_TAKEN.get(why, why)}")
        if left := ", ".join(map(str, lease.taken_from.get("left_open", ()))):
            yield clip(f"whose requests may still be on their way: {left}", _REASON_WIDTH)


_WHY_TAKEN = {
    "no_record": "it had no record in S3, so its start was revoked",
    "revoked": "its start was revoked",
    "ended": "it has ended",
    "released": "it was held before it changed anything",
    "taken_over": "a person said that its process is dead (--take-over)",
}


def _revoked(revoked: StartRevoked, _width: int) -> Iterator[str]:
    yield printable(f"the start of {revoked.run_id} was revoked by the run {revoked.revoked_by}, which took its lease")
    yield printable(f"by {revoked.operator} on {revoked.host}; the lease had no record, and nothing was changed")


def _resumed(resumed: Resumed, _width: int) -> Iterator[str]:
    yield printable(f"resumed in {resumed.state}, by {resumed.operator} on {resumed.host}")
    yield from _proven(resumed.proven)


def _cut(cut: TailCut, _width: int) -> Iterator[str]:
    yield printable(f"a torn last line of {cut.bytes} bytes (sha256 {cut.sha256}) was cut off")


def _sampled(sample: Sampled, width: int) -> Iterator[str]:
    clear = "clear" if sample.holds else "not yet"
    waited = "" if sample.waited_seconds is None else f", waited {lasting(sample.waited_seconds)}"
    yield printable(f"{trigger_of(sample.row)} waits: {clear}{waited}")
    yield from _readings(sample.facts, width)


def _intended(intent: Intent, width: int) -> Iterator[str]:
    undone = f", undo of {intent.undoes}" if intent.undoes else ""
    yield printable(f"{intent.trigger} begins: {intent.source} -> {intent.to}{undone}, attempt {intent.attempt}")
    yield from _args(intent.args)
    yield from _guards(intent.guards)
    yield from _warnings(intent.foreseen)
    yield from _readings(intent.facts, width)


def _committed(commit: Commit, width: int) -> Iterator[str]:
    undone = f", undo of {commit.undoes}" if commit.undoes else ""
    how = _HOW.get(commit.how, commit.how) if commit.by == "runner" or commit.how != "judged" else commit.by
    lasted = "" if commit.seconds is None else f", {lasting(commit.seconds)}"
    yield printable(f"{commit.trigger}: {commit.source} -> {commit.to}{undone} ({how}{lasted})")
    yield printable(commit.reason)
    yield from (accepted_words(check.fact, check.seen) for check in commit.guards if check.value == ACCEPTED)
    yield from _args(commit.args)
    if commit.how != "acted":  # else the guards stand with the intent
        yield from _guards(commit.guards)
        yield from _warnings(commit.foreseen)
    yield from _readings(commit.facts, width)
    if commit.result is not None:
        yield f"result {compact(commit.result, width)}"
    if commit.kept:
        yield printable(f"an abort will not undo this: {commit.kept}")


def _failed(failed: Failed, _width: int) -> Iterator[str]:
    verdict = _VERDICTS.get(failed.verdict, failed.verdict)
    yield printable(f"{failed.trigger} failed, attempt {failed.attempt}; {verdict}")
    yield clip(failed.error, _REASON_WIDTH)


def _repaired(repair: Repaired, width: int) -> Iterator[str]:
    yield printable(f"repaired by {repair.action} before {trigger_of(repair.row)} is tried again")
    if repair.result is not None:
        yield f"result {compact(repair.result, width)}"


def _resolved(verdict: Resolved, _width: int) -> Iterator[str]:
    yield printable(f"{verdict.operator} says that {trigger_of(verdict.row)} is {verdict.outcome}: {verdict.reason}")
    yield from _proven(verdict.proven)


def _settled(late: Settled, width: int) -> Iterator[str]:
    yield printable(f"{late.trigger}: {_SETTLED.get(late.how, late.how)}")
    yield clip(late.reason, _REASON_WIDTH)
    yield from _readings(late.facts, width)
    if late.result is not None:
        yield f"result {compact(late.result, width)}"


def _predecessor(settled: PredecessorSettled, width: int) -> Iterator[str]:
    yield clip(settled.reason, _REASON_WIDTH)
    yield f"result {compact(settled.result, width)}"


def _rejected(rejected: Rejected, _width: int) -> Iterator[str]:
    yield printable(f"{rejected.trigger} was rejected in {rejected.state}; nothing moved")
    yield clip(rejected.why, _REASON_WIDTH)
    yield from _proven(rejected.proven)


def _held(held: Held, _width: int) -> Iterator[str]:
    yield printable(f"HELD in {held.state} at {held.stage}")
    yield from one_by_one(held.reason, held.findings, _FINDING_WIDTH)
    yield from (printable(f"frozen: {words}") for words in held.frozen)
    if held.lease:
        yield "releases the lease: nothing was changed, and other runs may start"


def _forecast(forecast: Forecast, _width: int) -> Iterator[str]:
    words = {
        "pass": "would pass",
        "wait": "would wait",
        "refused": "WOULD BE REFUSED",
        "depends": "depends on what was not done",
        "unknown": "UNKNOWN",
    }
    yield printable(f"{forecast.trigger}: {forecast.source} -> {forecast.to}: {words[forecast.outcome]}")
    if forecast.unread:
        yield clip(f"could not be read, or depends on it: {forecast.unread}", _REASON_WIDTH)
    for check in forecast.guards:
        if check.outcome == "failed":
            yield clip(f"{check.guard}: {check.fact} is {check.value}, failed: {shown(check.seen)}", _FINDING_WIDTH)
        else:
            yield printable(f"{check.guard}: {check.fact} is {check.value or 'not read'}, {check.outcome}")
    yield from _warnings(forecast.foreseen)
    if forecast.sets:
        yield printable("would set " + ", ".join(f"{fact}={value}" for fact, value in forecast.sets.items()))


def _ended(ended: Ended, _width: int) -> Iterator[str]:
    yield printable(f"ENDS {ended.status} in {ended.state}")
    if ended.reason:
        yield from one_by_one(ended.reason, ended.findings, _FINDING_WIDTH)
    yield from (printable(f"frozen: {words}") for words in ended.frozen)
    yield from (printable(f"not undone, on purpose: {kept}") for kept in ended.kept)


def _seal(seal: Seal, _width: int) -> Iterator[str]:
    yield printable(f"sealed: {seal.records} records, head {seal.head}")


def _args(args: Json) -> Iterator[str]:
    findings = findings_of(args)
    for name, value in shown_inputs(args).items():
        if name != "proven" and not (findings and name in ("reason", "findings")):
            yield f"{printable(name)}: {clip(value, _REASON_WIDTH)}"
    yield from (f"finding: {clip(finding, _FINDING_WIDTH)}" for finding in findings)
    yield from _proven(args.get("proven"))


def _proven(proven: object) -> Iterator[str]:
    """Yield what is proven of whoever did it, where something is."""
    if isinstance(proven, Mapping) and (words := identities(proven)):
        yield f"proven: {words}"


def _guards(checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        verb = "holds" if check.holds else "DOES NOT HOLD"
        yield printable(f"guard {check.guard} {verb}: {check.fact} is {check.value}")


def _warnings(checks: Iterable[ForeseenCheck]) -> Iterator[str]:
    """Yield the guards of later rows that do not hold."""
    yield from (f"foreseen: {clip(check.words, _FINDING_WIDTH)}" for check in checks if not check.holds)


def _readings(facts: Mapping[str, Reading], width: int) -> Iterator[str]:
    for name, reading in facts.items():
        why = f" ({clip(reading.why, width)})" if reading.why else ""
        value = printable(reading.value or "unknown")
        yield f"saw {printable(name)}={value} {observation(reading.seen, width)}{why}"


_TELL: Mapping[str, Callable[[Any, int], Iterator[str]]] = {
    "run_started": _started,
    "lease_acquired": _leased,
    "start_revoked": _revoked,
    "resumed": _resumed,
    "tail_cut": _cut,
    "sampled": _sampled,
    "intent": _intended,
    "failed": _failed,
    "repaired": _repaired,
    "commit": _committed,
    "resolved": _resolved,
    "settled": _settled,
    "predecessor_settled": _predecessor,
    "rejected": _rejected,
    "held": _held,
    "forecast": _forecast,
    "ended": _ended,
    "seal": _seal,
}
