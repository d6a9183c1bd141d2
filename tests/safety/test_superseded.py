"""A run that another one took over, which changed the sites since: it neither goes on nor gives anything back."""

import pytest

from drfsm.errors import LeaseHeld
from tests.safety.conftest import Make
from tests.safety.world import Failback, Site


def held(failback: Make, after: str) -> Failback:
    """Return a failback with a mirror that is held after a row, its process gone."""
    run = failback()
    run.mirrored = True
    run.stop_after(after)
    run.start()
    assert run.state.status == "held"
    return run


def test_a_run_that_was_taken_over_by_a_complete_one_is_not_aborted(site: Site, failback: Make) -> None:
    """Its abort would let DR publish beside the primary. It is refused with the other's name, and nothing moves."""
    site.launch()
    dead = held(failback, "demote_dr")
    heir = failback()
    heir.take_over, heir.mirrored = dead.id, True
    assert heir.start().status == "complete"
    left = site.touchable("dr"), site.touchable("primary")
    for verb in ("abort", "resume"):
        with pytest.raises(LeaseHeld, match=f"the run {heir.id} took the lease after {dead.id}") as refused:
            getattr(dead, verb)()
        assert "can't be aborted" in refused.value.what
        assert f"drfsm/runs/{heir.id}" in refused.value.hint
    assert (site.touchable("dr"), site.touchable("primary")) == left
    assert dead.state.status == "held"


@pytest.mark.usefixtures("site")
def test_a_run_goes_on_once_the_one_that_took_it_over_gave_everything_back(failback: Make) -> None:
    """The other was aborted: the sites are as the first run left them, so its abort gives back what it changed."""
    dead = held(failback, "freeze_primary")
    heir = failback()
    heir.take_over, heir.mirrored = dead.id, True
    heir.stop_after("freeze_dr")
    heir.start()
    assert heir.abort().status == "aborted"
    assert dead.abort().status == "aborted"
