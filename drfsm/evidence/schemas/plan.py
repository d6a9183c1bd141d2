"""What `drfsm plan -o json` prints, and `--out` saves under a digest. runs/plan.py makes it, plan_files.py reads it.

A plan that somebody else made is only a claim: the patterns and limits here are what a reader relies on.
"""

from drfsm.evidence.schemas.shapes import (
    FLAG,
    NAMES,
    NONE,
    NUMBER,
    SHA256,
    TEXT,
    TIME,
    UNKNOWN,
    WORDS,
    WORDS_OR_NONE,
    Fields,
    Receipt,
    about,
    array,
    const,
    either,
    mapping,
    matching,
    one_of,
    record,
    whole,
)

_OPTION = either(TEXT, NUMBER, FLAG, array(TEXT))
_GUARD: Fields = {
    "guard": WORDS,
    "fact": WORDS,
    "needed": NAMES,
    "outcome": about("What is known of it before anything is done (docs/plan.md)")
    | one_of("holds", "made", "later", "waits", "warns", "fails", "unread"),
    "value": either(UNKNOWN, WORDS),
    "why": WORDS_OR_NONE,
    "because": TEXT,
    "what_to_do": WORDS_OR_NONE,
}
_CHANGE = record(
    {
        "fact": WORDS,
        "object": WORDS,
        "before": either(UNKNOWN, WORDS),
        "after": WORDS,
    }
)
_WAY_BACK = record(
    {
        "how": one_of("refuse", "abort", "forward", "none", "ended"),
        "words": WORDS,
        "undoes": about("The triggers whose changes an abort undoes, newest first") | NAMES,
        "keeps": about("What an abort leaves changed, and why") | array(record({"row": WORDS, "because": WORDS})),
    }
)
_SECONDS = either(
    NONE,
    about("Of earlier runs: the median, the least and the most")
    | record({"typical": NUMBER, "least": NUMBER, "most": NUMBER, "runs": whole(1)}),
)
_ROW = record(
    {
        "number": whole(1),
        "row": WORDS,
        "trigger": WORDS,
        "from": WORDS,
        "to": WORDS,
        "by": one_of("runner", "operator", "failure"),
        "because": TEXT,
        "action": WORDS_OR_NONE,
        "point_of_no_return": FLAG,
        "sets": about("What its action sets: fact -> value") | mapping(WORDS),
        "guards": array(record(_GUARD)),
        "changes": array(_CHANGE),
        "already": about("Its objects are as it would leave them") | FLAG,
        "waits_at_most": about("Seconds") | either(NONE, NUMBER),
        "frozen_then": about("What is frozen once the row is taken") | NAMES,
        "way_back": about("From the state that the row leads to") | _WAY_BACK,
        "seconds": _SECONDS,
    }
)
_FINDING = record(
    {
        "row": WORDS,
        "would": about("What would become of the run at that row, or in its preflight")
        | one_of("refuse", "hold", "warn"),
        **{name: shape for name, shape in _GUARD.items() if name != "outcome"},
        "guard": WORDS_OR_NONE,
    }
)
_SUM: Fields = {
    "seconds": either(UNKNOWN, NUMBER),
    "not_counted": about("The triggers of which no earlier run says how long they take") | NAMES,
    "decisions": about("The triggers that a person asks for: nobody knows how long that takes") | NAMES,
}

PLAN = Receipt(
    "plan",
    title="drfsm plan -o json",
    description="What a procedure would do now, row by row, and whether it would start. A field that could not be read"
    ' is {"unknown": why}; one that does not apply is {"none": why}.',
    shape=record(
        {
            "schema_version": const(1),
            "procedure": one_of("failback", "promote", "drill"),
            "machine_sha256": SHA256,
            "version": about("drfsm's, that made it") | WORDS,
            "made_at": TIME,
            "made_by": TEXT,
            "run_id": about("The run that this plan is reserved for: one start may use it")
            | matching(r"^(failback|promote|drill)-[A-Za-z0-9._-]{1,100}$"),
            "options": about("The options that were given: `--plan FILE` gives them again") | mapping(_OPTION),
            "inputs": about("The run's inputs, as far as a reader may see them")
            | mapping(either(TEXT, NUMBER, FLAG, array(TEXT), {"type": "null"})),
            "withheld": about("Input that is not shown -> a digest that tells only whether it is the same")
            | mapping(SHA256),
            "facts": about("Every fact that was read, and what it is about")
            | mapping(record({"value": either(UNKNOWN, WORDS), "about": mapping(TEXT)})),
            "frozen_now": NAMES,
            "rows": array(_ROW, 1),
            "findings": array(_FINDING),
            "unread": array(record({"why": WORDS, "row": WORDS, "facts": NAMES})),
            "point_of_no_return": about("The trigger of its row") | WORDS_OR_NONE,
            "missed_runs": about("What Kubernetes would start, if the schedules were resumed now")
            | either(NONE, UNKNOWN, array(record({"cronjob": WORDS, "starts_at_once": FLAG, "words": WORDS}))),
            "durations": record(
                {
                    "whole": record(_SUM),
                    "nobody_can_publish": array(record({"from": WORDS, "until": WORDS_OR_NONE, **_SUM})),
                    "earlier_runs": about("The runs that the times are of") | NAMES,
                }
            ),
            "lease": either(NONE, UNKNOWN, record({"held": WORDS, "what_to_do": TEXT})),
            "outcome": about("Exit codes 0, 3 and 9") | one_of("would_start", "would_be_refused", "unreadable"),
        },
        optional={
            "policy": about("The approvals that a start from it needs; a plan without it needs none")
            | record({"approvals": whole(1), "distinct": FLAG, "expires_seconds": NUMBER, "signed": FLAG}),
            "sha256": about("Of the canonical JSON of all other fields; where it was saved") | SHA256,
        },
    ),
)
