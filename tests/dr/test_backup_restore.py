"""Taking a backup of a site and restoring it to another: real S3 (moto), emulated clusters with real pods."""

import ast
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from drfsm.dr import workload
from drfsm.dr.backup import check as backup_check
from drfsm.dr.backup import restore, restore_state
from drfsm.dr.backup.address import judge
from drfsm.dr.backup.archive import STATE, unpacked
from drfsm.dr.backup.check import Backup, BackupFault, age, opened
from drfsm.dr.backup.create import Site, create
from drfsm.dr.backup.obstacles import Target
from drfsm.dr.backup.restore_site import Refused, Wishes, restore_site
from drfsm.dr.backup.state_volume import Image
from drfsm.dr.sites.schedules import BEFORE
from drfsm.errors import ActionFailed, Conflict, Interrupted, UsageFault
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import CONFIGMAP, CRONJOB, SECRET, Options, publish_control_plane
from tests.bench.site import CLAIM, Place, emulated, pace, until

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

OURS = "drfsm/role=state"
RUN = "2026-02-27T00:22:29.934039+00:00"
STATE_FILES = {"runs/r1/report.json": '{"run": 1}', "history.csv": "a,b\n1,2\n", "deep/er/x": "y"}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatedCluster, EmulatedCluster]]:
    """Two clusters for all tests."""
    home = tmp_path_factory.mktemp("clusters")
    with emulated(home / "primary") as primary, emulated(home / "dr") as dr:
        yield primary, dr


