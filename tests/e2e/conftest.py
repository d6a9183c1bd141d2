"""Fixtures: a whole world for each test, see sites.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sites import MakeSite, Site, Sites


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Return what makes a site with these options, ended after the test."""
    sites = Sites(tmp_path)
    yield sites
    sites.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Return a seeded site."""
    return make_site()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site for all tests of a module that leave the world as they found it; with a second CronJob."""
    sites = Sites(tmp_path_factory.mktemp("shared"))
    site = sites()
    site.second_cronjob()
    yield site
    sites.close()
