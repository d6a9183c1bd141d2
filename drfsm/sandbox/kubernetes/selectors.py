"""Label and field selectors, in the grammar of the real API, but for the numeric ``<`` and ``>``.

``labels`` and ``fields`` turn a query's text into a predicate of a manifest. Raises ApiError BadRequest for what
can't be parsed or isn't supported.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drfsm.sandbox.kubernetes.metadata import label_faults
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request

Predicate = Callable[[Manifest], bool]

_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|,|\(|\)|<|>)|([^\s,()!=<>]+))")
_SUPPORTED: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "jobs": ("status.successful",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "replicasets": ("status.replicas",),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
}


def labels(text: str) -> Predicate:
    """Return the predicate of a label selector: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``."""
    tokens = list(_tokens(text))
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    while tokens:
        tests.append(_requirement(tokens, text))
        if tokens and (tokens.pop(0) != "," or not tokens):
            raise bad_request(f"unable to parse requirement: found '{text}', expected: ',' or 'end of string'")
    return lambda manifest: all(test(manifest["metadata"].get("labels") or {}) for test in tests)


def fields(plural: str, text: str) -> Predicate:
    """Return the predicate of a field selector: ``metadata.name=x,status.phase!=Running``."""
    tests: list[tuple[str, bool, str]] = []
    for term in filter(None, text.split(",")):
        name, sign, value = _term(term)
        if name not in ("metadata.name", "metadata.namespace", *_SUPPORTED.get(plural, ())):
            if plural in _SUPPORTED:
                raise bad_request(f"field label not supported: {name}")
            known = 'only "metadata.name", "metadata.namespace"'
            raise bad_request(f'"{name}" is not a known field selector: {known}')
        tests.append((name, sign != "!=", value))
    return lambda manifest: all((field(plural, manifest, name) == value) is same for name, same, value in tests)


def field(plural: str, manifest: Manifest, path: str) -> str:
    """Return the text of a field as selectors compare it."""
    if plural == "jobs" and path == "status.successful":
        return str((manifest.get("status") or {}).get("succeeded", 0))
    if plural == "events" and path == "source":
        return str((manifest.get("source") or {}).get("component") or manifest.get("reportingComponent", ""))
    value: Any = manifest
    for name in path.split("."):
        value = (value or {}).get(name)
    if value is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _term(term: str) -> tuple[str, str, str]:
    for sign in ("!=", "==", "="):
        name, separator, value = term.partition(sign)
        if separator:
            return name.strip(), sign, value.strip()
    raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")


def _tokens(text: str) -> Iterator[str]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise bad_request(f"unable to parse requirement: found '{text[at:]}'")
        yield match[1] or match[2]
        at = match.end()


def _requirement(tokens: list[str], text: str) -> Callable[[Mapping[str, str]], bool]:
    word = tokens.pop(0)
    if word == "!":
        key = _key(tokens.pop(0) if tokens else "")
        return lambda object_labels: key not in object_labels
    key = _key(word)
    if not tokens or tokens[0] == ",":
        return lambda object_labels: key in object_labels
    sign = tokens.pop(0)
    if sign in ("=", "==", "!="):
        return _equality(key, sign, _value(key, tokens))
    if sign in ("in", "notin"):
        values = _values(key, tokens, text)
        return lambda object_labels: (object_labels.get(key) in values) is (sign == "in")
    raise bad_request(f"unable to parse requirement: found '{sign}', expected: in, notin, =, ==, !=")


def _equality(key: str, sign: str, value: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda object_labels: (object_labels.get(key) == value) is (sign != "!=")


def _value(key: str, tokens: list[str]) -> str:
    value = tokens.pop(0) if tokens and tokens[0] != "," else ""
    _check(label_faults(f"values[0][{key}]", {"key": value}))
    return value


def _values(key: str, tokens: list[str], text: str) -> set[str]:
    if not tokens or tokens.pop(0) != "(" or ")" not in tokens:
        raise bad_request(f"unable to parse requirement: found '{text}', expected: '('")
    end = tokens.index(")")
    inside, tokens[: end + 1] = tokens[:end], []
    values = {""} if not inside else {word for word in inside if word != ","}
    _check(label_faults(f"values[0][{key}]", {f"k{at}": value for at, value in enumerate(values)}))
    return values


def _key(word: str) -> str:
    if not word:
        raise bad_request("unable to parse requirement: found '', expected: identifier")
    _check(label_faults("key", {word: ""}))
    return word


def _check(faults: Iterator[tuple[str, str, str]]) -> None:
    for path, _, reason in faults:
        raise _unparsable(f"{path}: {reason}")


def _unparsable(reason: str) -> ApiError:
    return bad_request(f"unable to parse requirement: {reason}")
