"""The codes of what can be wrong beside a log: files, approvals, artifacts, seals, mirrors; codes.py has them all."""

from collections.abc import Mapping

from drfsm.evidence.audit.code import NOTE, REMARK, Code, Rule

FILE_RULES: Mapping[str, Rule] = {
    "bundle": Rule("The bundle can be read", "the bundle"),
    "mode": Rule("Live run, dry run and drill are the same in every file, and as the inputs say", "the bundle's files"),
    "files": Rule("Every derived file is what the log derives; none is missing, none is added", "the log"),
    "receipts": Rule("Every receipt fits its schema", "the shipped schemas"),
    "approval": Rule("An approval is of the plan that was shown, by somebody who may give it", "the log"),
    "artifacts": Rule("The artifacts that the records name lie in the store, with their hash", "the store"),
    "signature": Rule(
        "The bundle is the one that was sealed, and a key that the auditor trusts signed it", "the seals"
    ),
    "witness": Rule("The log is the one that was witnessed in the bucket", "the checkpoints in the bucket"),
    "mirror": Rule("The run's mirror in S3 has the same records", "the mirror in S3"),
}

_DERIVED = (
    "Nothing is lost: the log is the truth, and `drfsm status BUNDLE` writes derived files anew, on a copy. Ask who"
    " edited"
    " this one, and what relied on it"
)
_TODAYS = "Audit with the version of drfsm that wrote it, which the summary names"

FILE_CODES: Mapping[str, Code] = {
    "bundle_unreadable": Code(
        "bundle", "The bundle, or its mirror, could not be read: nothing is proven", "Do what is said"
    ),
    "mode_differs": Code("mode", "A file calls the run live, dry or a drill's, and the log says otherwise", _DERIVED),
    "mode_unlike_inputs": Code(
        "mode",
        "The run is said to be live, or a drill's, and its inputs say the other: a rehearsal passed off, or the"
        " reverse",
    ),
    "file_differs": Code("files", "A derived file is not what the log derives: it was edited", _DERIVED),
    "file_differs_from_todays": Code(
        "files",
        "A derived file is not what this version of drfsm derives, and another version wrote it: it was worded"
        " otherwise,"
        " or edited",
        _TODAYS,
        severity=REMARK,
    ),
    "file_is_behind": Code(
        "files",
        "A derived file lacks what the last records say of it: its writer was killed before it wrote it, or lines"
        " were cut",
        _DERIVED,
        severity=REMARK,
    ),
    "file_is_missing": Code(
        "files", "A file that the log derives is not in the bundle", "Ask for the whole bundle", severity=REMARK
    ),
    "file_was_added": Code("files", "A file lies among the derived ones that the log does not derive", _DERIVED),
    "files_not_compared": Code(
        "files",
        "The log is so long that its derived files were not derived anew",
        "Read the log itself: `drfsm replay BUNDLE`. The derived files say no more than it does",
        severity=REMARK,
    ),
    "file_unknown": Code(
        "files", "A file lies in the bundle that drfsm does not write", "Ask what it is", severity=REMARK
    ),
    "child_differs": Code("files", "The log of a run that this one began is not the one that this run saw"),
    "child_is_missing": Code(
        "files",
        "The log of a run that this one began is not in the bundle",
        "Ask for the whole bundle",
        severity=REMARK,
    ),
    "receipt_not_as_declared": Code("receipts", "A receipt does not fit its schema", _DERIVED),
    "receipt_of_other_schema": Code(
        "receipts",
        "A receipt has another schema's version than this drfsm's: it was not checked",
        _TODAYS,
        severity=REMARK,
    ),
    "receipt_unreadable": Code("receipts", "A receipt is no JSON object", _DERIVED),
    "plan_digest_wrong": Code("approval", "The digest on record is not that of the plan beside it"),
    "approval_of_other_plan": Code("approval", "The approval is of another plan than the run saw when it was approved"),
    "approval_not_as_recorded": Code(
        "approval", "An approval's name, ticket or digest differs from the inputs that it set"
    ),
    "approved_plan_is_newer": Code(
        "approval",
        "The approved plan is not the one that the run saw before it began to wait: the world changed meanwhile, and"
        " `drfsm approve` showed the newer plan",
        "Read both: `drfsm replay -v BUNDLE`",
        severity=NOTE,
    ),
    "approved_by_the_operator": Code(
        "approval",
        "The approver is the person who started the run, by the strongest proof on record, and --require-two-people"
        " asks"
        " for another",
        "Ask who approved; from now on let the policy ask for it: `drfsm promote --two-people`",
    ),
    "approver_unclear": Code(
        "approval",
        "Nothing on record proves that the approver is another person than the starter, and --require-two-people"
        " asks for it",
        "Ask who approved, and by what that can be shown",
    ),
    "two_people_not_asked": Code(
        "approval",
        "Nobody asked whether two people decided: neither the run's policy nor this audit",
        "`drfsm audit --require-two-people BUNDLE`",
        severity=NOTE,
    ),
    "artifact_is_missing": Code(
        "artifacts", "An artifact that the records name is not in the store", "Ask who removed it"
    ),
    "artifacts_differ": Code(
        "artifacts", "The artifacts in the store are not those that the records name", "Ask who wrote"
    ),
    "artifacts_not_checked": Code(
        "artifacts",
        "The artifacts that the records name were not read again: no store was named",
        "`drfsm audit --store s3://BUCKET BUNDLE`",
        severity=REMARK,
    ),
    "mirror_differs": Code("mirror", "The mirror has another record than the log: one of the two was altered"),
    "mirror_is_longer": Code(
        "mirror",
        "The mirror has records that the log lacks: the log's end was cut off, or the bundle is an older copy",
        "Take the mirror for the truth: `drfsm audit s3://BUCKET/PREFIX/drfsm/runs/RUN`",
    ),
    "mirror_is_shorter": Code(
        "mirror",
        "The mirror lacks the log's last records: the process could not write there, or they were added here"
        " afterwards",
        "Ask what the run says of its mirror (`drfsm replay`); the first records are the same",
        severity=REMARK,
    ),
    "mirror_is_missing": Code(
        "mirror", "The store has no mirror of this run", "Ask who removed it; or name its bucket"
    ),
    "mirror_not_compared": Code(
        "mirror",
        "The run's mirror was not compared",
        "`drfsm audit --mirror BUNDLE`, with rights to read the bucket",
        severity=NOTE,
    ),
    "mirror_is_the_same": Code("mirror", "The run's mirror has the same records", "Nothing", severity=NOTE),
}
