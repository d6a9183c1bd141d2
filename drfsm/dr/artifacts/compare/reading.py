"""From bytes to values, strictly: what two programs could understand differently is refused.

Owns how JSON and CSV are read: UTF-8 without a byte order mark, no key twice, no NaN, no nesting without
end, every number exact (a Decimal, so that neither 2**53 + 1 nor 0.1 is rounded). Called by compare.py,
declare.py and by whoever else must read somebody's JSON with care. Touches no file.
"""

import csv
import decimal
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn

from attrs import field, frozen

DEEPEST = 100
_LONGEST_NUMBER = 1000
_SHOWN = 60  # characters of what could not be read


class Unreadable(ValueError):
    """These bytes are not what they should be; the message says what is wrong and where."""


@frozen
class Document:
    """What was read of one file. ``header`` only for CSV, ``records`` for both kinds of records.

    ``value``: a JSON value, or the lines of a text.
    """

    value: Any = None
    records: Sequence[dict[str, Any]] = ()
    header: Sequence[str] = ()


@frozen
class Absent:
    """Stands for a value that isn't there: null is one that is."""

    words: str = field(default="absent", init=False)


ABSENT = Absent()


def text_of(raw: bytes) -> str:
    """Return bytes as text. Raises Unreadable."""
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("it begins with a byte order mark")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Unreadable(f"it is not UTF-8: byte {fault.start} ({fault.reason})") from None


def json_of(raw: bytes) -> Any:
    """Return a JSON document, its numbers as Decimal. Raises Unreadable."""
    if not raw.strip():
        raise Unreadable("it is empty")
    try:
        value = json.loads(
            text_of(raw),
            object_pairs_hook=_once_each,
            parse_constant=_no_number,
            parse_float=_exact,
            parse_int=_exact,
        )
    except json.JSONDecodeError as fault:
        raise Unreadable(f"it is no JSON: {fault.msg} (line {fault.lineno}, column {fault.colno})") from None
    except RecursionError:
        raise Unreadable(f"it is nested more than {DEEPEST} deep") from None
    _not_too_deep(value)
    return value


def json_object(raw: bytes) -> Document:
    """Read one JSON object. Raises Unreadable."""
    value = json_of(raw)
    if not isinstance(value, dict):
        raise Unreadable(f"it holds {_kind(value)} where an object is expected")
    return Document(value)


def json_value(raw: bytes) -> Document:
    """Read any JSON value. Raises Unreadable."""
    return Document(json_of(raw))


def text_lines(raw: bytes, until: str = "") -> Document:
    """Read a text as its lines, up to the one that begins with ``until``. Raises Unreadable."""
    lines = text_of(raw).splitlines()
    end = next((number for number, line in enumerate(lines) if until and line.startswith(until)), len(lines))
    return Document(lines[:end])


def json_records(raw: bytes) -> Document:
    """Read a JSON list of objects. Raises Unreadable."""
    value = json_of(raw)
    if not isinstance(value, list):
        raise Unreadable(f"it holds {_kind(value)} where a list of records is expected")
    for number, each in enumerate(value, start=1):
        if not isinstance(each, dict):
            raise Unreadable(f"record {number} is {_kind(each)}, not an object")
    return Document(records=value)


def csv_records(raw: bytes, delimiter: str = ",") -> Document:
    """Read CSV with a header; how lines end does not matter, blank ones are passed over. Raises Unreadable."""
    rows = csv.reader(io.StringIO(text_of(raw), newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        _good_header(header)
        records = []
        for row in rows:
            if row and len(row) != len(header):
                raise Unreadable(f"line {rows.line_num} has {len(row)} columns, the header {len(header)}")
            if row:
                records.append(dict(zip(header, row, strict=True)))
    except csv.Error as fault:
        raise Unreadable(f"it is no CSV: {fault} (line {rows.line_num})") from None
    return Document(records=records, header=header)


def _good_header(header: Sequence[str]) -> None:
    if not header:
        raise Unreadable("it has no header")
    if twice := sorted({each for each in header if header.count(each) > 1}):
        raise Unreadable(f"its header names {twice[0][:_SHOWN]!r} twice")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        known: set[str] = set()
        twice = next(name for name, _ in pairs if name in known or known.add(name))  # type: ignore[func-returns-value]  # None
        raise Unreadable(f"an object has the key {twice[:_SHOWN]!r} twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise Unreadable(f"{name} is no JSON number")


def _exact(text: str) -> Decimal:
    if len(text) > _LONGEST_NUMBER:
        raise Unreadable(f"a number has {len(text)} characters: {text[:_SHOWN]}...")
    try:
        return Decimal(text)
    except decimal.InvalidOperation:
        raise Unreadable(f"no number is this big or small: {text[:_SHOWN]}") from None


def _not_too_deep(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise Unreadable(f"it is nested more than {DEEPEST} deep")
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", Decimal: "a number", bool: "a truth value"}
    return names.get(type(value), "null")
