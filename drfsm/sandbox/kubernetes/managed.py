"""Field managers: metadata.managedFields, and the server-side apply that depends on them.

Pure: manifests in, manifests out; writing.py calls it under the store's lock. A field is named by its path in the
notation of FieldsV1 (``f:spec``, ``k:{"name":"a"}``, ``v:"a"``); schema.py says by which keys lists are merged. The
rules: an Update owns what it changes. An Apply owns what it contains, may not change another manager's field (Conflict,
unless forced), and removes a field that it no longer contains and nobody else owns.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field as attribute
from attrs import frozen

from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.schema import Field, field_of, inner, message
from drfsm.sandbox.kubernetes.store import clone

Path = tuple[str, ...]
Leaves = dict[Path, Any]

SYSTEM = (
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_ITEM = object()  # stands for an item of a list as such, apart from what is in it


@frozen
class Writer:
    """A field manager, and the part that it writes: ``status``, or "" for everything else."""

    manager: str
    operation: str  # Apply, Update
    api_version: str
    subresource: str = ""

    def described(self) -> str:
        """Return its name as conflicts show it: with the API version only for an Update."""
        part = f' with subresource "{self.subresource}"' if self.subresource else ""
        return f'"{self.manager}"{part} using {self.api_version}' if self.operation == "Update" else f'"{self.manager}"'


@frozen
class Claim:
    """The fields that a writer owns, and since when."""

    time: str
    paths: frozenset[Path] = attribute(factory=frozenset)


Claims = dict[Writer, Claim]


def record(kind: str, old: Manifest | None, new: Manifest, writer: Writer, now: str) -> None:
    """Record in ``new``, an object of message ``kind``, the fields that an Update changed."""
    claims = _read(new) or _read(old or {})
    before = leaves(kind, old or {}, writer.subresource)
    after = leaves(kind, new, writer.subresource)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    for writer_key, claim in list(claims.items()):
        claims[writer_key] = Claim(claim.time, claim.paths - gone - (changed if writer_key != writer else set()))
    mine = claims.get(writer, Claim(now))
    claims[writer] = Claim(now if changed or gone else mine.time, mine.paths | changed)
    _write(new, claims)


def apply(kind: str, live: Manifest, applied_object: Manifest, writer: Writer, now: str, *, force: bool) -> Manifest:
    """Return the object that a server-side apply makes of a live one ({} if it is new). Raises ApiError Conflict."""
    claims = _read(live)
    if twice := next(_twice(field_of(kind, "spec"), applied_object.get("spec"), ("f:spec",)), None):
        named = f"{applied_object['metadata'].get('namespace', '')}/{applied_object['metadata']['name']}"
        about = f"{named}; {applied_object['apiVersion']}, Kind={applied_object['kind']}"
        raise ApiError(500, "", f"failed to create typed patch object ({about}): {twice}")
    applied, before = leaves(kind, applied_object, writer.subresource), leaves(kind, live, writer.subresource)
    others = {other: claim for other, claim in claims.items() if other != writer}
    changed = {path for path, value in applied.items() if path in before and before[path] != value}
    if conflicts := [(other, path) for other in _by_name(others) for path in sorted(others[other].paths & changed)]:
        if not force:
            raise _conflict(conflicts)
        others = {other: Claim(claim.time, claim.paths - changed) for other, claim in others.items()}
    mine = claims.get(writer, Claim(now))
    previous = mine.paths
    held = frozenset[Path]().union(*(claim.paths for claim in others.values()))
    new = _merged(kind, clone(live), applied_object)
    for path in sorted(previous - applied.keys(), key=len):  # an item as a whole before what is in it
        if not any(held_path[: len(path)] == path for held_path in held) and not _names_its_item(path):
            _drop(new, path)
    same = previous == applied.keys() and not changed
    _write(new, {**others, writer: Claim(mine.time if same else now, frozenset(applied))})
    return new


def _names_its_item(path: Path) -> bool:
    """Return whether a field is a part of its item's key; it is removed with the item, not before it."""
    *_, item, name = ("", *path)
    return item.startswith("k:") and name.removeprefix("f:") in json.loads(item.removeprefix("k:"))


def _by_name(claims: Claims) -> list[Writer]:
    return sorted(claims, key=lambda claimant: (claimant.manager, claimant.operation, claimant.subresource))


def _conflict(conflicts: list[tuple[Writer, Path]]) -> ApiError:
    names = {holder: holder.described() for holder, _ in conflicts}
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {names[holder]}", "field": _said(path)}
        for holder, path in conflicts
    ]
    if len(conflicts) == 1:
        message_ = f"Apply failed with 1 conflict: conflict with {names[conflicts[0][0]]}: {_said(conflicts[0][1])}"
    else:
        lines: list[str] = []
        for writer in dict.fromkeys(holder for holder, _ in conflicts):
            lines.append(f"conflicts with {names[writer]}:")
            lines += [f"- {_said(path)}" for holder, path in conflicts if holder == writer]
        message_ = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message_, {"causes": causes})


def _said(path: Path) -> str:
    """Write a path as people do: ``.spec.containers[name="a"].image``."""
    words = []
    for step in path:
        sort, _, rest = step.partition(":")
        if sort == "k":
            words.append("[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items()) + "]")
        else:
            words.append(f".{rest}" if sort == "f" else f"[={rest}]")
    return "".join(words)


# --- an object's fields ---------------------------------------------------------------------------------


def leaves(kind: str, manifest: Manifest, part: str = "") -> Leaves:
    """Return the fields of an object that somebody can own: those of status, or all but those."""
    owned: Leaves = {}
    for name, value in manifest.items():
        if name in ("apiVersion", "kind") or (name == "status") is not (part == "status"):
            continue
        if name == "metadata":
            value = {key: item for key, item in value.items() if key not in SYSTEM}  # noqa: PLW2901  a part of it
        owned.update(_leaves(field_of(kind, name), value, (f"f:{name}",)))
    owned.pop(("f:metadata",), None)
    return owned


