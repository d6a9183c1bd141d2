"""Several providers and profiles, another candidate, a sync and a backup on the way: the same contract."""

import json

import pytest

from tests.safety.conftest import Make
from tests.safety.world import Site

NEWER = "2027-01-01T00:00:00.000001+00:00"


def published_by_dr(site: Site, **data: str) -> str:
    """Let DR publish a run with this configuration, and the primary be configured alike; return the run's id."""
    for name in ("dr", "primary"):
        site.configure(name, **data)
    site.work("dr", "configured", NEWER)
    site.await_end("dr", "configured")
    return NEWER


def test_the_whole_set_of_several_providers_and_profiles_moves(site: Site, failback: Make) -> None:
    """Two providers by two profiles make ten pointers: all are captured and moved, and name one run in the end."""
    run_id = published_by_dr(site, JOBINTEL_PROVIDERS="openai,acme", JOBINTEL_PROFILES="cs,ml")
    run = failback(dr_run_id=run_id, soak="now")
    run.start()
    assert run.state.status == "complete", run.words
    pointers = site.pointers()
    assert len(pointers) == 10
    (own,) = site.named()
    assert own == run.summary["receipt"]["first_post_failback_run_id"]
    assert len(run.results("switch_provider_pointers")["moved"]) == 8
    for pointer in pointers.values():
        assert pointer["provider_profiles"] == dict.fromkeys(["openai:cs", "openai:ml", "acme:cs", "acme:ml"], own)


def test_a_set_of_several_pairs_is_given_back_as_a_whole(site: Site, failback: Make) -> None:
    """Aborted with all provider pointers moved, every one of them names DR's run again, field by field."""
    run_id = published_by_dr(site, JOBINTEL_PROVIDERS="openai,acme", JOBINTEL_PROFILES="cs,ml")
    before = site.pointers()
    run = failback(dr_run_id=run_id)
    run.stop_after("switch_provider_pointers")
    run.start()
    assert site.named() == {run_id, run.primary_run_id}
    run.abort()
    assert (run.state.status, site.pointers()) == ("aborted", before)


def test_another_candidates_pointers_move_and_locals_do_not(site: Site, failback: Make) -> None:
    """Candidate `night`: its own runs, latest and pointers below candidates/, and not one key of local's is touched."""
    run_id = published_by_dr(site, JOBINTEL_CANDIDATE="night")
    local = {key: etag for key, etag in site.etags(f"{site.prefix}/").items() if "night" not in key}
    run = failback(dr_run_id=run_id, candidate="night")
    run.start()
    assert run.state.status == "complete", run.words
    after = {
        key: etag
        for key, etag in site.etags(f"{site.prefix}/").items()
        if "night" not in key and "/drfsm/" not in key and "/validations/" not in key
    }
    assert after == local
    home = f"{site.prefix}/state/candidates/night"
    for key in (f"{home}/last_success.json", f"{home}/openai/cs/last_success.json"):
        pointer = json.loads(site.body(key))
        assert pointer["run_id"] == run.primary_run_id
        assert pointer["run_path"] == f"{site.prefix}/candidates/night/runs/{run.primary_run_id}"
    assert site.etags(f"{site.prefix}/candidates/night/runs/{run.primary_run_id}/")


@pytest.mark.parametrize("damage", [False, True])
def test_a_sync_and_a_backup_on_the_way_are_done_or_hold(site: Site, failback: Make, damage: bool) -> None:
    """What was asked for is copied without pointers, the backup is read; a damaged one holds until it is skipped.

    It is damaged on the way: what is damaged before is found by preflight.
    """
    backup = site.sandbox.backup_uri
    run = failback(
        sync="asked", sync_src_prefix=site.prefix, sync_dst_prefix="copies/jobintel",
        restore_check="asked", primary_restore_backup_uri=backup,
    )  # fmt: skip
    if damage:
        run.when_in("dr_frozen", lambda: site.flip(f"{backup.partition(f'{site.bucket}/')[2]}/state.tar.zst"))
    run.start()
    if damage:
        assert (run.state.status, run.state.state) == ("held", "sync_complete")
        assert "backup is damaged" in run.state.reason
        run.request("skip_restore_check")
    assert run.state.status == "complete", run.words
    copied = site.etags("copies/jobintel/")
    assert copied
    assert not [key for key in copied if "/state/" in key or "/latest/" in key or "/drfsm/" in key]
