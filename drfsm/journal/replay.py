"""Folds records into the state of a run: replay without effects.

``fold`` is the only place that knows what a record means. It is pure and total over well-formed records; one whose
body is no such thing is damage, named by its line. Whether a record was *allowed* is the audit's question
(evidence/audit/), not this module's. Resume, status, replay and audit all stand on it, so an interrupted run and
an offline reader see the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, cast

from attrs import evolve, field, frozen

from drfsm.journal.chain import damage, read
from drfsm.journal.record import Record
from drfsm.journal.record_types import misshapen

Body = Mapping[str, Any]


_LOUD = re.compile(r"[A-Z]{3,}[A-Z ]*:")


@frozen
class OpenIntent:
    """An action that was begun and is not known to be done, nor known not to be begun: its end is open.

    It stays open until a commit, until what it changed is seen to be as before, or until a person decides.
    """

    seq: int
    at: str
    row: str
    trigger: str
    source: str
    to: str
    by: str
    attempt: int
    effect: str
    before: Body  # the first images, as an undo gives them back
    values: Body = field(factory=dict)  # fact -> its value before the first attempt
    guards: tuple[Any, ...] = ()
    args: Body = field(factory=dict)
    undoes: str = ""  # the row whose change it gives back
    verdict: str = ""  # a person's: done
    behind: "OpenIntent | None" = None  # what was open when an operator's own action began


@frozen
class Undoable:
    """One thing that an abort gives back: the undo action and the exact images to restore."""

    row: str
    trigger: str
    undo: str
    before: Body  # {fact: seen}


@frozen
class Actor:
    """Who did something to a run, by the name that they gave, and what is proven of them.

    ``proven``: ``os_user`` {uid, name, host}, ``cloud_caller`` (an ARN), ``cluster_users`` {site: user}; where one
    was asked for and not told ``{"unknown": why}``; empty where the record is of a version that proved nothing.
    """

    did: str  # started | resumed | resolved | an operator's trigger
    at: str
    operator: str
    host: str = ""
    proven: Body = field(factory=dict)


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
    known: Mapping[str, str] = field(factory=dict)  # fact -> its last value that could be told
    receipt: Mapping[str, Any] = field(factory=dict)  # what the summary is to hold, as the machine declares it
    images: Mapping[str, Body] = field(factory=dict)  # row key -> {fact: seen}, the first ones
    keeps: Mapping[str, str] = field(factory=dict)  # row key -> why an abort does not give its change back
    results: Mapping[str, Any] = field(factory=dict)  # trigger -> what its action returned
    args: Mapping[str, Body] = field(factory=dict)  # trigger -> an operator's recorded arguments
    undo: tuple[Undoable, ...] = ()  # oldest first
    attempts: Mapping[str, int] = field(factory=dict)  # row key -> failed attempts in this visit
    frozen: tuple[str, ...] = ()
    frozen_since: Mapping[str, str] = field(factory=dict)
    next_actions: tuple[Any, ...] = ()
    stage: str = ""
    reason: str = ""
    hint: str = ""  # of a hold: what mends it, in words
    causes: tuple[tuple[str, str, str], ...] = ()  # what moved the run off its way: (by, reason, stage), oldest first
    loud: tuple[str, ...] = ()  # reasons of rows taken that begin in capitals: what was left out, or is a risk
    kept: tuple[str, ...] = ()
    actors: tuple[Actor, ...] = ()  # who started it, went on with it, decided; oldest first
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
    """Fold records, in order, into a RunState (from ``start``, or from nothing).

    Raises JournalDamaged for a record whose body isn't what its kind has: the chain says only who wrote it after whom.
    """
    state = start or RunState()
    for record in records:
        for wrong in misshapen(record):
            raise damage(record.seq + 1, f"can't be understood: {wrong}")
        state = _FOLDS[record.kind](evolve(state, last_at=record.at, length=state.length + 1), record)
    return state


def replay(journal: bytes | BinaryIO | Iterable[Record]) -> RunState:
    """Fold a journal, as bytes or as records; a torn tail is left out. Raises JournalDamaged."""
    if isinstance(journal, bytes):
        return fold(read(journal).records)
    if hasattr(journal, "read"):
        return fold(read(cast("BinaryIO", journal)).records)
    return fold(journal)


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
    known = {name: found["value"] for name, found in facts.items() if found["value"] is not None}
    return evolve(
        state,
        facts={**state.facts, **{name: {**found, "at": at} for name, found in facts.items()}},
        known={**state.known, **known},
    )


def _acted(state: RunState, record: Record, did: str, body: Body) -> RunState:
    """Note who did something. From here on the process at work is theirs."""
    proven = body.get("proven")
    operator, host = str(body.get("operator", "")), str(body.get("host", ""))
    actor = Actor(did, record.at, operator, host, proven if isinstance(proven, Mapping) else {})
    return evolve(state, actors=(*state.actors, actor))


def _asked(state: RunState, result: Any) -> RunState:
    """Add what an action learnt of the process at work (``proven`` of its result) to what is known of its actor."""
    learnt = result.get("proven") if isinstance(result, Mapping) else None
    if not state.actors or not isinstance(learnt, Mapping):
        return state
    *earlier, actor = state.actors
    return evolve(state, actors=(*earlier, evolve(actor, proven=keep_first(actor.proven, learnt))))


def _started(state: RunState, record: Record) -> RunState:
    body = record.body
    return evolve(
        _acted(state, record, "started", body),
        status="running",
        started_at=record.at,
        receipt=body.get("receipt", {}),
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
        _acted(state, record, "resumed", record.body),
        status="running",
        operator=record.body["operator"],
        host=record.body["host"],
        stage="",
        reason="",
        hint="",
        attempts={},
    )


def _unchanged(state: RunState, record: Record) -> RunState:  # noqa: ARG001  a fold's shape
    return state


def _sampled(state: RunState, record: Record) -> RunState:
    return _see(state, record.body["facts"], record.at)


def _intended(state: RunState, record: Record) -> RunState:
    body = record.body
    row, again = body["row"], state.open
    if again is not None and again.row != row:
        again = None
    before = keep_first(again.before if again else state.images.get(row, {}), body["before"])
    values = {name: found["value"] for name, found in body["facts"].items() if name in body["before"]}
    intent = OpenIntent(
        seq=record.seq,
        at=record.at,
        row=row,
        trigger=body["trigger"],
        source=body["from"],
        to=body["to"],
        by=body["by"],
        attempt=body["attempt"],
        effect=body["effect"],
        before=before,
        values=keep_first(again.values, values) if again else values,
        guards=tuple(body["guards"]),
        args=body.get("args", {}),
        undoes=body.get("undoes", ""),
        behind=again.behind if again else state.open,
    )
    state = _freeze_words(_see(state, body["facts"], record.at), body["frozen"], record.at)
    if body.get("args"):
        state = evolve(state, args={**state.args, body["trigger"]: body["args"]})
    if body.get("undo"):
        state = _push(state, Undoable(row, intent.trigger, body["undo"], before))
    if body.get("kept"):
        state = _keep(state, {**state.keeps, row: body["kept"]})
    if not intent.undoes:  # an undo's own image is the one it restores
        state = evolve(state, images={**state.images, row: before})
    return evolve(state, status="running", open=intent)


def _keep(state: RunState, keeps: Mapping[str, str]) -> RunState:
    return evolve(state, keeps=keeps, kept=tuple(dict.fromkeys(keeps.values())))


def _push(state: RunState, entry: Undoable) -> RunState:
    """Put an entry on the undo stack once: what restores the same facts by the same deed restores the first image.

    A redo, or another row that changes the same thing later, only adds objects that the first image didn't know.
    """
    same = [each for each in state.undo if each.undo == entry.undo and each.before.keys() == entry.before.keys()]
    if not same:
        return evolve(state, undo=(*state.undo, entry))
    (first,) = same
    merged = evolve(first, before=keep_first(first.before, entry.before))
    return evolve(state, undo=tuple(merged if each is first else each for each in state.undo))


def _failed(state: RunState, record: Record) -> RunState:
    """Close an intent that is seen not to be done. What is half done stays open, and ``once`` is never repeated."""
    body = record.body
    count = {**state.attempts, body["row"]: state.attempts.get(body["row"], 0) + 1}
    state = evolve(state, attempts=count, stage=body["trigger"], reason=body["error"])
    if body.get("facts"):
        state = _see(state, body["facts"], record.at)
    if "frozen" in body:
        state = _freeze_words(state, body["frozen"], record.at)
    if state.open is None or body["verdict"] != "not_done" or state.open.effect == "once":
        return state
    keeps = {row: why for row, why in state.keeps.items() if row != state.open.row}
    return _keep(evolve(state, open=state.open.behind), keeps)


def _resolved(state: RunState, record: Record) -> RunState:
    """Note a person's verdict: done waits for its commit, not_done closes."""
    state = _acted(state, record, f"resolved {record.body['outcome']}", record.body)
    if state.open is None:
        return state
    done = record.body["outcome"] == "done"
    return evolve(state, open=evolve(state.open, verdict="done") if done else state.open.behind)


