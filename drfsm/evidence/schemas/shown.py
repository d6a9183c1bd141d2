"""What `drfsm list -o json`, `drfsm replay -o json` and `drfsm audit -o json` say; status.py has `drfsm status`."""

from drfsm.evidence.audit.audited import VERDICTS
from drfsm.evidence.audit.codes import CODES, RULES, SEVERITIES
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

_OR_NONE = either(TEXT, _NONE)
_OUTCOME = one_of("held", "remarked", "broken", "not_asked")
AUDIT = Receipt(
    "audit",
    title="drfsm audit -o json",
    description="The audit of one or several bundles: a verdict of each, every finding with its code, and one summary.",
    shape=record(
        {
            "verdict": about("The worst of all bundles") | one_of(*VERDICTS),
            "counts": record(
                {
                    verdict.replace(" ", "_"): about(f"How many bundles have the verdict: {verdict}") | COUNT
                    for verdict in VERDICTS
                }
            ),
            "bundles": about("Each bundle, and the bundles of the runs that it began")
            | array(
                record(
                    {
                        "bundle": about("The directory, or the address of the mirror") | WORDS,
                        "verdict": one_of(*VERDICTS),
                        "mode": about("live, drill or dry_run, as the log says; null: there is no log") | _OR_NONE,
                        "run_id": _OR_NONE,
                        "machine": _OR_NONE,
                        "machine_sha256": either(SHA256, _NONE),
                        "declaration": about("Whose declaration it is") | _OR_NONE,
                        "status": _OR_NONE,
                        "state": _OR_NONE,
                        "finished": about("Whether the run has ended and its log is sealed") | either(FLAG, _NONE),
                        "records": either(COUNT, _NONE),
                        "head": about("The SHA-256 of the last line that was read")
                        | either(matching("^[0-9a-f]{64}$"), _NONE),
                        "observations_judged_again": COUNT,
                        "rules": about("How each rule of the audit came out")
                        | record({name: about(rule.asks) | _OUTCOME for name, rule in RULES.items()}),
                        "findings": array(
                            record(
                                {
                                    "code": about("`drfsm explain CODE` says what it means") | one_of(*CODES),
                                    "rule": one_of(*RULES),
                                    "severity": one_of(*SEVERITIES),
                                    "file": about("A path in the bundle; empty: the log") | TEXT,
                                    "line": about("Counted from 1; null: no single line") | either(COUNT, _NONE),
                                    "seq": about("The record's number; null: no single record") | either(COUNT, _NONE),
                                    "what": WORDS,
                                    "expected": about("null: `what` says it all") | _OR_NONE,
                                    "found": about("null: nothing, or `what` says it all") | _OR_NONE,
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
)
