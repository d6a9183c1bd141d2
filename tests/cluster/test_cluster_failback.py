"""A whole failback and its abort, on real clusters."""

import json

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import Site, at

pytestmark = pytest.mark.sandbox


def test_a_failback_makes_the_primary_canonical_again(site: Site) -> None:
    """As the README has it: the primary owns and publishes, DR is frozen and gone, and the evidence holds."""
    told = site.run(*site.failback("-o", "json"))
    assert (told.code, told.summary["status"], told.summary["state"]) == (ExitCode.DONE, "complete", "complete"), told
    run_ids = {each["run_id"] for each in site.pointers().values()}
    assert len(run_ids) == 1
    assert not run_ids & {site.sandbox.dr_run_id, site.sandbox.primary_run_id}
    assert (site.owner(), site.sandbox._runner_state()) == ("primary", "terminated")
    primary, dr = site.sites()["primary"], site.sites()["dr"]
    assert (primary["cronjobs"]["jobintel-daily"], dr["cronjobs"]["jobintel-daily"][0]) == ([False, {}], True)
    assert (primary["config"][0]["PUBLISH_S3"], dr["config"][0]["PUBLISH_S3"]) == ("1", "0")
    assert site.run("replay", str(site.bundle), "--quiet").code == ExitCode.DONE


@pytest.mark.parametrize("row", ["demote_dr", "publish_artifacts"])
def test_an_aborted_failback_leaves_both_sites_as_they_were(site: Site, row: str) -> None:
    """Killed before the switch and aborted, also with a kill in the abort: schedules, switches, pointers as before."""
    before = site.sites(), site.pointers()
    site.killed(site.failback(), at("commit", row, "before"))
    assert site.sites() != before[0]
    site.killed(["abort", str(site.bundle), "--reason", "a test"], at("commit", "undo_newest", "before"))
    told = site.run("abort", str(site.bundle), "--reason", "a test")
    assert told.code == ExitCode.ABORTED, told
    assert json.loads((site.bundle / "failback.summary.json").read_bytes())["status"] == "aborted"
    assert (site.sites(), site.pointers()) == before
    assert site.run("replay", str(site.bundle), "--quiet").code == ExitCode.DONE
