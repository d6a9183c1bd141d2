"""Decodes Kubernetes' protobuf bodies to JSON objects: kubectl sends them for built-in kinds since 1.32.

There is no encoder: a client that sends protobuf accepts JSON as the answer. Field numbers and types are schema.py's.
A zero is left out unless its Go field is a pointer, since Go writes every other field, set or not.
"""

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from drfsm.sandbox.kubernetes.refusals import Manifest, bad_request
from drfsm.sandbox.kubernetes.schema import Field, message

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
SIGN = 1 << 63

Item = tuple[int, int | bytes]


def decode(body: bytes) -> Manifest:
    """Return the object in a body. Raises ApiError BadRequest for an unknown kind or a broken message."""
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix 6b 38 73 00")
    try:
        envelope = dict(_items(body[len(MAGIC) :]))
        header = dict(_items(_bytes(envelope[1])))
        api_version, kind = (_bytes(header.get(number, b"")).decode() for number in (1, 2))
        name = _message_name(api_version, kind)
        return {"apiVersion": api_version, "kind": kind, **_message(name, _bytes(envelope.get(2, b"")))}
    except (KeyError, IndexError, struct.error, UnicodeDecodeError, ValueError) as fault:
        raise bad_request(f"the protobuf body could not be decoded: {type(fault).__name__}: {fault}") from None


def _message_name(api_version: str, kind: str) -> str:
    if kind == "DeleteOptions":
        return "meta.v1/DeleteOptions"
    group, _, version = api_version.rpartition("/")
    return f"{group.partition('.')[0] or 'core'}.{version}/{kind}"


def _message(name: str, body: bytes) -> Manifest:
    fields: Manifest = {}
    for number, raw in _items(body):
        field = message(name).numbers.get(number)
        if field is None:
            continue
        if field.name == "-":
            fields.update(_message(field.type, _bytes(raw)))
        elif field.mapped:
            key, value = _entry(field, _bytes(raw))
            fields.setdefault(field.name, {})[key] = value
        elif field.repeated:
            fields.setdefault(field.name, []).append(_value(field.type, raw))
        else:
            value = _value(field.type, raw)
            if value or (field.pointer and value is not None):
                fields[field.name] = value
    return fields


def _entry(field: Field, body: bytes) -> tuple[str, Any]:
    items = dict(_items(body))
    empty: int | bytes = 0 if field.type in ("bool", "int32", "int64") else b""
    return _bytes(items.get(1, b"")).decode(), _value(field.type, items.get(2, empty))


def _value(kind: str, raw: int | bytes) -> Any:
    if isinstance(raw, int):
        return bool(raw) if kind == "bool" else (raw - 2 * SIGN if raw >= SIGN else raw)
    if kind == "string":
        return raw.decode()
    if kind == "bytes":
        return base64.b64encode(raw).decode()
    if "/" in kind:
        return _message(kind, raw)
    return _special(kind, dict(_items(raw)))


def _special(kind: str, items: dict[int, int | bytes]) -> Any:
    if kind == "time":
        seconds = items.get(1, 0)
        at = datetime.fromtimestamp(int(seconds), UTC) if seconds else None
        return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None
    if kind == "quantity":
        return _bytes(items.get(1, b"")).decode()
    if kind == "intstr":
        return _bytes(items.get(3, b"")).decode() if items.get(1) else items.get(2, 0)
    return json.loads(_bytes(items.get(1, b"null")) or b"null")


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("a number where a string or message belongs")  # noqa: TRY004  any fault is a 400
    return raw


def _items(body: bytes) -> Iterator[Item]:
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(body, at)
            yield number, value
        elif wire == BYTES:
            size, at = _varint(body, at)
            if at + size > len(body):
                raise ValueError("a field is longer than its message")
            yield number, body[at : at + size]
            at += size
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8  # no field that we know is of these
        else:
            raise ValueError(f"unknown wire type {wire}")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004  the top bit says that more follows
            return value, at
