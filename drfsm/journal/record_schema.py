"""The JSON Schema of a line of a journal, made from the table of kinds, for tools that are not drfsm.

``python -m tests.record_schema`` writes receipts_schema/journal_record.schema.json with it; a test holds the shipped
file to it. It says more than drfsm's own reader asks (record_types.py): which words a field may have.
"""

from typing import Any

from drfsm.journal.field_types import Field, fields_of
from drfsm.journal.field_words import described
from drfsm.journal.record_types import IDENTITY, KINDS, Check, ForeseenCheck, NextAction, Reading

Schema = dict[str, Any]

_TIME: Schema = {
    "description": "UTC, ISO 8601 with microseconds and Z",
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$",
}
_PROVEN: Schema = {
    "description": "What is proven of whoever ran the process; records of 0.1.0 lack it",
    **IDENTITY.schema,
}


def record_schema() -> Schema:
    """Return the schema of one record, with its place in the chain."""
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://drfsm.invalid/receipts_schema/journal_record.schema.json",
        "title": "One line of state_transitions.log",
        "description": (
            "A record of a run. The chain (prev is the SHA-256 of the previous raw line with its newline, 64 zeros for"
            " the first) and what may follow what are the audit's matter. A body may carry more than is named here."
        ),
        "type": "object",
        "additionalProperties": False,
        "required": ["prev", "seq", "at", "kind", "body"],
        "properties": {
            "prev": {"$ref": "#/$defs/sha256"},
            "seq": {"type": "integer", "minimum": 0},
            "at": {"$ref": "#/$defs/time"},
            "kind": {"enum": list(KINDS)},
            "body": {"type": "object"},
        },
        "allOf": [_body_of(kind) for kind in KINDS],
        "$defs": {
            "time": _TIME,
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "reading": _declared(Reading, closed=True, description="value null: unknown, and why says why"),
            "check": _declared(Check, closed=True),
            "foreseen_check": _declared(ForeseenCheck, closed=True),
            "way": _declared(NextAction, closed=True),
            "proven": _PROVEN,
            **{kind: _declared(declared) for kind, declared in KINDS.items()},
        },
    }
    told: Schema = described(schema)
    return told


def _body_of(kind: str) -> Schema:
    return {
        "if": {"properties": {"kind": {"const": kind}}},
        "then": {"properties": {"body": {"$ref": f"#/$defs/{kind}"}}},
    }


def _declared(declared: type[Any], *, closed: bool = False, description: str = "") -> Schema:
    lines = fields_of(declared)
    return {
        "description": description or " ".join((declared.__doc__ or "").split()),
        "type": "object",
        **({"additionalProperties": False} if closed else {}),
        "required": [line.key for line in lines if line.required],
        "properties": {line.key: _property(line) for line in lines},
    }


def _property(line: Field) -> Any:
    notes = [line.note, f"since drfsm {line.since}" if line.since else ""]
    description = "; ".join(filter(None, notes))
    return {"description": description, **line.type.schema} if description else line.type.schema
