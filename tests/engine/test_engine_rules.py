"""Attempts, waits, deadlines, failures and what a run may be handed: the loops around one step."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve

from drfsm import __version__
from drfsm.engine import Fact, MemoryJournal, NoLease, Run, Runner
from drfsm.engine.binding import Binding
from drfsm.errors import (
    ActionFailed,
    BindingFault,
    DrfsmError,
    EvidenceFault,
    GuardRefused,
    IllegalTransition,
    LeaseLost,
    Unreachable,
    UsageFault,
)
from drfsm.evidence.audit import audit
from drfsm.evidence.standing import standing
from drfsm.journal import fold, lines, read
from drfsm.testing.fuse import MemoryClock
from tests.engine.room import Room, machine

PRESS = """
  - {from: start, trigger: switch_on, to: done, guards: [door_is_shut], action: press, sets: {light: on},
     effect: idempotent, attempts: {max: 3, backoff_seconds: 2, repair: change_bulb}, timeout_seconds: 5,
     because: "light"}
"""
REFUSE = '  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}\n'
WAIT = """
  - {from: start, trigger: await_silence, to: done, guards: [alarm_is_armed, door_is_shut], attempts: {max: %s},
     wait: {every_seconds: 1, limit: patience, consecutive: 2, give_up: {alarm: loud}}, because: "silence"}
"""


def raising(fault: BaseException) -> Any:
    """Return a callable that raises, whatever it is given."""

    def call(*_: Any) -> Any:
        raise fault

    return call


# --- attempts -----------------------------------------------------------------------------------------------


def test_attempts_back_off_and_repair_once() -> None:
    """Three tries, two and four seconds apart, one repair after the first, each failure on record; then held."""
    room = Room(machine(PRESS))
    room.actions["press"] = raising(ActionFailed("no current"))
    state = room.start().state
    assert room.acts == ["press", "change_bulb", "press", "press"]
    assert sum(room.clock.naps) == pytest.approx(6)
    assert [each.body["attempt"] for each in room.records("failed")] == [1, 2, 3]
    assert (state.status, state.stage, state.reason) == ("held", "switch_on", "no current")


def test_attempts_start_again_when_a_person_says_go_on() -> None:
    """A resume gives the row all of its attempts again; what failed before stays on record."""
    room = Room(machine(PRESS))
    room.actions["press"] = raising(ActionFailed("no current"))
    runner = room.start()
    runner.resume()
    assert room.acts.count("press") == 6
    assert [each.body["attempt"] for each in room.records("intent")] == [1, 2, 3, 1, 2, 3]


def test_a_repair_with_a_defect_is_told_and_the_row_goes_on() -> None:
    """A repair that raises, or returns what can't be written down, costs nothing but its record."""
    for defect in (raising(ZeroDivisionError("oops")), raising(ActionFailed("no bulb")), lambda *_: {1, 2}):
        room = Room(machine(PRESS))
        room.actions["press"] = lambda here, _run: (
            here.has.update(light="on") if here.acts.count("press") == 2 else raising(ActionFailed("dark"))()
        )
        room.actions["change_bulb"] = defect
        assert room.start().state.status == "complete"
        assert "failed" in room.records("repaired")[0].body["result"]


class TakenOver(NoLease):
    """A lease that somebody takes over during the first pause between two attempts."""

    def __init__(self, clock: MemoryClock) -> None:
        super().__init__()
        self._clock = clock

    def check(self) -> None:
        """Raise LeaseLost from then on."""
        if self._clock.naps:
            raise LeaseLost("taken over")


def test_a_lease_that_is_lost_before_a_repair_stops_it() -> None:
    """A repair may write files and ask the cloud: a process that was taken over does it no more, nor says so."""
    clock = MemoryClock()
    room = Room(machine(PRESS), clock=clock, lease=TakenOver(clock))
    room.actions["press"] = raising(ActionFailed("no current"))
    with pytest.raises(LeaseLost):
        room.start()
    assert room.acts == ["press"]
    assert [record.kind for record in room.records()][-1] == "failed"
    assert room.records("repaired") == []


