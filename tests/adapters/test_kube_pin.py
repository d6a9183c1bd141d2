"""A resumed run works on the clusters that it began with: another one under a site's name is asked its UID, no more.

Small API servers on loopback that write down what every request was.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ActionFailed
from drfsm.runs.clusters import SiteCluster, pinned
from tests.bench.answering import Answering, Request, Told, told

CHANGE = {"spec": {"suspend": True}}


def cluster_with(uid: str) -> Answering:
    """Return a server that has a namespace kube-system with this UID, and one ConfigMap."""

    def answer(request: Request) -> Told:
        kind, name = ("Namespace", "kube-system") if "kube-system" in request.path else ("ConfigMap", "x")
        place = {"namespace": "ns"} if kind == "ConfigMap" else {}
        stored = {"uid": uid, "resourceVersion": "1", "creationTimestamp": "2026-02-27T00:22:29Z"}
        return told({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **place, **stored}})

    return Answering(answer)


@pytest.fixture
def servers() -> Iterator[tuple[Answering, Answering]]:
    """Serve two clusters: ours, and a stranger."""
    with ExitStack() as stack:
        yield stack.enter_context(cluster_with("ours")), stack.enter_context(cluster_with("stranger"))


@pytest.mark.parametrize(
    "results",
    [
        {"run_preflight": {"clusters": {"primary": "other", "dr": "ours"}}},
        {"reach_site": {"cluster_uid": "ours"}},
        {"adopt_site": {"cluster_uid": "ours"}},
    ],
    ids=lambda results: next(iter(results)),
)
def test_a_resume_with_another_kubeconfig_of_dr_changes_nothing(
    results: dict[str, Any], servers: tuple[Answering, Answering], tmp_path: Path
) -> None:
    """Whichever step recorded the UID: the stranger is asked who it is, and for nothing else; ours is worked on."""
    ours, stranger = servers
    cluster = pinned(SiteCluster(stranger.kubeconfig(tmp_path)), "dr", results)
    calls: list[Callable[[], object]] = [
        lambda: cluster.get("ConfigMap", "ns", "x"),
        lambda: cluster.patch("ConfigMap", "ns", "x", CHANGE),
    ]
    for call in calls:
        with pytest.raises(ActionFailed, match="leads to the cluster stranger, and this run works on ours") as fault:
            call()
        assert "--kubeconfig-dr" in fault.value.what
    assert {request.path for request in stranger.seen} == {"/api/v1/namespaces/kube-system"}
    cluster = pinned(SiteCluster(ours.kubeconfig(tmp_path)), "dr", results)
    cluster.patch("ConfigMap", "ns", "x", CHANGE)
    assert [request.method for request in ours.seen] == ["GET", "PATCH"]


def test_a_kubeconfig_that_becomes_another_in_the_middle_is_noticed_before_the_next_call(
    servers: tuple[Answering, Answering], tmp_path: Path
) -> None:
    """A repair fetches DR's kubeconfig again: when it leads elsewhere, nothing is written there; ours goes on."""
    ours, stranger = servers
    cluster = pinned(SiteCluster(ours.kubeconfig(tmp_path)), "dr", {"reach_site": {"cluster_uid": "ours"}})
    cluster.patch("ConfigMap", "ns", "x", CHANGE)
    stranger.kubeconfig(tmp_path)
    with pytest.raises(ActionFailed, match="leads to the cluster stranger"):
        cluster.patch("ConfigMap", "ns", "x", CHANGE)
    assert {request.method for request in stranger.seen} == {"GET"}
    ours.kubeconfig(tmp_path)
    cluster.patch("ConfigMap", "ns", "x", CHANGE)
    assert [request.method for request in ours.seen] == ["GET", "PATCH", "GET", "PATCH"]


def test_a_run_that_knows_no_cluster_yet_is_held_to_none(servers: tuple[Answering, Answering], tmp_path: Path) -> None:
    """Before preflight, and in a dry run that reached no site, any cluster is taken."""
    ours, _ = servers
    for results in ({}, {"reach_site": {"cluster_uid": "not evaluated: a dry run reaches no site"}}):
        cluster = pinned(SiteCluster(ours.kubeconfig(tmp_path)), "dr", results)
        cluster.patch("ConfigMap", "ns", "x", CHANGE)
    assert {request.method for request in ours.seen} == {"PATCH"}
