"""Where the audited run stands before the next record, and what its records so far oblige it to.

Written by kinds.py, steps.py and forecasts.py; each of their rules reads it and adds findings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from drfsm.evidence.approvals import Check
from drfsm.evidence.audit.findings import Findings
from drfsm.evidence.audit.invariants import Invariants
from drfsm.evidence.audit.observations import Observations
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import NextAction, Reading, Sampled
from drfsm.journal.settling import Settlings
from drfsm.spec.model import By, MachineSpec, Row

Signatures = Callable[[str, str], Check]
"""(the text of an allowed-signers file, a time) -> what checks signatures by it, as of that time."""


@define
class Position:
    """The run so far. Rules that several kinds of records share are its methods."""

    spec: MachineSpec
    findings: Findings
    observations: Observations
    invariants: Invariants
    late: Settlings | None = None  # action -> how a late request of it is settled; None: not known
    signatures: Signatures | None = None  # None: signatures of approvals can't be checked here
    state: RunState = field(factory=RunState)
    halted: bool = False  # held, and nobody has resumed the run since
    begun: dict[str, int] = field(factory=dict)  # row -> intents since a person last started or resumed the run
    samples: dict[str, tuple[Sampled, int]] = field(factory=dict)  # row -> the last of its wait, clear ones in a row
    head: str = ""  # the hash of the line before
    uncut: int = 0  # records before this one, without the cuts of a torn tail right before it
    uncut_head: str = ""  # the hash of the last of them
    forecast_state: str = ""  # where a dry run has got to
    skipped: set[str] = field(factory=set)  # facts that a dry run would have changed, and what depends on them
    failed_checks: int = 0  # of a dry run
    refused: bool = False  # by a dry run
    refused_by_world: bool = False  # likewise, and not only by what the command itself said

    def stands_at(self, record: Record, head: str) -> None:
        """Remember where the log has got to: after this record."""
        self.head = head
        if record.kind != "tail_cut":
            self.uncut, self.uncut_head = record.seq + 1, head

    def add(self, record: Record, code: str, what: str, *, expected: Any = None, found: Any = None) -> None:
        """Add a finding: what a record breaks, what was expected there, and what is found."""
        self.findings.add(record.seq, code, what, expected=expected, found=found)

    def row(self, record: Record, key: str) -> Row | None:
        """Return the declared row that a record names by ``key``; without one, that is a finding."""
        try:
            return self.spec.row_of(key, self.state.inputs)
        except KeyError:
            self.add(record, "no_such_row", f"{key} is no declared row for this run's inputs", found=key)
            return None

    def limit(
        self, record: Record, row: Row, limit: Callable[[Mapping[str, Any]], int | None], declared: str
    ) -> int | None:
        """Return how often something may be done by this run's inputs; an input that is no number is a finding."""
        try:
            return limit(self.state.inputs)
        except (KeyError, TypeError, ValueError):
            self.add(record, "input_is_no_number", f"{row.trigger}: {declared}, which is no number")
            return None

    def check_frozen(self, record: Record, words: Sequence[str], *readings: Mapping[str, Reading]) -> None:
        """Check that what a record calls frozen is what the facts mean, by one of ``readings`` over what was known."""
        allowed = [
            self.spec.says_frozen({**self.state.known, **{name: r.value for name, r in facts.items() if r.value}})
            for facts in readings or ({},)
        ]
        if set(words) not in map(set, allowed):
            self.add(
                record,
                "frozen_words_wrong",
                f"recorded as frozen: {', '.join(words) or 'nothing'};"
                f" by its facts frozen: {', '.join(sorted(set(allowed[-1]))) or 'nothing'}",
                expected=sorted(set(allowed[-1])),
                found=list(words),
            )

    def check_next_actions(self, record: Record, actions: Sequence[NextAction], state: str) -> None:
        """Check that the next actions that a record offers are declared, and open to a person in ``state``."""
        rows = {row.trigger: row for row in self.spec.rows_from(state, self.state.inputs, By.OPERATOR)}
        for offered in actions:
            if offered.action not in {*rows, "resume"} or state in self.spec.finals:
                self.add(
                    record,
                    "offer_impossible",
                    f"it offers {offered.action}, which nobody can do in {state}",
                    found=offered.action,
                )
            elif offered.action in rows and offered.args != rows[offered.action].amends:
                self.add(
                    record,
                    "offer_other_than_declared",
                    f"it offers {offered.action} with other arguments than it takes",
                    expected=list(rows[offered.action].amends),
                    found=list(offered.args),
                )
            elif offered.values and (
                offered.action not in rows or dict(offered.values) != self.spec.values_of(rows[offered.action])
            ):
                self.add(
                    record,
                    "offer_other_than_declared",
                    f"it offers {offered.action} with other values than its arguments may have",
                )
            elif offered.action in rows and offered.reason != rows[offered.action].reason:
                what = f"it offers {offered.action} for another reason than declared"
                expected = rows[offered.action].reason
                self.add(record, "offer_other_than_declared", what, expected=expected, found=offered.reason)
