"""The codes of what can be wrong with the approvals that a run recorded; codes.py has them all.

What a start says of approvals, an audit says by the same codes (evidence/approvals.py). Those below, only an audit can
find: what a record says beside the signatures, and the plan in the bundle. What a promote's ``approve`` must hold
whatever its policy is in file_codes.py.
"""

from collections.abc import Mapping

from drfsm.evidence.approvals import CODES
from drfsm.evidence.audit.code import NOTE, REMARK, Code

_ASK_FOR_THE_PLAN = "Ask who has the plan that was approved, and hold its digest against the one on record"

APPROVAL_CODES: Mapping[str, Code] = {
    **{name: Code("approval", means, to_do[:1].upper() + to_do[1:]) for name, (means, to_do) in CODES.items()},
    "approval_policy_unreadable": Code("approval", "The policy of approvals on record is none that drfsm writes"),
    "approval_policy_differs": Code(
        "approval", "The approvals of a promote were judged by another policy than its start recorded"
    ),
    "approval_of_other_signer": Code(
        "approval", "An approval is said to be signed by another person, or key, than its signature shows"
    ),
    "start_signature_wrong": Code(
        "approval", "The signature of the start does not fit, or is by another key than the record says"
    ),
    "approvals_judged_at_other_time": Code(
        "approval",
        "Approvals were judged at another time than the record was written: an approval that had expired could have"
        " counted",
    ),
    "approval_clocks_differ": Code(
        "approval",
        "Approvals were judged by the clock of the store, and that of the computer which wrote the record differs",
        "Set the clock of the computer that started the run",
        severity=NOTE,
    ),
    "approval_signatures_not_checked": Code(
        "approval",
        "Nothing here could check the signatures of approvals: they are taken as the run recorded them",
        "Audit where ssh-keygen is (OpenSSH 8.2 or later): `drfsm audit BUNDLE`",
        severity=REMARK,
    ),
    "approval_key_not_trusted_here": Code(
        "approval",
        "An approval was signed by a key that the run trusted, and that your own list of keys does not name",
        "Ask whose key it is; if the person might approve then, add the key to the file of trust.allowed_signers",
        severity=REMARK,
    ),
    "plan_was_changed": Code(
        "approval", "The plan in the bundle does not fit the digest that it carries: it was edited", _ASK_FOR_THE_PLAN
    ),
    "plan_of_other_run": Code("approval", "The plan in the bundle is of another run", _ASK_FOR_THE_PLAN),
    "plan_of_other_policy": Code(
        "approval",
        "The plan in the bundle asks for other approvals than the run recorded: a policy was left out, or exchanged",
    ),
    "approved_plan_not_in_bundle": Code(
        "approval", "The plan that was approved is not the one in the bundle", _ASK_FOR_THE_PLAN
    ),
}
