"""Folds records into the state of a run: replay without effects.

``fold`` is the only place that knows what a record means. It is pure and total over well-formed records:
whether a record was *allowed* is the audit's question (evidence/audit.py), not this module's. Resume,
status, replay and audit all stand on it, so an interrupted run and an offline reader see the same.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from drfsm.journal.record import Record

Body = Mapping[str, Any]


@frozen
class OpenIntent:
    """An action that was begun and whose outcome is not recorded."""

    seq: int
    at: str
    row: str
    trigger: str
    source: str
    to: str
    by: str
    attempt: int
    effect: str
    before: Body
    guards: tuple[Any, ...] = ()
    args: Body = field(factory=dict)


@frozen
class Undoable:
    """One thing that an abort gives back: the undo action and the exact images to restore."""

    row: str
    trigger: str
    undo: str
    before: Body  # {fact: seen}


@frozen
class RunState:
    """Where a run stands. ``status``: none | running | held | dry_run | complete | aborted | failed | refused."""

    status: str = "none"
    state: str = ""
    run_id: str = ""
    machine: str = ""
    machine_sha256: str = ""
    version: str = ""
    inputs: Body = field(factory=dict)
    operator: str = ""
    host: str = ""
    dry_run: bool = False
    scope: str = "live"
    started_at: str = ""
    ended_at: str = ""
    last_at: str = ""
    epoch: int = 0
    open: OpenIntent | None = None
    facts: Mapping[str, Body] = field(factory=dict)  # fact -> {"value", "seen", "at"}
    images: Mapping[str, Body] = field(factory=dict)  # row key -> {fact: seen}, the first ones
    results: Mapping[str, Any] = field(factory=dict)  # trigger -> what its action returned
    args: Mapping[str, Body] = field(factory=dict)  # trigger -> an operator's recorded arguments
    undo: tuple[Undoable, ...] = ()  # oldest first
    attempts: Mapping[str, int] = field(factory=dict)  # row key -> failed attempts in this visit
    frozen: tuple[str, ...] = ()
    frozen_since: Mapping[str, str] = field(factory=dict)
    ways: tuple[Any, ...] = ()
    stage: str = ""
    reason: str = ""
    kept: tuple[str, ...] = ()
    forecasts: tuple[Body, ...] = ()
    sealed: bool = False
    length: int = 0

    @property
    def ended(self) -> bool:
        """Whether the run has its ``ended`` record."""
        return bool(self.ended_at)

    def value(self, fact: str) -> str | None:
        """Return the last recorded value of a fact, None if never read or unknown."""
        found = self.facts.get(fact)
        return found["value"] if found else None


def fold(records: Iterable[Record], start: RunState | None = None) -> RunState:
    """Fold records, in order, into a RunState (from ``start``, or from nothing)."""
    state = start or RunState()
    for record in records:
        state = _FOLDS[record.kind](evolve(state, last_at=record.at, length=state.length + 1), record)
    return state


def keep_first(first: Any, later: Any) -> Any:
    """Merge two images of the same fact so that what was seen first wins, object by object.

    A crash between two freezes of one action makes the redo see its own work as "before": only what
    the first image did not know (an object that appeared since) is taken from the later one.
    """
    if isinstance(first, Mapping) and isinstance(later, Mapping):
        merged = {key: keep_first(value, later[key]) if key in later else value for key, value in first.items()}
        return merged | {key: value for key, value in later.items() if key not in first}
    return first


def _freeze_words(state: RunState, words: Iterable[str], at: str) -> RunState:
    since = {word: state.frozen_since.get(word, at) for word in words}
    return evolve(state, frozen=tuple(since), frozen_since=since)


def _see(state: RunState, facts: Mapping[str, Body], at: str) -> RunState:
    return evolve(state, facts={**state.facts, **{name: {**found, "at": at} for name, found in facts.items()}})


def _started(state: RunState, record: Record) -> RunState:
    body = record.body
    return evolve(
        state,
        status="running",
        started_at=record.at,
        **{
            name: body[name]
            for name in (
                "run_id",
                "machine",
                "machine_sha256",
                "version",
                "inputs",
                "operator",
                "host",
                "dry_run",
                "scope",
                "state",
            )
        },
    )


def _leased(state: RunState, record: Record) -> RunState:
    return evolve(state, epoch=record.body["epoch"])


def _resumed(state: RunState, record: Record) -> RunState:
    return evolve(
        state,
        status="running",
        operator=record.body["operator"],
        host=record.body["host"],
        stage="",
        reason="",
        attempts={},
    )


def _unchanged(state: RunState, record: Record) -> RunState:  # noqa: ARG001  a fold's shape
    return state


def _sampled(state: RunState, record: Record) -> RunState:
    return _see(state, record.body["facts"], record.at)


def _intended(state: RunState, record: Record) -> RunState:
    body = record.body
    before = keep_first(state.images.get(body["row"], {}), body["before"])
    intent = OpenIntent(
        seq=record.seq,
        at=record.at,
        row=body["row"],
        trigger=body["trigger"],
        source=body["from"],
        to=body["to"],
        by=body["by"],
        attempt=body["attempt"],
        effect=body["effect"],
        before=before,
        guards=tuple(body["guards"]),
        args=body.get("args", {}),
    )
    state = _freeze_words(_see(state, body["facts"], record.at), body["frozen"], record.at)
    if body.get("args"):
        state = evolve(state, args={**state.args, body["trigger"]: body["args"]})
    if body.get("undo"):
        state = _push(state, Undoable(intent.row, intent.trigger, body["undo"], before))
    if not body.get("undoes"):  # an undo's own image is the one it restores
        state = evolve(state, images={**state.images, intent.row: before})
    return evolve(state, status="running", open=intent)


def _push(state: RunState, entry: Undoable) -> RunState:
    """Put an entry on the undo stack once; a redo only adds objects that its first image didn't know."""
    if any(each.row == entry.row for each in state.undo):
        return evolve(state, undo=tuple(entry if each.row == entry.row else each for each in state.undo))
    return evolve(state, undo=(*state.undo, entry))


