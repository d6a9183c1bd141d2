"""What a run's report (``run_report.json``) declares, understood without trusting it.

A report names under ``verifiable_artifacts`` every artifact by a logical key, with path, SHA-256 and size.
Whatever is wrong with it is a problem that is told: another run's report, an entry without a hash, a path
that leads out of the run, a name that occurs twice. Pure: no store, no files. Called by verification.py.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from drfsm import claims
from drfsm.errors import Unreadable

REPORT = "run_report.json"
LARGEST_REPORT_BYTES = 32 << 20
"""What a report may have: some two hundred bytes an artifact, so a hundred thousand of them."""
TOLD = 400  # characters: a report may hold anything
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    """A report: the artifacts that it names, by their path, and what is wrong with it."""

    sha256: str
    entries: Mapping[str, Found]
    named: int
    """How many entries it has, those that are at fault included."""
    problems: tuple[Problem, ...] = ()


def declared(body: bytes, run_id: str | None) -> Declared:
    """Understand a report. Whatever is wrong with it is a problem of its own; nothing is guessed.

    ``run_id``: whose report it must be; None takes it for whosever it is.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        report = claims.json_of(body, "it", largest_bytes=LARGEST_REPORT_BYTES)
    except Unreadable as fault:
        return _useless(sha256, fault.what)
    if not isinstance(report, Mapping):
        return _useless(sha256, "it is no object")
    if run_id is not None and report.get("run_id") != run_id:
        return _useless(sha256, f"it is the report of another run: {claims.bounded(report.get('run_id'), 100)!r}")
    named = report.get("verifiable_artifacts")
    if not isinstance(named, Mapping) or not named:
        return _useless(sha256, "it names no verifiable_artifacts")
    entries: dict[str, Found] = {}
    problems = []
    for logical_key, entry in named.items():
        if why := _entry_fault(entry):
            problems.append(Problem(logical_key, "report", why))
        elif entries.setdefault(entry["path"], found := (entry["sha256"], entry["bytes"])) != found:
            problems.append(Problem(logical_key, "report", f"{entry['path']} is named twice, with other content"))
    return Declared(sha256, entries, len(named), tuple(problems))


def _useless(sha256: str, why: str) -> Declared:
    return Declared(sha256, {}, 1, (Problem(REPORT, "report", why),))


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
