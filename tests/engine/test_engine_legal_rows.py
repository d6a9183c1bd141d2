"""Which row may be taken: the runner's next one, a person's, a failure's; each rule on a run's state in memory."""

from typing import Any

import pytest

from drfsm.engine import MemoryJournal
from drfsm.engine.legal import FORWARD_ONLY, LegalRows
from drfsm.engine.log import RunLog
from drfsm.engine.ports import SystemClock
from drfsm.errors import (
    ActionFailed,
    DiskFault,
    DrfsmError,
    EvidenceFault,
    FileDamaged,
    GuardRefused,
    IllegalTransition,
    Interrupted,
    JournalDamaged,
    Unreachable,
)
from drfsm.journal import OpenIntent, RunState, Undoable
from drfsm.spec import MachineSpec, Row, load_machine

SPEC: MachineSpec = load_machine(b"""
machine: gate
because: "A gate is opened, and closed again"
initial: start
finals: {over: complete, back: aborted, torn: failed}
inputs:
  tries: {because: "how often it is tried"}
facts:
  gate: {values: [open, shut], initial: [shut]}
  sign: {values: [up, down], initial: [down]}
  word: {values: [said, unsaid], initial: [unsaid], local: true}
guards:
  is_said: {requires: {word: said}, because: "A person wants it"}
transitions:
  - {from: start, trigger: ask, to: asked, guards: [is_said], because: "It is wanted"}
  - {from: asked, trigger: lift, to: lifted, action: lift, sets: {gate: open}, effect: idempotent, undo: drop,
     because: "Carts get in"}
  - {from: lifted, trigger: ring, to: rung, action: ring, sets: {sign: up}, effect: once, point_of_no_return: true,
     because: "Everybody knows"}
  - {from: rung, trigger: finish, to: over, because: "It is done"}
  - {from: lifted, trigger: again, to: asked, by: failure, rounds: tries, because: "It is tried again"}
  - {from: asked, trigger: give_back, to: aborting, by: failure, because: "It is given back"}
  - {from: rung, trigger: tear_down, to: torn, by: failure, overrides_open_intent: true, because: "All goes"}
  - {from: start, trigger: tear_down, to: torn, by: failure, overrides_open_intent: true, because: "All goes"}
  - {from: [asked, lifted, rung], trigger: abort, to: aborting, by: operator, because: "A person gives it back"}
  - {from: aborting, trigger: undo_newest, to: aborting, foreach: undo, because: "The newest first"}
  - {from: aborting, trigger: waive, to: aborting, by: operator, foreach: undo, because: "A person answers for it"}
  - {from: aborting, trigger: finish_abort, to: back, because: "It is as it was"}
""")
LIFT, RING = "asked --lift--> lifted", "lifted --ring--> rung"
LIFTED = Undoable(LIFT, "lift", "drop", {"gate": "shut"})
PASSED = {"snapshots": {RING: {"sign": "down"}}}


def begun(row: str) -> OpenIntent:
    """Return the intent of an action whose outcome nobody knows."""
    source, _, rest = row.partition(" --")
    trigger, _, to = rest.partition("--> ")
    return OpenIntent(4, "noon", row, trigger, source, to, "runner", 1, "idempotent", {})


def at(state: str, **more: Any) -> LegalRows:
    """Return the rows that a run in this state may take."""
    log = RunLog(SPEC, MemoryJournal(), SystemClock())
    log.state = RunState(**{"state": state, "status": "running", "inputs": {"tries": "3"}, **more})
    return LegalRows(SPEC, log)


def refused(*values: str) -> GuardRefused:
    """Return the refusal of guards whose facts have these values."""
    checks = [
        {"guard": "g", "fact": f"f{number}", "value": value, "needed": ["x"], "seen": None, "because": "it must"}
        for number, value in enumerate(values)
    ]
    return GuardRefused(checks, trigger="lift")


@pytest.mark.parametrize(
    ("state", "more", "row"),
    [
        ("start", {}, "ask"),
        ("asked", {}, "lift"),
        ("asked", {"open": begun(RING)}, "ring"),
        ("aborting", {"undo": (LIFTED,)}, "undo_newest"),
        ("aborting", {}, "finish_abort"),
        ("over", {}, None),
    ],
)
def test_the_runner_takes_the_row_that_is_open_then_the_undo_then_the_next(
    state: str, more: dict[str, Any], row: str | None
) -> None:
    """Exactly one row fits; an undo goes on until nothing is left to undo."""
    chosen = at(state, **more).next_row()
    assert (chosen and chosen.trigger) == row


