"""Who drfsm is on a cluster, and by whose clock: kubeconfigs, tokens and their renewal, impersonation, certificates.

Real API servers on loopback: the sandbox's, or a small one that writes down what every request carried.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from drfsm.adapters.kube import KubeCluster
from drfsm.sandbox.kubernetes import EmulatedCluster


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One of the sandbox's clusters."""
    with EmulatedCluster("site", tmp_path_factory.mktemp("site"), {}) as cluster:
        yield cluster


def test_the_cluster_says_who_we_are_and_what_time_it_is(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The user is the one of its token, or the one that the kubeconfig says to be; the time is the server's."""
    cluster = KubeCluster("site", emulated.kubeconfig)
    assert cluster.now() is None, "nothing was asked yet"
    assert cluster.whoami() == "sandbox-operator"
    now = cluster.now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    config = yaml.safe_load(emulated.kubeconfig.read_bytes())
    config["current-context"] = "nowhere"
    (tmp_path / "kubeconfig.yaml").write_text(yaml.safe_dump(config))
    assert KubeCluster("site", tmp_path / "kubeconfig.yaml").whoami() == "untold"
