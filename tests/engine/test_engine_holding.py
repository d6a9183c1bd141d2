"""How a run is held, ended and taken up: what its records say then, and which ways are open."""

from collections.abc import Callable
from typing import Any

import pytest

from drfsm.engine import Binding, Fact, Late, NoLease, Run, Runner
from drfsm.errors import DrfsmError, LeaseLost, Unreachable
from drfsm.spec import load_machine
from tests.engine.room import HEAD, UNUSED, Room, machine
from tests.engine.test_engine_late_writes import CONDITIONAL, LAMP, Bench
from tests.engine.test_engine_rules import raising

OPEN = {"light": "off", "door": "open", "alarm": "armed"}
PRESS = """
  - {from: start, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent,%s because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [door_is_shut], because: "out"}
"""
GO = '  - {from: start, trigger: go, to: done, guards: [door_is_shut, light_is_off], because: "out"}\n'
REFUSE = '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'


def test_past_the_point_of_no_return_only_the_way_back_is_closed() -> None:
    """A person's other rows are still told; an abort is not."""
    rows = (
        PRESS % " point_of_no_return: true,"
        + """
  - {from: lit, trigger: skip, to: done, by: operator, because: "A person decides"}
"""
    )
    room = Room(machine(rows, "[start, lit]"), has=dict(OPEN))
    runner = room.start()
    assert runner.next_actions() == ("resume", "skip")
    before = Room(machine(rows, "[start, lit]"), has=dict(OPEN)).runner()
    assert "abort" in {way["do"] for way in before._log.next_actions("start")}


@pytest.mark.parametrize(("alarm", "status"), [("loud", "complete"), ("armed", "refused")])
def test_a_guard_stands_aside_where_its_stand_in_is_as_declared(alarm: str, status: str) -> None:
    """The stand-in is read at the same moment; as it is not, the guard refuses."""
    head = HEAD.replace(
        "door_is_shut: {requires: {door: shut}", "door_is_shut: {requires: {door: shut}, unless: {alarm: loud}"
    )
    spec = load_machine(head % ", refused: refused" + GO + REFUSE + UNUSED, source="room.yaml")
    room = Room(spec, has={"light": "off", "door": "open", "alarm": alarm})
    assert room.start().state.status == status


def test_a_run_that_is_interrupted_before_its_first_step_is_held_there() -> None:
    """Nothing was begun, and that is said."""
    room = Room(machine(PRESS % ""))
    runner = room.runner()
    runner.interrupt()
    runner.start({"patience": 5, "way": "short"}, run_id="run-1")
    assert (runner.state.status, runner.state.stage, room.acts) == ("held", "between two steps", [])


@pytest.mark.parametrize("asked", ["bob asked for a hold", ""])
def test_a_hold_that_somebody_asked_for_is_kept_between_two_rows(asked: str) -> None:
    """With what was asked; it is no interruption of this process."""
    room = Room(machine(PRESS % ""))
    runner = room.runner(hold_asked=lambda: asked)
    runner.start({"patience": 5, "way": "short"}, run_id="run-1")
    if asked:
        held = room.records("held")[0].body
        assert (held["reason"], held["interrupted"]) == (asked, False)
        assert room.acts == []
    else:
        assert runner.state.status == "complete"


def test_what_is_kept_on_purpose_matters_only_where_the_rest_was_undone() -> None:
    """An aborted run says what stays; a complete one has nothing to say of it."""
    rows = PRESS % ' not_undone_because: "the lamp stays warm",'
    room = Room(machine(rows, "[start, lit]"))
    room.start()
    assert room.records("ended")[0].body["kept"] == []
    room = Room(machine(rows, "[start, lit]"), has=dict(OPEN))
    room.start().abort("no")
    assert "the lamp stays warm" in str(room.records("ended")[0].body["kept"])


def test_a_dry_run_that_has_ended_stays_as_it_is() -> None:
    """Its state is no final one, and still nothing is added."""
    room = Room(machine(PRESS % ""), lease=NoLease())
    room.start(dry_run=True)
    records = room.records()
    room.runner(records).resume()
    assert room.records() == records


def test_a_lost_lease_ends_a_dry_run_at_once() -> None:
    """Nothing is held in its name."""
    room = Room(machine(GO))
    room.observe["door"] = raising(LeaseLost("taken over"))
    with pytest.raises(LeaseLost):
        room.start(dry_run=True)
    assert room.records("held", "ended") == []


