"""Every row of the promote that acts changes what it sets, and nothing else; cut off anywhere, it can be done again.

`make test` does each row once; `make agree` also cuts each action off at every write (``DRFSM_CUTS``).
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from drfsm.engine.runner import new_run_id
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from drfsm.sandbox.seed import NAMESPACE
from tests.agree.rows import Kind, kinds_of, probed, served
from tests.promote.world import SPEC, Promote, Ready, own, validated
from tests.safety.test_validation import ECR_IMAGE, pulls_by_an_expired_token
from tests.safety.world import Site

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """Start two sites before any disaster, with a validated run of DR beside."""
    options = Options(bucket=f"agree-{uuid.uuid4().hex[:12]}", canonical="primary", endpoints="weighted")
    with pytest.MonkeyPatch.context() as patched, Sandbox(tmp_path_factory.mktemp("sandbox"), options) as sandbox:
        patched.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        patched.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        site = Site(sandbox)
        receipt = validated(site, tmp_path_factory.mktemp("validated"))
        for each in site.jobs("dr"):
            site.cluster("dr").store.delete("jobs", NAMESPACE, each["metadata"]["name"])
        site.delete(f"{site.prefix}/drfsm/ownership.json")
        yield Ready(Site(sandbox), receipt)


@pytest.fixture(scope="module")
def seen() -> set[Kind]:
    """Return where the tests note which kinds of rows they saw."""
    return set()


@pytest.fixture
def ready(kept: Ready) -> Iterator[Ready]:
    """Return the sites, and put them back."""
    yield kept
    kept.site.reset()


def test_a_promote_that_validates_by_itself(ready: Ready, tmp_path: Path, seen: set[Kind]) -> None:
    """A new pull token, a second validation, an approval; the primary is fenced, its users' name and writes move."""
    site, run_id = ready.site, new_run_id("promote")
    inputs = own(site, run_id, **ready.fence(), image_ref=ECR_IMAGE, allow_image_drift="yes",
                 refresh_pull_secret="asked", **served(site))  # fmt: skip
    run = Promote(site, tmp_path / "bundle", inputs, id=run_id)
    pulls_by_an_expired_token(site, "dr")
    probe = probed(run)
    run.when("commit", "refresh_pull_secret", lambda: gives_the_image(site))
    run.stop_after("await_validation")
    run.start()
    assert run.state.state == "validation_finished", run.words
    run.request("retry_validation")
    assert run.state.state == "dr_run_verified", run.words
    run.stop_after("run_canary")
    run.approve()
    assert run.state.state == "canary_tried", run.words
    run.request("remove_canary")
    assert run.state.status == "complete", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def gives_the_image(site: Site) -> None:
    """Let DR's nodes have the image now."""
    images = site.cluster("dr").images
    images[ECR_IMAGE.partition("@")[0]] = images["registry.example/jobintel"]


def test_a_rehearsal(ready: Ready, tmp_path: Path, seen: set[Kind]) -> None:
    """Below a drill's own prefix, by the receipt; the drill's own name is moved and led back."""
    inputs = ready.rehearsal("drill-20260227T002229Z-0f0f0f0f0f0f", **served(ready.site))
    run = Promote(ready.site, tmp_path / "bundle", inputs)
    probe = probed(run)
    run.start()
    assert run.state.status == "complete", run.words
    seen |= probe.seen
    assert not probe.findings, "\n".join(probe.findings)


def test_every_kind_of_row_was_held_against_what_it_sets(seen: set[Kind]) -> None:
    """A new row with an action of its own needs a run that takes it."""
    if not seen:
        pytest.skip("the runs above were not asked for")
    assert kinds_of(SPEC) - seen == set()
