"""The seeded sandbox is a world after a promote (DR publishes, the primary is frozen) or before any disaster."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters import aws
from drfsm.dr.artifacts.verification import verify
from drfsm.dr.detection import judge, observe
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import canonical, read, shipped
from drfsm.sandbox import Options, Sandbox
from drfsm.sandbox.cloud import Identity
from drfsm.sandbox.seed import IMAGE_REF, PROMOTE_RUN, RESTORE_RUN, run_ids, zstd_stored

PAGE = Path(__file__).parents[2] / "docs" / "workload.md"
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
RATES = """
workload: rates
switches: {on: {RT_MODE: live, RT_SEND: yes}, off: {RT_MODE: never, RT_SEND: no}}
variables: {bucket: RT_BUCKET, prefix: RT_PREFIX, run_id: RT_RUN, validation: {RT_STRICT: hard}}
files: {required: ["{provider}.csv"], optional: ["done.md"], latest: ["{provider}.csv", "done.md"], marker: done.md}
report: {key: made.json, required: true, artifacts: made, run_id: batch.id, succeeded: {state: ok}}
run_ids: {form: name, prefix: rt-}
kubernetes: {configmap: switches}
"""
"""Two switches, one of them a text; a report that a run must have; an optional marker; ids that are names."""
ONE_OFF = ("jobintel-manual", "jobintel-s3-preflight")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Return one sandbox for the tests that only look."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), Options(bucket="seed-looks")) as started:
        yield started


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Return one sandbox from before any disaster, for the tests that only look."""
    options = Options(bucket="seed-standby", canonical="primary")
    with Sandbox(tmp_path_factory.mktemp("standby"), options) as started:
        yield started


def api(cluster: Any, kind: str) -> Any:
    """Return an API class of the official client on a cluster."""
    import kubernetes

    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))  # type: ignore[no-untyped-call]  # kubernetes has no types
    return getattr(kubernetes.client, kind)(client)


def body(sandbox: Sandbox, key: str) -> bytes:
    """Return an object's bytes."""
    found: Any = sandbox.cloud.client("s3").get_object(Bucket=sandbox.bucket, Key=key)
    return bytes(found["Body"].read())


def keys(sandbox: Sandbox) -> list[str]:
    """Return every key of the bucket."""
    found: Any = sandbox.cloud.client("s3").list_objects_v2(Bucket=sandbox.bucket)
    return [each["Key"] for each in found["Contents"]]


def eventually(true: Callable[[], bool]) -> bool:
    """Return whether it becomes true within ten seconds."""
    deadline = time.monotonic() + 60
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def pointed_at(sandbox: Sandbox) -> set[str]:
    """Return the runs that the pointers name; fail unless all four are there."""
    pointers = [key for key in keys(sandbox) if key.endswith("last_success.json") and "/state/" in key]
    pointers = [key for key in pointers if "/backups/" not in key]
    assert len(pointers) == 4
    return {json.loads(body(sandbox, key))["run_id"] for key in pointers}


def published_runs(sandbox: Sandbox) -> set[str]:
    """Return the runs that lie there."""
    home = f"{sandbox.prefix}/runs/"
    return {key.removeprefix(home).partition("/")[0] for key in keys(sandbox) if key.startswith(home)}


