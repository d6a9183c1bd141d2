"""The bytes of a journal: JSON Lines in which each line names the SHA-256 of the line before it.

    {"prev":"<sha256 of the previous raw line with its newline>","seq":0,"at":"…Z","kind":"…","body":{…}}

The first line's ``prev`` is 64 zeros. Verification hashes the raw bytes that were read and never
re-serialises: what was written is what is proven. A last line without a newline is *torn* (the writer
died in the middle); anything else that doesn't fit is damage, and named by its line.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from attrs import frozen

from drfsm.errors import JournalDamaged
from drfsm.journal.record import Record

GENESIS = "0" * 64


@frozen
class Chain:
    """What a journal's bytes hold: its records, the hash of its last whole line, and a torn tail if any."""

    records: tuple[Record, ...]
    head: str
    size_bytes: int  # of the whole lines, without the torn tail
    torn: bytes = b""


def digest(line: bytes) -> str:
    """Return the SHA-256 (hex) of one raw line, newline included."""
    return hashlib.sha256(line).hexdigest()


def encode(record: Record, prev: str) -> bytes:
    """Return the raw line of a record that follows the line whose hash is ``prev``.

    Raises ValueError for what JSON can't say (NaN, a set, an object).
    """
    fields = {
        "prev": prev,
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "body": dict(record.body),
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def read(stream: BinaryIO | Iterable[bytes]) -> Chain:
    """Read and verify a whole journal. Raises JournalDamaged, naming the line (counted from 1)."""
    records: list[Record] = []
    head, size = GENESIS, 0
    for number, line in enumerate(stream, start=1):
        if not line.endswith(b"\n"):
            return Chain(tuple(records), head, size, torn=line)
        records.append(_decode(line, number, head, len(records)))
        head = digest(line)
        size += len(line)
    return Chain(tuple(records), head, size)


def _decode(line: bytes, number: int, head: str, seq: int) -> Record:
    if not line.startswith(b'{"prev":"'):
        raise _damage(number, 'does not start with {"prev":"')
    try:
        fields = json.loads(line, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise _damage(number, f"is no JSON record ({fault})") from None
    if not isinstance(fields, dict) or list(fields) != ["prev", "seq", "at", "kind", "body"]:
        raise _damage(number, "does not have exactly the fields prev, seq, at, kind, body")
    if fields["prev"] != head:
        raise _damage(number, "does not follow the line before it: one of the two was altered, removed or inserted")
    if fields["seq"] != seq or isinstance(fields["seq"], bool):
        raise _damage(number, f"has seq {fields['seq']!r} where {seq} is due")
    if not isinstance(fields["body"], dict) or not isinstance(fields["at"], str):
        raise _damage(number, "has a body that is no object, or a time that is no text")
    record = Record(seq, str(fields["kind"]), fields["at"], fields["body"])
    if lacking := record.missing():
        raise _damage(number, f"is a {record.kind!r} record without {', '.join(lacking)}")
    return record


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")


def _damage(number: int, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"state_transitions.log: line {number} {what}",
        line=number,
        way="keep this file as it is for the investigation; go on from a copy of the bundle that verifies",
    )


def lines(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield the raw chained lines of records that start a journal (what MemoryJournal and tests need)."""
    head = GENESIS
    for record in records:
        line = encode(record, head)
        head = digest(line)
        yield line
