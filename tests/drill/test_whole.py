"""A whole drill on machines of its own: what it leaves behind, and what it leaves alone."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.aws import connect
from drfsm.adapters.file_journal import LOG, read_chain
from drfsm.cli.main import run
from drfsm.dr.backup.check import outline
from drfsm.evidence.receipts import check
from drfsm.journal import fold
from drfsm.resources import shipped
from drfsm.runs.derived import make_true
from drfsm.sandbox.cloud import REGION
from tests.drill.conftest import QUICK
from tests.drill.world import TEXT, Drill, Site
from tests.transcripts import held

pytestmark = pytest.mark.sandbox
PRICES = {"currency": "USD", "instance_hour": {"t3.large": "1.20"}, "disk_gb_month": "7.30", "source": "a test"}


class Whole:
    """One rehearsed drill, run once, with what the bucket held before and after."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        prices = directory / "prices.json"
        prices.write_text(json.dumps(PRICES), encoding="utf-8")
        options = ("--auto-promote", "true", "--allow-promote-bypass", "true", "--prices", str(prices))
        more = ("--expected-minutes", "30", "--recovery-time-objective", "0.001", "--git-sha", "c0ffee")
        argv = ("--backup-uri", site.backup_uri, *QUICK, *options, *more)
        self.run = Drill(site, directory / "bundle", argv)
        self.before = site.outside(self.run.id)
        self.at_validation: dict[str, Any] = {}
        self.run.when("commit", "verify_validation", self._look)
        self.run.start()
        self.after = site.outside(self.run.id)
        self.own = site.everything(f"{site.prefix}/drills/{self.run.id}/")  # others may put the site back

    def _look(self) -> None:
        store = self.site.cluster(self.run.id).store
        (cronjob,) = store.list("cronjobs")[0]
        data = store.get("configmaps", "jobintel", "jobintel-config")["data"]
        self.at_validation = {"suspend": cronjob["spec"]["suspend"], "publish": data["PUBLISH_S3"]}


@pytest.fixture(scope="module")
def whole(_sandbox: Site, _home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Return the drill, done."""
    found = Whole(_sandbox, tmp_path_factory.mktemp("whole"))
    yield found
    found.run.close()
    _sandbox.reset()


def test_it_ends_complete_and_nothing_is_left_running(whole: Whole) -> None:
    """All phases are passed, in order, and none of its machines is there any more."""
    assert whole.run.state.status == "complete", whole.run.words
    assert whole.run.own == []
    reached = whole.run.reached
    passed = ["site_reached", "objects_restored", "validated", "promotion_finished", "torn_down", "complete"]
    assert [each for each in reached if each in passed] == passed


def test_its_replay_is_the_committed_transcript(whole: Whole) -> None:
    """What `drfsm replay` prints of it (tests/transcripts.py)."""
    inputs = whole.run.inputs
    names = {
        whole.site.backup_uri: "s3://artifacts/jobintel/backups/<backup>",
        whole.site.bucket: "artifacts",
        inputs["dr_run_id"]: "<the run of DR>",
        inputs["primary_run_id"]: "<the run of the primary>",
    }
    held("drill", whole.run.directory, TEXT, names)


def test_no_key_outside_its_own_prefix_is_touched(whole: Whole) -> None:
    """Rehearsed promotion included, every other key of the bucket has the ETag that it had before."""
    assert whole.after == whole.before
    assert any("/rehearsal/state/" in key for key in whole.own)


def test_what_was_restored_was_quiet(whole: Whole) -> None:
    """When the Job had run, the site's schedule was suspended and its publishing off, whatever the backup said."""
    assert whole.at_validation == {"suspend": True, "publish": "0"}


def test_the_backups_digest_is_in_the_receipts_of_the_drill_the_validation_and_the_promote(whole: Whole) -> None:
    """The digest that `drfsm backup verify` shows, and what came up quiet."""
    store = connect(bucket=whole.site.bucket, endpoint_url=whole.site.sandbox.cloud.endpoint, region=REGION).store
    sha256 = outline(store, whole.site.backup_uri).sha256
    receipt = whole.run.file("drill.summary.json")["receipt"]
    assert receipt["backup_sha256"] == sha256
    assert receipt["restore_allowed"] == []
    assert receipt["restore_quiet"]["scaled_to_zero"] == ["Deployment/jobintel-dashboard, which had 1"]
    backup = {"uri": whole.site.backup_uri, "sha256": sha256}
    assert whole.run.file("validation.receipt.json")["backup"] == backup
    assert whole.run.file("promote/promote.summary.json")["receipt"]["backup"] == backup


def test_state_that_has_no_lasting_volume_is_never_called_restored(whole: Whole) -> None:
    """The workload keeps its state in an emptyDir: the way says STATE NOT RESTORED, and so do the receipts."""
    assert "state_not_restored" in whole.run.reached
    assert "state_restored" not in whole.run.reached
    assert whole.run.phase("restore")["outcome"] == "state_not_restored"
    assert whole.run.file("drill.summary.json")["receipt"]["state"].startswith("STATE NOT RESTORED")


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("drill.summary.json", "drill.summary"),
        *((f"phases/{name}.receipt.json", "phase.receipt") for name in
          ("bringup", "restore", "validate", "promote", "teardown")),
        ("validation.receipt.json", "validation.receipt"),
        ("dr_restore.control_plane.summary.json", "dr_restore.control_plane.summary"),
        ("control-plane/apply/apply.summary.json", "control_plane.apply.summary"),
    ],
)  # fmt: skip
def test_each_receipt_is_as_its_schema_wants_it(whole: Whole, path: str, schema: str) -> None:
    """Every JSON file that a drill leaves fits the schema that is shipped for it."""
    shape = json.loads((shipped("receipts_schema") / f"{schema}.schema.json").read_bytes())
    assert check(whole.run.file(path), shape) == []