@pytest.fixture
def primary(clusters: tuple[EmulatedCluster, EmulatedCluster]) -> Place:
    """Return a site with a history: a namespace of its own."""
    return Place(clusters[0], f"p-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def dr(clusters: tuple[EmulatedCluster, EmulatedCluster]) -> Place:
    """Return where it is restored to: nothing is there yet."""
    return Place(clusters[1], f"d-{uuid.uuid4().hex[:10]}")


def take(bench: "Bench", place: Place, backup_id: str = "b1", said: list[str] | None = None) -> Backup:
    """Take a backup of a site."""
    site = Site(place.cluster, place.namespace)
    return create(bench.store, bench.layout, site, backup_id, image=Image(), pace=pace(said))


def put_back(bench: "Bench", uri: str, place: Place, said: list[str] | None = None, **wishes: Any) -> dict[str, Any]:
    """Restore a backup to a site."""
    target = Target(place.cluster, place.namespace, workload.shipped(), CONFIGMAP, bundled=wishes.pop("bundled", False))
    return restore_site(
        bench.store, uri, target, Wishes(Image(), **wishes), run_id="restore-1", pace=pace(said),
        applied=lambda _bundle, _done: None,
    )  # fmt: skip


def give_secret(place: Place, keys: Mapping[str, str] | None = None) -> None:
    """Put the Secret there that no backup has."""
    names = ("JOBINTEL_S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
    place.put({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET},
        "stringData": keys if keys is not None else dict.fromkeys(names, "x"),
    })  # fmt: skip


# --- taking one -----------------------------------------------------------------------------------------


def test_a_backup_holds_what_a_person_wrote_and_no_secret(bench: "Bench", primary: Place) -> None:
    """Every kind is in it without what the cluster filled in; the Secret is named with its keys, its values nowhere."""
    primary.lay(bench.bucket, claim=False)
    bench.work(RUN)
    backup = take(bench, primary)
    kinds = {(each["kind"], each["metadata"]["name"]) for each in backup.manifests}
    assert {("Namespace", primary.namespace), ("CronJob", CRONJOB), ("ServiceAccount", "jobintel")} <= kinds
    assert not {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default"), ("Secret", SECRET)} & kinds
    for each in backup.manifests:
        assert "status" not in each
        assert not each["metadata"].keys() - {"name", "namespace", "labels", "annotations"}
    assert backup.metadata["run_id"] == RUN
    assert "AWS_SECRET_ACCESS_KEY" in (backup.secrets[SECRET] or ())
    everything = b"".join(bench.everything().values()) + json.dumps([*backup.manifests, backup.metadata]).encode()
    assert b"s3cr3t-value" not in everything
    assert b"czNjcjN0LXZhbHVl" not in everything


def test_state_in_an_empty_dir_is_said_to_be_gone(bench: "Bench", primary: Place) -> None:
    """Such a backup holds the pointers and no state, and its metadata says why."""
    primary.lay(bench.bucket, claim=False)
    bench.work(RUN)
    said: list[str] = []
    backup = take(bench, primary, said=said)
    assert not backup.holds_state
    assert {name.partition("/")[0] for name in backup.state} == {"pointers"}
    assert "emptyDir" in backup.metadata["state"]["told"]
    assert any("there is no state to back up" in each for each in said)


def test_state_in_a_claim_is_read_by_a_pod(bench: "Bench", primary: Place) -> None:
    """Every regular file comes with its content; a link is skipped and said; the Job and its Secret are gone."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    (primary.volume / "link").symlink_to("/etc/passwd")
    backup = take(bench, primary)
    assert {name: body.decode() for name, body in backup.state.items()} == {
        f"state/{name}": text for name, text in STATE_FILES.items()
    }
    assert backup.metadata["state"]["skipped"] == ["state/link"]
    shape = json.loads((shipped("receipts_schema") / "backup.metadata.schema.json").read_bytes())
    assert check(backup.metadata, shape) == []
    assert primary.cluster.list("Job", primary.namespace) == []
    assert [each["metadata"]["name"] for each in primary.cluster.list("Secret", primary.namespace)] == [SECRET]
    assert not [key for key in bench.everything() if "/drfsm/state/" in key]


def test_no_backup_is_taken_while_a_job_writes(bench: "Bench", primary: Place) -> None:
    """A running pod of a Job that has the claim could leave half a file in the backup: refused, nothing written."""
    primary.lay(bench.bucket, claim=True)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": str(uuid.uuid4()), "controller": True}
    job = primary.put({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"suspend": True, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}},
    })  # fmt: skip
    primary.work("busy", ["sleep", "100"], owners=[{**owner, "uid": job["metadata"]["uid"], "controller": False}])
    until(lambda: primary.phase("busy") == "Running")
    with pytest.raises(ActionFailed, match=r"pod busy on .* is still using the claim"):
        take(bench, primary)
    assert bench.everything() == {}


def test_a_backup_is_never_overwritten(bench: "Bench", primary: Place) -> None:
    """The same id a second time is a conflict, and the first one stays as it was."""
    primary.lay(bench.bucket, claim=False)
    take(bench, primary)
    before = bench.everything()
    with pytest.raises(Conflict, match="already"):
        take(bench, primary)
    assert bench.everything() == before


# --- checking one ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [STATE, "manifests.tar.zst"])
def test_a_corrupt_backup_restores_nothing(bench: "Bench", primary: Place, dr: Place, part: str) -> None:
    """A flipped byte is told by name, and the site that it was to be restored to is not touched at all."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    bench.flip(f"jobintel/backups/b1/{part}")
    assert judge(backup_check.verify(bench.store, backup.uri)) == "damaged"
    with pytest.raises(BackupFault, match=part):
        put_back(bench, backup.uri, dr)
    assert dr.cluster.get("Namespace", "", dr.namespace) is None


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        ("manifests.tar.zst", {"manifests/../../x.json": b"{}"}, "is not below manifests/"),
        ("manifests.tar.zst", {"manifests/x.json": b"[]"}, "is not a Kubernetes object"),
        (
            "manifests.tar.zst",
            {"manifests/s.json": b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"}}'},
            "which a backup does not contain",
        ),
        (
            "manifests.tar.zst",
            {"manifests/c.json": b'{"kind":"ConfigMap","apiVersion":"v9","metadata":{"name":"s"}}'},
            "which a backup does not contain",
        ),
        (STATE, {"elsewhere/x": b""}, "is not below state/ or pointers/"),
    ],
)
def test_a_backup_whose_hashes_hold_may_still_be_unsafe(
    bench: "Bench", primary: Place, name: str, files: Mapping[str, bytes], words: str
) -> None:
    """Who writes the parts writes the hashes as well: what is inside is checked by itself."""
    import hashlib

    from drfsm.dr.backup.archive import packed

    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    raw = packed(files)
    metadata = json.loads(bench.body("jobintel/backups/b1/metadata.json"))
    metadata["checksums"][name], metadata["sizes"][name] = hashlib.sha256(raw).hexdigest(), len(raw)
    bench.put(f"jobintel/backups/b1/{name}", raw)
    bench.put("jobintel/backups/b1/metadata.json", json.dumps(metadata).encode())
    seen = backup_check.verify(bench.store, backup.uri)
    assert judge(seen) == "damaged"
    assert words in seen["damaged"][0]


def test_age_is_held_against_an_objective() -> None:
    """Younger is within, older is not; no time is never within; from the future is not either, but for clocks apart."""
    now = "2026-02-27T01:00:00+00:00"
    for created_at, within in (
        ("2026-02-27T00:00:01Z", True),
        ("2026-02-26T23:59:59Z", False),
        ("20260227T000001Z", True),
        ("2026-02-27T01:04:00Z", True),
        ("2026-02-27T02:00:00Z", False),
        ("yesterday", False),
        (None, False),
    ):
        assert age(created_at, now, 3600)["within"] is within, created_at
        assert age(created_at, now, None)["within"] is None
    with pytest.raises(UsageFault):
        backup_check.objective("-1")


# --- restoring ------------------------------------------------------------------------------------------


def test_a_restored_site_is_quiet_and_remembers_how_it_was(bench: "Bench", primary: Place, dr: Place) -> None:
    """The CronJob is suspended and publishing off, each with drfsm/before; no Job was started."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    record = put_back(bench, backup.uri, dr, accept_state_loss=True)
    assert record["status"] == "restored_without_state"
    cronjob, config = dr.get("CronJob", CRONJOB), dr.get("ConfigMap", CONFIGMAP)
    assert cronjob["spec"]["suspend"] is True
    assert json.loads(cronjob["metadata"]["annotations"][BEFORE]) == {"run": "restore-1", "suspend": False}
    assert (config["data"]["PUBLISH_S3"], config["data"]["PUBLISH_S3_DRY_RUN"]) == ("0", "1")
    assert json.loads(config["metadata"]["annotations"][BEFORE])["data"] == {
        "PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0",
    }  # fmt: skip
    assert dr.cluster.list("Job", dr.namespace) == []
    assert dr.get("Deployment", "jobintel-dashboard")


def give_namespace_and_secret(place: Place) -> None:
    """Make the namespace, and the Secret in it."""
    place.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    give_secret(place)


def test_what_a_freeze_recorded_outlives_backup_and_restore(bench: "Bench", primary: Place, dr: Place) -> None:
    """A backup of a frozen site restores with the freeze's own record; a live object's record is not replaced."""
    primary.lay(bench.bucket, claim=False)
    first = json.dumps({"run": "promote-1", "suspend": False}, sort_keys=True)
    primary.cluster.patch("CronJob", primary.namespace, CRONJOB, {
        "spec": {"suspend": True}, "metadata": {"annotations": {BEFORE: first}},
    })  # fmt: skip
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    put_back(bench, backup.uri, dr)
    assert dr.get("CronJob", CRONJOB)["metadata"]["annotations"][BEFORE] == first
    later = json.dumps({"run": "freeze-2", "suspend": False}, sort_keys=True)
    dr.cluster.patch("CronJob", dr.namespace, CRONJOB, {"metadata": {"annotations": {BEFORE: later}}})
    put_back(bench, backup.uri, dr, force_conflicts=True)
    assert dr.get("CronJob", CRONJOB)["metadata"]["annotations"][BEFORE] == later


def test_state_without_a_volume_is_never_a_success(bench: "Bench", primary: Place, dr: Place) -> None:
    """It says ``state not restorable: emptyDir`` and holds, unless the operator accepts the loss."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    record = put_back(bench, backup.uri, dr)
    assert (record["status"], record["held_for"]) == ("held", ["state not restorable: emptyDir"])
    assert record["state"]["verdict"] == "not_restorable"


def test_state_goes_into_the_claim_and_is_read_back(bench: "Bench", primary: Place, dr: Place) -> None:
    """Every file is in DR's volume; the claim says which backup it was given; a second restore moves nothing."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    record = put_back(bench, backup.uri, dr)
    assert (record["status"], record["held_for"]) == ("restored", [])
    assert dr.files() == STATE_FILES
    given = json.loads(dr.get("PersistentVolumeClaim", CLAIM)["metadata"]["annotations"]["drfsm/restored-state"])
    assert (given["backup"], given["files"]) == (backup.uri, 3)
    assert dr.cluster.list("Job", dr.namespace) == []
    assert [each["metadata"]["name"] for each in dr.cluster.list("Secret", dr.namespace)] == [SECRET]
    (dr.volume / "new").write_text("from a run after the restore")
    assert put_back(bench, backup.uri, dr)["status"] == "restored"
    assert (dr.volume / "new").exists()


def test_a_volume_that_holds_something_is_not_overwritten_unasked(bench: "Bench", primary: Place, dr: Place) -> None:
    """Somebody's files stop the restore and stay; with --replace-state they make way, all of them."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    dr.put(dr.claim_manifest())
    dr.fill({"mine/x": "kept", "history.csv": "other"})
    with pytest.raises(ActionFailed, match=r"the volume is not empty: history\.csv, mine") as told:
        put_back(bench, backup.uri, dr)
    assert "--replace-state" in told.value.hint
    assert dr.files() == {"mine/x": "kept", "history.csv": "other"}
    assert "annotations" not in dr.get("PersistentVolumeClaim", CLAIM)["metadata"]
    assert put_back(bench, backup.uri, dr, replace_state=True)["status"] == "restored"
    assert dr.files() == STATE_FILES


def test_an_image_without_python_fails_and_leaves_nothing_behind(bench: "Bench", primary: Place, dr: Place) -> None:
    """The Job's failure is told with what to do; its Secret, with the presigned URL, is gone; the claim is unmarked."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    target = Target(dr.cluster, dr.namespace, workload.shipped(), CONFIGMAP)
    manifests = restore.planned(backup, target, "r")
    restore.apply(target, manifests, pace(), force=False)
    with pytest.raises(ActionFailed, match="without a readable result") as told:
        restore_state.restore(bench.store, bench.layout, backup, target, Image(python="false"), pace(), replace=False)
    assert "--job-image" in told.value.hint
    assert restore_state.judge(restore_state.see(backup, target)) == "absent"
    assert [each["metadata"]["name"] for each in dr.cluster.list("Secret", dr.namespace)] == [SECRET]
    assert not [key for key in bench.everything() if "/drfsm/state/" in key]


def test_an_interrupted_restore_leaves_nothing_running_and_goes_through_again(
    bench: "Bench", primary: Place, dr: Place
) -> None:
    """Stopped while its Job is at work, it takes Job, Secret and upload away; the same again restores all of it."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)

    def stop_at_the_job() -> None:
        if dr.cluster.list("Job", dr.namespace):
            raise Interrupted("stop")

    target, wishes = Target(dr.cluster, dr.namespace, workload.shipped(), CONFIGMAP, bundled=False), Wishes(Image())
    stopping = evolve(pace(), check=stop_at_the_job)
    with pytest.raises(Interrupted):
        restore_site(
            bench.store, backup.uri, target, wishes, run_id="r", pace=stopping, applied=lambda _bundle, _done: None
        )
    until(lambda: not dr.cluster.list("Job", dr.namespace) and not dr.cluster.list("Pod", dr.namespace, labels=OURS))
    assert [each["metadata"]["name"] for each in dr.cluster.list("Secret", dr.namespace)] == [SECRET]
    assert not [key for key in bench.everything() if "/drfsm/state/" in key]
    record = put_back(bench, backup.uri, dr, force_conflicts=True, replace_state=True)
    assert (record["status"], dr.files()) == ("restored", STATE_FILES)


@pytest.mark.parametrize("keys", [None, {"AWS_ACCESS_KEY_ID": "x"}])
def test_missing_secrets_hold_until_they_exist(
    bench: "Bench", primary: Place, dr: Place, keys: Mapping[str, str] | None
) -> None:
    """A Secret that isn't there, or lacks keys, is named with them; once it is there the same restore goes through."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    dr.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}})
    if keys is not None:
        give_secret(dr, keys)
    record = put_back(bench, backup.uri, dr)
    assert record["status"] == "held"
    (missing,) = record["missing_secrets"]
    assert (missing["name"], missing["there"]) == (SECRET, keys is not None)
    assert "AWS_SECRET_ACCESS_KEY" in missing["keys"]
    assert all(each.startswith(f"Secret {SECRET}") for each in record["held_for"])
    give_secret(dr)
    assert put_back(bench, backup.uri, dr)["status"] == "restored"


def test_a_site_at_work_is_refused_and_untouched(bench: "Bench", primary: Place, dr: Place) -> None:
    """Schedules on and publishing on: a restore would stop it. It takes --replace-live, and then it is quiet."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    dr.lay(bench.bucket, claim=False)
    before = dr.get("CronJob", CRONJOB)
    with pytest.raises(Refused, match="this site is live"):
        put_back(bench, backup.uri, dr)
    assert dr.get("CronJob", CRONJOB) == before
    record = put_back(bench, backup.uri, dr, replace_live=True, accept_state_loss=True)
    assert record["status"] == "restored_without_state"
    assert dr.get("CronJob", CRONJOB)["spec"]["suspend"] is True


def test_a_backup_that_is_too_old_is_refused(bench: "Bench", primary: Place, dr: Place) -> None:
    """Older than the objective: nothing is touched."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    metadata = {**backup.metadata, "created_at": "2020-01-01T00:00:00Z"}
    bench.put("jobintel/backups/b1/metadata.json", json.dumps(metadata).encode())
    with pytest.raises(Refused, match="older than the recovery point objective"):
        put_back(bench, backup.uri, dr, objective_seconds=3600.0)
    assert dr.cluster.get("Namespace", "", dr.namespace) is None


def test_the_published_control_plane_wins_over_the_backups(bench: "Bench", primary: Place, dr: Place) -> None:
    """With a bundle, its ConfigMaps are applied and named; the backup's older ones are left out."""
    primary.lay(bench.bucket, claim=False)
    primary.cluster.patch(
        "ConfigMap", primary.namespace, "jobintel-control-plane-alerts", {"data": {"alerts.json": "old"}}
    )
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    with pytest.raises(UsageFault, match="no control plane is published"):
        put_back(bench, backup.uri, dr, bundled=True)
    publish_control_plane(bench.cloud, Options(bucket=bench.bucket))
    record = put_back(bench, backup.uri, dr, bundled=True, accept_state_loss=True)
    assert record["control_plane"]["candidate_count"] == 1
    assert "new-top-job" in dr.get("ConfigMap", "jobintel-control-plane-alerts")["data"]["alerts.json"]


def test_what_is_different_afterwards_holds(bench: "Bench", primary: Place, dr: Place) -> None:
    """A CronJob that somebody unsuspends, or one that the backup doesn't know and that runs, is loud."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    put_back(bench, backup.uri, dr)
    target = Target(dr.cluster, dr.namespace, workload.shipped(), CONFIGMAP, bundled=False)
    manifests = restore.planned(opened(bench.store, backup.uri), target, "r")
    assert restore.compared(target, manifests) == {
        "missing": [],
        "different": [],
        "loud": [],
        "objects": len(manifests),
    }
    dr.cluster.patch("CronJob", dr.namespace, CRONJOB, {"spec": {"suspend": False, "schedule": "* * * * *"}})
    dr.cluster.delete("ServiceAccount", dr.namespace, "jobintel")
    seen = restore.compared(target, manifests)
    assert seen["missing"] == ["ServiceAccount/jobintel"]
    assert seen["loud"] == [f"CronJob {CRONJOB} is on"]
    assert set(seen["different"]) == {f"CronJob/{CRONJOB}: spec.suspend", f"CronJob/{CRONJOB}: spec.schedule"}


def test_fields_that_others_keep_are_a_conflict(bench: "Bench", primary: Place, dr: Place) -> None:
    """A GitOps controller's value is not taken over unasked, and it is named."""
    primary.lay(bench.bucket, claim=False)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    config = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"PUBLISH_S3": "0", "CAREERS_MODE": "LIVE"},
        "metadata": {"name": CONFIGMAP, "namespace": dr.namespace},
    }  # fmt: skip
    dr.cluster.apply(config, manager="argocd")
    with pytest.raises(Conflict, match=r"argocd.*CAREERS_MODE"):
        put_back(bench, backup.uri, dr)
    assert put_back(bench, backup.uri, dr, force_conflicts=True, accept_state_loss=True)["held_for"] == []