def test_a_defect_in_an_action_holds_the_run() -> None:
    """An exception that nobody declared is told with its type, and the run is held, not crashed."""
    room = Room(machine(PRESS))
    room.actions["press"] = raising(ZeroDivisionError("oops"))
    state = room.start().state
    assert state.status == "held"
    assert state.reason == "defect in the action press: ZeroDivisionError: oops"


def test_an_action_that_did_nothing_without_an_error_is_no_success() -> None:
    """The probe decides: an action that returns and changes nothing fails, saying what was wanted and seen."""
    room = Room(machine(PRESS))
    room.actions["press"] = lambda _room, _run: None
    state = room.start().state
    assert state.status == "held"
    assert "light is off, not on" in state.reason


# --- what can't be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Unreachable("no answer"), ActionFailed("no such object")])
def test_an_unreadable_fact_is_tried_again_and_then_held_not_refused(fault: DrfsmError) -> None:
    """Unknown passes no guard and refuses nothing: all attempts, then held, though a failure's row is there."""
    room = Room(machine(PRESS + REFUSE))
    looks: list[int] = []

    def observe(_room: Room, _run: Run) -> Any:
        looks.append(1)
        raise fault

    room.observe["door"] = observe
    state = room.start().state
    assert (state.status, state.state, len(looks)) == ("held", "start", 3)
    assert "press" not in room.acts
    assert "door is unknown" in state.reason
    room.observe.clear()
    assert room.runner().resume().status == "complete"


def test_a_guard_that_is_seen_not_to_hold_is_refused_at_once() -> None:
    """What was really seen is final: one look, and the failure's row says which guard, what was seen, and why."""
    room = Room(machine(PRESS + REFUSE), has={"light": "off", "door": "open", "alarm": "armed"})
    state = room.start().state
    assert (state.status, state.stage) == ("refused", "switch_on")
    assert state.reason == (
        "switch_on refused: door_is_shut: door is open, needed shut (seen: open). Somebody could come in"
    )
    assert room.acts == []


def test_an_unreadable_image_before_an_action_stops_it() -> None:
    """What is there before can't be read, so an undo could not give it back: no intent, no action, held."""
    room = Room(machine(PRESS))
    room.observe["light"] = raising(Unreachable("no answer"))
    state = room.start().state
    assert (state.status, room.acts, room.records("intent")) == ("held", ["change_bulb"], [])


@pytest.mark.parametrize(
    "seen",
    [float("nan"), {1, 2}, b"raw", {("a",): 1}, "\ud800", [object()], {"1": 1, 1: 2}],
    ids=["not a number", "a set", "bytes", "a tuple for a key", "half a character", "an object", "colliding keys"],
)
def test_a_fact_that_json_can_not_say_holds_the_run_and_leaves_a_whole_journal(seen: Any) -> None:
    """NaN, a set, bytes, half a character, keys that would collide: a clear defect, never a broken line."""
    room = Room(machine(PRESS))
    room.observe["door"] = lambda _room, _run: seen
    state = room.start().state
    assert state.status == "held"
    assert "can't be understood by the fact door" in state.reason
    raw = b"".join(lines(room.journal.records()))
    assert fold(read(raw).records).status == "held"


def test_a_judge_with_a_defect_or_an_undeclared_word_holds_the_run() -> None:
    """A judge that raises, or says what is not declared, makes the fact unknown, and names itself."""
    for judge, told in (
        (raising(KeyError("x")), "what was seen can't be understood by the fact door"),
        (lambda _seen, _inputs: "ajar", "ajar to the fact door, which declares no such value"),
        (lambda _seen, _inputs: None, "can't be told"),
    ):
        room = Room(machine(PRESS))
        room.judge["door"] = judge
        state = room.start().state
        assert state.status == "held"
        assert told in state.reason


