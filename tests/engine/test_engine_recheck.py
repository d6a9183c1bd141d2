"""Records that somebody else wrote are held against the world: what they say of it must still be so."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drfsm.engine import Binding, Fact, MemoryJournal, Runner
from drfsm.engine.recheck import Difference
from drfsm.errors import Unreachable
from drfsm.spec import load_machine

HOUSE = """
machine: house
because: "It is locked before anybody leaves"
initial: entered
finals: {left: complete, given_back: aborted}
inputs: {who: {because: "whose house it is"}}
facts:
  light: {values: [on, off]}
  door: {values: [open, shut]}
  key: {values: [here, gone], depends: [door]}
  cat: {values: [in, out]}
  post: {values: [read, unread]}
guards:
  cat_is_in: {requires: {cat: in}, because: "It would be locked out"}
  post_is_read: {requires: {post: read}, because: "It waits"}
  key_is_here: {requires: {key: here}, because: "Nobody could come back"}
  door_is_shut: {requires: {door: shut}, because: "Somebody could come in"}
environment:
  - {when: {door: open}, sets: {cat: out}}
transitions:
  - {from: entered, trigger: look, to: looked, guards: [cat_is_in, post_is_read, key_is_here], because: "All is there"}
  - {from: looked, trigger: darken, to: dark, action: darken, sets: {light: off}, effect: idempotent, undo: lighten,
     because: "Nobody is seen"}
  - {from: dark, trigger: shut, to: shut, action: shut, sets: {door: shut}, effect: idempotent, undo: open,
     because: "Nobody comes in"}
  - {from: shut, trigger: wait, to: waited, by: operator, because: "A person is in no hurry"}
  - {from: waited, trigger: leave, to: left, guards: [door_is_shut], because: "It is locked"}
  - {from: [looked, dark, shut], trigger: abort, to: going_back, by: operator, because: "back"}
  - {from: going_back, trigger: undo_newest, to: going_back, foreach: undo, because: "newest first"}
  - {from: going_back, trigger: finish_abort, to: given_back, because: "all is as before"}
"""
SPEC = load_machine(HOUSE, source="house.yaml")
World = dict[str, str]


def fresh() -> World:
    """Return a house as it is entered."""
    return {"light": "on", "door": "open", "key": "here", "cat": "in", "post": "read"}


def _observe(name: str) -> Callable[[World, Any], str]:
    def observe(world: World, _run: Any) -> str:
        if world[name] == "dim":
            raise Unreachable("nobody sees it")
        return world[name]

    return observe


def _set(name: str, value: str) -> Callable[[World, Any], None]:
    return lambda world, _run: world.update({name: value})


def runner(world: World, journal: MemoryJournal, stop_in: str = "") -> Runner:
    """Return a runner; it stops when the run stands in ``stop_in``."""
    binding = Binding(
        facts={name: Fact(_observe(name), lambda seen, _inputs: str(seen)) for name in SPEC.facts},
        actions={
            "darken": _set("light", "off"), "lighten": _set("light", "on"),
            "shut": _set("door", "shut"), "open": _set("door", "open"),
        },
    )  # fmt: skip
    made: list[Runner] = []

    def heard(record: Any, state: Any) -> None:
        if record.kind == "commit" and state.state == stop_in:
            made[0].interrupt()

    made.append(Runner(SPEC, binding, world, journal, on_record=[heard]))
    return made[0]


def stood_in(state: str) -> tuple[World, MemoryJournal]:
    """Return a house and the journal of a run that was stopped in a state."""
    world, journal = fresh(), MemoryJournal()
    run = runner(world, journal, state)
    run.start({"who": "ann"})
    assert run.state.state == state
    return world, journal


CASES: Mapping[str, tuple[str, Mapping[str, str], set[str]]] = {
    # what was changed behind the records' back: in which state, to what, which facts must be named
    "nothing": ("shut", {}, set()),
    "a guard that was passed holds no more": ("looked", {"post": "unread"}, {"post"}),
    "what an action set is as before": ("dark", {"light": "on"}, {"light"}),
    "two at once": ("shut", {"light": "on", "post": "unread"}, {"light", "post"}),
    "what the world may do by itself": ("dark", {"cat": "out"}, set()),
    "what the world may no longer do by itself": ("shut", {"cat": "out"}, {"cat"}),
    "what depends on what the run changed since": ("shut", {"key": "gone"}, set()),
    "what depends on what the run has not changed yet": ("dark", {"key": "gone"}, {"key"}),
    "what can't be read": ("shut", {"post": "dim"}, {"post"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_records_say_of_the_world_is_read_again(case: str) -> None:
    """Each difference is named with what is expected; nothing is written."""
    state, changes, named = CASES[case]
    world, journal = stood_in(state)
    world.update(changes)
    length = len(journal.records())
    differences = runner(world, journal).recheck()
    assert {each.fact for each in differences} == named
    assert all(str(each).startswith(f"{each.fact} ") for each in differences)
    assert len(journal.records()) == length


def test_what_the_next_row_judges_itself_is_left_to_it() -> None:
    """The door is a guard of the row that comes next: the engine reads it there, and holds where it is open."""
    world, journal = stood_in("shut")
    run = runner(world, journal, "waited")
    run.request("wait")
    world["door"] = "open"
    assert {each.fact for each in runner(world, journal).recheck()} == set()


def test_what_cant_be_read_is_told_apart() -> None:
    """An unreadable fact says so: who mends something else may pass over it."""
    world, journal = stood_in("shut")
    world.update({"post": "dim", "light": "on"})
    unreadable: dict[str, bool] = {each.fact: each.unreadable for each in runner(world, journal).recheck()}
    assert unreadable == {"post": True, "light": False}


def test_of_a_run_that_gives_back_or_has_ended_nothing_is_expected() -> None:
    """An undo is held against the object itself; an end moves nothing."""
    world, journal = stood_in("shut")
    run = runner(world, journal)
    run.abort("over")
    assert run.state.status == "aborted"
    world["light"] = "off"
    differences: tuple[Difference, ...] = runner(world, journal).recheck()
    assert differences == ()
