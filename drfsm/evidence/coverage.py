"""Which parts of a declared machine were ever exercised, by the records of runs: when last, live or in a drill.

    row        a row that was taken                               its commit
    failure    a failure's row that was taken                     likewise
    undo       the undo of a row that was done                    the commit that undoes it
    hold       a run that was held in a state, at a step          a held record
    recovery   a case of spec/recovery.py, for a row that acts    what followed an intent that was left open

A dry run exercises nothing. A run under another declaration counts for the rows that are still the same by name, and is
told apart: *older*. What a run did that the machine has no more is counted as such. Case A (nothing was begun) is the
row itself. Pure: whoever calls hands in the runs, and says whether the evidence of each holds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from drfsm.evidence.wording import source_of, trigger_of
from drfsm.journal import OpenIntent, Record, RunState, fold
from drfsm.journal.record_types import Commit, Held, Intent
from drfsm.journal.undoing import acts
from drfsm.spec.course import Paint
from drfsm.spec.model import By, Effect, MachineSpec, Row
from drfsm.spec.recovery import CASES

_USES = ("live", "drill", "older")
KINDS = ("row", "failure", "undo", "hold", "recovery")
SCHEMA_VERSION = 1
_BEFORE_A_ROW = ("waiting", "between two steps", "telling", "forecast")
"""Stages of a hold that are no step of the machine."""
_CASES = {case.letter: case for case in CASES if case.open_intent}


@frozen
class Use:
    """One time that a part was exercised."""

    at: str
    run_id: str
    scope: str  # live | drill
    machine_sha256: str


@frozen
class Part:
    """One part of the machine, and its last uses. ``row``: the key of its row, "" for a hold, which is of a state."""

    kind: str
    name: str
    state: str
    row: str = ""
    line: int = 0
    about: str = ""
    uses: Mapping[str, Use] = field(factory=dict)  # live, drill, older (under another declaration) -> the last one
    times: int = 0

    @property
    def verdict(self) -> str:
        """How well it is covered: live, drill, older (under another declaration only), or never."""
        return next((name for name in _USES if name in self.uses), "never")

    @property
    def last(self) -> Use | None:
        """The newest use under this declaration, else the newest at all."""
        under_this = [use for name, use in self.uses.items() if name != "older"]
        return max(under_this, key=lambda use: use.at) if under_this else self.uses.get("older")


@define
class Coverage:
    """What a machine's runs exercised. Hand in each run with ``add``; then ask for ``parts``."""

    spec: MachineSpec
    runs: int = 0
    dry_runs: int = 0
    gone: dict[str, int] = field(factory=dict)  # what runs did that the machine has no more -> how often
    _parts: dict[tuple[str, ...], Part] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Lay out every part, in the order of the declaration."""
        self._parts = {_key(part): part for part in _parts_of(self.spec)}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part."""
        return tuple(self._parts.values())

    def add(self, records: Sequence[Record]) -> None:
        """Count what one run exercised. Raises JournalDamaged for records that can't be understood."""
        state = RunState()
        for record in records:
            before, state = state, fold([record], state)
            if not state.dry_run:
                for key in self._exercised(record, before):
                    self._count(key, record, state)
        self.runs += not state.dry_run
        self.dry_runs += state.dry_run

    def _exercised(self, record: Record, before: RunState) -> Iterator[tuple[str, ...]]:
        """Yield the keys of what one record shows. ``before``: where the run stood."""
        content = record.content
        if isinstance(content, Commit):
            kind = "failure" if content.by == "failure" else "row"
            yield self._row_key(kind, content.row, before)
            if content.undoes:
                yield self._row_key("undo", content.undoes, before)
        if isinstance(content, Held):
            yield from self._held(content)
        if before.open is not None and (letter := _case(record, before.open)):
            yield ("recovery", before.open.row, self._line(before.open.row, before), letter)

    def _held(self, held: Held) -> Iterator[tuple[str, ...]]:
        stage = "" if held.stage in _BEFORE_A_ROW else held.stage
        yield ("hold", held.state, stage if ("hold", held.state, stage) in self._parts else "")

    def _row_key(self, kind: str, key: str, state: RunState) -> tuple[str, ...]:
        return (kind, key, self._line(key, state))

    def _line(self, key: str, state: RunState) -> str:
        """Return the line of the row that a record names; "" where the machine has none for these inputs."""
        try:
            return str(self.spec.row_of(key, state.inputs).line)
        except KeyError:
            same = [row for row in self.spec.rows if row.key == key]  # an older run lacks inputs
            return str(same[0].line) if len(same) == 1 else ""

    def _count(self, key: tuple[str, ...], record: Record, state: RunState) -> None:
        part = self._parts.get(key)
        if part is None:
            said = f"{key[0]} {key[1]}" + (f" {key[-1]}" if key[0] in ("hold", "recovery") and key[-1] else "")
            self.gone[said] = self.gone.get(said, 0) + 1
            return
        use = Use(record.at, state.run_id, state.scope, state.machine_sha256)
        of_this = "live" if state.scope == "live" else "drill"
        name = of_this if state.machine_sha256 == self.spec.sha256 else "older"
        before = part.uses.get(name)
        newest = use if before is None or use.at > before.at else before
        self._parts[key] = evolve(part, uses={**part.uses, name: newest}, times=part.times + 1)


