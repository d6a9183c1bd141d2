"""What `drfsm bundle verify -o json` and `drfsm bundle prune -o json` say."""

from drfsm.evidence.audit.audited import VERDICTS
from drfsm.evidence.schemas.shapes import COUNT, FLAG, TEXT, WORDS, Receipt, about, array, either, one_of, record
from drfsm.evidence.sealing_rules import RULES

VERIFIED = Receipt(
    "bundle.verify",
    title="drfsm bundle verify -o json",
    description="What a bundle's seals say of its files, and, where asked, the checkpoints in the bucket of its log.",
    shape=record(
        {
            "bundle": about("The directory, or the archive, as it was named") | WORDS,
            "verdict": one_of(*VERDICTS),
            "witness_asked": about("Whether the checkpoints in the bucket were read") | FLAG,
            "findings": array(
                record(
                    {
                        "rule": about("`drfsm explain RULE` says what it means, and what to do") | one_of(*RULES),
                        "remark": about("Whether the evidence holds all the same") | FLAG,
                        "line": about("Of the log, counted from 1; null: no single line")
                        | either(COUNT, {"type": "null"}),
                        "what": WORDS,
                    }
                )
            ),
        }
    ),
)
PRUNED = Receipt(
    "bundle.prune",
    title="drfsm bundle prune -o json",
    description="Each run of this computer that ended so long ago, and what became of its bundle.",
    shape=array(
        record(
            {
                "bundle": about("The bundle's directory") | WORDS,
                "run_id": WORDS,
                "ended_at": about("When the run ended, UTC") | WORDS,
                "archive": about("Where its newest archive lies; empty: it was not pushed") | TEXT,
                "outcome": about("would go: nothing is removed without --yes") | one_of("stays", "removed", "would go"),
                "why": about("Why it stays; empty where it does not") | TEXT,
            }
        )
    ),
)
