"""An abort gives back what was changed, newest first, and leaves DR exactly as it was; wherever it is killed.

Every case ends with the world that it found, so all of them share one sandbox.
"""

import json
from typing import Any

import pytest

from drfsm.errors import ExitCode
from tests.e2e.sites import SECOND, OnCluster, Place, Site, at, at_undo, at_write

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CRONJOB = ("--cronjob", "jobintel-daily")
UNDOS = (
    "switch_provider_pointers", "enable_primary_publish", "publish_artifacts", "start_validation", "demote_dr",
    "freeze_dr",
)  # fmt: skip
MIDDLES: dict[str, Place] = {
    "enable_primary_publish": OnCluster("primary", "PATCH", "configmaps/jobintel-config", "before"),
    "demote_dr": OnCluster("dr", "PATCH", "configmaps/jobintel-config", "after"),
    "freeze_dr": OnCluster("dr", "PATCH", f"cronjobs/{SECOND}", "before"),
}


def middle_of_undo(of: str) -> Place:
    """Return a place among the writes with which a row's change is given back."""
    parts = {
        "switch_provider_pointers": "state/openai/cs/last_success.json",
        "publish_artifacts": "jobintel/runs/",
        "start_validation": "jobintel/validations/",
    }
    if of not in parts:
        return MIDDLES[of]
    return at_write(parts[of], "before", 1 if of == "switch_provider_pointers" else 2)


def as_found(site: Site) -> dict[str, Any]:
    """Return all that an abort gives back: pointers, schedules, switches, and every object but drfsm's own."""
    pointers = site.pointers()
    others = {key: etag for key, etag in site.objects().items() if "/drfsm/" not in key and key not in pointers}
    jobs, _ = site.sandbox.primary.store.list("jobs", "jobintel")
    return {
        "pointers": pointers, "sites": site.sites(), "objects": others,
        "jobs": [each["metadata"]["name"] for each in jobs],
    }  # fmt: skip


def assert_aborted(site: Site, before: dict[str, Any]) -> None:
    """Assert that a run is over, that the world is as it was, and that it is said what was not given back."""
    assert as_found(site) == before
    assert site.owner() == "dr"
    summary = site.summary()
    assert (summary["status"], summary["state"], summary["reason"]) == ("aborted", "aborted", "second thoughts")
    assert "the primary's schedules stay suspended: with them on, it could publish beside DR" in summary["kept"]
    told = site.run("status", str(site.bundle))
    assert "not undone, on purpose: the primary's schedules stay suspended" in told.out
    assert json.loads(site.body("jobintel/drfsm/lease.json"))["held"] is False
    told = site.run("replay", str(site.bundle), "--quiet")
    assert told.code == ExitCode.DONE, told


@pytest.fixture
def site(shared: Site) -> Site:
    """Return the shared site, with a bundle of its own for the run."""
    shared.fresh()
    return shared


@pytest.mark.parametrize("place", ["before its intent", "among its writes", "before its commit"])
def test_an_abort_that_is_killed_in_every_undo_gives_all_of_it_back(site: Site, place: str) -> None:
    """Killed at the same place of every undo, gone on with by resume and by abort: DR is exactly as before."""
    before = as_found(site)
    site.killed(site.failback(*CRONJOB), at("intent", "switch_global_pointer", "before"))
    abort = ["abort", str(site.bundle), "--reason", "second thoughts"]
    command = abort
    for number, undo in enumerate(UNDOS):
        kind = {"before its intent": "intent", "before its commit": "commit"}.get(place)
        deadly = at_undo(undo, kind, "before") if kind else middle_of_undo(undo)
        site.killed(command, deadly)
        command = abort if number % 2 else ["resume", str(site.bundle)]
    told = site.run(*command)
    assert told.code == ExitCode.ABORTED, told
    assert_aborted(site, before)
    commits = (each["body"] for each in site.records() if each["kind"] == "commit")
    undone = [each["undoes"] for each in commits if "undoes" in each]
    assert [row.split(" --")[1].split("--> ")[0] for row in undone] == list(UNDOS)


CRASHES: dict[str, Place] = {
    "between the two freezes": OnCluster("dr", "PATCH", f"cronjobs/{SECOND}", "before"),
    "when the validation Job was made": OnCluster("primary", "POST", "namespaces/jobintel/jobs", "after"),
    "among the artifacts": at_write("jobintel/runs/", "before", 2),
    "between the provider pointers": at_write("state/openai/cs/last_success.json", "before"),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_after_a_crash_an_abort_gives_half_of_an_action_back_too(site: Site, crash: str) -> None:
    """Killed in the middle of an action, then aborted instead of resumed: DR exactly as before, exit 10."""
    before = as_found(site)
    site.killed(site.failback(*CRONJOB), CRASHES[crash])
    told = site.run("abort", str(site.bundle), "--reason", "second thoughts")
    assert told.code == ExitCode.ABORTED, told
    assert_aborted(site, before)


def test_another_cluster_under_a_site_s_name_is_given_nothing_back(site: Site) -> None:
    """Aborted with DR's kubeconfig as the primary's, and the other way round: held, nothing changed; then as usual."""
    before = as_found(site)
    site.killed(site.failback(*CRONJOB), at("commit", "demote_dr", "after"))
    frozen = site.sites()
    dr, primary = str(site.sandbox.dr.kubeconfig), str(site.sandbox.primary.kubeconfig)
    for wrong in (("--kubeconfig-dr", primary), ("--kubeconfig-primary", dr, "--kubeconfig-dr", primary)):
        told = site.run("abort", str(site.bundle), "--reason", "second thoughts", *wrong)
        assert told.code == ExitCode.HELD, told
        assert "leads to the cluster" in told.err
        assert "--kubeconfig-dr" in told.err
        assert site.sites() == frozen
    told = site.run("resume", str(site.bundle))
    assert told.code == ExitCode.ABORTED, told
    assert_aborted(site, before)
