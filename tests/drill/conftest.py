"""One sandbox a worker, put back to its start for each test; and the drills that a test makes on it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drfsm.sandbox import Options, Sandbox
from tests.drill.world import Drill, Site, environment

Make = Callable[..., Drill]
QUICK = ("--boot-timeout", "30", "--reach-timeout", "30", "--site-timeout", "30", "--startup-timeout", "60")


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    options = Options(bucket=f"drill-{uuid.uuid4().hex[:12]}", canonical="primary")
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        yield Site(sandbox)


@pytest.fixture(scope="session")
def _home(_sandbox: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    more = {"DRFSM_HOME": str(home), "DRFSM_ALLOWED_ADDRESS": "203.0.113.7/32", "ALLOW_FULL_DRILL": "1"}
    with environment(**{**_sandbox.sandbox.environment, **more}):
        yield home


@pytest.fixture
def site(_sandbox: Site, _home: Path) -> Iterator[Site]:
    """Return two sites before any disaster: the primary publishes, DR stands by."""
    yield _sandbox
    _sandbox.reset()


@pytest.fixture
def drill(site: Site, tmp_path: Path) -> Iterator[Make]:
    """Return what makes a drill with these options; at the end of the test each must hold before the audit."""
    made: list[Drill] = []

    def make(*argv: str, backup: str | None = None, bundle: str = "") -> Drill:
        uri = ("--backup-uri", site.backup_uri if backup is None else backup)
        found = Drill(site, tmp_path / (bundle or f"bundle-{len(made)}"), (*uri, *QUICK, *argv))
        made.append(found)
        return found

    yield make
    for each in made:
        each.close()
