"""Signs seals with a key of AWS KMS: the private key never leaves the service. Called by signing.py.

KMS hashes a message of at most 4,096 bytes itself (``RAW``); of a longer one it is given the hash (``DIGEST``). Each
signature is checked with the key's public half before it is used.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property

from drfsm.adapters.aws_session import Services, call
from drfsm.claims import bounded, printable
from drfsm.errors import ActionFailed, UsageFault
from drfsm.evidence.sealing_keys import KINDS, P256, P384, PublicKey, public_key

LARGEST_RAW_BYTES = 4096
_ALGORITHMS = {P256: "ECDSA_SHA_256", P384: "ECDSA_SHA_384"}
_HASHES = {P256: hashlib.sha256, P384: hashlib.sha384}


def kms_signer(key_id: str, places: Mapping[str, str]) -> "KmsSigner":
    """Return what signs with this key: its id, ``alias/NAME`` or ARN. Makes no call yet. Raises UsageFault."""
    if not key_id or not key_id.isprintable() or " " in key_id:
        raise UsageFault(
            f"awskms:{bounded(key_id, 100)} names no key of KMS", hint="awskms:alias/NAME, or the ARN of a key"
        )
    region = key_id.split(":")[3] if key_id.startswith("arn:") and key_id.count(":") > 4 else ""  # noqa: PLR2004
    return KmsSigner(Services(places.get("endpoint_url") or None, region or places.get("region") or None), key_id)


class KmsSigner:
    """Signs with one key of KMS."""

    def __init__(self, services: Services, key_id: str) -> None:
        self._services, self._key_id = services, key_id

    @cached_property
    def public(self) -> PublicKey:
        """The public key. Raises UsageFault for a key of another kind, Unreachable, ActionFailed."""
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        kms = self._services.client("kms")
        answer = call(f"reading the public key of {self._named}", lambda: kms.get_public_key(KeyId=self._key_id))
        key = public_key(f"awskms:{self._key_id}", load_der_public_key(answer["PublicKey"]))
        if answer["KeyUsage"] != "SIGN_VERIFY" or key.kind not in _ALGORITHMS:
            raise UsageFault(f"{self._named} does not sign as drfsm needs it", hint=f"make a key that signs: {KINDS}")
        return key

    def sign(self, message: bytes) -> bytes:
        """Return the signature, in DER. Raises UsageFault, Unreachable, ActionFailed."""
        signature = self.unchecked(message)
        if not self.public.verifies(message, signature):
            raise ActionFailed(
                f"the signature that {self._named} gave does not hold under its own public key",
                hint="check what answers there (--endpoint-url, AWS_ENDPOINT_URL_KMS)",
                fault="store",
            )
        return signature

    def unchecked(self, message: bytes) -> bytes:
        """Return the signature as the service gave it. Raises as ``sign`` does."""
        kind, kms = self.public.kind, self._services.client("kms")
        is_short = len(message) <= LARGEST_RAW_BYTES
        body, form = (message, "RAW") if is_short else (_HASHES[kind](message).digest(), "DIGEST")
        answer = call(
            f"signing with {self._named}",
            lambda: kms.sign(KeyId=self._key_id, Message=body, MessageType=form, SigningAlgorithm=_ALGORITHMS[kind]),
        )
        return bytes(answer["Signature"])

    @property
    def _named(self) -> str:
        return f"the KMS key {printable(self._key_id)}"
