"""The content of a new sandbox: two sites, after a promote or before any disaster.

``Options.canonical`` is "dr": a history in which DR was promoted.

    what                        primary                                DR (canonical)
    CronJob jobintel-daily      suspended *                            active
    ConfigMap jobintel-config   PUBLISH_S3 "0", .._DRY_RUN "1" *       PUBLISH_S3 "1", .._DRY_RUN "0"
    published runs              one, a day old                         one, newer: all pointers name it
    identity                    IAM user <bucket>-primary              IAM user <bucket>-dr
    runner                      none                                   one EC2 instance, tagged

``Options.canonical`` is "primary": nothing has happened yet, and DR stands by, as a restore leaves it.

    what                        primary (canonical)                    DR
    CronJob jobintel-daily      active                                 suspended *
    ConfigMap jobintel-config   PUBLISH_S3 "1", .._DRY_RUN "0"         PUBLISH_S3 "0", .._DRY_RUN "1" *
    published runs              one, just now: all pointers name it    none
    identity                    IAM user <bucket>-primary              IAM user <bucket>-dr
    runner                      none                                   none: its cluster depends on no instance

    * by the promote, or the restore, which left what it found in the annotation ``drfsm/before``

A site's objects are those of ``manifests/base`` (base.py), under the names of the workload's contract; its one-off
Jobs have run once, when the base was installed and published nothing yet. Each run really ran: as a Job made from its
site's CronJob. Nothing is faked in S3 but what other tools than the workload would have put there: the control-plane
bundle and a backup of the primary, taken after its run. There is no ``<prefix>/drfsm/ownership.json``: as after a
promote by hand, it is to be adopted. Called by lifecycle.py; ``manifests`` also by tests that want other sites.
"""

import base64
import gzip
import hashlib
import io
import json
import ssl
import tarfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from drfsm.dr.backup import APIS
from drfsm.dr.workload import Workload, shipped
from drfsm.dr.workload import read as read_contract
from drfsm.errors import DrfsmError, UsageFault
from drfsm.sandbox import base
from drfsm.sandbox.cloud import MACHINE_IMAGE, REGION, Cloud, Identity
from drfsm.sandbox.clusters import Cluster, Kind, Manifest
from drfsm.sandbox.starting import Report

Site = Literal["primary", "dr"]

REPOSITORY = "registry.example/jobintel"
IMAGE_REF = f"{REPOSITORY}@sha256:{hashlib.sha256(b'the workload of the drfsm sandbox').hexdigest()}"
NAMESPACE = "jobintel"  # this, and the next two lines, as in manifests/base, under the contract that is shipped
CRONJOB, CONFIGMAP, SECRET = "jobintel-daily", "jobintel-config", "jobintel-secrets"
DASHBOARD = "jobintel-dashboard"
PROMOTE_RUN, RESTORE_RUN = "promote-20260226T161500Z-sandbox", "restore-20260226T161500Z-sandbox"
BEFORE, BUNDLE = "drfsm/before", "drfsm/control-plane-bundle"
RUN_ID, RUN_NAME = "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ"
RESTORED = ("Namespace", "Secret", *APIS)
"""What a site has that was restored: the kinds of a backup, and what bringing the site up made."""
RUN_SECONDS, POLL_SECONDS = 60.0, 0.05
RUNNER_TAGS = {"Name": "jobintel-dr-runner", "Purpose": "jobintel-dr", "ManagedBy": "terraform"}
GIT_SHA = hashlib.sha1(b"drfsm sandbox", usedforsecurity=False).hexdigest()

CONTROL_PLANE: Mapping[str, Mapping[str, Any]] = {
    "candidates": {
        "registry.json": {"schema_version": 1, "candidates": [{"candidate_id": "local"}]},
        "local/candidate_profile.json": {"schema_version": 1, "candidate_id": "local", "skills": ["python"]},
    },
    "alerts": {"alerts.json": {"schema_version": 1, "alerts": [{"name": "new-top-job", "min_score": 90}]}},
    "providers": {"providers.json": {"schema_version": 1, "providers": [{"provider_id": "openai"}]}},
    "scoring": {"scoring.v1.json": {"schema_version": 1, "weights": {"title": 0.6, "team": 0.4}}},
}


