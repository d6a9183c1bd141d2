"""A site's kubeconfig is fetched from its machine: whole, for its owner alone, and never printed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from drfsm.adapters.kube import KubeCluster
from drfsm.adapters.site_kubeconfig import HERE
from drfsm.cli.main import run
from drfsm.sandbox import remote_commands
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.sandbox.kubernetes import EmulatedCluster

MACHINE = "i-0123456789abcdef0"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """One cluster that a machine carries."""
    with EmulatedCluster("dr", tmp_path_factory.mktemp("dr"), {}) as started:
        yield started


@pytest.fixture
def argv(cluster: EmulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the command that fetches that cluster's kubeconfig from its machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "operator")
    with Cloud() as cloud:
        remote_commands.furnish(tmp_path / "machine", cluster.kubeconfig.read_bytes())
        remote_commands.offer(cloud.account, MACHINE, tmp_path / "machine")
        where = ["--endpoint-url", cloud.endpoint, "--region", REGION]
        yield ["kubeconfig", "--instance-id", MACHINE, "--file", str(tmp_path / "dr.yaml"), *where, "-o", "json"]
        remote_commands.withdraw(cloud.account, MACHINE)


def test_it_is_fetched_and_leads_to_the_site(
    argv: list[str], cluster: EmulatedCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is the owner's alone and works; what is there already is not written over."""
    assert run(argv) == 0
    told = capsys.readouterr()
    file = Path(json.loads(told.out)["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert KubeCluster("dr", file).uid() == cluster.uid
    token = file.read_text().split("token: ")[1].split()[0]
    assert token not in told.out + told.err
    before = file.read_bytes()
    assert run(argv) == 2
    assert file.read_bytes() == before
    assert run([*argv[:3], "--file", str(tmp_path / "x"), *argv[5:], "--expect-account", "999999999999"]) == 3


def test_a_loopback_address_that_no_machine_proves_leaves_no_file(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere than on this machine the address must be proven: held with the mend, and nothing is written."""
    monkeypatch.setenv(HERE, "")
    assert run(argv) == 3
    assert "no address of the site is proven by a certificate" in capsys.readouterr().err
    assert not (tmp_path / "dr.yaml").exists()
    assert run([*argv, "--path", "/etc/rancher/k3s/other.yaml"]) == 9
