"""The machine of ``transitions`` is the declared one: every state with every trigger, and its traps closed."""

from typing import Any

import pytest

from drfsm.engine import MemoryJournal, Runner
from drfsm.engine.engine import Engine
from drfsm.errors import DrfsmError, IllegalTransition
from drfsm.journal import Record
from drfsm.spec import By, Row
from tests.engine.machines import failback_bench, mill_bench
from tests.engine.room import machine
from tests.engine.world import Clock, Fuse, World

FAILBACK, MILL = failback_bench(), mill_bench()
SPEC = FAILBACK.spec


@pytest.mark.parametrize("state", SPEC.states)
def test_every_declared_pair_moves_as_declared_and_every_other_raises(state: str) -> None:
    """From each state of the failback, each row that leaves it leads where it says; every other row raises."""
    engine = Engine(SPEC, state)
    assert set(engine.legal()) == {row.trigger for row in SPEC.rows if row.source == state}
    for row in SPEC.rows:
        engine.place(state)
        if row.source == state:
            engine.fire(row)
            assert engine.state == row.to
        else:
            with pytest.raises(IllegalTransition) as caught:
                engine.fire(row)
            assert engine.state == state
            assert (caught.value.machine, caught.value.state, caught.value.trigger) == ("failback", state, row.trigger)
            assert set(caught.value.legal) == set(engine.legal())


def standing_in(state: str) -> MemoryJournal:
    """Return the journal of a live failback that stands in a state, with nothing begun and nothing to undo."""
    left = FAILBACK.begin(1).left
    commit: dict[str, Any] = {
        "row": "x", "trigger": "x", "from": "start", "to": state, "by": "runner", "how": "judged", "guards": [],
        "facts": {}, "result": None, "frozen": [], "ways": [], "because": "",
    }  # fmt: skip
    lease = {"epoch": 1, "operator": "op", "host": "here"}
    at = left.records[0].at
    return MemoryJournal([*left.records, Record(1, "lease_acquired", at, lease), Record(2, "commit", at, commit)])


@pytest.mark.parametrize("state", SPEC.states)
def test_every_illegal_command_is_rejected_and_nothing_moves(state: str) -> None:
    """In each state of the failback, each trigger that no person may fire there: rejected, recorded, nothing moved."""
    journal = standing_in(state)
    world = World(FAILBACK.start.world, Fuse())
    runner = Runner(SPEC, FAILBACK.binding, world, journal, clock=Clock(), operator="op")
    allowed = {row.trigger for row in SPEC.rows_from(state, runner.state.inputs, By.OPERATOR) if not row.foreach}
    final = state in SPEC.finals
    assert not (final and allowed)
    for trigger in (*SPEC.triggers, "no_such_trigger", "to_complete", "state", ""):
        if trigger in allowed:
            continue
        before = len([each for each in journal.records() if each.kind == "rejected"])
        with pytest.raises(IllegalTransition) as caught:
            runner.request(trigger, {"reason": "let me"})
        fault = caught.value
        assert (fault.machine, fault.state, fault.trigger) == ("failback", state, trigger)
        assert final or "resume" in fault.legal
        assert allowed <= set(fault.legal)
        rejected = [each for each in journal.records() if each.kind == "rejected"]
        assert len(rejected) - before == (0 if final else 1)
        assert final or (rejected[-1].body["state"], rejected[-1].body["trigger"]) == (state, trigger)
    assert runner.state.state == state
    assert runner._step.engine.state == state
    assert world.data == FAILBACK.start.world
    assert not any(kind in ("write", "act", "intent") for kind, *_ in world.seen)


def test_a_stage_that_raises_leaves_the_state_unmoved() -> None:
    """An exception in any stage, KeyboardInterrupt too, leaves the machine where it was, and it can fire again."""
    row = MILL.spec.rows[0]
    for stage in range(4):
        for fault in (KeyboardInterrupt(), DrfsmError("no"), SystemExit(1)):
            raising: list[BaseException] = [fault]

            def stop(_row: Row, raising: list[BaseException] = raising) -> None:
                if raising:
                    raise raising.pop()

            engine = Engine(MILL.spec, "asked", [*[lambda _row: None] * stage, stop])
            with pytest.raises(type(fault)):
                engine.fire(row)
            assert engine.state == "asked"
            engine.fire(row)
            assert engine.state == "heard"


def test_a_trigger_inside_a_stage_is_refused() -> None:
    """Re-entrant firing raises instead of silently overwriting the state."""
    row, other = MILL.spec.rows[0], MILL.spec.rows[1]
    engine = Engine(MILL.spec, "asked", [lambda _row: engine.fire(other)])
    with pytest.raises(DrfsmError, match="while ask is being taken"):
        engine.fire(row)
    assert engine.state == "asked"


def test_of_two_rows_with_one_trigger_the_one_in_hand_is_taken() -> None:
    """Rows that inputs tell apart share source and trigger: the second is not shadowed by the first."""
    spec = machine("""
  - {from: start, trigger: go, to: done, when: {way: long}, because: "the long way"}
  - {from: start, trigger: go, to: halfway, when: {way: short}, because: "the short way"}
  - {from: halfway, trigger: on, to: done, because: "on"}
""")
    second = spec.rows[1]
    engine = Engine(spec, "start")
    engine.fire(second)
    assert engine.state == "halfway"


def test_there_is_no_back_door() -> None:
    """``to_<state>`` and unknown triggers don't exist in the machine."""
    events = Engine(MILL.spec, "asked")._machine.events
    assert set(events) == set(MILL.spec.triggers)
