"""Whether records may be changed is asked without a change."""

import pytest

from drfsm.dr.endpoints.rights import unchangeable
from tests.endpoints.conftest import Bench, Benches
from tests.endpoints.test_routing import listed


@pytest.mark.parametrize("routing", ["weighted", "failover", "health_check"])
def test_a_right_is_found_without_a_change(benches: Benches, routing: str) -> None:
    """Route 53 refuses the batch for its content: who may send it may change these records."""
    bench = benches(routing)
    before = listed(bench)
    assert list(unchangeable(bench.world(), bench.run())) == []
    assert listed(bench) == before


def test_a_zone_that_is_not_there_is_found(bench: Bench) -> None:
    """As is one that we may not change: the words say which name it is, and what the service answers."""
    bench.changes["zone"] = "ZNOTTHERE"
    (fault,) = unchangeable(bench.world(), bench.run())
    assert "api.sandbox.test: changing records of the zone ZNOTTHERE" in fault
