"""A failure that leads back: as often as its rounds allow, counted from the records; and waits that nobody can read."""

from typing import Any

import pytest
from attrs import evolve

from drfsm.engine import Run
from drfsm.errors import GuardRefused, Unreachable
from drfsm.evidence.audit import audit
from drfsm.evidence.audit.verdict import Verdict
from drfsm.journal import Record, lines
from drfsm.spec import load_machine
from drfsm.spec.check import check
from tests.engine.room import Room

SPEC = load_machine(
    """
machine: lamp
because: "a bulb is tried, and another one"
initial: dark
finals: {lit: complete, given_up: failed}
inputs: {tries: {because: "how many bulbs are tried"}}
facts:
  bulb: {values: [in, out], initial: [out]}
  light: {values: [on, off, burnt], depends: [bulb]}
  bulbs: {values: [some, none]}
guards:
  light_is_on: {requires: {light: on}, because: "It is dark"}
  bulb_is_burnt: {requires: {light: burnt, bulbs: some}, because: "Another bulb may last"}
transitions:
  - {from: dark, trigger: screw_in, to: screwed_in, action: screw_in, sets: {bulb: in}, effect: idempotent,
     attempts: {max: 2}, because: "A bulb is in"}
  - {from: screwed_in, trigger: await_light, to: lit, guards: [light_is_on], attempts: {max: 3, repair: wipe_glasses},
     wait: {every_seconds: 1, limit: 30, give_up: {light: [burnt, unknown]}}, because: "It is light"}
  - {from: screwed_in, trigger: try_another, to: to_be_changed, by: failure, guards: [bulb_is_burnt], rounds: tries,
     because: "The bulb is burnt: another one is tried"}
  - {from: screwed_in, trigger: give_up, to: given_up, by: failure, overrides_open_intent: true, because: "Dark"}
  - {from: to_be_changed, trigger: screw_out, to: dark, action: screw_out, sets: {bulb: out}, effect: idempotent,
     because: "The burnt bulb is out"}
""",
    source="lamp.yaml",
)
BURNT = {"bulb": "out", "light": "burnt", "bulbs": "some"}


def audited(records: Any) -> Verdict:
    """Audit records, chained anew."""
    judges = {name: lambda seen, _inputs: seen for name in SPEC.facts}
    return audit(b"".join(lines(records)), SPEC, judges=judges)


def ended(room: Room, status: str) -> None:
    """Hold a run against its end: the log proves it."""
    verdict = audited(room.records())
    assert verdict.ok, list(verdict.lines())
    assert verdict.state.status == status


def tried(room: Room) -> int:
    """Return how many bulbs were tried."""
    return room.acts.count("screw_in")


@pytest.mark.parametrize("tries", ["1", "2", "4"])
def test_a_failure_leads_back_as_often_as_its_rounds_allow(tries: str) -> None:
    """Then the next failure's row is due, with the reason of the last round; every round has all its attempts."""
    room = Room(SPEC, has=dict(BURNT))
    room.runner().start({"tries": tries})
    ended(room, "failed")
    assert tried(room) == int(tries)
    body = room.records("ended")[0].body
    assert (body["stage"], body["reason"].startswith("await_light refused: light_is_on")) == ("await_light", True)


def test_a_round_that_goes_well_ends_the_circle() -> None:
    """The second bulb lasts: complete, and nothing is told of the first as if the run had ended by it."""
    room = Room(SPEC, has=dict(BURNT))

    def screw_in(room: Room, _run: Run) -> None:
        room.has.update(bulb="in", light="on" if tried(room) == 2 else "burnt")

    room.actions["screw_in"] = screw_in
    room.runner().start({"tries": "5"})
    ended(room, "complete")
    assert (tried(room), room.records("ended")[0].body["reason"]) == (2, "")


def test_a_guard_of_the_row_that_leads_back_ends_the_circle() -> None:
    """Without another bulb there is no other round, however many are allowed."""
    room = Room(SPEC, has={**BURNT, "bulbs": "none"})
    room.runner().start({"tries": "9"})
    ended(room, "failed")
    assert tried(room) == 1


