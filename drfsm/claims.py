"""Strict readers for untrusted input, and the grammar of every name.

Everything in a bucket, a backup or a directory is only a claim, and so is every response of a cluster, a store or a
site. It is read here before drfsm relies on it: bytes to JSON or YAML, with limits of size and depth, without duplicate
keys, NaN, other encodings or unpaired surrogates; text to a time; a name by the grammar of its kind before it becomes a
path, a key, an address or a command. Invalid input raises ``Unreadable``, which names the document, the place in it and
the fault; a fact is then unknown, and a run holds. Text for a terminal or a record passes ``printable`` or ``bounded``.

Never repairs: nothing is cut, guessed or converted. Knows no world and no run.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from drfsm.errors import Unreadable

LARGEST_BYTES = 8 << 20
"""The largest document, in bytes, unless its reader sets another limit."""
DEEPEST = 64
"""The deepest nesting of a document; Kubernetes' own deepest objects have about twenty levels."""
LARGEST_EPOCH = 1 << 53
"""No lease, and nothing written under one, has an epoch as large: beyond it, JSON readers differ about a number."""
LONGEST_NUMBER = 40  # characters: 64 bits need 20, an exact double 25
LONGEST_WORDS = 300  # the most characters of an untrusted text in a message or a record

LONGEST_TIME = 40  # characters: 2026-02-27T00:22:29.934039+00:00 has 32

_NUMBER_BITS = 64
_FIRST_YEAR, _LAST_YEAR = 1970, 9000  # so that no difference of two moments, and no offset, overflows
_BOM = b"\xef\xbb\xbf"


# --- documents ------------------------------------------------------------------------------------------


def json_of(
    raw: bytes | str, what: str, *, largest_bytes: int = LARGEST_BYTES, deepest: int = DEEPEST, hint: str = ""
) -> Any:
    """Return the JSON value in ``raw``, exact: written again, it has the same meaning.

    ``what`` names the document in the message (``the pointer <prefix>/state/last_success.json``), ``hint`` is the next
    step. Raises Unreadable for more than ``largest_bytes``, more than ``deepest`` levels, a duplicate key, NaN or an
    infinity, an integer over 64 bits, an unpaired surrogate, a byte order mark, or an encoding other than UTF-8.
    """
    text = _text(raw, what, largest_bytes, hint)
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _unreadable(what, f"it has more than {deepest} levels", hint) from None
    except ValueError as fault:
        raise _unreadable(what, f"it is not JSON: {fault}", hint) from None
    if not text.isascii() or "\\u" in text or _is_deeper(value, text, deepest):
        _check_tree(value, what, hint, deepest)
    return value


def _is_deeper(value: Any, text: str, levels: int) -> bool:
    """Say whether objects and lists are nested deeper than that in a JSON value that was parsed from ``text``.

    All that is left to ask of JSON without a surrogate, for its numbers are checked as they are parsed; and most
    documents have none. The whole check would take as long as the parsing.
    """
    if text.count("{") + text.count("[") <= levels:
        return False
    containers: list[Any] = [[value]]
    for _ in range(levels + 1):
        containers = [
            child
            for container in containers
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not containers:
            return False
    return True


def object_of(raw: bytes | str, what: str, *, largest_bytes: int = LARGEST_BYTES, hint: str = "") -> dict[str, Any]:
    """Return the JSON object in ``raw``. Raises Unreadable as ``json_of`` does, and for any other value."""
    value = json_of(raw, what, largest_bytes=largest_bytes, hint=hint)
    if not isinstance(value, dict):
        raise _unreadable(what, f"it is {_kind(value)}, not a JSON object", hint)
    return value


def yaml_of(raw: bytes | str, what: str, *, largest_bytes: int = LARGEST_BYTES, hint: str = "") -> Any:
    """Return the one YAML document in ``raw``, as PyYAML's safe loader reads it.

    Raises Unreadable as ``json_of`` does, and for aliases, tags of programs, and more than one document.
    """
    documents = yaml_documents(raw, what, largest_bytes=largest_bytes, hint=hint)
    if len(documents) != 1:
        raise _unreadable(what, f"it has {len(documents)} YAML documents instead of one", hint)
    return documents[0]


def yaml_documents(raw: bytes | str, what: str, *, largest_bytes: int = LARGEST_BYTES, hint: str = "") -> list[Any]:
    """Return every YAML document in ``raw``. Raises Unreadable as ``yaml_of`` does."""
    import yaml

    text = _text(raw, what, largest_bytes, hint)
    try:
        _check_yaml_events(text)
        documents = list(yaml.load_all(text, Loader=_strict_loader()))
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as fault:
        raise _unreadable(what, f"it is not YAML that drfsm reads: {' '.join(str(fault).split())}", hint) from None
    for document in documents:
        _check_tree(document, what, hint)
    return documents


def _text(raw: bytes | str, what: str, largest_bytes: int, hint: str) -> str:
    if len(raw) > largest_bytes:
        raise _unreadable(what, f"it has {len(raw)} bytes; drfsm reads at most {largest_bytes}", hint)
    if isinstance(raw, str):
        return raw
    if raw.startswith(_BOM):
        raise _unreadable(what, "it begins with a byte order mark", hint)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise _unreadable(what, f"it is not UTF-8 (byte {fault.start})", hint) from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(f"the key {bounded(_twice(name for name, _ in pairs))} stands twice")
    return value


def _twice(names: Iterable[str]) -> str | None:
    """Return the first duplicate name, None if there is none. One pass: there may be millions."""
    known: set[str] = set()
    for name in names:
        if name in known:
            return name
        known.add(name)
    return None


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER or (value := int(digits)).bit_length() > _NUMBER_BITS:
        raise ValueError(f"the number {bounded(digits, LONGEST_NUMBER)} is out of range")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {bounded(digits, LONGEST_NUMBER)} is out of range")
    return value


# Made once: to make one takes as long as to read a short document.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_no_constant, parse_int=_integer, parse_float=_float
)


