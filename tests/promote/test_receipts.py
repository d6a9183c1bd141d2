"""The validation that a promote relies on: a receipt is checked and never believed; or DR is validated here."""

from copy import deepcopy
from typing import Any

import pytest

from drfsm.dr.layout import Layout
from drfsm.dr.sites.fence_statement import statement
from drfsm.engine.runner import new_run_id
from drfsm.sandbox.seed import IMAGE_REF
from tests.promote.conftest import Make
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import Promote, Ready, own
from tests.safety.test_validation import ECR_IMAGE, pulls_by_an_expired_token
from tests.safety.world import Site


def refused(site: Site, run: Promote) -> str:
    """Start a run that must be refused with nothing moved; return why."""
    before = (site.pointers(), site.touchable("primary"), site.touchable("dr"), site.statements(), site.owner())
    run.start()
    assert run.state.status == "refused", run.words
    assert (
        site.pointers(), site.touchable("primary"), site.touchable("dr"), site.statements(), site.owner()
    ) == before  # fmt: skip
    return run.state.reason


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another cluster": ({"cluster_uid": "0b0b"}, "cluster_uid is '0b0b' in the receipt"),
    "the other site": ({"site": "primary"}, "site is 'primary' in the receipt"),
    "another bucket": ({"bucket": "elsewhere"}, "bucket is 'elsewhere' in the receipt"),
    "another prefix": ({"prefix": "other"}, "prefix is 'other' in the receipt"),
    "another namespace": ({"namespace": "other"}, "namespace is 'other' in the receipt"),
    "another candidate": ({"candidate": "c2"}, "candidate is 'c2' in the receipt"),
    "another run": ({"run_id": "2026-01-01"}, "run_id is '2026-01-01' in the receipt"),
    "another place": ({"staged_prefix": "jobintel/x"}, "staged_prefix is 'jobintel/x' in the receipt"),
    "another tree": ({"tree_sha256": "f" * 64}, "no commit that saw the run"),
    "other settings": ({"settings_from": ["Secret/another"]}, "settings_from is ['Secret/another'] in the receipt"),
    "another identity": ({"service_account": "root"}, "service_account is 'root' in the receipt"),
    "another image": ({"image": f"evil/{IMAGE_REF}"}, "image is 'evil/"),
    "another drfsm run": ({"drfsm_run": "promote-x"}, "its journal is of the run_id"),
    "no settings": ({"settings_from": []}, "does not say where DR's settings came from"),
    "no journal": ({"journal": {}}, "names no journal"),
    "another head": ({"journal.head": "a" * 64}, "not aaaa"),
    "a journal before the proof": ({"journal.records": 4}, "has at record 4 the head"),
    "a journal elsewhere": ({"journal.uri": "s3://elsewhere/jobintel/drfsm/runs/x"}, "does not lie below"),
    "a journal that is not there": ({"journal.uri": "s3://BUCKET/jobintel/drfsm/runs/x"}, "lacks"),
    "a backup that its journal never read": (
        {"schema_version": 2, "backup": {"uri": "s3://BUCKET/jobintel/backups/x", "sha256": "0" * 64}},
        "no commit that read the backup",
    ),
    "another schema": ({"schema_version": 2}, "schema_version is not 1"),
}


def lying(receipt: dict[str, Any], change: dict[str, Any], bucket: str) -> dict[str, Any]:
    """Return a receipt that says something else."""
    found = deepcopy(receipt)
    for name, value in change.items():
        where, _, field = name.rpartition(".")
        said = value.replace("BUCKET", bucket) if isinstance(value, str) else value
        (found[where] if where else found)[field] = said
    return found


@pytest.mark.parametrize("lie", list(LIES))
def test_a_receipt_that_says_anything_else_than_what_is_here_is_refused(
    ready: Ready, site: Site, promote: Make, lie: str
) -> None:
    """Each field is held against the inputs, the cluster and the journal; the refusal names what differs."""
    change, words = LIES[lie]
    true = ready.receipt
    run = promote(
        receipt=lying(true, change, site.bucket), dr_run_id=true["run_id"], staged_prefix=true["staged_prefix"]
    )
    assert words in refused(site, run), run.state.reason


def test_a_receipt_whose_journal_was_altered_proves_nothing(ready: Ready, site: Site, promote: Make) -> None:
    """One changed byte of one record of the mirror breaks its chain; one that is gone is named."""
    home = ready.receipt["journal"]["uri"].removeprefix(f"s3://{site.bucket}/")
    site.put(f"{home}/000005.json", site.body(f"{home}/000005.json").replace(b'"seq":5', b'"seq":6'))
    assert "does not verify" in refused(site, promote())
    site.delete(f"{home}/000005.json")
    assert "lacks 1 of" in refused(site, promote())


