"""One run's records, judged: what `drfsm report`, `coverage` and `replay --under` ask of an audit, and nothing more.

The only place of these commands that knows which audit there is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.claims import printable
from drfsm.cli.replay import bound, logged, readable
from drfsm.evidence.report.document import Judged
from drfsm.journal.record_types import RunStarted

if TYPE_CHECKING:
    from drfsm.evidence.audit import Verdict
    from drfsm.journal import Record
    from drfsm.spec import MachineSpec


@frozen
class JudgedRun:
    """A run's records and its declaration, with what an audit says of them. ``place``: its bundle, or an address."""

    place: str
    records: Sequence["Record"]
    spec: "MachineSpec"
    judged: Judged
    head: str

    @property
    def run_id(self) -> str:
        """The run's id; "" where the journal holds no run."""
        started = self.records[0].content if self.records else None
        return started.run_id if isinstance(started, RunStarted) else ""


def judged_run(named: str | None, machines: Sequence[str] = ()) -> JudgedRun:
    """Read a bundle or a mirror, and audit it. ``machines``: digests of declarations that are trusted.

    Raises what reading raises: UsageFault, JournalDamaged, EvidenceFault.
    """
    from drfsm.evidence.audit import audit
    from drfsm.runs import selection, trust

    raw, spec, beside = logged(named)
    origin = trust.origin_of(spec.sha256, trust.trusted_machines(machines, os.environ))
    judges, late = bound(spec.name)
    verdict = audit(raw, spec, judges=judges, late=late, origin=origin, beside=beside)
    is_mirror = named is not None and named.startswith("s3://")
    place = str(named) if is_mirror else str(selection.find(named, to_read=True))
    return JudgedRun(place, readable(raw), spec, _judged(verdict), verdict.head)


def _judged(verdict: "Verdict") -> Judged:
    remarks = tuple(_remarks(verdict))
    word = "does not hold" if not verdict.ok else "holds with remarks" if remarks else "holds"
    by = f", {verdict.origin}" if verdict.origin else ""
    words = (
        f"{verdict.records} records, held against {verdict.machine}{by}; {verdict.rejudged} observations judged again"
    )
    findings = tuple(
        printable(f"{f'line {finding.line}: ' if finding.line else ''}{finding.what} [{finding.rule}]")
        for finding in verdict.findings
    )
    return Judged(word, printable(words), findings, remarks, verdict.rejudged)


def _remarks(verdict: "Verdict") -> Iterator[str]:
    yield from map(printable, verdict.notes)
    if not verdict.finished:
        yield "the run has not finished: as far as its journal goes, this is what it says"
    yield "chained, and not signed: only a copy of the head elsewhere shows that the log is complete"


def beside(place: str) -> Path | None:
    """Return the directory of a bundle; None for a mirror."""
    return None if place.startswith("s3://") else Path(place)
