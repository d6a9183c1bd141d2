"""The machine of ``transitions`` is the declared one: every state with every trigger, and its traps closed."""

import pytest

from drfsm.engine.engine import Engine
from drfsm.errors import DrfsmError
from drfsm.spec import Row
from drfsm.testing import assert_moves_as_declared, assert_rejects, illegal_triggers
from tests.engine.machines import failback_bench, mill_bench
from tests.engine.room import machine

FAILBACK, MILL = failback_bench(), mill_bench()
SPEC = FAILBACK.spec


NO_TRIGGERS = ("no_such_trigger", "to_complete", "state", "")


@pytest.mark.parametrize("state", SPEC.states)
def test_every_declared_pair_moves_as_declared_and_every_other_raises(state: str) -> None:
    """From each state of the failback, each row that leaves it leads where it says; every other row raises."""
    assert_moves_as_declared(SPEC, state)


@pytest.mark.parametrize("state", SPEC.states)
def test_every_illegal_command_is_rejected_and_nothing_moves(state: str) -> None:
    """In each state of the failback, each trigger that no person may fire there: rejected, recorded, nothing moved."""
    illegal = illegal_triggers(SPEC, state, FAILBACK.inputs)
    assert state not in SPEC.finals or set(illegal) == set(SPEC.triggers)
    assert_rejects(SPEC, state, [*illegal, *NO_TRIGGERS], FAILBACK.binding, inputs=FAILBACK.inputs)


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
