"""One sandbox a worker, put back to its start for each test; and the runs that a test makes on it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.safety.world import Failback, Site, inputs_of

Make = Callable[..., Failback]


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # With reports, so that damage is damage by the run's own word; test_runs.py goes without.
    options = Options(bucket=f"safety-{uuid.uuid4().hex[:12]}", runner=False, publish_reports=True)
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        yield Site(sandbox)


@pytest.fixture
def site(_sandbox: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Return two sites as after a promote: DR publishes, the primary is frozen."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    yield _sandbox
    _sandbox.reset()


@pytest.fixture
def failback(site: Site, tmp_path: Path) -> Iterator[Make]:
    """Return what makes a run with these inputs; at the end of the test each must hold before the audit."""
    made: list[Failback] = []

    def make(**inputs: Any) -> Failback:
        found = Failback(site, tmp_path / f"bundle-{len(made)}", inputs_of(site, **inputs))
        made.append(found)
        return found

    yield make
    for each in made:
        each.close()
