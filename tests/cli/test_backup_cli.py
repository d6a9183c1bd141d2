"""`drfsm backup` as an operator types it, on a seeded sandbox: exit codes, receipts, what holds."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox import Options, Sandbox
from tests.bench.site import Place


class Told(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout carries, read as JSON."""
        return json.loads(self.out)


Drfsm = Callable[..., Told]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One seeded sandbox for all tests."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), Options(bucket="cli-backup")) as started:
        yield started


@pytest.fixture
def drfsm(sandbox: Sandbox, tmp_path: Path) -> Drfsm:
    """Return drfsm as a process, in the sandbox's environment."""

    def run(*argv: str) -> Told:
        environ = {**os.environ, **sandbox.environment, "DRFSM_HOME": str(tmp_path / "home")}
        told = subprocess.run(
            [sys.executable, "-m", "drfsm", "backup", *argv],
            env=environ, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        return Told(told.returncode, told.stdout, told.stderr)

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
    record = held_to_schema(receipts / "dr_restore.summary.json", "dr_restore.summary")
    assert record["status"] == "held"
    summary = held_to_schema(receipts / "dr_restore.control_plane.summary.json", "dr_restore.control_plane.summary")
    assert summary["candidate_count"] == 2
    assert (receipts / "control-plane/fetch/fetch.summary.env").is_file()
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
    assert (told.code, "at work" in told.err) == (3, True)
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
    assert (told.code, "does not hold" in told.err) == (11, True)
    assert Place(sandbox.dr, "never").cluster.get("Namespace", "", "never") is None


@pytest.mark.parametrize("uri", ["nonsense", "s3://bucket", "s3://cli-backup/no-backup"])
def test_what_names_no_backup_is_wrong_usage(drfsm: Drfsm, sandbox: Sandbox, uri: str) -> None:
    """It says how to give one."""
    told = drfsm("restore", "--backup-uri", uri, "--kubeconfig", str(sandbox.dr.kubeconfig))
    assert (told.code, "s3://<bucket>/<prefix>/backups/<backup id>" in told.err) == (2, True)
