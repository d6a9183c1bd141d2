"""How long rows took: by the records alone, and never what a person, a hold or a crash added."""

from typing import Any

from drfsm.evidence.row_times import Typical, row_seconds, typical
from drfsm.journal import Record
from tests.engine.room import Room, machine

ROWS = """
  - {from: start, trigger: dim, to: dark, action: dim, sets: {light: off}, effect: idempotent,
     not_undone_because: "it stays dark", because: "dark"}
  - {from: dark, trigger: close, to: done, action: close, sets: {door: shut}, effect: idempotent,
     not_undone_because: "it stays shut", because: "shut"}
"""
DIM, CLOSE = "start --dim--> dark", "dark --close--> done"


def at(seconds: float, record: Record) -> Record:
    """Return a record as if it were of this second."""
    return Record(record.seq, record.kind, f"2026-11-29T10:00:{seconds:09.6f}Z", record.body)


def run(times: dict[str, float], *, more: dict[int, tuple[str, Any]] | None = None) -> list[Record]:
    """Return a run's records, each commit at its row's second in ``times``, the others at that of the one before."""
    room = Room(machine(ROWS), {"light": "on", "door": "open", "alarm": "armed"})
    room.start()
    records, now = [], 0.0
    for record in room.records():
        now = times.get(record.body.get("row", ""), now) if record.kind == "commit" else now
        records.append(at(now, record))
        if more and record.seq in more:
            kind, body = more[record.seq]
            records.append(Record(record.seq, kind, records[-1].at, body))
    return records


def test_a_row_lasts_from_the_commit_before_it_to_its_own() -> None:
    """Its guards, its action and its waits together."""
    assert row_seconds(run({DIM: 2.5, CLOSE: 10})) == {DIM: 2.5, CLOSE: 7.5}


def test_a_row_in_which_the_run_stood_is_left_out() -> None:
    """A night on hold says nothing about the next run; the rows before and after it do."""
    records = run({DIM: 2.5, CLOSE: 10})
    intent = next(record.seq for record in records if record.kind == "intent" and record.body["row"] == DIM)
    resumed = {"operator": "op", "host": "here", "state": "start", "pid": 1}
    assert row_seconds(run({DIM: 2.5, CLOSE: 10}, more={intent: ("resumed", resumed)})) == {CLOSE: 7.5}
    killed = {"epoch": 2, "operator": "op", "host": "here"}  # another process took it up
    assert row_seconds(run({DIM: 2.5, CLOSE: 10}, more={intent: ("lease_acquired", killed)})) == {CLOSE: 7.5}


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    """And no records, no times."""
    assert row_seconds(run({DIM: 9, CLOSE: 2})) == {DIM: 9, CLOSE: 0}
    assert row_seconds([]) == {}


def test_typical_is_the_median_and_says_of_how_many_runs() -> None:
    """A row that only one of the runs took is of one run."""
    assert typical([{"a": 1.0, "b": 5.0}, {"a": 2.0}, {"a": 30.0}]) == {
        "a": Typical(2.0, 1.0, 30.0, 3), "b": Typical(5.0, 5.0, 5.0, 1),
    }  # fmt: skip
    assert typical([]) == {}