def test_killed_at_any_record_of_its_rounds_it_ends_the_same() -> None:
    """Killed after each record and resumed: whoever asks for it to go on gets all rounds again, and no more."""
    whole = Room(SPEC, has=dict(BURNT))
    whole.runner().start({"tries": "3"})
    for cut in range(1, len(whole.records())):
        before = whole.records()[:cut]
        bulb = next((each.body["facts"]["bulb"]["value"] for each in reversed(before) if _sees_bulb(each)), "out")
        room = Room(SPEC, has={**BURNT, "bulb": bulb})
        room.runner(before).resume()
        verdict = audited(room.records())
        assert (verdict.state.status, {each.rule for each in verdict.findings} - {"lease"}) == ("failed", set()), cut
        commits = [each.body["trigger"] for each in room.records("commit") if each.seq >= cut]
        assert commits.count("try_another") == (0 if "give_up" in map(_trigger, before) else 2), cut


def _trigger(record: Record) -> str:
    return str(record.body["trigger"]) if record.kind == "commit" else ""


def _sees_bulb(record: Record) -> bool:
    return record.kind == "commit" and "bulb" in record.body["facts"]


def test_the_audit_counts_the_rounds() -> None:
    """A log that goes round once more than its inputs allow is found."""
    room = Room(SPEC, has=dict(BURNT))
    room.runner().start({"tries": "3"})
    start, *others = room.records()
    altered = evolve(start, body={**start.body, "inputs": {"tries": "2"}})
    found = [str(each) for each in audited([altered, *others]).findings]
    assert [each for each in found if "try_another leads back more often than its 2 declared rounds allow" in each]


def test_a_number_of_rounds_that_is_none_is_a_finding() -> None:
    """Whatever stands in the log's inputs, the audit tells it and goes on."""
    room = Room(SPEC, has=dict(BURNT))
    room.runner().start({"tries": "2"})
    start, *others = room.records()
    altered = evolve(start, body={**start.body, "inputs": {"tries": "many"}})
    found = [str(each) for each in audited([altered, *others]).findings]
    assert [each for each in found if "try_another: its rounds are limited by tries, which is no number" in each]


def test_a_wait_may_give_up_on_what_can_not_be_read() -> None:
    """Declared so, each unreadable sample is an attempt: one repair, then all is well again, long before the limit."""
    room = Room(SPEC, has={"bulb": "out", "light": "on", "bulbs": "some"})

    def observe(room: Room, _run: Run) -> Any:
        if "wipe_glasses" not in room.acts:
            raise Unreachable("no answer")
        return room.has["light"]

    room.observe["light"] = observe
    room.runner().start({"tries": "2"})
    ended(room, "complete")
    assert (room.acts, sum(room.clock.naps) < 5) == (["screw_in", "wipe_glasses"], True)


def test_what_stays_unreadable_goes_to_the_row_that_needs_no_reading() -> None:
    """After all attempts; the row that leads back has a guard, which nobody can judge."""
    room = Room(SPEC, has=dict(BURNT))

    def unseen(_room: Room, _run: Run) -> Any:
        raise Unreachable("no answer")

    room.observe["light"] = unseen
    room.runner().start({"tries": "2"})
    ended(room, "failed")
    assert (tried(room), len(room.records("sampled")), len(room.records("repaired"))) == (1, 3, 1)


def test_an_observation_that_has_words_of_its_own_is_told_in_them() -> None:
    """What a refusal says was seen is then no JSON; the record has all of it."""
    refusal = {"guard": "g", "fact": "f", "value": "no", "needed": ["yes"], "because": "It must."}
    told = GuardRefused([{**refusal, "seen": {"in_words": "the fuse blew", "at": 3}}], trigger="go").what
    assert told == "go refused: g: f is no, needed yes (seen: the fuse blew). It must."


def test_the_checker_takes_every_row_of_a_circle() -> None:
    """A circle whose rounds are counted has no dead row."""
    report = check(SPEC)
    assert report.ok, list(report.lines())
