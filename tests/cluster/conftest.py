"""Real clusters for the tests of this folder. They run with ``make test-cluster``, which builds what they need.

Elsewhere (``make test``) they are shown as skipped, because a machine without Go must pass that.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from drfsm.sandbox import Options, RealSandbox, Sandbox
from tests.e2e.sites import MakeSite, Site, Sites

pytest.register_assert_rewrite("tests.e2e.test_kill_and_resume")

REAL = os.environ.get("DRFSM_KUBERNETES") == "real"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what lies here, unless real clusters were asked for."""
    if REAL:
        return
    here, why = Path(__file__).parent, pytest.mark.skip(reason="needs real clusters: make test-cluster")
    for each in items:
        if here in each.path.parents:
            each.add_marker(why)


class RealSites(Sites):
    """Makes sites on real clusters, and ends them."""

    def __call__(self, **options: Any) -> Site:
        """Return a seeded site with these options of the sandbox."""
        directory = self._directory / f"site-{len(self._made)}"
        sandbox = RealSandbox(directory, Options(bucket=f"real-{uuid.uuid4().hex[:16]}", **options)).start()
        # A Site uses of its clusters what both kinds have: kubeconfig, store.get, store.list, apply, faults.
        self._made.append(Site(cast("Sandbox", sandbox), directory))
        return self._made[-1]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Return what makes a site with these options, ended after the test."""
    sites = RealSites(tmp_path)
    yield sites
    sites.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Return a seeded site."""
    return make_site()
