"""Every guard of the shipped machines can refuse: what it is for can happen in the model that proves the rules."""

from collections.abc import Iterator

import pytest
from attrs import evolve

from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.check.refine import prove
from drfsm.spec.model import Guard, Rule

LIMIT = 2_000_000
READ_ONLY = {"recovery_is_measured", "plan_is_read", "ttl_is_shown", "caches_are_shown"}
"""These want any value: they refuse a fact that can't be read, which the search leaves out (docs/checker.md)."""


def machine(name: str) -> MachineSpec:
    """Return a shipped machine, in whose world somebody who meddles is as likely as the weather."""
    spec = load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    return evolve(spec, environment=tuple(evolve(rule, meddles=False) for rule in spec.environment))


def refusals(spec: MachineSpec, guard: Guard) -> Iterator[dict[str, tuple[str, ...]]]:
    """Yield the combinations of facts at which a guard refuses: one fact is wrong, and nothing stands in for it."""
    for fact, wanted in guard.requires.items():
        wrong = tuple(value for value in spec.facts[fact].values if value not in wanted)
        if not guard.unless:
            yield {fact: wrong}
        for other, values in guard.unless.items():
            yield {fact: wrong, other: tuple(value for value in spec.facts[other].values if value not in values)}


def asks(spec: MachineSpec, name: str) -> tuple[str, ...]:
    """Return the states in which a guard is asked."""
    return tuple(dict.fromkeys(row.source for row in spec.rows if name in row.guards))


MACHINES = {name: machine(name) for name in ("drill", "promote", "failback")}


@pytest.mark.parametrize(
    ("name", "guard"),
    [(name, guard) for name, spec in MACHINES.items() for guard in spec.guards if guard not in READ_ONLY],
)
def test_a_guard_can_refuse_somewhere(name: str, guard: str) -> None:
    """A search finds a way to a state whose row asks it, with facts at which it does not hold."""
    spec = MACHINES[name]
    ways = (
        prove(spec, Rule(name=guard, when=facts, states=asks(spec, guard)), LIMIT).way
        for facts in refusals(spec, spec.guards[guard])
        if all(facts.values())
    )
    assert any(ways), f"{guard} can never refuse: say in `environment` or `initial` what it is for, or remove it"


@pytest.mark.parametrize("guard", sorted(READ_ONLY))
def test_a_guard_that_wants_any_value_is_named_here(guard: str) -> None:
    """It requires all values of its facts, so that only a fact that can't be read refuses."""
    specs = [spec for spec in MACHINES.values() if guard in spec.guards]
    assert specs, f"no machine has {guard} any more"
    for spec in specs:
        assert all(set(spec.facts[fact].values) == set(wanted) for fact, wanted in spec.guards[guard].requires.items())
