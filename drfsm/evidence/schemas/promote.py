"""The summary of a promote: its minimum receipt fields, what proves them, and that a complete run knows them."""

from drfsm.evidence.schemas.shapes import (
    FACTS_OR_WHY,
    OBJECT,
    POINTERS_OR_WHY,
    SHA256,
    SHA256_OR_WHY,
    TEXT,
    TEXT_OR_WHY,
    TIME_OR_WHY,
    WHY,
    WORDS_OR_WHY,
    Fields,
    about,
    array,
    const,
    either,
    having,
    mapping,
    matching,
    one_of,
    when,
)
from drfsm.evidence.schemas.summary import known, receipt_of, summary

_RECEIPT: Fields = {
    "operator": about("Operator identity: who fired the approval") | WORDS_OR_WHY,
    "approved_at": about("Approval timestamp (UTC): of the record of the approval") | TIME_OR_WHY,
    "ticket": about("Ticket or change id") | WORDS_OR_WHY,
    "approved_plan": about("Digest of the plan that was approved") | SHA256_OR_WHY,
    "plan": about("The plan that was approved, as it was read then") | FACTS_OR_WHY,
    "execution_id": about("Execution id: the orchestrator's, else the drfsm run's") | WORDS_OR_WHY,
    "execution_kind": about("Which of the two it is") | either(WHY, one_of("orchestrator", "drfsm run")),
    "clusters": about("Cluster identity: site -> UID of its kube-system namespace, or why it was not asked")
    | either(WHY, mapping(TEXT) | {"required": ["dr", "primary"]}),
    "instance_ids": about("Instance ids of DR's runners; empty: it depends on none") | either(WHY, array(TEXT)),
    "canonical_run_id": about("The run that was chosen to be canonical") | WORDS_OR_WHY,
    "in_place_of_run_id": about("The run that was canonical before; empty: none") | TEXT_OR_WHY,
    "receipt_prefix": about("Receipt object prefix: where the journal and this summary lie in S3")
    | either(WHY, matching("^s3://[^/]+/.+/drfsm/runs/.+$")),
    "target": about("Whether canonical pointers moved, or a drill's own") | one_of("canonical", "drill"),
    "validation": about("What proved DR: the checked receipt, or what an own validation published with") | FACTS_OR_WHY,
    "dr_run_verification": about("Artifact verification of DR's run") | OBJECT,
    "primary_stop": about("How the primary was kept from publishing") | WORDS_OR_WHY,
    "primary_fence": about("The fence's statement, as it was read after it was written") | FACTS_OR_WHY,
    "freeze_started_at": about("Freeze start on the primary") | TIME_OR_WHY,
    "primary_quiesced_at": about("When the primary was seen drained, or declared lost") | TIME_OR_WHY,
    "pointers_before": about("The global pointer (each of its keys) before: the primary's") | POINTERS_OR_WHY,
    "provider_pointers_before": about("The provider pointers before: the primary's") | POINTERS_OR_WHY,
    "pointers_after": about("The global pointer after: DR's") | POINTERS_OR_WHY,
    "provider_pointers_after": about("The provider pointers after: DR's") | POINTERS_OR_WHY,
    "switched_at": about("When the global pointer was moved") | TIME_OR_WHY,
    "dr_scheduled_at": about("When DR's schedules were switched on") | TIME_OR_WHY,
    "rehearsed": about("Of a drill: that it was only rehearsed") | WORDS_OR_WHY,
}
_SINCE_0_2_0: Fields = {
    "approver": about("Who approved, as observed by the approving process: the name, and what is proven")
    | FACTS_OR_WHY,
    "account": about("The cloud account and region, and whether somebody said which account it must be") | FACTS_OR_WHY,
    "two_people": about(
        "Whether the policy asked that the approver is another than the starter, and by what that was compared"
    )
    | FACTS_OR_WHY,
    "shown_plan": about("Digest of the plan that was shown when the run began to wait") | SHA256_OR_WHY,
    "declined_at": about("When a person declined it, which is for good") | TIME_OR_WHY,
    "declined_by": about("That person") | WORDS_OR_WHY,
    "backup": about("The backup that DR was restored from, by the validation's receipt")
    | either(WHY, having({"uri": TEXT, "sha256": SHA256})),
}
_SINCE_0_5_0: Fields = {
    "caller": about("The ARN of the credentials that the run worked with, as the cloud reports it") | WORDS_OR_WHY,
}
_SINCE_0_6_0: Fields = {
    "active_site": about("The active-site document as this run declared it") | FACTS_OR_WHY,
    "endpoints": about("Where the endpoints' names lead, by their records, after the move") | FACTS_OR_WHY,
    "writes_closed_at": about("When the old site was told to take no more writes") | TIME_OR_WHY,
    "endpoints_moved_at": about("When the names were moved") | TIME_OR_WHY,
    "writes_opened_at": about("When the new site was told to take writes") | TIME_OR_WHY,
}
_SWITCHED = (
    "caller",
    "execution_id",
    "execution_kind",
    "clusters",
    "canonical_run_id",
    "receipt_prefix",
    "dr_run_verification",
    "pointers_before",
    "provider_pointers_before",
    "pointers_after",
    "provider_pointers_after",
    "switched_at",
)
_APPROVED = (
    "operator",
    "approved_at",
    "ticket",
    "approved_plan",
    "plan",
    "primary_stop",
    "primary_quiesced_at",
    "dr_scheduled_at",
    "validation",
)

PROMOTE = summary(
    "promote",
    inputs=("bucket", "prefix", "dr_run_id", "target", "validation"),
    receipt=receipt_of(
        "The machine's own receipt table: the minimum promote receipt fields, and what proves them",
        about("Runs that 0.1.0 began have no approver, two_people, shown_plan, declined_at and declined_by")
        | having(_RECEIPT, optional={**_SINCE_0_2_0, **_SINCE_0_5_0, **_SINCE_0_6_0}),
    ),
    rules=(
        when({"status": const("complete"), "state": const("complete")}, known(*_APPROVED, *_SWITCHED)),
        when({"status": const("complete"), "state": const("rehearsal_complete")}, known("rehearsed", *_SWITCHED)),
    ),
)