def test_what_is_known_in_memory_is_what_is_read_again() -> None:
    """Tuples, numbers as keys, results and arguments: the state that a run ends with equals its journal's fold."""
    room = Room(machine(PRESS))
    room.observe["light"] = lambda here, _run: {"lamps": (1, 2), 3: here.has["light"]}
    room.judge["light"] = lambda seen, _inputs: seen["3"]
    room.actions["press"] = lambda here, _run: here.has.update(light="on") or ("pressed", {4: 5})
    runner = room.start()
    assert runner.state.status == "complete"
    assert runner.state.results["switch_on"] == ["pressed", {"4": 5}]
    assert fold(read(b"".join(lines(room.journal.records()))).records) == runner.state


def test_a_result_that_json_can_not_say_is_told_and_not_kept() -> None:
    """The action is seen to be done, its result is a set: the commit says so, and carries no result."""
    room = Room(machine(PRESS))
    room.actions["press"] = lambda here, _run: here.has.update(light="on") or {1, 2}
    assert room.start().state.status == "complete"
    commit = room.records("commit")[0].body
    assert commit["result"] is None
    assert "defect in the action press" in commit["error"]


def test_inputs_and_arguments_that_json_can_not_say_are_the_callers_fault() -> None:
    """A set among the inputs or the arguments is refused as wrong usage before a record is written."""
    room = Room(machine(PRESS))
    other = Room(machine(PRESS))
    with pytest.raises(UsageFault, match="inputs can't be written down"):
        other.runner().start(_inputs({1}))
    assert other.records() == []
    runner = room.start()
    before = len(room.records())
    with pytest.raises(UsageFault, match="arguments can't be written down"):
        runner.request("use", {"x": {1}})
    assert len(room.records()) == before


def _inputs(patience: Any) -> dict[str, Any]:
    return {"patience": patience, "way": "short"}


# --- inputs ---------------------------------------------------------------------------------------------------


def test_all_faults_of_the_inputs_are_told_at_once() -> None:
    """Missing, unknown and undeclared values, and a limit that is no number of seconds, in one message."""
    room = Room(machine(WAIT % 1))
    with pytest.raises(UsageFault) as caught:
        room.runner().start({"way": "round", "colour": "red"})
    assert caught.value.what == (
        "room can't start: patience is missing; colour is not an input of room;"
        " way is 'round', which must be one of long, short"
    )
    wrongs: tuple[Any, ...] = ("soon", -1, "nan", "inf", None, [])
    for wrong in wrongs:
        with pytest.raises(UsageFault, match=r"patience is .*, which must be a number of seconds, 0 or more"):
            room.runner().start(_inputs(wrong))
    assert room.records() == []


def test_a_scope_that_is_not_known_is_refused() -> None:
    """A run is live or a drill."""
    with pytest.raises(UsageFault, match="live, drill"):
        Room(machine(PRESS)).runner().start(_inputs(5), scope="rehearsal")


# --- waits ----------------------------------------------------------------------------------------------------


def sampling(*seen: str | DrfsmError) -> Any:
    """Return an observation that sees these, one after the other, and then always the last."""
    left: Iterator[str | DrfsmError] = iter(seen)
    last: list[str | DrfsmError] = []

    def observe(_room: Room, _run: Run) -> Any:
        last[:] = [next(left, last[0] if last else seen[-1])]
        if isinstance(last[0], DrfsmError):
            raise last[0]
        return last[0]

    return observe


def test_a_wait_needs_its_samples_in_a_row() -> None:
    """Clear, not clear, unreadable, clear, clear: only the last two count, and each clear one is on record."""
    room = Room(machine(WAIT % 1))
    room.observe["door"] = sampling("shut", "open", Unreachable("no answer"), "shut", "shut", "open")
    assert room.start().state.status == "complete"
    assert sum(room.clock.naps) == pytest.approx(4)
    assert [each.body["holds"] for each in room.records("sampled")] == [True, False, False, True, True]


