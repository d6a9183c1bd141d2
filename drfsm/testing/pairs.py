"""Every pair of a state and a trigger: a Runner placed in any state, and what it must refuse there.

A run is placed by its journal alone: a start, a lease, and one commit into the state. Nothing is begun there, and
nothing is left to undo.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from drfsm.engine import Binding, MemoryJournal, Runner
from drfsm.engine.engine import Engine
from drfsm.errors import DrfsmError, IllegalTransition
from drfsm.journal import Record
from drfsm.spec import By, MachineSpec, Row
from drfsm.testing.fuse import Crash, DyingJournal, Fuse, MemoryClock
from drfsm.testing.recorded import watched
from drfsm.testing.world import World, binding_of, inputs_of

_ONLY_STARTED = 1  # the point after the first record


def standing_in(machine: MachineSpec, state: str, inputs: Mapping[str, Any] | None = None) -> MemoryJournal:
    """Return the journal of a live run that stands in a state. ``inputs``: those of ``inputs_of`` if not given.

    Raises UsageFault for inputs that the machine refuses, ValueError for a state that it does not have.
    """
    if state not in machine.states:
        raise ValueError(f"the machine {machine.name} has no state {state!r}")
    started = DyingJournal((), Fuse(_ONLY_STARTED))
    runner = Runner(machine, binding_of(machine), World({}), started, clock=MemoryClock(), operator="op")
    with suppress(Crash):
        runner.start(inputs_of(machine) if inputs is None else inputs, run_id="run-1")
    (first,) = started.records()
    commit: dict[str, Any] = {
        "row": "x", "trigger": "x", "from": machine.initial, "to": state, "by": "runner", "how": "judged", "guards": [],
        "facts": {}, "result": None, "frozen": [], "ways": [], "because": "",
    }  # fmt: skip
    lease = {"epoch": 1, "operator": "op", "host": "here"}
    return MemoryJournal([first, Record(1, "lease_acquired", first.at, lease), Record(2, "commit", first.at, commit)])


def runner_in(
    machine: MachineSpec, state: str, binding: Binding, world: Any, inputs: Mapping[str, Any] | None = None
) -> Runner:
    """Return a Runner whose run stands in a state."""
    return Runner(machine, binding, world, standing_in(machine, state, inputs), clock=MemoryClock(), operator="op")


def illegal_triggers(machine: MachineSpec, state: str, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the triggers of a machine that no person may fire in a state, where nothing is left to undo."""
    legal = {row.trigger for row in machine.rows_from(state, inputs, By.OPERATOR) if not row.foreach}
    return tuple(trigger for trigger in machine.triggers if trigger not in legal)


@frozen
class Pair:
    """A state, and a trigger that no person may fire there."""

    machine: MachineSpec = field(repr=False)
    state: str
    trigger: str
    inputs: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.state}-{self.trigger}"

    def assert_rejected(self, binding: Binding | None = None, world: Any = None) -> None:
        """Assert that a Runner in this state refuses the trigger: see ``assert_rejects``."""
        __tracebackhide__ = True
        assert_rejects(self.machine, self.state, [self.trigger], binding, world, self.inputs)


def assert_rejects(
    machine: MachineSpec,
    state: str,
    triggers: Sequence[str],
    binding: Binding | None = None,
    world: Any = None,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Assert that a Runner in a state refuses each of the triggers: nothing is read or done, and a record remains.

    ``binding`` and ``world`` are the machine's own; without them the one in memory is used. In a final state no record
    is written: the run has ended.
    """
    __tracebackhide__ = True
    fuse = Fuse()
    bound = watched(binding or binding_of(machine), fuse)
    runner = runner_in(machine, state, bound, World({}, fuse) if world is None else world, inputs)
    legal = {row.trigger for row in machine.rows_from(state, runner.state.inputs, By.OPERATOR) if not row.foreach}
    for trigger in triggers:
        before = runner.state.length
        try:
            runner.request(trigger, {"reason": "a test"})
        except IllegalTransition as fault:
            refused = fault
        except DrfsmError as fault:
            raise AssertionError(f"{trigger} in {state}: refused for another reason: {fault.what}") from fault
        else:
            raise AssertionError(f"{trigger} in {state} was taken, to {runner.state.state}")
        named = (refused.machine, refused.state, refused.trigger)
        assert named == (machine.name, state, trigger), named
        assert runner.state.state == state, f"{trigger} in {state}: the run moved to {runner.state.state}"
        assert not fuse.seen, f"{trigger} in {state}: the world was touched: {fuse.seen}"
        if state in machine.finals:
            assert runner.state.status != "running", f"{trigger} in {state}: the run goes on"
        else:
            assert {"resume", *legal} <= set(refused.legal), f"{trigger} in {state}: legal here: {refused.legal}"
            assert runner.state.length > before, f"{trigger} in {state}: the refusal left no record"


def illegal_pairs(
    machine: MachineSpec,
    inputs: Mapping[str, Any] | None = None,
    *,
    states: Iterable[str] = (),
    also: Sequence[str] = (),
) -> list[Pair]:
    """Return each pair of a state and a trigger that is not a person's to fire there.

    ``inputs``: of the run, those of ``inputs_of`` if not given. ``states``: these only. ``also``: triggers to try
    beside the machine's own.
    """
    run_inputs = inputs_of(machine) if inputs is None else dict(inputs)
    return [
        Pair(machine, state, trigger, run_inputs)
        for state in (states or machine.states)
        for trigger in (*illegal_triggers(machine, state, run_inputs), *also)
    ]


def assert_moves_as_declared(machine: MachineSpec, state: str) -> None:
    """Assert of each row that it leads where it says from its own state, and is illegal in any other.

    This holds the machine that really moves (that of ``transitions``) against the declaration.
    """
    __tracebackhide__ = True
    engine = Engine(machine, state)
    leaving = {row.trigger for row in machine.rows if row.source == state}
    assert set(engine.legal()) == leaving, f"{state}: {set(engine.legal()) ^ leaving}"
    for row in machine.rows:
        engine.place(state)
        refused = _refused(engine, row)
        if row.source == state:
            assert refused is None, f"{row.key} is declared, and was refused"
        else:
            assert refused is not None, f"{row.key} was taken from {state}"
            named = (refused.machine, refused.state, refused.trigger, set(refused.legal))
            assert named == (machine.name, state, row.trigger, leaving), named
        assert engine.state == (row.to if row.source == state else state), f"{row.key}: {engine.state}"


def _refused(engine: Engine, row: Row) -> IllegalTransition | None:
    try:
        engine.fire(row)
    except IllegalTransition as refused:
        return refused
    return None
