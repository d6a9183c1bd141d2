"""Writes the JSON Schema of a journal's records from the table of kinds: ``python -m tests.record_schema``."""

import json
from pathlib import Path

from drfsm.journal.record_schema import record_schema

SHIPPED = Path(__file__).parents[1] / "receipts_schema" / "journal_record.schema.json"


def generated() -> bytes:
    """Return the bytes that the shipped file must have."""
    return json.dumps(record_schema(), indent=2).encode() + b"\n"


if __name__ == "__main__":
    SHIPPED.write_bytes(generated())
