"""What the shipped tables promise that no search over facts can tell: all claims.

test_table_claims.py holds the declared machines to them, and tests/mutants their faulty copies: a claim that no faulty
copy breaks would say nothing.
"""

from collections.abc import Iterator

from drfsm.spec import MachineSpec
from tests.spec import claims_of_endpoints, claims_of_guards, claims_of_order, claims_of_steps
from tests.spec.claims import CLAIMS, Claim

MODULES = (claims_of_steps, claims_of_order, claims_of_guards, claims_of_endpoints)
__all__ = ["CLAIMS", "MODULES", "Claim", "broken_claims"]


def broken_claims(spec: MachineSpec) -> Iterator[tuple[str, str]]:
    """Yield (sentence, what breaks it) of every claim of a machine that does not hold."""
    for claim in CLAIMS:
        if spec.name in claim.machines:
            yield from ((claim.sentence, breaks) for breaks in claim.broken(spec))
