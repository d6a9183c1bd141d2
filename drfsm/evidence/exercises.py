"""The record of an exercise: a journal of its own, and what follows from it.

    {"prev":…,"seq":0,"at":…,"kind":"exercise_started","body":{…}}

The lines are chained as those of a run are (journal/chain.py): each names the SHA-256 of the line before. What may
follow what is small enough to stand here: it begins with its plan; while it is open, notes, runs and deficiencies are
added; it is attested, then closed; after that deficiencies alone may be added and closed, as their retest comes later.
The record (``record_of``) is a function of the lines. Pure: runs/exercises.py keeps the files.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import json_of
from drfsm.errors import DrfsmError, EvidenceFault, ExitCode, Unreadable
from drfsm.journal import GENESIS, Record, digest

SCHEMA_VERSION = 1
Fields = dict[str, Any]
_FIELDS = ["prev", "seq", "at", "kind", "body"]
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "exercise_started": ("plan", "plan_sha256", "by", "proven"),
    "noted": ("text", "by"),
    "run_included": ("run",),
    "deficiency_found": ("title", "severity", "owner", "due", "by"),
    "deficiency_closed": ("number", "retest", "by"),
    "attested": ("result", "name", "role", "notes", "criteria", "by", "proven"),
    "exercise_closed": ("by", "next_due"),
}
"""Every kind of record, and the keys that its body must have."""
_AFTER_THE_END = ("deficiency_found", "deficiency_closed")
_NO_TABLE = ("tabletop", "walkthrough")
"""Kinds of exercises that may be closed without a run."""
_HINT = "keep the file as it is for the investigation; take the exercise's record from a bundle that it includes"


class ExerciseRefused(DrfsmError):
    """What was asked for does not fit where an exercise stands. Nothing was recorded."""

    exit_code = ExitCode.REFUSED
    fault = "operator"


@frozen
class Exercise:
    """An exercise as its journal has it."""

    records: tuple[Record, ...]
    head: str

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.records[0].body["plan"]["exercise"])

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self.of("exercise_closed"))

    @property
    def attested(self) -> bool:
        """Whether somebody said that it was passed or failed."""
        return bool(self.of("attested"))

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan, as it was recorded."""
        plan: Mapping[str, Any] = self.records[0].body["plan"]
        return plan

    def of(self, kind: str) -> list[Record]:
        """Return its records of a kind, oldest first."""
        return [record for record in self.records if record.kind == kind]

    def objectives(self, machine: str) -> Mapping[str, float]:
        """Return the objectives that the plan sets for a procedure, in seconds."""
        found: Mapping[str, float] = self.plan["procedures"].get(machine, {})
        return found

    def lacks(self) -> list[str]:
        """Return, in words, what keeps it from being closed."""
        lacking = [] if self.attested else ["nobody has attested that it was passed or failed"]
        if not self.of("run_included") and self.plan["kind"] not in _NO_TABLE:
            lacking.append(f"it includes no run, and its kind is {self.plan['kind']}")
        if self.attested:
            said = self.of("attested")[-1].body["criteria"]
            count = len(self.plan["success_criteria"])
            unsaid = [str(number) for number in range(1, count + 1) if str(number) not in said]
            lacking += [f"the attestation says nothing of criterion {number}" for number in unsaid]
        return lacking

    def short(self) -> list[str]:
        """Return, in words, where its runs fall short: of an objective, or of evidence that holds."""
        told = []
        for run in _runs(self):
            for what in ("recovery_time", "recovery_point"):
                figure = run[what]
                if figure.get("within") is False:
                    limit = f"{figure['objective_seconds']:g} s were the objective"
                    told.append(f"{run['run_id']}: {what.replace('_', ' ')} {figure['seconds']:g} s, and {limit}")
            if run["verdict"] == "does not hold":
                told.append(f"{run['run_id']}: its evidence does not hold")
        return told

    def check(self, kind: str, body: Mapping[str, Any]) -> None:
        """Raise ExerciseRefused where a record of this kind can't follow."""
        if self.closed and kind not in _AFTER_THE_END:
            raise ExerciseRefused(
                f"the exercise {self.id} is closed: only deficiencies may still be added or closed",
                hint=f"drfsm exercise deficiency --exercise {self.id} ...",
            )
        if kind == "deficiency_closed":
            self._check_closing(int(body["number"]))
        if kind == "exercise_closed" and (lacking := self.lacks()):
            raise ExerciseRefused(
                f"the exercise {self.id} can't be closed: {'; '.join(lacking)}", hint=_ways(self.id, lacking)
            )
        if kind == "attested":
            count = len(self.plan["success_criteria"])
            wrong = [number for number in body["criteria"] if not 1 <= int(number) <= count]
            if wrong:
                raise ExerciseRefused(
                    f"the plan has no criterion {wrong[0]}", hint=f"its criteria are 1 to {count}: drfsm exercise show"
                )

    def _check_closing(self, number: int) -> None:
        found = self.of("deficiency_found")
        if not 1 <= number <= len(found):
            raise ExerciseRefused(
                f"the exercise {self.id} has no deficiency {number}", hint="drfsm exercise show lists them"
            )
        if any(record.body["number"] == number for record in self.of("deficiency_closed")):
            raise ExerciseRefused(f"deficiency {number} is closed already", hint="drfsm exercise show")


