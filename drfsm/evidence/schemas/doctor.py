"""What `drfsm doctor -o json` says: the verdict, the last green drill, every finding."""

from drfsm.evidence.schemas.shapes import (
    NUMBER,
    TEXT,
    TIME,
    WORDS,
    Receipt,
    about,
    array,
    const,
    either,
    mapping,
    matching,
    one_of,
    record,
)

_NULL = {"type": "null"}
_TIME_OR_NULL = either(TIME, _NULL)
_FINDING = record(
    {
        "code": about("Stable; `drfsm explain CODE` knows it") | matching("^[a-z][a-z0-9_]*$"),
        "severity": one_of("error", "unknown", "warning", "accepted"),
        "subject": about("Of what: a site, an object, a run") | TEXT,
        "words": WORDS,
        "mend": about("What to do about this one") | TEXT,
    }
)
_DRILL = record(
    {
        "run_id": WORDS,
        "where": about("Its bundle, or the URI of its mirror") | WORDS,
        "vouched": about("Who answers for its records: this machine, a trusted key, or nobody")
        | one_of("own", "signed", "claim"),
        "proven_at": TIME,
        "ends_at": about("By the drill interval; null without one") | _TIME_OR_NULL,
        "voided_by": about("Codes of what changed since that it relied on") | array(WORDS),
    }
)

DOCTOR = Receipt(
    "doctor",
    title="drfsm doctor -o json",
    description="Whether this machine and these sites are ready, and until when. What could not be read is a finding of"
    " severity unknown, and never ready.",
    shape=record(
        {
            "schema_version": const(1),
            "drfsm_version": WORDS,
            "verdict": one_of("ready", "not_ready", "unknown"),
            "ready_until": about("By date; null where it is not ready, or no drill interval is set") | _TIME_OR_NULL,
            "read_at": TIME,
            "owner": about("The owner of the pointers; null where that could not be read") | either(WORDS, _NULL),
            "last_green_drill": either(_DRILL, _NULL),
            "findings": array(_FINDING),
            "held": about("The checks without a finding") | array(WORDS),
            "numbers": about("What was measured, by the names of the Prometheus metrics") | mapping(NUMBER),
        }
    ),
)
