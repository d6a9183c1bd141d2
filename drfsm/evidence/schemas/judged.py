"""What `drfsm coverage -o json` and `drfsm replay --under FILE -o json` say."""

from drfsm.evidence.coverage import KINDS
from drfsm.evidence.schemas.shapes import (
    COUNT,
    FLAG,
    NONE,
    SHA256,
    TEXT,
    TIME,
    WORDS,
    WORDS_OR_NONE,
    Receipt,
    about,
    array,
    const,
    either,
    one_of,
    record,
)

_COVERED = ("live", "drill", "older", "never")
_USE = either(
    NONE,
    record(
        {
            "at": about("When") | TIME,
            "run_id": about("By which run") | WORDS,
            "machine_sha256": about("Under which declaration") | SHA256,
        }
    ),
)
_COUNTS = record(
    {
        "parts": about("How many there are") | COUNT,
        "live": about("Exercised live, under this declaration") | COUNT,
        "drill": about("Exercised in a drill only") | COUNT,
        "older": about("Exercised under another declaration only") | COUNT,
        "never": about("Never exercised by the runs that were counted") | COUNT,
    }
)

COVERAGE = Receipt(
    "coverage",
    title="drfsm coverage MACHINE -o json",
    description="Which parts of a machine were ever exercised, by the records of runs whose evidence holds.",
    shape=record(
        {
            "schema_version": const(1),
            "machine": WORDS,
            "machine_sha256": about("The declaration whose parts these are") | SHA256,
            "runs": about("How many runs were counted") | COUNT,
            "dry_runs": about("How many dry runs there are beside them; they exercise nothing") | COUNT,
            "left_out": about("Runs that were not counted")
            | array(record({"run": about("Its bundle, or its address") | WORDS, "why": WORDS})),
            "summary": about("How much of each kind is covered")
            | record({kind: about(f"Of the kind {kind}") | _COUNTS for kind in KINDS}),
            "parts": about("Every part, in the order of the declaration")
            | array(
                record(
                    {
                        "kind": about("What it is") | one_of(*KINDS),
                        "name": about("Its trigger, its undo action, the step of a hold, or the letter of a case")
                        | WORDS,
                        "state": about("The state that it belongs to") | WORDS,
                        "row": WORDS_OR_NONE,
                        "about": TEXT,
                        "covered": about("How well: live, in a drill only, under another declaration only, never")
                        | one_of(*_COVERED),
                        "times": about("How often, by all runs together") | COUNT,
                        "last_live": about("When it was last exercised live") | _USE,
                        "last_drill": about("When it was last exercised in a drill") | _USE,
                        "last_older": about("When it was last exercised under another declaration") | _USE,
                    }
                )
            ),
            "gone": about("What runs did under another declaration, and this one does not have")
            | array(record({"what": WORDS, "times": about("How often") | COUNT})),
        }
    ),
)

_THEN = ("allowed", "held", "refused")

COUNTERFACTUAL = Receipt(
    "counterfactual",
    title="drfsm replay --under FILE -o json",
    description="A recorded run judged by another declaration: what it would have decided, over what was read then."
    " After the first decision that differs, the rest is of a run that came there all the same.",
    shape=record(
        {
            "schema_version": const(1),
            "run_id": WORDS,
            "machine": WORDS,
            "recorded_sha256": about("The declaration that the run is pinned to") | SHA256,
            "under_sha256": about("The declaration that judges it here") | SHA256,
            "same": about("Whether nothing would be decided otherwise, as far as that can be told") | FLAG,
            "first_difference": about("The record of the first decision that would be another") | either(NONE, COUNT),
            "decisions": about("Every decision of the run")
            | array(
                record(
                    {
                        "seq": COUNT,
                        "at": TIME,
                        "state": TEXT,
                        "trigger": TEXT,
                        "then": about("What was decided") | one_of(*_THEN),
                        "now": about("What the other declaration would have decided; unknown: nobody read what it asks")
                        | one_of(*_THEN, "waits", "elsewhere", "unknown"),
                        "because": about("Why; empty where nothing is to be said") | TEXT,
                    }
                )
            ),
            "never_rules_broken": about("Never rules of the other declaration that the readings break") | array(WORDS),
            "remarks": about("What would be otherwise without another decision") | array(WORDS),
        }
    ),
)