def _failed(state: RunState, record: Record) -> RunState:
    body = record.body
    count = {**state.attempts, body["row"]: state.attempts.get(body["row"], 0) + 1}
    still = state.open if body["verdict"] == "unknown" else None
    return evolve(state, open=still, attempts=count, stage=body["trigger"], reason=body["error"])


def _resolved(state: RunState, record: Record) -> RunState:  # noqa: ARG001
    return evolve(state, open=None)


def _committed(state: RunState, record: Record) -> RunState:
    body = record.body
    state = _freeze_words(_see(state, body["facts"], record.at), body["frozen"], record.at)
    if body["result"] is not None:
        state = evolve(state, results={**state.results, body["trigger"]: body["result"]})
    if body.get("args"):
        state = evolve(state, args={**state.args, body["trigger"]: body["args"]})
    if body.get("undoes"):
        state = evolve(state, undo=tuple(each for each in state.undo if each.row != body["undoes"]))
    if body.get("kept"):
        state = evolve(state, kept=(*state.kept, body["kept"]))
    return evolve(
        state,
        status="running",
        open=None,
        state=body["to"],
        attempts={},
        ways=tuple(body["ways"]),
        stage="",
        reason="",
    )


def _held(state: RunState, record: Record) -> RunState:
    body = record.body
    state = _freeze_words(state, body["frozen"], record.at)
    return evolve(state, status="held", stage=body["stage"], reason=body["reason"], ways=tuple(body["ways"]))


def _forecast(state: RunState, record: Record) -> RunState:
    return evolve(state, forecasts=(*state.forecasts, record.body))


def _ended(state: RunState, record: Record) -> RunState:
    body = record.body
    state = _freeze_words(state, body["frozen"], record.at)
    return evolve(
        state,
        status=body["status"],
        ended_at=record.at,
        reason=body["reason"],
        stage=body.get("stage", ""),
        ways=tuple(body["ways"]),
        kept=tuple(body["kept"]),
    )


def _sealed(state: RunState, record: Record) -> RunState:  # noqa: ARG001
    return evolve(state, sealed=True)


_FOLDS: Mapping[str, Callable[[RunState, Record], RunState]] = {
    "run_started": _started,
    "lease_acquired": _leased,
    "resumed": _resumed,
    "tail_cut": _unchanged,
    "sampled": _sampled,
    "intent": _intended,
    "failed": _failed,
    "repaired": _unchanged,
    "commit": _committed,
    "resolved": _resolved,
    "rejected": _unchanged,
    "held": _held,
    "forecast": _forecast,
    "ended": _ended,
    "seal": _sealed,
}
