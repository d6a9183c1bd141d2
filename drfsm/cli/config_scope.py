"""Which commands the configuration reaches. Apart, so that `drfsm status` starts without the table of the keys."""

ON_A_RUN = frozenset(
    ("status", "list", "replay", "audit", "resume", "abort", "hold", "skip", "request", "resolve", "approve",
     "decline", "answer", "worker", "watch", "metrics", "report", "coverage", "exercise", "receipts")
)  # fmt: skip
"""Commands on runs that were begun: their options take nothing from the file. A run goes on with what it recorded, and
is told from its own records: `watch` with the file's bucket would look for a run of this computer in that bucket."""
TRUSTING = (
    "drill",
    "validate",
    "failback",
    "promote",
    *sorted(ON_A_RUN - {"status", "list", "hold", "watch", "metrics"}),
)
"""Commands that ask whom to trust: by digests of machines, by allowed signers."""


def as_its_start(words: str) -> str:
    """Return the words of the command whose rules hold: a plan takes from the file what its start takes."""
    return words.removeprefix("plan ")
