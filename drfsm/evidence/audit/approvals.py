"""Whether the approvals that a run recorded suffice, judged again by the rule of the start (evidence/approvals.py).

Of a failback or a drill they stand in its first record: of the plan that it was started from, as of that moment. A
promote's policy stands there, and its approvals in each ``approve`` that was committed (approve_row.py asks what any
such row must hold, whatever its policy). Signatures are checked by the
keys that the run recorded as trusted, as of the time when they were used. Pure: what checks them is handed in. Called
by kinds.py, steps.py and verdict.py.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.evidence.approvals import (
    SKEW_SECONDS,
    Check,
    Person,
    Policy,
    Subject,
    judge,
    message_of,
    policy_of,
    recorded,
    signed_by,
    start_message,
    told,
)
from drfsm.evidence.audit.findings import Finding, Findings
from drfsm.evidence.audit.position import Position, Signatures
from drfsm.evidence.signatures import APPROVAL as APPROVAL_NAMESPACE
from drfsm.evidence.signatures import RECORD
from drfsm.journal import Record, RunState
from drfsm.journal.approval_types import APPROVAL
from drfsm.journal.record_types import Commit, RunStarted

PLAN = "plan.json"  # in the bundle
LATER = "promote"  # the machine whose plan is approved after the start, by its own row
Json = Mapping[str, Any]


def started(here: Position, record: Record, started: RunStarted) -> None:
    """Judge what the first record says of approvals."""
    approval = started.approval
    if not approval:
        return
    policy = policy_of(approval.get("policy"))
    if policy is None:
        here.add(record, "approval_policy_unreadable", "the policy that it records can't be read")
        return
    check = _check(here, approval)
    if started.machine != LATER:
        starter = _starter(here, record, started, check)
        of = Subject(started.machine, started.run_id, str(approval.get("plan_sha256")))
        _judged(here, record, policy, approval, of, starter, check)
        _timed(here, record, approval)


def approved(here: Position, record: Record, done: Commit) -> None:
    """Judge a promote's ``approve``, where the run's policy asks for several approvals, or for signatures."""
    state = here.state
    policy = policy_of(state.approval.get("policy"))
    if policy is None or state.machine != LATER or done.trigger != "approve":
        return
    approval: Any = done.args.get("approval")
    if not APPROVAL.fits(approval):
        here.add(record, "approvals_missing", f"it records none; the policy asks for {policy.words}")
        return
    if approval.get("policy") != state.approval.get("policy"):
        what = "it was judged by another policy than the run recorded at its start"
        expected, found = state.approval.get("policy"), approval.get("policy")
        here.add(record, "approval_policy_differs", what, expected=expected, found=found)
    check = _check(here, {**approval, "allowed_signers": state.approval.get("allowed_signers")})
    actor = next((actor for actor in state.actors if actor.did == "started"), None)
    proven = actor.proven if actor else {}
    starter = _person(state.run_id, state.machine, state.operator, proven, state.approval, check)
    of = Subject(state.machine, state.run_id, str(done.args.get("approved_plan")))
    _judged(here, record, policy, approval, of, starter, check)


def of_plan(state: RunState, plan: Json | None, findings: Findings) -> None:
    """Hold the plan in the bundle against what was approved: nobody can leave a policy out, or exchange the plan."""
    if plan is None or state.status == "none":
        return
    own = sha256(message_of({name: value for name, value in plan.items() if name != "sha256"})).hexdigest()
    recorded_policy, approved = state.approval.get("policy"), state.approval.get("plan_sha256")
    if own != plan.get("sha256"):
        what = "the plan in the bundle was changed: its digest does not fit its content"
        findings.put(Finding(0, "plan_was_changed", what, own, plan.get("sha256"), PLAN))
    elif plan.get("run_id") != state.run_id:
        what = f"the plan in the bundle is of the run {plan.get('run_id')}"
        findings.put(Finding(0, "plan_of_other_run", what, state.run_id, plan.get("run_id"), PLAN))
    elif state.machine != LATER and plan.get("policy") != recorded_policy:
        what = "the plan in the bundle says another policy of approvals than the run recorded"
        findings.add(0, "plan_of_other_policy", what, expected=plan.get("policy"), found=recorded_policy)
    elif state.machine != LATER and state.approval and approved != own:
        what = f"what was approved is not the plan in the bundle ({own[:12]}…)"
        findings.add(0, "approved_plan_not_in_bundle", what, expected=own, found=approved)


def by_own_signers(state: RunState, signatures: Signatures | None, allowed_signers: str, findings: Findings) -> None:
    """Note each approval by a key that whoever audits does not trust: the run's own list of keys is a claim."""
    approval = recorded(state)
    if signatures is None or not allowed_signers.strip():
        return
    check = signatures(allowed_signers, str(approval.get("judged_at") or ""))
    for each in approval.get("given") or ():
        signed = signed_by(each, message_of(each.get("statement") or {}), APPROVAL_NAMESPACE, check)
        if signed is not None and not signed.signer:
            what = f"the approval of {told(each, signed)} is by a key that nobody trusts here"
            findings.add(None, "approval_key_not_trusted_here", what, found=signed.key)


