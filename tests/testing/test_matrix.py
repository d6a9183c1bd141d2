"""drfsm.testing finds what is wrong with a binding: each kind of fault, on a small machine that is right without it."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve

from drfsm.engine import Act, Binding, Fact
from drfsm.spec import load_machine
from drfsm.testing import (
    CrashPoint,
    Pair,
    World,
    assert_holds,
    assert_moves_as_declared,
    assert_rejects,
    binding_of,
    crash_points,
    data_of,
    illegal_pairs,
    illegal_triggers,
    inputs_of,
    quiet,
    runner_in,
    standing_in,
)

TANK = """
machine: tank
because: "The tank is full, and its lid is shut"
initial: empty
finals: {full: complete, as_before: aborted}
inputs: {patience: {because: "seconds"}, lid: {values: [steel, glass], because: "which lid"}}
facts:
  water: {values: [low, high], initial: [low]}
  lid: {values: [open, shut], initial: [shut]}
guards:
  lid_is_open: {requires: {lid: open}, because: "It would run over", never_refuses_because: "a look costs nothing"}
never:
  - {name: flood, when: {water: high, lid: shut}, states: [open], because: "It runs over"}
transitions:
  - {from: empty, trigger: open_lid, to: open, action: open_lid, sets: {lid: open}, effect: idempotent, undo: put_lid,
     because: "Water comes in"}
  - {from: open, trigger: fill, to: filled, guards: [lid_is_open], action: fill, sets: {water: high}, effect: EFFECT,
     undo: let_out, because: "It is wanted"}
  - {from: filled, trigger: close, to: full, by: operator, action: close_lid, sets: {lid: shut}, effect: idempotent,
     not_undone_because: "a shut lid is as before", because: "A person looks into it first"}
  - {from: [open, filled], trigger: abort, to: going, by: operator, because: "Not today"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "As it was"}
  - {from: going, trigger: finish_abort, to: as_before, because: "All is as it was"}
"""
MACHINE = load_machine(TANK.replace("EFFECT", "idempotent"), source="tank.yaml")
ONCE = load_machine(TANK.replace("EFFECT", "once"), source="tank.yaml")
CLOSED = {"filled": "close"}


@define
class Pipe:
    """Where the water comes from."""

    litres: int = 0

    def pour(self, litres: int) -> None:
        """Let more water in."""
        self.litres += litres


@define
class Tank:
    """A world with an object in it."""

    pipe: Pipe
    lid: str = "shut"

    def turn(self, lid: str) -> None:
        """Open or shut the lid."""
        self.lid = lid


def tank() -> Tank:
    """Return an empty tank."""
    return Tank(Pipe())


def fill(world: Any, _run: Any) -> None:
    """Fill up to ten litres, in two steps."""
    while world.pipe.litres < 10:
        world.pipe.pour(5)


RIGHT: dict[str, Act] = {
    "open_lid": lambda world, _run: world.turn("open"),
    "close_lid": lambda world, _run: world.turn("shut"),
    "put_lid": lambda world, run: world.turn(run.undoing["lid"]),
    "fill": fill,
    "let_out": lambda world, run: world.pipe.pour(run.undoing["water"] - world.pipe.litres),
}


LITRES = {0: "low", 5: "low", 10: "high"}


def bound(**other: Act) -> Binding:
    """Return the tank's binding, with other actions in the place of right ones."""
    facts = {
        "water": Fact(lambda world, _run: world.pipe.litres, lambda seen, _inputs: LITRES.get(seen)),
        "lid": Fact(lambda world, _run: world.lid, lambda seen, _inputs: str(seen)),
    }
    return Binding(facts, {**RIGHT, **other})


def points(binding: Binding, **more: Any) -> list[CrashPoint]:
    """Return the crash points of the tank."""
    return crash_points(MACHINE, binding, tank, decisions=CLOSED, **more)


def failures(binding: Binding, claim: Callable[[CrashPoint], None], **more: Any) -> list[str]:
    """Return what a claim says at each crash point where it fails."""
    said = []
    for point in points(binding, **more):
        try:
            claim(point)
        except AssertionError as fault:
            said.append(str(fault))
    return said


def test_a_right_binding_passes() -> None:
    """Killed anywhere, resumed or aborted: the tank is full and shut, or as it was."""
    assert not failures(bound(), CrashPoint.assert_resumes)
    assert not failures(bound(), CrashPoint.assert_aborts)


def test_a_process_can_die_at_each_record_each_action_and_each_call() -> None:
    """The points lie before and after all three; calls of an object in the world are named by their path."""
    words = [point.words for point in points(bound())]
    for name in ("the record intent fill", "the action fill", "the call pipe.pour", "the call turn", "the record seal"):
        assert {f"before {name}", f"after {name}"} <= set(words), name
    assert str(points(bound())[0]) == "000-before-the-record-run_started"
    assert not any("call" in point.words for point in points(bound(), record_calls=False))


