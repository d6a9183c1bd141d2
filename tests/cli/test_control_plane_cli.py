"""`drfsm control-plane` as an operator types it, on a seeded sandbox: exit codes, receipts, what stdout carries."""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from drfsm.evidence.receipts import check
from drfsm.resources import shipped
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.seed import IMAGE_REF
from tests.command import Answer, Drfsm, as_a_process

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One seeded sandbox for all tests."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), Options(bucket="cli-control-plane")) as started:
        yield started


@pytest.fixture
def drfsm(sandbox: Sandbox, tmp_path: Path) -> Drfsm:
    """Return drfsm as a process, in the sandbox's environment."""

    def run(*argv: str, cwd: Path | None = None, **more: str) -> Answer:
        return as_a_process(
            [*argv], {**sandbox.environment, "DRFSM_HOME": str(tmp_path / "home"), **more}, cwd, timeout_seconds=60
        )

    return run


def at(sandbox: Sandbox) -> list[str]:
    """Return the options that say where."""
    return ["--bucket", sandbox.bucket, "--prefix", sandbox.prefix]


def held_to_schema(receipt: Path, schema: str) -> Mapping[str, Any]:
    """Return a receipt, held against its schema."""
    found: Mapping[str, Any] = json.loads(receipt.read_bytes())
    assert check(found, json.loads((shipped("receipts_schema") / f"{schema}.schema.json").read_bytes())) == []
    return found


def test_the_seeds_publish_command_runs_as_it_stands(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """Bucket, prefix and a pinned image are enough in a checkout: the site's kubeconfig stands in the environment."""
    for argv in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *argv], check=True)
    told = drfsm(
        "control-plane", "publish", *at(sandbox), "--image-ref-digest", IMAGE_REF, "-o", "json", cwd=tmp_path,
        PYTHONPATH=str(Path(__file__).parents[2]),
    )  # fmt: skip
    assert told.code == 0, told.err
    assert told.json["files"] == {"candidates": 2, "alerts": 1, "providers": 1, "scoring": 1}
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert told.json["git_sha"] == head.stdout.strip()
    assert told.json["git_sha"][:12] in told.json["bundle_uri"]


