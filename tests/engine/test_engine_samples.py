"""What a wait records and when it gives up; after which refusal a row is tried again; what becomes of a record."""

from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.engine import MemoryJournal, Run
from drfsm.engine.log import RunLog
from drfsm.errors import DrfsmError, Unreachable, UsageFault
from drfsm.journal import Record
from drfsm.spec import load_machine
from drfsm.testing.fuse import MemoryClock
from tests.engine.room import HEAD, UNUSED, Room, machine
from tests.engine.test_engine_rules import REFUSE, WAIT, raising, sampling

LIT = {"light": "off", "door": "open", "alarm": "armed"}


def test_a_sample_that_says_nothing_new_is_not_recorded_again() -> None:
    """Five seconds of the same open door are one record; each clear sample is one, so that they can be counted."""
    room = Room(machine(WAIT % 1), has=dict(LIT))
    room.start()
    assert len(room.records("sampled")) == 1
    room = Room(machine(WAIT % 1))
    room.start()
    assert len(room.records("sampled")) == 2


def test_a_sample_says_what_was_seen_how_long_it_took_and_what_is_missing() -> None:
    """An auditor counts by it: the row, its state, the attempt, the limit, and the facts that are not as needed."""
    room = Room(machine(WAIT % 2), has=dict(LIT))
    room.observe["door"] = sampling("open", "shut", Unreachable("no answer"))
    room.start()
    samples = [record.body for record in room.records("sampled")]
    row = next(row.key for row in room.spec.rows if row.trigger == "await_silence")
    assert [(each["row"], each["state"]) for each in samples] == [(row, "start")] * len(samples)
    assert [each["attempt"] for each in samples] == [1, 1, 1, 2]
    assert [each["waited_seconds"] for each in samples] == [0, 1, 2, 0]
    assert {each["limit_seconds"] for each in samples} == {5}
    assert [each["unmet"] for each in samples] == [["door"], [], ["door"], ["door"]]
    assert [each["facts"]["door"]["value"] for each in samples] == ["open", "shut", None, None]


def test_the_last_pause_of_a_wait_ends_at_its_limit() -> None:
    """A limit that is no multiple of the pause is kept to the tenth."""
    room = Room(machine(WAIT % 1), has=dict(LIT))
    runner = room.runner()
    runner.start({"patience": 2.5, "way": "short"}, run_id="run-1")
    assert runner.state.status == "held"
    assert sum(room.clock.naps) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("alarm", "naps"), [("loud", 0), (Unreachable("no answer"), 5)], ids=["seen not to hold", "not seen"]
)
def test_a_wait_ends_at_once_where_a_watched_guard_is_seen_not_to_hold(alarm: str | DrfsmError, naps: int) -> None:
    """What can't be read may be readable at the next sample."""
    head = HEAD.replace("alarm_is_armed: {requires", "alarm_is_armed: {watched: [start], requires")
    rows = (
        (WAIT % 1).replace(", give_up: {alarm: loud}", "").replace("[alarm_is_armed, door_is_shut]", "[door_is_shut]")
    )
    spec = load_machine(head % "" + rows + UNUSED, source="room.yaml")
    room = Room(spec, has=dict(LIT))
    room.observe["alarm"] = sampling(alarm)
    assert room.start().state.status == "held"
    assert sum(room.clock.naps) == pytest.approx(naps)


@pytest.mark.parametrize(
    ("door", "alarm", "attempts"),
    [("open", "loud", 1), ("unread", "unread", 3), ("unread", "loud", 3)],
    ids=["both were read", "none was read", "one was not read"],
)
def test_a_refusal_is_tried_again_as_long_as_one_value_could_not_be_read(door: str, alarm: str, attempts: int) -> None:
    """The next attempt may read it; what was read and does not fit is final."""
    rows = """
  - {from: start, trigger: go, to: done, guards: [door_is_shut, alarm_is_armed],
     attempts: {max: 3, backoff_seconds: 1}, because: "out"}
"""
    room = Room(machine(rows + REFUSE))
    for name, value in (("door", door), ("alarm", alarm)):
        room.observe[name] = raising(Unreachable("no answer")) if value == "unread" else sampling(value)
    reads = 0

    def counted(here: Room, run: Run) -> Any:
        nonlocal reads
        reads += 1
        return observe(here, run)

    observe, room.observe["door"] = room.observe["door"], counted
    state = room.start().state
    assert (reads, state.status) == (attempts, "held" if (door, alarm) == ("unread", "unread") else "refused")


# --- the log of a run -------------------------------------------------------------------------------------


class Racing(MemoryJournal):
    """A journal to which another thread of this process appends first."""

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append twice."""
        super().append(kind, body, at)
        return super().append(kind, body, at)


def test_a_record_that_another_one_went_before_is_folded_after_it() -> None:
    """The state is of every record, in their order, and each subscriber gets both."""
    room = Room(machine(WAIT % 1))
    room.start()
    seen: list[int] = []
    log = RunLog(room.spec, Racing(room.records()), MemoryClock(), [lambda _record, state: seen.append(state.length)])
    before = log.state.length
    log.append("repaired", {"row": "r", "action": "a", "result": 2})
    assert log.state.length == before + 2
    assert seen == [before + 1, before + 2]


def test_a_subscriber_that_fails_leaves_the_record_and_is_told() -> None:
    """The first fault is kept; the journal is whole, the others are called."""
    room, seen = Room(machine(WAIT % 1)), list[str]()
    log = RunLog(
        room.spec, room.journal, MemoryClock(),
        [raising(OSError("disk full")), raising(UsageFault("second")), lambda record, _state: seen.append(record.kind)],
    )  # fmt: skip
    log.append("repaired", {"row": "r", "action": "a", "result": 1})
    assert (seen, len(room.records())) == (["repaired"], 1)
    assert log.fault is not None
    assert "at record 0): OSError: disk full" in log.fault.what


def test_an_amendment_must_be_whole_and_of_its_values() -> None:
    """Each input that the row amends is asked for; nothing is recorded."""
    more = '  - {from: start, trigger: choose, to: start, by: operator, amends: [patience, way], because: "so"}\n'
    room = Room(machine(WAIT % 1 + more), has=dict(LIT))
    runner = room.start()
    records = len(room.records())
    for args, words in (
        ({"patience": "1"}, "way is missing"),
        ({"way": "long"}, "patience is missing"),
        ({"patience": "1", "way": "round"}, "must be one of long, short"),
        ({"patience": "-1", "way": "long"}, "must be a number of seconds"),
    ):
        with pytest.raises(UsageFault, match=words):
            runner.request("choose", args)
        assert len(room.records("commit")) == 0
    assert len(room.records()) - records <= 4  # rejections at most
    legal = next(way for way in runner._log.next_actions() if way["do"] == "choose")
    assert (legal["args"], legal["values"]) == (["patience", "way"], {"way": ["long", "short"]})
