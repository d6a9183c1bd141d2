"""Which commands the configuration reaches. Apart, so that `drfsm status` starts without the table of the keys."""

ON_A_RUN = frozenset(
    ("status", "list", "replay", "resume", "abort", "hold", "skip", "request", "resolve", "approve", "decline",
     "answer", "worker", "fleet")
)  # fmt: skip
"""Commands on runs that were begun: their options take nothing from the file. A run goes on with what it recorded."""
TRUSTING = ("drill", "validate", "failback", "promote", *sorted(ON_A_RUN - {"status", "list", "hold"}))
"""Commands that ask whom to trust: by digests of machines, by allowed signers."""