def test_a_row_that_the_declaration_does_not_have_is_evidence_against_the_journal() -> None:
    """It is named; no other row is taken instead."""
    assert at("start").row(LIFT).trigger == "lift"
    with pytest.raises(EvidenceFault, match="the journal names asked --fly--> moon, which the declaration"):
        at("asked", open=begun("asked --fly--> moon")).next_row()


@pytest.mark.parametrize(
    ("state", "more", "trigger", "refusal"),
    [
        ("asked", {}, "abort", None),
        ("rung", {}, "abort", None),
        ("rung", PASSED, "abort", FORWARD_ONLY),
        ("start", {}, "abort", ""),
        ("asked", {}, "lift", "the runner fires it by itself: drfsm resume"),
        ("rung", PASSED, "fly", ""),
        ("aborting", {"undo": (LIFTED,)}, "waive", None),
        ("aborting", {}, "waive", "nothing is left to undo"),
    ],
)
def test_a_person_may_ask_for_a_persons_row_that_is_legal_here(
    state: str, more: dict[str, Any], trigger: str, refusal: str | None
) -> None:
    """Past the point of no return for none that leads to an undo."""
    legal = at(state, **more)
    if refusal is None:
        assert legal.operator_row(trigger).trigger == trigger
        return
    with pytest.raises(IllegalTransition) as illegal:
        legal.operator_row(trigger)
    assert (illegal.value.state, illegal.value.trigger) == (state, trigger)
    assert illegal.value.machine == "gate"
    assert refusal in str(illegal.value)


NO = ActionFailed("the gate is stuck")


@pytest.mark.parametrize(
    ("state", "more", "fault", "row"),
    [
        ("asked", {}, NO, "give_back"),
        ("asked", {}, refused("y"), "give_back"),
        ("asked", {}, refused("unknown", "y"), "give_back"),
        # nobody knows how the world is
        ("asked", {}, refused("unknown"), None),
        ("asked", {}, refused("unknown", "unknown"), None),
        ("asked", {}, Unreachable("no answer"), None),
        ("asked", {}, DiskFault("full"), None),
        ("asked", {}, FileDamaged("a link"), None),
        ("asked", {}, JournalDamaged("torn", line=3), None),
        ("asked", {"open": begun(LIFT)}, NO, None),
        ("over", {}, NO, None),
        # a person asked for it
        ("asked", {}, Interrupted("stop"), None),
        ("rung", {}, Interrupted("stop"), None),
        # past the point of no return
        ("asked", PASSED, NO, None),
        ("rung", PASSED, NO, "tear_down"),
        # a row that takes everything down is taken all the same, but for what may be done once, or is final
        ("rung", {}, Unreachable("no answer"), "tear_down"),
        ("rung", {}, refused("unknown"), "tear_down"),
        ("start", {"open": begun(LIFT)}, NO, "tear_down"),
        ("start", {"open": begun(RING)}, NO, None),
        # a row that leads back, as often as its rounds allow: one time less
        ("lifted", {}, NO, "again"),
        ("lifted", {"returns": {"lifted --again--> asked": 1}}, NO, "again"),
        ("lifted", {"returns": {"lifted --again--> asked": 2}}, NO, None),
        ("lifted", {"returns": {"lifted --again--> asked": 3}}, NO, None),
        ("lifted", {"returns": {"another": 9}}, NO, "again"),
        ("lifted", {"inputs": {"tries": "1"}}, NO, None),
    ],
)
def test_a_failure_goes_where_its_row_says_or_the_run_is_held(
    state: str, more: dict[str, Any], fault: DrfsmError, row: str | None
) -> None:
    """Only where what failed is known, and nothing may be half done."""
    chosen = at(state, **more).failure_row(fault, lambda _row: True)
    assert (chosen and chosen.trigger) == row
    assert at(state, **more).failure_row(fault, lambda _row: False) is None


@pytest.mark.parametrize(
    ("trigger", "touches"),
    [("ask", False), ("lift", True), ("ring", True), ("finish", False), ("undo_newest", True), ("abort", False)],
)
def test_a_row_needs_the_lease_where_it_touches_more_than_inputs(trigger: str, *, touches: bool) -> None:
    """An action, an undo, or a fact of the world."""
    row: Row = next(row for row in SPEC.rows if row.trigger == trigger)
    assert at("start").touches_world(row) is touches