def test_several_findings_are_recorded_one_by_one_and_a_single_one_as_the_reason() -> None:
    """As one text they are hard to tell apart."""
    for has, count in (({**OPEN, "light": "on"}, 2), (OPEN, None)):
        room = Room(machine(GO + REFUSE), has=dict(has))
        room.start()
        args = room.records("commit")[-1].body["args"]
        assert (len(args["findings"]) if count else args.get("findings")) == count


def test_a_lease_that_was_free_was_taken_from_nobody() -> None:
    """A record that names a former holder is of a take-over."""
    room = Room(machine(PRESS % ""))
    room.start()
    assert "taken_from" not in room.records("lease_acquired")[0].body


# --- a release that may land late -------------------------------------------------------------------------


class Silent(Bench):
    """A lamp whose release is sent, and never answered."""

    def runner(self) -> Runner:
        """Return the next process."""
        fact = Fact(lambda room, _run: room.lamp, lambda seen, _inputs: seen)
        release: Callable[..., Any] = raising(Unreachable("no answer"))
        made = Binding({"lamp": fact}, {"press": self._press, "release": release}, late=self.late)
        return Runner(LAMP, made, self.room, self.journal, clock=self.clock, lease=self.lease, operator="ann")

    def _press(self, room: Any, _run: Run) -> None:
        room.put("on")


def given_up(late: dict[str, Late]) -> Silent:
    """Press, be stopped, give back without an answer, and let a person waive that."""
    bench = Silent(late)
    runner = bench.runner()
    runner._hold_asked = lambda: "stop" if bench.room.lamp == "on" else ""
    assert runner.start({}).status == "held"
    assert bench.runner().abort("no").status == "held"
    assert bench.runner().request("waive_undo", {"reason": "so"}).status == "aborted"
    return bench


def test_an_undo_that_nobody_saw_the_end_of_is_shut_out_before_the_run_ends() -> None:
    """The record names the change that it would have taken back."""
    seen: list[str] = []

    def touch(room: Any, run: Run) -> dict[str, Any]:
        seen.append(run.trigger)
        room.put(room.lamp)
        return {"touched": ["lamp"]}

    bench = given_up({"press": CONDITIONAL["press"], "release": Late(touch)})
    (record,) = [each for each in bench.journal.records() if each.kind == "settled"]
    press = next(each.body["row"] for each in bench.journal.records() if each.body.get("trigger") == "press")
    assert (record.body["how"], record.body["trigger"], record.body["undoes"]) == ("touched", "undo_newest", press)
    assert seen == ["undo_newest"]


def test_an_undo_that_can_not_be_shut_out_is_told() -> None:
    """What may still take effect is for a person to know."""
    fault: DrfsmError = Unreachable("no answer")
    bench = given_up({"press": CONDITIONAL["press"], "release": Late(raising(fault))})
    assert bench.settled() == ["not_excluded"]


# --- a failure's row that overrides what is half done -----------------------------------------------------

GIVE_UP = """
  - {from: start, trigger: press, to: done, action: press, sets: {light: on}, effect: %s,%s because: "light"}
  - {from: start, trigger: give_up, to: refused, by: failure,%s because: "what follows makes it safe"}
"""


@pytest.mark.parametrize(
    ("effect", "final", "overrides", "status"),
    [
        ("idempotent", "", " overrides_open_intent: true,", "refused"),
        ("idempotent", "", "", "held"),
        ("once", "", " overrides_open_intent: true,", "held"),
        ("idempotent", " point_of_no_return: true,", " overrides_open_intent: true,", "held"),
    ],
    ids=["it may", "it does not say so", "done once", "the final write"],
)
def test_what_is_half_done_is_given_up_only_where_it_may_be_done_again(
    effect: str, final: str, overrides: str, status: str
) -> None:
    """An abandoned final write, or what happens once, could still take effect: a person is asked."""

    def press(room: Room, _run: Run) -> None:
        room.has["light"] = "mixed"
        raise Unreachable("no answer")

    room = Room(machine(GIVE_UP % (effect, final, overrides)), actions={"press": press})
    state = room.start().state
    assert (state.status, state.open is not None) == (status, status == "held")