def _ways(exercise: str, lacking: Sequence[str]) -> str:
    """Return the command for the first thing that is lacking."""
    if "attest" in lacking[0]:
        return f"drfsm exercise attest passed --exercise {exercise} --name NAME --role ROLE --criterion 1=met ..."
    return f"drfsm exercise include BUNDLE --exercise {exercise}"


# --- the lines ----------------------------------------------------------------------------------------------------


def read(lines: Iterable[bytes], source: str) -> Exercise:
    """Read and verify an exercise's journal. Raises EvidenceFault, naming the line, for any damage."""
    records: list[Record] = []
    head = GENESIS
    for number, line in enumerate(lines, start=1):
        record = _read_line(line, head, number, source)
        if record.kind not in _NEEDED or any(key not in record.body for key in _NEEDED[record.kind]):
            raise _damage(source, number, f"is no {record.kind!r} record of an exercise")
        if (record.kind == "exercise_started") != (number == 1):
            raise _damage(source, number, f"is a {record.kind} record in the wrong place")
        if records:
            _follows(Exercise(tuple(records), head), record, source)
        records.append(record)
        head = digest(line)
    if not records:
        raise EvidenceFault(f"{source} holds no exercise", hint=_HINT)
    return Exercise(tuple(records), head)


def _follows(before: Exercise, record: Record, source: str) -> None:
    try:
        before.check(record.kind, record.body)
    except (ExerciseRefused, TypeError, ValueError, AttributeError) as fault:
        raise _damage(source, record.seq + 1, f"can't follow the line before it ({fault})") from None


def _read_line(line: bytes, head: str, number: int, source: str) -> Record:
    if not line.endswith(b"\n"):
        raise _damage(source, number, "has no newline: it was torn, or cut off")
    try:
        fields = json_of(line, f"line {number}")
    except Unreadable as fault:
        raise _damage(source, number, f"is not a JSON record ({fault.what})") from None
    if not isinstance(fields, dict) or list(fields) != _FIELDS:
        raise _damage(source, number, f"does not have exactly the fields {', '.join(_FIELDS)}")
    if fields["prev"] != head or fields["seq"] != number - 1:
        raise _damage(
            source, number, "does not follow the line before it: one of the two was altered, removed or inserted"
        )
    if not isinstance(fields["body"], dict) or not all(isinstance(fields[key], str) for key in ("at", "kind")):
        raise _damage(source, number, "has a body that is not an object, or a time or kind that is not a text")
    return Record(fields["seq"], fields["kind"], fields["at"], fields["body"])


def _damage(source: str, number: int, what: str) -> EvidenceFault:
    return EvidenceFault(f"{source}: line {number} {what}", hint=_HINT)