@frozen
class Options:
    """The options of a sandbox."""

    bucket: str = "jobintel-sandbox"
    prefix: str = "jobintel"
    providers: Sequence[str] = ("openai",)
    profiles: Sequence[str] = ("cs",)
    diverge_on_primary: str = ""  # JOBINTEL_DIVERGE of the primary: its records differ from DR's
    publish_reports: bool = False  # the workload publishes run_report.json too
    pods_sleep_seconds: float = 0  # SANDBOX_SLEEP_SECONDS of both sites; the seeded runs don't sleep
    runner: bool = True  # a tagged EC2 instance that DR lives and dies with; never where DR stands by
    kubernetes: Kind = "emulated"  # or "real": built from Go modules, see drfsm/sandbox/controlplane
    canonical: Site = "dr"  # after a promote; "primary": before any disaster, DR stands by
    workload: str = ""  # the contract of another workload than the real one
    endpoints: str = ""  # weighted, failover, health_check: both sites serve, and a name leads to one of them

    @property
    def contract(self) -> Workload:
        """The contract of what the sites run. Raises DeclarationFault."""
        return read_contract(self.workload) if self.workload else shipped()


def check_reports(options: Options) -> None:
    """Raise UsageFault where runs publish reports by which nobody finds their files: no path could lead there."""
    contract = options.contract
    if not (form := contract.report) or not (form.required or options.publish_reports):
        return
    pair = (options.providers[0], options.profiles[0])
    for place in (*contract.required(pair), *contract.latest(pair)):
        name, file = f"{pair[0]}:{pair[1]}:x", place.removeprefix(f"{contract.pair_home(pair)}/")
        if place not in (form.place_of(name, place), form.place_of(name, f"any/{file}")):
            raise UsageFault(
                f"the sandbox cannot publish reports by this contract: a run has {place}, and report.path"
                f" ({form.path}) leads elsewhere",
                hint="mend report.path or keys.pair (docs/workload.md); where no report is required, leave it out",
            )


@frozen
class Seeded:
    """The ids and names that the seed made. ``dr_run_id`` is "" where DR has run nothing."""

    primary_run_id: str
    dr_run_id: str
    backup_uri: str
    primary_role: str
    dr_role: str
    instance_id: str = ""

    @property
    def canonical_run_id(self) -> str:
        """The run that all pointers name: DR's, if it has one."""
        return self.dr_run_id or self.primary_run_id


@frozen
class Objects:
    """One site's role, and its objects."""

    role: str
    installed: Sequence[Manifest]  # as they are applied first: publishing off, the one-off Jobs among them
    lasting: Sequence[Manifest]  # as they are before any disaster


def manifests(site: Site, options: Options, identity: Identity, endpoint: str) -> list[Manifest]:
    """Return a site's lasting objects as before any disaster: schedule on, publishing on."""
    installed = installation(site, options, identity, endpoint)
    made = [manifest for manifest in installed if manifest["kind"] != "Job"]
    for manifest in made:
        if _is(manifest, "ConfigMap", options.contract.kubernetes.configmap):
            manifest["data"] |= options.contract.switches.on
    return made


def installation(site: Site, options: Options, identity: Identity, endpoint: str) -> list[Manifest]:
    """Return a site's objects as they are installed: publishing off, the one-off Jobs among them."""
    contract = options.contract
    names = contract.kubernetes
    made = base.objects(contract, IMAGE_REF)
    for manifest in made:
        if _is(manifest, "ConfigMap", names.configmap):
            manifest["data"] |= _settings(site, options)
    place = next(number for number, manifest in enumerate(made) if manifest["kind"] == "ConfigMap")
    secret = _object(contract, "v1", "Secret", names.secret, type="Opaque", data=_secret(options, identity, endpoint))
    sections = [_control_plane_section(contract, section, files) for section, files in _control_plane().items()]
    return [*made[: place + 1], secret, *sections, *made[place + 1 :]]


