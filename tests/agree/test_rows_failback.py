"""Every row of the failback that acts changes what it sets, and nothing else; cut off anywhere, it can be done again.

`make test` does each row once; `make agree` also cuts each action off at every write (``DRFSM_CUTS``).
"""

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.agree.rows import Kind, kinds_of, probed, served
from tests.safety.test_validation import ECR_IMAGE, pulls_by_an_expired_token, registry_gives_the_image
from tests.safety.world import SPEC, Failback, Site, inputs_of

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start two sites as after a promote."""
    options = Options(bucket=f"agree-{uuid.uuid4().hex[:12]}", runner=False, publish_reports=True, endpoints="weighted")
    with pytest.MonkeyPatch.context() as patched, Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        patched.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        patched.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        yield Site(sandbox)


@pytest.fixture(scope="module")
def seen() -> set[Kind]:
    """Return where the tests note which kinds of rows they saw."""
    return set()


@pytest.fixture
def site(sites: Site) -> Iterator[Site]:
    """Return them, and put them back."""
    yield sites
    sites.reset()


def test_a_failback_with_all_that_can_be_asked_for(site: Site, tmp_path: Path, seen: set[Kind]) -> None:
    """Fences, a half moved set, a copy, a new pull token, a second validation, a second soak, a teardown; names."""
    site.launch()
    roles = {"fence_primary_role": site.role("primary"), "fence_dr_role": site.role("dr")}
    run = Failback(site, tmp_path / "bundle", inputs_of(
        site, fence_primary="asked", fence_dr="asked", sync="asked", sync_src_prefix=f"{site.prefix}/runs",
        sync_dst_prefix="copies/runs", refresh_pull_secret="asked", image_ref=ECR_IMAGE, allow_image_drift="yes",
        soak="now", teardown="true", **roles, **served(site),
    ))  # fmt: skip
    pulls_by_an_expired_token(site)
    probe = probed(run)
    for key in site.pointer_keys()[2:]:
        older = partial(site.point, key, site.sandbox.primary_run_id, "2026-01-01T00:00:00Z")
        run.when("commit", "demote_dr", older)
    run.stop_after("lower_endpoint_ttl")
    run.start()
    assert run.state.state == "endpoint_ttl_lowered", run.words
    run.request("skip_cache_wait")
    assert (run.state.status, run.state.state) == ("held", "writes_settled"), run.words
    run.when("commit", "refresh_pull_secret", lambda: registry_gives_the_image(site))
    run.stop_after("await_validation")
    run.request("mend_pointers")
    assert run.state.state == "validation_finished", run.words
    run.stop_after("run_canary")
    run.request("retry_validation")
    assert run.state.state == "canary_tried", run.words
    run.stop_after("resume_primary")
    run.request("remove_canary")
    assert run.state.state == "primary_resumed", run.words
    run.request("retry_soak")
    assert run.state.status == "complete", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def test_a_failback_that_keeps_drs_run(site: Site, tmp_path: Path, seen: set[Kind]) -> None:
    """The runs differ, and the primary takes over without a switch of pointers; the end reads the alarms' history."""
    site.configure("primary", JOBINTEL_DIVERGE="other records")
    run = Failback(site, tmp_path / "bundle", inputs_of(site))
    probe = probed(run)
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_run_verified"), run.words
    run.request("keep_dr_run")
    assert run.state.status == "complete", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def test_every_kind_of_row_was_held_against_what_it_sets(seen: set[Kind]) -> None:
    """A new row with an action of its own needs a run that takes it."""
    if not seen:
        pytest.skip("the runs above were not asked for")
    assert kinds_of(SPEC) - seen == set()