def test_an_artifact_that_was_altered_since_the_validation_stops_the_promote(
    ready: Ready, site: Site, promote: Make
) -> None:
    """The receipt's journal holds, and the run is verified anew all the same: held, nothing approved, nothing moved."""
    key = next(k for k in site.etags(f"{ready.receipt['staged_prefix']}/runs/") if k.endswith(".csv"))
    before = site.pointers()
    run = promote()
    run.when_in("preflight_ok", lambda: site.flip(key))  # before, preflight finds it
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_validated")
    assert "dr_run is damaged" in run.state.reason
    run.abort()
    assert run.state.status == "aborted"
    assert site.pointers() == before


@pytest.mark.parametrize("asked", ["no", "asked"])
def test_the_pull_secret_is_renewed_by_a_promote_that_has_a_receipt_too(site: Site, promote: Make, asked: str) -> None:
    """DR's schedules need it after the switch: an expired token is refused in preflight, or replaced if asked for."""
    pulls_by_an_expired_token(site, "dr")
    run = promote(image_ref=ECR_IMAGE, allow_image_drift="yes", refresh_pull_secret=asked)
    run.stop_after("refresh_pull_secret")
    run.start()
    if asked == "no":
        assert run.state.status == "refused", run.words
        assert "--refresh-pull-secret" in run.words
        return
    assert run.state.state == "pull_secret_refreshed", run.words
    assert run.results("refresh_pull_secret")["was"] == "replaced"


def test_dr_validates_itself_with_its_own_secret_identity_and_bucket(site: Site, promote: Make) -> None:
    """Without a receipt DR runs once, stays quiet, and what it published beside, with a report, becomes canonical."""
    run_id = new_run_id("promote")
    run = promote(own(site, run_id, validation_env="JOBINTEL_PUBLISH_RUN_REPORT=1"))
    run.id = run_id
    quiet = site.touchable("dr")
    run.start()
    assert (run.state.status, run.state.state) == ("held", "dr_run_verified"), run.words
    assert site.touchable("dr") == quiet
    started = run.results("start_validation")
    assert started["publishes_to"] == f"{site.prefix}/promotes/{run_id}"
    assert {"Secret/jobintel-secrets", "ConfigMap/jobintel-config"} == set(started["settings_from"])
    assert (started["image"], started["service_account"]) == (IMAGE_REF, "jobintel")
    (job,) = [each for each in site.jobs("dr") if "validation" in each["metadata"]["name"]]
    environment = {each["name"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert "JOBINTEL_S3_BUCKET" not in environment  # it must be DR's own settings that name the bucket
    run.approve()
    assert run.state.status == "complete", run.words
    dr_publishes_alone(site, run.inputs["dr_run_id"])
    assert run.summary["receipt"]["validation"] == started
    assert run.seen("dr_run")["level"] == "declared"


def test_a_dr_that_cannot_publish_is_found_before_anybody_is_asked(site: Site, promote: Make) -> None:
    """DR's own settings name no bucket that it may write to: its validation fails; mended, it is done once more."""
    run_id = new_run_id("promote")
    run = promote(own(site, run_id))
    run.id = run_id
    fenced = statement("dr", site.bucket, Layout(site.prefix), site.role("dr"))
    site.policy({"Version": "2012-10-17", "Statement": [{**fenced, "Resource": f"arn:aws:s3:::{site.bucket}/*"}]})
    run.start()
    assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
    assert "validation_result is failed" in run.state.reason
    site.policy(None)
    run.request("retry_validation")
    assert (run.state.status, run.state.state) == ("held", "dr_run_verified"), run.words
    assert site.named() == {site.sandbox.primary_run_id}


def test_an_abort_takes_its_own_validation_away(site: Site, promote: Make) -> None:
    """Before the approval only the validation was made: its Job and what it published are gone again."""
    before = {key: etag for key, etag in site.etags(f"{site.prefix}/").items() if "/drfsm/" not in key}
    run_id = new_run_id("promote")
    run = promote(own(site, run_id))
    run.id = run_id
    run.start()
    assert run.state.state == "dr_run_verified", run.words
    run.abort()
    assert run.state.status == "aborted", run.words
    assert {key: etag for key, etag in site.etags(f"{site.prefix}/").items() if "/drfsm/" not in key} == before
    assert not [each for each in site.jobs("dr") if "validation" in each["metadata"]["name"]]
