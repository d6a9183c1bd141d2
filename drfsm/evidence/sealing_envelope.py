"""DSSE: the envelope around a signed statement (https://github.com/secure-systems-lab/dsse, version 1).

What is signed is not the payload, but PAE of its type and its bytes: so a signature can't be taken for one of another
kind of message, and nobody has to write JSON in one way only. Any implementation of DSSE reads these envelopes. Pure.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.claims import field, object_of
from drfsm.errors import Unreadable
from drfsm.evidence.sealing_keys import PublicKey, Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_ENVELOPE_BYTES = 64 << 20
_MOST_SIGNATURES = 100


@frozen
class Signature:
    """One signature. ``keyid`` is a hint that nobody has to believe."""

    keyid: str
    sig: bytes


@frozen
class Envelope:
    """What was signed, and by whom."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes under each signature."""
        return pae(PAYLOAD_TYPE, self.payload)

    def by(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Return those keys of which a signature holds."""
        return tuple(key for key in keys if any(key.verifies(self.signed, each.sig) for each in self.signatures))

    def claims(self, key: PublicKey) -> bool:
        """Say whether a signature names this key, right or wrong."""
        return any(each.keyid == key.id for each in self.signatures)

    def misnames(self, key: PublicKey) -> bool:
        """Say whether a signature of this key names another one: the hint was altered after it was signed."""
        others = (each for each in self.signatures if each.keyid not in ("", key.id))
        return any(key.verifies(self.signed, each.sig) for each in others)

    @property
    def raw(self) -> bytes:
        """The envelope as its file has it."""
        signatures = [{"keyid": each.keyid, "sig": _text(each.sig)} for each in self.signatures]
        fields = {"payload": _text(self.payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
        return (json.dumps(fields, indent=2) + "\n").encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def signed_envelope(payload: bytes, signers: Sequence[Signer]) -> Envelope:
    """Return a payload in an envelope with a signature of each signer. Raises what the signers raise."""
    message = pae(PAYLOAD_TYPE, payload)
    return Envelope(payload, tuple(Signature(signer.public.id, signer.sign(message)) for signer in signers))


def read_envelope(raw: bytes, what: str) -> Envelope:
    """Return an envelope. Raises Unreadable for what is none, or holds another type of payload."""
    fields = object_of(raw, what, largest_bytes=LARGEST_ENVELOPE_BYTES)
    kind = field(fields, "payloadType", str, what)
    if kind != PAYLOAD_TYPE:
        raise Unreadable(f"{what} can't be read: its payloadType is {kind!r}, not {PAYLOAD_TYPE}")
    signatures = field(fields, "signatures", list, what)
    if not 0 < len(signatures) <= _MOST_SIGNATURES:
        raise Unreadable(f"{what} can't be read: it has {len(signatures)} signatures, not 1 to {_MOST_SIGNATURES}")
    payload = _bytes(field(fields, "payload", str, what), what, "payload")
    return Envelope(payload, tuple(_signature(each, what) for each in signatures))


def _signature(value: Any, what: str) -> Signature:
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {}
    keyid = fields.get("keyid", "")
    sig = _bytes(field(fields, "sig", str, what), what, "sig")
    return Signature(keyid if isinstance(keyid, str) else "", sig)


def _bytes(text: str, what: str, name: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw or _text(raw) != text:  # there are spare bits at its end: they are zero
        raise Unreadable(f"{what} can't be read: its {name} is no Base64")
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
