"""For each guard of the shipped machines' later rows: whether preflight foresees it, and what becomes of the run then.

The world is the bench's: every guard holds in it but the one that is looked at.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from drfsm.engine import MemoryJournal, Runner
from drfsm.journal import RunState
from drfsm.resources import shipped
from drfsm.spec import Foreseen, MachineSpec, load_machine
from drfsm.spec.foresight import Ahead, ahead, outlooks
from drfsm.testing.fuse import Fuse, MemoryClock
from drfsm.testing.world import World, binding_of, data_of, quiet

SPECS = {
    name: load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    for name in ("drill", "failback", "promote")
}
OUTLOOKS = {(name, each.guard.name): each for name, spec in SPECS.items() for each in outlooks(spec)}
KNOWN = [key for key, each in OUTLOOKS.items() if each.guard.foreseen is not Foreseen.NO]


def ways(spec: MachineSpec) -> list[dict[str, Any]]:
    """Return inputs for every way through a machine: the first value of each, and all of those that select rows."""
    first = {name: (given.values[0] if given.values else "5") for name, given in spec.inputs.items()}
    selecting = sorted({name for row in spec.rows for name in row.when})
    choices = product(*(spec.inputs[name].values for name in selecting))
    return [{**first, **dict(zip(selecting, chosen, strict=True))} for chosen in choices]


def on_the_way(spec: MachineSpec, guard: str) -> tuple[dict[str, Any], Ahead]:
    """Return inputs of a run that foresees a guard, and where it would stop that run."""
    for inputs in ways(spec):
        for start in (row for row in spec.rows if row.foresees and row.selected(inputs)):
            for each in ahead(spec, start, inputs):
                if each.guard.name == guard:
                    return inputs, each
    raise AssertionError(f"no run foresees {guard}")


def run(spec: MachineSpec, inputs: Mapping[str, Any], values: Mapping[str, str]) -> tuple[RunState, list[str]]:
    """Start a run in a quiet world but for these values; return where it gets, and the actions that were called."""
    users = {"users": "move" if inputs.get("endpoints") == "asked" else "stay", "endpoint_site": "old"}
    given = {**{name: value for name, value in users.items() if name in spec.facts}, **values}
    world = World(data_of(spec, quiet(spec, **given)), Fuse())
    runner = Runner(spec, binding_of(spec), world, MemoryJournal(), clock=MemoryClock(), operator="op")
    state = runner.start(inputs, run_id="run-1")
    return state, [what for kind, what, *_ in world.seen if kind == "act"]


def another(spec: MachineSpec, fact: str, values: tuple[str, ...]) -> str:
    """Return a value of a fact that is none of these."""
    return next(value for value in spec.facts[fact].values if value not in values)


@pytest.mark.parametrize(("machine", "guard"), KNOWN, ids=map("-".join, KNOWN))
def test_what_is_known_beforehand_is_told_beforehand(machine: str, guard: str) -> None:
    """Where it refuses, nothing was called; where it warns, the warning is on record and the run goes on."""
    spec = SPECS[machine]
    inputs, later = on_the_way(spec, guard)
    waived = {fact: another(spec, fact, values) for fact, values in later.guard.unless.items()}
    for fact, needed in later.guard.requires.items():
        wrong = another(spec, fact, needed)
        state, called = run(spec, inputs, {**waived, fact: wrong})
        if later.level(fact, wrong) is Foreseen.REFUSE:
            assert (state.status, called) == ("refused", []), (fact, state.reason)
            assert f"{guard}: would hold at {later.row.trigger}: {fact} is {wrong}" in state.reason
            assert state.frozen == ()
        else:  # the record of preflight has it, so preflight went on
            assert guard in {check.guard for check in state.foreseen}


@pytest.mark.parametrize("machine", SPECS)
def test_each_other_guard_says_why_it_is_not(machine: str) -> None:
    """The loader leaves none out: what is not foreseen can't be, or is asked before anything moves."""
    others = [each for (name, _), each in OUTLOOKS.items() if name == machine and each.guard.foreseen is Foreseen.NO]
    assert others
    assert all(each.why for each in others)
    foreseen = {each.guard.name for inputs in ways(SPECS[machine]) for row in SPECS[machine].rows if row.foresees
                for each in ahead(SPECS[machine], row, inputs)}  # fmt: skip
    assert foreseen == {guard for name, guard in KNOWN if name == machine}
