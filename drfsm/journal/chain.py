"""The bytes of a journal: JSON Lines in which each line names the SHA-256 of the line before it.

    {"prev":"<sha256 of the previous raw line with its newline>","seq":0,"at":"…Z","kind":"…","body":{…}}

The first line's ``prev`` is 64 zeros. Verification hashes the raw bytes that were read and never
re-serialises: what was written is what is proven. A last line without a newline is *torn* (the writer
died in the middle); anything else that doesn't fit is damage, and named by its line. What could not be read again
(too long, too deep, a number that others read otherwise) is never written.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from io import BytesIO
from typing import Any, BinaryIO

from attrs import frozen

from drfsm import claims
from drfsm.errors import JournalDamaged, Unreadable
from drfsm.journal.patterns import Patterns
from drfsm.journal.record import Record

GENESIS = "0" * 64
LARGEST_LINE_BYTES = claims.LARGEST_BYTES
"""What a line may have; the longest that drfsm writes has some ten thousand."""
_MANY = 200
"""From this line on a journal is parsed quickly: what that needs costs a small one more than it saves."""
DEEPEST_LINE = 500
"""How many levels a line may have and still be read; the audit finds fault with far fewer (record_types.py)."""


@frozen
class Chain:
    """A journal's content: its records, the hash of its last complete line, and a torn tail if there is one."""

    records: tuple[Record, ...]
    head: str
    size_bytes: int  # of the whole lines, without the torn tail
    torn: bytes = b""


def digest(line: bytes) -> str:
    """Return the SHA-256 (hex) of one raw line, newline included."""
    return hashlib.sha256(line).hexdigest()


def encode(record: Record, prev: str) -> bytes:
    """Return the raw line of a record that follows the line whose hash is ``prev``.

    Raises ValueError for what JSON can't say (NaN, a set, an object, half a character).
    """
    fields = {
        "prev": prev,
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "body": dict(record.body),
    }
    line = _dumped(fields) + b"\n"
    _parsed(line, DEEPEST_LINE)
    return line


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _dumped(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, RecursionError) as fault:
        raise ValueError(str(fault)) from None


def exact(value: Any) -> Any:
    """Return a value as a journal will return it, so that a value in memory equals the one read later.

    Tuples become lists and numbers that are keys become text. Raises ValueError for what JSON can't say, or what no
    record can hold: half characters, too many levels or digits.
    """
    if value is None or type(value) is bool:
        return value
    return _parsed(_dumped(value), claims.DEEPEST)


def _parsed(raw: bytes, deepest: int) -> Any:
    """Return a parsed JSON value. Raises ValueError with only the reason."""
    try:
        return claims.json_of(raw, "it", largest_bytes=LARGEST_LINE_BYTES, deepest=deepest)
    except Unreadable as fault:
        raise ValueError(fault.what.removeprefix("it can't be read: ")) from None


def read(stream: bytes | BinaryIO | Iterable[bytes]) -> Chain:
    """Read and verify a whole journal: its bytes, a stream of them, or its lines one by one.

    Only the last line may be torn. Raises JournalDamaged, naming the line (counted from 1).
    """
    scan = Scan(stream)
    records = tuple(scan)
    return Chain(records, scan.head, scan.size_bytes, scan.torn)


