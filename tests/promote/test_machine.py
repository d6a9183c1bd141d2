"""The declared promote: proven, and every pair of state and trigger tried."""

import pytest

from drfsm.evidence.derive import faults
from drfsm.spec.check import check
from drfsm.testing import assert_moves_as_declared, assert_rejects, illegal_triggers, inputs_of
from tests.promote.world import SPEC


def test_the_promote_is_proven() -> None:
    """Every never rule holds in all that can happen, says something, and no row is dead."""
    report = check(SPEC)
    assert report.ok, "\n".join(report.lines())
    assert set(report.explored) == {rule.name for rule in SPEC.never}


def test_its_receipt_names_only_what_there_is() -> None:
    """Every expression of the receipt's table names inputs, triggers and facts that are declared."""
    assert not faults(SPEC)


INPUTS = inputs_of(SPEC, allow_tag="no")


@pytest.mark.parametrize("state", SPEC.states)
def test_every_declared_pair_moves_as_declared_and_every_other_raises(state: str) -> None:
    """From each state each row that leaves it leads where it says; every other one raises, and nothing moves."""
    assert_moves_as_declared(SPEC, state)


@pytest.mark.parametrize("state", SPEC.states)
def test_every_illegal_command_is_rejected_and_nothing_moves(state: str) -> None:
    """In each state each trigger that no person may fire there: rejected, on record, the world as it was."""
    illegal = illegal_triggers(SPEC, state, INPUTS)
    assert_rejects(SPEC, state, [*illegal, "no_such_trigger", "to_complete", ""], inputs=INPUTS)
