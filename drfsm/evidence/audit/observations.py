"""Holds what a record says was seen against the declaration: guards complete and held, every reading judged again.

A judge is pure, so the recorded observation and the run's inputs must give the recorded value. Who alters a
value without what was seen, or the other way round, is found here. Called by kinds.py, once for each record.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from drfsm.evidence.audit.findings import Findings
from drfsm.journal.record_types import Check, ForeseenCheck, Reading, Transition
from drfsm.spec.foresight import ahead
from drfsm.spec.model import MachineSpec, Row

Judges = Mapping[str, Callable[[Any, Mapping[str, Any]], str | None]]
Declared = Mapping[tuple[str, str], tuple[list[str], str]]
"""(guard, fact) -> (values that will do, why)."""


class Observations:
    """Judges the readings of one run again."""

    def __init__(self, spec: MachineSpec, judges: Judges, findings: Findings) -> None:
        self._spec, self._judges, self._findings = spec, judges, findings
        self.inputs: Mapping[str, Any] = {}
        self._without_judge: dict[str, int] = {}

    def facts(self, seq: int, facts: Mapping[str, Reading]) -> None:
        """Judge every reading of a record again."""
        for name, reading in facts.items():
            self._reading(seq, name, reading.value, reading.seen)

    def declared(self, row: Row, facts: Mapping[str, Reading], skipped: Iterable[str] = ()) -> Declared:
        """Return the guards that a row has by what was read: of one that something stands in for, the stand-in.

        ``skipped`` facts are not held against anything (on a redo those that the row sets itself).
        """
        left_out = set(skipped)
        stand_ins = (self._spec.stand_ins(row) & facts.keys()) - left_out
        waived = self._spec.waived(row, {name: facts[name].value for name in stand_ins})
        return {
            (guard.name, fact): (list(values), guard.reason)
            for guard, fact, values in self._spec.wanted_of(row, waived)
            if fact not in left_out and not left_out & set(guard.unless)
        }

    def guards(self, seq: int, step: Transition, row: Row, *, skipped: Iterable[str] = ()) -> None:
        """Hold a record's guards against the row's: the same, all of them held, and as its facts say."""
        self.same_guards(seq, row, step.guards, self.declared(row, step.facts, skipped))
        for check in step.guards:
            if check.holds is not True or check.value not in check.needed:
                self._findings.add(
                    seq,
                    "guard_not_held",
                    f"{row.trigger} went on though {check.guard} does not hold: {check.fact} is "
                    f"{check.value}, needed {'|'.join(check.needed)}",
                    expected=list(check.needed),
                    found=check.value,
                )
            self._recorded(seq, check, step.facts)
        self.foreseen(seq, row, step.foreseen, step.facts)
        for later in step.foreseen:
            if later.refuses:
                self._findings.add(
                    seq,
                    "foreseen_refusal_passed",
                    f"{row.trigger} went on though {later.words}",
                    expected=list(later.needed),
                    found=later.value,
                )

    def foreseen(
        self,
        seq: int,
        row: Row,
        checks: Sequence[ForeseenCheck],
        facts: Mapping[str, Reading],
        skipped: Iterable[str] = (),
    ) -> None:
        """Hold what a record foresees against the guards of later rows: all that are declared, and as they are."""
        later = {each.guard.name: each for each in ahead(self._spec, row, self.inputs)}
        wanted = self.declared(evolve(row, guards=tuple(later)), facts, skipped)
        self.same_guards(seq, row, checks, wanted)
        for check in checks:
            self._recorded(seq, check, facts)
            each = later.get(check.guard)
            if each is None:
                continue  # said already
            recorded = (check.at, check.level, check.mend, check.waits, check.holds)
            fact, value = check.fact, check.value
            level, waits, holds = each.level(fact, value).value, each.waits(fact, value), value in check.needed
            if recorded != (each.row.trigger, level, each.guard.mend, waits, holds):
                self._findings.add(
                    seq, "foreseen_other_than_declared", f"{row.trigger}: {check.guard} is foreseen other than declared"
                )

    def _recorded(self, seq: int, check: Check, facts: Mapping[str, Reading]) -> None:
        """Judge again what a guard saw, and hold it against the record's own facts."""
        self.check(seq, check)
        reading = facts.get(check.fact)
        recorded = (reading.value, reading.seen) if reading else (None, None)
        if check.value != "unknown" and recorded != (check.value, check.seen):
            self._findings.add(
                seq,
                "guard_and_facts_disagree",
                f"{check.guard} and the record's facts disagree about {check.fact}",
                expected=list(recorded),
                found=[check.value, check.seen],
            )

    def same_guards(self, seq: int, row: Row, checks: Sequence[Check], declared: Declared) -> None:
        """Find guards that are declared and not on record, on record and not declared, or other than declared."""
        recorded = {(check.guard, check.fact): check for check in checks}
        for guard, fact in declared.keys() - recorded.keys():
            self._findings.add(
                seq,
                "guard_missing",
                f"{row.trigger}: the guard {guard} over {fact} is not on record",
                expected=f"{guard} over {fact}",
            )
        for guard, fact in recorded.keys() - declared.keys():
            self._findings.add(
                seq,
                "guard_undeclared",
                f"{row.trigger}: {guard} over {fact} is no guard of it here",
                found=f"{guard} over {fact}",
            )
        for key in recorded.keys() & declared.keys():
            if (list(recorded[key].needed), recorded[key].reason) != declared[key]:
                self._findings.add(
                    seq,
                    "guard_other_than_declared",
                    f"{row.trigger}: the guard {key[0]} is recorded other than declared",
                    expected=list(declared[key]),
                    found=[list(recorded[key].needed), recorded[key].reason],
                )
        if len(recorded) != len(checks):
            self._findings.add(seq, "guard_twice", f"{row.trigger}: a guard is on record twice")

    def check(self, seq: int, check: Check) -> None:
        """Judge again what a guard saw."""
        if check.value in (None, "unknown"):
            return  # its ``seen`` then holds words, not an observation
        self._reading(seq, check.fact, check.value, check.seen)

    def _reading(self, seq: int, name: str, value: str | None, seen: Any) -> None:
        if name not in self._spec.facts:
            self._findings.add(seq, "fact_undeclared", f"the declaration has no fact {name}", found=name)
            return
        values = self._spec.facts[name].values
        if self._spec.facts[name].hidden:
            self._findings.add(seq, "fact_is_hidden", f"{name} is hidden: nobody can have read it", found=name)
            return
        if value is not None and value not in values:
            self._findings.add(
                seq,
                "fact_value_undeclared",
                f"{name} is {value!r}, which is none of its values {', '.join(values)}",
                expected=list(values),
                found=value,
            )
        if value is None and seen is None:
            return  # nothing was seen, so there is nothing to judge
        judge = self._judges.get(name)
        if judge is None:
            self._without_judge[name] = self._without_judge.get(name, 0) + 1
            return
        self._findings.rejudged += 1
        try:
            again = judge(seen, self.inputs)
        except Exception as fault:  # noqa: BLE001  the record is not ours: any failure on it is what we look for
            if value is None:
                return  # it was recorded as unknown, and it is
            self._findings.add(
                seq,
                "observation_unreadable",
                f"{name}: what was seen can't be judged ({type(fault).__name__}: {fault})",
                expected=value,
                found=f"{type(fault).__name__}: {fault}",
            )
            return
        if again != value and not (value is None and again not in values):
            self._findings.add(
                seq,
                "judged_otherwise",
                f"{name} is recorded as {value or 'unknown'}, but what was seen says {again or 'unknown'}",
                expected=again or "unknown",
                found=value or "unknown",
            )

    def note_missing_judges(self) -> None:
        """Note what could not be judged again for want of a judge."""
        if self._without_judge:
            count = sum(self._without_judge.values())
            self._findings.add(
                None,
                "not_judged_again",
                f"{count} observations of {', '.join(self._without_judge)} were not judged again: "
                "no judge for them was handed in",
            )
