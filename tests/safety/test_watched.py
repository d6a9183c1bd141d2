"""What a run relies on is read at every row: a fence, the owner, the pointers; whoever takes it away holds the run."""

import json
from collections.abc import Callable

import pytest

from tests.safety.conftest import Make
from tests.safety.test_pointers import STRANGER
from tests.safety.world import SPEC, Site


def unfenced(site: Site) -> Callable[[], None]:
    """Return what removes the bucket's policy, as a careless hand would."""
    return lambda: site.policy(None)


def disowned(site: Site) -> Callable[[], None]:
    """Return what lets the ownership object name the primary."""
    key = f"{site.prefix}/drfsm/ownership.json"
    return lambda: site.put(key, json.dumps({**json.loads(site.body(key)), "site": "primary"}).encode())


def test_a_watched_guard_guards_every_row_of_the_runner() -> None:
    """Whichever row leaves a watched state, but for a person's and a failure's."""
    watched = {name: guard.watched for name, guard in SPEC.guards.items() if guard.watched}
    assert set(watched) == {"dr_still_owns", "primary_fence_is_kept", "dr_fence_is_kept"}
    for name, states in watched.items():
        rows = [row for row in SPEC.rows if row.source in states and row.by == "runner"]
        assert {row.source for row in rows} == set(states)
        assert all(name in row.guards for row in rows)


@pytest.mark.parametrize("state", ["primary_frozen", "dr_demoted", "validation_started", "artifacts_published"])
def test_a_fence_that_is_removed_holds_the_run_at_the_next_row(site: Site, failback: Make, state: str) -> None:
    """The run relies on the fence, though nothing is in flight; a wait ends at once. Raised again, the run goes on."""
    run = failback(fence_primary="asked", fence_primary_role=site.role("primary"))
    kept: list[dict[str, object]] = []

    def remove() -> None:
        kept.extend(site.statements())
        site.policy(None)

    run.when_in(state, remove)
    run.start()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    assert "The primary's fence, which this run relies on, was removed" in run.state.reason
    site.policy({"Version": "2012-10-17", "Statement": kept})
    run.stop_after_next()
    run.resume()
    assert run.state.state != state, run.words


def test_drs_fence_is_watched_too(site: Site, failback: Make) -> None:
    """It stands in for a pod out of sight."""
    run = failback(fence_dr="asked", fence_dr_role=site.role("dr"))
    run.when_in("primary_healthy", unfenced(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_healthy"), run.words
    assert "DR's fence, which this run relies on, was removed" in run.state.reason


@pytest.mark.parametrize("state", ["primary_frozen", "dr_demoted", "dr_run_verified", "validation_started"])
def test_an_owner_that_changes_holds_the_run_at_the_next_row(site: Site, failback: Make, state: str) -> None:
    """Ownership is watched as pointers are, also in a wait."""
    run = failback()
    run.when_in(state, disowned(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", state), run.words
    assert "Somebody else changed who owns the pointers" in run.state.reason


@pytest.mark.parametrize("which", [0, 2])
def test_drfsms_mark_in_a_pointer_is_no_proof(site: Site, failback: Make, which: int) -> None:
    """A pointer that was edited by hand, with the mark left in, was moved by somebody; the abort leaves it alone."""
    key = site.pointer_keys()[which]

    def edit() -> None:
        fields = json.loads(site.body(key))
        fields.setdefault("drfsm", {"run": run.id, "epoch": 1, "nonce": "0"})
        fields |= {"run_id": STRANGER, "run_path": f"{site.prefix}/runs/{STRANGER}"}
        site.put(key, json.dumps(fields).encode())

    run = failback()
    run.when_in("provider_switched", edit)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "provider_switched"), run.words
    assert "Somebody else moved a pointer since it was captured" in run.state.reason
    run.abort()
    if run.state.status == "held":
        assert "changed by another process" in run.state.reason
        run.request("waive_undo", reason="bob knows")
    assert run.state.status == "aborted", run.words
    assert site.pointers()[key]["run_id"] == STRANGER