def seed(cloud: Cloud, primary: Cluster, dr: Cluster, options: Options, report: Report = lambda _step: None) -> Seeded:
    """Seed empty, running servers; ``report`` each step. Raises DrfsmError if a seeded run doesn't succeed."""
    cloud.create_bucket(options.bucket)
    promoted, contract = options.canonical == "dr", options.contract
    earlier, now = run_ids(contract)
    primary_run_id, dr_run_id = (earlier, now) if promoted else (now, "")
    with ThreadPoolExecutor() as pool:
        runner = pool.submit(launch_runner, cloud, contract) if options.runner and promoted else None
        of_primary, of_dr = (_site(cloud, site, options) for site in ("primary", "dr"))
        install(primary, of_primary, contract, primary_run_id, report)
        report("the backup of the primary")
        backup_uri = publish_backup(cloud, options, of_primary.lasting, primary_run_id)
        publish_control_plane(cloud, options)
        if promoted:
            install(dr, of_dr, contract, dr_run_id, report)
            _apply(primary, after_promote(of_primary.lasting, contract))
        else:
            _apply(dr, after_restore(of_dr.lasting, _bundle_sha256(cloud, options), contract))
        instance_id = runner.result() if runner else ""
    return Seeded(primary_run_id, dr_run_id, backup_uri, of_primary.role, of_dr.role, instance_id)


def install(
    cluster: Cluster, objects: Objects, contract: Workload, run_id: str, report: Report = lambda _step: None
) -> None:
    """Install a site, run its CronJob once with that run id, and let it publish from then on.

    Raises DrfsmError if a Job of it doesn't succeed in time.
    """
    _apply(cluster, objects.installed)
    (cronjob,) = (manifest for manifest in objects.installed if manifest["kind"] == "CronJob")
    home = f"/apis/batch/v1/namespaces/{contract.kubernetes.namespace}"
    live = read(cluster.kubeconfig, f"{home}/cronjobs/{contract.kubernetes.cronjob}")
    owned = {**cronjob, "metadata": {**cronjob["metadata"], "uid": live["metadata"]["uid"]}}
    variables = contract.variables
    environment = {
        **contract.switches.on, **variables.validation, variables.run_id: run_id, "SANDBOX_SLEEP_SECONDS": "0",
    }  # fmt: skip
    run = job_from(owned, f"{contract.kubernetes.cronjob}-seed", environment)
    cluster.apply(run)
    for job in (run, *(manifest for manifest in objects.installed if manifest["kind"] == "Job")):
        report(f"the Job {job['metadata']['name']} on {cluster.name}")
        _await(cluster, f"{home}/jobs/{job['metadata']['name']}")
    _apply(cluster, [manifest for manifest in objects.lasting if manifest["kind"] == "ConfigMap"])


def _await(cluster: Cluster, path: str) -> None:
    """Wait until a Job is complete, on one connection. Raises DrfsmError if it fails, or takes too long."""
    server, headers, context = _door(cluster.kubeconfig.read_bytes())
    address, job = urlsplit(server).netloc, {}
    connection = (
        HTTPSConnection(address, timeout=10, context=context) if context else HTTPConnection(address, timeout=10)
    )
    deadline = time.monotonic() + RUN_SECONDS
    with closing(connection):
        while time.monotonic() < deadline:
            connection.request("GET", path, headers=dict(headers))
            job = json.loads(connection.getresponse().read())
            ended = {mark["type"] for mark in job.get("status", {}).get("conditions", []) if mark["status"] == "True"}
            if "Complete" in ended:
                return
            if "Failed" in ended:
                break
            time.sleep(POLL_SECONDS)
    raise DrfsmError(f"the seeded Job {path.rpartition('/')[2]} did not succeed: {job.get('status')}")


