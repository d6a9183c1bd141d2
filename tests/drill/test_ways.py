"""The other ways through a drill: lasting state, phase by phase on one site, terraform, and the real disaster."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drfsm.adapters.file_journal import read_chain
from drfsm.cli import main
from drfsm.dr.backup.create import Site as Source
from drfsm.dr.backup.create import create
from drfsm.dr.backup.state_volume import Image
from drfsm.dr.layout import Layout
from drfsm.journal import fold
from drfsm.resources import shipped
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.seed import NAMESPACE
from tests.bench.site import CLAIM, Place, pace
from tests.drill.conftest import Make
from tests.drill.world import Site, environment
from tests.safety.world import Killed

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

MODULE = """
variable "drfsm_run" { type = string }
variable "site_kubeconfig" {
  type      = string
  sensitive = true
}
resource "terraform_data" "runner" { input = var.drfsm_run }
output "kubeconfig" {
  value     = var.site_kubeconfig
  sensitive = true
}
"""


def test_state_of_a_lasting_volume_is_restored_and_said_so(site: Site, drill: Make) -> None:
    """What the primary's volume held is in the drilled site's, read back; nothing canonical carried it there."""
    from drfsm.adapters import aws

    place = Place(site.sandbox.primary, "with-state")
    place.lay(site.bucket, claim=True)
    place.fill({"last_run.json": "{}", "deep/er.txt": "text"})
    store = aws.connect(bucket=site.bucket, endpoint_url=site.sandbox.cloud.endpoint, region="us-east-1").store
    source = Source(place.cluster, place.namespace)
    backup = create(store, Layout(site.prefix), source, "with-state", image=Image(), pace=pace())
    place.cluster.delete("CronJob", place.namespace, "jobintel-daily")
    run = drill("--stop-after", "restore", "--teardown", "true", backup=backup.uri)
    before, held = site.outside(run.id), dict[str, str]()

    def look() -> None:
        home = site.cluster(run.id).directory / "node/claims" / NAMESPACE / CLAIM
        held.update({e.relative_to(home).as_posix(): e.read_text() for e in home.rglob("*") if e.is_file()})

    run.when("commit", "restore_state", look)
    assert run.start().status == "complete", run.words
    assert held == {"last_run.json": "{}", "deep/er.txt": "text"}
    assert run.phase("restore")["outcome"] == "complete"
    assert site.outside(run.id) == before
    shutil.rmtree(place.volume, ignore_errors=True)


def test_one_site_is_drilled_phase_by_phase(site: Site, drill: Make) -> None:
    """Each run goes on with the site of the one before, in a bundle beside it; the last one takes it down."""
    first = drill("--stop-after", "bringup", bundle="first")
    assert first.start().status == "complete"
    (machine,) = first.own
    second = drill("--receipt-dir", str(first.directory), "--start-at", "restore", "--stop-after", "validate")
    assert (second.start().status, second.inputs["site_run"]) == ("complete", first.id)
    assert second.phase("bringup")["rows"][0]["trigger"] == "adopt_site"
    assert second.phase("teardown")["outcome"] == "skipped"
    assert [*site.alive()] == [machine]
    flags = ("--auto-promote", "true", "--allow-promote-bypass", "true")
    third = drill("--receipt-dir", str(second.directory), "--start-at", "promote", "--stop-after", "promote", *flags)
    assert third.start().status == "complete", third.words
    assert third.inputs["dr_run_id"] == second.inputs["dr_run_id"]
    site.own("somebody's")  # a DR that became live meanwhile is no reason to leave a rehearsal's machine running
    argv = ["drill", "--receipt-dir", str(second.directory), "--start-at", "teardown"]
    assert main.run(argv) == 0
    assert site.alive() == {}
    assert second.inputs["started_at"] == first.inputs["started_at"]  # recovery took since then
    assert [each.inputs["recovery_covers"] for each in (first, second, third)] == ["part", "whole", "whole"]
    beside = second.directory.with_name(f"{second.directory.name}.2")
    assert json.loads((beside / "phases/bringup.receipt.json").read_bytes())["outcome"] == "skipped"
    assert fold(read_chain(beside).records).results["tear_down_site"]["torn_down"] == [machine]


def test_recovery_ends_with_the_proof_however_late_it_is_measured(drill: Make) -> None:
    """Cut off between proof and measure, and resumed a day later: what was proven in time stays in time."""
    run = drill("--recovery-time-objective", "3600", "--stop-after", "validate", "--teardown", "true")
    run.kill_at("commit", "verify_validation")
    run.killed(run.start)
    run.clock.ahead = timedelta(days=1)
    assert run.resume().status == "complete"
    receipt = run.file("drill.summary.json")["receipt"]
    assert receipt["recovery_objective"] == "within"
    assert receipt["recovery"]["validated_by"] == run.state.results["verify_validation"]["validated_at"]


def test_a_part_of_a_recovery_meets_no_objective(site: Site, drill: Make) -> None:
    """A site that was given was not recovered: the time is told with these words, and no verdict on it."""
    run = drill("--kubeconfig", str(site.sandbox.dr.kubeconfig), "--validate-only", "--recovery-time-objective", "9999")
    assert run.start().status == "complete", run.words
    receipt = run.file("drill.summary.json")["receipt"]
    assert receipt["recovery_objective"] == "unasked"
    assert receipt["recovery"]["covers"].startswith("only a part")
    for each in site.sandbox.dr.store.list("jobs", NAMESPACE)[0]:
        site.sandbox.dr.store.delete("jobs", NAMESPACE, each["metadata"]["name"])


def test_a_teardown_whose_record_was_lost_is_still_told(site: Site, drill: Make) -> None:
    """Killed when the machine was gone: what was seen stands in the receipt, and costs say that they are a bound."""
    run = drill("--stop-after", "bringup", "--teardown", "true")

    def gone_and_killed() -> None:
        site.ec2.terminate_instances(InstanceIds=run.own)
        raise Killed

    run.when("intent", "tear_down_site", gone_and_killed)
    run.killed(run.start)
    assert run.resume().status == "complete"
    receipt = run.file("drill.summary.json")["receipt"]
    assert set(receipt["teardown"]["machines"].values()) == {"terminated"}
    assert receipt["costs"]["ended_at_is"].startswith("an upper bound")


@pytest.mark.skipif(
    shutil.which(os.environ.get("TERRAFORM") or "terraform") is None,
    reason="terraform is not installed here (not on the PATH, and TERRAFORM names none)",
)
def test_terraform_brings_the_site_up_and_takes_it_down(site: Site, drill: Make, tmp_path: Path) -> None:
    """The real binary, in a workspace named after the drill; its log lies in the bundle, without the kubeconfig."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(MODULE, encoding="utf-8")
    kubeconfig = site.sandbox.dr.kubeconfig.read_text(encoding="utf-8")
    with environment(TF_VAR_site_kubeconfig=kubeconfig):
        run = drill("--infrastructure", "terraform", "--terraform-dir", str(module), "--stop-after", "bringup",
                    "--teardown", "true")  # fmt: skip
        assert run.start().status == "complete", run.words
    assert run.reached[-4:] == ["validation_skipped", "promotion_skipped", "torn_down", "complete"]
    assert run.state.results["reach_site"]["cluster_uid"] == site.sandbox.dr.uid
    logs = "".join(each.read_text(encoding="utf-8") for each in (run.directory / "logs").iterdir())
    assert kubeconfig.split("token: ")[1].split()[0] not in logs


