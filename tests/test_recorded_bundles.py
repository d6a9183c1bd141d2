"""What an earlier version wrote is still told, replayed, audited, and gone on with, to its end."""

import shutil
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.cli.main import run as drfsm
from drfsm.errors import ExitCode
from drfsm.journal import fold
from tests.recorded import World, recorded

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]


def named(bundle: Path) -> str:
    """Return what a test of a bundle is called."""
    return f"{bundle.parent.name}-{bundle.name}"


@pytest.fixture(params=recorded(), ids=named)
def bundle(request: pytest.FixtureRequest) -> Path:
    """Return each recorded bundle."""
    return Path(request.param)


def test_a_recorded_run_goes_on_to_its_end(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken up where it was interrupted, on another machine and in a world like that of then: it is complete."""
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    before = fold(read_chain(place).records)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    with World(bundle, tmp_path / "world") as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        kubeconfigs = [
            word
            for site, cluster in world.clusters.items()
            if before.inputs.get(f"kubeconfig_{site}")
            for word in (f"--kubeconfig-{site}", str(cluster.kubeconfig))
        ]
        assert drfsm(["resume", str(place), "--take-over", before.run_id, *kubeconfigs]) == ExitCode.DONE
        assert world.alive() == set()
    assert fold(read_chain(place).records).status == "complete"
