"""Folds records into the state of a run: replay without effects.

``fold`` is the only place that knows what a record means. It is pure, and total over records whose bodies are what
record_types.py declares; any other record is damage, named by its line. Whether a record was *allowed* is the audit's
question (evidence/audit/), not this module's. Resume, status, replay and audit all stand on the fold, so an
interrupted run and an offline reader see the same.

A killed step is found here: its ``intent`` record has no ``commit`` after it, so ``RunState.open`` holds an OpenIntent.
What the runner does about an open intent is spec/recovery.py's table, read by engine/step.py.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

from attrs import evolve, field, frozen

from drfsm.journal import record_types
from drfsm.journal.chain import damage, read
from drfsm.journal.growing import Growing, Stack, growing, plus
from drfsm.journal.record import Record
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
    NextAction,
    Reading,
    Resolved,
    Resumed,
    RunStarted,
    Sampled,
    Settled,
    StartRevoked,
    Transition,
)
from drfsm.journal.versions import is_older

Json = Mapping[str, Any]

_GIVES_UP = ("touched", "answered")  # nothing is on its way: a point of no return that changed nothing can be closed
_LOUD = re.compile(r"[A-Z]{3,}[A-Z ]*:")


@frozen
class OpenIntent:
    """An action that was begun, and nobody knows yet whether it was done: its outcome is open.

    It stays open until a commit, until what it changes is seen to be as before, or until a person decides.
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
    before: Json  # {fact: seen} before the first attempt: the snapshots that an undo restores
    values: Json = field(factory=dict)  # fact -> its value before the first attempt
    guards: tuple[Check, ...] = ()
    args: Json = field(factory=dict)
    undoes: str = ""  # of an undo: the row whose change it takes back
    verdict: str = ""  # "done": a person said so, and the commit is still missing
    # What was open already when an operator's own action (an abort, say) began: it is open again if that one fails.
    superseded: "OpenIntent | None" = None


@frozen
class Undoable:
    """One thing that an abort undoes: the undo action and the exact snapshots to restore."""

    row: str
    trigger: str
    undo: str
    before: Json  # {fact: seen}

    @property
    def what(self) -> tuple[str, frozenset[str]]:
        """What it restores: entries with the same undo action and facts restore the same."""
        return self.undo, frozenset(self.before)


@frozen
class InFlight:
    """Requests of an action that may still be on their way: its process ended, or gave up, without their answers."""

    row: str
    trigger: str
    facts: frozenset[str]  # that the action changes
    undo: str = ""  # the row's undo action
    undoes: str = ""  # of an undo: the row whose change it undoes
    attempts: int = 1  # that nobody saw the end of
    committed: bool = False
    not_excluded: str = ""  # why it could not be shut out when that was tried, in words

    @property
    def key(self) -> tuple[str, str]:
        """What it is counted by."""
        return self.row, self.undoes

    def changed(self, entry: Undoable) -> bool:
        """Whether its change is the one that this entry of the undo stack gives back."""
        if self.undoes:
            return self.undoes == entry.row
        return self.undo == entry.undo and self.facts == frozenset(entry.before)


@frozen
class Predecessor:
    """The run that had the lease before, whose requests may still be on their way: nobody saw their answers."""

    run_id: str
    left_open: tuple[str, ...]  # triggers of its rows


@frozen
class Actor:
    """Who did something to a run, by the name that they gave, and what is proven of them.

    ``proven``: ``os_user`` {uid, name, host}, ``cloud_caller`` (an ARN), ``cluster_users`` {site: user}; where one
    was asked for without an answer ``{"unknown": why}``; empty where the record is of a version that proved nothing.
    """

    did: str  # started | resumed | resolved | an operator's trigger
    at: str
    operator: str
    host: str = ""
    proven: Json = field(factory=dict)


@frozen
class Cause:
    """Why a run left its main path. ``by``: failure | operator; ``findings``: the reason one by one, if several."""

    by: str
    reason: str
    stage: str
    findings: tuple[str, ...]


def findings_of(args: Json) -> tuple[str, ...]:
    """Return the findings in a failure's recorded arguments, none if there are none that can be read."""
    findings = args.get("findings")
    return tuple(map(str, findings)) if isinstance(findings, list | tuple) else ()


