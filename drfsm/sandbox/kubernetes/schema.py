"""The schema of Kubernetes' objects: their fields, the types of these, and how their lists merge.

It is read once from messages.txt, which is derived from the Go types of k8s.io/api. admission.py prunes and checks JSON
by it, protobuf.py decodes, patches.py and managed.py merge, and discovery.py publishes it. It knows no meaning of
values.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import frozen

from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest, bad_request
from drfsm.sandbox.kubernetes.resources import Resource

SCALARS: Mapping[str, type] = {
    "string": str,
    "bool": bool,
    "int32": int,
    "int64": int,
    "time": str,
    "duration": str,
    "bytes": str,
}
LOOSE: Mapping[str, tuple[type, ...]] = {"quantity": (str, int, float), "intstr": (str, int)}
JSON_WORDS = {bool: "bool", int: "number", float: "number", str: "string", dict: "object", list: "array"}
HEADER = ("apiVersion", "kind")


@frozen
class Field:
    """One field of a message. ``type`` is a scalar's, or the name of another message."""

    number: int
    name: str
    type: str
    repeated: bool = False
    mapped: bool = False  # from a string
    pointer: bool = False  # a zero says something
    always: bool = False  # written even if zero
    merge: str | None = None  # a strategic patch merges its items by this field; "" merges plain values
    keys: tuple[str, ...] = ()  # a server-side apply tells its items apart by these
    is_set: bool = False  # of plain values
    atomic: bool = False  # owned as a whole

    @property
    def keeps_zero(self) -> bool:
        """Whether an empty value is kept, as Go's JSON does it."""
        return self.always or (self.pointer and not self.repeated and not self.mapped)


@frozen
class Message:
    """A message: its fields by JSON name, including those of inlined messages."""

    name: str
    atomic: bool
    fields: Mapping[str, Field]
    numbers: Mapping[int, Field]


def message_of(resource: Resource) -> str:
    """Return the name of a resource's message: ``batch.v1/Job``."""
    return f"{resource.group.partition('.')[0] or 'core'}.{resource.version}/{resource.kind}"


@cache
def message(name: str) -> Message:
    """Return a message by its name."""
    atomic, rows = _blocks()[name]
    listed = [_field(row) for row in rows]
    fields: dict[str, Field] = {}
    for field in listed:
        if field.name == "-":
            fields.update(message(field.type).fields)
        else:
            fields[field.name] = field
    return Message(name, atomic, fields, {field.number: field for field in listed})


@cache
def _blocks() -> Mapping[str, tuple[bool, list[str]]]:
    blocks: dict[str, tuple[bool, list[str]]] = {}
    rows: list[str] = []
    for line in (files(__package__) / "messages.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            rows.append(line)
        elif line and not line.startswith("#"):
            name, _, note = line.partition(" ")
            rows = []
            blocks[name] = (note == "atomic", rows)
    return blocks


def _field(row: str) -> Field:
    number, name, kind, *notes = row.split()
    if kind == "map":
        kind, *notes = notes
        mapped = True
    else:
        mapped = False
    said = dict(note.partition("=")[::2] for note in notes)
    bare = kind.removeprefix("*")
    return Field(
        int(number),
        name,
        bare.removeprefix("[]"),
        repeated=bare.startswith("[]"),
        mapped=mapped,
        pointer=kind.startswith("*"),
        always="!" in said,
        merge=said.get("merge"),
        keys=tuple(said["key"].split("+")) if "key" in said else (),
        is_set="set" in said,
        atomic="atomic" in said,
    )


# --- checking and pruning -------------------------------------------------------------------------------


def pruned(resource: Resource, manifest: Manifest) -> tuple[Manifest, list[str]]:
    """Return a manifest with only its known fields, as Go would write it, and the paths of the unknown ones.

    Raises ApiError BadRequest where a value isn't of its field's type: the real API can't decode it either.
    """
    unknown: list[str] = []
    try:
        body = _message(message_of(resource), manifest, "", unknown, skip=HEADER)
    except _Mistyped as fault:
        why = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {fault}'
        raise bad_request(why) from None
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}, unknown


def strict_refusal(unknown: list[str]) -> ApiError:
    """Return the refusal of unknown fields, for a client that asked for strict validation."""
    return bad_request("strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown))


class _Mistyped(Exception):
    def __init__(self, value: Any, path: str, expected_type: str, owner: str) -> None:
        word = JSON_WORDS.get(type(value), "null")
        struct = owner.rpartition("/")[2]
        super().__init__(f"json: cannot unmarshal {word} into Go struct field {struct}.{path} of type {expected_type}")


def _message(name: str, value: Any, path: str, unknown: list[str], skip: tuple[str, ...] = ()) -> Manifest:
    if not isinstance(value, dict):
        raise _Mistyped(value, path, name.replace(".v1/", "."), name)
    fields = message(name).fields
    known: Manifest = {}
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key in skip:
            continue
        if (field := fields.get(key)) is None:
            unknown.append(here)
        elif item is not None:
            kept = _value(field, item, here, unknown, name)
            if kept or field.keeps_zero or (isinstance(kept, dict) and not field.mapped):
                known[key] = kept
    return known


def _value(field: Field, value: Any, path: str, unknown: list[str], owner: str) -> Any:
    if field.mapped:
        if not isinstance(value, dict):
            raise _Mistyped(value, path, f"map[string]{field.type}", owner)
        return {key: _item(field, item, path, unknown, owner) for key, item in value.items()}
    if field.repeated:
        if not isinstance(value, list):
            raise _Mistyped(value, path, f"[]{field.type}", owner)
        return [_item(field, item, f"{path}[{at}]", unknown, owner) for at, item in enumerate(value)]
    return _item(field, value, path, unknown, owner)


def _item(field: Field, value: Any, path: str, unknown: list[str], owner: str) -> Any:
    kind = field.type
    if scalar := SCALARS.get(kind):
        if value is None:
            return scalar()
        if isinstance(value, scalar) and (scalar is not int or not isinstance(value, bool)):
            return value
        raise _Mistyped(value, path, kind, owner)
    if loose := LOOSE.get(kind):
        if isinstance(value, bool) or not isinstance(value, loose):
            raise _Mistyped(value, path, kind, owner)
        return str(value) if kind == "quantity" else value
    if kind in ("raw", "rawext"):
        return value
    return _message(kind, {} if value is None else value, path, unknown)


# --- walking --------------------------------------------------------------------------------------------


def field_of(name: str | None, key: str) -> Field | None:
    """Return a message's field; None for an unknown one (as in a free-form map)."""
    return message(name).fields.get(key) if name else None


def inner(field: Field | None) -> str | None:
    """Return the message of a field or of its items; None for scalars and unknown fields."""
    return field.type if field is not None and "/" in field.type else None


def reachable(names: Iterator[str] | list[str]) -> list[str]:
    """Return the messages that these consist of, including themselves."""
    todo, reached = list(names), set[str]()
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            todo += [field.type for field in message(name).fields.values() if "/" in field.type]
    return sorted(reached)
