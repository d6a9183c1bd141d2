"""The declared promote: proven, and every pair of state and trigger tried."""

from typing import Any

import pytest

from drfsm.engine import MemoryJournal, Runner
from drfsm.engine.engine import Engine
from drfsm.errors import IllegalTransition
from drfsm.evidence.derive import faults
from drfsm.journal import Record
from drfsm.spec import By, check
from tests.engine.world import Bench, Clock, Fuse, Left, World, binding_of, data_of, quiet
from tests.promote.world import SPEC


def test_the_promote_is_proven() -> None:
    """Every never rule holds in all that can happen, says something, and no row is dead."""
    report = check(SPEC)
    assert report.ok, "\n".join(report.lines())
    assert set(report.explored) == {rule.name for rule in SPEC.never}


def test_its_receipt_names_only_what_there_is() -> None:
    """Every expression of the receipt's table names inputs, triggers and facts that are declared."""
    assert not faults(SPEC)


def bench() -> Bench:
    """Return the promote in a world in which nothing happens by itself and every guard holds."""
    inputs = {name: (given.values[0] if given.values else "5") for name, given in SPEC.inputs.items()}
    inputs |= {"allow_tag": "no"}
    data = data_of(SPEC, quiet(SPEC))
    return Bench(SPEC, binding_of(SPEC), inputs, Left(tuple(sorted(data.items()))))


BENCH = bench()


@pytest.mark.parametrize("state", SPEC.states)
def test_every_declared_pair_moves_as_declared_and_every_other_raises(state: str) -> None:
    """From each state each row that leaves it leads where it says; every other one raises, and nothing moves."""
    engine = Engine(SPEC, state)
    for row in SPEC.rows:
        engine.place(state)
        if row.source == state:
            engine.fire(row)
            assert engine.state == row.to
        else:
            with pytest.raises(IllegalTransition):
                engine.fire(row)
            assert engine.state == state


def standing_in(state: str) -> MemoryJournal:
    """Return the journal of a live promote that stands in a state, with nothing begun and nothing to undo."""
    left = BENCH.begin(1).left
    commit: dict[str, Any] = {
        "row": "x", "trigger": "x", "from": "start", "to": state, "by": "runner", "how": "judged", "guards": [],
        "facts": {}, "result": None, "frozen": [], "ways": [], "because": "",
    }  # fmt: skip
    at, lease = left.records[0].at, {"epoch": 1, "operator": "op", "host": "here"}
    return MemoryJournal([*left.records, Record(1, "lease_acquired", at, lease), Record(2, "commit", at, commit)])


@pytest.mark.parametrize("state", SPEC.states)
def test_every_illegal_command_is_rejected_and_nothing_moves(state: str) -> None:
    """In each state each trigger that no person may fire there: rejected, on record, the world as it was."""
    journal, world = standing_in(state), World(BENCH.start.world, Fuse())
    runner = Runner(SPEC, BENCH.binding, world, journal, clock=Clock(), operator="op")
    allowed = {row.trigger for row in SPEC.rows_from(state, runner.state.inputs, By.OPERATOR) if not row.foreach}
    final = state in SPEC.finals
    for trigger in (*SPEC.triggers, "no_such_trigger", "to_complete", ""):
        if trigger in allowed:
            continue
        before = sum(each.kind == "rejected" for each in journal.records())
        with pytest.raises(IllegalTransition) as caught:
            runner.request(trigger, {"reason": "let me"})
        assert (caught.value.machine, caught.value.state, caught.value.trigger) == ("promote", state, trigger)
        assert sum(each.kind == "rejected" for each in journal.records()) - before == (0 if final else 1)
    assert runner.state.state == state
    assert world.data == BENCH.start.world
    assert not any(kind in ("write", "act", "intent") for kind, *_ in world.seen)