# --- pieces -------------------------------------------------------------------------------------------------------


def _check(here: Position, approval: Json) -> Check | None:
    """Return what checks signatures as the run did; None, with a note, where this machine can't."""
    if here.signatures is None:
        what = "the signatures of approvals were not checked here: they are taken as the run recorded them"
        here.findings.add(None, "approval_signatures_not_checked", what)
        return None
    return here.signatures(str(approval.get("allowed_signers") or ""), str(approval.get("judged_at") or ""))


def _starter(here: Position, record: Record, started: RunStarted, check: Check | None) -> Person:
    person = _person(started.run_id, started.machine, started.operator, started.proven, started.approval, check)
    said = started.approval.get("starter") or {}
    if said and (person.signed is None or person.signed.key != said.get("key")):
        what = "the signature of the start does not fit, or is by another key than it says"
        found = person.signed.key if person.signed else None
        here.add(record, "start_signature_wrong", what, expected=said.get("key"), found=found)
    return person


def _person(run_id: str, machine: str, operator: str, proven: Json, approval: Json, check: Check | None) -> Person:
    """Return who started a run, as its first record proves it."""
    of = Subject(machine, run_id, str(approval.get("plan_sha256") or ""))
    message = start_message(of, operator, str(approval.get("judged_at") or ""))
    signed = signed_by(approval.get("starter") or {}, message, RECORD, check)
    return Person(operator, proven.get("os_user") or {}, signed)


def _judged(
    here: Position, record: Record, policy: Policy, approval: Json, of: Subject, starter: Person, check: Check | None
) -> None:
    """Add a finding for each approval that does not count, and where too few do."""
    given = approval.get("given") or ()
    judgement = judge(policy, given, of=of, starter=starter, at=str(approval.get("judged_at") or ""), check=check)
    for fault in judgement.faults:
        here.add(record, fault.code, fault.what)
    for what in _other_signers(given, judgement.counted):
        here.add(record, "approval_of_other_signer", what)


def _other_signers(given: Any, counted: Any) -> Iterator[str]:
    """Yield where the record names another signer or key than the signature has."""
    by_signature = {each.get("signature"): each for each in given if each.get("signature")}
    for each in counted:
        said = by_signature.get(each.get("signature"))
        if said and (said.get("signer"), said.get("key")) != (each.get("signer"), each.get("key")):
            yield f"an approval is said to be signed by {said.get('signer')}, and {each.get('signer')} signed it"


def _timed(here: Position, record: Record, approval: Json) -> None:
    """Hold the time when approvals were judged against the record's own: by one clock, they are of one moment."""
    judged, written = moment(approval.get("judged_at")), moment(record.at)
    if judged is None or written is None:
        return
    if max(seconds_between(judged, written), seconds_between(written, judged)) <= SKEW_SECONDS:
        return
    what = f"its approvals were judged at {approval.get('judged_at')}, and the record is of {record.at}"
    if approval.get("clock") == "store":
        here.add(record, "approval_clocks_differ", f"{what}: the clock of the computer and that of the store differ")
    else:
        here.add(record, "approvals_judged_at_other_time", what, expected=record.at, found=approval.get("judged_at"))
