"""The three patches that describe changes: JSON merge (RFC 7386), JSON patch (RFC 6902), strategic merge.

Pure: each takes a manifest and a patch, and returns a new manifest. writing.py calls them under the store's lock.
Server-side apply, which describes the desired state instead, is in managed.py.
"""

from collections.abc import Iterator
from typing import Any

from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request
from drfsm.sandbox.kubernetes.schema import Field, field_of, inner
from drfsm.sandbox.kubernetes.store import clone

DIRECTIVE, ORDER, DROPPED, RETAINED = "$patch", "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


# --- JSON merge patch -----------------------------------------------------------------------------------


def merge(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


# --- JSON patch -----------------------------------------------------------------------------------------


class _Inapplicable(Exception):
    """A step of a patch that can't be applied to the object."""


def steps(target: Manifest, patch: Any) -> Manifest:
    """Apply an RFC 6902 patch, as a whole or not at all. Raises ApiError Invalid (422), BadRequest."""
    if not isinstance(patch, list) or not all(isinstance(step, dict) for step in patch):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = clone(target)
    for step in patch:
        try:
            document = _step(document, step)
        except (_Inapplicable, KeyError, IndexError, ValueError, TypeError) as fault:
            # The real server doesn't say either what doesn't fit.
            why = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", why, {}) from fault
    if not isinstance(document, dict):
        raise bad_request("the patch leaves no object")
    return document


def _step(document: Any, step: Manifest) -> Any:
    operation, path = step["op"], _pointer(step["path"])
    if operation == "test":
        if _at(document, path) != step.get("value"):
            raise _Inapplicable(f"testing value {step['path']} failed: test failed")
        return document
    if operation in ("add", "replace"):
        return _put(document, path, clone(step["value"]), replace=operation == "replace")
    if operation == "remove":
        return _take(document, path)
    if operation in ("move", "copy"):
        source = _pointer(step["from"])
        value = clone(_at(document, source))
        return _put(_take(document, source) if operation == "move" else document, path, value)
    raise _Inapplicable(f"unexpected kind: {operation}")


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise _Inapplicable(f"{path} is no JSON pointer")
    return [word.replace("~1", "/").replace("~0", "~") for word in path.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:
    for name in path:
        document = document[_index(document, name)] if isinstance(document, list) else document[name]
    return document


def _index(items: list[Any], name: str, *, end: bool = False) -> int:
    if end and name == "-":
        return len(items)
    number = int(name)
    if not 0 <= number < len(items) + end:
        raise _Inapplicable(f"index {name} is out of bounds")
    return number


def _put(document: Any, path: list[str], value: Any, *, replace: bool = False) -> Any:
    if not path:
        return value
    parent, name = _at(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        if replace:
            parent[_index(parent, name)] = value
        else:
            parent.insert(_index(parent, name, end=True), value)
    elif isinstance(parent, dict):
        parent[name] = value  # also where there is nothing to replace: the real server's library lets it pass
    else:
        raise _Inapplicable(f"there is nothing to hold {name}")
    return document


def _take(document: Any, path: list[str]) -> Any:
    parent, name = _at(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(parent, name)]
    else:
        del parent[name]
    return document


# --- strategic merge patch ------------------------------------------------------------------------------


def strategic(kind: str, target: Manifest, patch: Any) -> Manifest:
    """Apply a strategic merge patch to an object of a message. Lists merge by their keys, see schema.py."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: cannot unmarshal into a map")
    return _strategic(kind, target, patch) or {}


def _strategic(kind: str | None, target: Any, patch: Manifest) -> Manifest | None:
    """Return the merged object; None if the patch deletes it."""
    directive = patch.get(DIRECTIVE)
    if directive == "delete":
        return None
    if directive not in (None, "merge", "replace"):
        raise bad_request(f"Unknown patch type: {directive}")
    merged = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    if (retained := patch.get(RETAINED)) is not None:
        merged = {name: value for name, value in merged.items() if name in retained}
    for name, value in patch.items():
        if not name.startswith("$"):
            _merge_field(merged, name, value, field_of(kind, name))
    for name, value in _directed(patch, DROPPED):
        merged[name] = [item for item in merged.get(name) or () if item not in value]
    for name, value in _directed(patch, ORDER):
        if isinstance(merged.get(name), list):
            merged[name] = _ordered(merged[name], value, field_of(kind, name))
    return merged


def _directed(patch: Manifest, prefix: str) -> Iterator[tuple[str, list[Any]]]:
    return ((name.removeprefix(prefix), value) for name, value in patch.items() if name.startswith(prefix))


def _merge_field(merged: Manifest, name: str, value: Any, field: Field | None) -> None:
    if value is None:
        merged.pop(name, None)
    elif isinstance(value, dict):
        new_value = _strategic(None if field and field.mapped else inner(field), merged.get(name), value)
        if new_value is None:
            merged.pop(name, None)
        else:
            merged[name] = new_value
    elif isinstance(value, list) and field is not None and field.merge is not None:
        merged[name] = _merge_list(merged.get(name) or [], value, field)
    else:
        merged[name] = clone(value)


def _merge_list(items: list[Any], patch: list[Any], field: Field) -> list[Any]:
    if not field.merge:  # plain values: a union
        return [*items, *(item for item in patch if item not in items)]
    if any(isinstance(item, dict) and item.get(DIRECTIVE) == "replace" for item in patch):
        return [clone(item) for item in patch if DIRECTIVE not in item]
    merged = list(items)
    for item in patch:
        _merge_item(merged, item, field)
    return merged


def _merge_item(merged: list[Any], patch: Any, field: Field) -> None:
    key = field.merge or ""
    if not isinstance(patch, dict) or key not in patch:
        raise bad_request(f"map: {patch} does not contain declared merge key: {key}")
    for at, item in enumerate(merged):
        if item.get(key) == patch[key]:
            new_item = _strategic(inner(field), item, patch)
            merged[at : at + 1] = [] if new_item is None else [new_item]
            return
    if (fresh := _strategic(inner(field), {}, patch)) is not None:
        merged.append(fresh)


def _ordered(items: list[Any], order: list[Any], field: Field | None) -> list[Any]:
    """Sort the items that the client ordered in its order; the others follow in theirs."""
    key = field.merge if field else None

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    places = {name(item): at for at, item in enumerate(order)}
    return sorted(items, key=lambda item: places.get(name(item), len(places)))
