"""A run keeps its lease while it may act, or has changed something; one that can do nothing more gives it back."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from drfsm.engine import MemoryJournal, NoLease, Runner
from drfsm.errors import ActionFailed, DrfsmError, GuardRefused, IllegalTransition, LeaseHeld, LeaseLost, Unreachable
from drfsm.evidence.audit import audit
from drfsm.journal import GENESIS, Record, digest, encode
from tests.engine.room import Room, machine

ROWS = """
  - {from: start, trigger: look, to: seen, guards: [light_is_off], because: "It is looked at"}
  - {from: seen, trigger: count, to: counted, action: count, effect: none, because: "It is counted, not changed"}
  - {from: counted, trigger: press, to: lit, guards: [door_is_shut], action: press, sets: {light: on},
     effect: idempotent, undo: unpress, because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [alarm_is_armed], because: "out"}
  - {from: [seen, counted, lit], trigger: wish, to: done, by: operator, guards: [alarm_is_armed], because: "A wish"}
  - {from: [start], trigger: refuse, to: refused, by: failure, because: "Nothing was changed"}
"""
SPEC = machine(ROWS, abort_from="[seen, counted, lit]")


class Told(NoLease):
    """A lease that says whether it is held, from whom it was taken, and what keeps it from being given back."""

    def __init__(self, taken_from: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.held, self.from_, self.refuses = False, taken_from or {}, False
        self.fault: DrfsmError | None = None  # what a check meets

    @property
    def taken_from(self) -> Mapping[str, str]:
        """From whom it was taken."""
        return self.from_

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Take it."""
        self.held = True
        return super().acquire(run_id, operator, host)

    def check(self) -> None:
        """Ask whether it is held."""
        if self.fault is not None:
            raise self.fault

    def release(self, run_id: str) -> None:
        """Give it back."""
        if self.refuses:
            raise Unreachable(f"the store does not answer about {run_id}")
        self.held = False


def room_of(lease: NoLease, **has: str) -> Room:
    """Return a room in which a run may be held: by an open door before its change, by a loud alarm after it."""
    return Room(SPEC, has={"light": "off", "door": "shut", "alarm": "armed", **has}, lease=lease)


def holds(room: Room) -> bool:
    """Whether the records hold before the audit."""
    lines, head = [], GENESIS
    for record in room.records():
        lines.append(encode(record, head))
        head = digest(lines[-1])
    return audit(b"".join(lines), SPEC, judges={name: lambda seen, _inputs: seen for name in SPEC.facts}).ok


def kinds(room: Room, last: int) -> list[str]:
    """Return the kinds of the last records."""
    return [record.kind for record in room.records()][-last:]


def test_a_run_that_is_held_before_any_change_gives_the_lease_back() -> None:
    """An action that changes nothing was done, none other: the hold says it, and a resume takes the lease anew."""
    lease = Told()
    room = room_of(lease, door="open")
    runner = room.start()
    assert (runner.state.status, runner.state.state) == ("held", "counted")
    assert not lease.held
    assert room.records("held")[-1].body["lease"] == "released"
    room.has["door"] = "shut"
    runner.resume()
    assert runner.state.status == "complete"
    assert [record.body["epoch"] for record in room.records("lease_acquired")] == [1, 2]
    assert not lease.held
    assert holds(room)


def test_a_run_that_is_held_after_a_change_keeps_it() -> None:
    """Somebody must undo it or go on: nobody else may work meanwhile. An aborted run gives it back."""
    lease = Told()
    room = room_of(lease, alarm="loud")
    runner = room.start()
    assert (runner.state.status, runner.state.state, lease.held) == ("held", "lit", True)
    assert "lease" not in room.records("held")[-1].body
    runner.abort("enough")
    assert (runner.state.status, lease.held) == ("aborted", False)
    assert holds(room)


def test_a_change_whose_outcome_is_open_keeps_it_too() -> None:
    """Begun and failed: nobody knows what became of it."""
    lease = Told()
    room = room_of(lease)

    def fails(_room: Room, _run: Any) -> None:
        raise Unreachable("no answer")

    room.actions["press"] = fails
    runner = room.start()
    assert (runner.state.status, runner.state.state, lease.held) == ("held", "counted", True)


@pytest.mark.parametrize("trigger", ["wish", "dance"])
def test_a_request_that_is_refused_gives_it_back_as_well(trigger: str) -> None:
    """Held before any change, asked for what does not hold or is not legal: refused, and the lease is free again."""
    lease = Told()
    room = room_of(lease, door="open", alarm="loud")
    runner = room.start()
    with pytest.raises((GuardRefused, IllegalTransition)):
        runner.request(trigger, {"reason": "r"})
    assert kinds(room, 2) == ["lease_acquired", "rejected"]
    assert not lease.held
    with pytest.raises(IllegalTransition):
        runner.resolve("done", "r")
    assert kinds(room, 2) == ["lease_acquired", "rejected"]
    assert not lease.held
    room.has.update(door="shut", alarm="armed")
    assert runner.resume().status == "complete"
    assert holds(room)


