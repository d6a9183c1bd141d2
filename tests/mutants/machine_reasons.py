"""Mutants that live, each with the reason why that does no harm, and what must be so for the reason to hold.

test_machine_table.py asks each reason of the declared machine. Called by machines.py.
"""

from collections.abc import Callable

from attrs import frozen

from drfsm.spec import By, MachineSpec


@frozen
class Reason:
    """Why a mutant does no harm. ``holds``: whether the reason is true of the declared machine."""

    sentence: str
    holds: Callable[[MachineSpec], bool]


def _fired_again(trigger: str) -> Reason:
    """Return the reason of a step that is tried once: whoever fires it can fire it again, and nobody else does."""

    def holds(spec: MachineSpec) -> bool:
        rows = [row for row in spec.rows if row.trigger == trigger]
        return bool(rows) and all(row.by is By.OPERATOR and not row.point_of_no_return for row in rows)

    return Reason("a person fires it, sees that it failed, and can fire it again", holds)


EXPLAINED: dict[str, Reason] = {
    "promote: attempts one: retry_validation@validation_started": _fired_again("retry_validation"),
}


def explained(key: str) -> str:
    """Return why a mutant that lives does no harm; "" where nobody knows."""
    return EXPLAINED[key].sentence if key in EXPLAINED else ""
