"""A plan's rows: what each guard comes to, what stands in for one, and the way back from where a row leads."""

from collections.abc import Mapping
from typing import Any

from drfsm.engine import Binding, Fact
from drfsm.engine.outlook import readings
from drfsm.errors import Unreachable
from drfsm.runs.plan import told
from drfsm.spec import load_machine

HOUSE = """
machine: house
because: "a rule"
initial: start
finals: {done: complete, back: aborted, refused: refused}
inputs: {patience: {because: "seconds"}}
facts:
  light: {values: [on, off]}
  door: {values: [open, shut]}
  guest: {values: [in, out, stuck]}
  fence: {values: [up, down]}
guards:
  light_is_off: {requires: {light: off}, because: "It is dark"}
  door_is_shut: {requires: {door: shut}, because: "Somebody could come in", mend: "shut it"}
  guest_is_out: {requires: {guest: out}, because: "He would be shut in"}
  door_is_watched: {requires: {door: shut}, unless: {fence: up}, because: "Somebody could come in"}
frozen:
  - {when: {light: off}, because: "nobody can publish"}
transitions:
  - {from: start, trigger: look, to: looked, guards: [door_is_shut], because: "look"}
  - {from: looked, trigger: dim, to: dark, action: dim, sets: {light: off}, effect: idempotent, undo: brighten,
     because: "dark"}
  - {from: dark, trigger: empty, to: alone, guards: [guest_is_out, light_is_off],
     wait: {every_seconds: 1, limit: patience, give_up: {guest: stuck}}, because: "alone"}
  - {from: alone, trigger: fence, to: fenced, action: fence, sets: {fence: up}, effect: idempotent,
     not_undone_because: "it stays up", guards: [door_is_watched], because: "fenced"}
  - {from: fenced, trigger: leave, to: left, guards: [door_is_watched], action: leave, sets: {door: open},
     effect: idempotent, point_of_no_return: true, because: "left"}
  - {from: left, trigger: end, to: done, because: "done"}
  - {from: start, trigger: refuse, to: refused, by: failure, because: "nothing moved"}
  - {from: [looked, dark, alone, fenced], trigger: abort, to: going, by: operator, because: "all is undone"}
  - {from: going, trigger: undo_newest, to: going, foreach: undo, because: "newest first"}
  - {from: going, trigger: finish_abort, to: back, because: "as before"}
"""
SPEC = load_machine(HOUSE, source="house.yaml")


def plan_of(**world: Any) -> dict[str, Any]:
    """Return what a plan tells of the house; every fact reads as the world has it."""
    usual: Mapping[str, Any] = {"light": "on", "door": "shut", "guest": "out", "fence": "down"} | world

    def observe(name: str) -> Fact:
        def look(_world: Any, _run: Any) -> Any:
            if isinstance(usual[name], Exception):
                raise usual[name]
            return {"value": usual[name]}

        return Fact(look, lambda seen, _inputs: seen["value"])

    names = {name for row in SPEC.rows for name in (row.action, row.undo) if name}
    binding = Binding({name: observe(name) for name in SPEC.facts}, {name: lambda *_: 1 / 0 for name in names})
    inputs = {"patience": 9}
    read = readings(SPEC, binding, None, inputs, run_id="house-1", asked_later={})
    return told(SPEC, inputs, "house-1", read, {})


def row(plan: dict[str, Any], trigger: str) -> dict[str, Any]:
    """Return the row of a trigger."""
    return next(each for each in plan["rows"] if each["trigger"] == trigger)


def outcomes(plan: dict[str, Any], trigger: str) -> dict[str, str]:
    """Return guard -> outcome of a row."""
    return {each["guard"]: each["outcome"] for each in row(plan, trigger)["guards"]}


def test_a_guard_holds_is_made_true_or_has_something_that_stands_in_for_it() -> None:
    """The fence stands in for the door from the row on that raises it, whatever the door is now."""
    plan = plan_of()
    assert outcomes(plan, "look") == {"door_is_shut": "holds"}
    assert outcomes(plan, "empty") == {"guest_is_out": "holds", "light_is_off": "made"}
    assert outcomes(plan, "fence") == {"door_is_watched": "holds"}
    assert outcomes(plan, "leave") == {"door_is_watched": "made"}
    assert row(plan, "leave")["guards"][0]["why"] == "fence sets what stands in for it"
    assert (plan["findings"], plan["unread"]) == ([], [])


def test_what_a_row_waits_for_is_no_refusal_but_where_waiting_is_pointless() -> None:
    """A guest who is in may leave; one who is stuck holds the run, and the plan says that now."""
    waits = plan_of(guest="in")
    assert outcomes(waits, "empty")["guest_is_out"] == "waits"
    assert (row(waits, "empty")["waits_at_most"], waits["findings"]) == (9.0, [])
    (finding,) = plan_of(guest="stuck")["findings"]
    assert (finding["row"], finding["would"], finding["value"]) == ("empty", "hold", "stuck")


def test_a_finding_is_told_once_at_the_first_row_that_it_stops() -> None:
    """With what to do; in a state where nothing was changed yet it refuses the run."""
    (finding,) = plan_of(door="open")["findings"]
    assert (finding["row"], finding["would"], finding["what_to_do"]) == ("look", "refuse", "shut it")


def test_what_can_not_be_read_is_told_by_its_cause() -> None:
    """One cause with all its facts; no guard of such a fact is said to fail."""
    silent = Unreachable("the house is silent")
    plan = plan_of(door=silent, guest=silent)
    assert plan["unread"] == [{"why": "the house is silent", "row": "look", "facts": ["door", "guest"]}]
    assert (outcomes(plan, "look"), plan["findings"]) == ({"door_is_shut": "unread"}, [])


def test_the_way_back_undoes_newest_first_until_the_point_of_no_return() -> None:
    """What an abort leaves is said with the reason; where nothing was changed, there is nothing to undo."""
    plan = plan_of()
    assert plan["point_of_no_return"] == "leave"
    assert row(plan, "look")["way_back"] == {"how": "abort", "words": "nothing to undo yet", "undoes": [], "keeps": []}
    assert row(plan, "fence")["way_back"] == {
        "how": "abort", "words": "all is undone", "undoes": ["dim"],
        "keeps": [{"row": "fence", "because": "it stays up"}],
    }  # fmt: skip
    assert [row(plan, trigger)["way_back"]["how"] for trigger in ("leave", "end")] == ["forward", "ended"]


def test_what_is_frozen_follows_the_rows() -> None:
    """So the plan knows from which row on nobody can publish."""
    plan = plan_of()
    assert [each["frozen_then"] != [] for each in plan["rows"]] == [False, True, True, True, True, True]
    assert plan["durations"]["nobody_can_publish"][0]["from"] == "dim"
    assert plan_of(light="off")["frozen_now"] == ["nobody can publish"]


def test_a_fact_whose_objects_nobody_knows_is_said_to_be_unknown() -> None:
    """A machine that drfsm does not ship: its plan names the fact, and does not claim that nothing changes."""
    (change,) = row(plan_of(), "dim")["changes"]
    assert (change["after"], change["before"]) == ("off", {"unknown": "drfsm does not know its objects"})