class Dumb(MemoryJournal):
    """A journal whose mirror does not take the lease's record."""

    def __init__(self, fault: type[DrfsmError]) -> None:
        super().__init__()
        self._fault = fault

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append anything else."""
        if kind == "lease_acquired":
            raise self._fault("the store refuses the record")
        return super().append(kind, body, at)


STATUSES: dict[type[DrfsmError], str] = {Unreachable: "held", ActionFailed: "refused", LeaseHeld: "refused"}


@pytest.mark.parametrize("fault", STATUSES)
def test_a_lease_that_could_not_be_written_down_blocks_nobody(fault: type[DrfsmError]) -> None:
    """The lease was taken and its record was not: held or refused, the run gives it back."""
    lease = Told()
    room = room_of(lease)
    room.journal = Dumb(fault)
    runner = room.runner()
    with suppress(LeaseHeld):
        runner.start({"patience": 5, "way": "short"}, run_id="run-1")
    assert (runner.state.status, runner.state.epoch) == (STATUSES[fault], 0)
    assert not lease.held
    assert holds(room)


def test_a_lease_that_an_ended_run_could_not_give_back_is_given_back_by_a_resume() -> None:
    """It is said that the run has ended, why that is not all, and what to do."""
    lease = Told()
    lease.refuses = True
    room = room_of(lease)
    room.journal = Dumb(ActionFailed)
    with pytest.raises(Unreachable) as told:
        room.start()
    assert "the run is refused, and its lease could not be given back: the store does not answer" in told.value.what
    assert "drfsm resume run-1" in told.value.hint
    lease.refuses = False
    room.runner().resume()
    assert not lease.held


def test_from_whom_the_lease_was_taken_stands_in_its_record() -> None:
    """The record says which run held it, and why it could be taken."""
    taken_from = {"run_id": "run-0", "why": "ended"}
    room = room_of(Told(taken_from))
    room.start()
    (record,) = room.records("lease_acquired")
    assert record.body["taken_from"] == taken_from
    assert holds(room)


class Taken(Told):
    """A lease that another run holds."""

    def acquire(self, run_id: str, operator: str, host: str) -> int:
        """Refuse."""
        raise LeaseHeld(f"held by another run than {run_id} of {operator} on {host}")


@pytest.mark.parametrize("verb", ["resume", "abort"])
def test_a_run_that_died_before_it_had_the_lease_ends_refused_when_another_has_it(verb: str) -> None:
    """Its start would have ended so, too: no run stays open that never began, whatever is asked of it."""
    room = room_of(Told())
    room.start()
    began = room.until("run_started")
    later = room.runner(began, lease=Taken())
    with pytest.raises(LeaseHeld, match="held by another run"):
        getattr(later, verb)()
    assert (later.state.status, later.state.sealed) == ("refused", True)
    assert holds(room)


WAITS = machine("""
  - {from: start, trigger: look, to: seen, guards: [light_is_off], because: "It is looked at"}
  - {from: seen, trigger: await_door, to: shut, guards: [door_is_shut], wait: {every_seconds: 5, limit: 600},
     because: "It is waited for"}
  - {from: shut, trigger: leave, to: done, because: "out"}
""")


@pytest.mark.parametrize("fault", [LeaseLost, Unreachable])
def test_a_wait_ends_at_once_when_the_lease_is_lost_and_not_when_nobody_can_tell(fault: type[DrfsmError]) -> None:
    """Taken over in a long wait: not one more sample is written. A store that is silent meanwhile stops nothing."""
    lease = Told()
    room = Room(WAITS, has={"light": "off", "door": "open", "alarm": "armed"}, lease=lease)
    looks = [0]

    def look(_room: Room, _run: Any) -> str:
        looks[0] += 1
        if looks[0] == 3:
            lease.fault = fault("not now")
        if looks[0] == 9:
            lease.fault, room.has["door"] = None, "shut"
        return str(room.has["door"])

    room.observe["door"] = look
    runner = room.runner()
    if fault is LeaseLost:
        with pytest.raises(LeaseLost):
            runner.start({"patience": 5, "way": "short"}, run_id="run-1")
        assert (looks[0], kinds(room, 1)) == (3, ["sampled"])
    else:
        runner.start({"patience": 5, "way": "short"}, run_id="run-1")
        assert runner.state.status == "complete"


def test_a_hold_that_claims_a_release_after_a_change_is_found_by_the_audit() -> None:
    """A forged word in the record would let another run in: the audit names it, and an intent without a new lease."""
    lease = Told()
    room = room_of(lease, alarm="loud")
    room.start()
    held = room.records("held")[-1]
    forged = [*room.until("held")[:-1], Record(held.seq, "held", held.at, {**held.body, "lease": "released"})]
    room.journal = MemoryJournal(forged)
    assert not holds(room)

    room = room_of(Told(), door="open")
    runner: Runner = room.start()
    room.has["door"] = "shut"
    runner.resume()
    again = room.records("lease_acquired")[-1].seq
    records = [record for record in room.records() if record.seq != again]
    room.journal = MemoryJournal([Record(seq, r.kind, r.at, r.body) for seq, r in enumerate(records)])
    assert not holds(room)
