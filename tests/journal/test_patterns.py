"""A long log is read by patterns, and judged by what was judged before: as if every line were read and judged."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from drfsm.dr.procedures import binding
from drfsm.dr.procedures.bound import pairs_of
from drfsm.errors import JournalDamaged
from drfsm.evidence.audit import Verdict, audit
from drfsm.evidence.audit.steady import Steady
from drfsm.journal import GENESIS, Record, Scan, chain, digest, encode, fold, read
from drfsm.journal.patterns import Patterns
from drfsm.spec import load_machine
from tests.bench import logs

COUNT = 330
AT = 300
"""A line that is read by a pattern, unless it is altered."""
Edit = Callable[[list[Record]], Any]
SPEC = load_machine((logs.PLACE / "promote.yaml").read_bytes(), source="promote.yaml", recorded=True)


def altered(**fields: Any) -> Edit:
    """Return the edit of a sample's body."""

    def edit(records: list[Record]) -> None:
        record = records[AT]
        records[AT] = Record(record.seq, record.kind, record.at, {**record.body, **fields})

    return edit


def swapped(records: list[Record]) -> None:
    """Let two samples change places."""
    records[AT], records[AT + 1] = records[AT + 1], records[AT]


def of_a_fact(**fields: Any) -> Edit:
    """Return the edit of what a sample read."""

    def edit(records: list[Record]) -> None:
        (name, *_) = records[AT].body["facts"]
        altered(facts={**records[AT].body["facts"], name: {**records[AT].body["facts"][name], **fields}})(records)

    return edit


EDITS: dict[str, Edit] = {
    "nothing": lambda _records: None,
    "a sample left out": lambda records: records.pop(AT),
    "a sample doubled": lambda records: records.insert(AT, records[AT]),
    "two samples swapped": swapped,
    "a sample that waited less": altered(waited_seconds=0.5),
    "a sample that waited as long": altered(waited_seconds=29.9),
    "whole seconds": altered(waited_seconds=30),
    "another try": altered(attempt=2),
    "another limit": altered(limit_seconds=1.0),
    "a sample said to be clear": altered(holds=True, unmet=[]),
    "another row": altered(row="dr_run_verified --approve--> approved"),
    "another state": altered(state="approved"),
    "a field that nobody declared": altered(more={"waited_seconds": 1.0}),
    "a fact that nobody declared": of_a_fact(more=1),
    "another value": of_a_fact(value="succeeded"),
    "another observation": of_a_fact(seen={"waited_seconds": 2.5}),
    "a value that nobody knows": of_a_fact(value=None, seen=None, why="no answer"),
    "a time that is none": lambda records: records.__setitem__(
        AT, Record(records[AT].seq, "sampled", "2026-13-01T00:00:00.000000Z", records[AT].body)
    ),
    "a time before": lambda records: records.__setitem__(
        AT, Record(records[AT].seq, "sampled", "2026-01-01T00:00:00.000000Z", records[AT].body)
    ),
    "a hold in between": lambda records: records.insert(
        AT,
        Record(
            0, "rejected", records[AT].at, {"state": records[AT].body["state"], "trigger": "x", "why": "y", "legal": []}
        ),
    ),
}


def chained(edit: Edit) -> list[bytes]:
    """Return the lines of a long wait after an edit, with numbers and chain made anew."""
    records = list(islice(logs.records(COUNT), COUNT))
    edit(records)
    lines, head = [], GENESIS
    for seq, record in enumerate(records):
        lines.append(encode(Record(seq, record.kind, record.at, record.body), head))
        head = digest(lines[-1])
    return lines


def judged(lines: list[bytes]) -> tuple[Verdict, Any]:
    """Return the verdict on lines, and where they say that the run stands."""
    machine = binding("promote")
    verdict = audit(lines, SPEC, judges=machine.judges, late=machine.late, bound=pairs_of("promote"))
    return verdict, verdict.state


@pytest.mark.parametrize("name", EDITS)
def test_a_long_log_is_judged_as_if_every_line_were(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same findings, remarks, state and number of observations, whatever was done to one sample."""
    lines = chained(EDITS[name])
    passed: list[int] = []
    passes = Steady.passes

    def counted(steady: Steady, record: Record) -> bool:
        known = passes(steady, record)
        passed.append(known)
        return known

    monkeypatch.setattr(Steady, "passes", counted)
    quick = judged(lines)
    assert sum(passed) > 80
    monkeypatch.setattr(Steady, "passes", lambda _steady, _record: False)
    monkeypatch.setattr(chain, "_MANY", 1 << 60)
    slow = judged(lines)
    assert quick == slow
    assert quick[0].remarks == slow[0].remarks
    if not any(finding.code == "record_unreadable" for finding in slow[0].findings):
        assert quick[1] == fold(read(lines).records)


ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda line: line,
    "a key twice": lambda line: line.replace(b'"holds":false', b'"holds":false,"holds":false'),
    "a key twice further in": lambda line: line.replace(b'"value":"pending"', b'"value":"x","value":"pending"', 1),
    "a number in another form": lambda line: line.replace(b'"attempt":1', b'"attempt":1e0'),
    "seconds in another form": lambda line: line.replace(b'"waited_seconds":', b'"waited_seconds":0'),
    "a number that no computer holds": lambda line: line.replace(b'"attempt":1', b'"attempt":1' + b"0" * 30),
    "no number at all": lambda line: line.replace(b'"attempt":1', b'"attempt":NaN'),
    "half a character": lambda line: line.replace(b'"pending"', b'"pending\\ud800"', 1),
    "an escape that is not needed": lambda line: line.replace(b'"pending"', b'"pendi\\u006eg"', 1),
    "bytes that are no text": lambda line: line.replace(b'"pending"', b'"pending\xff"', 1),
    "a blank": lambda line: line.replace(b'"holds":', b'"holds": '),
    "too deep": lambda line: line.replace(b'"holds":false', b'"holds":' + b"[" * 600 + b"]" * 600),
    "another number": lambda line: line.replace(b'"seq":300', b'"seq":301'),
    "a number with a nought before it": lambda line: line.replace(b'"seq":300', b'"seq":0300'),
    "another line before": lambda line: line.replace(b'{"prev":"', b'{"prev":"0', 1),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_line_of_a_long_log_is_read_as_it_was_always_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same record, or the same fault in the same words, whatever its bytes are."""
    lines = chained(EDITS["nothing"])[: AT + 1]
    lines[AT] = ALTERATIONS[name](lines[AT])

    def outcome() -> Any:
        try:
            return [(record, json.dumps(record.body)) for record in Scan(lines)][-1]
        except JournalDamaged as damage:
            return damage.line, damage.what

    quick = outcome()
    monkeypatch.setattr(chain, "_MANY", 1 << 60)
    assert quick == outcome()


def test_no_more_of_a_log_is_kept_than_a_few_patterns() -> None:
    """A log that never says the same twice is read within a few megabytes, too."""
    patterns = Patterns()
    (line, *_) = chained(EDITS["nothing"])[AT:]
    sound = read(chained(EDITS["nothing"])).records[AT]
    for number in range(6000):
        patterns.learn(line.replace(b"pending", b"pending%d" % number, 1), sound)
    assert len(patterns._known) <= 4096
    assert patterns._size <= 4 << 20
