"""`drfsm backup` as an operator types it, on a seeded sandbox: exit codes, receipts, what holds."""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.dr.backup.archive import MANIFESTS, packed, unpacked
from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox import Options, Sandbox
from tests.bench.site import Place
from tests.command import Answer, Drfsm, as_a_process


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One seeded sandbox for all tests."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), Options(bucket="cli-backup")) as started:
        yield started


@pytest.fixture
def drfsm(sandbox: Sandbox, tmp_path: Path) -> Drfsm:
    """Return drfsm as a process, in the sandbox's environment."""

    def run(*argv: str) -> Answer:
        return as_a_process(["backup", *argv], {**sandbox.environment, "DRFSM_HOME": str(tmp_path / "home")})

    return run


def held_to_schema(receipt: Path, schema: str) -> Any:
    """Return a receipt, held against its schema."""
    found = json.loads(receipt.read_bytes())
    assert check(found, json.loads((shipped("receipts_schema") / f"{schema}.schema.json").read_bytes())) == []
    return found


def test_the_seeds_restore_command_runs_as_it_stands(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """On a fresh namespace it leaves all receipts, holds for the Secret and the emptyDir, and is quiet."""
    namespace, receipts = f"fresh-{uuid.uuid4().hex[:8]}", tmp_path / "r"
    told = drfsm(
        "restore", "--backup-uri", sandbox.backup_uri, "--kubeconfig", str(sandbox.dr.kubeconfig),
        "--namespace", namespace, "--receipt-dir", str(receipts),
    )  # fmt: skip
    assert told.code == 4, told.err
    assert "Secret jobintel-secrets is missing" in told.out
    assert "state not restorable: emptyDir" in told.out
    assert "repeat the command with --accept-state-loss" in told.err
    assert f"restoring {sandbox.backup_uri} to {namespace} on http" in told.err
    assert f"(kubeconfig {sandbox.dr.kubeconfig})" in told.err
    record = held_to_schema(receipts / "dr_restore.summary.json", "dr_restore.summary")
    assert record["status"] == "held"
    summary = held_to_schema(receipts / "dr_restore.control_plane.summary.json", "dr_restore.control_plane.summary")
    assert summary["candidate_count"] == 1
    fetch = (receipts / "control-plane/fetch/fetch.summary.env").read_text()
    (directory,) = re.findall(r"^CONTROL_PLANE_DIR=(\S+)$", fetch, re.MULTILINE)
    assert Path(directory, "control-plane") == Path(summary["bundle_dir"])
    manifest = Path(directory, "control-plane/manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == summary["manifest_sha256"]
    held_to_schema(receipts / "control-plane/apply/apply.summary.json", "control_plane.apply.summary")
    assert Place(sandbox.dr, namespace).get("CronJob", "jobintel-daily")["spec"]["suspend"] is True


def test_a_live_dr_is_refused_with_3(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """DR is canonical and at work in the seed: the restore names what it would stop, and touches nothing."""
    before = Place(sandbox.dr, "jobintel").get("ConfigMap", "jobintel-config")
    told = drfsm(
        "restore",
        "--backup-uri",
        sandbox.backup_uri,
        "--kubeconfig",
        str(sandbox.dr.kubeconfig),
        "--namespace",
        "jobintel",
    )
    assert (told.code, "is live" in told.err) == (3, True)
    assert Place(sandbox.dr, "jobintel").get("ConfigMap", "jobintel-config") == before


def test_create_verify_and_a_backup_that_is_damaged_then(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """Create says what it can't have; verify exits with 0, with 11 for a younger objective, with 11 after damage."""
    told = drfsm("create", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "-o", "json")
    assert told.code == 0, told.err
    uri = told.json["backup_uri"]
    assert told.json["state"]["source"] == "emptyDir"
    assert told.json["run_id"] == sandbox.dr_run_id
    told = drfsm("verify", "--backup-uri", uri, "--recovery-point-objective", "3600", "-o", "json")
    assert (told.code, told.json["verdict"], told.json["age"]["within"]) == (0, "intact", True)
    assert drfsm("verify", "--backup-uri", uri, "--recovery-point-objective", "0.001").code == 11
    key = f"{uri.removeprefix(f's3://{sandbox.bucket}/')}/manifests.tar.zst"
    s3 = sandbox.cloud.client("s3")
    body = bytearray(s3.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read())
    body[30] ^= 1
    s3.put_object(Bucket=sandbox.bucket, Key=key, Body=bytes(body))
    told = drfsm("verify", "--backup-uri", uri)
    assert (told.code, "manifests.tar.zst has the SHA-256" in told.out) == (11, True)
    told = drfsm("restore", "--backup-uri", uri, "--kubeconfig", str(sandbox.dr.kubeconfig), "--namespace", "never")
    assert (told.code, "is invalid" in told.err) == (11, True)
    assert Place(sandbox.dr, "never").cluster.get("Namespace", "", "never") is None


def test_a_hostile_backup_exits_with_3_and_a_pinned_one_with_11(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """`verify` names what `restore` refuses, which leaves a receipt; allowed by name, it goes as far as it can."""
    home = f"{sandbox.prefix}/backups/hostile"
    s3, at = sandbox.cloud.client("s3"), sandbox.backup_uri.removeprefix(f"s3://{sandbox.bucket}/")

    def body(name: str) -> bytes:
        return bytes(s3.get_object(Bucket=sandbox.bucket, Key=f"{at}/{name}")["Body"].read())

    files = unpacked(MANIFESTS, body(MANIFESTS))
    path = next(each for each in files if "deployment." in each)
    manifest = json.loads(files[path])
    manifest["spec"]["template"]["spec"]["hostPID"] = True
    raw = packed({**files, path: json.dumps(manifest).encode()})
    metadata = {**json.loads(body("metadata.json")), "backup_id": "hostile"}
    metadata["checksums"][MANIFESTS], metadata["sizes"][MANIFESTS] = hashlib.sha256(raw).hexdigest(), len(raw)
    parts = {MANIFESTS: raw, "state.tar.zst": body("state.tar.zst"), "metadata.json": json.dumps(metadata).encode()}
    for name, content in parts.items():
        s3.put_object(Bucket=sandbox.bucket, Key=f"{home}/{name}", Body=content)
    at_it = ("--backup-uri", f"s3://{sandbox.bucket}/{home}")
    namespace, receipts = f"fresh-{uuid.uuid4().hex[:8]}", tmp_path / "r"
    there = ("--kubeconfig", str(sandbox.dr.kubeconfig), "--namespace", namespace, "--receipt-dir", str(receipts))
    told = drfsm("verify", *at_it, "-o", "json")
    assert (told.code, told.json["verdict"]) == (3, "intact")
    told = drfsm("restore", *at_it, *there)
    assert (told.code, "Deployment/jobintel-dashboard: spec.template.spec.hostPID" in told.err) == (3, True)
    record = held_to_schema(receipts / "dr_restore.refused.json", "dr_restore.refused")
    assert [each["object"] for each in record["refused"]] == ["Deployment/jobintel-dashboard"]
    assert Place(sandbox.dr, namespace).cluster.get("Namespace", "", namespace) is None
    told = drfsm("restore", *at_it, *there, "--expect-sha256", "0" * 64)
    assert (told.code, record["backup_sha256"] in told.err) == (11, True)
    assert drfsm("verify", *at_it, "--expect-sha256", "abc").code == 2
    told = drfsm("restore", *at_it, *there, "--allow-in-backup", "Deployment/jobintel-dashboard")
    assert told.code == 4, told.err
    assert held_to_schema(receipts / "dr_restore.summary.json", "dr_restore.summary")["allowed"] == record["refused"]
    told = drfsm("list", "--bucket", sandbox.bucket, "--prefix", sandbox.prefix, "-o", "json")
    assert told.code == 0, told.err
    assert record["backup_sha256"] in {each["sha256"] for each in told.json}


@pytest.mark.parametrize("uri", ["nonsense", "s3://bucket", "s3://cli-backup/no-backup"])
def test_what_names_no_backup_is_wrong_usage(drfsm: Drfsm, sandbox: Sandbox, uri: str) -> None:
    """It says how to give one."""
    told = drfsm("restore", "--backup-uri", uri, "--kubeconfig", str(sandbox.dr.kubeconfig))
    assert (told.code, "s3://<bucket>/<prefix>/backups/<backup id>" in told.err) == (2, True)