def publisher(sandbox: Sandbox, cluster: Any) -> str:
    """Return who AWS says that a site's Secret makes one."""
    secret = api(cluster, "CoreV1Api").read_namespaced_secret("jobintel-secrets", "jobintel").data
    key, value = (base64.b64decode(secret[name]).decode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    return str(sandbox.cloud.client("sts", Identity("", key, value)).get_caller_identity()["Arn"])


def test_all_pointers_name_the_dr_run_and_both_runs_lie_there(sandbox: Sandbox) -> None:
    """DR is canonical by every pointer; the primary's older run is there, whole, and named by none."""
    assert pointed_at(sandbox) == {sandbox.dr_run_id} == {sandbox.canonical_run_id}
    assert sandbox.primary_run_id < sandbox.dr_run_id
    homes = [f"jobintel/runs/{run}/openai/cs/" for run in (sandbox.primary_run_id, sandbox.dr_run_id)]
    whole = [{key.removeprefix(home) for key in keys(sandbox) if key.startswith(home)} for home in homes]
    assert whole == [{file.format(provider="openai", profile="cs") for file in shipped().files.required}] * 2
    assert len([key for key in keys(sandbox) if "/runs/" in key]) == 10


def test_nobody_owns_yet(sandbox: Sandbox) -> None:
    """There is no ownership object, nor anything else of drfsm's: a failback adopts what it finds."""
    assert not [key for key in keys(sandbox) if "/drfsm/" in key]


def test_dr_is_active_and_publishing(sandbox: Sandbox) -> None:
    """DR's schedule is on, publishing is on, and nothing of it was frozen by anyone."""
    cronjob = api(sandbox.dr, "BatchV1Api").read_namespaced_cron_job("jobintel-daily", "jobintel")
    assert not cronjob.spec.suspend
    assert (cronjob.spec.schedule, cronjob.spec.concurrency_policy) == ("0 13 * * *", "Forbid")
    assert cronjob.spec.starting_deadline_seconds == 600
    container = cronjob.spec.job_template.spec.template.spec.containers[0]
    assert container.image == IMAGE_REF == sandbox.image_ref
    assert container.security_context.read_only_root_filesystem
    config = api(sandbox.dr, "CoreV1Api").read_namespaced_config_map("jobintel-config", "jobintel")
    assert (config.data["PUBLISH_S3"], config.data["PUBLISH_S3_DRY_RUN"]) == ("1", "0")
    assert "drfsm/before" not in {
        **(config.metadata.annotations or {}),
        **(cronjob.metadata.annotations or {}),
    }


def test_the_primary_is_frozen_and_says_what_it_was_before(sandbox: Sandbox) -> None:
    """The promote suspended the primary's schedule, turned publishing off, and noted both on the objects."""
    cronjob = api(sandbox.primary, "BatchV1Api").read_namespaced_cron_job("jobintel-daily", "jobintel")
    config = api(sandbox.primary, "CoreV1Api").read_namespaced_config_map("jobintel-config", "jobintel")
    assert cronjob.spec.suspend
    assert (config.data["PUBLISH_S3"], config.data["PUBLISH_S3_DRY_RUN"]) == ("0", "1")
    assert json.loads(cronjob.metadata.annotations["drfsm/before"]) == {"run": PROMOTE_RUN, "suspend": False}
    before = {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}
    assert json.loads(config.metadata.annotations["drfsm/before"]) == {"run": PROMOTE_RUN, "data": before}


def test_each_site_really_ran_its_job_and_is_at_rest_now(sandbox: Sandbox) -> None:
    """Each site has one complete Job made from its CronJob, whose log names the run; its one-off Jobs have ended."""
    for cluster, run_id in ((sandbox.primary, sandbox.primary_run_id), (sandbox.dr, sandbox.dr_run_id)):
        jobs = api(cluster, "BatchV1Api").list_namespaced_job("jobintel").items
        assert {each.metadata.name for each in jobs} == {"jobintel-daily-seed", *ONE_OFF}
        assert all((each.status.succeeded, each.status.active or 0) == (1, 0) for each in jobs)
        (job,) = [each for each in jobs if each.metadata.owner_references]
        assert job.metadata.owner_references[0].name == "jobintel-daily"
        core = api(cluster, "CoreV1Api")
        (pod,) = core.list_namespaced_pod("jobintel", label_selector=f"job-name={job.metadata.name}").items
        assert f"JOBINTEL_RUN_ID={run_id}" in core.read_namespaced_pod_log(pod.metadata.name, "jobintel")


def dashboard_is_available(apps: Any) -> bool:
    """Return whether the dashboard's one pod is up."""
    deployment = apps.read_namespaced_deployment("jobintel-dashboard", "jobintel")
    return bool(deployment.status.available_replicas == 1)


def test_both_sites_have_a_live_dashboard_and_the_control_plane(sandbox: Sandbox) -> None:
    """The Deployment becomes available on both sites, and both hold the bundle's four sections."""
    for cluster in (sandbox.primary, sandbox.dr):
        apps = api(cluster, "AppsV1Api")
        assert eventually(partial(dashboard_is_available, apps))
        maps = api(cluster, "CoreV1Api").list_namespaced_config_map("jobintel").items
        names = {each.metadata.name for each in maps}
        assert {f"jobintel-control-plane-{s}" for s in ("candidates", "alerts", "providers", "scoring")} <= names


def test_the_sites_are_two_clusters_with_two_identities(sandbox: Sandbox) -> None:
    """The clusters differ in UID, and each site's Secret holds its own user's key."""
    assert sandbox.primary.uid != sandbox.dr.uid
    secrets = [
        api(cluster, "CoreV1Api").read_namespaced_secret("jobintel-secrets", "jobintel").data
        for cluster in (sandbox.primary, sandbox.dr)
    ]
    assert secrets[0]["AWS_ACCESS_KEY_ID"] != secrets[1]["AWS_ACCESS_KEY_ID"]
    assert publisher(sandbox, sandbox.primary) == sandbox.primary_role
    assert publisher(sandbox, sandbox.dr) == sandbox.dr_role
    assert sandbox.primary_role.endswith(":user/seed-looks-primary")
    assert sandbox.dr_role.endswith(":user/seed-looks-dr")


# --- before any disaster --------------------------------------------------------------------------------


def test_before_a_disaster_the_primary_alone_has_run_and_all_pointers_name_its_run(standby: Sandbox) -> None:
    """One run lies there, the primary's, of just now; DR has none, and nobody owns the pointers yet."""
    assert standby.dr_run_id == ""
    assert standby.canonical_run_id == standby.primary_run_id
    assert pointed_at(standby) == published_runs(standby) == {standby.primary_run_id}
    assert not [key for key in keys(standby) if "/drfsm/" in key]
    jobs = api(standby.primary, "BatchV1Api").list_namespaced_job("jobintel").items
    (job,) = [each for each in jobs if each.metadata.name not in ONE_OFF]
    assert (job.status.succeeded, job.metadata.owner_references[0].name) == (1, "jobintel-daily")
    assert api(standby.dr, "BatchV1Api").list_namespaced_job("jobintel").items == []


def test_before_a_disaster_the_primary_is_active_and_nothing_of_it_was_ever_frozen(standby: Sandbox) -> None:
    """Its schedule and its publishing are on, without a word on how they were before."""
    cronjob = api(standby.primary, "BatchV1Api").read_namespaced_cron_job("jobintel-daily", "jobintel")
    config = api(standby.primary, "CoreV1Api").read_namespaced_config_map("jobintel-config", "jobintel")
    assert not cronjob.spec.suspend
    assert (config.data["PUBLISH_S3"], config.data["PUBLISH_S3_DRY_RUN"]) == ("1", "0")
    assert (cronjob.metadata.annotations or {}) == (config.metadata.annotations or {}) == {}


def test_before_a_disaster_dr_stands_by_quiet_and_says_that_it_ran_and_published(standby: Sandbox) -> None:
    """Its schedule and its publishing are off, and the restore that did it kept how both were."""
    cronjob = api(standby.dr, "BatchV1Api").read_namespaced_cron_job("jobintel-daily", "jobintel")
    config = api(standby.dr, "CoreV1Api").read_namespaced_config_map("jobintel-config", "jobintel")
    assert cronjob.spec.suspend
    assert (config.data["PUBLISH_S3"], config.data["PUBLISH_S3_DRY_RUN"]) == ("0", "1")
    assert json.loads(cronjob.metadata.annotations["drfsm/before"]) == {"run": RESTORE_RUN, "suspend": False}
    before = {"PUBLISH_S3": "1", "PUBLISH_S3_DRY_RUN": "0"}
    assert json.loads(config.metadata.annotations["drfsm/before"]) == {"run": RESTORE_RUN, "data": before}
    dashboard = api(standby.dr, "AppsV1Api").read_namespaced_deployment("jobintel-dashboard", "jobintel")
    assert dashboard.spec.replicas == 0  # as a restore leaves it: a pod of it could publish by itself
    assert json.loads(dashboard.metadata.annotations["drfsm/before"])["replicas"] == 1


def test_before_a_disaster_each_site_has_its_own_identity_and_dr_no_runner(standby: Sandbox) -> None:
    """Both Secrets make one who the sandbox says; no instance is started, although a runner is the default."""
    assert publisher(standby, standby.primary) == standby.primary_role
    assert publisher(standby, standby.dr) == standby.dr_role != standby.primary_role
    assert (standby.options.runner, standby.instance_id) == (True, "")


def test_a_standby_is_what_a_restore_by_drfsm_leaves(standby: Sandbox, tmp_path: Path) -> None:
    """`drfsm backup restore` of the seeded backup, beside the standby, makes the same objects but for its run's id."""
    told = subprocess.run(
        [
            *(sys.executable, "-m", "drfsm", "backup", "restore", "--backup-uri", standby.backup_uri),
            *("--namespace", "beside", "--accept-state-loss", "-o", "json"),
        ],
        env={**os.environ, **standby.environment, "DRFSM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 4, told.stderr
    record = json.loads(told.stdout)
    assert record["held_for"] == ["Secret jobintel-secrets is missing"]
    restored, laid = (site_objects(standby, namespace) for namespace in ("beside", "jobintel"))
    assert json.loads(json.dumps(restored).replace(record["run_id"], RESTORE_RUN)) == laid
    assert "ConfigMap/jobintel-control-plane-scoring" in laid


def site_objects(sandbox: Sandbox, namespace: str) -> dict[str, Any]:
    """Return what a person would write of DR's objects, by kind and name, without Secrets."""
    import kubernetes

    core, batch, apps = (api(sandbox.dr, kind) for kind in ("CoreV1Api", "BatchV1Api", "AppsV1Api"))
    found = {
        "ServiceAccount": core.list_namespaced_service_account(namespace),
        "ConfigMap": core.list_namespaced_config_map(namespace),
        "CronJob": batch.list_namespaced_cron_job(namespace),
        "Deployment": apps.list_namespaced_deployment(namespace),
    }
    client: Any = kubernetes.client.ApiClient()
    return {
        f"{kind}/{each.metadata.name}": {
            "labels": each.metadata.labels,
            "annotations": each.metadata.annotations,
            **{part: client.sanitize_for_serialization(getattr(each, part, None)) for part in ("spec", "data")},
        }
        for kind, listed in found.items()
        for each in listed.items
    }


def test_the_control_planes_current_bundle_is_what_it_says(sandbox: Sandbox) -> None:
    """current.json names a bundle that exists, has that hash, and holds a manifest that is true."""
    current = json.loads(body(sandbox, "jobintel/control-plane/current.json"))
    bundle = body(sandbox, current["bundle_uri"].removeprefix(f"s3://{sandbox.bucket}/"))
    assert hashlib.sha256(bundle).hexdigest() == current["bundle_sha256"]
    assert current["image_ref_digest"] == IMAGE_REF
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        held = {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]  # members are files
    for entry in json.loads(held["control-plane/manifest.json"])["files"]:
        assert hashlib.sha256(held[f"control-plane/{entry['path']}"]).hexdigest() == entry["sha256"]


def test_the_backup_is_what_its_metadata_says_and_holds_no_secret(sandbox: Sandbox) -> None:
    """Both archives have the hashes and sizes of metadata.json; the Secret isn't among the manifests."""
    home = sandbox.backup_uri.removeprefix(f"s3://{sandbox.bucket}/")
    metadata = json.loads(body(sandbox, f"{home}/metadata.json"))
    for name in ("state.tar.zst", "manifests.tar.zst"):
        found = body(sandbox, f"{home}/{name}")
        assert hashlib.sha256(found).hexdigest() == metadata["checksums"][name]
        assert len(found) == metadata["sizes"][name]
    manifests = body(sandbox, f"{home}/manifests.tar.zst")
    assert b"manifests/cronjob.jobintel-daily.json" in manifests
    assert b"AWS_SECRET_ACCESS_KEY" not in manifests


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd program")
@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 300_000])
def test_a_stored_zstd_frame_is_read_by_zstd_itself(size: int) -> None:
    """The zstd program reads back exactly what was stored, whatever the number of blocks."""
    content = bytes(number % 251 for number in range(size))
    told = subprocess.run(["zstd", "-dc"], input=zstd_stored(content), capture_output=True, check=True)
    assert told.stdout == content


def test_run_ids_have_full_seconds_and_sort_as_times_do() -> None:
    """An id has the shape of the real workload's, so that ids sort as times do."""
    from datetime import UTC, datetime

    earlier, later = run_ids(shipped(), datetime(2026, 2, 27, 0, 22, 29, tzinfo=UTC))
    assert (earlier < later, later) == (True, "2026-02-27T00:22:29Z")


def test_terminating_the_runner_takes_dr_down_and_only_dr(tmp_path: Path) -> None:
    """When DR's tagged instance is terminated, DR's API stops answering; the primary's goes on."""
    with Sandbox(tmp_path, Options(bucket="seed-runner")) as sandbox:
        ec2 = sandbox.cloud.client("ec2")
        tagged = [{"Name": "tag:Purpose", "Values": ["jobintel-dr"]}]
        found = ec2.describe_instances(Filters=tagged)["Reservations"]
        instances = {each["Instances"][0]["InstanceId"]: each["Instances"][0] for each in found}
        instance = instances[sandbox.instance_id]
        assert {each["Key"]: each["Value"] for each in instance["Tags"]} == {
            "Name": "jobintel-dr-runner",
            "Purpose": "jobintel-dr",
            "ManagedBy": "terraform",
        }
        assert reachable(sandbox.dr)
        ec2.terminate_instances(InstanceIds=[sandbox.instance_id])
        assert eventually(lambda: not reachable(sandbox.dr))
        assert reachable(sandbox.primary)


def test_options_shape_the_sites(tmp_path: Path) -> None:
    """Other prefix, several providers, a published report, a diverging primary: each is as asked for."""
    options = Options(
        bucket="seed-options",
        prefix="team/jobs",
        providers=("openai", "anthropic"),
        publish_reports=True,
        diverge_on_primary="live",
        runner=False,
    )
    with Sandbox(tmp_path, options) as sandbox:
        assert all(key.startswith("team/jobs/") for key in keys(sandbox))
        runs = (sandbox.primary_run_id, sandbox.dr_run_id)
        reports = [key for key in keys(sandbox) if key.endswith("run_report.json")]
        assert sorted(reports) == sorted(f"team/jobs/runs/{run}/run_report.json" for run in runs)
        pointer = json.loads(body(sandbox, "team/jobs/state/anthropic/cs/last_success.json"))
        assert set(pointer["provider_profiles"]) == {"openai:cs", "anthropic:cs"}
        file = "openai/cs/openai_ranked_jobs.cs.json"
        one, two = (body(sandbox, f"team/jobs/runs/{run}/{file}") for run in runs)
        assert one != two
        assert sandbox.instance_id == ""


@pytest.mark.parametrize("text", [EXAMPLE, RATES], ids=["the example of the docs", "a report that is required"])
def test_any_contract_seeds_a_world_that_it_verifies(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both runs are named as the contract names runs, the pointers name DR's, and what is published is whole."""
    contract = read(text)
    options = Options(
        bucket=f"seed-{contract.name}", workload=canonical(contract), prefix=contract.defaults.prefix, runner=False,
        providers=(contract.defaults.provider,), profiles=(contract.defaults.profile,),
    )  # fmt: skip
    with Sandbox(tmp_path, options) as sandbox:
        assert all(map(contract.run_ids.is_id, (sandbox.primary_run_id, sandbox.dr_run_id)))
        place = {"bucket": sandbox.bucket, "prefix": sandbox.prefix, "workload": canonical(contract)}
        layout = terms_of(place | {"candidate": contract.defaults.candidate}).layout
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        store = aws.connect(bucket=sandbox.bucket).store
        pair = (contract.defaults.provider, contract.defaults.profile)
        seen = observe(store, layout, pair)
        assert {seen["pointers"][key]["run_id"] for key in seen["pointers"]} == {sandbox.dr_run_id}
        health = judge(seen, 3600)
        assert health.verdict == "healthy", health
        verified = verify(store, layout, sandbox.primary_run_id, pairs=[pair])
        wanted = "declared" if contract.report and contract.report.required else "observed"
        assert (verified.verdict, verified.level) == ("verified", wanted)


def reachable(cluster: Any) -> bool:
    """Return whether a cluster's API answers just now."""
    import kubernetes
    import urllib3

    configuration = kubernetes.client.Configuration()
    load = kubernetes.config.load_kube_config
    load(str(cluster.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]  # kubernetes has no types
    configuration.retries = urllib3.Retry(0)
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
    try:
        core.read_namespace("kube-system", _request_timeout=2)
    except (urllib3.exceptions.HTTPError, kubernetes.client.ApiException):
        return False
    return True