def _growing(converter: Callable[[Any], Any]) -> Any:
    return field(factory=Growing, converter=converter)


def _readings(known: Mapping[str, Reading]) -> Growing[str, Reading]:
    return growing(known)


def _words(known: Mapping[str, str]) -> Growing[str, str]:
    return growing(known)


def _values(known: Mapping[str, Any]) -> Growing[str, Any]:
    return growing(known)


def _objects(known: Mapping[str, Json]) -> Growing[str, Json]:
    return growing(known)


def _stack() -> Any:
    return field(factory=Stack, converter=_stacked)


def _stacked(entries: Iterable[Undoable]) -> "Stack[Undoable]":
    return entries if isinstance(entries, Stack) else Stack((entry.what, entry) for entry in entries)


@frozen(slots=False)  # so that a changed copy is one update of a dict: each record makes several (``_with``)
class RunState:
    """Where a run stands. ``status``: none | running | held | dry_run | complete | aborted | failed | refused.

    What grows with the run shares its entries with later states (growing.py): a step costs the same at any length.
    """

    # the run
    status: str = "none"
    state: str = ""
    run_id: str = ""
    machine: str = ""
    machine_sha256: str = ""
    version: str = ""
    inputs: Json = field(factory=dict)
    operator: str = ""
    host: str = ""
    dry_run: bool = False
    scope: str = "live"
    approval: Json = field(factory=dict)  # the approvals of the plan that it was started from
    config: Json = field(factory=dict)  # the drfsm.toml that it was started with
    receipt: Mapping[str, Any] = field(factory=dict)  # what the summary is to hold, as the machine declares it
    started_at: str = ""
    ended_at: str = ""
    last_at: str = ""
    length: int = 0  # records
    sealed: bool = False
    epoch: int = 0  # of the last lease; 0: none was taken
    lease_released: bool = False  # by a hold, before anything was changed
    others_worked: bool = False  # while the lease was released another run had it; nothing was judged again since
    touched: bool = False  # an action that changes something was begun

    # what is begun, known and done
    open: OpenIntent | None = None  # None: no action's outcome is open
    attempts: Mapping[str, int] = field(factory=dict)  # row key -> failed attempts in this visit
    returns: Mapping[str, int] = field(factory=dict)  # failure's row key -> times taken since a person last asked
    facts: Mapping[str, Reading] = _growing(_readings)  # as last read
    known: Mapping[str, str] = _growing(_words)  # fact -> its last known value
    results: Mapping[str, Any] = _growing(_values)  # trigger -> what its action returned
    args: Mapping[str, Json] = _growing(_objects)  # trigger -> an operator's recorded arguments
    forecasts: tuple[Forecast, ...] = ()  # of a dry run
    foreseen: tuple[ForeseenCheck, ...] = ()  # guards of later rows that did not hold when they were judged beforehand

    # what an abort would undo
    snapshots: Mapping[str, Json] = _growing(_objects)  # row key -> {fact: seen} before its first attempt
    undo: Sequence[Undoable] = _stack()  # oldest first
    undone: tuple[Undoable, ...] = ()  # what an abort has undone already
    in_flight: tuple[InFlight, ...] = ()  # oldest first
    waived: bool = False  # a person waived an undo
    not_excluded: tuple[str, ...] = ()  # which of these may still change something, in words
    predecessor: Predecessor | None = None  # not settled yet
    took_over: tuple[str, ...] = ()  # the runs that had not ended when this one took the lease from them
    kept_by_row: Mapping[str, str] = _growing(_words)  # row key -> why an abort does not undo its change
    kept: tuple[str, ...] = ()  # the same reasons, each once

    # what a person wants to know
    frozen: tuple[str, ...] = ()
    frozen_since: Mapping[str, str] = field(factory=dict)
    next_actions: tuple[NextAction, ...] = ()  # what may be asked for here
    stage: str = ""
    reason: str = ""
    hint: str = ""  # of a hold: what mends it, in words
    final_intents: frozenset[str] = frozenset()  # row keys of the point of no return's intents (of 0.4.0 or later)
    unchanged: frozenset[str] = frozenset()  # row keys whose intent was closed with nothing changed, nothing on its way
    findings: tuple[str, ...] = ()  # the reason, one finding each, where there are several, or of a dry run
    causes: tuple[Cause, ...] = ()  # why the run left its main path, oldest first
    loud: tuple[str, ...] = ()  # reasons in capitals of rows that were taken: something was left out, or is a risk
    actors: tuple[Actor, ...] = ()  # who started, resumed and decided; oldest first

    @property
    def ended(self) -> bool:
        """Whether the run has its ``ended`` record."""
        return bool(self.ended_at)

    @property
    def forward_only(self) -> bool:
        """Whether the point of no return is passed, as an intent says; one that changed nothing does not count."""
        return bool(self.final_intents - self.unchanged)

    @property
    def changed_sites(self) -> bool:
        """Whether something that this run changed, or may have changed, is still so.

        What an abort keeps by the machine's own word (a primary stays frozen) lets nobody publish: it does not count.
        """
        gave_all_back = self.status == "aborted" and not self.waived and not self.not_excluded
        return self.touched and not self.dry_run and not gave_all_back

    def value(self, fact: str) -> str | None:
        """Return the last recorded value of a fact, None if never read or unknown."""
        reading = self.facts.get(fact)
        return reading.value if reading else None