def _committed(state: RunState, record: Record) -> RunState:
    body = record.body
    state = _freeze_words(_see(state, body["facts"], record.at), body["frozen"], record.at)
    if body["by"] == "operator" and body["how"] != "resolved":
        state = _acted(state, record, str(body["trigger"]), body.get("args") or {})
    if body["result"] is not None:
        state = _asked(evolve(state, results={**state.results, body["trigger"]: body["result"]}), body["result"])
    if body.get("args"):
        state = evolve(state, args={**state.args, body["trigger"]: body["args"]})
    if body.get("amends"):
        state = evolve(state, inputs={**state.inputs, **body["amends"]})
    if body["by"] in ("failure", "operator") and body["to"] != body["from"]:
        given = body.get("args", {})
        cause = (str(body["by"]), str(given.get("reason", "")), str(given.get("stage", "")))
        state = evolve(state, causes=(*state.causes, cause))
    if _LOUD.match(str(body.get("because", ""))):
        state = evolve(state, loud=tuple(dict.fromkeys((*state.loud, str(body["because"])))))
    if body.get("undoes"):
        state = _undone(state, body)
    if body.get("kept"):
        state = _keep(state, {**state.keeps, body["row"]: body["kept"]})
    return evolve(
        state,
        status="running",
        open=_left_open(state.open, body),
        state=body["to"],
        attempts={},
        next_actions=tuple(body["ways"]),
        stage="",
        reason="",
        hint="",
    )


def _left_open(intent: OpenIntent | None, body: Body) -> OpenIntent | None:
    """Return what a commit leaves open: nothing, where the run moves on; else what the row was taken in front of."""
    if intent is None or body["to"] != body["from"] or body.get("undoes"):
        return None
    return intent.behind if intent.row == body["row"] else intent


def _undone(state: RunState, body: Body) -> RunState:
    """Take an entry off the undo stack; one that a person waived is not given back, and that is remembered."""
    entry = next((each for each in state.undo if each.row == body["undoes"]), None)
    state = evolve(state, undo=tuple(each for each in state.undo if each is not entry))
    if entry is None or body["by"] != "operator" or body["how"] == "resolved":
        return state
    why = body.get("args", {}).get("reason") or body["because"]
    return _keep(state, {**state.keeps, entry.row: f"{entry.trigger} was not given back: {why}"})


def _held(state: RunState, record: Record) -> RunState:
    body = record.body
    state = _freeze_words(state, body["frozen"], record.at)
    return evolve(
        state,
        status="held",
        stage=body["stage"],
        reason=body["reason"],
        hint=str(body.get("way", "")),
        next_actions=tuple(body["ways"]),
    )


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
        next_actions=tuple(body["ways"]),
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
