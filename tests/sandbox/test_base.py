"""The kustomize base and its overlays: the real kubectl applies them, and the workload runs as they say."""

import json
import os
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from drfsm.cli import main
from drfsm.dr import workload
from drfsm.errors import ExitCode
from drfsm.sandbox import base, workload_image
from drfsm.sandbox.kubernetes import EmulatedCluster
from drfsm.sandbox.seed import IMAGE_REF, REPOSITORY

if TYPE_CHECKING:
    from tests.sandbox.conftest import Bench

ONE_OFF = ("jobintel-manual", "jobintel-s3-preflight")
Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(bench: "Bench", tmp_path: Path) -> Iterator[Kubectl]:
    """Return kubectl on a new cluster whose node has the image, and whose namespace has the Secret."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("needs the real kubectl on the PATH")
    images = {REPOSITORY: workload_image.build(tmp_path / "image")}
    with EmulatedCluster("site", tmp_path / "site", images) as cluster:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}

        def run(*words: str) -> str:
            argv = [program, "--namespace", "jobintel", *words]
            done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
            assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
            return done.stdout

        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobintel"}})
        names = ("JOBINTEL_S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
        values = {name: b64encode(bench.environment()[name].encode()).decode() for name in names}
        metadata = {"name": "jobintel-secrets", "namespace": "jobintel"}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": values})
        yield run


def overlay(name: str) -> str:
    """Return the path of an overlay."""
    return str(base.HOME / "overlays" / name)


def log_of(kubectl: Kubectl, job: str) -> str:
    """Wait until a Job is complete; return its log."""
    kubectl("wait", "--for=condition=complete", f"job/{job}", "--timeout=60s")
    return kubectl("logs", f"job/{job}")


def pod_of(kubectl: Kubectl) -> Any:
    """Return the spec of the CronJob's pods, and whether it is suspended."""
    spec = json.loads(kubectl("get", "cronjob", "jobintel-daily", "-o", "json"))["spec"]
    return spec["suspend"], spec["jobTemplate"]["spec"]["template"]["spec"]


def test_the_base_is_applied_and_its_one_off_jobs_run(kubectl: Kubectl, bench: "Bench") -> None:
    """Every object is there, a second apply changes nothing; the Jobs see the bucket, and publish nothing yet."""
    told = kubectl("apply", "-k", str(base.HOME / "base"))
    assert len(re.findall(r" (created|configured)$", told, re.MULTILINE)) == 12
    assert f"S3 preflight ok: s3://{bench.bucket}/jobintel" in log_of(kubectl, "jobintel-s3-preflight")
    assert "publishing is off (PUBLISH_S3=0)" in log_of(kubectl, "jobintel-manual")
    assert bench.listing() == []
    again = kubectl("apply", "-k", str(base.HOME / "base"))
    assert set(re.findall(r" (\w+)$", again, re.MULTILINE)) == {"unchanged"}
    assert re.search(r"jobintel-dashboard +<none> +jobintel.example", kubectl("get", "ingress"))
    assert "app.kubernetes.io/name=jobintel" in kubectl("get", "networkpolicy")


def test_an_overlay_keeps_the_state_so_that_an_unchanged_run_publishes_nothing(
    kubectl: Kubectl, bench: "Bench"
) -> None:
    """With its volume, node selector and pinned image the CronJob runs; its second Job finds nothing new."""
    kubectl("apply", "-k", overlay("onprem"))
    suspended, pod = pod_of(kubectl)
    assert (suspended, pod["nodeSelector"], pod["containers"][0]["image"]) == (
        False, {"kubernetes.io/os": "linux"}, IMAGE_REF,
    )  # fmt: skip
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert claims == ["jobintel-state"]
    kubectl("patch", "configmap", "jobintel-config", "-p", '{"data":{"PUBLISH_S3":"1","PUBLISH_S3_DRY_RUN":"0"}}')
    kubectl("create", "job", "one", "--from=cronjob/jobintel-daily")
    assert "published 14 objects" in log_of(kubectl, "one")
    before = {key: bench.body(key) for key in bench.listing()}
    kubectl("create", "job", "two", "--from=cronjob/jobintel-daily")
    assert "\nNo changes detected" in log_of(kubectl, "two")
    assert {key: bench.body(key) for key in bench.listing()} == before


