"""What a step judges by, and what counts as done, half done and undone: one rule at a time."""

from typing import Any

import pytest

from drfsm.engine import Run
from drfsm.errors import ActionFailed, DiskFault, FileDamaged, GuardRefused, IllegalTransition, Unreachable
from drfsm.testing.fuse import Crash
from tests.engine.room import Room, machine
from tests.engine.test_engine_rules import raising

HOLD = '  - {from: start, trigger: hold, to: done, guards: [door_is_shut], because: "out"}\n'
OPEN = {"light": "off", "door": "open", "alarm": "armed"}
PRESS = """
  - {from: start, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent,%s
     because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [door_is_shut], because: "out"}
"""
REFUSE = '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'


def by_way(seen: Any, inputs: Any) -> Any:
    """Judge the light by an input: dark is right for the long way alone."""
    return "off" if inputs["way"] == "long" else seen


AMEND = """
  - {from: start, trigger: choose, to: done, by: operator, amends: [way], guards: [light_is_off], because: "so"}
"""


@pytest.mark.parametrize(("way", "taken"), [("long", True), ("short", False)])
def test_a_persons_row_is_judged_by_what_the_person_says_now(way: str, taken: bool) -> None:
    """An approval amends the inputs by which its own guards are judged: the old ones would approve anything."""
    room = Room(machine(HOLD + AMEND), has={**OPEN, "light": "on"}, judge={"light": by_way})
    runner = room.start()
    if taken:
        assert runner.request("choose", {"way": way}).status == "complete"
        assert room.records("commit")[-1].body["amends"] == {"way": way}
    else:
        with pytest.raises(GuardRefused):
            runner.request("choose", {"way": way})
        assert room.records("commit") == []


def test_what_a_person_said_is_done_to_its_end_by_the_next_process() -> None:
    """Killed in the action, taken up again: the same arguments, the same person's row, judged by them."""
    rows = (
        HOLD
        + """
  - {from: start, trigger: choose, to: done, by: operator, amends: [way], guards: [door_is_shut], action: press,
     sets: {light: on}, effect: idempotent, because: "so"}
"""
    )
    room = Room(machine(rows), has=dict(OPEN))
    seen: list[str] = []

    def press(here: Room, run: Run) -> None:
        seen.append(str(run.inputs["way"]))
        if len(seen) == 1:
            raise Crash
        here.has["light"] = "on"

    room.actions["press"] = press
    runner = room.start()
    room.observe["door"] = lambda _room, run: "shut" if run.inputs["way"] == "long" else "open"
    with pytest.raises(Crash):
        runner.request("choose", {"way": "long", "why": "x"})
    again = room.runner(room.records())
    again.resume()
    commit = room.records("commit")[-1].body
    assert (again.state.status, seen) == ("complete", ["long", "long"])
    assert (commit["by"], commit["amends"], commit["args"]["why"]) == ("operator", {"way": "long"}, "x")


def test_a_defect_of_an_action_is_drfsms_fault() -> None:
    """Neither the site's nor the operator's: and it may have changed something, so nothing is said to be answered."""
    room = Room(machine(PRESS % ""), actions={"press": raising(ZeroDivisionError("oops"))})
    state = room.start().state
    assert state.reason == "defect in the action press: ZeroDivisionError: oops"
    assert "answered" not in room.records("failed")[0].body
    told = Room(machine(PRESS % ""), actions={"press": raising(ActionFailed("no"))})
    told.start()
    assert told.records("failed")[0].body["answered"] is True


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (ActionFailed("no current"), "refused"), (Unreachable("no answer"), "held"),
        (DiskFault("disk full"), "held"), (FileDamaged("a file is damaged"), "held"),
    ],
)  # fmt: skip
def test_a_failure_that_says_nothing_of_the_world_refuses_nothing(fault: Exception, status: str) -> None:
    """Nobody answered, or this computer failed: the run holds, although a failure has its place."""
    rows = '  - {from: start, trigger: look, to: done, action: look, effect: none, because: "look"}\n' + REFUSE
    assert Room(machine(rows), actions={"look": raising(fault)}).start().state.status == status


def undone(half: Any, image: Any = "off") -> tuple[Room, str]:
    """Press, then abort with a release that leaves the light so; return the room and the verdict of the undo."""
    room = Room(machine(PRESS % " undo: unpress,", "[start, lit]"), has=dict(OPEN))
    runner = room.start()
    room.actions["unpress"] = lambda here, _run: here.has.update(light=half)
    runner.abort("no")
    failures = room.records("failed")
    return room, str(failures[0].body["verdict"]) if failures else image


@pytest.mark.parametrize(("half", "verdict"), [("off", "off"), ("on", "not_done"), ("mixed", "mixed")])
def test_an_undo_is_done_not_done_or_half_done_by_what_is_seen(half: str, verdict: str) -> None:
    """As before the row: done. As before the undo: not done. Anything else is half done."""
    room, seen = undone(half)
    assert seen == verdict
    assert room.has["light"] == half


def test_an_action_that_fails_half_way_is_not_as_before() -> None:
    """The word is the same, the observation is not."""
    room = Room(machine(PRESS % "" + REFUSE), judge={"light": lambda seen, _inputs: seen["word"]})
    room.has["light"] = {"word": "off", "volts": 0}

    def press(here: Room, _run: Run) -> None:
        here.has["light"] = {"word": "off", "volts": 3}
        raise ActionFailed("no current")

    room.actions["press"] = press
    assert room.start().state.status == "held"
    assert room.records("failed")[0].body["verdict"] == "mixed"


def test_a_trigger_of_the_runners_own_says_that_a_resume_fires_it() -> None:
    """And one that nobody declares here says nothing of the kind."""
    room = Room(machine(PRESS % " undo: unpress,", "[start, lit]"), has=dict(OPEN))
    runner = room.start()
    for trigger, said in (("leave", True), ("press", False), ("nothing", False)):
        with pytest.raises(IllegalTransition) as refused:
            runner.request(trigger)
        assert ("the runner fires it by itself" in str(refused.value)) is said


def test_a_run_that_is_complete_says_what_it_is_and_nothing_of_an_abort() -> None:
    """Its reason is empty, its status is the final state's."""
    room = Room(machine(PRESS % " undo: unpress,", "[start, lit]"))
    room.start()
    ended = room.records("ended")[0].body
    assert (ended["status"], ended["state"], ended["reason"]) == ("complete", "done", "")
    room = Room(machine(PRESS % " undo: unpress,", "[start, lit]"), has=dict(OPEN))
    room.start().abort("somebody asked")
    ended = room.records("ended")[0].body
    assert (ended["status"], ended["state"]) == ("aborted", "back")
    assert "somebody asked" in ended["reason"]


def test_a_rejection_of_a_held_run_keeps_why_it_is_held() -> None:
    """It is held as before, with its reason; one that was never held is not."""
    room = Room(machine(PRESS % " undo: unpress,", "[start, lit]"), has=dict(OPEN))
    runner = room.start()
    reason = runner.state.reason
    with pytest.raises(IllegalTransition):
        runner.request("leave")
    assert (runner.state.status, runner.state.reason) == ("held", reason)
    assert room.records("rejected")[-1].body["trigger"] == "leave"
