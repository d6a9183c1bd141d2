"""docs/records.md and docs/receipts.md: the fields of records and receipts, from the schemas that check them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from drfsm.evidence.schemas import files
from drfsm.evidence.schemas.minimum import MINIMUM
from drfsm.journal.record_schema import record_schema
from drfsm.journal.record_types import KINDS
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.spec.diagram import markdown_table, plain

_MOST = 6  # words of an enumeration that are listed in a table

RECORDS = """\
# Records of the journal

Every kind of record, drawn from the table that drfsm checks each record by. A line of the journal is
`{"prev":…,"seq":…,"at":…,"kind":…,"body":{…}}`; [journal.md](journal.md) says what the chain is, in which order records
are written, and how to audit them. For other tools:
[journal_record.schema.json](../receipts_schema/journal_record.schema.json).

"""
MINIMUM_FIELDS = """\
## Minimum fields

What every complete run says, whichever version wrote its summary: a value, or `{"none": why}`. An empty text or a
placeholder (`TBD`, `n/a`, `<name>`) is none. `drfsm receipts check FILE` holds a summary to it.

"""
RECEIPTS = """\
# Receipts

Every receipt with its fields, drawn from the tables that drfsm checks each receipt by. The full schemas, with what lies
inside each field, are in [receipts_schema/](../receipts_schema); [journal.md](journal.md) says which bundle holds which
file, and what *unknown* and *none* mean.

"""


def records() -> str:
    """Return the page of the records."""
    defined = record_schema()["$defs"]
    inside = [name for name in defined if name not in KINDS and defined[name].get("type") == "object"]
    parts = ["## Kinds\n", *(_object(name, defined[name], "###") for name in KINDS)]
    parts += ["## What several kinds hold\n", *(_object(name, defined[name], "###") for name in inside)]
    return RECORDS + "\n".join(parts)


def receipts() -> str:
    """Return the page of the receipts."""
    declared = {name: json.loads(text) for name, text in sorted(files().items())}
    told = "\n".join(_receipt(name, schema) for name, schema in declared.items())
    return RECEIPTS + MINIMUM_FIELDS + _minimum() + told


def _minimum() -> str:
    """Return the tables of the minimum fields: where each comes from, and the words of the machine's receipt table."""
    parts = []
    for machine, minimum in MINIMUM.items():
        spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=f"{machine}.yaml")
        rows = [
            (each.name, ", ".join(f"`{name}`" for name in each.fields), each.source,
             "; ".join(f"`{spec.receipt[name]}`" for name in each.fields))
            for each in minimum
        ]  # fmt: skip
        head = ("minimum field", f"in `{machine}.summary.json`, below `receipt`", "where it comes from", "as declared")
        parts.append(f"### Of a {machine}\n\n{markdown_table(head, rows)}\n")
    return "".join(parts)


def _receipt(name: str, schema: Mapping[str, Any]) -> str:
    link = f"\nSchema: [{name}](../receipts_schema/{name}).\n"
    items = schema["items"] if schema.get("type") == "array" else schema  # a list: the fields of what is in it
    items = items["anyOf"][0] if "anyOf" in items else items  # the usual form; the description names the others
    about = _object(schema["title"], {"description": schema["description"], **items}, "##")
    first, table = about.split("\n| ", 1)
    return f"{first.rstrip()}\n{link}\n| {table}"


def _object(name: str, schema: Mapping[str, Any], level: str) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        (f"`{key}`", words_of(value), "yes" if key in needed else "no", _about(value))
        for key, value in schema.get("properties", {}).items()
    ]
    about = _text(schema.get("description", ""))
    table = markdown_table(("field", "type", "always", "what it is"), rows) if rows else "It has no fields.\n"
    return f"{level} {plain(name)}\n\n{plain(about)}\n\n{table}"


def _about(schema: Any) -> str:
    return _text(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def words_of(schema: Any) -> str:
    """Return a field's type in words. ``schema``: JSON Schema; True is anything."""
    if not isinstance(schema, Mapping):
        return "anything"
    return " or ".join(dict.fromkeys(_words(schema)))


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    named = schema.get("type", [])
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    elif "const" in schema:
        yield json.dumps(schema["const"])
    elif "enum" in schema:
        words = [json.dumps(word) for word in schema["enum"]]
        yield from words if len(words) <= _MOST else [f"{', '.join(words[:_MOST])}, …"]
    elif "anyOf" in schema or "oneOf" in schema:
        for choice in schema.get("anyOf", schema.get("oneOf")):
            yield words_of(choice)
    elif named == "array":
        yield f"list of {words_of(schema.get('items', True))}"
    elif named == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        yield f"object of {words_of(schema['additionalProperties'])}"
    else:
        yield from ([named] if isinstance(named, str) else named) or ["anything"]


def _text(words: str) -> str:
    return " ".join(words.split()).replace("``", "`").replace("*", "\\*")
