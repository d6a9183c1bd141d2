"""What an audit found wrong: each with its line, the rule that it breaks, and words."""

from collections.abc import Iterator

from attrs import define, field, frozen


@frozen
class Finding:
    """One thing that does not hold. ``line`` counts from 1 in the log (0: the log as a whole)."""

    line: int
    rule: str
    what: str

    @property
    def seq(self) -> int | None:
        """The record's own number, None for the log as a whole."""
        return self.line - 1 if self.line else None


@define
class Findings:
    """Collects findings and notes; the same thing on the same line is said once."""

    _findings: dict[Finding, None] = field(factory=dict)
    notes: list[str] = field(factory=list)
    rejudged: int = 0

    def add(self, seq: int | None, rule: str, what: str) -> None:
        """Remember that a record (None: the whole log) breaks a rule."""
        self._findings.setdefault(Finding(0 if seq is None else seq + 1, rule, what))

    def note(self, what: str) -> None:
        """Remember something that a reader should know and that breaks no rule."""
        if what not in self.notes:
            self.notes.append(what)

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings, those of the whole log first, then in the order of the lines."""
        return iter(sorted(self._findings, key=lambda finding: finding.line))