def test_the_machines_facts_follow_their_actions(bench: "Bench", primary: Place, dr: Place) -> None:
    """Absent, then quiet, and restored: what the drill's rows are judged by, before and after."""
    primary.lay(bench.bucket, claim=True)
    primary.fill(STATE_FILES)
    backup = take(bench, primary)
    give_namespace_and_secret(dr)
    inputs = {
        **bench.inputs, "namespace": dr.namespace, "configmap": CONFIGMAP, "cronjob": "", "backup_uri": backup.uri,
        "control_plane_source": "backup", "recovery_point_objective": "3600", "restore": "asked",
    }  # fmt: skip
    run, world = bench.run(inputs=inputs), evolve(bench.world, dr=dr.cluster)
    facts = {**restore.FACTS, **restore_state.FACTS, **backup_check.FACTS}

    def values() -> dict[str, str | None]:
        seen = {name: fact.observe(world, run) for name, fact in facts.items()}
        assert json.loads(json.dumps(seen)) == seen
        return {name: facts[name].judge(each, inputs) for name, each in seen.items()}

    before = {
        "restored_manifests": "absent", "restored_secrets": "present", "restore_target": "quiet",
        "restored_state": "absent", "lasting_state": "kept", "backup_contents": "intact", "recovery_point": "within",
    }  # fmt: skip
    assert values() == before
    for _ in range(2):
        restore.ACTIONS["restore_manifests"](world, run)
        assert values()["restored_manifests"] == "quiet"
    for _ in range(2):
        restore_state.ACTIONS["restore_state"](world, run)
        assert values()["restored_state"] == "restored"
    assert dr.files() == STATE_FILES


