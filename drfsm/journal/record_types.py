"""What type each part of a record's body has: a table, so that a reader of records may rely on it.

The chain proves that bytes are unaltered and that the keys are there (journal/record.py); whoever wrote them
may still have written nonsense. The fold, the audit and the story ask here before they look into a body. The same in
JSON Schema, for other tools: receipts_schema/journal_record.schema.json.
"""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any

from drfsm import claims
from drfsm.journal.record import Record

Shape = Callable[[Any], bool]
_DEEPEST = 100  # what was seen needs ten levels; a bomb of brackets gets no further


def _text(found: Any) -> bool:
    return isinstance(found, str)


def _count(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


def _flag(found: Any) -> bool:
    return isinstance(found, bool)


def _table(found: Any) -> bool:
    return isinstance(found, dict)


def _anything(_found: Any) -> bool:
    return True


def _words(found: Any) -> bool:
    return isinstance(found, list) and all(map(_text, found))


def _text_or_none(found: Any) -> bool:
    return found is None or isinstance(found, str)


def _seconds(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and isfinite(found)


def _readings(found: Any) -> bool:
    return isinstance(found, dict) and all(map(_reading, found.values()))


def _reading(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and {"value", "seen"} <= set(found) <= {"value", "seen", "why"}
        and _text_or_none(found["value"])
        and _text(found.get("why", ""))
    )


def _checks(found: Any) -> bool:
    return isinstance(found, list) and all(_fits(each, _CHECK) for each in found)


def _forecasts(found: Any) -> bool:
    return _checks(found) and all(_text(each.get("outcome")) for each in found)


def _ways(found: Any) -> bool:
    return isinstance(found, list) and all(_fits(each, _WAY) and _words(each.get("args", [])) for each in found)


def _fits(found: Any, shapes: Mapping[str, Shape]) -> bool:
    return isinstance(found, dict) and all(key in found and fits(found[key]) for key, fits in shapes.items())


_CHECK: Mapping[str, Shape] = {
    "guard": _text,
    "fact": _text,
    "value": _text_or_none,
    "needed": _words,
    "seen": _anything,
    "because": _text,
    "holds": lambda found: found is None or isinstance(found, bool),
}
_WAY: Mapping[str, Shape] = {"do": _text, "because": _text}


def _name(kind: str) -> Shape:
    return lambda found: claims.is_name(kind, found)


_ROW: Mapping[str, Shape] = {"row": _text, "trigger": _text, "from": _text, "to": _text, "by": _text}

SHAPES: Mapping[str, Mapping[str, Shape]] = {
    "run_started": {
        "run_id": _name("drfsm run"),
        "machine": _name("machine"),
        "machine_sha256": _text,
        "version": _text,
        "inputs": _table,
        "operator": _text,
        "host": _text,
        "dry_run": _flag,
        "scope": _text,
        "state": _text,
    },
    "lease_acquired": {"epoch": _count, "operator": _text, "host": _text},
    "resumed": {"operator": _text, "host": _text, "state": _text},
    "tail_cut": {"bytes": _count, "sha256": _text},
    "sampled": {"row": _text, "state": _text, "facts": _readings, "holds": _flag},
    "intent": {
        **_ROW,
        "attempt": _count,
        "effect": _text,
        "guards": _checks,
        "facts": _readings,
        "before": _table,
        "frozen": _words,
    },
    "failed": {"row": _text, "trigger": _text, "state": _text, "attempt": _count, "error": _text, "verdict": _text},
    "repaired": {"row": _text, "action": _text, "result": _anything},
    "commit": {
        **_ROW,
        "how": _text,
        "guards": _checks,
        "facts": _readings,
        "result": _anything,
        "frozen": _words,
        "ways": _ways,
        "because": _text,
    },
    "resolved": {"row": _text, "outcome": _text, "reason": _text, "operator": _text},
    "rejected": {"state": _text, "trigger": _text, "why": _text, "legal": _words},
    "held": {"state": _text, "stage": _text, "reason": _text, "frozen": _words, "ways": _ways},
    "forecast": {"row": _text, "trigger": _text, "from": _text, "to": _text, "guards": _forecasts, "sets": _table},
    "ended": {"state": _text, "status": _text, "reason": _text, "frozen": _words, "ways": _ways, "kept": _words},
    "seal": {"records": _count, "head": _text},
}
"""Kind -> the keys that its body must have, and what each is."""

_OPTIONAL: Mapping[str, Shape] = {
    "args": _table,
    "undo": _text,
    "undoes": _text,
    "kept": _text,
    "case": _text,
    "because": _text,
    "seconds": _seconds,
    "waited_seconds": _seconds,
    "limit_seconds": _seconds,
    "waits": _flag,
    "findings": _words,
    "frozen": _words,
    "error": _text,
    "supersedes": _text,
    "amends": _table,
    "facts": _readings,
    "stage": _text,
    "operator": _text,
    "interrupted": _flag,
    "proven": _table,
    "receipt": _table,
    "vouched": _table,
}


def faults(record: Record) -> Iterator[str]:
    """Yield, in words, everything in a record that is not of the type that its kind has there."""
    yield from misshapen(record)
    if _too_deep(record.body):
        yield f"its body is nested deeper than {_DEEPEST} levels"
    if not _time(record.at):
        yield f"its time {claims.bounded(record.at, 100)!r} is no UTC time"


def misshapen(record: Record) -> Iterator[str]:
    """Yield what keeps a record from being understood at all: a part of its body that is missing, or no such thing."""
    shapes = SHAPES.get(record.kind)
    if shapes is None:
        yield f"there is no kind of record {record.kind!r}"
        return
    for key, fits in {**_OPTIONAL, **shapes}.items():
        if key in shapes and key not in record.body:
            yield f"a {record.kind} record lacks {key}"
        elif key in record.body and not fits(record.body[key]):
            yield f"{key} of a {record.kind} record is not of its type"


def _too_deep(body: Mapping[str, Any]) -> bool:
    todo: list[tuple[Any, int]] = [(body, 0)]
    while todo:
        found, depth = todo.pop()
        if depth > _DEEPEST:
            return True
        if isinstance(found, Mapping):
            todo += [(each, depth + 1) for each in found.values()]
        elif isinstance(found, list | tuple):
            todo += [(each, depth + 1) for each in found]
    return False


def _time(at: str) -> bool:
    return at.endswith("Z") and claims.moment(at) is not None