def _with(state: RunState, /, **changes: Any) -> RunState:
    """Return a state with some fields changed: ``attrs.evolve``, without asking for every field again."""
    changed = object.__new__(RunState)
    changed.__dict__.update(state.__dict__)
    changed.__dict__.update(changes)
    return changed


def fold_samples(
    state: RunState, last: Record, count: int, facts: Mapping[str, Reading], known: Mapping[str, str]
) -> RunState:
    """Fold ``count`` samples at once, of which this is the last: they read ``facts`` last, with ``known`` values."""
    return _with(
        state, last_at=last.at, length=state.length + count, facts=plus(state.facts, facts),
        known=plus(state.known, known),
    )  # fmt: skip


def fold(records: Iterable[Record], start: RunState | None = None) -> RunState:
    """Fold records, in order, into a RunState (from ``start``, or from nothing).

    Raises JournalDamaged for a record whose body is not what its kind declares: the chain proves the order only.
    """
    state = start or RunState()
    for record in records:
        try:
            content = record.content
        except ValueError as fault:
            raise damage(record.seq + 1, f"can't be understood: {fault}") from None
        state = fold_read(state, record, content)
    return state


def fold_read(state: RunState, record: Record, content: record_types.Body) -> RunState:
    """Fold one record whose body was read already."""
    state = _with(state, last_at=record.at, length=state.length + 1)
    return _FOLDS[type(content)](state, record, content)


def replay(journal: bytes | BinaryIO | Iterable[Record]) -> RunState:
    """Fold a journal, as bytes or as records; a torn tail is left out. Raises JournalDamaged."""
    if isinstance(journal, bytes):
        return fold(read(journal).records)
    if hasattr(journal, "read"):
        return fold(read(cast("BinaryIO", journal)).records)
    return fold(journal)


def keep_first(first: Any, later: Any) -> Any:
    """Merge two snapshots of the same fact so that the earlier one wins, object by object.

    A crash between two freezes of one action makes the redo see its own work as "before". So only what the first
    snapshot did not have (an object that appeared since) is taken from the later one.
    """
    if isinstance(first, Mapping) and isinstance(later, Mapping):
        merged = {key: keep_first(value, later[key]) if key in later else value for key, value in first.items()}
        return merged | {key: value for key, value in later.items() if key not in first}
    return first


def covers(observation: Any, snapshot: Any) -> bool:
    """Say whether an observation has everything of a snapshot; objects that appeared later don't matter."""
    return bool(keep_first(snapshot, observation) == observation)


def _freeze_words(state: RunState, words: Iterable[str], at: str) -> RunState:
    since = {word: state.frozen_since.get(word, at) for word in words}
    return _with(state, frozen=tuple(since), frozen_since=since)