# --- the pod's program ----------------------------------------------------------------------------------


def pod(at: Path, url: str, sha256: str, **more: str) -> tuple[int, dict[str, Any]]:
    """Run the program as a pod would, in a directory; return its exit code and its last line."""
    (at / "state").mkdir(exist_ok=True)
    (at / "scratch").mkdir(exist_ok=True)
    program = (Path(restore.__file__).parent / "in_pod.py").read_text()
    environ = {"PATH": os.environ["PATH"], "DRFSM_VERB": "restore", "DRFSM_URL": url, "DRFSM_SHA256": sha256, **more}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=at, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert url not in told.stdout + told.stderr
    return told.returncode, json.loads(told.stdout.splitlines()[-1])


def presigned(bench: "Bench", files: Mapping[str, bytes]) -> tuple[str, str]:
    """Put a tar there; return a URL for it, and its hash."""
    import hashlib

    from drfsm.dr.control_plane.bundle import tarred

    body = tarred(files)
    bench.put("a.tar", body)
    return bench.store.presigned_url("a.tar", seconds=60), hashlib.sha256(body).hexdigest()


def test_a_wrong_hash_leaves_the_volume_as_it_was(bench: "Bench", tmp_path: Path) -> None:
    """What was downloaded isn't what was asked for: refused before anything is written."""
    url, _ = presigned(bench, {"state/x": b"x"})
    code, said = pod(tmp_path, url, "0" * 64)
    assert (code, "not 000000" in said["fault"]) == (1, True)
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("name", ["state/../../escape", "/etc/x", "other/x", "state/.drfsm-restoring", "state/a/../b"])
def test_an_escaping_member_is_refused_in_the_pod_too(bench: "Bench", tmp_path: Path, name: str) -> None:
    """The pod trusts no archive because of its hash."""
    url, sha256 = presigned(bench, {name: b"x"})
    code, said = pod(tmp_path, url, sha256)
    assert (code, "is not below state/" in said["fault"]) == (1, True)
    assert not (tmp_path / "escape").exists()


