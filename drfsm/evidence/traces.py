"""A run's records as a trace: the run is its root span, each row that was taken a span, each attempt an event. Pure.

Spans are made of records and of nothing else: the spans of a run that was killed are there after its resume, and those
of an old bundle at any time. Their ids are digests of the run's id and a record's number, so that whoever makes them,
on whichever machine, makes the same ones.

    span           begins                                          ends
    the run        ``run_started``                                 ``ended``
    a row          the record before which the run stood there     its ``commit``; a ``held`` that names it
    ``held``       ``held``                                        the ``resumed`` after it

A row's span holds the time in which no process worked on the run. No observation, result or argument is in a span,
but the reason of a failure.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from attrs import define, field, frozen

from drfsm.claims import bounded, moment
from drfsm.evidence.wording import trigger_of
from drfsm.journal import Record
from drfsm.journal.record_types import (
    Commit,
    Ended,
    Failed,
    Held,
    Intent,
    Repaired,
    Resolved,
    Resumed,
    RunStarted,
    Sampled,
    Settled,
)

Value = str | int | float | bool
Attributes = Mapping[str, Value]
ROOT = "run"
_WRONG = ("failed", "aborted", "refused")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Event:
    """What happened within a span. ``at``: nanoseconds since 1970."""

    name: str
    at: int
    attributes: Attributes


@frozen
class Span:
    """One finished span. ``closed_by``: the number of the record that ended it; ``parent``: "" for the root."""

    name: str
    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    parent: str
    begins: int  # nanoseconds since 1970
    ends: int
    attributes: Attributes
    events: tuple[Event, ...]
    error: str  # why it ended badly; "" if it did not
    closed_by: int


def spans(records: Iterable[Record]) -> Iterator[Span]:
    """Yield the spans that records have finished, in the order in which they ended.

    A record that can't be read is passed over: the audit names it.
    """
    run: _Run | None = None
    for record in records:
        if any(record.unreadable()):
            continue
        if isinstance(started := record.content, RunStarted):
            run = _Run(started.run_id, started.machine, _nanoseconds(record.at), _started(started))
            run.since = run.began
        elif run is not None:
            yield from run.add(record)


def trace_id(run_id: str) -> str:
    """Return the id of a run's trace: 32 hex digits."""
    return hashlib.sha256(f"drfsm:{run_id}".encode()).hexdigest()[:32]


@define
class _Run:
    run_id: str
    machine: str
    began: int
    attributes: Attributes
    since: int = 0  # when what is going on now began
    holding: bool = False  # that is: a person is waited for
    taken: int = 0  # attempts of the row that is going on
    events: list[Event] = field(factory=list)

    def add(self, record: Record) -> Iterator[Span]:
        """Add a record; yield what it finishes."""
        at, content = _nanoseconds(record.at), record.content
        match content:
            case Commit():
                error = bounded(content.args.get("reason") or content.error) if content.by == "failure" else ""
                yield self._closed(content.trigger, record, _of_commit(content, self.taken), error)
            case Held():
                if self.events:
                    yield self._closed(content.stage or "held", record, {}, bounded(content.reason))
                self.since, self.holding = at, True
                self._note("held", at, {"state": content.state, "stage": content.stage, "reason": content.reason})
            case Resumed() if self.holding:
                yield self._closed("held", record, {"drfsm.operator": bounded(content.operator)})
            case Ended():
                yield self._root(content, record)
            case _:
                self._noted(record, at)

    def _noted(self, record: Record, at: int) -> None:
        """Keep what happened within a row as an event."""
        match content := record.content:
            case Intent():
                self.taken += 1
                undoes = {"undoes": trigger_of(content.undoes)} if content.undoes else {}
                self._note("attempt", at, {"trigger": content.trigger, "number": content.attempt, **undoes})
            case Failed():
                self._note("attempt failed", at, {
                    "trigger": content.trigger, "number": content.attempt, "error": content.error,
                    "verdict": content.verdict,
                })  # fmt: skip
            case Sampled():
                self._note("waited", at, {"holds": content.holds, "unmet": ", ".join(content.unmet or ())})
            case Repaired():
                self._note("repaired", at, {"action": content.action})
            case Resolved():
                self._note("resolved", at, {"outcome": content.outcome, "operator": content.operator})
            case Settled():
                self._note("settled", at, {"trigger": content.trigger, "how": content.how})
            case Resumed():
                self._note("resumed", at, {"operator": content.operator, "host": content.host})
            case _:
                self._note(record.kind, at, {})

    def _note(self, name: str, at: int, attributes: Attributes) -> None:
        safe = {key: bounded(value) if isinstance(value, str) else value for key, value in attributes.items()}
        self.events.append(Event(name, at, safe))

    def _closed(self, name: str, record: Record, attributes: Attributes, error: str = "") -> Span:
        """Return the span of what went on until now; the next one begins here."""
        at = max(_nanoseconds(record.at), self.since)
        span = Span(
            bounded(name, 120), trace_id(self.run_id), self._id(record.seq), self._id(ROOT), self.since, at,
            {**self._common(), **attributes}, tuple(self.events), error, record.seq,
        )  # fmt: skip
        self.since, self.holding, self.taken, self.events = at, False, 0, []
        return span

    def _root(self, ended: Ended, record: Record) -> Span:
        return Span(
            f"drfsm {bounded(self.machine, 100)}", trace_id(self.run_id), self._id(ROOT), "", self.began,
            max(_nanoseconds(record.at), self.began),
            {**self._common(), **self.attributes, "drfsm.status": ended.status, "drfsm.state": bounded(ended.state)},
            (), bounded(ended.reason or ended.status) if ended.status in _WRONG else "", record.seq,
        )  # fmt: skip

    def _common(self) -> Attributes:
        return {"drfsm.run_id": bounded(self.run_id), "drfsm.procedure": bounded(self.machine)}

    def _id(self, what: int | str) -> str:
        return hashlib.sha256(f"drfsm:{self.run_id}:{what}".encode()).hexdigest()[:16]


def _started(started: RunStarted) -> Attributes:
    return {
        "drfsm.version": bounded(started.version),
        "drfsm.machine_sha256": started.machine_sha256,
        "drfsm.scope": started.scope,
        "drfsm.dry_run": started.dry_run,
        "drfsm.operator": bounded(started.operator),
        "drfsm.host": bounded(started.host),
    }


def _of_commit(commit: Commit, attempts: int) -> Attributes:
    undoes = {"drfsm.undoes": bounded(trigger_of(commit.undoes))} if commit.undoes else {}
    return {
        "drfsm.from": bounded(commit.source),
        "drfsm.to": bounded(commit.to),
        "drfsm.by": commit.by,
        "drfsm.how": commit.how,
        "drfsm.because": bounded(commit.reason),
        "drfsm.attempts": attempts,
        **undoes,
    }


def _nanoseconds(at: str) -> int:
    """Return a record's time in nanoseconds since 1970, exactly; 0 for what is no time."""
    read = moment(at)
    if read is None:
        return 0
    passed = read - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000
