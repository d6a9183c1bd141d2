"""Signatures: the protocols to make and to check them, and what a signature may be for.

A signature covers the raw line of one record, newline included. The line holds the hash of the line before it, so
whoever signed one record vouches for every record up to it. What a key may sign is its namespace: a key that signs
the records of a machine can't sign an approval. Implemented by adapters/ssh_signatures.py; other signers and
verifiers need these two methods and nothing else.
"""

from typing import Protocol

from drfsm.journal import Record

RECORD, APPROVAL, SEAL = "drfsm-intent", "drfsm-approval", "drfsm-seal"
"""The namespaces, as an allowed-signers file names them (``namespaces="drfsm-intent,drfsm-seal"``)."""


class Verifier(Protocol):
    """Knows the keys that the operator trusts."""

    def signer(self, namespace: str, message: bytes, signature: bytes) -> str | None:
        """Return the name under which a trusted key signed this message; None if none did.

        Raises UsageFault if this machine can't check signatures at all.
        """


class Signer(Protocol):
    """Has a private key, or an agent that has it."""

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return a detached signature. Raises UsageFault where the key can't be used."""


def namespace_of(record: Record) -> str:
    """Return the namespace of this record's signature."""
    if record.kind == "seal":
        return SEAL
    return APPROVAL if is_approval(record) else RECORD


def is_approval(record: Record) -> bool:
    """Whether a record commits a person's approval."""
    return record.kind == "commit" and record.body.get("trigger") == "approve"
