"""A wait that says the same again: a sample that was judged before, where the run stands as it stood then.

A run that waits for hours leaves thousands of samples, and only a few things are seen. A sample of a known pattern
(journal/patterns.py), taken in the same wait after the same readings, breaks what it broke before: nothing, or it would
not be known here. What is left to ask is its turn: later than the sample before it, and other than it unless it is
clear. Everything else is judged in full. Called by kinds.py.
"""

from typing import Any

from attrs import frozen

from drfsm.evidence.audit.position import Position
from drfsm.journal import Record
from drfsm.journal.record_types import Sampled
from drfsm.journal.replay import fold_samples

_MOST = 4096


@frozen
class _Judged:
    """What the judgement of a sample left."""

    rejudged: int
    current: dict[str, str | None]  # the facts that are current after it
    known: dict[str, str]  # fact -> its value, where that is known
    pattern: object  # so that nothing else can have its identity


class Steady:
    """The samples of the present wait that were judged without a finding."""

    def __init__(self, here: Position) -> None:
        self._here = here
        self._judged: dict[tuple[int, int], _Judged] = {}
        self._currents: dict[tuple[Any, ...], dict[str, str | None]] = {}
        self._last: Record | None = None  # of those that were passed and are not folded in yet
        self._count = 0
        self._facts: dict[str, Any] = {}
        self._known: dict[str, str] = {}

    def passes(self, record: Record) -> bool:
        """Say whether a record is such a sample, in its turn; then it is taken in."""
        if record.pattern is None:
            return False
        here = self._here
        judged = self._judged.get((id(record.pattern), id(here.invariants.current)))
        if judged is None:
            return False
        sample = record.content
        assert isinstance(sample, Sampled)  # noqa: S101  nothing else is learnt
        last, clear = here.samples[sample.row]
        if not _in_turn(sample, last):
            return False
        here.samples[sample.row] = sample, clear + 1 if sample.holds else 0
        here.findings.rejudged += judged.rejudged
        here.invariants.current = judged.current
        self._last, self._count = record, self._count + 1
        self._facts.update(sample.facts)
        self._known.update(judged.known)
        return True

    def learn(self, record: Record, before: dict[str, str | None], rejudged: int) -> None:
        """Remember a record that was judged without a finding; ``before``: the facts that were current then."""
        if record.kind != "sampled":
            self._judged.clear()
            self._currents.clear()
        if record.pattern is None or record.kind != "sampled" or self._here.invariants.is_broken:
            return
        sample = record.content
        assert isinstance(sample, Sampled)  # noqa: S101  by its kind
        if sample.waited_seconds is None or rejudged != len(sample.facts):
            return
        if len(self._judged) >= _MOST:
            self._judged.clear()
            self._currents.clear()
        invariants = self._here.invariants
        after = self._currents.setdefault(tuple(sorted(invariants.current.items())), invariants.current)
        self._currents.setdefault((id(before),), before)  # so that nothing else can have its identity
        invariants.current = after
        known = {name: reading.value for name, reading in sample.facts.items() if reading.value is not None}
        self._judged[id(record.pattern), id(before)] = _Judged(rejudged, after, known, record.pattern)

    def leave(self) -> None:
        """Fold in what was passed, before anything else looks at where the run stands."""
        if self._last is not None:
            self._here.state = fold_samples(self._here.state, self._last, self._count, self._facts, self._known)
            self._last, self._count = None, 0
            self._facts, self._known = {}, {}


def _in_turn(sample: Sampled, last: Sampled) -> bool:
    if sample.attempt != last.attempt or sample.waited_seconds is None or last.waited_seconds is None:
        return False
    if sample.facts is last.facts or sample.facts == last.facts:
        return sample.holds and sample.waited_seconds > last.waited_seconds
    return sample.waited_seconds >= last.waited_seconds
