"""What `drfsm list -o json` and `drfsm replay -o json` say; status.py has `drfsm status`."""

from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    SHA256,
    TEXT,
    WORDS,
    Receipt,
    about,
    array,
    either,
    matching,
    one_of,
    record,
)

_NONE = {"type": "null"}
_STATUSES = ("running", "held", "interrupted", "dry_run", "complete", "aborted", "failed", "refused")

LIST = Receipt(
    "list",
    title="drfsm list -o json",
    description="The runs of this computer, or of a bucket, newest first. What stands here of a mirror is an unchecked"
    " claim.",
    shape=array(
        record(
            {
                "run_id": WORDS,
                "machine": about("Empty where the records can't be read") | TEXT,
                "status": about("damaged: the records can't be read, and `state` says why")
                | one_of(*_STATUSES, "damaged", "none"),
                "state": TEXT,
                "started_at": TEXT,
                "bundle": about("The directory, or the address of the mirror") | WORDS,
                "dry_run": FLAG,
            }
        )
    ),
)

REPLAY = Receipt(
    "replay",
    title="drfsm replay -o json",
    description="The verdict of the audit of a journal, with every finding.",
    shape=record(
        {
            "ok": about("Whether the evidence holds") | FLAG,
            "finished": about("Whether the run has ended") | FLAG,
            "run_id": TEXT,
            "machine": TEXT,
            "machine_sha256": SHA256,
            "declaration": about("Whose declaration it is") | TEXT,
            "status": TEXT,
            "state": TEXT,
            "records": COUNT,
            "head": about("The SHA-256 of the last line that was read") | matching("^[0-9a-f]{64}$"),
            "head_expected": about("Whether it was compared with a head from another place") | FLAG,
            "observations_judged_again": COUNT,
            "findings": array(
                record(
                    {
                        "line": about("Counted from 1; null: of the whole log") | either(COUNT, _NONE),
                        "seq": either(COUNT, _NONE),
                        "rule": WORDS,
                        "what": WORDS,
                    }
                )
            ),
            "notes": array(TEXT),
        }
    ),
)