def _observe(state: RunState, facts: Mapping[str, Reading]) -> RunState:
    known = {name: reading.value for name, reading in facts.items() if reading.value is not None}
    return _with(state, facts=plus(state.facts, facts), known=plus(state.known, known))


def _acted(state: RunState, at: str, did: str, operator: Any, host: Any, proven: Any) -> RunState:
    """Note who did something. From here on the process at work is theirs, and rounds are counted anew."""
    actor = Actor(did, at, str(operator), str(host), _identity(proven))
    return _with(state, actors=(*state.actors, actor), returns={})


def _identity(proven: Any) -> Json:
    """Return what this version knows of an identity; nothing of what is none."""
    return record_types.IDENTITY.parse(proven) if record_types.IDENTITY.fits(proven) else {}


def _learnt(state: RunState, result: Any) -> RunState:
    """Add what an action learnt of whoever runs the process (``proven`` of its result) to the newest actor."""
    learnt = _identity(result.get("proven")) if isinstance(result, Mapping) else {}
    if not state.actors or not learnt:
        return state
    *earlier, actor = state.actors
    return _with(state, actors=(*earlier, evolve(actor, proven=keep_first(actor.proven, learnt))))


# --- one function a kind of record: (state, record, content) -> state --------------------------------------


def _started(state: RunState, record: Record, started: RunStarted) -> RunState:
    return _with(
        _acted(state, record.at, "started", started.operator, started.host, started.proven),
        status="running",
        started_at=record.at,
        receipt=started.receipt or {},
        run_id=started.run_id,
        machine=started.machine,
        machine_sha256=started.machine_sha256,
        version=started.version,
        inputs=started.inputs,
        operator=started.operator,
        host=started.host,
        dry_run=started.dry_run,
        scope=started.scope,
        approval=started.approval,
        config=started.config,
        state=started.state,
    )


def _revoked(state: RunState, record: Record, revoked: StartRevoked) -> RunState:
    reason = f"another run, {revoked.revoked_by}, took its lease before it had a record"
    return _with(state, status="refused", run_id=revoked.run_id, ended_at=record.at, sealed=True, reason=reason)


def _leased(state: RunState, _record: Record, lease: LeaseAcquired) -> RunState:
    left_open = tuple(lease.taken_from.get("left_open", ()))
    left = Predecessor(str(lease.taken_from.get("run_id", "")), left_open) if left_open else state.predecessor
    holder, why = str(lease.taken_from.get("run_id", "")), lease.taken_from.get("why")
    took_over = (*state.took_over, holder) if why == "taken_over" and holder != state.run_id else state.took_over
    others = state.others_worked or (state.lease_released and lease.epoch > state.epoch + 1)
    state = _with(state, epoch=lease.epoch, lease_released=False, others_worked=others)
    return _with(state, predecessor=left, took_over=took_over)


def _resumed(state: RunState, record: Record, resumed: Resumed) -> RunState:
    return _with(
        _acted(state, record.at, "resumed", resumed.operator, resumed.host, resumed.proven),
        status="running",
        others_worked=False,
        operator=resumed.operator,
        host=resumed.host,
        stage="",
        reason="",
        findings=(),
        hint="",
        attempts={},
    )


def _unchanged(state: RunState, _record: Record, _content: Any) -> RunState:
    return state


def _sampled(state: RunState, _record: Record, sample: Sampled) -> RunState:
    return _observe(state, sample.facts)


def _intended(state: RunState, record: Record, intent: Intent) -> RunState:
    opened = _opened(state, record, intent)
    state = _freeze_words(_observe(state, intent.facts), intent.frozen, record.at)
    state = _with_args(state, intent)
    if intent.undo:
        state = _push(state, Undoable(intent.row, intent.trigger, intent.undo, opened.before))
    if intent.point_of_no_return:
        state = _with(state, final_intents=state.final_intents | {intent.row})
    state = _with(state, unchanged=state.unchanged - {intent.row})
    if intent.kept:
        state = _keep(state, plus(state.kept_by_row, {intent.row: intent.kept}))
    if not intent.undoes:  # what an undo finds before it is no snapshot to restore: the undo restores one
        state = _with(state, snapshots=plus(state.snapshots, {intent.row: opened.before}))
    touched = state.touched or intent.effect != "none"
    return _with(_sent(state, intent), status="running", open=opened, touched=touched)