def read(kubeconfig: Path, path: str) -> Manifest:
    """Return the answer of a cluster's API to a GET, without the half second that loading the client takes."""
    server, headers, context = _door(kubeconfig.read_bytes())
    request = urllib.request.Request(server + path, headers=dict(headers))  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310  loopback
        body: Manifest = json.loads(answer.read())
    return body


@lru_cache(maxsize=8)
def _door(kubeconfig: bytes) -> tuple[str, Mapping[str, str], ssl.SSLContext | None]:
    """Return the server that a kubeconfig names, the headers that it takes, and how its certificate is checked.

    Kept, because whoever waits for a Job asks many times: parsing one takes 15 ms.
    """
    import yaml

    config = yaml.load(kubeconfig, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  safe, and faster
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    context = None
    if cluster["server"].startswith("https"):
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
    return cluster["server"], headers, context


def after_promote(site_manifests: Sequence[Manifest], contract: Workload) -> list[Manifest]:
    """Return the primary's CronJob and ConfigMap as a promote by drfsm leaves them: frozen, and annotated."""
    touched = (("CronJob", contract.kubernetes.cronjob), ("ConfigMap", contract.kubernetes.configmap))
    return [
        _quiet(manifest, PROMOTE_RUN, contract)
        for manifest in site_manifests
        if any(_is(manifest, *each) for each in touched)
    ]


def after_restore(site_manifests: Sequence[Manifest], bundle_sha256: str, contract: Workload) -> list[Manifest]:
    """Return DR's objects as a restore by drfsm leaves them: quiet, and its control plane from the bundle."""
    restored = (manifest for manifest in site_manifests if manifest["kind"] in RESTORED)
    quiet = [_quiet(manifest, RESTORE_RUN, contract) for manifest in restored]
    for manifest in quiet:
        if manifest["metadata"]["name"] in map(contract.kubernetes.control_plane_of, CONTROL_PLANE):
            manifest["metadata"]["annotations"] = {BUNDLE: bundle_sha256}
    return quiet


def _quiet(manifest: Manifest, run: str, contract: Workload) -> Manifest:
    """Return an object changed so that it starts and publishes nothing; an annotation holds its old values."""
    quieted = deepcopy(manifest)
    if quieted["kind"] == "CronJob":
        quieted["metadata"]["annotations"] = {BEFORE: _compact({"run": run, "suspend": False})}
        quieted["spec"]["suspend"] = True
    elif _is(quieted, "ConfigMap", contract.kubernetes.configmap):
        switches = {name: quieted["data"][name] for name in contract.switches.names}
        quieted["metadata"]["annotations"] = {BEFORE: _compact({"run": run, "data": switches})}
        quieted["data"] |= contract.switches.off
    elif quieted["kind"] == "Deployment":  # a pod of it could publish by itself
        quieted["metadata"]["annotations"] = {BEFORE: _compact({"run": run, "replicas": quieted["spec"]["replicas"]})}
        quieted["spec"]["replicas"] = 0
    return quieted


def job_from(cronjob: Manifest, name: str, environment: Mapping[str, str]) -> Manifest:
    """Return the Job that ``kubectl create job --from=cronjob/…`` would make, with more environment."""
    spec = deepcopy(cronjob["spec"]["jobTemplate"]["spec"])
    container = spec["template"]["spec"]["containers"][0]
    container["env"] = [*container.get("env", []), *({"name": n, "value": v} for n, v in environment.items())]
    metadata = {part: deepcopy(cronjob["metadata"].get(part)) for part in ("namespace", "labels")}
    job: Manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": spec}
    job["metadata"]["annotations"] = {"cronjob.kubernetes.io/instantiate": "manual"}
    job["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": cronjob["metadata"]["name"],
            "uid": cronjob["metadata"]["uid"],
            "controller": True,
        }
    ]
    return job


