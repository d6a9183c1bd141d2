"""Public keys that seals are checked with, and the protocol of what signs. The mathematics is `cryptography`'s.

Three kinds of key: Ed25519, and ECDSA on P-256 (with SHA-256) or on P-384 (with SHA-384). A public key is read from
PEM, or from a line as ssh-keygen writes it (``ssh-ed25519 AAAA…``). Its id is the SHA-256 of its DER form
(SubjectPublicKeyInfo), in hex: the same key has the same id, however its file was written.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from drfsm.claims import bounded, printable
from drfsm.errors import UsageFault
from drfsm.files import given_file

LARGEST_KEY_BYTES = 64 << 10
KINDS = "Ed25519, or ECDSA on P-256 or P-384"
ED25519, P256, P384 = "ed25519", "ecdsa-p256", "ecdsa-p384"
_CURVES = {"secp256r1": P256, "secp384r1": P384}


@frozen
class PublicKey:
    """One public key. ``name``: by what messages name it, as a rule its file."""

    name: str
    kind: str  # one of ED25519, P256, P384
    der: bytes  # SubjectPublicKeyInfo
    key: Any = field(eq=False, repr=False)  # cryptography's

    @property
    def id(self) -> str:
        """The SHA-256 of the DER form, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key. Raises TypeError for another kind."""
        if self.kind != ED25519:
            raise TypeError(f"a key of kind {self.kind} has no 32 bytes")
        return bytes(self.key.public_bytes_raw())

    @property
    def pem(self) -> bytes:
        """The key in PEM, as openssl reads it."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self.key.public_bytes(serialization.Encoding.PEM, form))

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Say whether this key signed a message. A signature of ECDSA is in DER."""
        from cryptography.exceptions import InvalidSignature

        try:
            if self.kind == ED25519:
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, algorithm(self.kind))
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(Protocol):
    """Has a private key, or something that has it: an agent, a key service."""

    @property
    def public(self) -> PublicKey:
        """The key that checks what it signs. Raises UsageFault, Unreachable, ActionFailed."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature under the message's bytes (ECDSA: in DER). Raises as ``public`` does."""


def algorithm(kind: str) -> Any:
    """Return what ECDSA hashes with, for a kind of key."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256() if kind == P256 else hashes.SHA384())


def public_key(name: str, key: Any) -> PublicKey:
    """Return one of cryptography's public keys as ours. Raises UsageFault for another kind."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    kind = ""
    if isinstance(key, ed25519.Ed25519PublicKey):
        kind = ED25519
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = _CURVES.get(key.curve.name, "")
    if not kind:
        raise UsageFault(f"{printable(name)} is a key of another kind than drfsm uses", hint=f"use {KINDS}")
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return PublicKey(name, kind, key.public_bytes(encoding, form), key)


def read_public_key(path: str | Path) -> PublicKey:
    """Return the public key in a file: PEM, or a line of ssh-keygen. Raises UsageFault, also for a private key."""
    raw = given_file(path, "the key", LARGEST_KEY_BYTES)
    if b"PRIVATE KEY" in raw:
        raise UsageFault(
            f"{printable(path)} is a private key; a check needs the public one",
            hint=f"openssl pkey -in {printable(path)} -pubout -out signer.pub   (an ssh key's is beside it, in .pub)",
        )
    return parsed_public_key(str(path), raw)


def read_public_keys(paths: Sequence[str]) -> tuple[PublicKey, ...]:
    """Return the public keys in these files. Raises UsageFault."""
    return tuple(read_public_key(path) for path in paths)


def parsed_public_key(name: str, raw: bytes) -> PublicKey:
    """Return a public key from its text. Raises UsageFault."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        if raw.lstrip().startswith(b"-----BEGIN"):
            key: Any = serialization.load_pem_public_key(raw)
        else:
            key = serialization.load_ssh_public_key(raw.strip())
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise UsageFault(
            f"{printable(name)} is no public key that drfsm reads: {bounded(fault)}",
            hint=f"give PEM or a line of ssh-keygen; {KINDS}",
        ) from None
    return public_key(name, key)
