"""The declared machines keep the promises that no search over facts can tell."""

import pytest

from drfsm.resources import shipped
from drfsm.spec import load_machine
from tests.spec.table_claims import CLAIMS, Claim


@pytest.mark.parametrize(
    ("machine", "claim"),
    [(machine, claim) for claim in CLAIMS for machine in claim.machines],
    ids=lambda value: value.sentence if isinstance(value, Claim) else value,
)
def test_the_declared_machine_keeps_its_claim(machine: str, claim: Claim) -> None:
    """No row, state or guard of the shipped table breaks it."""
    spec = load_machine((shipped("machines") / f"{machine}.yaml").read_bytes(), source=f"{machine}.yaml")
    assert list(claim.broken(spec)) == []