def run_ids(contract: Workload, now: datetime | None = None) -> tuple[str, str]:
    """Return the ids of a run of a day ago and of one of now, as the workload names its runs."""
    later = now or datetime.now(UTC)
    earlier = later - timedelta(days=1, minutes=7)
    form = RUN_ID if contract.run_ids.form == "time" else RUN_NAME
    prefix = contract.run_ids.prefix
    return f"{prefix}{earlier.strftime(form)}", f"{prefix}{later.strftime(form)}"


def publish_control_plane(cloud: Cloud, options: Options) -> str:
    """Publish the control-plane bundle and its ``current.json``; return the bundle's URI."""
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    files = {f"{section}/{name}": body for section, named in _control_plane().items() for name, body in named.items()}
    files["manifest.json"] = _pretty(
        {
            "schema_version": 1,
            "created_at": at,
            "git_sha": GIT_SHA,
            "image_ref_digest": IMAGE_REF,
            "supported_sections": list(CONTROL_PLANE),
            "files": [{"path": name, **_described(body)} for name, body in sorted(files.items())],
        }
    )
    bundle = gzip.compress(_tar({f"control-plane/{name}": body for name, body in files.items()}), mtime=0)
    home = f"{options.prefix}/control-plane"
    key = f"{home}/bundles/{at}-{GIT_SHA[:12]}.tar.gz"
    current = {
        "schema_version": 1,
        "current_uri": f"s3://{options.bucket}/{home}/current.json",
        "bundle_uri": f"s3://{options.bucket}/{key}",
        "bundle_sha256": hashlib.sha256(bundle).hexdigest(),
        "created_at": at,
        "git_sha": GIT_SHA,
        "image_ref_digest": IMAGE_REF,
    }
    s3 = cloud.client("s3")
    s3.put_object(Bucket=options.bucket, Key=key, Body=bundle)
    s3.put_object(Bucket=options.bucket, Key=f"{home}/current.json", Body=_pretty(current))
    return f"s3://{options.bucket}/{key}"


def publish_backup(cloud: Cloud, options: Options, site_manifests: Sequence[Manifest], run_id: str) -> str:
    """Publish a backup of a site as it is just after ``run_id``; return its URI.

    The two ``.tar.zst`` are real Zstandard frames, with their content stored, not compressed: the
    standard library of Python 3.11 can't compress so, and a backup of a few kilobytes needs no more.
    The Secret's values are not in it.
    """
    s3 = cloud.client("s3")
    backup_id = datetime.now(UTC).strftime("backup-%Y%m%dT%H%M%SZ")
    home = f"{options.prefix}/backups/{backup_id}"
    pointers = options.contract.pointers
    key = f"{pointers.home.format(candidate=options.contract.defaults.candidate)}/{pointers.name}"
    try:
        pointer = s3.get_object(Bucket=options.bucket, Key=f"{options.prefix}/{key}")["Body"].read()
    except s3.exceptions.NoSuchKey:
        raise DrfsmError(f"the seeded run {run_id} succeeded and published no pointer {options.prefix}/{key}") from None
    state = {"state/last_run.json": _pretty({"run_id": run_id}), key: pointer}
    kept = {
        f"manifests/{manifest['kind'].lower()}.{manifest['metadata']['name']}.json": _pretty(manifest)
        for manifest in site_manifests
        if manifest["kind"] in APIS
    }
    bodies = {"state.tar.zst": zstd_stored(_tar(state)), "manifests.tar.zst": zstd_stored(_tar(kept))}
    metadata = {
        "schema_version": 1,
        "backup_id": backup_id,
        "backup_uri": f"s3://{options.bucket}/{home}",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "run_id": run_id,
        "compression": "zstd, stored",
        "excluded": [f"Secret/{options.contract.kubernetes.secret}"],
        "checksums": {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()},
        "sizes": {name: len(body) for name, body in bodies.items()},
    }
    for name, body in {**bodies, "metadata.json": _pretty(metadata)}.items():
        s3.put_object(Bucket=options.bucket, Key=f"{home}/{name}", Body=body)
    return f"s3://{options.bucket}/{home}"