def _sent(state: RunState, intent: Intent) -> RunState:
    """Count an attempt whose requests may be on their way from here on."""
    key = (intent.row, intent.undoes)
    known = next((flight for flight in state.in_flight if flight.key == key), None)
    if known is None:
        begun = InFlight(intent.row, intent.trigger, frozenset(intent.before), intent.undo or "", intent.undoes)
        return _with(state, in_flight=(*state.in_flight, begun))
    sent_again = evolve(known, attempts=known.attempts + 1, committed=False, not_excluded="")
    return _flights(_excluded(state, known), key, sent_again)


def _excluded(state: RunState, flight: InFlight) -> RunState:
    """Take back that a request could not be shut out."""
    return _with(state, not_excluded=tuple(words for words in state.not_excluded if words != flight.not_excluded))


def _flights(state: RunState, key: tuple[str, str], flight: InFlight | None) -> RunState:
    """Replace the requests of a key; drop them for None, or where every attempt's end was seen."""
    kept = flight if flight is not None and flight.attempts > 0 else None
    changed = (kept if other.key == key else other for other in state.in_flight)
    return _with(state, in_flight=tuple(other for other in changed if other is not None))


def _answered(state: RunState, key: tuple[str, str], *, committed: bool, attempts: int = 1) -> RunState:
    """Note that the end of so many attempts was seen."""
    flight = next((flight for flight in state.in_flight if flight.key == key), None)
    if flight is None:
        return state
    left = evolve(flight, attempts=flight.attempts - attempts, committed=flight.committed or committed)
    return _flights(state, key, left)


def _opened(state: RunState, record: Record, intent: Intent) -> OpenIntent:
    """Return what an intent leaves open. An attempt that is made again keeps the snapshots of the first."""
    again = state.open if state.open is not None and state.open.row == intent.row else None
    first = again.before if again else state.snapshots.get(intent.row, {})
    values = {name: reading.value for name, reading in intent.facts.items() if name in intent.before}
    return OpenIntent(
        seq=record.seq,
        at=record.at,
        row=intent.row,
        trigger=intent.trigger,
        source=intent.source,
        to=intent.to,
        by=intent.by,
        attempt=intent.attempt,
        effect=intent.effect,
        before=keep_first(first, intent.before),
        values=keep_first(again.values, values) if again else values,
        guards=intent.guards,
        args=intent.args,
        undoes=intent.undoes,
        superseded=again.superseded if again else state.open,
    )


def _with_args(state: RunState, step: Transition) -> RunState:
    return _with(state, args=plus(state.args, {step.trigger: step.args})) if step.args else state


def _keep(state: RunState, kept_by_row: Mapping[str, str]) -> RunState:
    return _with(state, kept_by_row=kept_by_row, kept=tuple(dict.fromkeys(kept_by_row.values())))


def _push(state: RunState, entry: Undoable) -> RunState:
    """Put an entry on the undo stack once: entries with the same undo action and facts restore the first snapshot.

    A redo, or another row that changes the same thing later, only adds objects that the first snapshot didn't have.
    """
    undo = _stacked(state.undo)
    first = undo.named(entry.what)
    if first is None:
        return _with(state, undo=undo.plus(entry.what, entry))
    merged = evolve(first, before=keep_first(first.before, entry.before))
    return _with(state, undo=undo.replaced(entry.what, merged))


def _failed(state: RunState, record: Record, failed: Failed) -> RunState:
    """Close an intent that was seen not to be done. What is half done stays open, and ``once`` is never repeated."""
    if failed.answered:
        state = _answered(state, (failed.row, state.open.undoes if state.open else ""), committed=False)
    count = {**state.attempts, failed.row: state.attempts.get(failed.row, 0) + 1}
    state = _with(state, attempts=count, stage=failed.trigger, reason=failed.error, findings=())
    state = _observe(state, failed.facts)
    if failed.frozen is not None:
        state = _freeze_words(state, failed.frozen, record.at)
    if state.open is None or failed.verdict != "not_done" or state.open.effect == "once":
        return state
    kept_by_row = growing(state.kept_by_row).without(state.open.row)
    before, undoes = state.open.before, state.open.undoes
    state = _keep(_with(state, open=state.open.superseded), kept_by_row)
    return state if undoes else _unchanged_row(state, failed.row, before, failed.facts)


