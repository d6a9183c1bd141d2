"""One run's records, judged: what `drfsm report`, `coverage` and `replay --under` ask of an audit, and nothing more.

The only place of these commands that knows which audit there is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from drfsm.claims import printable
from drfsm.cli.replay import bound, logged, plan_beside, readable
from drfsm.evidence.audit.code import ERROR, NOTE, REMARK
from drfsm.evidence.report.document import Judged
from drfsm.journal.record_types import RunStarted

if TYPE_CHECKING:
    from drfsm.evidence.audit import Verdict
    from drfsm.evidence.audit.findings import Finding
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
    from drfsm.runs import approvals, selection, trust

    lines, spec, anchor = logged(named)
    origin = trust.origin_of(spec.sha256, trust.trusted_machines(machines, os.environ))
    judges, late, pairs = bound(spec.name)
    verdict = audit(
        lines(), spec, judges=judges, late=late, bound=pairs, origin=origin, beside=anchor, plan=plan_beside(named),
        **approvals.checking(),
    )  # fmt: skip
    is_mirror = named is not None and named.startswith("s3://")
    place = str(named) if is_mirror else str(selection.find(named, to_read=True))
    judged = _judged(verdict, tuple(_of_seals(beside(place))))
    return JudgedRun(place, tuple(readable(lines())), spec, judged, verdict.head)


def _judged(verdict: "Verdict", seals: Sequence["Finding"]) -> Judged:
    """Return the verdict on a log and on its seals in one."""
    found = [*verdict.findings, *verdict.remarks, *seals]
    faults = tuple(_told(finding) for finding in found if finding.severity == ERROR)
    remarks = tuple(printable(finding.what) for finding in found if finding.severity == REMARK)
    if not verdict.finished:
        remarks = (*remarks, "the run has not finished: as far as its journal goes, this is what it says")
    word = "does not hold" if faults else "holds with remarks" if remarks else "holds"
    by = f", {verdict.origin}" if verdict.origin else ""
    words = (
        f"{verdict.records} records, held against {verdict.machine}{by}; {verdict.rejudged} observations judged again"
    )
    notes = tuple(printable(finding.what) for finding in found if finding.severity == NOTE)
    return Judged(word, printable(words), faults, (*remarks, *notes), verdict.rejudged)


def _told(finding: "Finding") -> str:
    where = f"line {finding.line}: " if finding.line else ""
    return printable(f"{where}{finding.what} [{finding.code}]")


def _of_seals(place: Path | None) -> Iterator["Finding"]:
    """Yield what the seals of a bundle say; of a mirror, that it has none."""
    from drfsm.evidence.audit.findings import Finding
    from drfsm.evidence.sealing import check_seals

    if place is None:
        yield Finding(0, "unsealed", "the mirror's records are chained but unsigned: seals lie in the run's bundle")
    else:
        yield from check_seals(place)


def beside(place: str) -> Path | None:
    """Return the directory of a bundle; None for a mirror."""
    return None if place.startswith("s3://") else Path(place)
