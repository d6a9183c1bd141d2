"""The building blocks of receipts' schemas: types, shared definitions, and a whole receipt.

A shape is a JSON Schema (draft 2020-12) as a dict, so that ``about("...") | TEXT`` is one with a description.
Called by the tables beside this module; refuses nothing: a test holds every schema against the draft's own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from drfsm.evidence.schemas.glossary import WORDS_OF
from drfsm.journal.field_words import described

Shape = dict[str, Any]
Fields = Mapping[str, Shape]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
HOME = "https://drfsm.invalid/receipts_schema"
_REF = "#/$defs/"


def about(description: str) -> Shape:
    """Return a description, to be joined to a shape."""
    return {"description": description}


def ref(name: str) -> Shape:
    """Return a reference to one of ``DEFINITIONS``."""
    return {"$ref": _REF + name}


def const(value: object) -> Shape:
    """Return the shape of this one value."""
    return {"const": value}


def one_of(*values: object) -> Shape:
    """Return the shape of any of these values."""
    return {"enum": list(values)}


def either(*shapes: Shape) -> Shape:
    """Return the shape of what fits one of these at least."""
    return {"anyOf": list(shapes)}


def not_a(shape: Shape) -> Shape:
    """Return the shape of what does not fit this one."""
    return {"not": shape}


def matching(pattern: str) -> Shape:
    """Return the shape of a text that matches a regular expression."""
    return {"type": "string", "pattern": pattern}


def whole(least: int) -> Shape:
    """Return the shape of a whole number, from ``least`` on."""
    return {"type": "integer", "minimum": least}


def array(items: Shape, least: int = 0) -> Shape:
    """Return the shape of an array with ``least`` items or more."""
    return {"type": "array", **({"minItems": least} if least else {}), "items": items}


def mapping(values: Shape) -> Shape:
    """Return the shape of an object with any keys, and these values."""
    return {"type": "object", "additionalProperties": values}


def record(fields: Fields, optional: Fields | None = None) -> Shape:
    """Return the shape of an object with all of these fields, some of the optional ones, and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(fields),
        "properties": {**fields, **(optional or {})},
    }


def having(fields: Fields, optional: Fields | None = None) -> Shape:
    """Return the shape of an object with all of these fields and any others; the optional ones are of their shapes."""
    return record(fields, optional) | {"additionalProperties": True}


def when(fields: Fields, then: Fields, otherwise: Fields | None = None) -> Shape:
    """Return a rule: where ``fields`` are so, these are so too; where they are not, ``otherwise`` are."""
    rule: Shape = {"if": {"properties": dict(fields)}, "then": {"properties": dict(then)}}
    return rule if otherwise is None else {**rule, "else": {"properties": dict(otherwise)}}


TEXT: Shape = {"type": "string"}
WORDS: Shape = {"type": "string", "minLength": 1}
NUMBER: Shape = {"type": "number"}
FLAG: Shape = {"type": "boolean"}
OBJECT: Shape = {"type": "object"}
COUNT = whole(0)
TEXT_OR_NULL: Shape = {"type": ["string", "null"]}
NUMBER_OR_NULL: Shape = {"type": ["number", "null"]}
NAMES = array(WORDS)

TIME, SHA256, UNKNOWN, NONE = map(ref, ("time", "sha256", "unknown", "none"))
TIME_OR_UNKNOWN, WORDS_OR_UNKNOWN, WORDS_OR_NONE = map(ref, ("time_or_unknown", "words_or_unknown", "words_or_none"))
WHY, TIME_OR_WHY, WORDS_OR_WHY = map(ref, ("why", "time_or_why", "words_or_why"))
TEXT_OR_UNKNOWN = either(TEXT, UNKNOWN)
TEXT_OR_WHY = either(TEXT, WHY)
NUMBER_OR_UNKNOWN = either(NUMBER, UNKNOWN)
SHA256_OR_WHY = either(WHY, SHA256)
S3_URI = matching("^s3://[^/]+/.+")
SCOPE = one_of("live", "drill")
UNKNOWN_SAID: Shape = {"required": ["unknown"]}
_WHY_SAID = either(UNKNOWN_SAID, {"required": ["none"]})