@pytest.fixture
def disaster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Two sites of one's own: what happens here moves the real pointers."""
    with Sandbox(tmp_path / "sandbox", Options(bucket="drill-disaster", canonical="primary")) as sandbox:
        for name, value in {**sandbox.environment, "DRFSM_HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        yield sandbox


def test_a_canonical_promotion_waits_for_a_person_and_then_completes(
    disaster: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The drill is held and names what to type; the child is approved by itself; `resume` completes the drill."""
    bundle, s3 = tmp_path / "bundle", disaster.cloud.client("s3")
    key = f"{disaster.prefix}/state/candidates/local/last_success.json"

    def canonical() -> str:
        return str(json.loads(s3.get_object(Bucket=disaster.bucket, Key=key)["Body"].read())["run_id"])

    argv = [
        "drill", "--bucket", disaster.bucket, "--kubeconfig", str(disaster.dr.kubeconfig), "--start-at", "validate",
        "--promote-target", "canonical", "--auto-promote", "true", "--allow-promote-bypass", "true",
        "--kubeconfig-primary", str(disaster.primary.kubeconfig), "--receipt-dir", str(bundle),
    ]  # fmt: skip
    assert main.run(argv) == 4
    child = fold(read_chain(bundle / "promote").records)
    told = capsys.readouterr().out
    assert f"drfsm approve {child.run_id}" in told
    assert (canonical(), child.scope) == (disaster.primary_run_id, "live")
    assert main.run(["resume", str(bundle)]) == 4  # nobody approved it: held as before, and nothing moved
    assert canonical() == disaster.primary_run_id
    digest = child.facts["approval"].seen["sha256"]
    assert main.run(["approve", child.run_id, "--ticket", "INC-1", "--plan", digest]) == 0
    assert main.run(["resume", str(bundle)]) == 0
    state = fold(read_chain(bundle).records)
    assert (state.status, canonical()) == ("complete", state.inputs["dr_run_id"])
    assert state.facts["pointer_owner"].value == "dr"


def test_the_seeds_command_runs_as_it_stands(site: Site, tmp_path: Path) -> None:
    """With the allowance `make dr-drill` and `drfsm drill` do it all; without, it is refused with 3, saying why."""
    argv = [
        sys.executable, "-m", "drfsm", "drill", "--backup-uri", site.backup_uri, "--image-ref", site.sandbox.image_ref,
        "--auto-promote", "false", "--teardown", "true",
    ]  # fmt: skip
    with environment(ALLOW_FULL_DRILL=""):
        refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (refused.returncode, site.alive()) == (3, {})
    assert "--allow-full-drill, or ALLOW_FULL_DRILL=1" in refused.stdout
    way = next(line for line in refused.stderr.splitlines() if line.endswith("--allow-full-drill"))
    assert sorted(way.split()) == sorted(["drfsm", *argv[3:], "--allow-full-drill"])
    assert refused.stderr.rstrip().endswith("--stop-after validate --teardown false")
    make = ["make", "-f", str(shipped("machines").parent / "Makefile"), "dr-drill", f"DRFSM={sys.executable} -m drfsm"]
    without = subprocess.run([*make, "BACKUP_URI="], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert without.returncode != 0
    assert "BACKUP_URI" in without.stderr
    given = [*make, f"BACKUP_URI={site.backup_uri}", f"IMAGE_REF={site.sandbox.image_ref}"]
    environ = {**os.environ, "PYTHONPATH": str(shipped("machines").parent)}
    done = subprocess.run(given, capture_output=True, text=True, check=False, cwd=tmp_path, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended: complete" in done.stdout
    assert site.alive() == {}
