"""An action whose goal is reached already writes nothing: a needless write without a condition could undo another's."""

import pytest

from drfsm.dr.procedures.bindings import binding
from tests.agree.reading import spec_of
from tests.agree.world import place_for


@pytest.mark.parametrize("site", ["primary", "dr"])
def test_a_fence_that_stands_is_not_written_again(site: str) -> None:
    """Done again after a lost answer, it finds its own statement, says the same, and leaves the policy alone."""
    place = place_for("failback", spec_of("failback"))
    raise_fence = binding("failback").actions[f"raise_{site}_fence"]
    first = raise_fence(place.world, place.run())
    assert len(place.policy.written) == 1
    assert raise_fence(place.world, place.run()) == first
    assert len(place.policy.written) == 1
