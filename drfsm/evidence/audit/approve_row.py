"""Whether an approval is of the plan that was shown, and by whom: read from the records of a promote.

The row ``approve`` has in its arguments the plan and its digest, a name and a ticket, and among its facts the plan as
the process saw it then. Where the auditor asks for two people, the approver must be proven to be another person than
the starter. What a run's own policy of approvals asks is judged by approvals.py. What a plan's digest is, and how two
people are compared, the caller hands in. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drfsm.evidence.approvals import Policy, policy_of
from drfsm.evidence.audit.findings import Finding
from drfsm.journal import Record
from drfsm.journal.record_types import Commit, RunStarted, Sampled, Transition

Digest = Callable[[Mapping[str, Any]], str]
Compare = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, str]]
"""(starter, approver), each {operator, proven} -> (by which proof, ``another`` | ``same`` | ``unclear``)."""
_NAMED = ("approved_plan", "approved_by", "ticket")


class Approvals:
    """Follows the approvals of a run. ``two_people``: the auditor asks for another person than the starter."""

    def __init__(self, digest: Digest, compare: Compare, *, two_people: bool) -> None:
        self._digest, self._compare, self._two_people = digest, compare, two_people
        self._starter: Mapping[str, Any] = {"operator": "", "proven": {}}
        self._inputs: Mapping[str, Any] = {}
        self._policy: Policy | None = None
        self._shown = ""
        self.findings: list[Finding] = []

    def take(self, record: Record) -> None:
        """Take in the next record; what is wrong with an approval stands in ``findings``."""
        content = record.content
        if isinstance(content, RunStarted):
            self._inputs = content.inputs
            self._policy = policy_of(content.approval.get("policy"))
            self._starter = {"operator": content.operator, "proven": dict(content.proven)}
        if isinstance(content, Commit) and content.trigger == "approve":
            self.findings += self._approved(record, content)
        elif isinstance(content, Transition | Sampled) and "approval" in content.facts:
            seen = content.facts["approval"].seen
            self._shown = str(seen.get("sha256", "")) if isinstance(seen, Mapping) else ""

    def _approved(self, record: Record, step: Commit) -> Iterator[Finding]:
        line, args = record.seq + 1, step.args
        approved = str(args.get("approved_plan", ""))
        seen = step.facts["approval"].seen if "approval" in step.facts else None
        plans = [plan for plan in (args.get("plan"), seen.get("plan") if isinstance(seen, Mapping) else None) if plan]
        for plan in plans:
            digest = self._digest(plan) if isinstance(plan, Mapping) else "no plan"
            if digest != approved:
                what = "the approval is of another plan than the run saw when it was approved"
                yield Finding(line, "approval_of_other_plan", what, expected=digest, found=approved)
        if isinstance(seen, Mapping) and plans and seen.get("sha256") != self._digest(plans[-1]):
            what = "the digest beside the plan is not the plan's"
            yield Finding(line, "plan_digest_wrong", what, expected=self._digest(plans[-1]), found=seen.get("sha256"))
        named = {name: args.get(name) for name in _NAMED}
        kept = {name: step.amends.get(name) for name in _NAMED}
        if kept != named:
            yield Finding(line, "approval_not_as_recorded", "the inputs that it set differ", expected=named, found=kept)
        if self._shown and self._shown != approved:
            what = "the approved plan is newer than the one that the run saw before it waited"
            yield Finding(line, "approved_plan_is_newer", what, expected=self._shown, found=approved)
        yield from self._by_another(line, step)

    def _by_another(self, line: int, step: Commit) -> Iterator[Finding]:
        if str(self._inputs.get("approval_distinct", "no")) == "yes":
            return  # the run's own guard asked for it, and the walk held it
        if self._policy is not None and (self._policy.distinct or self._policy.approvals > 1):
            return  # its policy asked for several persons, and approvals.py judged them
        if not self._two_people:
            yield Finding(line, "two_people_not_asked", "nobody asked for two people")
            return
        proven = step.args.get("proven")
        reading = step.facts.get("approver")
        seen = reading.seen if reading is not None and isinstance(reading.seen, Mapping) else {}
        approver = seen.get("approver") or {"operator": step.args.get("operator", ""), "proven": proven or {}}
        by, result = self._compare(seen.get("starter") or self._starter, approver)
        if result == "another":
            return
        code = "approved_by_the_operator" if result == "same" else "approver_unclear"
        what = f"the approver is {'the starter' if result == 'same' else 'not proven to be another'}, compared by {by}"
        yield Finding(line, code, what, expected="another person", found=approver)