def test_an_overlay_that_stands_by_takes_the_place_of_another(kubectl: Kubectl) -> None:
    """Applied over the other overlay it suspends the schedule; finished Jobs, which can't change, are deleted first."""
    kubectl("apply", "-k", overlay("onprem"))
    kubectl("delete", "job", *ONE_OFF)
    kubectl("apply", "-k", overlay("eks"))
    suspended, pod = pod_of(kubectl)
    assert (suspended, pod.get("nodeSelector"), pod["containers"][0]["image"]) == (True, None, IMAGE_REF)
    assert all("emptyDir" in volume for volume in pod["volumes"])
    account = json.loads(kubectl("get", "serviceaccount", "jobintel", "-o", "json"))
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(":role/jobintel")


def test_the_overlays_pin_the_image_that_the_sandbox_runs() -> None:
    """The digest in their kustomizations is the seeded one."""
    for name in ("onprem", "eks"):
        said = yaml.safe_load((base.HOME / "overlays" / name / "kustomization.yaml").read_text(encoding="utf-8"))
        assert [f"{each['name']}@{each['digest']}" for each in said["images"]] == [IMAGE_REF]


def test_another_contract_names_every_object_and_variable() -> None:
    """No name of the real workload is left in the base under another contract, but for the image's own paths."""
    contract = workload.read(
        "workload: prices\n"
        "switches: {on: {UPLOAD: yes}, off: {UPLOAD: no}}\n"
        "variables: {bucket: BUCKET_NAME, prefix: KEY_PREFIX, run_id: BATCH}\n"
        "files: {required: ['{provider}.{profile}.csv']}\n"
        "kubernetes: {namespace: shop, cronjob: nightly, deployment: prices-board, labels: {app: prices}}\n"
    )
    made = base.objects(contract, "image@sha256:1")
    text = json.dumps(made).replace("scripts/run_daily.py", "").replace("jobintel.example", "")
    assert not re.findall(r"PUBLISH_S3|JOBINTEL_S3|app.kubernetes.io/name|jobintel", text)
    names = {f"{each['kind']}/{each['metadata']['name']}" for each in made}
    assert {"Namespace/shop", "CronJob/nightly", "ConfigMap/prices-config", "Job/prices-manual"} < names
    (config,) = [each["data"] for each in made if each["kind"] == "ConfigMap"]
    assert (config["UPLOAD"], config["KEY_PREFIX"]) == ("no", "prices")


def test_the_manifests_are_written_to_a_new_directory_and_over_nothing(tmp_path: Path) -> None:
    """`drfsm sandbox manifests DIR` copies base and overlays as they are; a directory that is there is refused."""
    assert main.run(["sandbox", "manifests", str(tmp_path / "m")]) == ExitCode.DONE
    written = {path.relative_to(tmp_path / "m"): path.read_bytes() for path in (tmp_path / "m").rglob("*.yaml")}
    assert written == {path.relative_to(base.HOME): path.read_bytes() for path in base.HOME.rglob("*.yaml")}
    assert main.run(["sandbox", "manifests", str(tmp_path / "m")]) == ExitCode.USAGE


def test_a_contract_that_is_none_starts_no_sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`drfsm sandbox up --workload FILE` says what is wrong with the file, and starts nothing."""
    (tmp_path / "contract.yaml").write_text("workload: prices\n", encoding="utf-8")
    argv = ["sandbox", "up", "--dir", str(tmp_path / "sandbox"), "--workload", str(tmp_path / "contract.yaml")]
    assert main.run(argv) == ExitCode.USAGE
    assert "switches" in capsys.readouterr().err
    assert not (tmp_path / "sandbox").exists()


def test_reports_by_which_nobody_finds_the_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A contract whose report leads elsewhere than its runs lie is told before anything starts, if one is required."""
    (tmp_path / "contract.yaml").write_text(
        "workload: prices\n"
        "switches: {on: {UPLOAD: live}, off: {UPLOAD: never}}\n"
        "variables: {bucket: BUCKET_NAME, prefix: KEY_PREFIX, run_id: BATCH}\n"
        "files: {required: ['{provider}.csv']}\n"
        "keys: {pair: '{provider}/at/{profile}'}\n"
        "report: {required: true, path: '{provider}/{profile}/{basename}'}\n",
        encoding="utf-8",
    )
    argv = ["sandbox", "up", "--dir", str(tmp_path / "sandbox"), "--workload", str(tmp_path / "contract.yaml")]
    assert main.run(argv) == ExitCode.USAGE
    assert "report.path ({provider}/{profile}/{basename}) leads elsewhere" in capsys.readouterr().err
    assert not (tmp_path / "sandbox").exists()
