"""What can be known beforehand is told beforehand: it refuses, or warns, before anything is changed."""

from collections.abc import Callable
from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
from attrs import evolve

from drfsm.cli.progress import Progress
from drfsm.engine import Run
from drfsm.errors import Unreachable
from drfsm.evidence.audit import audit
from drfsm.evidence.narrative import tell
from drfsm.evidence.standing import standing
from drfsm.evidence.summary import summarise
from drfsm.journal import fold
from drfsm.spec import load_machine
from tests.engine.room import Room
from tests.evidence.conftest import chained

Body = dict[str, Any]
ROOM = """
machine: room
because: "a rule"
initial: start
finals: {done: complete, refused: refused}
inputs: {patience: {because: "seconds"}, way: {values: [long, short], because: "which way"}}
facts:
  light: {values: [on, off, mixed]}
  door: {values: [open, shut]}
  alarm: {values: [armed, loud, broken]}
guards:
  light_is_off: {requires: {light: off}, because: "It is dark"}
  door_is_shut: {requires: {door: shut}, foreseen: refuse, because: "Somebody could come in", mend: "shut it"}
  alarm_is_armed: {requires: {alarm: armed}, foreseen: %s, because: "It is loud"}
transitions:
  - {from: start, trigger: look, to: looked, guards: [light_is_off], action: look, effect: none, foresees: true,
     because: "All is looked at first"}
  - {from: looked, trigger: switch_on, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "light"}
  - {from: lit, trigger: leave, to: left, when: {way: short}, guards: [door_is_shut], because: "out"}
  - {from: lit, trigger: stay, to: left, when: {way: long}, because: "in"}
  - {from: left, trigger: listen, to: done, guards: [alarm_is_armed], because: "All is quiet",
     wait: {every_seconds: 1, limit: patience, give_up: {alarm: broken}}}
  - {from: [start, looked], trigger: refuse, to: refused, by: failure, because: "Nothing was changed"}
"""


def room(level: str = "warn", **has: str) -> Room:
    """Return a room in which these facts are as given."""
    spec = load_machine(ROOM % level, source="room.yaml")
    return Room(spec, has={"light": "off", "door": "shut", "alarm": "armed", **has})


def unreadable(_room: Room, _run: Run) -> Any:
    """Raise, as a fact does that nobody can read just now."""
    raise Unreachable("nobody answers")


def nothing_answers(_room: Room, _run: Run) -> Any:
    """Raise for another reason: what two facts have in common is said once."""
    raise Unreachable("the lamp does not answer")


def findings(made: Room, *, edit: Callable[[Body], object] = lambda _body: None) -> list[str]:
    """Return what an audit finds in the run's records, after ``edit`` forged what the first of them foresees."""
    records = [*made.records()]
    place, forged = next(
        ((number, deepcopy(dict(each.body))) for number, each in enumerate(records) if "foreseen" in each.body),
        (0, {}),
    )
    if forged:
        edit(forged)
        records[place] = evolve(records[place], body=forged)
    log = chained([{"kind": each.kind, "at": each.at, "body": each.body} for each in records])
    verdict = audit(log, made.spec, judges={name: made._fact(name).judge for name in made.spec.facts})
    return [finding.what for finding in verdict.findings]


def test_what_would_hold_the_run_later_refuses_it_before_anything_moves() -> None:
    """The refusal names the guard, where it would hold, why, and what to do; no action was called."""
    made = room(door="open", alarm="loud")
    state = made.start().state
    assert (state.status, made.acts, made.records("intent")) == ("refused", [], [])
    assert (
        "look refused: door_is_shut: would hold at leave: door is open, needed shut (seen: open)."
        " Somebody could come in. What to do: shut it"
    ) in state.reason
    assert "alarm" not in state.reason  # that only warns
    assert findings(made) == []


def test_all_that_refuses_is_told_at_once() -> None:
    """The row's own guards, and those of later rows."""
    made = room(door="open", light="on")
    state = made.start().state
    assert "light_is_off: light is on" in state.reason
    assert "door_is_shut: would hold at leave" in state.reason


def test_a_way_that_the_inputs_leave_out_is_not_foreseen() -> None:
    """The door matters only to who leaves."""
    made = room(door="open")
    runner = made.runner()
    runner.start({"patience": 5, "way": "long"}, run_id="run-1")
    assert runner.state.status == "complete"
    assert findings(made) == []


def test_a_warning_is_recorded_and_told_and_the_run_goes_on() -> None:
    """The alarm may fall silent while one waits: it warns, in the record, the summary, the status and the story."""
    made = room(alarm="loud")
    made.actions["press"] = lambda room, _run: room.has.update(light="on", alarm="armed")
    runner = made.start()
    state, records = runner.state, made.records()
    assert state.status == "complete"
    words = "alarm_is_armed: would wait at listen: alarm is loud, needed armed (seen: loud). It is loud"
    assert f"foreseen: {words}" in "\n".join(tell(records))
    assert [(each["would"], each["at"]) for each in summarise(state, records, head="")["foreseen"]] == [
        ("wait", "listen")
    ]
    half = fold(made.until("commit"))
    assert f"  {words}" in list(standing(half, "here"))
    assert findings(made) == []


