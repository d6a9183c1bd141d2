"""Swapped kubeconfigs are told as that, by whatever knows the clusters, and nothing waives it."""

import json

import pytest

from drfsm.dr.sites import roles
from tests.safety.conftest import Make
from tests.safety.world import Failback, Site


def swapped(site: Site, make: Make) -> Failback:
    """Return a failback whose operator took one kubeconfig for the other, and adopts what that leads to."""
    primary, dr = (str(site.cluster(name).kubeconfig) for name in ("primary", "dr"))
    return make(kubeconfig_primary=dr, kubeconfig_dr=primary, adopt_ownership="yes", reason="promoted by hand")


def owned_by(site: Site, name: str, uid: str) -> None:
    """Write the ownership object as a promote, or a failback, leaves it."""
    owner = {"schema_version": 1, "site": name, "cluster_uid": uid, "epoch": 1, "run": "promote-1", "nonce": "n"}
    site.store.put(f"{site.prefix}/drfsm/ownership.json", json.dumps(owner).encode())


def uid_of(site: Site, name: str) -> str:
    """Return the UID of a site's cluster."""
    return str(site.cluster(name).store.get("namespaces", "", "kube-system")["metadata"]["uid"])


@pytest.mark.parametrize("owner", ["dr", "primary"])
def test_the_owner_of_the_pointers_is_known_by_its_cluster(site: Site, failback: Make, owner: str) -> None:
    """After a promote, and after a failback: a dry run and a start are refused, with --adopt-ownership."""
    owned_by(site, owner, uid_of(site, owner))
    dry = swapped(site, failback)
    dry.dry_run()
    assert dry.state.status == "refused", dry.words
    run = swapped(site, failback)
    before = site.touchable("primary"), site.touchable("dr")
    run.start()
    assert run.state.status == "refused", run.words
    assert "clusters is swapped" in run.state.reason
    assert "leads to the cluster that the ownership object knows as" in run.state.reason
    assert (site.touchable("primary"), site.touchable("dr")) == before


def test_an_earlier_run_knows_both_clusters(site: Site, failback: Make) -> None:
    """Nobody owns the pointers yet; the records of a run that was aborted after its preflight name both."""
    earlier = failback()
    earlier.mirrored = True
    earlier.stop_after("run_preflight")
    earlier.start()
    earlier.abort()
    run = swapped(site, failback)
    run.start()
    assert run.state.status == "refused", run.words
    assert f"the run {earlier.id} knows as dr and primary" in run.state.reason
    right = failback()
    right.dry_run()
    assert "swapped" not in right.state.reason


def test_a_cluster_that_was_built_anew_is_not_swapped(site: Site, failback: Make) -> None:
    """The owner's cluster is gone, and its successor is known to nobody."""
    owned_by(site, "dr", "a-cluster-that-is-gone")
    run = failback(adopt_ownership="yes", reason="DR was built anew")
    run.dry_run()
    assert "swapped" not in run.state.reason


@pytest.mark.parametrize(
    ("seen", "value"),
    [
        ({"primary": "a", "dr": "b"}, "distinct"),
        ({"primary": "a", "dr": "a"}, "same"),
        ({"primary": "a", "dr": "b", "known": {"dr": "b"}}, "distinct"),
        ({"primary": "a", "dr": "b", "known": {"dr": "a"}}, "swapped"),
        ({"primary": roles.LEFT_ALONE, "dr": "b", "known": {"primary": "b"}}, "swapped"),
        ({"primary": "a", "dr": roles.LOST, "known": {"dr": "a", "primary": "c"}}, "swapped"),
        ({"primary": roles.LOST, "dr": "b", "known": {"dr": "c"}}, "distinct"),
    ],
)
def test_what_was_seen_alone_decides(seen: dict[str, object], value: str) -> None:
    """An auditor judges it again from the record, also from an older one without what is known."""
    assert roles.judge(seen) == value
