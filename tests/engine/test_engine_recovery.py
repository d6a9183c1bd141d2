"""What became of an action that was begun: settled first, undone from its intent, never done twice."""

from typing import Any

import pytest

from drfsm.engine import Run, Runner
from drfsm.errors import ActionFailed, IllegalTransition, Unreachable, UsageFault
from drfsm.journal import fold
from tests.engine.room import Room, machine

LIGHT = """
  - {from: start, trigger: switch_on, to: lit, guards: [light_is_off, door_is_shut], action: press,
     sets: {light: on}, effect: idempotent, undo: unpress, because: "light"}
  - {from: lit, trigger: open_door, to: done, action: push, sets: {door: open}, effect: idempotent,
     point_of_no_return: true, because: "out"}
"""
RING = """
  - {from: start, trigger: ring, to: done, action: pull, sets: {alarm: loud}, effect: once, attempts: {max: 3},
     not_undone_because: "it was heard", because: "fire"}
"""


def lit_room() -> Room:
    """Return a room whose light was switched on, with all its records."""
    room = Room(machine(LIGHT, "[start, lit]"))
    room.start()
    assert room.acts == ["press", "push"]
    return room


def test_an_abort_settles_the_open_final_write_first() -> None:
    """The final write is done and its commit missing: the abort is refused, and the state is the committed one."""
    room = lit_room()
    runner = room.runner(room.until("intent", 1))
    with pytest.raises(IllegalTransition, match="not legal in state done"):
        runner.abort("enough")
    assert (runner.state.state, runner.state.status, runner.state.sealed) == ("done", "complete", True)


def test_an_abort_after_the_final_writes_intent_is_refused_and_the_way_is_forward() -> None:
    """The final write's intent is on record and nothing done: the abort is illegal, a resume ends the run."""
    room = lit_room()
    room.has["door"] = "shut"
    runner = room.runner(room.until("intent", 1))
    with pytest.raises(IllegalTransition, match="point of no return") as caught:
        runner.abort("enough")
    assert "abort" not in caught.value.legal
    assert (runner.state.state, room.has["door"]) == ("lit", "shut")
    assert runner.resume().status == "complete"


def test_the_undo_stack_is_built_from_intents() -> None:
    """A crash right after the intent, and an abort: the action was never called, and its undo is found done."""
    room = lit_room()
    room.has |= {"light": "off", "door": "shut"}
    records = room.until("intent")
    room.acts.clear()
    assert [each.undo for each in fold(records).undo] == ["unpress"]
    state = room.runner(records).abort("enough")
    assert (state.status, room.acts, room.has["light"]) == ("aborted", [], "off")
    (undone,) = [each for each in room.records("commit") if each.body.get("undoes")]
    assert undone.body["how"] == "found"


def test_an_action_done_before_the_crash_is_undone_by_the_abort() -> None:
    """A crash between the action and its commit, and an abort: the commit comes first, then the undo."""
    room = lit_room()
    room.has |= {"light": "on", "door": "shut"}
    state = room.runner(room.until("intent")).abort("enough")
    assert (state.status, room.has["light"]) == ("aborted", "off")
    moves = [(each.body["trigger"], each.body["how"]) for each in room.records("commit")]
    assert moves == [
        ("switch_on", "found"),
        ("abort", "judged"),
        ("undo_newest", "acted"),
        ("finish_abort", "judged"),
    ]


def test_the_first_image_wins_over_a_redos() -> None:
    """A crash between two lamps: the redo sees its own work as before, and the abort still restores both."""
    room = Room(machine(LIGHT, "[start, lit]"))
    lamps = {"hall": "off", "stairs": "off"}
    room.observe["light"] = lambda _room, _run: dict(lamps)
    room.judge["light"] = lambda seen, _inputs: "mixed" if len(set(seen.values())) > 1 else seen["hall"]

    def press(_room: Room, _run: Run) -> None:
        lamps["hall"] = "on"
        if len(room.acts) == 1:
            raise KeyboardInterrupt
        lamps["stairs"] = "on"

    room.actions |= {"press": press, "unpress": lambda _room, run: lamps.update(run.undoing["light"])}
    room.actions["push"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("stuck"))
    with pytest.raises(KeyboardInterrupt):
        room.start()
    runner = room.runner()
    runner.resume()
    assert lamps == {"hall": "on", "stairs": "on"}
    second = room.records("intent")[1]
    assert second.body["before"]["light"] == {"hall": "on", "stairs": "off"}
    assert runner.state.undo[0].before["light"] == {"hall": "off", "stairs": "off"}
    assert runner.abort("the door is stuck").status == "aborted"
    assert lamps == {"hall": "off", "stairs": "off"}


