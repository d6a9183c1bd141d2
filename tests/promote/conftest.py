"""One sandbox a worker, DR validated beside; put back to that for each test; and the promotes that a test makes."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from drfsm.sandbox.seed import NAMESPACE
from tests.promote.world import Promote, Ready, validated
from tests.safety.world import Site

Make = Callable[..., Promote]


@pytest.fixture(scope="session")
def _ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    options = Options(bucket=f"promote-{uuid.uuid4().hex[:12]}", canonical="primary")
    with pytest.MonkeyPatch.context() as patched, Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        patched.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        patched.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        site = Site(sandbox)
        receipt = validated(site, tmp_path_factory.mktemp("validated"))
        for each in site.jobs("dr"):
            site.cluster("dr").store.delete("jobs", NAMESPACE, each["metadata"]["name"])
        site.delete(f"{site.prefix}/drfsm/ownership.json")
        yield Ready(Site(sandbox), receipt)


@pytest.fixture
def ready(_ready: Ready, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ready]:
    """Return two sites before any disaster, and the receipt of a validated run of DR."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    yield _ready
    _ready.site.reset()


@pytest.fixture
def site(ready: Ready) -> Site:
    """Return the two sites."""
    return ready.site


@pytest.fixture
def promote(ready: Ready, tmp_path: Path) -> Iterator[Make]:
    """Return what makes a run by the receipt, with these inputs; at the end each must hold before the audit."""
    made: list[Promote] = []

    def make(inputs: dict[str, Any] | None = None, **given: Any) -> Promote:
        found = Promote(ready.site, tmp_path / f"bundle-{len(made)}", inputs or ready.inputs(**given))
        made.append(found)
        return found

    yield make
    for each in made:
        each.close()
