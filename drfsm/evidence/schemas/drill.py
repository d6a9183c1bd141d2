"""What a drill leaves: its summary, a receipt of each phase, and the receipt that a promote checks."""

from drfsm.evidence.phases import SCHEMA_VERSION as PHASE_VERSION
from drfsm.evidence.schemas.shapes import (
    COUNT,
    NONE,
    NUMBER,
    NUMBER_OR_NULL,
    OBJECT_OR_WHY,
    S3_URI,
    SCOPE,
    SHA256,
    SHA256_OR_WHY,
    TEXT,
    TEXT_OR_WHY,
    TIME,
    TIME_OR_WHY,
    WHY,
    WORDS,
    WORDS_OR_NONE,
    WORDS_OR_WHY,
    Fields,
    Receipt,
    about,
    array,
    const,
    either,
    having,
    matching,
    one_of,
    record,
    ref,
    whole,
)
from drfsm.evidence.schemas.summary import receipt_of, summary

_WORDS_OR_OBJECT = either(WORDS, OBJECT_OR_WHY)
_COST = having({"machines": {}, "total": {}})
_RECEIPT: Fields = {
    "git_sha": about("The commit that was drilled") | WORDS_OR_WHY,
    "git_sha_from": about(
        "Where that commit is from: --git-sha, the working directory (and whether it had changes), the published"
        " control plane"
    )
    | WORDS_OR_WHY,
    "image_ref": about("The image that was validated; empty where none was asked for") | TEXT_OR_WHY,
    "account": about("The cloud account") | WORDS_OR_WHY,
    "caller": about("The identity of the credentials") | WORDS_OR_WHY,
    "region": about("The cloud's region") | WORDS_OR_WHY,
    "canonical_owner": about("The owner of the pointers at the start")
    | either(one_of("unclaimed", "primary", "dr", "other"), WHY),
    "backup_uri": about("The restored backup; empty if none was restored") | TEXT,
    "infrastructure": about("How the site was brought up") | one_of("ec2", "terraform", "existing"),
    "bring_up_started_at": TIME_OR_WHY,
    "bring_up_ended_at": TIME_OR_WHY,
    "restore_started_at": TIME_OR_WHY,
    "restore_ended_at": TIME_OR_WHY,
    "state": about("Whether the workload's state was restored, in words") | WORDS_OR_WHY,
    "control_plane": about("The published bundle that the site ran with") | _WORDS_OR_OBJECT,
    "validate_started_at": TIME_OR_WHY,
    "validated_at": about("When the validated run was proven whole") | TIME_OR_WHY,
    "validated_run_id": about("The run that the site published") | WORDS_OR_WHY,
    "validation": about("Its verification, or why there is none") | _WORDS_OR_OBJECT,
    "recovery": about(
        "Seconds from the start until validated, the objective, and whether that covers a recovery or a part of one"
    )
    | either(
        WHY,
        having(
            {
                "started_at": {},
                "validated_by": {},
                "seconds": NUMBER | {"minimum": 0},
                "objective_seconds": NUMBER_OR_NULL,
                "covers": WORDS,
            }
        ),
    ),
    "recovery_objective": either(one_of("within", "over", "unasked"), WHY),
    "promotion": about("The promote's run, with its journal's head and length; or which flags were missing")
    | OBJECT_OR_WHY,
    "teardown": about("The machines that were taken down and observed to be gone; or why they were left")
    | _WORDS_OR_OBJECT,
    "torn_down_at": TIME_OR_WHY,
    "costs": about(
        "Estimated from the plan, and what ran: instance type, minutes, disk; the amount where prices are known"
    )
    | either(
        WHY,
        having(
            {
                "estimated": _COST,
                "actual": _COST,
                "ended_at": TIME,
                "ended_at_is": about("What the minutes are counted to, and whether that is an upper bound") | WORDS,
            }
        ),
    ),
}
_SINCE_0_2_0: Fields = {
    "backup_sha256": about("The backup's digest, over its metadata and its parts") | SHA256_OR_WHY,
    "restore_allowed": about(
        "Fields outside of the restore policy, restored because the operator allowed the object by name"
    )
    | either(ref("exceptions"), WHY),
    "account_confirmed": about("Whether somebody said which account it must be: yes, or no and why") | WORDS_OR_WHY,
    "restore_quiet": either(ref("quiet"), WHY),
}

