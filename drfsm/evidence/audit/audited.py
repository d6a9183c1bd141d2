"""The audit of one bundle as a whole, and of several: the findings of the log and of what lies beside it, one verdict.

Three verdicts: the evidence *holds*; it *holds with remarks* (something could not be proven, or nobody asked for it);
it *does not hold*. Owns the words and the JSON; formats.py has SARIF and JUnit. Pure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import printable
from drfsm.evidence.audit.codes import ERROR, NOTE, REMARK, RULES, SEVERITIES
from drfsm.evidence.audit.findings import Finding
from drfsm.evidence.audit.verdict import Verdict

HOLDS, REMARKED, FAILS = "holds", "holds with remarks", "does not hold"
VERDICTS = (HOLDS, REMARKED, FAILS)
LOG = "state_transitions.log"


@frozen
class Audited:
    """What the audit of one bundle found. ``log`` None: the log could not be read at all."""

    bundle: str
    log: Verdict | None
    findings: tuple[Finding, ...]  # of the log and of all else; the worst first
    unasked: tuple[str, ...] = ()  # rules that nothing was given for: a store, a key
    exit_code: int = 0  # of the fault that kept the bundle from being read at all

    @property
    def verdict(self) -> str:
        """One of the three."""
        weights = {finding.severity for finding in self.findings}
        return FAILS if ERROR in weights else REMARKED if REMARK in weights else HOLDS

    @property
    def is_damaged(self) -> bool:
        """Whether the log's bytes are damaged: nothing after that line could be judged."""
        return any(finding.code == "chain_broken" for finding in self.findings)

    def of_rule(self, rule: str) -> list[Finding]:
        """Return the findings under a rule."""
        return [finding for finding in self.findings if finding.rule == rule]

    @property
    def record(self) -> dict[str, Any]:
        """As JSON."""
        about = self.log.record if self.log is not None else {}
        named = ("run_id", "machine", "machine_sha256", "declaration", "status", "state", "finished", "records", "head")
        return {
            "bundle": self.bundle,
            "verdict": self.verdict,
            "mode": self.mode,
            **{name: about.get(name) for name in named},
            "observations_judged_again": about.get("observations_judged_again", 0),
            "rules": {rule: self.outcome(rule) for rule in RULES},
            "findings": [finding.record for finding in self.findings],
        }

    @property
    def mode(self) -> str | None:
        """What the log says that the run was: live, a drill's, or dry."""
        if self.log is None or not self.log.state.run_id:
            return None
        return "dry_run" if self.log.state.dry_run else self.log.state.scope

    def outcome(self, rule: str) -> str:
        """Return how a rule came out: held, broken, remarked, or not_asked."""
        weights = {finding.severity for finding in self.of_rule(rule)}
        if ERROR in weights:
            return "broken"
        if self.log is None or rule in self.unasked:
            return "not_asked"
        return "remarked" if REMARK in weights else "held"

    def lines(self) -> Iterator[str]:
        """Yield the audit in words, the verdict last."""
        for finding in self.findings:
            yield from _told(finding)
        yield printable(f"{self.bundle}: {self._last_line()}")

    def _last_line(self) -> str:
        if self.log is None:
            return "the evidence does NOT hold: it could not be read."
        counts = Counter(finding.severity for finding in self.findings)
        if counts[ERROR]:
            return f"the evidence does NOT hold: {_many(counts[ERROR], 'finding')} in {self.log.records} records."
        where = "" if self.log.finished else f" as far as it goes ({self.log.state.status} in {self.log.state.state})"
        remarks = f", with {_many(counts[REMARK], 'remark')}" if counts[REMARK] else ""
        return (
            f"the evidence holds{where}{remarks}: {self.log.records} records, {self.log.rejudged} observations judged"
            f" again; head {self.log.head}."
        )


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings once each, the worst first, then those of the log by line, then those of files."""
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda each: (SEVERITIES.index(each.severity), bool(each.file), each.line))
    )


def _told(finding: Finding) -> Iterator[str]:
    word = {ERROR: "", REMARK: "remark: ", NOTE: "note: "}[finding.severity]
    yield printable(f"{word}{place_of(finding)}: {finding.what} [{finding.code}]")
    record = finding.record
    if record["expected"] is not None or record["found"] is not None:
        expected = "nothing" if record["expected"] is None else record["expected"]
        yield printable(f"    expected: {expected}")
        yield printable(f"    found:    {'nothing' if record['found'] is None else record['found']}")


def place_of(finding: Finding) -> str:
    """Return where a finding is, in words."""
    if finding.file:
        return f"{finding.file}, line {finding.line}" if finding.line else finding.file
    return f"line {finding.line}" if finding.line else "the log"


def _many(count: int, noun: str) -> str:
    return f"one {noun}" if count == 1 else f"{count} {noun}s"


def worst(audits: Sequence[Audited]) -> str:
    """Return the worst verdict of several."""
    return max((audited.verdict for audited in audits), key=VERDICTS.index, default=HOLDS)


def document(audits: Sequence[Audited]) -> dict[str, Any]:
    """Return the audit of several bundles as JSON, with one summary."""
    counts = Counter(audited.verdict for audited in audits)
    return {
        "verdict": worst(audits),
        "counts": {verdict.replace(" ", "_"): counts[verdict] for verdict in VERDICTS},
        "bundles": [audited.record for audited in audits],
    }


def summary(audits: Sequence[Audited]) -> Iterator[str]:
    """Yield the summary of several audits: nothing for one, which has said it all."""
    if len(audits) < 2:  # noqa: PLR2004  one says it all
        return
    counts = Counter(audited.verdict for audited in audits)
    told = ", ".join(f"{counts[verdict]} {_verb(verdict, counts[verdict])}" for verdict in VERDICTS if counts[verdict])
    yield f"{len(audits)} bundles: {told}."


def _verb(verdict: str, count: int) -> str:
    several = {HOLDS: "hold", REMARKED: "hold with remarks", FAILS: "do NOT hold"}
    return several[verdict] if count > 1 else verdict.replace("not", "NOT")
