"""What a promote relies on is read at every row: the owner, the primary's fence. Taken away, it holds the run."""

import json

from drfsm.spec.model import By
from tests.promote.conftest import Make
from tests.promote.world import SPEC, Ready
from tests.safety.world import Site


def test_a_watched_guard_guards_every_row_of_the_runner() -> None:
    """Whichever row leaves a watched state, but for a person's and a failure's."""
    watched = {name: guard.watched for name, guard in SPEC.guards.items() if guard.watched}
    assert set(watched) == {"primary_still_owns", "primary_fence_is_kept"}
    for name, states in watched.items():
        rows = [row for row in SPEC.rows if row.source in states and row.by is By.RUNNER]
        assert {row.source for row in rows} == set(states)
        assert all(name in row.guards for row in rows)


def test_what_is_taken_away_holds_a_promote_at_the_next_row(ready: Ready, site: Site, promote: Make) -> None:
    """First the fence, then the owner; each is said by its name, and put back the run goes on from there."""
    key, kept = f"{site.prefix}/drfsm/ownership.json", list[dict[str, object]]()

    def unfence() -> None:
        kept.extend(site.statements())
        site.policy(None)

    def disown() -> None:
        owned = json.loads(site.body(key))
        site.put(key, json.dumps({**owned, "site": "dr"}).encode())

    run = promote(**ready.fence())
    run.when_in("primary_frozen", unfence)
    run.promoted()
    assert (run.state.status, run.state.state) == ("held", "primary_frozen"), run.words
    assert "The primary's fence, which this run relies on, was removed" in run.state.reason
    assert kept
    site.policy({"Version": "2012-10-17", "Statement": kept})
    run.when_in("pointers_captured", disown)
    run.resume()
    assert (run.state.status, run.state.state) == ("held", "pointers_captured"), run.words
    assert "Somebody else changed who owns the pointers since the run began" in run.state.reason
    assert site.named() == {site.sandbox.primary_run_id}
    owned = json.loads(site.body(key))
    site.put(key, json.dumps({**owned, "site": "primary"}).encode())
    run.stop_after_next()
    run.resume()
    assert run.state.state != "pointers_captured", run.words
