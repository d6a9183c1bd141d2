"""The summary of a failback: the minimum failback receipt fields, and that a complete run knows them."""

from drfsm.evidence.schemas.shapes import (
    COUNT,
    FACTS_OR_WHY,
    OBJECT,
    POINTERS_OR_WHY,
    TEXT,
    TIME,
    TIME_OR_WHY,
    UNKNOWN,
    WHY,
    WORDS,
    WORDS_OR_WHY,
    Fields,
    Receipt,
    about,
    array,
    const,
    either,
    having,
    one_of,
    record,
    when,
)
from drfsm.evidence.schemas.summary import known, receipt_of, summary

_RECEIPT: Fields = {
    "dr_run_id": about("The run that was canonical while DR owned the pointers") | WORDS_OR_WHY,
    "primary_run_id": about("The run of the primary that became canonical") | WORDS_OR_WHY,
    "freeze_started_at": about("Freeze start: the first schedule of the primary") | TIME_OR_WHY,
    "dr_freeze_started_at": about("Freeze start on DR") | TIME_OR_WHY,
    "freeze_ended_at": about("Freeze end: the primary's schedules run again") | TIME_OR_WHY,
    "pointers_before": about("The global pointer (each of its keys) before: DR's") | POINTERS_OR_WHY,
    "provider_pointers_before": about("The provider pointers before: DR's") | POINTERS_OR_WHY,
    "pointers_after": about("The global pointer after: the primary's") | POINTERS_OR_WHY,
    "provider_pointers_after": about("The provider pointers after: the primary's") | POINTERS_OR_WHY,
    "dr_run_verification": about("Artifact verification of DR's run") | OBJECT,
    "primary_run_verification": about("Artifact verification of the primary's run") | OBJECT,
    "divergence": about("What differs between the two runs") | OBJECT,
    "switched_back_at": about("When the global pointer was moved: the switchback") | TIME_OR_WHY,
    "first_post_failback_run_id": about("The first run that the primary published by itself afterwards") | WORDS_OR_WHY,
    "soak": about("Whether one full batch cycle was awaited; NOT SOAKED, and by whose decision, where it was not")
    | WORDS_OR_WHY,
}
_SINCE_0_3_0: Fields = {
    "account": about("The cloud account and region, and whether somebody said which account it must be") | FACTS_OR_WHY,
    "soak_result": about("passed: the primary published a run by itself; unchanged: it ran, and found nothing new")
    | WORDS_OR_WHY,
}
_ALARMS = array(
    record(
        {
            "alarm": WORDS,
            "changes": about("How often its state changed between since and until") | either(COUNT, UNKNOWN),
        }
    )
)
_SINCE_0_4_0: Fields = {
    "alarm_history": about(
        "How often each of the named alarms changed its state during the run; alarm_history.json has the changes"
    )
    | either(_ALARMS, WHY),
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
_COMPLETE = (
    "caller",
    "freeze_started_at",
    "freeze_ended_at",
    "pointers_before",
    "pointers_after",
    "dr_run_verification",
    "primary_run_verification",
    "switched_back_at",
)

FAILBACK = summary(
    "failback",
    inputs=("bucket", "prefix", "dr_run_id", "primary_run_id"),
    receipt=receipt_of(
        "The machine's own receipt table (the minimum failback receipt fields)",
        having(_RECEIPT, optional={**_SINCE_0_3_0, **_SINCE_0_4_0, **_SINCE_0_5_0, **_SINCE_0_6_0}),
    ),
    rules=(when({"status": const("complete")}, known(*_COMPLETE)),),
)

_STATE = one_of("OK", "ALARM", "INSUFFICIENT_DATA", "unknown")
ALARM_HISTORY = Receipt(
    "alarm_history",
    title="alarm_history.json",
    description="What the alarms that were named to a failback did from its start (`since`) to its end (`until`), as"
    " CloudWatch told it. `changes` counts all changes of state; `newest` has the newest 50 of each alarm, newest"
    " first, with CloudWatch's words cut to 200 characters and without what looks like a credential.",
    shape=record(
        {
            "schema_version": const(1),
            "drfsm_run": WORDS,
            "since": TIME,
            "until": TIME,
            "alarms": _ALARMS,
            "newest": array(
                record({"alarm": WORDS, "at": TIME, "from": _STATE, "to": _STATE, "summary": TEXT, "reason": TEXT})
            ),
        }
    ),
)