def launch_runner(cloud: Cloud, contract: Workload | None = None) -> str:
    """Launch DR's runner, tagged as the real one is, or as a contract says; return its instance id."""
    wanted = RUNNER_TAGS
    if contract is not None:
        wanted = {**RUNNER_TAGS, **contract.runners.tags, "Name": contract.runners.name}
    tags = [{"Key": key, "Value": value} for key, value in wanted.items()]
    answer = cloud.client("ec2").run_instances(
        ImageId=MACHINE_IMAGE,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(answer["Instances"][0]["InstanceId"])


def _site(cloud: Cloud, site: Site, options: Options) -> Objects:
    """Make a site's identity; return the site's objects."""
    identity = cloud.create_identity(f"{options.bucket}-{site}")
    given = (site, options, identity, cloud.endpoint)
    return Objects(identity.arn, installation(*given), manifests(*given))


def _apply(cluster: Cluster, site_manifests: Sequence[Manifest]) -> None:
    for manifest in site_manifests:
        cluster.apply(manifest)


def _bundle_sha256(cloud: Cloud, options: Options) -> str:
    """Return the digest of the published bundle from ``current.json``."""
    key = f"{options.prefix}/control-plane/current.json"
    pointer = json.loads(cloud.client("s3").get_object(Bucket=options.bucket, Key=key)["Body"].read())
    return str(pointer["bundle_sha256"])


def zstd_stored(body: bytes) -> bytes:
    """Return a Zstandard frame (RFC 8878) that holds ``body`` in raw blocks."""
    block_size = 128 * 1024
    frame = (0xFD2FB528).to_bytes(4, "little") + b"\xa0" + len(body).to_bytes(4, "little")
    chunks = [body[at : at + block_size] for at in range(0, len(body), block_size)] or [b""]
    for number, chunk in enumerate(chunks, start=1):
        last = number == len(chunks)
        frame += (len(chunk) << 3 | last).to_bytes(3, "little") + chunk
    return frame


def _settings(site: Site, options: Options) -> dict[str, str]:
    settings = {
        "AWS_REGION": REGION,
        options.contract.variables.prefix: options.prefix,
        "JOBINTEL_PROVIDERS": ",".join(options.providers),
        "JOBINTEL_PROFILES": ",".join(options.profiles),
        "JOBINTEL_PUBLISH_RUN_REPORT": "1" if options.publish_reports else "0",
        "SANDBOX_SLEEP_SECONDS": str(options.pods_sleep_seconds),
    }
    if site == "primary" and options.diverge_on_primary:
        settings["JOBINTEL_DIVERGE"] = options.diverge_on_primary
    return settings


def _secret(options: Options, identity: Identity, endpoint: str) -> dict[str, str]:
    values = {
        options.contract.variables.bucket: options.bucket,
        "AWS_ACCESS_KEY_ID": identity.access_key_id,
        "AWS_SECRET_ACCESS_KEY": identity.secret_access_key,
        "AWS_ENDPOINT_URL": endpoint,
    }
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}


@lru_cache(1)
def _control_plane() -> Mapping[str, Mapping[str, bytes]]:
    """Return section -> file -> its bytes. They are large, and the same in every sandbox."""
    return {section: {name: _pretty(body) for name, body in files.items()} for section, files in CONTROL_PLANE.items()}


def _control_plane_section(contract: Workload, section: str, files: Mapping[str, bytes]) -> Manifest:
    data = {name.replace("/", "__"): body.decode() for name, body in files.items()}
    return _object(contract, "v1", "ConfigMap", contract.kubernetes.control_plane_of(section), data=data)


def _object(contract: Workload, api: str, kind: str, name: str, **rest: Any) -> Manifest:
    names = contract.kubernetes
    metadata = {"name": name, "namespace": names.namespace, "labels": dict(names.labels)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _is(manifest: Manifest, kind: str, name: str) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar whose bytes depend only on names and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, body in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def _described(body: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
