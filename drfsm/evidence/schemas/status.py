"""What `drfsm status -o json` says beside the summary: the other runs of this computer."""

from drfsm.evidence.schemas.shapes import (
    FLAG,
    TEXT,
    TIME,
    UNKNOWN,
    WORDS,
    Receipt,
    about,
    array,
    either,
    having,
    matching,
    one_of,
    record,
)

_OTHER_RUN = record(
    {
        "run_id": WORDS,
        "status": about("Unknown, as the fields below: its records cannot be read")
        | either(UNKNOWN, one_of("running", "held", "interrupted", "complete", "aborted", "failed")),
        "state": either(UNKNOWN, WORDS),
        "open": about("Whether it has not ended: what it froze stays frozen until it goes on") | either(UNKNOWN, FLAG),
        "frozen": about("What is frozen by it, and since when it knows of that")
        | either(UNKNOWN, array(record({"what": TEXT, "since": TIME}))),
        "type": about("The command that says more about it") | matching("^drfsm status "),
    }
)

STATUS = Receipt(
    "status",
    title="drfsm status -o json",
    description="The summary of the run that is shown (<machine>.summary.schema.json), and one field more: every other"
    " run of this computer that is open, that left something frozen, or whose records cannot be read; newest first."
    " Where no run can be shown, as several are open, that field is all there is, and the exit code is 2.",
    shape=having({"other_runs": array(_OTHER_RUN)}),
)
