"""Proves offline, from a run's log and its declared machine, that the run was allowed, complete and unaltered.

Three questions, all findings at once. Unaltered: the bytes' chain, the seal, and what a copied summary knows of
it (``expected_head``), because a bare chain stops neither truncation nor a rewrite of the whole. Allowed: every
record is one that the declared machine allows where the run stood (kinds.py), and every observation, judged
again, says what the record says. Complete: no open intent, wait, hold or undo is passed over.

It trusts no word of the log, and of the world only what was handed in: the bytes, the declaration, the judges, and how
the binding settles what may land late.
Raises nothing for a bad log: that is a finding. Called by the CLI and by library users.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

from attrs import frozen

from drfsm.claims import printable
from drfsm.errors import JournalDamaged
from drfsm.evidence.audit import approvals
from drfsm.evidence.audit.bound import Pair
from drfsm.evidence.audit.findings import Finding, Findings
from drfsm.evidence.audit.kinds import Walk
from drfsm.evidence.audit.observations import Judges
from drfsm.evidence.audit.position import Signatures
from drfsm.journal import GENESIS, Record, RunState, Scan
from drfsm.journal.chain import LARGEST_LINE_BYTES
from drfsm.journal.settling import Settlings
from drfsm.spec.model import MachineSpec


@frozen
class Verdict:
    """What an audit says of one log."""

    findings: tuple[Finding, ...]  # what does not hold
    remarks: tuple[Finding, ...]  # what breaks no rule, and should be known
    notes: tuple[str, ...]  # the same in words
    state: RunState
    records: int
    head: str
    rejudged: int
    machine: str
    machine_sha256: str
    finals: tuple[str, ...]
    expected: bool  # whether a copied summary's head was held against it
    origin: str | None = None  # whose declaration it is; "": nobody's that the caller knows; None: not asked

    @property
    def ok(self) -> bool:
        """Whether everything that the log says holds."""
        return not self.findings

    @property
    def finished(self) -> bool:
        """Whether the run has ended and its log is sealed."""
        return self.state.sealed

    @property
    def record(self) -> dict[str, Any]:
        """The verdict as JSON."""
        return {
            "ok": self.ok,
            "finished": self.finished,
            "run_id": self.state.run_id,
            "machine": self.machine,
            "machine_sha256": self.machine_sha256,
            "declaration": {"": "unknown", None: "not asked"}.get(self.origin, self.origin),
            "status": self.state.status,
            "state": self.state.state,
            "records": self.records,
            "head": self.head,
            "head_expected": self.expected,
            "observations_judged_again": self.rejudged,
            "findings": [{"line": f.line or None, "seq": f.seq, "rule": f.rule, "what": f.what} for f in self.findings],
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """Yield the verdict in words."""
        for finding in self.findings:
            where = f"line {finding.line}" if finding.line else "the log"
            yield printable(f"{where}: {finding.what} [{finding.rule}]")
        yield from (printable(f"note: {note}") for note in self.notes)
        if self.findings:
            count = "one finding" if len(self.findings) == 1 else f"{len(self.findings)} findings"
            yield f"The evidence does NOT hold: {count} in {self.records} records."
            return
        if not self.finished:
            where = printable(f"{self.state.status} in {self.state.state}")
            yield f"Not finished ({where}): as far as it goes, it holds."
        yield (
            f"The evidence holds: {self.records} records, unaltered, each allowed by {self._declared()},"
            f" {self.rejudged} observations judged again; head {self.head}."
        )
        if not self.expected:
            yield "Only the head in a summary that was copied off the machine can show that this log is complete."

    def _declared(self) -> str:
        by = f", {self.origin}" if self.origin else ""
        return f"{printable(self.machine)}{by} ({self.machine_sha256[:12]}…)"


def audit(
    raw: bytes | BinaryIO | Iterable[bytes],
    spec: MachineSpec,
    *,
    judges: Judges,
    late: Settlings | None = None,
    bound: Sequence[Pair] = (),
    expected_head: str | None = None,
    expected_records: int | None = None,
    beside: tuple[str, int] | None = None,
    origin: str | None = None,
    signatures: Signatures | None = None,
    allowed_signers: str = "",
    plan: Mapping[str, Any] | None = None,
    follow: Callable[[Record], None] | None = None,
) -> Verdict:
    """Audit a log: its bytes, a stream of them, or its lines; no more than a line of it is kept.

    ``judges``: fact -> (what was seen, the run's inputs) -> value or None.

    ``late``: action -> how a late request of it is settled, as a binding has it; without it only what the declaration
    says of that is demanded.
    ``bound``: what must say the same in the records of such a run (bound.py); nothing is asked without it.
    ``origin`` says whose declaration ``spec`` is (``shipped with drfsm 0.1.0``); "" is nobody's that the caller knows,
    and a finding: what an unknown declaration allows may be anything. None where the caller makes no such claim.
    ``expected_head`` and ``expected_records`` are the ``journal`` of a summary that was copied off the machine.
    ``signatures`` checks the signatures of approvals by the keys that the run recorded; without it they are not
    checked, which is noted. ``allowed_signers`` is the text of the keys that whoever audits trusts: an approval by
    another one is noted. ``plan`` is the plan in the bundle, from which the run was started.
    ``follow`` is called with each record, for whoever asks more of a log and reads it only once.
    ``beside`` is that (head, records) of the summary in the same bundle: it proves nothing, and it can contradict.
    """
    findings = Findings()
    heads = _Heads(expected_head, expected_records, beside)
    if origin == "":
        findings.add(
            None,
            "declaration_unknown",
            f"drfsm ships no declaration {spec.sha256}, and nobody trusts it here",
            found=spec.sha256,
        )
    walk = Walk(spec, judges, findings, late, bound, signatures)
    _read(raw, walk, heads, findings, follow)
    heads.judge(findings)
    state = walk.end()
    approvals.of_plan(state, plan, findings)
    approvals.by_own_signers(state, signatures, allowed_signers, findings)
    return Verdict(
        findings=findings.errors,
        remarks=findings.remarks,
        notes=tuple(findings.notes),
        state=state,
        records=heads.count,
        head=heads.last,
        rejudged=findings.rejudged,
        machine=spec.name,
        machine_sha256=spec.sha256,
        finals=tuple(spec.finals),
        expected=expected_head is not None,
        origin=origin,
    )


def _read(
    raw: bytes | BinaryIO | Iterable[bytes],
    walk: Walk,
    heads: "_Heads",
    findings: Findings,
    follow: Callable[[Record], None] | None,
) -> None:
    """Let every record be judged, as far as the chain holds; keep none of them."""
    lines = _Counted(raw)
    scan = Scan(lines)
    try:
        for record in scan:
            heads.add(scan.head)
            walk.take(record, scan.head)
            if follow is not None:
                follow(record)
    except JournalDamaged as damage:
        findings.add(damage.line - 1, "chain_broken", damage.what)
        if rest := lines.rest() - damage.line:
            findings.add(
                damage.line - 1,
                "lines_not_judged",
                f"the lines after line {damage.line} ({rest}) were not judged: the chain is broken before them",
            )
    else:
        if scan.torn:
            findings.add(
                heads.count,
                "last_line_torn",
                f"the last line is torn ({len(scan.torn)} bytes without a newline): its writer died in the middle",
            )
        if not heads.count:
            findings.add(None, "no_records", "the log holds no record")


class _Counted:
    """The lines of a log, counted; of one that is too long no more is read than it takes to see that."""

    def __init__(self, raw: bytes | BinaryIO | Iterable[bytes]) -> None:
        file = BytesIO(raw) if isinstance(raw, bytes) else raw
        readline = getattr(file, "readline", None)
        self._lines = iter(lambda: readline(LARGEST_LINE_BYTES + 1), b"") if readline else iter(file)
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield each line."""
        for line in self._lines:
            self._count += 1
            yield line

    def rest(self) -> int:
        """Read what is left; return how many lines there were in all."""
        return self._count + sum(1 for _ in self._lines)


class _Heads:
    """The hashes that somebody else knows, held against those of the lines."""

    def __init__(self, head: str | None, count: int | None, beside: tuple[str, int] | None) -> None:
        self.count, self.last = 0, GENESIS
        self._head, self._known, self._beside = head, count, beside
        self._wanted = {number for number in (count, beside[1] if beside else None) if number}
        self._at: dict[int, str] = {}  # number of records -> the hash of the last of them
        self._found = 0  # how many records there were when the expected head was met first

    def add(self, head: str) -> None:
        """Take in the hash of the next line."""
        self.count += 1
        self.last = head
        if self.count in self._wanted:
            self._at[self.count] = head
        if head == self._head and not self._found:
            self._found = self.count

    def judge(self, findings: Findings) -> None:
        """Add what somebody else knows otherwise."""
        self._expected(findings)
        self._contradicted(findings)

    def _expected(self, findings: Findings) -> None:
        """Hold the log against what a copied summary knows. A log that has grown since is said, and no fault."""
        if self._known is not None and self.count < self._known:
            what = f"the summary knows {self._known} records, the log holds {self.count}: it was cut off"
            findings.add(None, "log_cut_off", what, expected=self._known, found=self.count)
            return
        if self._head is None:
            return
        known = self._known or self._found
        if not known or (self._at[known] if self._known else self._head) != self._head:
            what = f"the log has no line with the head that the summary knows ({self._head})"
            findings.add(None, "log_rewritten", what, expected=self._head)
            return
        if grown := self.count - known:
            findings.add(None, "log_has_grown", f"{grown} records were added since the summary was copied")

    def _contradicted(self, findings: Findings) -> None:
        """Hold the log against the summary beside it. A log that has grown since is as it must be."""
        if self._beside is None:
            return
        head, count = self._beside
        if self.count < count:
            what = f"the summary beside the log knows {count} records, the log holds {self.count}"
            findings.add(None, "log_cut_off", what, expected=count, found=self.count)
        elif self._at[count] != head:
            what = f"the summary beside the log knows another record {count - 1} (its head is {head})"
            findings.add(None, "log_rewritten", what, expected=head, found=self._at[count])
