"""Judges a recorded run by another declaration: where would it now hold, refuse or allow what it did.

Nothing is executed, and nothing is guessed. Each decision of the run is judged anew by the row that the other
declaration has for it, over what the records say was read:

    a step that was begun    its guards, those that its row foresees, its tries, its wait's limit, who may fire it
    an action that was done  whether what was read after it is what the row now sets
    an intent taken up       the case of the recovery table, by the row's effect now
    a refusal, a hold        whether the guards that refused would refuse again
    every reading            the other declaration's ``never`` rules

A guard over a fact that no record has read by then can't be told. The path stays the recorded one: after the first
decision that would have been another, the rest says what the other declaration would make of a run that came there.
Pure. Called by `drfsm replay --under`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.journal import OpenIntent, Record, RunState, fold
from drfsm.journal.record_types import Commit, Failed, Held, Intent, Reading, Rejected, RunStarted, Sampled, Transition
from drfsm.spec.foresight import ahead
from drfsm.spec.model import By, Guard, MachineSpec, Row
from drfsm.spec.recovery import Probe, RecoveryAction, decide, probe

SCHEMA_VERSION = 1
_REFUSAL = re.compile(r"(?P<guard>[a-z][a-z0-9_]*): (?P<fact>[a-z][a-z0-9_]*) is (?P<value>[a-z][a-z0-9_]*), needed ")
"""How errors.unmet words a guard that does not hold: no record of a refusal has the readings themselves."""
ALLOWED, REFUSED, HELD, WAITS, UNKNOWN, ELSEWHERE = "allowed", "refused", "held", "waits", "unknown", "elsewhere"
Values = Mapping[str, str | None]


@frozen
class Decision:
    """One decision of the run, then and under the other declaration. ``because``: why it is another, or the same."""

    seq: int
    at: str
    state: str
    trigger: str
    then: str
    now: str
    because: str = ""

    @property
    def differs(self) -> bool:
        """Whether it would be another decision."""
        return self.now not in (self.then, UNKNOWN)

    @property
    def words(self) -> str:
        """It in words."""
        why = f": {self.because}" if self.because else ""
        now = "can't be told" if self.now == UNKNOWN else f"now {self.now.upper()}"
        return f"#{self.seq} {self.trigger} in {self.state} was {self.then}, {now}{why}"


@frozen
class Counterfactual:
    """A run under another declaration."""

    run_id: str
    recorded_sha256: str
    spec: MachineSpec
    decisions: tuple[Decision, ...]
    broken: tuple[str, ...]  # never rules of the other declaration
    remarks: tuple[str, ...]

    @property
    def differing(self) -> tuple[Decision, ...]:
        """The decisions that would be others, in order."""
        return tuple(decision for decision in self.decisions if decision.differs)

    @property
    def same(self) -> bool:
        """Whether the other declaration would have decided the same everywhere, as far as that can be told."""
        return not (self.differing or self.broken)

    @property
    def json(self) -> dict[str, Any]:
        """As a document."""
        differing = self.differing
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            "machine": self.spec.name,
            "recorded_sha256": self.recorded_sha256,
            "under_sha256": self.spec.sha256,
            "same": self.same,
            "first_difference": differing[0].seq if differing else {"none": "no decision would be another"},
            "decisions": [_json(decision) for decision in self.decisions],
            "never_rules_broken": list(self.broken),
            "remarks": list(self.remarks),
        }

    def lines(self, *, verbose: bool = False) -> Iterator[str]:
        """Yield it in words: what would be decided otherwise, or can't be told; with ``verbose`` everything."""
        told = False
        for decision in self.decisions:
            if decision.differs and not told:
                told = True
                yield "The first decision that would be another; what follows is of a run that came there all the same:"
            if verbose or decision.differs or decision.now == UNKNOWN:
                yield f"  {decision.words}"
        yield from (f"  never rule broken: {words}" for words in self.broken)
        yield from (f"  remark: {words}" for words in self.remarks)
        untold = sum(decision.now == UNKNOWN for decision in self.decisions)
        more = f", {untold} can't be told" if untold else ""
        count = f"{len(self.decisions)} decisions: {len(self.differing)} would be others{more}"
        yield f"{count}; {len(self.broken)} never rules broken"


def _json(decision: Decision) -> dict[str, Any]:
    names = ("seq", "at", "state", "trigger", "then", "now", "because")
    return {name: getattr(decision, name) for name in names}


def counterfactual(
    records: Sequence[Record], recorded: MachineSpec, other: MachineSpec, defaults: Mapping[str, Any] | None = None
) -> Counterfactual:
    """Judge a run by another declaration. ``recorded``: the one that it is pinned to.

    ``defaults``: what stands for an input that the run's version did not know yet.

    Raises JournalDamaged for records that can't be understood.
    """
    judge = _Judge(recorded, other, defaults or {})
    for record in records:
        judge.add(record)
    return judge.result()