DRILL = summary(
    "drill",
    inputs=(
        "bucket",
        "prefix",
        "journal_prefix",
        "infrastructure",
        "site",
        "restore",
        "validate",
        "promote",
        "teardown",
    ),
    receipt=receipt_of("The machine's own receipt table", record(_RECEIPT, optional=_SINCE_0_2_0)),
)

PHASE = Receipt(
    "phase.receipt",
    title="phases/<phase>.receipt.json",
    description="How one phase of a drill went, derived from the journal.",
    shape=record(
        {
            "schema_version": about("1, until 0.4.0: what there will never be was unknown, too") | const(PHASE_VERSION),
            "drfsm_run": WORDS,
            "machine": const("drill"),
            "scope": SCOPE,
            "phase": one_of("bringup", "restore", "validate", "promote", "teardown"),
            "outcome": about("skipped: passed over, as asked; given_up: the run ended without it")
            | one_of(
                "not_reached", "running", "held", "complete", "state_not_restored", "skipped", "failed", "given_up"
            ),
            "started_at": either(TIME, NONE),
            "ended_at": TIME_OR_WHY,
            "seconds": either(NUMBER | {"minimum": 0}, WHY),
            "attempts": COUNT,
            "cause": either(NONE, record({"step": TEXT, "reason": TEXT, "error": TEXT})),
            "rows": array(
                record(
                    {
                        "trigger": WORDS,
                        "outcome": one_of("done", "failed", "begun"),
                        "attempts": whole(1),
                        "repaired": COUNT,
                        "started_at": TIME,
                        "ended_at": TIME,
                        "because": WORDS_OR_NONE,
                        "last_error": WORDS_OR_NONE,
                    }
                )
            ),
            "logs": array(matching(r"^[a-z]+\.attempt-[0-9]+\.log$")),
        }
    ),
)

VALIDATION = Receipt(
    "validation.receipt",
    title="validation.receipt.json",
    description="That DR's site did the work once and published beside, with its own identity and settings, and that"
    " what it published is whole. A promote checks it and believes nothing: the journal named here proves it.",
    shape=record(
        {
            "schema_version": one_of(1, 2),
            "drfsm_run": WORDS,
            "machine": one_of("drill"),
            "scope": SCOPE,
            "site": const("dr"),
            "cluster_uid": WORDS,
            "namespace": WORDS,
            "bucket": WORDS,
            "prefix": WORDS,
            "candidate": WORDS,
            "provider": WORDS,
            "profile": WORDS,
            "staged_prefix": about("The run's own prefix, without slashes at its ends")
            | WORDS
            | matching("^[^/].*[^/]$"),
            "run_id": about("The workload's run") | WORDS,
            "image": about("The Job's image") | WORDS,
            "service_account": about("The Job's identity") | WORDS,
            "settings_from": about("Where its environment came from: Kind/name, never values")
            | array(matching("^(Secret|ConfigMap)/.+$")),
            "tree_sha256": about("One digest over every object of the run") | SHA256,
            "objects": whole(1),
            "verification_level": about(
                "declared: held against the run's own report; observed: listed, read and hashed"
            )
            | one_of("declared", "observed"),
            "validated_at": TIME,
            "journal": about("The records that prove it: the last of them commits the verified validation")
            | record({"uri": matching("^s3://[^/]+/.+/drfsm/runs/[^/]+$"), "records": whole(1), "head": SHA256}),
        },
        optional={
            "backup": about("Of version 2: the backup that the same run restored, and its digest")
            | record({"uri": S3_URI, "sha256": SHA256}),
            "workload": about("The contract by which the workload was steered and verified; none from older versions")
            | record({"name": WORDS, "sha256": SHA256}),
        },
    ),
)