def test_an_image_by_its_tag_is_wrong_usage(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """It exits with 2, says what to give, and publishes nothing."""
    before = drfsm("control-plane", "fetch", *at(sandbox), "-o", "json").json["bundle_uri"]
    told = drfsm("control-plane", "publish", *at(sandbox), "--image-ref-digest", "repo:tag", "--git-sha", SHA)
    assert (told.code, "not pinned" in told.err) == (2, True)
    assert drfsm("control-plane", "fetch", *at(sandbox), "-o", "json").json["bundle_uri"] == before


def test_fetch_leaves_files_and_a_summary_that_a_shell_can_source(
    sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path
) -> None:
    """control-plane/fetch/fetch.summary.env names the bundle, its hash, and the directory of its files."""
    told = drfsm("control-plane", "fetch", *at(sandbox), "--receipt-dir", str(tmp_path / "r"), "-o", "json")
    assert told.code == 0, told.err
    assert (tmp_path / "r/control-plane/fetch/control-plane/manifest.json").is_file()
    summary = tmp_path / "r/control-plane/fetch/fetch.summary.env"
    script = f'. {summary}; echo "$CONTROL_PLANE_BUNDLE_SHA256"; cat "$CONTROL_PLANE_DIR/control-plane/manifest.json"'
    sha256, manifest = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split(
        "\n", 1
    )
    assert sha256 == told.json["bundle_sha256"]
    assert manifest == (tmp_path / "r/control-plane/fetch/control-plane/manifest.json").read_text()


def test_no_two_fetches_share_a_directory(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """Four at once, none of which names a directory: each leaves its files and its receipt in its own."""
    with ThreadPoolExecutor(4) as at_once:
        told = list(at_once.map(lambda _: drfsm("control-plane", "fetch", *at(sandbox), "-o", "json"), range(4)))
    assert {command.code for command in told} == {0}, told
    assert len({command.json["directory"] for command in told}) == len(told)
    assert all(Path(command.json["directory"], "control-plane/manifest.json").is_file() for command in told)


def test_a_corrupt_bundle_exits_with_11_and_leaves_no_file(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """Fetch and apply refuse it, name the hash, and write nothing."""
    s3 = sandbox.cloud.client("s3")
    key = f"{sandbox.prefix}/control-plane/current.json"
    whole = s3.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read()
    s3.put_object(
        Bucket=sandbox.bucket, Key=key, Body=json.dumps({**json.loads(whole), "bundle_sha256": "0" * 64}).encode()
    )
    try:
        where = ["--receipt-dir", str(tmp_path / "r")]
        told = drfsm("control-plane", "fetch", *at(sandbox), *where)
        assert (told.code, "its SHA-256 is" in told.err) == (11, True)
        told = drfsm("control-plane", "apply", *at(sandbox), "--kubeconfig", str(sandbox.dr.kubeconfig), *where)
        assert told.code == 11
        assert not (tmp_path / "r").exists()
    finally:
        s3.put_object(Bucket=sandbox.bucket, Key=key, Body=whole)


def test_render_only_prints_yaml_and_asks_no_cluster(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """Four ConfigMaps come out of stdout; no kubeconfig is needed."""
    told = drfsm("control-plane", "apply", *at(sandbox), "--render-only", "--namespace", "elsewhere")
    assert told.code == 0, told.err
    found = list(yaml.safe_load_all(told.out))
    assert [each["metadata"]["name"].rpartition("-")[2] for each in found] == [
        "candidates", "alerts", "providers", "scoring",
    ]  # fmt: skip
    assert {each["metadata"]["namespace"] for each in found} == {"elsewhere"}


def test_apply_mends_what_verify_finds(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """Verify exits with 11 for a changed site and 0 after apply, whose receipts hold and carry the four counts."""
    where = [*at(sandbox), "--kubeconfig", str(sandbox.dr.kubeconfig)]
    name = "jobintel-control-plane-alerts"
    sandbox.dr.apply({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "jobintel"},
        "data": {"alerts.json": "changed"},
    })  # fmt: skip
    told = drfsm("control-plane", "verify", *where, "-o", "json")
    assert (told.code, told.json["verdict"]) == (11, "different")
    assert drfsm("control-plane", "apply", *where, "--receipt-dir", str(tmp_path / "r"), "--force-conflicts").code == 0
    assert drfsm("control-plane", "verify", *where).code == 0
    apply = held_to_schema(tmp_path / "r/control-plane/apply/apply.summary.json", "control_plane.apply.summary")
    assert apply["sections"]["alerts"]["was"] == "different"
    summary = held_to_schema(tmp_path / "r/dr_restore.control_plane.summary.json", "dr_restore.control_plane.summary")
    counts = {each: summary[each] for each in summary if each.endswith("_count")}
    assert counts == {"candidate_count": 1, "alert_count": 1, "provider_count": 1, "scoring_count": 1}
    manifest = Path(summary["bundle_dir"], "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == summary["manifest_sha256"]


def test_a_workspace_is_packed_and_a_dry_run_writes_nothing(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """Config and state of a working directory make a bundle; a dry run says which, and current.json stays."""
    for name in ("config/providers", "config/scoring.v1", "config/alerts", "data/candidate_profile"):
        (tmp_path / f"{name}.json").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.json").write_text("{}")
    registry = tmp_path / "state/candidates/registry.json"
    registry.parent.mkdir(parents=True)
    registry.write_text('{"candidates": [{"candidate_id": "local", "profile_path": "local/profile.json"}]}')
    s3 = sandbox.cloud.client("s3")
    key = f"{sandbox.prefix}/control-plane/current.json"
    before = s3.get_object(Bucket=sandbox.bucket, Key=key)["ETag"]
    argv = ("--image-ref-digest", IMAGE_REF, "--git-sha", "a" * 40, "--from-workspace", str(tmp_path), "--dry-run")
    told = drfsm("control-plane", "publish", *at(sandbox), *argv, "-o", "json")
    assert told.code == 0, told.err
    assert (told.json["dry_run"], told.json["files"]["candidates"], told.json["holds"]["candidates"]) == (True, 2, 1)
    told = drfsm("control-plane", "publish", *at(sandbox), *argv)
    assert "holds: candidates 1, alerts 1, providers 1, scoring 1" in told.out
    assert "files: candidates 2, alerts 1, providers 1, scoring 1" in told.out
    assert s3.get_object(Bucket=sandbox.bucket, Key=key)["ETag"] == before
    (tmp_path / "config/alerts.json").unlink()
    told = drfsm("control-plane", "publish", *at(sandbox), *argv)
    assert (told.code, "config/alerts.json is missing" in told.err) == (2, True)


def test_a_section_over_a_mebibyte_is_refused_by_name(sandbox: Sandbox, drfsm: Drfsm, tmp_path: Path) -> None:
    """It exits with 2 before anything is written anywhere."""
    for section in ("candidates", "alerts", "providers", "scoring"):
        (tmp_path / "src" / section).mkdir(parents=True)
        (tmp_path / "src" / section / "a.json").write_text("{}")
    (tmp_path / "src/scoring/big.json").write_bytes(b" " * ((1 << 20) + 1))
    told = drfsm(
        "control-plane", "publish", *at(sandbox), "--image-ref-digest", IMAGE_REF, "--git-sha", SHA,
        "--source", str(tmp_path / "src"),
    )  # fmt: skip
    assert (told.code, "the section scoring has" in told.err, "1 MiB" in told.err) == (2, True, True)


def test_without_a_kubeconfig_it_says_what_to_give(sandbox: Sandbox, drfsm: Drfsm) -> None:
    """Nothing is guessed."""
    told = drfsm("control-plane", "verify", *at(sandbox), KUBECONFIG="")
    assert (told.code, "--kubeconfig" in told.err) == (2, True)