@define
class _Judge:
    recorded: MachineSpec
    other: MachineSpec
    defaults: Mapping[str, Any]
    state: RunState = field(factory=RunState)
    readings: dict[str, Reading] = field(factory=dict)  # as last read
    begun: dict[str, int] = field(factory=dict)  # row key -> intents since a person last asked for the run to go on
    waited: dict[str, float] = field(factory=dict)  # row key -> how long it waited, at its last sample
    decisions: list[Decision] = field(factory=list)
    remarks: dict[str, None] = field(factory=dict)
    findings: Findings = field(factory=Findings)
    _invariants: Invariants | None = None

    def add(self, record: Record) -> None:
        """Judge the next record, then take it in."""
        content = record.content
        facts: Mapping[str, Reading] = getattr(content, "facts", {})
        for decision in self._decided(record):
            self.decisions.append(decision)
        self.readings |= facts
        if record.kind in ("lease_acquired", "resumed", "held"):
            self.begun.clear()
        elif isinstance(content, Intent):
            self.begun[content.row] = self.begun.get(content.row, 0) + 1
        self._follow(record, facts)
        self.state = fold([record], self.state)

    def result(self) -> Counterfactual:
        """Return the whole."""
        broken = tuple(finding.what for finding in self.findings)
        return Counterfactual(
            self.state.run_id, self.recorded.sha256, self.other, tuple(self.decisions), broken, tuple(self.remarks)
        )

    # --- which decision a record is -------------------------------------------------------------------

    def _decided(self, record: Record) -> Iterator[Decision]:
        content, intent = record.content, self.state.open
        if isinstance(content, RunStarted):
            self._begin(content)
        elif isinstance(content, Sampled):
            self.waited[content.row] = content.waited_seconds or 0.0
        elif isinstance(content, Intent):
            if intent is not None and intent.row == content.row:
                yield self._taken_up(record, intent, ALLOWED)
            yield self._step(record, content)
        elif isinstance(content, Commit):
            yield from self._committed(record, content, intent)
        elif isinstance(content, Held):
            yield from self._held(record, content)
        elif isinstance(content, Rejected):
            yield self._rejected(record, content)

    def _begin(self, started: RunStarted) -> None:
        self._invariants = Invariants(self.other, self.findings)
        self._invariants.begun(started.inputs)
        if started.machine != self.other.name:
            self.remarks[f"the run is of {started.machine}, the other declaration of {self.other.name}"] = None
        for name in sorted(self.other.inputs.keys() - started.inputs.keys() - self.defaults.keys()):
            self.remarks[f"the run has no input {name}: rows that it selects are not selected"] = None

    def _committed(self, record: Record, commit: Commit, intent: OpenIntent | None) -> Iterator[Decision]:
        if commit.by == By.FAILURE:
            stage, reason = str(commit.args.get("stage", "")), str(commit.args.get("reason", ""))
            yield self._refused(record, commit.source, stage, reason, commit)
        elif commit.how == "found" and intent is not None and intent.row == commit.row:
            yield self._taken_up(record, intent, ALLOWED)
        elif commit.how == "acted":
            yield from self._done(record, commit)
        elif commit.how in ("judged", "found"):
            yield self._step(record, commit)

    # --- judging it -----------------------------------------------------------------------------------

    def _step(self, record: Record, step: Transition) -> Decision:
        """Judge a step that was begun or taken."""
        decision = Decision(record.seq, record.at, step.source, step.trigger, ALLOWED, ALLOWED)
        row = self._row(step.row)
        if row is None:
            now, because = self._without_row(step.source, step.trigger)
            return evolve(decision, now=now, because=because)
        if row.by is not By(step.by):
            return evolve(decision, now=HELD, because=f"it is fired by {row.by}, not by {step.by}")
        self._compare(step, row)
        redo = self.state.open is not None and self.state.open.row == step.row
        values = {**_values(self.readings), **_values(step.facts)}
        now, because = self._judged(row, values, skipped=set(row.sets) if redo else set())
        tries, most = self.begun.get(step.row, 0) + 1, row.attempts.limit(self._inputs)
        if now == ALLOWED and isinstance(step, Intent) and tries > most:
            now, because = HELD, f"this was try {tries}, and {most} are allowed"
        return evolve(decision, now=now, because=because)

    def _judged(self, row: Row, values: Values, skipped: set[str]) -> tuple[str, str]:
        """Hold values against a row's guards; return the verdict and why."""
        waived = self.other.waived(row, {name: values[name] for name in self.other.stand_ins(row) & values.keys()})
        wanted = [
            (guard, fact, needed)
            for guard, fact, needed in self.other.wanted_of(row, waived)
            if fact not in skipped and not skipped & set(guard.unless)
        ]
        later = [each for each in ahead(self.other, row, self._inputs) if each.guard.foreseen.value == "refuse"]
        wanted += [(each.guard, fact, needed) for each in later for fact, needed in each.guard.requires.items()]
        unmet = [_unmet(*asked, values) for asked in wanted if values.get(asked[1]) not in asked[2]]
        certain = [words for words, known in unmet if known]
        if certain:
            return (WAITS, "; ".join(certain)) if row.wait else (REFUSED, self._refusal(row, certain))
        if unmet:
            return UNKNOWN, "; ".join(words for words, _ in unmet)
        return self._patience(row)

    def _patience(self, row: Row) -> tuple[str, str]:
        """Judge how long a row's wait took."""
        waited = self.waited.get(row.key, 0.0)
        if row.wait is not None:
            limit = row.wait.limit
            try:
                seconds = float(self._inputs[limit]) if isinstance(limit, str) else float(limit)
            except (KeyError, TypeError, ValueError):
                return UNKNOWN, f"the run has no number {limit} to wait for"
            if waited > seconds:
                return HELD, f"it waited {waited:g} s, and {seconds:g} s are allowed"
        return ALLOWED, ""

    def _refusal(self, row: Row, reasons: Sequence[str]) -> str:
        failures = list(self.other.rows_from(row.source, self._inputs, By.FAILURE))
        goes = f"it leads to {failures[0].to}" if failures else "the run is held"
        return f"{'; '.join(reasons)}; {goes}"

    def _done(self, record: Record, commit: Commit) -> Iterator[Decision]:
        """Judge an action that was seen to be done: by what the row sets now."""
        row = self._row(commit.row)
        if row is None or commit.undoes:
            return
        wrong = [
            f"{fact} was {commit.facts[fact].value or 'unknown'} afterwards, and the row sets {value}"
            for fact, value in row.sets.items()
            if fact in commit.facts and commit.facts[fact].value != value
        ]
        unread = [fact for fact in row.sets if fact not in commit.facts]
        decision = Decision(record.seq, record.at, commit.source, commit.trigger, ALLOWED, ALLOWED)
        if wrong:
            yield evolve(decision, now=HELD, because="; ".join(wrong))
        elif unread:
            yield evolve(decision, now=UNKNOWN, because=f"nobody read {', '.join(unread)} after it")

    def _taken_up(self, record: Record, intent: OpenIntent, then: str) -> Decision:
        """Judge what was done about an intent that was left open, by the row's effect now."""
        decision = Decision(record.seq, record.at, intent.source, f"{intent.trigger} (taken up)", then, then)
        row = self._row(intent.row)
        if row is None:
            now, because = self._without_row(intent.source, intent.trigger)
            return evolve(decision, now=now, because=because)
        facts: Mapping[str, Reading] = getattr(record.content, "facts", {})
        values = _values(facts)
        if any(fact not in values for fact in row.sets):
            return evolve(decision, now=UNKNOWN, because=f"what {row.trigger} sets was not read again")
        seen = probe(row.sets, values, intent.values) if row.sets else Probe.NOT_DONE
        case = decide(open_intent=True, effect=row.effect, probe=seen)
        if case.do is RecoveryAction.HOLD:
            return evolve(decision, now=HELD, because=f"case {case.letter}: {case.reason}")
        return decision

    def _held(self, record: Record, held: Held) -> Iterator[Decision]:
        """Judge a hold: one by a refusal, or where the run waited for a person."""
        if held.stage == "waiting":
            rows = list(self.other.rows_from(held.state, self._inputs, By.RUNNER))
            decision = Decision(record.seq, record.at, held.state, "waiting for a person", HELD, HELD)
            yield evolve(decision, now=ALLOWED, because=f"{rows[0].trigger} goes on by itself") if rows else decision
        elif not held.interrupted and _REFUSAL.search(held.reason):
            yield self._refused(record, held.state, held.stage, " ".join((held.reason, *held.findings)), None)

    def _refused(self, record: Record, state: str, stage: str, reason: str, commit: Commit | None) -> Decision:
        """Judge a refusal again, by the values that its words name and those that its guards must have held by."""
        then = REFUSED if commit is not None else HELD
        decision = Decision(record.seq, record.at, state, stage or "a failure", then, then)
        refused = {match["fact"]: match["value"] for match in _REFUSAL.finditer(reason)}
        row = self._by_trigger(self.other, state, stage)
        if row is None:
            now, because = self._without_row(state, stage)
            return evolve(decision, now=now if stage in self.recorded.triggers else then, because=because)
        if not refused:  # it failed, or could not be read: no guard decided
            return decision
        before = self._by_trigger(self.recorded, state, stage)
        values = {**self._must_have_been(before, row), **refused}
        now, because = self._judged(row, values, set())
        if now in (REFUSED, WAITS):
            return evolve(decision, because=because)
        return evolve(decision, now=now, because=because or f"{stage} would not be refused by what was seen")

    def _must_have_been(self, before: Row | None, row: Row) -> dict[str, str | None]:
        """Return for each fact a value that the row may rely on: what held then, where that is also enough now.

        All guards that did not hold are named in a refusal; so of each other one the fact had a value that it wanted.
        """
        if before is None:
            return {}
        held = {fact: set(needed) for _, fact, needed in self.recorded.wanted_of(before)}
        now = [(fact, needed) for _, fact, needed in self.other.wanted_of(row)]
        return {fact: needed[0] for fact, needed in now if fact in held and held[fact] <= set(needed)}

    def _rejected(self, record: Record, rejected: Rejected) -> Decision:
        """Judge what a person asked for and was refused."""
        decision = Decision(record.seq, record.at, rejected.state, rejected.trigger, REFUSED, REFUSED)
        row = self._by_trigger(self.other, rejected.state, rejected.trigger, By.OPERATOR)
        if row is None:
            return decision
        if _REFUSAL.search(rejected.why):
            again = self._refused(record, rejected.state, rejected.trigger, rejected.why, None)
            return evolve(again, then=REFUSED, now=REFUSED if again.now == HELD else again.now)
        return evolve(decision, now=ALLOWED, because=f"{row.trigger} may be asked for in {row.source}")

    # --- pieces ---------------------------------------------------------------------------------------

    @property
    def _inputs(self) -> Mapping[str, Any]:
        return {**self.defaults, **self.state.inputs}

    def _row(self, key: str) -> Row | None:
        try:
            return self.other.row_of(key, self._inputs)
        except KeyError:
            return None

    def _by_trigger(self, spec: MachineSpec, state: str, trigger: str, by: By | None = None) -> Row | None:
        return next((row for row in spec.rows_from(state, self._inputs, by) if row.trigger == trigger), None)

    def _without_row(self, state: str, trigger: str) -> tuple[str, str]:
        """Return what becomes of a step that has no such row, and why."""
        if state not in self.other.states:
            return ELSEWHERE, f"there is no state {state}"
        if (row := self._by_trigger(self.other, state, trigger)) is not None:
            return ELSEWHERE, f"{trigger} leads to {row.to}"
        instead = next(self.other.rows_from(state, self._inputs, By.RUNNER), None)
        if instead is not None:
            return ELSEWHERE, f"{instead.trigger} comes next in {state}, and leads to {instead.to}"
        return HELD, f"no row {trigger} leaves {state} for this run's inputs"

    def _compare(self, step: Transition, row: Row) -> None:
        """Note what a row would mean otherwise, though it is taken alike."""
        if isinstance(step, Intent):
            if (step.undo or "") != (row.undo or ""):
                then, now = step.undo or "nothing", row.undo or "nothing"
                self.remarks[f"an abort after {row.trigger} would undo it by {now}, not by {then}"] = None
            if step.point_of_no_return != row.point_of_no_return:
                word = "is" if row.point_of_no_return else "is no longer"
                self.remarks[f"{row.trigger} {word} the point of no return"] = None

    def _follow(self, record: Record, facts: Mapping[str, Reading]) -> None:
        """Hold the other declaration's never rules against what was read."""
        invariants, content = self._invariants, record.content
        if invariants is None:
            return
        if record.kind in ("lease_acquired", "resumed"):
            invariants.forget()
        if facts:
            invariants.read({name: reading for name, reading in facts.items() if name in self.other.facts})
        if isinstance(content, Transition):
            invariants.taken(content.trigger)
        if facts:
            invariants.hold(record.seq, content.to if isinstance(content, Commit) else self.state.state)
        row = self._row(content.row) if isinstance(content, Intent | Failed) else None
        if row is not None:
            invariants.changed(row.sets, but=facts if isinstance(content, Failed) else ())


def _values(facts: Mapping[str, Reading]) -> dict[str, str | None]:
    return {name: reading.value for name, reading in facts.items()}


def _unmet(guard: Guard, fact: str, needed: Iterable[str], values: Values) -> tuple[str, bool]:
    """Return in words why a guard does not hold, and whether that is known: a fact may never have been read."""
    value = values.get(fact)
    if fact not in values:
        return f"{guard.name} needs {fact}, which no record has read by then", False
    if value is None:
        return f"{guard.name} needs {fact}, which could not be read", True
    return f"{guard.name}: {fact} is {value}, needed {'|'.join(needed)}", True
