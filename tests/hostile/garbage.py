"""What may come instead of an answer, each kind by name: of anybody, of a Kubernetes API, of an S3 and its kin.

A kind takes the request and a way to the truth (what the real server answers), and returns what is sent. Those that
bend the truth have a shape that is almost right, which is what finds readers that trust.
"""

import gzip
import json
import random
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from tests.bench.answering import Request, Told, told

Truth = Callable[[], Told]
Garbage = Callable[[Request, Truth], Told]

PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Please log in</body></html>"
STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
FAILURE = {**STATUS, "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}


def _always(answer: Told) -> Garbage:
    return lambda _request, _truth: answer


def _bent(bend: Callable[[bytes], bytes]) -> Garbage:
    """Return the truth with its bytes bent."""

    def garbage(_request: Request, truth: Truth) -> Told:
        true = truth()
        return true._replace(body=bend(true.body))

    return garbage


def _json(bend: Callable[[Any], Any]) -> Garbage:
    """Return the truth with its JSON bent, as it is where there is nothing to bend; a pod's log is emptied."""

    def bent(raw: bytes) -> bytes:
        if raw[:1] not in b"{[":
            return b""
        found = json.loads(raw)
        return raw if (other := bend(deepcopy(found))) == found else json.dumps(other).encode()

    return _bent(bent)


def _each(value: Any, bend: Callable[[Any], Any]) -> Any:
    """Return a value with every node bent, from the leaves up."""
    if isinstance(value, dict):
        value = {name: _each(child, bend) for name, child in value.items()}
    elif isinstance(value, list):
        value = [_each(child, bend) for child in value]
    return bend(value)


def _field(name: str, new: Any) -> Garbage:
    """Return the truth with a field at its top, that has something in it, replaced."""
    return _json(lambda found: {**found, name: new} if found.get(name) else found)


def _items(bend: Callable[[Any], Any]) -> Garbage:
    """Return the truth with every item of a list, or the one object that it is, bent."""

    def bent(found: Any) -> Any:
        if "items" in found:
            return {**found, "items": [bend(each) for each in found["items"]]}
        return bend(found) if found.get("metadata") else found  # a review has none, and none is read

    return _json(bent)


def _list(bend: Callable[[Any], Any]) -> Garbage:
    """Return the truth with a list bent; an object is left as it is."""
    return _json(lambda found: bend(found) if "items" in found else found)


ANYBODYS: Mapping[str, Garbage] = {
    "a login page": _always(Told(200, PAGE, "text/html")),
    "a login page said to be JSON": _always(Told(200, PAGE)),
    "an empty body": _always(Told(200)),
    "no content": _always(Told(204, kind="")),
    "ok": _always(Told(200, b"ok", "text/plain")),
    "a list": _always(told([])),
    "null": _always(told(None)),
    "an empty object": _always(told({})),
    "a redirect to a login page": _always(Told(302, PAGE, "text/html", {"Location": "/login"})),
    "a page that is not there": _always(Told(404, PAGE, "text/html")),
    "a page that forbids": _always(Told(403, PAGE, "text/html")),
    "27 KB of binary": _always(Told(200, bytes(range(256)) * 108)),
    "very deep": _always(Told(200, b"[" * 100_000 + b"]" * 100_000)),
    "a bomb": _always(Told(200, gzip.compress(b" " * (64 << 20), 1), headers={"Content-Encoding": "gzip"})),
    "half of it": _bent(lambda raw: raw[: len(raw) // 2]),
    "in UTF-16": _bent(lambda raw: raw.decode("utf-8", "replace").encode("utf-16")),
    "packed, though nobody asked": _bent(gzip.compress),
}
SILENCE: Mapping[str, Garbage] = {
    "an error page": _always(Told(500, PAGE, "text/html")),
    "a proxy without a server": _always(Told(503, PAGE, "text/html")),
    "a body that breaks off": lambda _request, truth: (true := truth())._replace(
        body=true.body[: len(true.body) // 2], length=len(true.body) + 1
    ),
}
KUBERNETES: Mapping[str, Garbage] = {
    **ANYBODYS,
    **SILENCE,
    "a Status of success": _always(told(STATUS)),
    "a Status of failure with 200": _always(told(FAILURE)),
    "404 with a Status that names nothing": _always(told(FAILURE, 404)),
    "404 page not found": _always(Told(404, b"404 page not found\n", "text/plain")),
    "an empty list of another kind": _always(told({**STATUS, "kind": "SecretList", "items": []})),
    "said to be HTML": lambda _request, truth: truth()._replace(kind="text/html"),
    "a key twice": _bent(lambda raw: raw.replace(b'"kind":', b'"kind":"x","kind":', 1)),
    "another kind": _field("kind", "Widget"),
    "another version": _field("apiVersion", "v9"),
    "no metadata": _field("metadata", None),
    "items null": _list(lambda found: {**found, "items": None}),
    "items a text": _list(lambda found: {**found, "items": "none"}),
    "items an object": _list(lambda found: {**found, "items": {}}),
    "every text a number": _json(lambda found: _each(found, lambda v: 7 if isinstance(v, str) else v)),
    "every number a text": _items(lambda found: _each(found, lambda v: "7" if isinstance(v, int | float) else v)),
    "every object null": _items(lambda found: {k: None if isinstance(v, dict) else v for k, v in found.items()}),
    "every list an object": _items(lambda found: _each(found, lambda v: {} if isinstance(v, list) else v)),
    "every list of nulls": _items(lambda found: _each(found, lambda v: [None] if isinstance(v, list) else v)),
    "metadata without an identity": _items(lambda found: {**found, "metadata": {"name": "x"}}),
    "of another namespace": _bent(lambda raw: raw.replace(b'"namespace":"jobintel"', b'"namespace":"elsewhere"')),
    "of another name": _items(lambda found: {**found, "metadata": {**found["metadata"], "name": "../x"}}),
    "born at no time": _bent(lambda raw: re.sub(rb'"creationTimestamp":"[^"]*"', b'"creationTimestamp":"noon"', raw)),
    "everything twice": _list(lambda found: {**found, "items": found["items"] * 2}),
    "a next page for ever": _list(lambda found: {**found, "metadata": {**found["metadata"], "continue": "x"}}),
}


def one_leaf(seed: int) -> Garbage:
    """Return the truth with one node somewhere in it replaced by something of another type.

    Null is left out: in Kubernetes it says that a field is absent, which is another true answer.
    """
    chance = random.Random(seed)  # noqa: S311  which node is no secret

    def bent(found: Any) -> Any:
        copy = deepcopy(found)
        nodes: list[tuple[Any, Any]] = []

        def walk(value: Any) -> None:
            for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
                nodes.append((value, key))
                walk(value[key])

        walk(copy)
        holder, key = chance.choice(nodes)
        others: list[Any] = [True, -1, 1.5, "\x1b[2J\u202e", [], {}, [None], {"x": None}]
        holder[key] = chance.choice([each for each in others if type(each) is not type(holder[key])])
        return copy

    return _json(bent)


S3: Mapping[str, Garbage] = {
    **ANYBODYS,
    "another document": _always(Told(200, b"<?xml version='1.0'?><Widget><A>1</A></Widget>", "application/xml")),
    "a document that breaks off": _always(
        Told(200, b"<?xml version='1.0'?><ListBucketResult><Cont", "application/xml")
    ),
    "an empty document": _always(Told(200, b"<?xml version='1.0'?><ListBucketResult/>", "application/xml")),
    "entities": _always(
        Told(200, b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><ListBucketResult>&c;</ListBucketResult>')
    ),
}


def _document(bend: Callable[[bytes], bytes]) -> Garbage:
    """Return the truth with a JSON document in the bucket bent; its headers fit what it is now."""

    def garbage(request: Request, truth: Truth) -> Told:
        true = truth()
        if request.method != "GET" or true.status != 200 or true.body[:1] not in (b"{", b"["):
            return true
        kept = {name: value for name, value in true.headers.items() if "checksum" not in name.lower()}
        return true._replace(body=bend(true.body), headers=kept)

    return garbage


def _instead(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _raw: body


def _bent_document(bend: Callable[[Any], Any]) -> Garbage:
    return _document(lambda raw: json.dumps(_each(json.loads(raw), bend)).encode())


DOCUMENTS: Mapping[str, Garbage] = {
    name: _document(_instead(body))
    for name, body in {
        "nothing": b"",
        "a login page": PAGE,
        "null": b"null",
        "a list": b"[]",
        "an empty object": b"{}",
        "a text": b'"ok"',
        "27 KB of binary": bytes(range(256)) * 108,
        "very deep": b"[" * 100_000 + b"]" * 100_000,
        "very large": b"{}" + b" " * (9 << 20),
    }.items()
} | {
    "half of it": _document(lambda raw: raw[: len(raw) // 2]),
    "in UTF-16": _document(lambda raw: raw.decode().encode("utf-16")),
    "with a byte order mark": _document(lambda raw: b"\xef\xbb\xbf" + raw),
    "a key twice": _document(lambda raw: b'{"schema_version": 1, "schema_version": 1,' + raw.lstrip()[1:]),
    "NaN": _document(lambda raw: b'{"x": NaN,' + raw.lstrip()[1:]),
    "a number out of range": _document(lambda raw: b'{"x": 1e999,' + raw.lstrip()[1:]),
    "half a character": _document(lambda raw: b'{"x": "\\ud800",' + raw.lstrip()[1:]),
    "every text a number": _bent_document(lambda value: 7 if isinstance(value, str) else value),
    "every text an escape": _bent_document(lambda value: "\x1b[2J\u202e" if isinstance(value, str) else value),
    "every text null": _bent_document(lambda value: None if isinstance(value, str) else value),
}