def test_a_wait_that_sees_what_is_hopeless_gives_up_at_once() -> None:
    """give_up: the first sample ends the wait, and the run is held with what was seen."""
    room = Room(machine(WAIT % 1), has={"light": "off", "door": "open", "alarm": "loud"})
    state = room.start().state
    assert (state.status, room.clock.naps) == ("held", [])
    assert "alarm is loud" in state.reason


def test_a_wait_ends_at_its_limit_and_the_run_is_held() -> None:
    """The input's five seconds pass: held, saying how long it waited and for what; a resume waits again."""
    room = Room(machine(WAIT % 1), has={"light": "off", "door": "open", "alarm": "armed"})
    runner = room.start()
    assert runner.state.status == "held"
    assert runner.state.reason.startswith("waited 5 s (limit 5 s). await_silence refused: door_is_shut: door is open")
    room.has["door"] = "shut"
    assert runner.resume().status == "complete"


def test_a_wait_that_is_clear_only_at_its_limit_says_what_was_missing() -> None:
    """The last sample held, alone: it is one too few, and the reason says so."""
    room = Room(machine(WAIT % 1))
    room.observe["door"] = sampling(*["open"] * 5, "shut")
    state = room.start().state
    assert state.status == "held"
    assert "1 of 2 clear samples" in state.reason


def test_a_wait_is_interrupted_between_two_samples() -> None:
    """interrupt() in the middle of a pause ends it within a fraction of a second; held, and resumed."""
    clock = Ringing()
    room = Room(machine(WAIT % 1), has={"light": "off", "door": "open", "alarm": "armed"}, clock=clock)
    runner = room.runner()
    clock.ring = runner.interrupt
    runner.start(_inputs(5), run_id="run-1")
    assert (runner.state.status, runner.state.stage) == ("held", "await_silence")
    assert len(clock.naps) == 1
    room.has["door"] = "shut"
    assert runner.resume().status == "complete"


class Ringing(MemoryClock):
    """A clock at whose first nap somebody presses Ctrl-C."""

    ring: Callable[[], None]

    def sleep(self, seconds: float) -> None:
        """Let time pass, and ring once."""
        super().sleep(seconds)
        if len(self.naps) == 1:
            self.ring()


def test_a_wait_over_what_can_not_be_read_is_tried_again_by_its_attempts() -> None:
    """Unreadable to the limit: the whole wait is tried again as declared, then held."""
    room = Room(machine(WAIT % 2))
    room.observe["door"] = raising(Unreachable("no answer"))
    state = room.start().state
    assert state.status == "held"
    assert sum(room.clock.naps) == pytest.approx(10)


# --- deadlines and interruptions --------------------------------------------------------------------------------


def test_an_action_that_takes_too_long_fails_and_the_probe_decides() -> None:
    """run.check() after the declared seconds raises; nothing done is a failed attempt, all done is done."""
    room = Room(machine(PRESS))

    def press(here: Room, run: Run) -> None:
        if here.acts.count("press") == 3:
            here.has["light"] = "on"
        here.clock.sleep(6)
        run.check()

    room.actions["press"] = press
    assert room.start().state.status == "complete"
    late = "switch_on took longer than its declared time"
    assert [each.body["error"] for each in room.records("failed")] == [late, late]
    assert room.records("commit")[0].body["error"] == late


def test_an_action_is_interrupted_where_it_checks() -> None:
    """interrupt() between two requests of an action: held with the intent open; a resume goes on from there."""
    room = Room(machine(PRESS))
    runner = room.runner()

    def press(here: Room, run: Run) -> None:
        here.has["light"] = "mixed"
        if here.acts.count("press") == 1:
            runner.interrupt()
        run.check()
        here.has["light"] = "on"

    room.actions["press"] = press
    state = runner.start(_inputs(5))
    assert (state.status, state.open is None) == ("held", False)
    assert runner.resume().status == "complete"


# --- ends -------------------------------------------------------------------------------------------------------