DEFINITIONS: Fields = {
    "time": about("UTC, ISO 8601 with Z") | matching(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"),
    "sha256": matching("^[0-9a-f]{64}$"),
    "unknown": about("It is unknown (yet), for this reason") | record({"unknown": WORDS}),
    "none": about("It does not apply, for this reason") | record({"none": WORDS}),
    "time_or_unknown": either(TIME, UNKNOWN),
    "words_or_unknown": either(WORDS, UNKNOWN),
    "words_or_none": either(WORDS, NONE),
    "why": about("Why there is no value") | either(UNKNOWN, NONE),
    "time_or_why": either(TIME, WHY),
    "words_or_why": either(WORDS, WHY),
    "os_user": record({"uid": COUNT, "name": TEXT, "host": TEXT}),
    "object_or_why": either(WHY, OBJECT | not_a(_WHY_SAID)),
    "facts_or_why": either(WHY, OBJECT | {"minProperties": 1} | not_a(_WHY_SAID)),
    "labelled_pointer": record(
        {
            "site": about("The site whose run it names, by this run's dr_run_id and primary_run_id")
            | one_of("dr", "primary", "other"),
            "run_id": either(WORDS, NONE),
            "pointer": about("Its fields, as they were read") | OBJECT,
        }
    ),
    "pointers_or_why": either(
        WHY,
        about("pointer key -> the run that it names, and that run's site")
        | mapping(either(NONE, ref("labelled_pointer")))
        | {"minProperties": 1}
        | not_a(_WHY_SAID),
        about("Of a run that a version before 0.5.0 began: pointer key -> its fields alone; null: there was none")
        | mapping(either({"type": "null"}, OBJECT | not_a({"required": ["site"]})))
        | {"minProperties": 1}
        | not_a(_WHY_SAID),
    ),
    "exceptions": about("Fields outside of the restore policy")
    | array(record({"object": TEXT, "field": TEXT, "why": TEXT})),
    "quiet": about(
        "What was restored quiet: CronJobs suspended, Deployments without pods (drfsm/before keeps how many they had),"
        " ConfigMaps made mutable so that they can be switched on; and which CronJobs set these switches themselves,"
        " so that the ConfigMap does not control them"
    )
    | record(dict.fromkeys(("suspended", "scaled_to_zero", "made_mutable", "by_themselves"), NAMES)),
    "applied_section": record(
        {
            "configmap": WORDS,
            "was": one_of("absent", "different", "equal"),
            "files": COUNT,
            "bytes": COUNT,
            "removed": NAMES,
            "sha256": mapping(SHA256),
        }
    ),
    "control_plane": record(
        {
            "bundle_uri": S3_URI,
            "bundle_sha256": SHA256,
            **{f"{section}_count": whole(0) for section in ("candidate", "alert", "provider", "scoring")},
        },
        optional={  # since 0.4.0
            "manifest_sha256": SHA256,
            "bundle_dir": about("Where the bundle's files were written, if they were") | WORDS,
        },
    ),
}
"""What schemas share. Each file holds those that it uses."""
OBJECT_OR_WHY, FACTS_OR_WHY, POINTERS_OR_WHY = map(ref, ("object_or_why", "facts_or_why", "pointers_or_why"))


@frozen
class Receipt:
    """The schema of one kind of receipt: ``<name>.schema.json``. ``title`` is the file that a run leaves."""

    name: str
    title: str
    description: str
    shape: Shape
    rules: Sequence[Shape] = field(factory=tuple)

    @property
    def schema(self) -> Shape:
        """The whole schema; it refers to nothing outside of itself."""
        rules = {"allOf": list(self.rules)} if self.rules else {}
        body = {**self.shape, **rules}
        schema: Shape = described(
            {
                "$schema": DRAFT,
                "$id": f"{HOME}/{self.name}.schema.json",
                "title": self.title,
                "description": self.description,
                **body,
                **_definitions(body),
            },
            WORDS_OF,
        )
        return schema

    @property
    def text(self) -> str:
        """The content of its file."""
        return json.dumps(self.schema, indent=2, ensure_ascii=False) + "\n"


def _definitions(shape: Shape) -> Shape:
    """Return the definitions that a shape refers to, and those that they refer to, in the order of the table."""
    names: set[str] = set()
    waiting = list(_references(shape))
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += _references(DEFINITIONS[name])
    return {"$defs": {name: DEFINITIONS[name] for name in DEFINITIONS if name in names}} if names else {}


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("$ref"), str):
            yield target.removeprefix(_REF)
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _references(value)
