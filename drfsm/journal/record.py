"""One record of a journal, and the table of its kinds.

A record is a frozen value: its place in the chain is chain.py's matter, its meaning replay.py's. The
kinds are a table and not classes, so that an auditor needs this page and the YAML, nothing else.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

KINDS: Mapping[str, tuple[str, ...]] = {
    # kind: the keys that its body must have
    "run_started": (
        "run_id",
        "machine",
        "machine_sha256",
        "version",
        "inputs",
        "operator",
        "host",
        "dry_run",
        "scope",
        "state",
    ),
    "lease_acquired": ("epoch", "operator", "host"),
    "resumed": ("operator", "host", "state"),
    "tail_cut": ("bytes", "sha256"),  # a torn last line was cut off by the lease holder
    "sampled": ("row", "state", "facts", "holds"),  # while waiting, when what was seen changed
    "intent": (
        "row",
        "trigger",
        "from",
        "to",
        "by",
        "attempt",
        "effect",
        "guards",
        "facts",
        "before",
        "frozen",
    ),
    "failed": (  # closes its intent only if the verdict is not_done; what is half done stays open
        "row",
        "trigger",
        "state",
        "attempt",
        "error",
        "verdict",
    ),
    "repaired": ("row", "action", "result"),
    "commit": (
        "row",
        "trigger",
        "from",
        "to",
        "by",
        "how",
        "guards",
        "facts",
        "result",
        "frozen",
        "ways",
        "because",
    ),
    "resolved": ("row", "outcome", "reason", "operator"),  # a person settled an open intent
    "rejected": ("state", "trigger", "why", "legal"),
    "held": ("state", "stage", "reason", "frozen", "ways"),
    "forecast": ("row", "trigger", "from", "to", "guards", "sets"),
    "ended": ("state", "status", "reason", "frozen", "ways", "kept"),
    "seal": ("records", "head"),
}
"""Every kind of record and what its body must carry. ``facts`` is {fact: {"value": …, "seen": …}} throughout;
``before`` is {fact: seen}, the exact image that an undo restores; ``frozen`` and ``ways`` are words for people."""


@frozen
class Record:
    """One entry: ``seq`` counts from 0, ``at`` is UTC in ISO 8601 with microseconds and ``Z``."""

    seq: int
    kind: str
    at: str
    body: Mapping[str, Any]

    def missing(self) -> tuple[str, ...]:
        """Return what the body lacks for its kind; an unknown kind lacks everything (``("?",)``)."""
        wanted = KINDS.get(self.kind)
        if wanted is None:
            return ("?",)
        return tuple(key for key in wanted if key not in self.body)
