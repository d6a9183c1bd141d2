"""Checkpoints: a log's length and head, as a signed note (https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint).

    drfsm/results/jobs/runs/failback-20261128t080245z-0123456789ab     the origin: bucket, prefix, run
    412                                                                how many records
    9pV2…=                                                             the head, in Base64

    — drfsm/results/… vx8s…=                                           with a key: its signature

One lies in the bucket for each seal, written once: a witness that whoever holds the signing key can't make unsaid.
Where nothing signs, the text is there without signature lines. The head is a chain's, not a Merkle tree's. Pure.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from drfsm.claims import bounded, name_of
from drfsm.errors import Unreadable
from drfsm.evidence.audit.findings import Finding
from drfsm.evidence.sealing_keys import ED25519, PublicKey, Signer

LARGEST_CHECKPOINT_BYTES = 64 << 10
_DASH = "\N{EM DASH} "
_ED25519, _ECDSA = b"\x01", b"\x02"  # the note's types of signatures
_ID_BYTES = 4
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_LINES = 3


@frozen
class Checkpoint:
    """What a witness saw of a log."""

    origin: str
    records: int
    head: str  # SHA-256 in hex

    @property
    def text(self) -> str:
        """The note's text, which a signature covers."""
        return f"{self.origin}\n{self.records}\n{b64encode(bytes.fromhex(self.head)).decode()}\n"


@frozen
class Note:
    """A checkpoint with the lines of its signatures: (name, key's id, signature)."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[str, bytes, bytes], ...] = ()

    @property
    def raw(self) -> bytes:
        """The note as its object has it."""
        lines = (f"{_DASH}{name} {b64encode(key_id + sig).decode()}\n" for name, key_id, sig in self.signatures)
        return f"{self.checkpoint.text}\n{''.join(lines)}".encode()

    def by(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Return those keys of which a signature holds."""
        message = self.checkpoint.text.encode()
        return tuple(key for key in keys if any(key.verifies(message, sig) for sig in self._of(key)))

    def claims(self, key: PublicKey) -> bool:
        """Say whether a signature names this key, right or wrong."""
        return any(True for _ in self._of(key))

    def _of(self, key: PublicKey) -> Iterator[bytes]:
        return (sig for name, key_id, sig in self.signatures if key_id == note_key_id(name, key))


def origin_of(bucket: str, prefix: str, run_id: str) -> str:
    """Return the origin of a run's checkpoints. It is the name of the key that signs them, too."""
    return f"drfsm/{bucket}/{prefix}/runs/{run_id}"


def home_of_checkpoints(prefix: str, run_id: str) -> str:
    """Return the prefix of a run's checkpoints in the bucket, without a slash at the end."""
    return f"{prefix}/drfsm/checkpoints/{run_id}"


def key_of_checkpoint(prefix: str, run_id: str, records: int) -> str:
    """Return the key of the checkpoint at a length."""
    return f"{home_of_checkpoints(prefix, run_id)}/{records:06d}"


def note_key_id(name: str, key: PublicKey) -> bytes:
    """Return the four bytes by which a note's line names a key."""
    if key.kind == ED25519:
        return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:_ID_BYTES]
    return hashlib.sha256(key.der).digest()[:_ID_BYTES]


def verifier_key(name: str, key: PublicKey) -> str:
    """Return a key as tools for notes are given it: ``<name>+<id>+<type and key in Base64>``."""
    body = _ED25519 + key.raw if key.kind == ED25519 else _ECDSA + key.der
    return f"{name}+{note_key_id(name, key).hex()}+{b64encode(body).decode()}"


def signed_note(checkpoint: Checkpoint, signers: Sequence[Signer]) -> Note:
    """Return a checkpoint with a signature of each signer. Raises what the signers raise."""
    message = checkpoint.text.encode()
    name = checkpoint.origin
    return Note(checkpoint, tuple((name, note_key_id(name, each.public), each.sign(message)) for each in signers))


def read_note(raw: bytes, what: str) -> Note:
    """Return a note. Raises Unreadable for what is no checkpoint."""
    try:
        return _note(raw)
    except (ValueError, Unreadable) as fault:
        raise Unreadable(f"{what} is no checkpoint: {bounded(fault)}") from None


def _note(raw: bytes) -> Note:
    """Return a note. Raises ValueError, Unreadable."""
    text, blank, signed = raw[: LARGEST_CHECKPOINT_BYTES + 1].decode("utf-8").partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != _LINES or (signed and not signed.endswith("\n")):
        raise ValueError("it is not three lines, an empty one, and signatures")
    origin, records, head = lines
    if not origin.isprintable() or not _COUNT.fullmatch(records):
        raise ValueError("its origin or its length is none")
    sha256 = name_of("sha256", b64decode(head, validate=True).hex(), "its head")
    return Note(Checkpoint(origin, int(records), sha256), tuple(_signature(line) for line in signed.splitlines()))


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, body = line.removeprefix(_DASH).rpartition(" ")
    raw = b64decode(body, validate=True)
    if not line.startswith(_DASH) or not space or len(raw) <= _ID_BYTES:
        raise ValueError("a line is no signature")
    return name, raw[:_ID_BYTES], raw[_ID_BYTES:]


# --- the check ------------------------------------------------------------------------------------------


def check_checkpoints(
    notes: Sequence[Note], origin: str, heads: dict[int, str], *, records: int, sealed: int,
    keys: Sequence[PublicKey] = (),
) -> Iterator[Finding]:  # fmt: skip
    """Hold a log against its checkpoints; yield findings, each with a rule of sealing_rules.py.

    ``heads``: records -> the log's head after so many, for the lengths that the notes name; ``records``: how many it
    holds; ``sealed``: how many its newest seal covers, 0 without one.
    """
    if not notes:
        yield Finding(0, "checkpoint_none", f"the bucket has no checkpoint of {origin}")
    for note in notes:
        seen = note.checkpoint
        if seen.origin != origin:
            yield Finding(0, "checkpoint_unreadable", f"a checkpoint is of {seen.origin!r}, not of {origin!r}")
        elif seen.records > records:
            what = f"a checkpoint in the bucket counts {seen.records} records, the log holds {records}"
            yield Finding(0, "checkpoint_truncated", f"{what}: its end was cut off")
        elif heads.get(seen.records) != seen.head:
            what = f"the checkpoint at {seen.records} records has the head {seen.head}: the log has another"
            yield Finding(seen.records, "checkpoint_head", what)
        for key in keys:
            if note.claims(key) and not note.by((key,)):
                what = f"the signature of the checkpoint at {seen.records} records does not hold under {key.name}"
                yield Finding(seen.records, "checkpoint_signature", what)
    if notes and sealed and sealed not in {note.checkpoint.records for note in notes}:
        yield Finding(0, "checkpoint_missing", f"the bucket has no checkpoint at {sealed} records, which are sealed")