def _check_tree(value: Any, what: str, hint: str, deepest: int = DEEPEST) -> None:
    """Raise Unreadable for a tree that is too deep, or has an unpaired surrogate or a number that JSON lacks."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(deepest + 1):
        below: list[tuple[str, Any]] = []
        for where, node in level:
            if isinstance(node, str):
                _check_characters(where, node, what, hint)
            elif isinstance(node, dict):
                for name, child in node.items():
                    if not isinstance(name, str):
                        raise _unreadable(what, f"it has a key that is {_kind(name)}, at {where or 'its top'}", hint)
                    _check_characters(where, name, what, hint)
                    below.append((name, child))
            elif isinstance(node, list):
                below += [(where, child) for child in node]
            elif fault := _leaf_fault(node):
                raise _unreadable(what, f"{where or 'it'} is {fault}", hint)
        if not below:
            return
        level = below
    raise _unreadable(what, f"it has more than {deepest} levels", hint)


def _leaf_fault(node: Any) -> str:
    """Return the fault of a scalar, "" if there is none. YAML has numbers and types that JSON lacks."""
    if isinstance(node, float) and (node != node or node in (float("inf"), float("-inf"))):  # noqa: PLR0124  NaN
        return f"{node}, which is not a number"
    if isinstance(node, int) and node.bit_length() > _NUMBER_BITS:
        return "a number out of range"
    return f"{_kind(node)}, which drfsm does not accept" if isinstance(node, set | tuple | bytes) else ""


def _check_characters(where: str, text: str, what: str, hint: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unreadable(what, f"{bounded(where) or 'it'} has an unpaired surrogate", hint) from None


def _check_yaml_events(text: str) -> None:
    """Raise ValueError for deep nesting and aliases, before the loader runs. Reads events, so nothing recurses."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"the alias *{bounded(event.anchor)}: write the value out where it is used")  # noqa: TRY004  a fault of the text
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it has more than {DEEPEST} levels")


_LOADERS: list[Any] = []


def _strict_loader() -> Any:
    """Return PyYAML's safe loader, changed to refuse duplicate keys. Made once, on first use."""
    if _LOADERS:
        return _LOADERS[0]
    import yaml

    class Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # which of the two is known at run time
        """The safe loader, without last-key-wins."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Return a mapping. Raises ConstructorError for a duplicate key."""
            twice = _twice(child.value for child, _ in node.value if isinstance(child, yaml.ScalarNode))
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"the key {bounded(twice)} stands twice", None)
            return super().construct_mapping(node, deep=deep)

    _LOADERS.append(Strict)
    return Strict


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _unreadable(what: str, why: str, hint: str) -> Unreadable:
    return Unreadable(f"{bounded(what)} can't be read: {bounded(why)}", hint=hint)


# --- fields ---------------------------------------------------------------------------------------------


def field(value: Mapping[str, Any], name: str, kind: type | tuple[type, ...], what: str, *, hint: str = "") -> Any:
    """Return a required field of this type. Raises Unreadable naming it. ``bool`` is not an ``int``."""
    if name not in value:
        raise _unreadable(what, f"it has no {name}", hint)
    content = value[name]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(content, kinds) or (isinstance(content, bool) and bool not in kinds):
        names = " or ".join(expected.__name__ for expected in kinds)
        raise _unreadable(what, f"its {name} is {_kind(content)}, not {names}", hint)
    return content