def test_the_configuration_that_was_applied_lies_in_the_private_directory_that_its_receipt_names(
    whole: Whole, tmp_path: Path
) -> None:
    """CONTROL_PLANE_DIR holds the bundle with the recorded manifest; in a copy without it the receipt says so."""
    summary, fetch = "dr_restore.control_plane.summary.json", "control-plane/fetch/fetch.summary.env"

    def directory(bundle: Path) -> str:
        (named,) = re.findall(r"^CONTROL_PLANE_DIR=(\S+)$", (bundle / fetch).read_text(), re.MULTILINE)
        return str(named)

    named = Path(directory(whole.run.directory))
    manifest = (named / "control-plane/manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == whole.run.file(summary)["manifest_sha256"]
    assert named.parent == whole.run.directory / "private"
    assert {path.stat().st_mode & 0o077 for path in named.rglob("*")} == {0}
    copy = shutil.copytree(whole.run.directory, tmp_path / "copy", ignore=shutil.ignore_patterns("private"))
    records = read_chain(copy).records
    make_true("drill", copy, records, fold(records))
    assert directory(copy) == "''"
    assert "bundle_dir" not in json.loads((copy / summary).read_bytes())


def test_the_summary_says_who_where_and_what_it_cost(whole: Whole) -> None:
    """Commit, image, account, region, recovery time and costs stand in the receipt, each from the records."""
    receipt = whole.run.file("drill.summary.json")["receipt"]
    assert (receipt["git_sha"], receipt["account"], receipt["region"]) == (
        "c0ffee",
        whole.site.sandbox.cloud.account,
        "us-east-1",
    )
    assert receipt["git_sha_from"] == "--git-sha"
    assert receipt["costs"]["ended_at_is"] == "when the machines were seen to be gone"
    assert receipt["image_ref"] == whole.site.sandbox.image_ref
    assert receipt["canonical_owner"] == "unclaimed"
    # 30 minutes of 1.20 an hour, and 40 GB at 7.30 a month of 730 hours
    assert receipt["costs"]["estimated"]["total"] == {"amount": "0.8000", "currency": "USD", "because": ""}
    (machine,) = receipt["costs"]["actual"]["machines"]
    assert (machine["instance_type"], machine["disk_gb"]) == ("t3.large", 40)
    assert [machine["instance_id"]] == receipt["teardown"]["torn_down"]


def test_a_recovery_over_its_objective_is_told_loudly_and_fails_nothing(whole: Whole) -> None:
    """It is measured from the command on, stands in the receipt as over, and the drill is complete all the same."""
    receipt = whole.run.file("drill.summary.json")["receipt"]
    assert (receipt["recovery_objective"], receipt["recovery"]["objective_seconds"]) == ("over", 0.001)
    assert receipt["recovery"]["seconds"] > 1
    assert [each for each in whole.run.said if each.startswith("RECOVERY TOOK TOO LONG")]


def test_the_promotion_is_a_run_of_its_own_whose_head_stands_in_the_drills(whole: Whole) -> None:
    """Its journal lies in the bundle and below the drill's prefix; what the drill recorded is its last record."""
    seen = whole.run.file("drill.summary.json")["receipt"]["promotion"]
    chain = read_chain(whole.run.directory / "promote")
    assert (seen["head"], seen["records"], seen["status"]) == (chain.head, len(chain.records), "complete")
    assert fold(chain.records).scope == "drill"
    own = f"{whole.site.prefix}/drills/{whole.run.id}"
    assert f"{own}/rehearsal/drfsm/runs/{seen['run_id']}/000000.json" in whole.own


def test_the_validations_receipt_names_the_records_that_prove_it(whole: Whole) -> None:
    """It is the same beside the run in S3; its head is that of the record that commits the verified validation."""
    receipt = whole.run.file("validation.receipt.json")
    assert json.loads(whole.own[f"{receipt['staged_prefix']}/validation.receipt.json"]) == receipt
    number, lines = receipt["journal"]["records"], (whole.run.directory / LOG).read_bytes().splitlines(keepends=True)
    assert hashlib.sha256(lines[number - 1]).hexdigest() == receipt["journal"]["head"]
    record = whole.run.records[number - 1]
    assert (record.kind, record.body["trigger"]) == ("commit", "verify_validation")
    assert receipt["settings_from"] == ["ConfigMap/jobintel-config", "Secret/jobintel-secrets"]


def test_each_attempt_of_a_phase_has_a_log(whole: Whole) -> None:
    """What was seen and said lies in one file a phase and attempt, and nothing else lies there."""
    found = {each.name for each in (whole.run.directory / "phases").iterdir()}
    logs = {f"{name}.attempt-1.log" for name in ("bringup", "restore", "validate", "promote", "teardown")}
    assert logs <= found
    assert "STATE NOT RESTORED" in (whole.run.directory / "phases/restore.attempt-1.log").read_text(encoding="utf-8")


def test_receipts_that_were_lost_are_made_again_by_status(whole: Whole) -> None:
    """They are derived: deleted or torn, `drfsm status` writes each byte of them again."""
    place = whole.run.directory
    kept = {each: each.read_bytes() for each in (place / "phases").iterdir()}
    kept |= {place / name: (place / name).read_bytes() for name in ("validation.receipt.json", "drill.summary.json")}
    for number, each in enumerate(kept):
        if number % 2:
            each.unlink()
        else:
            each.write_text("torn", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "drfsm", "status", str(place)], check=True, capture_output=True)
    assert {each: each.read_bytes() for each in kept} == kept