def _unchanged_row(state: RunState, row: str, before: Json, facts: Mapping[str, Reading]) -> RunState:
    """Note that a row's intent is closed and changed nothing: its facts are as before, nothing of it is on its way.

    A run of a version before 0.6.0 never says so: there an intent of the point of no return bars the abort for ever.
    """
    on_its_way = any(flight.key == (row, "") for flight in state.in_flight)
    same = bool(before) and all(name in facts and facts[name].seen == seen for name, seen in before.items())
    if on_its_way or not same or is_older(state.version, "0.6.0"):
        return state
    return _with(state, unchanged=state.unchanged | {row})


def _resolved(state: RunState, record: Record, resolved: Resolved) -> RunState:
    """Note a person's verdict: ``done`` waits for its commit, ``not_done`` closes the intent."""
    did = f"resolved {resolved.outcome}"
    state = _acted(state, record.at, did, resolved.operator, "", resolved.proven)
    if state.open is None:
        return state
    done = resolved.outcome == "done"
    return _with(state, open=evolve(state.open, verdict="done") if done else state.open.superseded)


def _committed(state: RunState, record: Record, commit: Commit) -> RunState:
    args = commit.args
    state = _freeze_words(_observe(state, commit.facts), commit.frozen, record.at)
    state = _with(state, others_worked=False)
    if commit.by == "operator" and commit.how != "resolved":
        state = _acted(
            state, record.at, commit.trigger, args.get("operator", ""), args.get("host", ""), args.get("proven")
        )
    if commit.result is not None:
        state = _learnt(_with(state, results=plus(state.results, {commit.trigger: commit.result})), commit.result)
    state = _foresaw(_with_args(state, commit), commit.foreseen)
    if commit.amends:
        state = _with(state, inputs={**state.inputs, **commit.amends})
    if commit.by in ("failure", "operator") and commit.to != commit.source:
        cause = Cause(commit.by, str(args.get("reason", "")), str(args.get("stage", "")), findings_of(args))
        state = _with(state, causes=(*state.causes, cause))
    if commit.by == "failure":
        state = _with(state, returns={**state.returns, commit.row: state.returns.get(commit.row, 0) + 1})
    if _LOUD.match(commit.reason):
        state = _with(state, loud=tuple(dict.fromkeys((*state.loud, commit.reason))))
    state = _answered(state, (commit.row, commit.undoes), committed=True, attempts=int(commit.how != "resolved"))
    state = _undone(state, commit) if commit.undoes else _with(state, unchanged=state.unchanged - {commit.row})
    if commit.kept:
        state = _keep(state, plus(state.kept_by_row, {commit.row: commit.kept}))
    return _with(
        state,
        status="running",
        open=_left_open(state.open, commit),
        state=commit.to,
        attempts={},
        next_actions=commit.next_actions,
        stage="",
        reason="",
        findings=(),
        hint="",
    )


def _foresaw(state: RunState, checks: Iterable[ForeseenCheck]) -> RunState:
    """Remember which guards of later rows did not hold."""
    return _with(state, foreseen=(*state.foreseen, *(check for check in checks if not check.holds)))


def _left_open(intent: OpenIntent | None, commit: Commit) -> OpenIntent | None:
    """Return what a commit leaves open: nothing, where the run moves on; else what the row was taken in front of."""
    if intent is None or commit.to != commit.source or commit.undoes:
        return None
    return intent.superseded if intent.row == commit.row else intent


def _undone(state: RunState, commit: Commit) -> RunState:
    """Take an entry off the undo stack; where a person waived its undo, remember that it was kept."""
    entry = next((entry for entry in state.undo if entry.row == commit.undoes), None)
    state = _with(state, undo=_stacked(state.undo).without(entry))
    if entry is None:
        return state
    if commit.by != "operator" or commit.how == "resolved":
        return _with(state, undone=(*state.undone, entry))
    reason = commit.args.get("reason") or commit.reason
    kept = {entry.row: f"{entry.trigger} was not given back: {reason}"}
    return _keep(_with(state, waived=True), plus(state.kept_by_row, kept))


