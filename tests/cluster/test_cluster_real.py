"""A real cluster is started fast, broken on command, and never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.errors import Unreachable
from drfsm.sandbox import Options, down, status, up
from drfsm.sandbox.controlplane import RealCluster
from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.errors import ApiUnreachable, UsageError
from drfsm.sandbox.kubernetes.faults import Mode
from drfsm.sandbox.lifecycle import _born

IMAGES = {"registry.example/shell": ["/bin/sh", "-c"]}
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Return one real cluster for all tests here."""
    with RealCluster("real", tmp_path_factory.mktemp("real"), IMAGES) as started:
        yield started


def eventually(true: Any, seconds: float = 60) -> Any:
    """Return what becomes true in time, or what it was last."""
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return now


def config_map(name: str, **data: str) -> Manifest:
    """Return a ConfigMap in the namespace default."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def programs_below(directory: Path) -> list[int]:
    """Return the processes of control planes below a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{directory}/" in words and _born(int(entry.parent.name)):
            found.append(int(entry.parent.name))
    return found


def test_it_has_an_identity_and_a_node(cluster: RealCluster) -> None:
    """Its uid is that of kube-system, as drfsm reads it through the kubeconfig; its one node is ready."""
    assert KubeCluster("real", cluster.kubeconfig).uid() == cluster.uid
    (node,), _ = cluster.store.list("nodes")
    assert {each["type"]: each["status"] for each in node["status"]["conditions"]}["Ready"] == "True"


def test_apply_creates_and_replaces(cluster: RealCluster) -> None:
    """The second apply replaces the first one's data; a kind that nobody speaks is refused."""
    cluster.apply(config_map("applied", a="1"))
    assert cluster.apply(config_map("applied", b="2"))["data"] == {"b": "2"}
    with pytest.raises(UsageError):
        cluster.apply({"apiVersion": "v1", "kind": "Gizmo", "metadata": {"name": "x"}})


def test_an_outage_cuts_what_is_open_refuses_what_is_new_and_passes(cluster: RealCluster) -> None:
    """A watch ends, a read is unreachable, ``store`` still sees behind; afterwards everything goes on."""
    client, seen = KubeCluster("real", cluster.kubeconfig), Client(cluster.kubeconfig)
    uid = client.uid()
    watch = seen.watch("configmaps", "default", seen.list("configmaps", "default")[1])
    cluster.apply(config_map("before-the-outage"))
    assert next(watch).object["metadata"]["name"] == "before-the-outage"
    cluster.outage(on=True)
    try:
        with suppress(ApiUnreachable):  # a watch may break off, or just end
            assert list(watch) == []
        with pytest.raises(Unreachable):
            client.get("Namespace", "", "default")
        assert cluster.store.get("namespaces", "", "kube-system")["metadata"]["uid"] == uid
    finally:
        cluster.outage(on=False)
    assert client.get("Namespace", "", "default") is not None
    seen.close()


def test_pods_outlive_an_outage_and_are_told_of_after_it(cluster: RealCluster) -> None:
    """A pod that ends while the site is lost is Succeeded once it is back."""
    container = {"name": "main", "image": "registry.example/shell:1", "args": ["sleep 1"]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "outlives"}, "spec": spec})

    def phase() -> str:
        return str(cluster.store.get("pods", "default", "outlives")["status"].get("phase"))

    assert eventually(lambda: phase() == "Running")
    cluster.outage(on=True)
    time.sleep(1.5)
    assert phase() == "Running"
    cluster.outage(on=False)
    assert eventually(lambda: phase() == "Succeeded")


def test_faults_are_met_before_or_after_the_real_server_did_it(cluster: RealCluster) -> None:
    """A refusal, a cut connection and a lost answer are made on command; only the last leaves its write behind."""
    client = KubeCluster("real", cluster.kubeconfig)
    body = {**config_map("faulty"), "metadata": {"name": "faulty", "namespace": "default"}}
    cluster.faults.add("POST", "configmaps", status=503)
    with pytest.raises(Unreachable, match="503"):
        client.create(body)
    modes: tuple[tuple[Mode, bool], ...] = (("reset", False), ("reset-after-commit", True))
    for mode, kept in modes:
        cluster.faults.add("POST", "configmaps", status=mode)
        with pytest.raises(Unreachable):
            KubeCluster("real", cluster.kubeconfig).create(body)
        assert (client.get("ConfigMap", "default", "faulty") is not None) is kept
    assert not cluster.faults.pending


def test_a_silent_node_is_unknown_to_the_real_controllers(cluster: RealCluster) -> None:
    """``node_lost`` shows Ready Unknown at once, and ``node_ready`` what it says."""

    def ready() -> str:
        (node,), _ = cluster.store.list("nodes")
        return {each["type"]: str(each["status"]) for each in node["status"]["conditions"]}["Ready"]

    cluster.node_lost(lost=True)
    assert ready() == "Unknown"
    cluster.node_lost(lost=False)
    assert eventually(lambda: ready() == "True")
    cluster.node_ready(ready=False)
    assert ready() == "False"
    cluster.node_ready(ready=True)
    assert eventually(lambda: ready() == "True")


def test_an_unknown_token_opens_nothing(cluster: RealCluster) -> None:
    """Whoever has no token of the cluster's file is refused, even on loopback."""
    with pytest.raises(urllib.error.URLError):  # nor does it speak to who doesn't know its authority
        urllib.request.urlopen(f"{cluster.server}/api/v1/namespaces", timeout=5)  # noqa: S310  https
    for path in (cluster.kubeconfig, cluster.directory / "control-plane/tokens.csv"):
        assert path.stat().st_mode & 0o077 == 0


def test_stop_ends_every_program(tmp_path: Path) -> None:
    """After stop no process of the control plane is left."""
    with RealCluster("stops", tmp_path, IMAGES) as started:
        assert len(programs_below(tmp_path)) >= 3
        assert started.pids
    assert programs_below(tmp_path) == []
    assert not (tmp_path / "control-plane/etcd").exists()


def test_a_killed_test_leaves_no_program_behind(tmp_path: Path) -> None:
    """After SIGKILL of the process that holds the cluster, its programs are gone within moments."""
    script = f"""
        import sys, time
        from pathlib import Path
        from drfsm.sandbox.controlplane import RealCluster
        with RealCluster("killed", Path({str(tmp_path)!r}), {{}}):
            print("up", flush=True)
            time.sleep(600)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        assert len(programs_below(tmp_path)) >= 3
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert eventually(lambda: programs_below(tmp_path) == [])


def test_a_sandbox_in_the_background_on_real_clusters(tmp_path: Path) -> None:
    """``up`` is ready with both sites on real clusters, ``status`` knows it, ``down`` leaves no process behind."""
    state = up(tmp_path, Options(kubernetes="real", bucket="background"))
    try:
        assert (state.kubernetes, status(tmp_path).running) == ("real", True)
        uids = {KubeCluster("site", Path(each)).uid() for each in (state.kubeconfig_primary, state.kubeconfig_dr)}
        assert len(uids) == 2
        assert len(programs_below(tmp_path)) >= 6
    finally:
        assert down(tmp_path)
    assert programs_below(tmp_path) == []