def test_a_restore_that_was_killed_is_begun_again(bench: "Bench", tmp_path: Path) -> None:
    """With its own marker there, what lies in the volume is a half of it, and makes way; another's doesn't count."""
    url, sha256 = presigned(bench, {"state/x": b"whole", "state/d/y": b"y"})
    state = tmp_path / "state"
    (state / ".drfsm-beside").mkdir(parents=True)
    (state / ".drfsm-beside" / "d").mkdir()
    (state / "x").write_text("half")
    (state / ".drfsm-restoring").write_text("f" * 64)
    code, said = pod(tmp_path, url, sha256)
    assert (code, said["fault"]) == (1, "the volume is not empty: x")
    (state / ".drfsm-restoring").write_text(sha256)
    code, said = pod(tmp_path, url, sha256)
    assert (code, said["files"]) == (0, 2)
    assert {each.name for each in state.iterdir()} == {"x", "d"}
    assert (state / "x").read_text() == "whole"


def test_the_program_is_read_by_the_oldest_python_that_it_promises() -> None:
    """It has to run in whatever image the workload has, from 3.8 on, with nothing installed."""
    program = (Path(restore.__file__).parent / "in_pod.py").read_text()
    found = ast.parse(program, feature_version=(3, 8))
    plain = [node for node in ast.walk(found) if isinstance(node, ast.Import)]
    imported = {each.name.partition(".")[0] for node in plain for each in node.names}
    imported |= {str(node.module) for node in ast.walk(found) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def test_a_presigned_url_is_signed_as_every_region_takes_it(bench: "Bench") -> None:
    """Signature version 4, for as long as was asked, and it opens nothing but its own object."""
    url = bench.store.presigned_url("a/b c.tar", seconds=77)
    query = parse_qs(urlsplit(url).query)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], ["77"])
    assert urlsplit(url).path.endswith("/a/b%20c.tar")