def test_a_final_state_without_its_end_is_ended_and_sealed_by_the_next_resume() -> None:
    """Killed after the last commit, or after the end and before the seal: a resume adds just what is missing."""
    room = Room(machine(PRESS))
    room.start()
    for cut, added in (("commit", ["ended", "seal"]), ("ended", ["seal"])):
        records = room.until(cut)
        other = Room(room.spec)
        state = other.runner(records).resume()
        assert (state.status, state.sealed) == ("complete", True)
        assert [each.kind for each in other.records()[len(records) :]] == added


def test_an_ended_run_stays_as_it_is() -> None:
    """Resume of a sealed run changes nothing; abort, request and resolve are illegal and append nothing."""
    room = Room(machine(PRESS))
    runner = room.start()
    before = room.records()
    assert runner.resume().status == "complete"
    for trigger in ("abort", "use", "switch_on"):
        with pytest.raises(IllegalTransition, match="the run has ended: complete"):
            runner.request(trigger)
    with pytest.raises(IllegalTransition, match="the run has ended: complete"):
        runner.abort()
    with pytest.raises(IllegalTransition, match="the run has ended: complete"):
        runner.resolve("done", "so")
    assert room.records() == before


def test_nothing_is_left_behind_as_running() -> None:
    """Whatever a verb returns or raises, the status on record is held or an end."""
    room = Room(machine(PRESS), has={"light": "off", "door": "open", "alarm": "armed"})
    runner = room.start()
    assert runner.state.status == "held"
    crashed = room.runner(room.records()[:2])
    assert crashed.state.status == "running"
    with pytest.raises(IllegalTransition):
        crashed.request("abort")
    assert crashed.state.status == "held"


def test_a_run_is_only_taken_up_with_its_own_declaration() -> None:
    """Another machine's spec is refused, and so is a journal without a run, and a second start."""
    room = Room(machine(PRESS))
    runner = room.start()
    with pytest.raises(UsageFault, match="already holds"):
        runner.start(_inputs(5))
    other = Room(machine(PRESS + REFUSE))
    with pytest.raises(EvidenceFault, match="another declaration"):
        other.runner(room.records()).resume()
    with pytest.raises(UsageFault, match="no run"):
        Room(room.spec).runner().resume()


def test_a_persons_guarded_row_is_refused_with_a_trace() -> None:
    """A guard of an operator's row fails: GuardRefused names it, nothing moves, one rejected record is left."""
    rows = PRESS + '  - {from: start, trigger: leave, to: done, by: operator, guards: [door_is_shut], because: "out"}\n'
    room = Room(machine(rows), has={"light": "off", "door": "open", "alarm": "armed"})
    runner = room.start()
    with pytest.raises(GuardRefused) as caught:
        runner.request("leave")
    assert caught.value.refusals[0]["guard"] == "door_is_shut"
    assert [each.body["trigger"] for each in room.records("rejected")] == ["leave"]
    assert (runner.state.state, runner.state.status) == ("start", "held")


def test_a_state_that_waits_for_a_person_holds_the_run() -> None:
    """No row of the runner leads on: held as waiting, with the ways; the person's row goes on."""
    rows = """
  - {from: start, trigger: come, to: here, because: "in"}
  - {from: here, trigger: leave, to: done, by: operator, because: "out"}
"""
    room = Room(machine(rows))
    runner = room.start()
    assert (runner.state.status, runner.state.stage) == ("held", "waiting")
    assert [offered.action for offered in runner.state.next_actions] == ["resume", "leave"]
    assert runner.state.reason == "a person must choose leave"
    assert runner.state.hint == "`drfsm status run-1` shows the command for each decision, ready to paste"
    assert not [line for line in standing(runner.state, "") if "what to do" in line]
    state = runner.request("leave", {"reason": "late"})
    assert (state.status, state.args["leave"]) == ("complete", {"reason": "late", "operator": "op"})