# --- names ----------------------------------------------------------------------------------------------

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._=-]*"
GRAMMAR: Mapping[str, tuple[re.Pattern[str], int, str]] = {
    # kind: (pattern, greatest length, pattern in words)
    "drfsm run": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), 200, "letters, digits, '.', '_' and '-'"),
    "machine": (re.compile(r"[a-z][a-z0-9_]*"), 63, "lower-case letters, digits and '_'"),
    "state": (re.compile(r"[a-z][a-z0-9_]*"), 120, "lower-case letters, digits and '_'"),
    "workload run": (re.compile(r"[A-Za-z0-9][A-Za-z0-9:+._-]*"), 200, "letters, digits, ':', '+', '.', '_' and '-'"),
    "provider": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), 120, "letters, digits, '.', '_' and '-'"),
    "profile": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), 120, "letters, digits, '.', '_' and '-'"),
    "candidate": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), 120, "letters, digits, '.', '_' and '-'"),
    "bucket": (re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]"), 63, "lower-case letters, digits, '.' and '-'"),
    "prefix": (
        re.compile(rf"{_SEGMENT}(/{_SEGMENT})*"),
        500,
        "letters, digits, '.', '_', '=' and '-', between slashes",
    ),
    "sha256": (re.compile(r"[0-9a-f]{64}"), 64, "64 hex digits"),
    "git commit": (re.compile(r"[0-9a-f]{7,64}"), 64, "7 to 64 hex digits"),
    "nonce": (re.compile(r"[0-9a-f]{16,64}"), 64, "16 to 64 hex digits"),
    "Kubernetes name": (re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"), 253, "lower-case letters, digits, '.' and '-'"),
    "RBAC name": (re.compile(r"[^/%\x00-\x1f\x7f]+"), 253, "anything but '/' and '%'"),
    "label value": (
        re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?"),
        63,
        "letters, digits, '.', '_' and '-'",
    ),
    "instance": (re.compile(r"i-[0-9a-f]+"), 32, "i- and hex digits"),
    "account": (re.compile(r"[0-9]{12}"), 12, "12 digits"),
    "workload": (re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), 40, "lower-case letters, digits and '-'"),
    "variable": (re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), 200, "letters, digits and '_'"),
    "field": (
        re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*"),
        200,
        "letters, digits, '_' and '-', with dots",
    ),
    "field name": (re.compile(r"[A-Za-z_][A-Za-z0-9_-]*"), 200, "letters, digits, '_' and '-', without dots"),
    "label": (
        re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"),
        253,
        "letters, digits, '.', '_' and '-', perhaps after a domain and '/'",
    ),
    "host": (
        re.compile(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?"),
        240,
        "a domain name in lower case, without a dot at its end",
    ),
    "hosted zone": (re.compile(r"[A-Z0-9]+"), 32, "capital letters and digits, without /hostedzone/"),
    "health check": (re.compile(r"[A-Za-z0-9-]+"), 64, "letters, digits and '-'"),
    "header": (re.compile(r"[A-Za-z0-9-]+"), 60, "letters, digits and '-'"),
    "file": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@=+-]*"), 200, "letters, digits, '.', '_', '@', '=', '+' and '-'"),
}
"""The names from which drfsm makes a path, a key, an address or a command. None may contain ``..``."""


def is_name(kind: str, text: object) -> bool:
    """Return whether ``text`` is a name of this kind (a key of GRAMMAR)."""
    pattern, longest, _ = GRAMMAR[kind]
    if not isinstance(text, str) or len(text) > longest or ".." in text or not text.isprintable():
        return False
    return bool(pattern.fullmatch(text))


def name_of(kind: str, text: object, what: str, *, hint: str = "") -> str:
    """Return ``text`` if it is a name of this kind. Raises Unreadable, with the grammar in words."""
    if not is_name(kind, text):
        _, longest, words = GRAMMAR[kind]
        raise _unreadable(
            what, f"it is not a valid {kind} ({words}; at most {longest} characters): {bounded(text, 100)}", hint
        )
    return str(text)


# --- times ----------------------------------------------------------------------------------------------


def moment(text: object) -> datetime | None:
    """Return the moment of an ISO 8601 text with an offset, None for anything else.

    Times from outside are compared as moments, never as text: offsets and precision differ.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TIME or not text.isprintable():
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.utcoffset() is not None and _FIRST_YEAR <= read.year <= _LAST_YEAR else None


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Return how long it is from one time to another: 0.0, never less, where the second one comes first.

    Clocks are set back, and two machines' clocks differ. Every duration between two times is taken here. How far a
    time lies in the future is a duration, too: from now to that time.
    """
    return max(0.0, (later - earlier).total_seconds())


# --- text for people ------------------------------------------------------------------------------------


def printable(text: object) -> str:
    r"""Return a text on one line with unprintable characters escaped.

    Escapes, carriage returns, bidirectional marks and unpaired surrogates become ``\x1b``, ``\r``, ``\u202e`` and so
    on, so that the name of a Job can't move the cursor or reverse a line.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in whole
    )


def bounded(text: object, longest: int = LONGEST_WORDS) -> str:
    """Return a printable text of at most ``longest`` characters; a cut one ends with its full length."""
    whole = text if isinstance(text, str) else str(text)
    if len(whole) <= longest:
        return printable(whole)[: longest * 10]
    return f"{printable(whole[:longest])}… ({len(whole)} characters)"


def printable_json(text: str) -> str:
    """Return a JSON text with unprintable characters escaped as in JSON, so the meaning is the same."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def printable_lines(text: str) -> str:
    """Return a text with unprintable characters escaped, except newlines."""
    return "\n".join(printable(line) for line in text.split("\n"))