def test_a_volume_that_is_too_large_is_refused_before_it_is_copied(bench: "Bench", tmp_path: Path) -> None:
    """It says how much it holds; nothing is sent."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "big").write_bytes(b"x" * 101)
    url = bench.store.presigned_url("sent.tar", seconds=60, write=True)
    code, said = pod(tmp_path, url, "", DRFSM_VERB="save", DRFSM_MOST="100")
    assert (code, said["fault"]) == (1, "the volume has 101 bytes; a backup takes at most 100")
    assert bench.everything() == {}


def test_a_url_that_opens_nothing_is_a_fault(bench: "Bench", tmp_path: Path) -> None:
    """A missing object is told by its status, without the URL."""
    code, said = pod(tmp_path, bench.store.presigned_url("gone.tar", seconds=60), "0" * 64)
    assert (code, said) == (1, {"fault": "the store answered 404"})


def test_what_the_seed_publishes_can_be_opened(bench: "Bench", primary: Place) -> None:
    """A backup as the sandbox's seed writes it, with stored blocks, is whole, and its Secret is known by name."""
    from drfsm.sandbox.seed import manifests, publish_backup

    bench.work(RUN)
    options = Options(bucket=bench.bucket)
    identity = bench.cloud.create_identity(bench.bucket)
    uri = publish_backup(bench.cloud, options, manifests("primary", options, identity, bench.cloud.endpoint), RUN)
    backup = opened(bench.store, uri)
    assert backup.secrets == {SECRET: None}
    assert "state/last_run.json" in unpacked(STATE, backup.archive)
    del primary