def test_after_the_point_of_no_return_a_failure_leads_no_way_back() -> None:
    """The final write fails with half of it done: the failure's row that leads to the undos is not taken."""
    rows = """
  - {from: start, trigger: open_door, to: done, action: push, sets: {door: open, alarm: loud}, effect: idempotent,
     point_of_no_return: true, because: "out"}
  - {from: start, trigger: give_up, to: going, by: failure, because: "back"}
"""
    room = Room(machine(rows, "[start]"))

    def jammed(_room: Room, _run: Run) -> None:
        room.has["alarm"] = "loud"
        raise ActionFailed("jammed")

    room.actions["push"] = jammed
    state = room.start().state
    assert (state.status, state.state) == ("held", "start")
    room.actions.clear()
    assert room.runner().resume().status == "complete"


def test_a_final_write_that_changed_nothing_leaves_a_failure_its_way_back() -> None:
    """The final write is refused without a trace: nothing was passed, and the failure's row is taken."""
    rows = """
  - {from: start, trigger: open_door, to: done, action: push, sets: {door: open, alarm: loud}, effect: idempotent,
     point_of_no_return: true, because: "out"}
  - {from: start, trigger: give_up, to: going, by: failure, because: "back"}
"""
    room = Room(machine(rows, "[start]"))
    room.actions["push"] = raising(ActionFailed("jammed"))
    state = room.start().state
    assert (state.status, state.forward_only) == ("aborted", False)


def test_a_failure_may_lead_to_the_undos() -> None:
    """Before the final write a failure's row into the abort loop gives back what was done, and says why."""
    rows = """
  - {from: start, trigger: switch_on, to: lit, action: press, sets: {light: on}, effect: idempotent, undo: unpress,
     because: "light"}
  - {from: lit, trigger: leave, to: done, guards: [alarm_is_armed], because: "out"}
  - {from: lit, trigger: give_up, to: going, by: failure, because: "back"}
"""
    room = Room(machine(rows, "[start, lit]"), has={"light": "off", "door": "shut", "alarm": "loud"})
    state = room.start().state
    assert (state.status, state.stage, room.has["light"]) == ("aborted", "leave", "off")
    assert "alarm is loud" in state.reason


# --- bindings ---------------------------------------------------------------------------------------------------


def test_a_binding_is_complete_or_refused_before_anything_starts() -> None:
    """Missing and superfluous facts and actions are all named."""
    spec = machine(PRESS)
    fact = Fact(lambda _world, _run: "x", lambda seen, _inputs: str(seen))
    binding = Binding({"light": fact, "door": fact, "smell": fact}, {"press": lambda *_: None, "kick": lambda *_: None})
    with pytest.raises(BindingFault) as caught:
        Room(spec).runner().__class__(spec, binding, None, MemoryJournal())
    assert caught.value.what == (
        "room: the binding does not fit the machine: fact alarm is declared and not bound;"
        " fact smell is bound and not declared; action change_bulb is declared and not bound;"
        " action kick is bound and not declared"
    )


# --- a run that an older version started ------------------------------------------------------------------------

LATER = {"voltage": 230}
"""What is bound today reads an input that the declaration of the run does not name yet."""


def bound_later(handed: list[Any], lacking: str = "") -> Binding:
    """Return the binding of a later version: more facts and actions, and all of them read an input that came later."""

    def act(room: Room, run: Run) -> None:
        handed.append(("act", run.inputs["voltage"]))
        room.has.update(light="on")

    def observe(name: str) -> Any:
        return lambda room, run: {"is": room.has.get(name), "voltage": run.inputs["voltage"]}

    def judge(seen: Any, inputs: Any) -> str | None:
        handed.append(("judge", inputs["voltage"]))
        return str(seen.get("is", "")) or None if isinstance(seen, dict) else str(seen)

    facts = {name: Fact(observe(name), judge) for name in ("light", "door", "alarm", "smell")}
    actions = dict.fromkeys(("press", "change_bulb", "kick"), act)
    kept = {name: each for name, each in actions.items() if name != lacking}
    return Binding({name: each for name, each in facts.items() if name != lacking}, kept, LATER)


