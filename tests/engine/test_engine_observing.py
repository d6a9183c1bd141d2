"""What becomes of a fact that can't be read, what a fact may know, and what a dry run adds up: one rule at a time."""

import time
from typing import Any

import pytest

from drfsm.engine import NoLease, Run, SystemClock
from drfsm.errors import ActionFailed, DrfsmError, EvidenceFault, Interrupted, LeaseLost, Unreachable
from tests.engine.room import Room, machine
from tests.engine.test_engine_rules import raising

GO = '  - {from: start, trigger: go, to: done, guards: [door_is_shut, light_is_off], because: "out"}\n'
REFUSE = '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'
PRESS = """
  - {from: start, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent,%s
     because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [door_is_shut], because: "out"}
"""


def test_a_lost_lease_ends_a_reading_at_once() -> None:
    """It is no reading: this process writes nothing more."""
    room = Room(machine(GO))
    room.observe["door"] = raising(LeaseLost("taken over"))
    with pytest.raises(LeaseLost):
        room.start()
    assert room.records("held", "ended", "commit") == []


def test_an_interrupted_reading_holds_the_run_and_refuses_nothing() -> None:
    """A person stopped it: that says nothing about the world."""
    room = Room(machine(GO + REFUSE))
    room.observe["door"] = raising(Interrupted("stopped"))
    state = room.start().state
    assert (state.status, state.state, state.reason) == ("held", "start", "stopped")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Unreachable("reading the Pods of dr", cause="Cannot reach dr"), "Cannot reach dr"),
        (Unreachable("no answer"), "no answer"),
        (ActionFailed("refused"), "refused"),
        (KeyError("x"), "what the world answered can't be understood by the fact door (KeyError: 'x')"),
    ],
)
def test_a_fact_that_can_not_be_read_says_why(fault: Exception, why: str) -> None:
    """By its common cause where it has one, so that a dozen facts tell one; whatever is raised holds the run."""
    room = Room(machine(GO))
    room.observe["door"] = raising(fault)
    state = room.start().state
    assert state.status == "held"
    assert why in state.reason
    assert "door" in state.reason
    assert "reading the Pods" not in state.reason


def test_every_guard_that_does_not_hold_is_told_at_once() -> None:
    """Not only the first."""
    room = Room(machine(GO), has={"light": "on", "door": "open", "alarm": "armed"})
    reason = room.start().state.reason
    assert ("door is open" in reason, "light is on" in reason) == (True, True)


def test_a_fact_is_handed_what_a_run_knows() -> None:
    """The run's own word for who runs it, where its notes go, and the image that its row changed first."""
    said: list[str] = []
    seen: list[Run] = []

    def press(room: Room, run: Run) -> None:
        seen.append(run)
        run.note("pressed")
        room.has["light"] = "on"

    room = Room(machine(PRESS % ""), actions={"press": press})
    room.runner(say=lambda words, **_: said.append(words), proven={"cloud_caller": "arn"}, operator="ann").start(
        {"patience": 5, "way": "short"}, run_id="run-1"
    )
    (run,) = seen
    assert said == ["pressed"]
    assert (run.id, run.operator, run.trigger, dict(run.proven)) == ("run-1", "ann", "press", {"cloud_caller": "arn"})
    assert run.first_seen == {"light": "off"}
    assert not run.interrupted()


def test_nobody_proves_himself_by_an_argument() -> None:
    """What is proven of a person comes from this process, and from nowhere else."""
    rows = GO + '  - {from: start, trigger: choose, to: done, by: operator, because: "so"}\n'
    for proven in ({"cloud_caller": "arn:me"}, None):
        room = Room(machine(rows), has={"light": "on", "door": "open", "alarm": "armed"})
        room.start()
        runner = room.runner(proven=proven)
        runner.request("choose", {"proven": {"cloud_caller": "arn:somebody"}, "why": "x"})
        args = room.records("commit")[-1].body["args"]
        assert args.get("proven") == proven
        assert (args["operator"], args["why"]) == ("op", "x")


def test_what_would_be_undone_is_told_until_the_end() -> None:
    """Nothing after it."""
    room = Room(
        machine(PRESS % " undo: unpress,", "[start, lit]"), has={"light": "off", "door": "open", "alarm": "armed"}
    )
    runner = room.start()
    assert [entry.trigger for entry in runner.undoable] == ["press"]
    room.has["door"] = "shut"
    runner.resume()
    assert runner.undoable == ()


def test_a_failure_on_the_way_to_safety_tells_both() -> None:
    """What failed first, and what its safe row met."""
    rows = """
  - {from: start, trigger: press, to: done, action: press, sets: {light: on}, effect: idempotent, because: "light"}
  - {from: start, trigger: give_up, to: refused, by: failure, action: tidy, sets: {door: open}, effect: idempotent,
     because: "nothing moved"}
"""
    room = Room(machine(rows))
    room.actions = {"press": raising(ActionFailed("no current")), "tidy": raising(ActionFailed("no broom"))}
    assert room.start().state.reason == "no current; and then give_up: no broom"


def test_a_row_that_nobody_declares_is_no_evidence() -> None:
    """A journal that names one is not passed over."""
    runner = Room(machine(GO)).runner()
    with pytest.raises(EvidenceFault, match="the journal names nothing"):
        runner._rows.row("nothing")


def test_the_system_clock_really_sleeps() -> None:
    """Its pauses are pauses, its times are of today."""
    clock, before = SystemClock(), time.monotonic()
    clock.sleep(0.02)
    assert time.monotonic() - before >= 0.02
    assert clock.now()[:2] == "20"


# --- dry runs ---------------------------------------------------------------------------------------------


def walked(rows: str, **observe: Any) -> Room:
    """Walk a machine dry; a fact may be one that raises."""
    room = Room(machine(rows), lease=NoLease())
    room.observe.update({name: raising(fault) for name, fault in observe.items() if isinstance(fault, DrfsmError)})
    room.has.update({name: value for name, value in observe.items() if isinstance(value, str)})
    room.start(dry_run=True)
    return room


TWO = """
  - {from: start, trigger: look, to: seen, guards: [door_is_shut], because: "look"}
  - {from: seen, trigger: go, to: done, guards: [light_is_off], because: "out"}
"""


def test_a_step_after_one_that_could_not_be_read_is_unread_too() -> None:
    """With the same reason: what is behind it is unknown."""
    room = walked(TWO, door=Unreachable("no answer"))
    assert [record.body.get("unread") for record in room.records("forecast")] == ["no answer", "no answer"]
    room = walked(TWO)
    assert [record.body.get("unread") for record in room.records("forecast")] == [None, None]


def test_a_guard_that_was_read_makes_no_step_unread() -> None:
    """It is a finding, and it is known."""
    room = walked(TWO, door="open")
    assert [record.body.get("unread") for record in room.records("forecast")] == [None, None]
    assert room.records("ended")[0].body["status"] == "dry_run"


def test_a_dry_run_that_is_refused_stops_there() -> None:
    """Behind a step that refuses the run nothing is walked; a person's decision is not asked for."""
    room = walked(TWO + REFUSE, door="open")
    assert [record.body["trigger"] for record in room.records("forecast")] == ["look"]
    ended = room.records("ended")[0].body
    assert (ended["status"], ended["stage"]) == ("refused", "look")
    assert "a person decides" not in ended["reason"]
