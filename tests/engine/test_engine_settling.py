"""What is recorded of a request that may land late, and what stops its settling: beside test_engine_late_writes.py."""

from typing import Any

import pytest
from attrs import define, field

from drfsm.engine import Late, NoLease, Run
from drfsm.engine.late import SETTLE_SECONDS
from drfsm.errors import DrfsmError, EvidenceFault, Interrupted, LeaseLost
from drfsm.journal import Record
from drfsm.testing.fuse import Crash, MemoryClock
from tests.engine.test_engine_late_writes import CONDITIONAL, UNCONDITIONAL, Bench, Landing, Room


def settled(bench: Bench) -> list[Record]:
    """Return what was settled."""
    return [record for record in bench.journal.records() if record.kind == "settled"]


def row_key(bench: Bench, trigger: str) -> str:
    """Return the key of a row by its first record."""
    return next(str(each.body["row"]) for each in bench.journal.records() if each.body.get("trigger") == trigger)


@define
class Lost(NoLease):
    """A lease that is lost once these many records were written."""

    bench: list[Bench] = field(factory=list)
    after: int = 10**6

    def __attrs_post_init__(self) -> None:
        """Begin as any lease."""
        NoLease.__init__(self)

    def check(self) -> None:
        """Ask."""
        if self.bench and len(self.bench[0].journal.records()) >= self.after:
            raise LeaseLost("taken over")


def test_a_settled_request_names_its_row_what_was_touched_and_what_was_read() -> None:
    """The record is the proof that it can't land any more: with the result of the touch."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    bench.runner().abort("no")
    (record,) = settled(bench)
    body = record.body
    assert (body["row"], body["trigger"], body["how"]) == (row_key(bench, "press"), "press", "touched")
    assert (body["result"], body["done"], body["because"]) == (
        {"touched": ["lamp"]}, False, "press can no longer take effect late"
    )  # fmt: skip


def test_a_request_that_was_waited_for_is_recorded_with_what_was_read_again() -> None:
    """The lamp is off after a minute: that is what an auditor judges anew."""
    bench = Bench(UNCONDITIONAL)
    bench.begun(Crash("here"))
    bench.runner().abort("no")
    (record,) = settled(bench)
    assert record.body["facts"]["lamp"]["value"] == "off"
    assert record.body["done"] is False
    assert bench.clock.monotonic() == pytest.approx(SETTLE_SECONDS, abs=0.3)


def test_a_request_that_landed_is_recorded_as_done() -> None:
    """With the facts that prove it."""
    room = Room()
    bench = Bench(UNCONDITIONAL, room, clock=Landing(room))
    bench.begun(Crash("here"))
    bench.runner().abort("no")
    (record,) = settled(bench)
    assert (record.body["how"], record.body["done"], record.body["facts"]["lamp"]["value"]) == (
        "landed_late",
        True,
        "on",
    )
    assert bench.clock.monotonic() == pytest.approx(SETTLE_SECONDS, abs=0.3)  # what is over is not waited for again


def test_a_lease_that_is_lost_before_a_wait_ends_it_at_once() -> None:
    """Whoever took over settles it: this process neither waits nor writes."""
    whole = Bench(UNCONDITIONAL)
    whole.begun(Crash("here"))
    whole.runner().abort("no")
    before_settling = next(record.seq for record in whole.journal.records() if record.kind == "settled")
    lease = Lost(after=before_settling)
    bench = Bench(UNCONDITIONAL, lease=lease)
    lease.bench.append(bench)
    bench.begun(Crash("here"))
    with pytest.raises(LeaseLost):
        bench.runner().abort("no")
    assert (settled(bench), bench.clock.naps) == ([], [])


@pytest.mark.parametrize("fault", [LeaseLost("taken over"), Interrupted("stopped")], ids=["lease", "interrupted"])
def test_a_touch_that_is_stopped_stops_the_run_and_is_not_told_as_impossible(fault: DrfsmError) -> None:
    """Only a world that does not answer ends in words; a person's stop and a lost lease do not."""
    calls: list[str] = []

    def touch(_room: Room, _run: Run) -> None:
        calls.append("touched")
        raise fault

    late = Late(touch, settles="a press has no condition")
    bench = Bench({"press": late, "release": late})
    bench.begun(Crash("here"))
    runner = bench.runner()
    if isinstance(fault, LeaseLost):
        with pytest.raises(LeaseLost):
            runner.abort("no")
    else:
        assert runner.abort("no").status == "held"
    assert (calls, settled(bench)) == (["touched"], [])


def test_a_touch_knows_what_its_undo_gives_back() -> None:
    """It touches the pointer, or the object, of the snapshot, although that is not the newest any more."""
    seen: list[Any] = []

    def touch(_room: Room, run: Run) -> None:
        seen.append(dict(run.undoing))

    bench = Bench({"press": Late(touch), "release": Late(touch)})
    bench.begun(Crash("here"))
    bench.runner().abort("no")
    assert seen == [{"lamp": "off"}]


def test_a_journal_that_names_a_row_nobody_declares_is_no_evidence() -> None:
    """It is not passed over in silence."""
    bench = Bench(CONDITIONAL)
    bench.begun(Crash("here"))
    runner = bench.runner()
    with pytest.raises(EvidenceFault, match="names nothing, which the declaration doesn't have"):
        runner._rows.row("nothing")


def test_a_wait_counts_from_the_last_request_and_not_from_its_own_beginning() -> None:
    """What is over already is not waited for: two unanswered requests take one minute together."""
    clock = MemoryClock()
    bench = Bench(UNCONDITIONAL, clock=clock)
    bench.begun(Crash("here"))
    clock.seconds += 1000  # the process before this one died long ago; this one may have sent something since
    bench.runner().abort("no")
    assert sum(clock.naps) == pytest.approx(SETTLE_SECONDS, abs=0.3)