def test_a_redo_skips_the_guards_over_what_it_sets_itself() -> None:
    """Half done, the row's own guard no longer holds: the redo goes on nevertheless."""
    room = lit_room()
    room.has |= {"light": "mixed", "door": "shut"}
    state = room.runner(room.until("intent")).resume()
    assert (state.status, room.has["light"]) == ("complete", "on")


def test_a_failed_attempt_that_is_half_done_is_a_redo_too() -> None:
    """A second attempt after half a failure is not stopped by the row's own guard, in the same process."""
    room = Room(machine(LIGHT.replace("undo: unpress", "undo: unpress, attempts: {max: 2}"), "[start, lit]"))

    def press(here: Room, _run: Run) -> None:
        here.has["light"] = "on" if here.acts.count("press") == 2 else "mixed"
        if here.acts.count("press") == 1:
            raise ActionFailed("half of it")

    room.actions["press"] = press
    assert room.start().state.status == "complete"
    (failed,) = room.records("failed")
    assert failed.body["verdict"] == "mixed"


def test_a_redo_whose_other_guards_fail_is_held_and_can_be_aborted() -> None:
    """Half done, and the door is open now: held with the intent open; an abort gives everything back."""
    room = lit_room()
    room.has |= {"light": "mixed", "door": "open"}
    runner = room.runner(room.until("intent"))
    state = runner.resume()
    assert (state.status, state.state) == ("held", "start")
    assert state.open is not None
    assert "door_is_shut" in state.reason
    assert runner.abort("enough").status == "aborted"
    assert room.has["light"] == "off"


def test_a_failure_with_something_half_done_never_ends_as_refused() -> None:
    """A row by failure leads to an end that says nothing moved: half done, the run is held instead."""
    rows = LIGHT + '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'
    room = Room(machine(rows, "[start, lit]"))

    def press(here: Room, _run: Run) -> None:
        here.has["light"] = "mixed"
        raise ActionFailed("half of it")

    room.actions["press"] = press
    state = room.start().state
    assert (state.status, state.state) == ("held", "start")
    assert state.open is not None
    room.has["door"] = "open"
    assert room.runner().resume().status == "held"


def test_a_failure_that_changed_nothing_goes_where_it_is_safe() -> None:
    """The same failure with everything seen as before ends as refused, with the stage and the reason."""
    rows = LIGHT + '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'
    room = Room(machine(rows, "[start, lit]"))
    room.actions["press"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("no current"))
    state = room.start().state
    assert (state.status, state.stage, state.reason) == ("refused", "switch_on", "no current")


def test_the_same_word_for_something_half_done_is_not_as_before() -> None:
    """Two of three lamps were on, now one is: `mixed` both times, yet the attempt is half done, and stays open."""
    room = Room(machine(LIGHT.replace("light_is_off, ", ""), "[start, lit]"))
    lamps = {"hall": "on", "stairs": "off", "attic": "off"}
    room.observe["light"] = lambda _room, _run: dict(lamps)
    room.judge["light"] = lambda seen, _inputs: "mixed" if len(set(seen.values())) > 1 else seen["hall"]

    def press(_room: Room, _run: Run) -> None:
        lamps["stairs"] = "on"
        raise ActionFailed("no bulb in the attic")

    room.actions |= {"press": press, "unpress": lambda _room, run: lamps.update(run.undoing["light"])}
    runner = room.start()
    assert room.records("failed")[0].body["verdict"] == "mixed"
    assert runner.state.open is not None
    runner.abort("enough")
    assert lamps == {"hall": "on", "stairs": "off", "attic": "off"}


def rung_with_a_rope_that_breaks(alarm: str) -> tuple[Room, Runner]:
    """Return the room, and the run, in which the action failed once the alarm was like this."""
    room = Room(machine(RING))

    def pull(here: Room, _run: Run) -> None:
        here.has["alarm"] = alarm
        raise ActionFailed("the rope broke")

    room.actions["pull"] = pull
    return room, room.start()


