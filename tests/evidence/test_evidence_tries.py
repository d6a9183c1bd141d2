"""Every try of a step that failed is counted with its error, also where no ``failed`` record says so."""

from typing import Any

from attrs import evolve

from drfsm.engine import Run
from drfsm.errors import Unreachable
from drfsm.evidence.audit import audit
from drfsm.evidence.phases import receipt, split
from drfsm.evidence.summary import summarise
from drfsm.journal import Record, fold, lines
from drfsm.spec import PhaseSpec
from tests.engine.room import Room, machine
from tests.engine.test_engine_rounds import BURNT, SPEC

PHASE = PhaseSpec(
    "light", ("screw_in", "await_light", "try_another", "screw_out"), {"await_light": "complete"}, ("give_up",)
)


def receipts(records: list[Record], step: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the phase's receipt, its row of a step, and the summary's entry of the same step."""
    state = fold(records)
    phase = receipt(split(records, [PHASE])[0], state)
    (row,) = [row for row in phase["rows"] if row["trigger"] == step]
    attempts = summarise(state, records, head="0" * 64)["attempts"]
    (entry,) = [entry for entry in attempts if f"--{step}-->" in entry["row"]]
    return phase, row, entry


def unreadable(room: Room, times: int) -> None:
    """Let the light be unreadable so many times."""
    asked: list[int] = []

    def observe(room: Room, _run: Run) -> Any:
        asked.append(1)
        if len(asked) <= times:
            raise Unreachable("no answer")
        return room.has["light"]

    room.observe["light"] = observe


def test_a_wait_that_failed_and_was_done_again_is_no_clean_receipt() -> None:
    """The second bulb lasts: done in the second try, and the first one's error stays in both receipts."""
    room = Room(SPEC, has=dict(BURNT))

    def screw_in(room: Room, _run: Run) -> None:
        room.has.update(bulb="in", light="on" if room.acts.count("screw_in") == 2 else "burnt")

    room.actions["screw_in"] = screw_in
    room.runner().start({"tries": "5"})
    phase, row, entry = receipts(room.records(), "await_light")
    assert (phase["outcome"], phase["attempts"], row["outcome"], row["attempts"]) == ("complete", 2, "done", 2)
    assert (entry["begun"], entry["failed"]) == (2, 1)
    for error in (row["last_error"], entry["last_error"]):
        assert error.startswith("await_light refused: light_is_on: light is burnt")
    (again,) = [other for other in phase["rows"] if other["trigger"] == "try_another"]
    assert (again["attempts"], again["last_error"]) == (1, {"none": "no attempt failed"})


def test_a_wait_that_used_up_its_rounds_has_failed_as_often() -> None:
    """The last round's failure leaves the phase, and is counted like those that led back."""
    room = Room(SPEC, has=dict(BURNT))
    room.runner().start({"tries": "3"})
    phase, row, entry = receipts(room.records(), "await_light")
    assert (phase["outcome"], phase["attempts"], row["outcome"], row["attempts"]) == ("failed", 3, "failed", 3)
    assert (entry["begun"], entry["failed"]) == (3, 3)
    assert row["last_error"] == entry["last_error"] == phase["cause"]["reason"]


def test_a_wait_that_can_not_be_read_three_times_has_three_attempts() -> None:
    """Only the first is followed by a repair; each is an attempt of the phase, with a log of its own."""
    room = Room(SPEC, has=dict(BURNT))
    unreadable(room, 9)
    room.runner().start({"tries": "2"})
    phase, row, entry = receipts(room.records(), "await_light")
    assert (phase["attempts"], len(phase["logs"]), row["attempts"], row["repaired"]) == (3, 3, 3, 1)
    assert (entry["begun"], entry["failed"], entry["repaired"]) == (3, 3, 1)


def test_a_wait_that_was_mended_says_what_could_not_be_read() -> None:
    """No failure's row was due: the samples alone tell of the two tries before."""
    room = Room(SPEC, has={"bulb": "out", "light": "on", "bulbs": "some"})
    unreadable(room, 2)
    room.runner().start({"tries": "2"})
    phase, row, entry = receipts(room.records(), "await_light")
    assert (phase["outcome"], phase["attempts"], row["outcome"], row["attempts"]) == ("complete", 3, "done", 3)
    assert (entry["begun"], entry["failed"]) == (3, 2)
    assert row["last_error"].startswith("light is unknown")
    assert "no answer" in row["last_error"]


def test_a_failure_on_record_is_not_counted_again_with_its_commit() -> None:
    """Both tries of an action left a ``failed``; the failure's row that follows is no third."""
    spec = machine(
        """
  - {from: start, trigger: shut, to: done, action: shut, sets: {door: shut}, effect: idempotent, attempts: {max: 2},
     because: "It is shut"}
  - {from: start, trigger: refuse, to: refused, by: failure, because: "It can't be shut"}
"""
    )
    room = Room(spec, has={"light": "off", "door": "open", "alarm": "armed"}, actions={"shut": lambda *_: None})
    room.start()
    records = room.records()
    (row,) = receipt(split(records, [PhaseSpec("door", ("shut",), fails=("refuse",))])[0], fold(records))["rows"]
    (entry,) = summarise(fold(records), records, head="0" * 64)["attempts"]
    assert (row["attempts"], entry["begun"], entry["failed"]) == (2, 2, 2)
    assert row["last_error"] == entry["last_error"] == room.records("ended")[0].body["reason"]


def test_the_audit_counts_the_tries_of_a_wait() -> None:
    """A log that waits more often than the row declares, or counts down, is found."""
    room = Room(SPEC, has=dict(BURNT))
    unreadable(room, 9)
    room.runner().start({"tries": "2"})
    records = room.records()
    samples = [record.seq for record in records if record.kind == "sampled"]
    for numbers, words in (
        ([1, 2, 4], "more often than its 3 declared attempts"),
        ([1, 3, 2], "try 2 of its wait after"),
    ):
        altered = list(records)
        for seq, number in zip(samples, numbers, strict=True):
            altered[seq] = evolve(records[seq], body={**records[seq].body, "attempt": number})
        judges = {name: lambda seen, _inputs: seen for name in SPEC.facts}
        findings = audit(b"".join(lines(altered)), SPEC, judges=judges).findings
        assert [finding for finding in findings if words in str(finding)], numbers