def _key(part: Part) -> tuple[str, ...]:
    if part.kind == "hold":
        return ("hold", part.state, part.name)
    if part.kind == "recovery":
        return ("recovery", part.row, str(part.line), part.name)
    return (part.kind, part.row, str(part.line))


def _parts_of(spec: MachineSpec) -> Iterator[Part]:
    """Yield every part of a machine."""
    for row in spec.rows:
        kind = "failure" if row.by is By.FAILURE else "row"
        yield Part(kind, row.trigger, row.source, row.key, row.line, row.reason)
    for row in spec.rows:
        if row.undo:
            yield Part("undo", row.undo, row.source, row.key, row.line, f"gives back {row.trigger}")
    yield from _holds(spec)
    for row in spec.rows:
        yield from _recoveries(row)


def _holds(spec: MachineSpec) -> Iterator[Part]:
    """Yield where a run can be held: in a state that only a person leaves, and at each step of the runner."""
    for state in spec.states:
        if state in spec.finals:
            continue
        rows = [row for row in spec.rows if row.source == state and row.by is By.RUNNER]
        about = "it stops between two steps" if rows else "it waits for a person"
        yield Part("hold", "", state, about=about)
        for trigger in dict.fromkeys(row.trigger for row in rows):
            yield Part("hold", trigger, state, about=f"{trigger} fails, is refused, or can't read")


def _recoveries(row: Row) -> Iterator[Part]:
    """Yield the cases of the recovery table that a row can meet."""
    if not acts(row):
        return
    for letter, case in _CASES.items():
        if (Effect.IDEMPOTENT if row.foreach == "undo" else row.effect) in case.effects:  # an undo restores a snapshot
            yield Part("recovery", letter, row.source, row.key, row.line, f"{row.trigger} was cut off: {case.reason}")


def _case(record: Record, intent: OpenIntent) -> str:
    """Return the letter of the case by which an open intent was taken up by a record; "" where it was not."""
    content = record.content
    if isinstance(content, Commit) and content.row == intent.row:
        return "C" if content.case == "C" else ""
    if isinstance(content, Intent) and content.row == intent.row:
        return "B" if content.effect == "none" else "D"
    if isinstance(content, Held) and content.stage == intent.trigger:
        return next((letter for letter in "EF" if _CASES[letter].reason in content.reason), "")
    return ""


# --- told ---------------------------------------------------------------------------------------------------------