def interrupted() -> Room:
    """Return a room whose run was held by an older version, its intent open."""
    room = Room(machine(PRESS))

    def unseen(room: Room, _run: Run) -> None:
        room.has.update(light="on")
        room.observe["light"] = raising(Unreachable("it is dark"))

    room.actions["press"] = unseen
    state = room.start().state
    assert (state.status, state.open is not None) == ("held", True)
    return room


def test_a_run_goes_on_with_a_later_binding_and_inputs_that_it_lacks_take_their_defaults() -> None:
    """Bound names that its declaration lacks are fine; facts, judges, actions and the audit see the default input."""
    room, handed = interrupted(), list[Any]()
    binding = bound_later(handed)
    room.has.update(light="off")  # so that the action is done again
    state = Runner(room.spec, binding, room, room.journal, clock=room.clock, lease=room.lease).resume()
    assert (state.status, state.inputs) == ("complete", {"patience": 5, "way": "short"})
    assert {kind for kind, _ in handed} == {"act", "judge"}
    assert {voltage for _, voltage in handed} == {230}
    verdict = audit(b"".join(lines(room.records())), room.spec, judges=binding.judges)
    assert verdict.ok, "\n".join(verdict.lines())
    assert {each["is"] for record in room.records("commit") for each in [record.body["facts"]["light"]["seen"]]} == {
        "on"
    }


def test_what_a_pinned_declaration_names_must_still_be_bound() -> None:
    """A later version that forgot a fact or an action goes on with no older run: it names it, and who can."""
    for lacking, kind in (("alarm", "fact"), ("press", "action")):
        room = interrupted()
        before = len(room.records())
        with pytest.raises(EvidenceFault) as caught:
            Runner(room.spec, bound_later([], lacking), room, room.journal)
        assert f"{kind} {lacking} is declared and not bound" in caught.value.what
        assert caught.value.hint == f"go on with drfsm {__version__}, which started the run"
        assert len(room.records()) == before


def test_a_new_run_needs_exactly_its_binding() -> None:
    """What is bound and not declared is a misspelling, as long as no run is pinned to the declaration."""
    spec = machine(PRESS)
    with pytest.raises(BindingFault, match="fact smell is bound and not declared; action kick is bound"):
        Runner(spec, bound_later([]), None, MemoryJournal())
    with pytest.raises(BindingFault, match="fact smell"):
        Runner(machine(PRESS + REFUSE), bound_later([]), None, interrupted().journal)  # pinned to another declaration


def test_an_action_that_only_an_earlier_declaration_names_serves_runs_pinned_to_it_alone() -> None:
    """The run of then goes on with it; to a new run it is not bound, so that nobody declares it again unseen."""
    room = interrupted()
    room.has.update(light="off")
    today = bound_later([])
    kept = {name: act for name, act in today.actions.items() if name != "press"}
    binding = evolve(today, actions=kept, former_actions={"press": today.actions["press"]})
    state = Runner(room.spec, binding, room, room.journal, clock=room.clock, lease=room.lease).resume()
    assert state.status == "complete"
    with pytest.raises(BindingFault, match="action press is declared and not bound"):
        Runner(room.spec, binding, room, MemoryJournal())


def test_an_amendment_asks_for_no_input_that_came_later() -> None:
    """An operator's row of an older declaration is checked against that declaration alone."""
    more = '  - {from: start, trigger: wait_longer, by: operator, amends: [patience], because: "it takes longer"}\n'
    room = Room(machine(WAIT % 1 + more))
    room.has["alarm"] = "loud"
    assert room.start().state.status == "held"
    room.has["alarm"] = "armed"
    binding = Binding({name: room._fact(name) for name in room.has}, {}, LATER)
    runner = Runner(room.spec, binding, room, room.journal, clock=room.clock, lease=room.lease)
    state = runner.request("wait_longer", {"patience": 9, "reason": "slow"})
    assert (state.status, state.inputs) == ("complete", {"patience": 9, "way": "short"})