def test_the_doctor_reads_again_what_it_relied_on(
    whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proof holds until something changes, by the records in the bucket: a claim, which is told."""
    home = tmp_path / "another machine"
    monkeypatch.setenv("DRFSM_HOME", str(home))
    sandbox, textfile = whole.site.sandbox, tmp_path / "drfsm.prom"
    argv = ["doctor", "--bucket", whole.site.bucket, "--prefix", whole.site.prefix, "-o", "json"]
    for name in ("dr", "primary"):
        argv += [f"--kubeconfig-{name}", sandbox.environment[f"KUBECONFIG_{name.upper()}"]]

    def told() -> tuple[int, Any]:
        capsys.readouterr()
        code = run([*argv, "--prometheus", str(textfile)])
        return code, json.loads(capsys.readouterr().out)

    def kinds(record: Any, severity: str) -> set[str]:
        return {each["code"] for each in record["findings"] if each["severity"] == severity}

    before = whole.site.etags()
    code, record = told()
    assert (code, record["verdict"]) == (0, "ready"), record["findings"]
    assert record["last_green_drill"]["run_id"] == whole.run.id
    assert "drill_is_only_claimed" in kinds(record, "warning")
    assert "drfsm_doctor_ready{" in textfile.read_text(encoding="utf-8")
    assert whole.site.etags() == before  # the probe is gone again

    key = f"{whole.site.backup_uri.removeprefix(f's3://{whole.site.bucket}/')}/metadata.json"
    kept = whole.site.body(key)
    whole.site.put(key, b"{}")
    whole.site.put(f"{whole.site.prefix}/drfsm/runs/failback-20261129t000000z-000000000000/x.json", b"garbage")
    try:
        code, record = told()
    finally:
        whole.site.put(key, kept)
    assert (code, record["verdict"]) == (11, "not_ready")
    assert kinds(record, "error") == {"backup_is_damaged", "proof_of_backup"}
    assert "not_read" in kinds(record, "unknown")
    assert record["last_green_drill"]["voided_by"] == ["proof_of_backup"]
