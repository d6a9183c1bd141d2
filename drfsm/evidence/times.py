"""Where a run's time went, from its records: in which states, at work, waiting, for a person, without a process.

The time between two records is counted once, by the record before it and the one after:

    the run was held                                   person    somebody had to decide, or to mend something
    another process takes up a run that one left       down      nobody worked on it
    the record before is a sample of a wait            waiting   for the world: a Job that ends, a drain
    anything else                                      working   reading, acting, trying again

A clock that was set back counts as nothing. Pure; reads records only, however badly they were written. Called by the
report, by recovery.py and by exercises.
"""

from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve, frozen

from drfsm.evidence.wording import NOBODY, seconds_between
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import Commit


@frozen
class Spent:
    """Seconds of each kind."""

    working: float = 0.0
    waiting: float = 0.0
    person: float = 0.0
    down: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        """Return both together."""
        return Spent(
            self.working + other.working,
            self.waiting + other.waiting,
            self.person + other.person,
            self.down + other.down,
        )

    @property
    def seconds(self) -> float:
        """All of it."""
        return round(self.working + self.waiting + self.person + self.down, 3)

    @property
    def json(self) -> dict[str, float]:
        """As a document has it, in seconds."""
        parts = {"working": self.working, "waiting": self.waiting, "person": self.person, "down": self.down}
        return {name: round(seconds, 3) for name, seconds in parts.items()}


NOTHING = Spent()


@frozen
class Visit:
    """One stay in a state: until the commit that ended it, or, with no ``trigger``, until the last record."""

    state: str
    entered_at: str
    left_at: str
    spent: Spent
    seq: int = -1  # of that commit
    trigger: str = ""
    to: str = ""
    by: str = ""
    how: str = ""
    reason: str = ""


@frozen
class Interval:
    """A time during which something was frozen. ``until`` "": it was when the last record was written."""

    what: str
    since: str
    until: str
    seconds: float | None

    @property
    def is_open(self) -> bool:
        """Whether no record says that it ended."""
        return not self.until


@frozen
class Gap:
    """The time before a record: where the run stood, and what it was spent on."""

    record: Record
    state: str
    spent: Spent


def gaps(records: Iterable[Record]) -> Iterator[Gap]:
    """Yield the time before each record but the first."""
    state, last = RunState(), None
    for record in records:
        if last is not None:
            seconds = seconds_between(last.at, record.at) or 0.0
            yield Gap(record, state.state, evolve(NOTHING, **{_kind(state, last, record): seconds}))
        state, last = fold([record], state), record


def _kind(state: RunState, last: Record, record: Record) -> str:
    """Return on what the time between two records was spent."""
    if state.status == "held":
        return "person"
    if taken_up(state, last.kind, record):
        return "down"
    return "waiting" if last.kind == "sampled" else "working"


def taken_up(before: RunState, last_kind: str, record: Record) -> bool:
    """Say whether a process takes a run up that another one left without a word: it was killed."""
    if before.status != "running":
        return False
    if record.kind == "lease_acquired":
        return before.epoch > 0
    return record.kind == "tail_cut" or (record.kind == "resumed" and last_kind not in ("lease_acquired", "tail_cut"))


def spent(records: Iterable[Record], since: int = 0, until: int | None = None) -> Spent:
    """Return on what the time went from one record to another, named by their numbers, or to the last one."""
    total = NOTHING
    for gap in gaps(records):
        if gap.record.seq > since and (until is None or gap.record.seq <= until):
            total += gap.spent
    return total


def visits(records: Sequence[Record]) -> tuple[Visit, ...]:
    """Return every stay in a state, oldest first; the last one goes to the last record."""
    told: list[Visit] = []
    total, entered, state = NOTHING, records[0].at if records else "", ""
    for gap in gaps(records):
        total, state = total + gap.spent, gap.state
        commit = gap.record.content if not gap.record.misfits else None
        if isinstance(commit, Commit):
            told.append(
                Visit(gap.state, entered, gap.record.at, total, gap.record.seq, commit.trigger, commit.to, commit.by,
                      commit.how, commit.reason or "")
            )  # fmt: skip
            total, entered, state = NOTHING, gap.record.at, commit.to
    if records and entered != records[-1].at:
        told.append(Visit(state, entered, records[-1].at, total))
    return tuple(told)


def frozen_intervals(records: Sequence[Record]) -> tuple[Interval, ...]:
    """Return when what was frozen, in the declaration's words, in the order in which it began.

    What was only read at the start (a site that was frozen before this run) counts from that reading on.
    """
    begun: dict[str, str] = {}
    told: list[Interval] = []
    state = RunState()
    for record in records:
        state = fold([record], state)
        ended = [what for what in begun if what not in state.frozen_since]
        told += [_interval(what, begun.pop(what), record.at) for what in ended]
        for what in state.frozen_since:
            begun.setdefault(what, record.at)
    last = records[-1].at if records else ""
    told += [evolve(_interval(what, since, last), until="") for what, since in begun.items()]
    return tuple(sorted(told, key=lambda interval: interval.since))


def _interval(what: str, since: str, until: str) -> Interval:
    return Interval(what, since, until, seconds_between(since, until))


def nobody_could_publish(records: Sequence[Record]) -> tuple[Interval, ...]:
    """Return the times during which nobody could publish, for whichever reason: each whole, and without overlap."""
    told: list[Interval] = []
    state, since = RunState(), ""
    for record in records:
        state = fold([record], state)
        frozen = any(what.startswith(NOBODY) for what in state.frozen_since)
        if frozen and not since:
            since = record.at
        elif since and not frozen:
            told.append(_interval(NOBODY, since, record.at))
            since = ""
    if since:
        told.append(evolve(_interval(NOBODY, since, records[-1].at), until=""))
    return tuple(told)
