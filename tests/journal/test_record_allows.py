"""What the audit allows of a record is what the JSON Schema for other tools allows: the same table says both."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from drfsm.adapters.file_journal import read_chain
from drfsm.journal import KINDS, Record
from drfsm.journal.record_schema import record_schema
from tests.recorded import BUNDLES

WRONG: tuple[Any, ...] = ("nonsense", "", 0, None, [], {}, True)
NAMES = ("run_id", "machine")
"""Names have a grammar (claims.py) that the schema does not repeat."""


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each field that a record declares: not what was seen, and of a list the first members."""
    members = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, member in members:
        if key not in ("seen", "plan", "before", "inputs", "args", "result", "amends", "receipt"):
            yield (*path, key)
            yield from paths(member, (*path, key))


def spoilt(body: dict[str, Any], path: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    """Return a body with another value at a path."""
    copy: Any = json.loads(json.dumps(body))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return dict(copy)


def test_the_check_of_a_record_and_its_schema_say_the_same() -> None:
    """Of every kind that recorded runs hold, whatever stands in each of its fields."""
    definitions = record_schema()["$defs"]
    kinds = {kind: Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": definitions}) for kind in KINDS}
    recorded = {
        record.kind: record
        for machine in ("promote", "drill")
        for record in read_chain(BUNDLES / "0.5.0" / machine).records
    }
    assert len(recorded) == 7
    for kind, record in recorded.items():
        body = dict(record.body)
        for path in islice(paths(body), 120):
            for wrong in WRONG:
                other = Record(record.seq, kind, record.at, spoilt(body, path, wrong))
                ours = [*other.unreadable(), *other.undeclared()] or [*other.unallowed()]
                if path[-1] not in NAMES:
                    assert bool(ours) is not kinds[kind].is_valid(other.body), (kind, path, wrong, ours)
        assert not list(record.unallowed())
