"""One log for each step of a run, for people: what was seen, tried, done, and when.

Derived from the records alone, so the same records give the same bytes, whichever process wrote them. Called
after every record (a subscriber of the runner's) with the bundle writing the files.
"""

import re

from drfsm.claims import printable
from drfsm.evidence.narrative import lines_of
from drfsm.evidence.wording import moment, step_of
from drfsm.journal import Record

_SEEN_WIDTH = 4000
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_LENGTH = 60


class StepFiles:
    """The step logs of one run. A record that was added before changes nothing."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}  # trigger -> file name
        self._text: dict[str, list[str]] = {}  # file name -> lines
        self._known = -1  # the last record's seq

    def add(self, record: Record) -> dict[str, bytes]:
        """Return {file name: whole content} of the log that a record belongs to; {} for a record of no step."""
        trigger = step_of(record)
        if not trigger or (record.kind == "held" and trigger not in self._files):
            return {}
        name = self._files.setdefault(trigger, f"{len(self._files) + 1:02}-{_fit(trigger)}.log")
        lines = self._text.setdefault(name, [printable(trigger)])
        if record.seq > self._known:
            first, *rest = lines_of(record, _SEEN_WIDTH)
            lines += [f"{moment(record.at)} #{record.seq} {first}", *(f"    {line}" for line in rest)]
            self._known = record.seq
        return {name: ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")}


def _fit(trigger: str) -> str:
    """Return a trigger as part of a file name: a journal that was tampered with names no other directory."""
    return _NO_NAME.sub("_", trigger)[:_NAME_LENGTH]