def test_what_may_be_done_once_and_was_done_is_committed_although_it_failed() -> None:
    """An action of effect once that did its work and then failed is committed, with what it failed of."""
    room, runner = rung_with_a_rope_that_breaks("loud")
    assert (runner.state.status, room.acts) == ("complete", ["pull"])
    assert room.records("commit")[0].body["error"] == "the rope broke"


def test_what_may_be_done_once_is_not_repeated_after_a_failure() -> None:
    """An action of effect once that fails is called once, though the row has three attempts: a person decides."""
    room, runner = rung_with_a_rope_that_breaks("armed")
    assert (runner.state.status, room.acts) == ("held", ["pull"])
    assert runner.resume().status == "held"
    assert room.acts == ["pull"]


def test_a_persons_verdict_done_commits_whatever_is_seen() -> None:
    """`resolve done` moves the run on with the person's reason, and the action is not called again."""
    room = Room(machine(RING))
    room.actions["pull"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("who knows"))
    runner = room.start()
    assert runner.resolve("done", "I heard it").status == "complete"
    assert room.acts == ["pull"]
    commit = room.records("commit")[-1].body
    assert (commit["how"], commit["by"]) == ("resolved", "operator")


def test_a_crash_right_after_the_verdict_done_repeats_nothing() -> None:
    """The verdict is on record and its commit is not: the next process commits, and calls no action."""
    room = Room(machine(RING))
    room.actions["pull"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("who knows"))
    room.start().resolve("done", "I heard it")
    room.acts.clear()
    assert room.runner(room.until("resolved")).resume().status == "complete"
    assert room.acts == []


def test_a_persons_verdict_not_done_lets_it_be_done() -> None:
    """`resolve not_done` closes the intent; the action is called, under a new intent."""
    room = Room(machine(RING))
    room.actions["pull"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("who knows"))
    runner = room.start()
    room.actions.clear()
    assert runner.resolve("not_done", "the rope lies here").status == "complete"
    assert room.acts == ["pull", "pull"]
    assert len(room.records("intent")) == 2


def test_nobody_settles_what_the_machine_can_tell() -> None:
    """`resolve` is illegal where nothing is open, or where the facts say what became of it; a trace remains."""
    room = lit_room()
    room.has["light"] = "mixed"
    runner = room.runner(room.until("intent"))
    with pytest.raises(IllegalTransition, match="can tell by itself"):
        runner.resolve("done", "I say so")
    assert room.records("rejected")[-1].body["trigger"] == "resolve"
    assert room.has["light"] == "mixed"
    with pytest.raises(UsageFault, match="with a reason"):
        runner.resolve("done", "")


def test_an_outcome_that_can_not_be_seen_is_looked_at_again_and_then_held() -> None:
    """Case F: the fact is unreadable; each attempt looks again, then a person decides; nothing is called."""
    room = lit_room()
    room.spec = machine(LIGHT.replace("undo: unpress", "undo: unpress, attempts: {max: 3}"), "[start, lit]")
    room = Room(room.spec)
    room.start()
    looks = []

    def observe(_room: Room, _run: Run) -> str:
        looks.append(1)
        raise Unreachable("no answer")

    room.acts.clear()
    room.observe["light"] = observe
    state = room.runner(room.until("intent")).resume()
    assert (state.status, room.acts, len(looks)) == ("held", [], 3)
    assert "can't be seen" in state.reason
    room.observe.clear()
    assert room.runner().resume().status == "complete"


def test_an_abort_of_what_can_not_be_seen_is_held_for_a_person() -> None:
    """Nobody can tell what became of the open intent: the abort is held, nothing is given back blindly."""
    room = lit_room()
    room.observe["light"] = lambda _room, _run: (_ for _ in ()).throw(Unreachable("no answer"))
    runner = room.runner(room.until("intent"))
    state = runner.abort("enough")
    assert (state.status, state.state) == ("held", "start")
    room.observe.clear()
    assert runner.abort("enough").status == "aborted"