# --- the record ---------------------------------------------------------------------------------------------------


def checked_record(lines: Iterable[bytes], source: str) -> Fields:
    """Return the record of an exercise whose journal somebody else may have written.

    Raises EvidenceFault for a damaged journal, and for one whose record does not fit its schema.
    """
    from drfsm.evidence.receipts import check
    from drfsm.evidence.schemas.exercise import EXERCISE

    try:
        record = record_of(read(lines, source))
        faults = check(record, EXERCISE.schema)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        why = f"{type(fault).__name__}: {fault}"
        raise EvidenceFault(f"{source} holds what is no exercise ({why})", hint=_HINT) from None
    if faults:
        raise EvidenceFault(f"{source} holds what is no exercise: {'; '.join(faults[:3])}", hint=_HINT)
    return record


def record_of(exercise: Exercise) -> Fields:
    """Return the record of an exercise: exercise.yaml, as evidence/schemas/exercise.py declares it."""
    plan, first = dict(exercise.plan), exercise.records[0]
    attested = exercise.of("attested")[-1:]
    closed = exercise.of("exercise_closed")[-1:]
    criteria = attested[0].body["criteria"] if attested else {}
    optional = (
        "based_on", "reported_to", "assumptions", "out_of_scope", "third_parties", "observers", "announced",
        "disaster_at", "next_due",
    )  # fmt: skip
    return {
        "schema_version": SCHEMA_VERSION,
        **{name: value for name, value in plan.items() if name not in optional},
        **{name: plan.get(name, {"none": "the plan says nothing of it"}) for name in optional},
        **({"next_due": closed[0].body["next_due"]} if closed and closed[0].body["next_due"] else {}),
        "success_criteria": [
            {"criterion": words, "met": _met(criteria, number)}
            for number, words in enumerate(plan["success_criteria"], start=1)
        ],
        "plan_sha256": first.body["plan_sha256"],
        "started_at": first.at,
        "started_by": first.body["by"],
        "closed_at": closed[0].at if closed else {"unknown": "it is not closed yet"},
        "notes": [{"at": note.at, "by": note.body["by"], "text": note.body["text"]} for note in exercise.of("noted")],
        "runs": _runs(exercise),
        "deficiencies": _deficiencies(exercise),
        "result": attested[0].body["result"] if attested else {"unknown": "nobody has attested it yet"},
        "attestation": _attestation(attested[0]) if attested else {"unknown": "nobody has attested it yet"},
        "journal": {"records": len(exercise.records), "head": exercise.head},
    }


def _met(criteria: Mapping[str, Any], number: int) -> Any:
    return criteria.get(str(number), {"unknown": "the attestation does not say it"})


def _runs(exercise: Exercise) -> list[Any]:
    """Return the runs, each as it was included last."""
    runs = {record.body["run"]["run_id"]: record.body["run"] for record in exercise.of("run_included")}
    return list(runs.values())


def _attestation(record: Record) -> Fields:
    return {**{name: record.body[name] for name in ("result", "name", "role", "notes", "proven")}, "at": record.at}


def _deficiencies(exercise: Exercise) -> list[Fields]:
    closed = {record.body["number"]: record for record in exercise.of("deficiency_closed")}
    told = []
    for number, record in enumerate(exercise.of("deficiency_found"), start=1):
        end = closed.get(number)
        told.append(
            {
                "number": number,
                **{name: record.body[name] for name in ("title", "severity", "owner", "due")},
                "found_at": record.at,
                "status": "closed" if end else "open",
                "retest": end.body["retest"] if end else {"none": "it is open"},
                "closed_at": end.at if end else {"none": "it is open"},
            }
        )
    return told


def yaml_text(record: Mapping[str, Any]) -> bytes:
    """Return a record as the bytes of its file: YAML that a person reads, with the same value as its JSON."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes every value where it stands."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  yaml's signature
            """Write no alias."""
            return True

    plain = json.loads(json.dumps(record))
    text: str = yaml.dump(plain, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=False)
    return text.encode()
