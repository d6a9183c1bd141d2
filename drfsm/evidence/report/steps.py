"""The steps of a run as its page tells them: each record that moved, refused or held it, with what was seen.

One line a record of these kinds; beside it the guards that were asked and how they stood, the facts that were read, and
what the action returned. Plain values, no markup. Pure; called by document.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drfsm.errors import shown
from drfsm.evidence.narrative import lines_of
from drfsm.evidence.wording import clip, compact, observation
from drfsm.journal import Record
from drfsm.journal.record_types import Check, Commit, Failed, Reading, Rejected

Fields = dict[str, Any]
_SEEN_WIDTH = 360  # characters; the journal has all of them, and `drfsm replay -v` most
_KINDS = (
    "intent", "commit", "failed", "repaired", "resolved", "settled", "predecessor_settled", "rejected", "held",
    "forecast", "sampled", "resumed", "lease_acquired", "tail_cut", "ended",
)  # fmt: skip


def steps(records: Sequence[Record]) -> Iterator[Fields]:
    """Yield every step, oldest first. What the records of an older version lack is left out.

    A reading that says the same as the one before it of the same fact is only named: ``unchanged``.
    """
    known: dict[str, tuple[str | None, Any]] = {}
    for record in records:
        if record.kind not in _KINDS:
            continue
        content = record.content
        facts: Mapping[str, Reading] = getattr(content, "facts", {})
        guards: Sequence[Check] = getattr(content, "guards", ())
        if isinstance(content, Commit) and content.how == "acted":
            guards = ()  # they stand with its intent, the record before
        asked = {check.fact for check in guards}
        same = [name for name, reading in facts.items() if known.get(name) == (reading.value, reading.seen)]
        yield {
            "seq": record.seq,
            "at": record.at,
            "kind": record.kind,
            "words": lines_of(record, _SEEN_WIDTH)[0],
            "reason": _reason(content),
            "trouble": _is_trouble(record),
            "guards": [_guard(check) for check in guards],
            "facts": [_fact(name, reading) for name, reading in facts.items() if name not in {*same, *asked}],
            "unchanged": [name for name in same if name not in asked],
            "result": _result(content),
        }
        known.update({name: (reading.value, reading.seen) for name, reading in facts.items()})


def _reason(content: Any) -> str:
    """Return why it was done, or why not."""
    if isinstance(content, Failed):
        return content.error
    if isinstance(content, Rejected):
        return content.why
    return str(getattr(content, "reason", "") or "")


def _is_trouble(record: Record) -> bool:
    """Whether a reader in a hurry must not pass over it."""
    return record.kind in ("failed", "rejected", "held") or (record.kind == "commit" and record.body["by"] == "failure")


def _guard(check: Check) -> Fields:
    return {
        "guard": check.guard,
        "fact": check.fact,
        "value": check.value or "not read",
        "needed": " or ".join(check.needed),
        "seen": clip(shown(check.seen), _SEEN_WIDTH),
        "reason": check.reason,
        "holds": check.holds,
    }


def _fact(name: str, reading: Reading) -> Fields:
    seen = observation(reading.seen, _SEEN_WIDTH)
    return {"name": name, "value": reading.value or "unknown", "seen": seen, "why": reading.why}


def _result(content: Any) -> str:
    result = getattr(content, "result", None)
    return "" if result is None else compact(result, _SEEN_WIDTH)