def test_a_half_done_undo_that_can_not_be_seen_can_be_waived() -> None:
    """The site is gone in the middle of the abort: a person waives the undo, and the end says so."""
    room = lit_room()
    room.has |= {"light": "on", "door": "shut"}
    room.actions["unpress"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    runner = room.runner(room.until("commit"))
    with pytest.raises(KeyboardInterrupt):
        runner.abort("enough")
    room.observe["light"] = lambda _room, _run: (_ for _ in ()).throw(Unreachable("no answer"))
    runner = room.runner()
    assert runner.resume().status == "held"
    state = runner.request("waive_undo", {"reason": "the house is gone"})
    assert (state.status, state.undo) == ("aborted", ())
    assert state.kept == ("switch_on was not given back: the house is gone",)
    assert room.records("ended")[0].body["kept"] == list(state.kept)


def test_abort_where_everything_is_being_undone_goes_on_with_it() -> None:
    """Killed in the abort: `abort` again does what `resume` does."""
    room = lit_room()
    room.has |= {"light": "on", "door": "shut"}
    room.actions["unpress"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    runner = room.runner(room.until("commit"))
    with pytest.raises(KeyboardInterrupt):
        runner.abort("enough")
    room.actions.clear()
    assert room.runner().abort("enough").status == "aborted"
    assert room.has["light"] == "off"


def test_an_undo_is_not_done_by_the_same_word() -> None:
    """Undone is what equals the image, not what is judged the same: another lamp that is off will not do."""
    room = Room(machine(LIGHT, "[start, lit]"))
    lamps = {"hall": "off", "stairs": "off"}
    room.observe["light"] = lambda _room, _run: {"lamps": dict(lamps), "dimmed": room.has.get("dimmed", "no")}
    room.judge["light"] = lambda seen, _inputs: (
        "mixed" if len(set(seen["lamps"].values())) > 1 else seen["lamps"]["hall"]
    )
    room.actions["press"] = lambda here, _run: (lamps.update(hall="on", stairs="on"), here.has.update(dimmed="yes"))
    room.actions["push"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    room.actions["unpress"] = lambda _room, run: lamps.update(run.undoing["light"]["lamps"])
    with pytest.raises(KeyboardInterrupt):
        room.start()
    state = room.runner(room.until("commit")).abort("enough")
    assert (state.status, lamps) == ("held", {"hall": "off", "stairs": "off"})
    room.has["dimmed"] = "no"
    assert room.runner().resume().status == "aborted"


def test_an_undo_is_not_done_while_what_appeared_since_changes_the_judgement() -> None:
    """Nothing was there before, so every image fits: it is undone only when it is judged as before, too."""
    room = Room(machine(LIGHT, "[start, lit]"))
    jobs: dict[str, str] = {}
    room.observe["light"] = lambda _room, _run: dict(jobs)
    room.judge["light"] = lambda seen, _inputs: "on" if seen else "off"
    room.actions["press"] = lambda _room, _run: jobs.update(job="made")
    room.actions["unpress"] = lambda _room, _run: jobs.clear()
    room.actions["push"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        room.start()
    assert room.runner(room.until("commit")).abort("enough").status == "aborted"
    assert jobs == {}
    assert "unpress" in room.acts


OPERATOR = """
  - {from: start, trigger: switch_on, to: lit, action: press, sets: {light: on}, effect: idempotent, undo: unpress,
     because: "light"}
  - {from: start, trigger: by_hand, to: lit, by: operator, guards: [door_is_shut], action: strike, sets: {alarm: loud},
     effect: idempotent, undo: hush, because: "a match"}
  - {from: lit, trigger: leave, to: done, action: push, sets: {door: open}, effect: idempotent,
     not_undone_because: "it stays open", because: "out"}
"""


def test_a_persons_row_killed_in_its_middle_is_done_to_its_end_with_what_the_person_said() -> None:
    """A crash in an operator's action: the resume redoes that row, by the operator, with the recorded arguments."""
    room = Room(machine(OPERATOR, "[start, lit]"))
    room.actions["press"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("no current"))
    runner = room.start()
    assert runner.state.status == "held"
    room.actions["strike"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        runner.request("by_hand", {"reason": "it is dark"})
    room.actions.clear()
    state = room.runner().resume()
    assert (state.status, room.has["alarm"]) == ("complete", "loud")
    redone = next(each for each in room.records("commit") if each.body["trigger"] == "by_hand")
    assert redone.body["args"] == {"reason": "it is dark", "operator": "op"}
    assert redone.body["by"] == "operator"


def test_what_was_half_done_is_not_forgotten_behind_a_persons_row_that_failed() -> None:
    """The runner's row is half done, a person's own action fails and changes nothing: the first is still open."""
    room = Room(machine(OPERATOR, "[start, lit]"))

    def press(here: Room, _run: Run) -> None:
        here.has["light"] = "mixed"
        raise ActionFailed("half of it")

    room.actions["press"] = press
    runner = room.start()
    room.actions["strike"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("wet"))
    state = runner.request("by_hand", {"reason": "it is dark"})
    assert state.status == "held"
    assert state.open is not None
    assert state.open.trigger == "switch_on"
    room.actions.clear()
    assert room.runner().resume().status == "complete"
    assert (room.has["light"], room.has["alarm"]) == ("on", "armed")


def test_what_is_half_done_stays_open_behind_a_persons_row_that_leads_nowhere_else() -> None:
    """A person's row that stays in its state is done; then what was half done before is done to its end."""
    rows = OPERATOR.replace("trigger: by_hand, to: lit", "trigger: by_hand, to: start")
    room = Room(machine(rows, "[start, lit]"))

    def press(here: Room, _run: Run) -> None:
        here.has["light"] = "mixed"
        raise ActionFailed("half of it")

    room.actions["press"] = press
    runner = room.start()
    room.actions.clear()
    assert runner.request("by_hand", {"reason": "it is dark"}).status == "complete"
    assert room.has["light"] == "on"
    moves = [each.body["trigger"] for each in room.records("commit")]
    assert moves == ["by_hand", "switch_on", "leave"]


def test_no_third_thing_is_begun_in_front_of_two_that_are_half_done() -> None:
    """The runner's row and a person's are half done: another command is illegal, an abort gives both back."""
    rows = (
        OPERATOR
        + """
  - {from: start, trigger: whistle, to: lit, by: operator, action: blow, sets: {door: open}, effect: idempotent,
     undo: hold_breath, because: "a sound"}
"""
    )
    room = Room(machine(rows, "[start, lit]"))

    def half(fact: str) -> Any:
        def act(here: Room, _run: Run) -> None:
            here.has[fact] = "mixed" if fact == "light" else "loud"
            raise KeyboardInterrupt

        return act

    room.actions["press"] = half("light")
    with pytest.raises(KeyboardInterrupt):
        room.start()
    room.actions["strike"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        room.runner().request("by_hand", {"reason": "dark"})
    runner = room.runner()
    with pytest.raises(IllegalTransition, match="by_hand and switch_on are half done"):
        runner.request("whistle", {"reason": "alone"})
    assert runner.abort("enough").status == "aborted"
    assert room.has == {"light": "off", "door": "shut", "alarm": "armed"}


def test_a_persons_command_that_is_not_legal_moves_nothing_though_something_is_open() -> None:
    """An illegal trigger while an intent is open, and done: it is refused before anything is settled."""
    room = lit_room()
    room.has |= {"light": "on", "door": "shut"}
    runner = room.runner(room.until("intent"))
    with pytest.raises(IllegalTransition):
        runner.request("finish_abort")
    assert runner.state.state == "start"
    assert [each.kind for each in room.records()][-3:] == ["lease_acquired", "rejected", "held"]


def test_what_keeps_its_change_is_told_from_its_intent_on() -> None:
    """Aborted after a crash in a row that keeps its change: the end names it, though it was never committed."""
    rows = """
  - {from: start, trigger: open_door, to: lit, action: push, sets: {door: open}, effect: idempotent,
     not_undone_because: "it stays open", because: "air"}
  - {from: lit, trigger: leave, to: done, because: "out"}
"""
    room = Room(machine(rows, "[start, lit]"))
    room.actions["push"] = lambda _room, _run: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        room.start()
    assert room.runner().abort("enough").kept == ("it stays open",)
    room = Room(machine(rows, "[start, lit]"))
    room.actions["push"] = lambda _room, _run: (_ for _ in ()).throw(ActionFailed("jammed"))
    assert room.start().abort("enough").kept == ()