def document(coverage: Coverage, left_out: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the coverage as JSON. ``left_out``: runs that were not counted, each with its reason."""
    parts = coverage.parts
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": coverage.spec.name,
        "machine_sha256": coverage.spec.sha256,
        "runs": coverage.runs,
        "dry_runs": coverage.dry_runs,
        "left_out": [dict(run) for run in left_out],
        "summary": {kind: _summary(part for part in parts if part.kind == kind) for kind in KINDS},
        "parts": [_json(part) for part in parts],
        "gone": [{"what": what, "times": times} for what, times in coverage.gone.items()],
    }


def _summary(parts: Iterable[Part]) -> dict[str, int]:
    verdicts = [part.verdict for part in parts]
    return {"parts": len(verdicts), **{word: verdicts.count(word) for word in (*_USES, "never")}}


def _json(part: Part) -> dict[str, Any]:
    never = {"none": "no record of the runs that were counted shows it"}
    uses = {name: _use(part.uses.get(name)) or never for name in _USES}
    return {
        "kind": part.kind,
        "name": part.name or "between two steps",
        "state": part.state,
        "row": part.row or {"none": "a hold belongs to a state"},
        "about": part.about,
        "covered": part.verdict,
        "times": part.times,
        "last_live": uses["live"],
        "last_drill": uses["drill"],
        "last_older": uses["older"],
    }


def _use(use: Use | None) -> dict[str, str] | None:
    if use is None:
        return None
    return {"at": use.at, "run_id": use.run_id, "machine_sha256": use.machine_sha256}


def lines(coverage: Coverage, *, only_never: bool = False) -> Iterator[str]:
    """Yield the coverage in words: a line a part below a heading a kind, then how much of each kind is covered."""
    titles = {
        "row": "Rows", "failure": "Failures' rows", "undo": "Undos", "hold": "Holds", "recovery": "Recovery cases",
    }  # fmt: skip
    for kind in KINDS:
        parts = [part for part in coverage.parts if part.kind == kind]
        shown = [part for part in parts if not only_never or part.verdict == "never"]
        if shown:
            yield f"{titles[kind]}:"
        for alike in _alike(shown):
            part = alike[0]
            when = f"{part.last.at[:10]}  {part.last.run_id}" if part.last else part.about if len(alike) == 1 else ""
            yield f"  {_WORDS[part.verdict]:<6} {_named(alike):<58} {when}".rstrip()
    for kind in KINDS:
        found = _summary(part for part in coverage.parts if part.kind == kind)
        if found["parts"]:
            yield (
                f"{titles[kind]}: {found['live']} live, {found['drill']} in drills, {found['older']} under an older"
                f" declaration only, {found['never']} of {found['parts']} NEVER"
            )


_WORDS = {"live": "live", "drill": "drill", "older": "older", "never": "NEVER"}


def _alike(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts that one line tells: the cases of one row that are covered alike; else one by one."""
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for number, part in enumerate(parts):
        key = (part.row, part.line, part.verdict, part.last) if part.kind == "recovery" else (number,)
        groups.setdefault(key, []).append(part)
    yield from groups.values()


def _named(alike: Sequence[Part]) -> str:
    part = alike[0]
    if part.kind == "hold":
        return f"{part.state} at {part.name}" if part.name else part.state
    if part.kind == "recovery":
        letters = f"case{'s' * (len(alike) > 1)} {', '.join(case.name for case in alike)}"
        return f"{letters} of {trigger_of(part.row)} in {source_of(part.row)}"
    return f"{part.name} in {part.state}"


def paint(coverage: Coverage) -> Paint:
    """Return the colours of the machine's drawing: each row, and each state by the runs that reached or left it."""
    rows = {(part.row, part.line): part.verdict for part in coverage.parts if part.kind in ("row", "failure")}
    rank = (*_USES, "never")
    states: dict[str, str] = {}
    for row in coverage.spec.rows:
        verdict = rows[row.key, row.line]
        for state in (row.source, row.to):
            states[state] = min(states.get(state, "never"), verdict, key=rank.index)
    covered = sum(verdict != "never" for verdict in rows.values())
    return Paint(
        title=f"{coverage.spec.name}: {covered} of {len(rows)} rows were exercised, by {coverage.runs} runs",
        rows=rows,
        states=states,
        legend={
            "live": "live", "drill": "in a drill only", "older": "under an older declaration only", "never": "never",
        },
    )  # fmt: skip
