"""An approval that comes to a worker from outside is judged there: whoever can answer an execution can send anything.

Signatures are not needed to show it; tests/evidence/test_approvals.py has the rule itself, with real keys.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drfsm.errors import NotApproved
from drfsm.evidence.approvals import Policy
from drfsm.journal import RunState
from drfsm.runs.approvals import held_to_policy

RUN, PLAN, NOW = "promote-1", "a" * 64, "2026-02-27T00:00:00Z"
POLICY = Policy(approvals=2, distinct=True, expires_seconds=3600.0, signed=False)
Edit = Callable[[dict[str, Any]], Any]


def approval(by: str, **fields: Any) -> dict[str, Any]:
    """Return somebody's yes to the plan."""
    said = {
        "schema_version": 1, "decision": "approve", "procedure": "promote", "run_id": RUN, "plan_sha256": PLAN,
        "by": by, "os_user": {"uid": len(by), "name": by, "host": f"desk-of-{by}"}, "ticket": "CHG-7", "reason": "",
        "at": "2026-02-26T23:50:00Z",
    }  # fmt: skip
    return {"statement": {**said, **fields}}


def sent() -> dict[str, Any]:
    """Return the arguments of an approval as `drfsm approve` sends them: two persons gave it."""
    pinned = {"policy": POLICY.json, "plan_sha256": PLAN, "judged_at": NOW, "clock": "store"}
    given = [approval("ann"), approval("robert")]
    return {"approved_plan": PLAN, "approved_by": "ann", "approval": {**pinned, "given": given}}


def state(policy: Mapping[str, Any] | None = POLICY.json) -> RunState:
    """Return a promote that waits, as its first record has it: carl started it."""
    return RunState(machine="promote", run_id=RUN, operator="carl", approval={"policy": policy} if policy else {})


def given(*approvals: dict[str, Any]) -> Edit:
    """Return the edit that sends these approvals."""
    return lambda args: args["approval"].update(given=list(approvals))


CASES: dict[str, tuple[Edit, str]] = {
    "none at all": (lambda args: args.pop("approval"), "approvals_missing: 2 needed, 0 valid"),
    "what is no approval": (lambda args: args.update(approval="yes"), "approvals_missing: 2 needed, 0 valid"),
    "one": (given(approval("ann")), "approvals_missing: 2 needed, 1 valid"),
    "one, under a policy of the sender's": (
        lambda args: args["approval"].update(policy={**POLICY.json, "approvals": 1}, given=[approval("ann")]),
        "approvals_missing: 2 needed, 1 valid",
    ),
    "one person's twice": (given(approval("ann"), approval("ann")), "approval_repeated: ann"),
    "the starter's own": (given(approval("ann"), approval("carl")), "approval_by_starter: carl"),
    "those of another plan": (lambda args: args.update(approved_plan="b" * 64), "approval_of_another_plan: that of"),
    "those of another run": (
        given(approval("ann"), approval("robert", run_id="promote-2")),
        "approval_of_another_plan: that of robert",
    ),
    "old ones, judged at a time of the sender's": (
        lambda args: args["approval"].update(
            judged_at="2026-02-26T10:00:00Z", given=[approval(by, at="2026-02-26T09:59:00Z") for by in ("ann", "bob")]
        ),
        "approval_expired: that of ann",
    ),
    "with a no among them": (
        given(approval("ann"), approval("bob"), approval("eve", decision="decline", reason="not now")),
        "plan_declined: by eve",
    ),
}


@pytest.mark.parametrize(("edit", "expected"), CASES.values(), ids=list(CASES))
def test_approvals_that_do_not_suffice_are_refused(edit: Edit, expected: str) -> None:
    """Before anything is recorded, with the reason."""
    args = sent()
    edit(args)
    with pytest.raises(NotApproved) as refused:
        held_to_policy(state(), args, lambda: (NOW, "store"))
    assert any(reason.startswith(expected) for reason in refused.value.differences), refused.value.differences


def test_what_is_recorded_is_what_was_judged_here() -> None:
    """Neither the sender's policy, nor its time, nor a signer that it made up."""
    args = sent()
    args["approval"] |= {"policy": {**POLICY.json, "approvals": 1}, "judged_at": "2026-02-20T00:00:00Z"}
    args["approval"]["given"][0] |= {"signer": "boss@example.org", "key": "SHA256:made-up"}
    recorded = held_to_policy(state(), args, lambda: (NOW, "machine"))["approval"]
    assert (recorded["policy"], recorded["judged_at"], recorded["clock"]) == (POLICY.json, NOW, "machine")
    assert [each["statement"]["by"] for each in recorded["given"]] == ["ann", "robert"]


def test_without_a_policy_no_approvals_are_recorded() -> None:
    """Nobody asked for any, and nobody judged them: they would only look like proof."""
    args = held_to_policy(state(None), sent(), lambda: pytest.fail("nothing is to be judged"))
    assert args == {"approved_plan": PLAN, "approved_by": "ann"}


def test_a_policy_that_can_not_be_read_stops_the_approval() -> None:
    """It is not taken for none."""
    with pytest.raises(NotApproved, match="can't be read"):
        held_to_policy(state({"approvals": 0}), sent(), lambda: (NOW, "store"))