def test_what_waiting_can_not_mend_refuses_if_it_says_so() -> None:
    """A broken alarm never falls silent: where the guard says refuse, the run is refused; a loud one is waited for."""
    assert room("refuse", alarm="broken").start().state.status == "refused"
    made = room("refuse", alarm="loud")
    made.actions["press"] = lambda room, _run: room.has.update(light="on", alarm="armed")
    assert made.start().state.status == "complete"


def test_what_can_not_be_read_holds_where_nothing_has_moved() -> None:
    """Unknown is neither right nor wrong: a guard that refuses holds the run, to be resumed; one that warns tells."""
    made = room()
    made.observe["door"] = unreadable
    runner = made.start()
    assert (runner.state.status, runner.state.state, made.acts) == ("held", "start", [])
    del made.observe["door"]
    assert made.runner(made.records()).resume().status == "complete"
    warned = room()
    warned.observe["alarm"] = lambda room, run: unreadable(room, run) if run.trigger == "look" else room.has["alarm"]
    assert warned.start().state.status == "complete"
    assert "alarm is unknown" in "\n".join(tell(warned.records()))
    assert findings(warned) == []


@pytest.mark.parametrize(("has", "status"), [({"door": "open"}, "refused"), ({"alarm": "loud"}, "dry_run")])
def test_a_dry_run_shows_the_same(has: dict[str, str], status: str) -> None:
    """What refuses a run refuses its dry run; what warns is in its forecast."""
    made = room(**has)
    state = made.start(dry_run=True).state
    assert state.status == status
    assert ("would hold at leave" in state.reason) is (status == "refused")
    (forecast, *_) = state.forecasts
    assert [(check.guard, check.outcome) for check in forecast.foreseen] == [
        ("door_is_shut", "failed" if "door" in has else "passed"),
        ("alarm_is_armed", "failed" if "alarm" in has else "passed"),
    ]
    assert findings(made) == []


LONG = f"the hinge is bent; {'it squeaks; ' * 60}call the smith"  # longer than what a line of the status holds


@pytest.mark.parametrize("dry_run", [False, True], ids=["a run", "a dry run"])
def test_every_finding_says_what_was_seen_on_a_line_of_its_own(dry_run: bool) -> None:
    """Two findings, one after a long one: the progress, the status, the story and the reason lose neither's words."""
    made, stream = room(light="on"), StringIO()
    made.observe["door"] = lambda _room, _run: {"door": "open", "in_words": LONG}
    made.judge["door"] = lambda seen, _inputs: seen["door"]
    runner = made.runner(on_record=[Progress(stream).on_record])
    runner.start({"patience": 5, "way": "short"}, run_id="run-1", dry_run=dry_run)
    own = "look: light_is_off: light is on, needed off (seen: on). It is dark"
    later = f"look: door_is_shut: would hold at leave: door is open, needed shut (seen: {LONG})."
    state, records = runner.state, made.records()
    assert (state.status, len(state.findings)) == ("refused", 2)
    for text in (stream.getvalue(), "\n".join(standing(state, "here")), "\n".join(tell(records, brief=True))):
        lines = text.splitlines()
        assert any(own in line and "door" not in line for line in lines), text
        assert any(later in line and "light" not in line for line in lines), text
        assert "look: look" not in text
    reason = summarise(state, records, head="")["reason"]
    assert LONG in reason
    assert "Somebody could come in. What to do: shut it" in reason
    assert findings(made) == []


def test_a_hold_tells_each_finding_too() -> None:
    """Two facts that nobody can read: a held run's status has a line for each."""
    made = room()
    made.observe |= {"door": unreadable, "light": nothing_answers}
    state = made.start().state
    assert state.status == "held"
    lines = list(standing(state, "here"))
    assert [sum(f"{fact} is unknown" in line for line in lines) for fact in ("light", "door")] == [1, 1]
    assert not any("light is unknown" in line and "door is unknown" in line for line in lines)


def test_a_reading_without_a_value_keeps_its_own_words() -> None:
    """A judge that can't tell leaves what was seen in words: else nobody knows what to look at."""
    made = room()
    made.observe["alarm"] = lambda _room, _run: {"in_words": "the siren answers twice"}
    made.judge["alarm"] = lambda _seen, _inputs: None
    state = made.start(dry_run=True).state
    assert "the siren answers twice" in "\n".join(check.words for check in state.foreseen)


FORGERIES: dict[str, tuple[Callable[[Body], object], str]] = {
    "a guard is left out": (
        lambda body: body["foreseen"].pop(0),
        "look: the guard door_is_shut over door is not on record",
    ),
    "it went on": (
        lambda body: body["foreseen"][0].update(value="open", seen="open", holds=False),
        (
            "look went on though door_is_shut: would hold at leave: door is open, needed shut (seen: open)."
            " Somebody could come in. What to do: shut it"
        ),
    ),
    "a refusal is made a warning": (
        lambda body: body["foreseen"][0].update(foreseen="warn"),
        "look: door_is_shut is foreseen other than declared",
    ),
    "another value": (
        lambda body: body["foreseen"][1].update(value="armed", holds=True),
        "alarm is recorded as armed, but what was seen says loud",
    ),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_foresight_is_found(how: str) -> None:
    """What a record foresees is held against the declaration and against what was seen."""
    made = room(alarm="loud")
    made.actions["press"] = lambda room, _run: room.has.update(light="on", alarm="armed")
    made.start()
    edit, told = FORGERIES[how]
    assert told in findings(made, edit=edit)
