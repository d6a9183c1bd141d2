"""Every row of the drill that acts changes what it sets, and nothing else; cut off anywhere, it can be done again.

`make test` does each row once; `make agree` also cuts each action off at every write (``DRFSM_CUTS``).
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from drfsm.dr.procedures.bindings import with_defaults
from drfsm.runs.children import ChildRuns, Verbs
from drfsm.runs.clusters import kubeconfig_of
from drfsm.runs.fetching import fetch_into
from drfsm.runs.invocation import Invocation
from drfsm.runs.wiring import resume_child, start_child
from drfsm.runs.world import connect
from drfsm.sandbox import Options, Sandbox
from drfsm.world import World
from tests.agree.cutting import Line, world_on
from tests.agree.rows import CUTS, Kind, Probe, kinds_of
from tests.drill.conftest import QUICK
from tests.drill.world import SPEC, Drill, Site, environment

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]
UNCUT: Mapping[str, str] = {
    "run_promotion": "it starts a run of its own, with ways of its own: tests/drill/test_kills.py",
    "finish_promotion": "likewise",
}
"""Actions that are not cut off here, and why."""
ELSEWHERE: Mapping[str, str] = {
    "finish_promotion": "a canonical promotion waits for an approval: tests/drill/test_canonical.py",
    "restore_state": "a pod writes the state into a volume, cut off there: tests/dr/test_backup_restore.py",
    "refresh_pull_secret": "the same action as the failback's, and the promote's: test_rows_failback.py",
}
"""Actions of which not every kind of row is taken here, and why."""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a sandbox before any disaster."""
    home = tmp_path_factory.mktemp("home")
    options = Options(bucket=f"agree-{uuid.uuid4().hex[:12]}", canonical="primary")
    more = {"DRFSM_HOME": str(home), "DRFSM_ALLOWED_ADDRESS": "203.0.113.7/32", "ALLOW_FULL_DRILL": "1"}
    with (
        Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox,
        environment(**{**sandbox.environment, **more}),
    ):
        yield Site(sandbox)


@pytest.fixture(scope="module")
def seen() -> set[Kind]:
    """Return where the tests note which kinds of rows they saw."""
    return set()


@pytest.fixture
def site(sites: Site) -> Iterator[Site]:
    """Return the sandbox, and put it back."""
    yield sites
    sites.reset()


def probed(run: Drill) -> Probe:
    """Have a probe listen to a drill, which has not started yet."""
    cuts = bool(os.environ.get(CUTS))
    probe = Probe(SPEC, run.clock, partial(_looking, run), partial(_way, run), cuts=cuts, uncut=UNCUT)
    run._hooks.append((probe.heard, lambda: None))
    return probe


def _looking(run: Drill) -> World:
    """Return the drill's world as a new process has it."""
    world, _ = connect(with_defaults("drill", run.inputs), "", run.directory, run.id)
    children = ChildRuns(
        run.directory, run.id, Invocation("ann"), kubeconfig_of(run.inputs, run.directory),
        Verbs(start_child, resume_child, fetch_into),
    )  # fmt: skip
    return evolve(world, store=run.site.store, procedures=children)


def _way(run: Drill, line: Line) -> AbstractContextManager[World]:
    kubeconfig = kubeconfig_of(run.inputs, run.directory)
    kubeconfigs = {"dr": kubeconfig} if kubeconfig.is_file() else {}
    return world_on(line, run.site.sandbox.cloud.endpoint, run.inputs, kubeconfigs, run.directory, run.id)


def test_a_whole_drill(site: Site, tmp_path: Path, seen: set[Kind]) -> None:
    """A site of its own: restored, validated, rehearsed, and taken down."""
    promotes = ("--auto-promote", "true", "--allow-promote-bypass", "true")
    run = Drill(site, tmp_path / "bundle", ("--backup-uri", site.backup_uri, *QUICK, *promotes))
    probe = probed(run)
    run.start()
    assert run.state.status == "complete", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def test_a_drill_that_goes_on_with_an_earlier_ones_site(site: Site, tmp_path: Path, seen: set[Kind]) -> None:
    """It adopts the machine; its validation runs out of memory once, and is removed."""
    first = Drill(site, tmp_path / "first", ("--backup-uri", site.backup_uri, *QUICK, "--stop-after", "bringup"))
    assert first.start().status == "complete", first.words
    fails = ("--validation-env", "SANDBOX_DIE_AFTER=artifacts", "--max-attempts", "2", "--teardown", "true")
    options = ("--receipt-dir", str(first.directory), "--start-at", "restore", "--stop-after", "validate", *fails)
    run = Drill(site, tmp_path / "second", ("--backup-uri", site.backup_uri, *QUICK, *options))
    probe = probed(run)
    run.start()
    assert run.state.status == "failed", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def test_every_kind_of_row_was_held_against_what_it_sets(seen: set[Kind]) -> None:
    """A new row with an action of its own needs a run that takes it."""
    if not seen:
        pytest.skip("the runs above were not asked for")
    assert {kind for kind in kinds_of(SPEC) - seen if kind[0] not in ELSEWHERE} == set()
