"""What is live is never restored over, validated on or taken down, whatever it is called and however it is reached."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest

from drfsm.dr.procedures import drill as rooms
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CRONJOB, NAMESPACE
from tests.drill.conftest import Make
from tests.drill.world import Drill, Site
from tests.safety.world import Killed

pytestmark = pytest.mark.sandbox
ON_PRIMARY = ("--start-at", "restore", "--stop-after", "restore")


@contextmanager
def edited(
    cluster: EmulatedCluster, plural: str, name: str, change: Callable[[dict[str, Any]], object]
) -> Iterator[None]:
    """Have an object otherwise for a while; then hold that nobody else changed it, and put it back."""
    before = deepcopy(cluster.store.get(plural, NAMESPACE, name))
    live = deepcopy(before)
    change(live)
    changed = cluster.store.update(plural, live) or cluster.store.get(plural, NAMESPACE, name)
    try:
        yield
        assert cluster.store.get(plural, NAMESPACE, name) == changed
    finally:
        now = cluster.store.get(plural, NAMESPACE, name)
        before["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
        cluster.store.update(plural, before)


def suspended(site: Site) -> Any:
    """Have the primary's schedule suspended for a while, as an operator does by hand."""
    return edited(site.sandbox.primary, "cronjobs", CRONJOB, lambda live: live["spec"].update(suspend=True))


def publishing(cluster: EmulatedCluster) -> Any:
    """Return the switches of a site."""
    data = cluster.store.get("configmaps", NAMESPACE, "jobintel-config")["data"]
    return data["PUBLISH_S3"], data["PUBLISH_S3_DRY_RUN"]


def test_a_live_site_is_not_taken_down_though_nobody_has_its_kubeconfig_here(site: Site, drill: Make) -> None:
    """An earlier drill's site that somebody promoted: it is asked who it is; silent, it counts as live all the same."""
    first = drill("--stop-after", "bringup", bundle="first")
    assert first.start().status == "complete"
    cluster = site.cluster(first.id)
    site.own(cluster.uid)
    shutil.rmtree(first.directory / "private")
    run = drill("--receipt-dir", str(first.directory), "--start-at", "teardown")
    state = run.start()
    assert (state.status, state.state) == ("held", "promotion_skipped"), run.words
    assert "site_ownership is canonical" in state.reason
    shutil.rmtree(run.directory / "private")
    cluster.outage(on=True)
    state = run.resume()
    assert (state.status, len(first.own)) == ("held", 1)
    assert "Unknown for that reason: site_ownership" in state.reason
    cluster.outage(on=False)
    site.own("another cluster")
    assert run.resume().status == "complete"
    assert first.own == []


@pytest.mark.parametrize(
    ("owner", "cluster", "runner", "ours", "verdict"),
    [
        (None, None, "not asked", None, "free"),
        ("unreadable", None, "present", "a", None),
        ("unreadable", None, "absent", None, "free"),
        ("dr", "a", "absent", None, "free"),
        ("dr", "a", "present", None, None),
        ("dr", None, "present", "a", None),
        ("dr", "a", "present", "b", "free"),
        ("dr", "a", "present", "a", "canonical"),
        ("primary", "a", "given", "a", "canonical"),
        ("primary", None, "given", "a", None),
        ("primary", "a", "present", None, "free"),
        ("primary", "a", "present", "a", "canonical"),
        ("elsewhere", "a", "given", "a", "canonical"),
    ],
)
def test_only_what_stands_nowhere_needs_not_be_told(
    owner: str | None, cluster: str | None, runner: str, ours: str | None, verdict: str | None
) -> None:
    """A site that may be the owner is free only where both clusters are known and differ, or nothing stands."""
    seen = {"site": owner, "cluster_uid": cluster, "runner": runner, "ours": ours}
    assert rooms.FACTS["site_ownership"].judge(seen, {}) == verdict


def test_the_canonical_primary_is_not_restored_over_while_its_schedule_rests(site: Site, drill: Make) -> None:
    """--kubeconfig that leads to the owner's cluster: refused by who it is, and nothing of it is changed."""
    primary = site.sandbox.primary
    site.own(primary.uid, site="primary")
    with suspended(site):
        run = drill("--kubeconfig", str(primary.kubeconfig), *ON_PRIMARY)
        state = run.start()
        assert (state.status, publishing(primary)) == ("failed", ("1", "0"))
        assert "site_is_not_canonical" in state.reason


def test_where_nobody_owns_a_site_that_publishes_is_not_restored_over(site: Site, drill: Make) -> None:
    """Publishing on is enough to be live, though every schedule is suspended."""
    primary = site.sandbox.primary
    with suspended(site):
        run = drill("--kubeconfig", str(primary.kubeconfig), *ON_PRIMARY)
        state = run.start()
        assert (state.status, publishing(primary)) == ("failed", ("1", "0"))
        assert "target_is_quiet" in state.reason
        assert "has publishing on" in state.reason


def test_a_schedule_that_is_on_is_enough_to_be_live(site: Site, drill: Make) -> None:
    """A site whose publishing rests, and whose CronJob runs, is not restored over."""
    standby = site.sandbox.dr
    with edited(standby, "cronjobs", CRONJOB, lambda live: live["spec"].update(suspend=False)):
        state = drill("--kubeconfig", str(standby.kubeconfig), *ON_PRIMARY).start()
        assert state.status == "failed"
        assert f"CronJob {CRONJOB} is on" in state.reason


def test_no_validation_runs_on_the_canonical_site(site: Site, drill: Make) -> None:
    """A quiet site that owns the pointers under whatever name gets no Job."""
    standby = site.sandbox.dr
    site.own(standby.uid, site="primary")
    jobs = {each["metadata"]["name"] for each in standby.store.list("jobs", NAMESPACE)[0]}  # of drills before this one
    state = drill("--kubeconfig", str(standby.kubeconfig), "--validate-only").start()
    assert state.status == "failed"
    assert "site_is_not_canonical" in state.reason
    assert {each["metadata"]["name"] for each in standby.store.list("jobs", NAMESPACE)[0]} <= jobs


class Cut(list[str]):
    """What a run said, up to the words at which the power was cut."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def append(self, words: str) -> None:
        """Take note, or die."""
        if self._words and words.startswith(self._words):
            self._words = ""
            raise Killed
        super().append(words)


@pytest.mark.parametrize("words", ["created ConfigMap", "created CronJob"])
def test_a_restore_that_was_cut_in_the_middle_goes_on(drill: Make, words: str) -> None:
    """What a drill restored itself, half of it, is never taken for a site at work; the phase shows two attempts."""
    run: Drill = drill("--stop-after", "restore", "--teardown", "true")
    run.said = Cut(words)
    run.killed(run.start)
    assert run.resume().status == "complete", run.words
    receipt = run.phase("restore")
    assert (receipt["attempts"], receipt["logs"][-1]) == (2, "restore.attempt-2.log")
    assert (run.directory / "phases/restore.attempt-2.log").is_file()