def _leaves(field: Field | None, value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and _granular(field):
        kind = None if field is None or field.mapped else inner(field)
        for name, inner_value in value.items():
            yield from _leaves(field_of(kind, name), inner_value, (*path, f"f:{name}"))
    elif isinstance(value, list) and field is not None and field.keys:
        for inner_value in value:
            here = (*path, _key(field, inner_value))
            yield here, _ITEM
            for name, part in inner_value.items():
                yield from _leaves(field_of(inner(field), name), part, (*here, f"f:{name}"))
    elif isinstance(value, list) and field is not None and field.is_set:
        for inner_value in value:
            yield (*path, f"v:{json.dumps(inner_value)}"), inner_value
    else:
        yield path, value


def _twice(field: Field | None, value: Any, path: Path) -> Iterator[str]:
    """Yield the lists in which a key is there twice: the real API can't merge them, and answers 500."""
    if isinstance(value, dict) and value and _granular(field):
        kind = None if field is None or field.mapped else inner(field)
        for name, inner_value in value.items():
            yield from _twice(field_of(kind, name), inner_value, (*path, f"f:{name}"))
    elif isinstance(value, list) and field is not None and field.keys:
        keys = [_key(field, item) for item in value]
        for number, (key, item) in enumerate(zip(keys, value, strict=True)):
            if key in keys[:number]:
                yield f"{_said(path)}: duplicate entries for key {_said((key,))}"
            for name, part in item.items():
                yield from _twice(field_of(inner(field), name), part, (*path, key, f"f:{name}"))


def _granular(field: Field | None) -> bool:
    """Return whether the parts of an object are owned one by one."""
    if field is None or field.atomic:
        return False
    kind = inner(field)
    return field.mapped or (kind is not None and not message(kind).atomic)


def _key(field: Field, item: Manifest) -> str:
    ported = {"protocol": "TCP"} if "protocol" in field.keys else {}
    key_fields = {**ported, **{name: item[name] for name in field.keys if name in item}}
    return "k:" + json.dumps(key_fields, sort_keys=True, separators=(",", ":"))


def _merged(kind: str | None, live: Any, applied_object: Manifest) -> Manifest:
    merged = live if isinstance(live, dict) else {}
    for name, value in applied_object.items():
        field = field_of(kind, name)
        old = merged.get(name)
        if isinstance(value, dict) and _granular(field):
            merged[name] = _merged(None if field is None or field.mapped else inner(field), old, value)
        elif isinstance(value, list) and field is not None and field.keys:
            merged[name] = _merged_items(field, old or [], value)
        elif isinstance(value, list) and field is not None and field.is_set:
            merged[name] = [*(old or ()), *(item for item in value if item not in (old or ()))]
        else:
            merged[name] = clone(value)
    return merged


def _merged_items(field: Field, items: list[Any], applied_items: list[Any]) -> list[Any]:
    places = {_key(field, item): at for at, item in enumerate(items)}
    merged = list(items)
    for item in applied_items:
        at = places.get(_key(field, item))
        if at is None:
            merged.append(_merged(inner(field), {}, item))
        else:
            merged[at] = _merged(inner(field), merged[at], item)
    return merged


def _drop(manifest: Any, path: Path) -> None:
    """Take a field or an item out, if it is still there."""
    for at, step in enumerate(path):
        sort, _, rest = step.partition(":")
        last = at == len(path) - 1
        if sort == "f":
            if not isinstance(manifest, dict) or rest not in manifest:
                return
            if last:
                del manifest[rest]
            else:
                manifest = manifest[rest]
        else:
            matches = [item for item in manifest if _is(item, sort, json.loads(rest))]
            if not matches:
                return
            if last:
                manifest.remove(matches[0])
            manifest = matches[0]


def _is(item: Any, sort: str, key: Any) -> bool:
    if sort == "v":
        return bool(item == key)
    return all(item.get(name, "TCP" if name == "protocol" else None) == value for name, value in key.items())


# --- managedFields --------------------------------------------------------------------------------------


def _read(manifest: Manifest) -> Claims:
    claims: Claims = {}
    for entry in (manifest.get("metadata") or {}).get("managedFields") or ():
        if "manager" not in entry:
            continue
        names = (entry["manager"], entry.get("operation", "Update"), entry.get("apiVersion", ""))
        writer = Writer(*names, entry.get("subresource", ""))
        claims[writer] = Claim(entry.get("time", ""), frozenset(_paths(entry.get("fieldsV1") or {}, ())))
    return claims


def _write(manifest: Manifest, claims: Claims) -> None:
    entries = [
        {
            "manager": writer.manager,
            "operation": writer.operation,
            "apiVersion": writer.api_version,
            "time": claims[writer].time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(claims[writer].paths),
            **({"subresource": writer.subresource} if writer.subresource else {}),
        }
        for writer in sorted(claims, key=lambda claimant: (claimant.operation, claims[claimant].time, claimant.manager))
        if claims[writer].paths
    ]
    manifest.setdefault("metadata", {})["managedFields"] = entries


def _nested(paths: frozenset[Path]) -> Manifest:
    tree: Manifest = {}
    for path in sorted(paths):
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        if path[-1].startswith("k:"):
            branch["."] = {}
    return tree


def _paths(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for step, branch in tree.items():
        if step == ".":
            if path and path[-1].startswith("k:"):
                yield path
        elif branch:
            yield from _paths(branch, (*path, step))
        else:
            yield (*path, step)
