"""What goes for every test: it talks to this machine alone, and fails for no reason of time."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from drfsm.adapters.site_kubeconfig import HERE

if TYPE_CHECKING:
    from drfsm.sandbox.cloud import Cloud

# The sandbox's machines have addresses that moto invents: nobody may be asked there whether a certificate proves them.
os.environ[HERE] = "1"

# Python keeps what it compiled, whatever the shell says: the tests start a thousand processes, and each of them would
# compile drfsm anew; each worker would rewrite every test's assertions.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("drfsm", deadline=None)  # a machine that has much to do is no fault
settings.load_profile("drfsm")


@pytest.fixture(scope="module")
def cloud() -> "Iterator[Cloud]":
    """Serve AWS for the tests of a module: what one leaves in an account, another does not see."""
    from drfsm.sandbox.cloud import Cloud

    with Cloud() as started:
        yield started


@pytest.fixture
def operator_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the keys of the sandbox's operator into the environment."""
    from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)


@pytest.fixture(scope="session")
def real_workload() -> Path:
    """Return the directory with what the real workload published; the tests of it are skipped where it is not."""
    beside = Path("shared") / "data" / "real-workload"
    found = next((folder / beside for folder in Path(__file__).parents[2:] if (folder / beside).is_dir()), None)
    if found is None:
        pytest.skip("the recorded data of the real workload is not beside the project, at ../shared/data/real-workload")
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KB; skip where this user may not."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what the collection made: modules and tests, which stay to the end."""
    gc.freeze()
