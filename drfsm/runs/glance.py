"""A run at a glance, for `drfsm list`: what its summary says, if the summary is of the journal's last record.

Reads no more of a bundle than it must: the names in it, the one `<machine>.summary.json`, and the last line of
`state_transitions.log`. The SHA-256 of that line is the head of the whole chain; where the summary knows the same head,
it was derived from exactly these records. Anything else (no summary, one that is behind, a torn last line, fields of
another type) is no glance, and the caller folds the records.

A glance is no proof: a line that was altered in the middle of a journal is found by `status`, `resume` and `replay`,
which verify every line. Loads neither the records' types nor the fold.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from drfsm.claims import is_name, object_of
from drfsm.errors import DrfsmError
from drfsm.files import Directory

LOG = "state_transitions.log"
_SUMMARY = re.compile(r"[a-z][a-z0-9_]*\.summary\.json")
LARGEST_SUMMARY_BYTES = 4 << 20
_TAIL_BYTES = (4 << 10, 64 << 10)
"""How much of a journal's end is read at first, and where the last record is longer; still longer is no glance."""


class Glance(NamedTuple):
    """What `list` shows of a run. ``status`` as the summary has it: ``running`` says nothing of the process."""

    run_id: str
    machine: str
    status: str
    state: str
    started_at: str
    dry_run: bool


def glance(place: Path) -> Glance | None:
    """Return a run at a glance; None where its records have to be read. Raises nothing."""
    try:
        with Directory.look(place) as directory:
            names = [name for name in directory.names() if _SUMMARY.fullmatch(name)]
            raw = directory.read(names[0], LARGEST_SUMMARY_BYTES) if len(names) == 1 else None
            head = _head_of_the_log(directory) if raw else ""
        summary = object_of(raw or b"", "the summary", largest_bytes=LARGEST_SUMMARY_BYTES)
    except DrfsmError:  # whoever folds the records says what is wrong
        return None
    return of_summary(summary) if head and head == _known_head(summary) else None


def _head_of_the_log(directory: Directory) -> str:
    """Return the SHA-256 of a journal's last line, "" where that is torn or too long. Raises as ``Directory.read``."""
    size = directory.size(LOG)
    for most in _TAIL_BYTES:
        tail = directory.read(LOG, most, start=max(0, size - most)) if size else None
        if head := _head(tail or b"", whole=size <= most):
            return head
    return ""


def _head(tail: bytes, *, whole: bool) -> str:
    """Return the SHA-256 of the last line, "" if that is torn or longer than ``tail``. ``whole``: the tail is all."""
    start = tail.rfind(b"\n", 0, -1) + 1
    if not tail.endswith(b"\n") or not (start or whole):
        return ""
    return hashlib.sha256(tail[start:]).hexdigest()


def _known_head(summary: dict[str, Any]) -> object:
    journal = summary.get("journal")
    return journal.get("head") if isinstance(journal, dict) else None


def of_summary(summary: dict[str, Any]) -> Glance | None:
    """Return what a summary says at a glance, None where a field is missing or of another type."""
    fields = {name: summary.get(name) for name in Glance._fields}
    if not all(isinstance(value, bool if name == "dry_run" else str) for name, value in fields.items()):
        return None
    if not is_name("drfsm run", fields["run_id"]):
        return None
    return Glance(**fields)  # type: ignore[arg-type]  # their types were just checked
