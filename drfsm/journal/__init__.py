"""What happened: records, the bytes that chain them, and the fold that reads them back."""

from drfsm.journal.chain import GENESIS, Chain, Scan, digest, encode, exact, lines, read
from drfsm.journal.record import KINDS, Record
from drfsm.journal.replay import Actor, Cause, InFlight, OpenIntent, RunState, Undoable, findings_of, fold

__all__ = [
    "GENESIS",
    "KINDS",
    "Actor",
    "Cause",
    "Chain",
    "InFlight",
    "OpenIntent",
    "Record",
    "RunState",
    "Scan",
    "Undoable",
    "digest",
    "encode",
    "exact",
    "findings_of",
    "fold",
    "lines",
    "read",
]
