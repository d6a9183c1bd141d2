"""Where a failure goes: by guards to one place or another, past what was begun, and after how many attempts."""

from collections.abc import Callable
from typing import Any

import pytest

from drfsm.engine import Run
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.evidence.audit import audit
from drfsm.journal import lines
from drfsm.spec import load_machine
from drfsm.spec.check import check
from tests.engine.room import Room

SPEC = load_machine(
    """
machine: lamp
because: "a failure's ways"
initial: dark
finals: {lit: complete, candle: complete, given_up: failed}
inputs: {tries: {because: "how often the switch is pressed"}}
facts:
  light: {values: [on, off, mixed], initial: [off]}
  candles: {values: [some, none]}
  fuse: {values: [in, out], initial: [in]}
guards:
  candles_are_there: {requires: {candles: some}, because: "Without candles it stays dark"}
never:
  - {name: fuse_left_in, when: {fuse: in}, states: [given_up], because: "Somebody could touch the wire"}
transitions:
  - {from: dark, trigger: switch_on, to: lit, action: press, sets: {light: on}, effect: idempotent,
     attempts: {max: tries, repair: change_bulb}, because: "light"}
  - {from: dark, trigger: light_candle, to: candle, by: failure, guards: [candles_are_there], because: "candle light"}
  - {from: dark, trigger: give_up, to: hopeless, by: failure, overrides_open_intent: true,
     because: "what follows makes it safe"}
  - {from: hopeless, trigger: take_fuse_out, to: safe, action: pull, sets: {fuse: out}, effect: idempotent,
     because: "nobody can touch the wire"}
  - {from: safe, trigger: end, to: given_up, because: "it stays dark, and is safe"}
""",
    source="lamp.yaml",
)


def lamp(press: Callable[[Room, Run], Any], *, candles: str = "none", tries: str = "3") -> Room:
    """Run the lamp once; its log must hold."""
    room = Room(SPEC, has={"light": "off", "candles": candles, "fuse": "in"}, actions={"press": press})
    room.runner().start({"tries": tries})
    judges = {name: lambda seen, _inputs: seen for name in SPEC.facts}
    verdict = audit(b"".join(lines(room.records())), SPEC, judges=judges)
    assert verdict.ok, list(verdict.lines())
    return room


def fails(light: str = "off", fault: Callable[[], Exception] = lambda: ActionFailed("no current")) -> Any:
    """Return an action that leaves the light so, and fails."""

    def press(room: Room, _run: Run) -> None:
        room.has["light"] = light
        raise fault()

    return press


@pytest.mark.parametrize(("tries", "pressed"), [("1", 1), ("2", 2), ("4", 4)])
def test_an_input_says_how_often(tries: str, pressed: int) -> None:
    """An attempts' limit may be an input: one means no second try and no repair."""
    room = lamp(fails(), tries=tries)
    assert (room.acts.count("press"), room.acts.count("change_bulb")) == (pressed, min(pressed - 1, 1))
    assert room.records("ended")[0].body["status"] == "failed"


@pytest.mark.parametrize("tries", ["0", "-1", "many", "1.5", ""])
def test_a_limit_that_is_no_number_is_refused_before_anything_starts(tries: str) -> None:
    """Nothing is written down for it."""
    room = Room(SPEC)
    with pytest.raises(UsageFault, match="must be a whole number"):
        room.runner().start({"tries": tries})
    assert room.records() == []


def test_a_final_failure_is_not_tried_again() -> None:
    """What trying again can't mend is said by the action, and takes one attempt."""
    room = lamp(fails(fault=lambda: ActionFailed("no wire", final=True)))
    assert room.acts == ["press", "pull"]


def test_the_first_failure_whose_guards_hold_is_taken() -> None:
    """With candles there is a better place than giving up; without, the last row is taken."""
    assert lamp(fails(), candles="some").records("commit")[-1].body["to"] == "candle"
    assert lamp(fails(), candles="none").records("commit")[-1].body["to"] == "given_up"


def test_what_was_begun_is_abandoned_only_where_that_is_declared() -> None:
    """Half done, the row with candles may not be taken; the one that abandons is, and says what it passes over."""
    room = lamp(fails("mixed"), candles="some")
    (given_up,) = [each for each in room.records("commit") if each.body["trigger"] == "give_up"]
    assert given_up.body["supersedes"] == "dark --switch_on--> lit"
    assert room.has["fuse"] == "out"
    ended = room.records("ended")[0].body
    assert (ended["status"], ended["stage"], ended["reason"]) == ("failed", "switch_on", "no current")


def test_a_world_that_could_not_be_reached_is_given_up_too() -> None:
    """It says nothing about the world, so only the row that abandons everything is taken."""
    room = lamp(fails(fault=lambda: Unreachable("no answer")), candles="some")
    assert [each.body["to"] for each in room.records("commit")] == ["hopeless", "safe", "given_up"]


def test_a_crash_at_any_record_of_giving_up_ends_the_same() -> None:
    """Killed after each record and resumed, it is safe in the end, and the log holds."""
    whole = lamp(fails("mixed")).records()
    for cut in range(1, len(whole)):
        pulled = any(each.kind == "commit" and each.body["to"] == "safe" for each in whole[:cut])
        world = {"light": "mixed", "candles": "none", "fuse": "out" if pulled else "in"}
        room = Room(SPEC, has=world, actions={"press": fails("mixed")})
        room.runner(whole[:cut]).resume()
        assert (room.has["fuse"], room.records("ended")[0].body["status"]) == ("out", "failed"), cut


def test_the_checker_takes_every_way_of_failing() -> None:
    """Every row can be taken, and the rule holds wherever the failure came from."""
    report = check(SPEC)
    assert report.ok, list(report.lines())