def _settled(state: RunState, _record: Record, settled: Settled) -> RunState:
    """Take requests off the list of those on their way; what landed late is to be undone again."""
    state, key = _observe(state, settled.facts), (settled.row, settled.undoes)
    flight = next((flight for flight in state.in_flight if flight.key == key), None)
    if settled.how == "landed_late":
        again = tuple(entry for entry in state.undone if flight is not None and flight.changed(entry))
        kept = tuple(entry for entry in state.undone if entry not in again)
        undo = _stacked(state.undo)
        for entry in again:
            undo = undo.plus(entry.what, entry)
        return _answered(_with(state, undo=undo, undone=kept), key, committed=False)
    if not settled.done and settled.how != "waited":
        state = _keep(state, growing(state.kept_by_row).without(settled.row))
    state = _excluded(state, flight) if flight is not None else state
    if settled.how not in ("touched", "answered", "gone", "waited"):
        state = _with(state, not_excluded=(*state.not_excluded, settled.reason))
    if settled.how == "not_excluded" and flight is not None:  # it is tried again before its undo, and before the end
        return _flights(state, key, evolve(flight, not_excluded=settled.reason))
    state = _flights(state, key, None)
    return _given_up(state, settled) if settled.how in _GIVES_UP and not settled.undoes else state


def _given_up(state: RunState, settled: Settled) -> RunState:
    """Close the point of no return's intent whose requests were answered or shut out before they changed anything."""
    intent = state.open if state.open is not None and state.open.row == settled.row else None
    if settled.row not in state.final_intents or (intent is not None and intent.effect == "once"):
        return state
    before = intent.before if intent is not None else state.snapshots.get(settled.row, {})
    closed = _unchanged_row(state, settled.row, before, settled.facts)
    if intent is None or settled.row not in closed.unchanged:
        return closed
    return _with(closed, open=intent.superseded)


def _predecessor_settled(state: RunState, _record: Record, settled: record_types.PredecessorSettled) -> RunState:
    told = () if settled.how == "touched" else (settled.reason,)
    return _with(state, predecessor=None, not_excluded=(*state.not_excluded, *told))


def _held(state: RunState, record: Record, held: Held) -> RunState:
    return _with(
        _freeze_words(state, held.frozen, record.at),
        status="held",
        stage=held.stage,
        reason=held.reason,
        findings=held.findings,
        hint=held.hint,
        next_actions=held.next_actions,
        lease_released=bool(held.lease) or state.lease_released,
    )


def _forecast(state: RunState, _record: Record, forecast: Forecast) -> RunState:
    return _with(_foresaw(state, forecast.foreseen), forecasts=(*state.forecasts, forecast))


def _ended(state: RunState, record: Record, ended: Ended) -> RunState:
    return _with(
        _freeze_words(state, ended.frozen, record.at),
        status=ended.status,
        ended_at=record.at,
        reason=ended.reason,
        findings=ended.findings,
        stage=ended.stage,
        next_actions=ended.next_actions,
        kept=ended.kept,
    )


def _sealed(state: RunState, _record: Record, _content: Any) -> RunState:
    return _with(state, sealed=True)


_FOLDS: Mapping[type[record_types.Body], Callable[[RunState, Record, Any], RunState]] = {
    RunStarted: _started,
    LeaseAcquired: _leased,
    StartRevoked: _revoked,
    Resumed: _resumed,
    record_types.TailCut: _unchanged,
    Sampled: _sampled,
    Intent: _intended,
    Failed: _failed,
    record_types.Repaired: _unchanged,
    Commit: _committed,
    Resolved: _resolved,
    Settled: _settled,
    record_types.PredecessorSettled: _predecessor_settled,
    record_types.Rejected: _unchanged,
    Held: _held,
    Forecast: _forecast,
    Ended: _ended,
    record_types.Seal: _sealed,
}
