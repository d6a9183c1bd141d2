"""What a run's report declares, understood without trusting it. The contract says how to read it.

A report names every artifact by a logical key, with path, SHA-256 and size; the contract says under which field, and
where an artifact of that path lies in the run. Whatever is wrong with a report is a problem that is told: another
run's report, that of a run that failed, an entry without a hash, a path that leads out of the run, a name that occurs
twice. Pure: no store, no files. Called by verification.py.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import frozen

from drfsm import claims
from drfsm.dr.workload import Report
from drfsm.errors import Unreadable

LARGEST_REPORT_BYTES = 32 << 20
"""What a report may have: some two hundred bytes an artifact, so a hundred thousand of them."""
TOLD = 400  # characters: a report may hold anything
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")

Found = tuple[str, int]
"""SHA-256 in hex and size in bytes."""


@frozen
class Problem:
    """Why something does not hold. ``kind``: missing, size, content, report (what the report says is at fault)."""

    path: str
    kind: str
    told: str

    @property
    def record(self) -> dict[str, str]:
        """As the journal carries it."""
        return {"path": self.path[:TOLD], "kind": self.kind, "told": self.told[:TOLD]}


@frozen
class Declared:
    """A report: the artifacts that it names, by where they lie in the run, and what is wrong with it."""

    sha256: str
    entries: Mapping[str, Found]
    named: int
    """How many entries it has, those that are at fault included."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with its entries, one each."""
    failed: tuple[Problem, ...] = ()
    """Why the run that it reports was no successful one."""


def declared(body: bytes, run_id: str | None, form: Report) -> Declared:
    """Understand a report. Whatever is wrong with it is a problem of its own; nothing is guessed.

    ``run_id``: whose report it must be; None takes it for whosever it is.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        report = claims.json_of(body, "it", largest_bytes=LARGEST_REPORT_BYTES)
    except Unreadable as fault:
        return _useless(sha256, form, fault.what)
    if not isinstance(report, Mapping):
        return _useless(sha256, form, "it is no object")
    if run_id is not None and (said := said_at(report, form.run_id)) != run_id:
        return _useless(sha256, form, f"it is the report of another run: {claims.bounded(said, 100)!r}")
    named = said_at(report, form.artifacts)
    if not isinstance(named, Mapping) or not named:
        return _useless(sha256, form, f"it names no {form.artifacts}")
    entries: dict[str, Found] = {}
    problems = []
    for logical_key, entry in named.items():
        if why := _entry_fault(entry):
            problems.append(Problem(logical_key, "report", why))
        elif (place := form.place_of(logical_key, entry["path"])) is None:
            problems.append(Problem(logical_key, "report", f"its name says no provider and profile: {entry['path']}"))
        elif entries.setdefault(place, content := (entry["sha256"].lower(), entry["bytes"])) != content:
            problems.append(Problem(logical_key, "report", f"{place} is named twice, with other content"))
    return Declared(sha256, entries, len(named), tuple(problems), tuple(_failed(report, form)))


def _failed(report: Mapping[str, Any], form: Report) -> Iterator[Problem]:
    """Yield what the report says that a successful run doesn't. What it doesn't say is no fault."""
    for field, wanted in form.succeeded.items():
        said = said_at(report, field)
        if not says_success(said, wanted):
            word = claims.bounded(str(said).lower() if isinstance(said, bool) else str(said), 100)
            yield Problem(form.key, "report", f"the run was not successful: {field} is {word}, not {wanted}")


def says_success(said: object, wanted: str) -> bool:
    """Return whether what a report says in one field is what a successful run says there, by the contract's word.

    The one meaning of ``report.succeeded``, for `runs verify` and for a comparison. Nothing, or null, says nothing, so
    it is no fault. Yes and no are ``true`` and ``false``; numbers are compared by value, texts by their characters.
    """
    if said is None:
        return True
    if isinstance(said, bool):
        return wanted.lower() == str(said).lower()
    if isinstance(said, int | float | Decimal):
        return _number(wanted) == _number(str(said)) is not None
    return said == wanted


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def said_at(report: Mapping[str, Any], field: str) -> Any:
    """Return what a report says at a dotted field; None where it says nothing."""
    value: Any = report
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _useless(sha256: str, form: Report, why: str) -> Declared:
    return Declared(sha256, {}, 1, (Problem(form.key, "report", why),))


def _entry_fault(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return "it is no object"
    path, sha256, size = (entry.get(name) for name in ("path", "sha256", "bytes"))
    if not isinstance(path, str) or _ODD.search(path) or any(part in ("", ".", "..") for part in path.split("/")):
        return f"{path!r} is no path inside the run"
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        return f"{path} has no SHA-256"
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return f"{path} has no size"
    return None
