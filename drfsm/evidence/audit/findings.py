"""What an audit found: each with its line, its code, words, and what was expected and found instead."""

from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from drfsm.claims import bounded
from drfsm.evidence.audit.codes import ERROR, code_of

_SHOWN = 500  # characters of a value that is expected or found


@frozen
class Finding:
    """One thing that was found. ``line`` counts from 1 in the log (0: not one line of it).

    ``code`` is in the table of codes.py, which says what it means and how much it weighs. ``expected`` and ``found``
    are JSON, or None where the words say it all. ``file`` is a path in the bundle, "" for the log.
    """

    line: int
    code: str
    what: str
    expected: Any = field(default=None, eq=False)
    found: Any = field(default=None, eq=False)
    file: str = ""

    @property
    def rule(self) -> str:
        """The rule that is broken."""
        return code_of(self.code).rule

    @property
    def severity(self) -> str:
        """How much it weighs: error, remark or note."""
        return code_of(self.code).severity

    @property
    def seq(self) -> int | None:
        """The record's own number, None for the log as a whole."""
        return self.line - 1 if self.line else None

    @property
    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "code": self.code,
            "rule": self.rule,
            "severity": self.severity,
            "file": self.file,
            "line": self.line or None,
            "seq": self.seq,
            "what": self.what,
            "expected": shown(self.expected),
            "found": shown(self.found),
        }


def shown(value: Any) -> str | None:
    """Return a value that was expected or found as bounded text: a text as it is, all else as JSON."""
    import json

    if value is None:
        return None
    return bounded(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), _SHOWN)


@define
class Findings:
    """Collects findings; the same thing on the same line is said once."""

    _findings: dict[Finding, None] = field(factory=dict)
    rejudged: int = 0

    def add(self, seq: int | None, code: str, what: str, *, expected: Any = None, found: Any = None) -> None:
        """Remember what was found of a record (None: of the whole log)."""
        self.put(Finding(0 if seq is None else seq + 1, code, what, expected, found))

    def put(self, finding: Finding) -> None:
        """Remember a finding."""
        self._findings.setdefault(finding)

    @property
    def notes(self) -> list[str]:
        """What a reader should know and what breaks no rule, in the order in which it was found."""
        return list(dict.fromkeys(finding.what for finding in self._findings if finding.severity != ERROR))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What does not hold, in the order of the lines."""
        return tuple(finding for finding in self if finding.severity == ERROR)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What breaks no rule, in the order of the lines."""
        return tuple(finding for finding in self if finding.severity != ERROR)

    def __len__(self) -> int:
        """Return how many findings there are."""
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings, those of the whole log first, then in the order of the lines."""
        return iter(sorted(self._findings, key=lambda finding: finding.line))