def test_an_action_that_does_more_each_time_is_found() -> None:
    """A fill that does not look first fills twice after a crash in its middle: the end is another."""

    def blind(world: Any, _run: Any) -> None:
        world.pipe.pour(5)
        world.pipe.pour(5)

    said = failures(bound(fill=blind), CrashPoint.assert_resumes)
    assert any("after-the-call-pipe.pour" in words for words in said), said


def test_an_undo_that_gives_back_too_little_is_found() -> None:
    """An undo that only half empties the tank is named with what it left."""
    half: Act = lambda world, _run: world.turn("open")  # noqa: E731  one line, as authors write them
    said = failures(bound(put_lid=half), CrashPoint.assert_aborts)
    assert any("undo" in words or "lid: shut became open" in words for words in said), said


def test_a_run_that_waits_for_a_person_asks_for_decisions() -> None:
    """Without them the run does not end, and the message says where it waits and what to hand over."""
    with pytest.raises(AssertionError, match=r"held in filled(.|\n)*decisions"):
        crash_points(MACHINE, bound(), tank)


def test_what_is_half_done_and_may_be_done_once_asks_for_a_hand() -> None:
    """Between two pours nobody but the author can say what a person would do; told so, the run ends."""

    def judge(seen: Any, _inputs: Any) -> str | None:
        return {0: "low", 10: "high"}.get(seen)

    binding = bound()
    binding = evolve(binding, facts={**binding.facts, "water": evolve(binding.facts["water"], judge=judge)})
    once = crash_points(ONCE, binding, tank, decisions=CLOSED)
    (middle, *_) = [point for point in once if point.words == "after the call pipe.pour"]
    with pytest.raises(AssertionError, match="half done"):
        middle.assert_resumes()

    def pour_the_rest(world: Tank, key: str) -> str:
        assert key == "open --fill--> filled"
        world.pipe.pour(10 - world.pipe.litres)
        return "done"

    for point in crash_points(ONCE, binding, tank, decisions=CLOSED, by_hand=pour_the_rest):
        point.assert_resumes()


def test_each_pair_is_rejected_and_none_that_is_legal_is_listed() -> None:
    """Every state with every trigger that is nobody's there; a legal one in its place is found."""
    pairs = illegal_pairs(MACHINE)
    assert len(pairs) == len(MACHINE.states) * len(MACHINE.triggers) - 3  # close, and abort from two states
    for pair in pairs:
        pair.assert_rejected(bound(), tank())
        pair.assert_rejected()
    legal = Pair(MACHINE, "open", "abort", inputs_of(MACHINE))
    with pytest.raises(AssertionError, match="abort in open was taken"):
        legal.assert_rejected()


def test_a_refusal_for_another_reason_is_no_rejection() -> None:
    """A trigger that is legal, and whose action fails, is not counted as rejected."""

    def broken(_world: Any, _run: Any) -> None:
        raise RuntimeError("no lid")

    with pytest.raises(AssertionError, match="close in filled was taken"):
        assert_rejects(MACHINE, "filled", ["close"], bound(close_lid=broken), tank())


def test_triggers_that_there_are_not_may_be_asked_for_too() -> None:
    """``also`` adds them to each state, and ``states`` picks a few."""
    pairs = illegal_pairs(MACHINE, states=["open"], also=["to_full"])
    assert [pair.trigger for pair in pairs] == [*illegal_triggers(MACHINE, "open", inputs_of(MACHINE)), "to_full"]
    assert str(pairs[-1]) == "open-to_full"
    pairs[-1].assert_rejected()


def test_a_runner_is_placed_in_any_state_and_goes_on_from_there() -> None:
    """In ``filled`` the tank only needs its lid: the run ends with what was asked for there."""
    world = Tank(Pipe(10), lid="open")
    runner = runner_in(MACHINE, "filled", bound(), world)
    assert runner.request("close", {}).status == "complete"
    assert world.lid == "shut"
    with pytest.raises(ValueError, match="has no state 'brim'"):
        standing_in(MACHINE, "brim")


def test_the_machine_that_moves_is_the_declared_one() -> None:
    """Each row leads where it says, and no other one does."""
    for state in MACHINE.states:
        assert_moves_as_declared(MACHINE, state)


def test_a_machine_without_its_code_is_killed_in_memory() -> None:
    """The dictionary as the world, the binding for any machine: every key is compared in the end."""
    made = crash_points(MACHINE, binding_of(MACHINE), lambda: World(data_of(MACHINE, quiet(MACHINE))), decisions=CLOSED)
    for point in made:
        point.assert_resumes()
        point.assert_aborts()


def test_a_proof_that_fails_shows_its_story() -> None:
    """The shortest way to the broken rule is in the message; a declaration that is wrong shows its faults."""
    assert_holds(MACHINE)
    unguarded = TANK.replace("EFFECT", "idempotent").replace("states: [open], ", "")
    with pytest.raises(AssertionError, match=r"flood: DOES NOT HOLD(.|\n)*1\. at first(.|\n)*fill: open -> filled"):
        assert_holds(unguarded)
    with pytest.raises(AssertionError, match=r"3 faults(.|\n)*:17: no final state can be reached from fild"):
        assert_holds(unguarded.replace("to: filled", "to: fild"))