class Scan:
    """Reads and verifies a journal line by line: an iterator of its records that keeps none of them.

    After each record ``head`` is the hash of its line, and ``size_bytes`` the size of the lines so far; after the last
    one ``torn`` is a last line without a newline. A journal that is being written can be read: what is not there yet is
    not read. Raises JournalDamaged as ``read`` does, when it comes to the line.
    """

    def __init__(self, stream: bytes | BinaryIO | Iterable[bytes]) -> None:
        self._stream = stream
        self.head, self.size_bytes, self.count, self.torn = GENESIS, 0, 0, b""

    def __iter__(self) -> Iterator[Record]:
        """Yield each record."""
        torn, patterns = False, Patterns()
        parsed: Callable[[bytes], Any] = _parsed_slowly
        for number, line in enumerate(_split(self._stream), start=1):
            if torn:
                raise damage(number - 1, "has no newline, but another line follows")
            if len(line) > LARGEST_LINE_BYTES:
                raise damage(number, f"has more than {LARGEST_LINE_BYTES} bytes")
            if number == _MANY:
                parsed = _quick_parser()
            if not line.endswith(b"\n"):
                torn, self.torn = True, line
                continue
            record = patterns.record(line, self.head, self.count) if number >= _MANY else None
            if record is None:
                record = _decode(line, number, self.head, self.count, parsed)
                if number >= _MANY:
                    patterns.learn(line, record)
            self.head = digest(line)
            self.size_bytes += len(line)
            self.count += 1
            yield record


def _parsed_slowly(line: bytes) -> Any:
    return _parsed(line, DEEPEST_LINE)


@cache
def _quick_parser() -> Callable[[bytes], Any]:
    """Return a parser that gives what ``_parsed`` gives, and refuses what it refuses; ten times as fast on most lines.

    orjson takes more than a journal may hold: a key twice, a number that others read otherwise. What it read is
    therefore written again: where that gives the same bytes, there was nothing to lose, and each key and number stands
    for itself. Any other line is parsed as all lines used to be. Without orjson every line is.
    """
    try:
        import orjson
    except ImportError:
        return _parsed_slowly
    loads, dumps = orjson.loads, orjson.dumps

    def parsed(line: bytes) -> Any:
        if line.count(b"{") + line.count(b"[") <= DEEPEST_LINE:
            try:
                value = loads(line)
            except ValueError:
                return _parsed_slowly(line)
            if dumps(value) == line[:-1]:
                return value
        return _parsed_slowly(line)

    return parsed


def _split(stream: bytes | BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    """Return the lines, each read no further than it takes to see that it is too long."""
    file = BytesIO(stream) if isinstance(stream, bytes) else stream
    return iter(lambda: file.readline(LARGEST_LINE_BYTES + 1), b"") if hasattr(file, "readline") else file


_FIELDS = ("prev", "seq", "at", "kind", "body")


def _decode(line: bytes, number: int, head: str, seq: int, parsed: Callable[[bytes], Any]) -> Record:
    if line.find(b"\n") != len(line) - 1:
        raise damage(number, "holds more than one line")
    if not line.startswith(b'{"prev":"'):
        raise damage(number, 'does not start with {"prev":"')
    try:
        fields = parsed(line)
    except ValueError as fault:
        raise damage(number, f"is not a JSON record ({fault})") from None
    if not isinstance(fields, dict) or tuple(fields) != _FIELDS:
        raise damage(number, "does not have exactly the fields prev, seq, at, kind, body")
    if fields["prev"] != head:
        raise damage(number, "does not follow the line before it: one of the two was altered, removed or inserted")
    if fields["seq"] != seq or type(fields["seq"]) is not int:
        raise damage(number, f"has seq {fields['seq']!r} where {seq} is due")
    if not isinstance(fields["body"], dict) or not all(isinstance(fields[key], str) for key in ("at", "kind")):
        raise damage(number, "has a body that is not an object, or a time or kind that is not a text")
    record = Record(seq, fields["kind"], fields["at"], fields["body"])
    if lacking := record.missing():
        raise damage(number, f"is a {record.kind!r} record without {', '.join(lacking)}")
    return record


def damage(number: int, what: str) -> JournalDamaged:
    """Return the error for an invalid line."""
    return JournalDamaged(
        f"state_transitions.log: line {number} {what}",
        line=number,
        hint="keep this file as it is for the investigation; continue from a copy of the bundle that verifies",
    )


def lines(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield the raw chained lines of records that start a journal (what MemoryJournal and tests need)."""
    head = GENESIS
    for record in records:
        line = encode(record, head)
        head = digest(line)
        yield line
