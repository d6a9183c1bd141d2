"""What the dashboard says: one JSON document, which `drfsm dashboard` gathers and its page shows.

drfsm/dashboard/ makes it. Each value that could not be read is ``{"unknown": why}``, and stands in `unread` too; one of
which there is none is ``{"none": why}``.
"""

from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    NONE,
    NUMBER,
    SCOPE,
    TEXT,
    TIME,
    TIME_OR_WHY,
    UNKNOWN,
    WHY,
    WORDS,
    WORDS_OR_NONE,
    WORDS_OR_WHY,
    Receipt,
    about,
    array,
    const,
    either,
    one_of,
    record,
)

_SITE = one_of("primary", "dr")
_ACTIVE = about("primary, dr; mixed: it is split between both; other: neither of the two") | one_of(
    "primary", "dr", "mixed", "other"
)
_ACTIVE_OR_WHY = either(WHY, _ACTIVE)
_ANSWER = about("Whether anybody can, and since when nobody can") | record(
    {
        "possible": about("none: nothing decides it, as in batch mode nobody writes")
        | one_of("yes", "no", "unknown", "none"),
        "because": WORDS,
        "nobody_since": TIME_OR_WHY,
    }
)
_READ = about("When it was read, and by whom: a run's records, or this command") | record({"at": TIME, "by": WORDS})
_READING = either(WHY, record({"value": WORDS, "read": _READ}))
_SITE_STATE = record(
    {
        "schedules": about("on, off, mixed, none or taken down, as of a time") | _READING,
        "publishing": about("on, off, mixed or taken down, as of a time") | _READING,
        "fence": about("down; up: its identity can move no pointer; altered: somebody changed the fence")
        | either(UNKNOWN, one_of("up", "down", "altered")),
    }
)
_RUN = {
    "run_id": WORDS,
    "machine": WORDS_OR_WHY,
    "scope": either(WHY, SCOPE),
    "dry_run": FLAG,
    "status": about("damaged: its records can't be read") | WORDS,
    "state": WORDS_OR_WHY,
    "started_at": TIME_OR_WHY,
    "last_record_at": TIME_OR_WHY,
    "operator": WORDS_OR_WHY,
    "host": WORDS_OR_WHY,
    "reason": WORDS_OR_NONE,
    "superseded_by": about("The run that took it over, and changed the sites since") | WORDS_OR_NONE,
    "known_from": about("Where its records were read: this computer's bundle, the mirror in the bucket, or both")
    | one_of("bundle", "mirror", "both"),
}
_OPEN_RUN = record(
    {
        **_RUN,
        "waits_for": WORDS,
        "frozen": array(record({"what": WORDS, "since": TIME})),
        "next": about("What to type on its host, the most likely first")
        | array(record({"type": WORDS, "because": WORDS})),
    }
)
_ENDED_RUN = record(
    {
        **_RUN,
        "ended_at": TIME_OR_WHY,
        "seconds": either(WHY, NUMBER | {"minimum": 0}),
        "pointers_moved_at": about("When the global pointer was moved, where it was") | TIME_OR_WHY,
    }
)
_DRILL = record(
    {
        "run_id": WORDS,
        "started_at": TIME,
        "ended_at": TIME,
        "result": about("complete, aborted, failed or refused") | WORDS,
        "state": WORDS,
        "recovery_seconds": about("From the start until the site's run was proven whole")
        | either(WHY, NUMBER | {"minimum": 0}),
        "objective_seconds": either(WHY, NUMBER | {"minimum": 0}),
        "covers": about("Whether these seconds are of a whole recovery, or of a part of one") | WORDS_OR_WHY,
    }
)
_NAME = record(
    {
        "name": WORDS,
        "host": WORDS,
        "records": about("Where the records lead") | _ACTIVE_OR_WHY,
        "served": about("Where every server for the zone leads; mixed: they do not agree yet") | _ACTIVE_OR_WHY,
    }
)

DASHBOARD = Receipt(
    "dashboard",
    title="drfsm/dashboard/status.json",
    description="What `drfsm dashboard` shows: active sites, who can publish and write, runs. It is of `read_at`, and"
    ' says nothing of later. What could not be read is {"unknown": why} in its place, and stands in `unread`; where'
    ' there is none of something, that is {"none": why}.',
    shape=record(
        {
            "schema_version": const(1),
            "read_at": about("By the clock of the computer that read it") | TIME,
            "drfsm_version": WORDS,
            "workload": WORDS,
            "bucket": WORDS,
            "prefix": WORDS,
            "unread": about("Everything that could not be read; empty: all was")
            | array(record({"what": WORDS, "why": WORDS})),
            "pointers": record(
                {
                    "site": about("The owner of the pointers, by drfsm's own object") | _ACTIVE_OR_WHY,
                    "since": TIME_OR_WHY,
                    "since_is": about("Which time that is") | WORDS,
                    "moved_by": about("The run that wrote it") | WORDS_OR_WHY,
                    "run_id": about("The workload's run that every pointer of the set names") | WORDS_OR_WHY,
                }
            ),
            "endpoints": record(
                {
                    "site": about("The active site, by the active-site document") | either(WHY, _SITE),
                    "writes": about("Whether that site takes its users' writes")
                    | either(WHY, one_of("open", "closed")),
                    "since": about("When site or writes last changed") | TIME_OR_WHY,
                    "epoch": either(WHY, COUNT),
                    "declared_by": about("The run that wrote it") | WORDS_OR_WHY,
                    "names": either(WHY, array(_NAME)),
                }
            ),
            "schedules": record(
                {
                    "site": about("The site whose schedules are on; mixed: both are, or a part of one's")
                    | _ACTIVE_OR_WHY,
                    "since": about("Since when they were seen so, without a change in between") | TIME_OR_WHY,
                    "sites": record({"primary": _SITE_STATE, "dr": _SITE_STATE}),
                }
            ),
            "publish": _ANSWER,
            "write": _ANSWER,
            "lease": about("The run that may act now, as it says itself")
            | either(WHY, record({"held": FLAG, "run_id": WORDS, "epoch": COUNT, "operator": TEXT, "host": TEXT})),
            "open_runs": about("Those that have not ended, newest first") | array(_OPEN_RUN),
            "last_drill": about("The newest drill that ended") | either(NONE, UNKNOWN, _DRILL),
            "history": about("The runs that have ended, newest first") | array(_ENDED_RUN),
        }
    ),
)
