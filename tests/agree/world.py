"""A whole world in memory for each machine, in which every fact has a value: what a fact's table starts from.

``place_for(machine)`` returns the world in the middle of a run: the other site's run is canonical, the validated run
lies beside it, the pointers are captured, the validation Job has ended. A case of a table changes it in one respect.
Objects are those of the sandbox's manifests, runs are written by the sandbox's workload: nothing is invented here that
a real site would not have. It builds on the rooms' world in memory (tests/dr/memory.py).
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

from attrs import define, field

from drfsm.dr import workload as contracts
from drfsm.dr.layout import Layout
from drfsm.dr.procedures.bindings import binding
from drfsm.dr.terms import Terms, terms_of
from drfsm.engine import Run
from drfsm.journal.replay import Actor
from drfsm.sandbox import seed, workload
from drfsm.sandbox.cloud import Cloud, Identity
from drfsm.sandbox.workload_artifacts import artifacts
from drfsm.sandbox.workload_local import Run as WorkloadRun
from drfsm.sandbox.workload_local import report
from drfsm.spec.model import MachineSpec
from drfsm.world import Kubeconfig, Machine, Manifest, Runner, Standing, World
from drfsm.world.values import Change, Changes
from tests.agree.parts import ACCOUNT, Account, Clock, Procedures, Provisioner, Site
from tests.agree.serving import Https, Names, Zones
from tests.dr.memory import NOW, MemoryPolicy, MemoryStore

BUCKET, PREFIX = "bucket-1", "jobintel"
NAMESPACE, CRONJOB, CONFIGMAP = seed.NAMESPACE, seed.CRONJOB, seed.CONFIGMAP
OLD_RUN, NEW_RUN, NEXT_RUN = "2026-02-27T00:22:29Z", "2026-02-28T13:00:00Z", "2026-03-01T11:00:00Z"
"""The run that is canonical, the validated one that takes its place, and one that neither site had before."""
ROLES = {site: f"arn:aws:iam::{ACCOUNT}:role/{site}" for site in ("primary", "dr")}
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
BACKUP, PULL_SECRET = f"s3://{BUCKET}/{PREFIX}/backups/backup-1", "ecr-pull"
OPTIONS = seed.Options(bucket=BUCKET)
TARGETS = {"drill": "dr", "promote": "dr", "failback": "primary"}
IDS = {machine: f"{machine}-20260228T125500Z-a1b2c3d4e5f6" for machine in TARGETS}


class _Bucket:
    """A store as the seed's S3 client and cloud, so that it writes there what it writes into a sandbox."""

    class exceptions:  # noqa: N801  boto3's name
        """What the client raises."""

        NoSuchKey = KeyError

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def client(self, _service: str) -> "_Bucket":
        """Return the client."""
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803, ARG002  boto3's names
        """Write."""
        self._store.lay(Key, Body)

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, Any]:  # noqa: N803, ARG002
        """Read."""
        return {"Body": _Body(self._store.objects[Key].body)}


@define
class _Body:
    content: bytes

    def read(self) -> bytes:
        """Return it."""
        return self.content


@define
class Place:
    """A machine's world, inputs and run, for one case to change."""

    machine: str
    world: World
    inputs: dict[str, Any]
    run_fields: dict[str, Any] = field(factory=dict)

    @property
    def store(self) -> MemoryStore:
        """The bucket."""
        return cast("MemoryStore", self.world.store)

    @property
    def policy(self) -> MemoryPolicy:
        """The bucket's policy."""
        return cast("MemoryPolicy", self.world.policy)

    @property
    def account(self) -> Account:
        """The cloud account."""
        return cast("Account", self.world.identity)

    @property
    def provisioner(self) -> Provisioner:
        """What brings up the site."""
        return cast("Provisioner", self.world.provisioner)

    @property
    def procedures(self) -> Procedures:
        """The runs that belong to a drill."""
        return cast("Procedures", self.world.procedures)

    @property
    def primary(self) -> Site:
        """The primary's cluster."""
        return self.site("primary")

    @property
    def dr(self) -> Site:
        """DR's cluster."""
        return self.site("dr")

    @property
    def target(self) -> Site:
        """The site that takes over."""
        return self.site(TARGETS[self.machine])

    def site(self, name: str) -> Site:
        """Return a cluster."""
        return cast("Site", self.world.site(name))

    @property
    def terms(self) -> Terms:
        """The typed inputs."""
        return terms_of(self.inputs)

    @property
    def layout(self) -> Layout:
        """The canonical layout."""
        return self.terms.layout

    @property
    def staged(self) -> Layout:
        """Where the validated run lies."""
        return self.terms.staged(IDS[self.machine])

    def run(self, inputs: Mapping[str, Any] | None = None) -> Run:
        """Return what a fact is handed."""
        usual: dict[str, Any] = {
            "id": IDS[self.machine], "operator": "ana", "epoch": 7, "dry_run": False, "trigger": "test", "results": {},
            "args": {}, "clock": Clock(),
        }  # fmt: skip
        return Run(inputs=self.inputs if inputs is None else inputs, **{**usual, **self.run_fields})

    def set(self, **inputs: Any) -> None:
        """Change inputs."""
        self.inputs |= inputs

    def recorded(self, trigger: str, result: Any) -> None:
        """Have a row's result on record."""
        self.run_fields["results"] = {**self.run_fields.get("results", {}), trigger: result}


def place_for(machine: str, spec: MachineSpec) -> Place:
    """Return a machine's world, made anew: nothing of another case is in it."""
    store, account, zones = deepcopy(_seeded(machine)), Account(), Zones()
    cloud, procedures = cast("Any", account), cast("Any", Procedures())
    world = World(
        store=store, policy=MemoryPolicy(), identity=account, infrastructure=cloud, alarms=cloud, registry=account,
        pull_tokens=account, provisioner=cast("Any", Provisioner()), procedures=procedures,
        zones=cast("Any", zones), names=Names(zones), https=cast("Any", Https()),
        **{site: cast("Any", Site(site, *deepcopy(_objects(machine, site)))) for site in ("primary", "dr")},
    )  # fmt: skip
    place = Place(machine, world, inputs_for(machine, spec))
    if "capture_pointers" in binding(machine).actions:
        place.recorded("capture_pointers", binding(machine).actions["capture_pointers"](world, place.run()))
    place.run_fields["starter"] = Actor(
        "started", NOW.isoformat(), "ana", "here", {"cloud_caller": "arn:aws:iam::1:user/ana"}
    )
    return place


def inputs_for(machine: str, spec: MachineSpec) -> dict[str, Any]:
    """Return a machine's inputs: each as it says "no" to what is optional, but those of this world."""
    first = {name: declared.values[0] if declared.values else "" for name, declared in spec.inputs.items()}
    own = {
        "workload": contracts.canonical(contracts.shipped()), "bucket": BUCKET, "prefix": PREFIX,
        "namespace": NAMESPACE,
        "candidate": "local", "provider": "openai", "profile": "cs", "configmap": CONFIGMAP, "taker": TARGETS[machine],
        "dr_run_id": NEW_RUN, "primary_run_id": OLD_RUN, "staged_prefix": f"{PREFIX}/promotes/p", "validation": "own",
        "journal_prefix": f"{PREFIX}/drills/d", "allow_tag": "no", "backup_uri": BACKUP, "teardown": "false",
        "primary_restore_backup_uri": BACKUP, "approval_expires": 24, "validation_timeout": 900, "startup_timeout": 90,
        "soak": "next", "soak_timeout": 900, "drain_timeout": 300, "plan_nonce": "n", "region": "us-east-1",
        "site": "new", "infrastructure": "ec2", "fence_primary": "none", "restore": "asked", "validate": "asked",
        "sync_src_prefix": f"{PREFIX}/runs/", "sync_dst_prefix": f"{PREFIX}/kept/", "started_at": OLD_RUN,
        "fence_primary_role": ROLES["primary"], "fence_dr_role": ROLES["dr"], "deployments": "stopped",
        **({"dr_run_id": OLD_RUN, "primary_run_id": NEW_RUN} if machine == "failback" else {}),
        **({"staged_prefix": f"{PREFIX}/drills/d/validation"} if machine == "drill" else {}),
    }  # fmt: skip
    return {name: own.get(name, value) for name, value in first.items()}


# --- the sites ----------------------------------------------------------------------------------------------


@cache
def _objects(machine: str, site: seed.Site) -> list[Manifest]:
    """Return a site's objects: the owner's work by themselves, those of the other are quiet."""
    lasting = seed.manifests(site, OPTIONS, Identity(ROLES[site], "AKIA", "secret"), "http://s3")
    contract = contracts.shipped()
    if site == "dr" and TARGETS[machine] == "dr":
        lasting = seed.after_restore(lasting, "0" * 64, contract)
    elif site == "primary" and machine == "failback":
        quiet = {(each["kind"], each["metadata"]["name"]): each for each in seed.after_promote(lasting, contract)}
        lasting = [quiet.get((each["kind"], each["metadata"]["name"]), each) for each in lasting]
    objects = [*lasting, a_node(f"{site}-node"), _namespace("kube-system")]
    for number, manifest in enumerate(objects):
        metadata = manifest["metadata"]
        metadata |= {"uid": f"{site}-{number}", "creationTimestamp": (NOW - timedelta(days=9)).isoformat()}
        if manifest["kind"] == "Deployment":
            manifest["status"] = {"availableReplicas": manifest["spec"].get("replicas", 1)}
    return objects


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def a_node(name: str, *, ready: bool = True) -> Manifest:
    """Return a node."""
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    status = {"conditions": conditions, "nodeInfo": {"architecture": "amd64"}, "allocatable": room}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}, "status": status}


def a_pod(name: str, *, job: str = "", node: str = "", phase: str = "Running", **status: Any) -> Manifest:
    """Return a pod of a Job."""
    owners = [{"kind": "Job", "name": job, "uid": f"uid-{job}"}] if job else []
    metadata = {
        "name": name, "namespace": NAMESPACE, "ownerReferences": owners, "creationTimestamp": NOW.isoformat(),
        "labels": {"job-name": job},
    }  # fmt: skip
    spec = {"nodeName": node, "containers": [{"name": "job", "image": seed.IMAGE_REF}], "restartPolicy": "Never"}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase, **status}}


def a_job(name: str, *, ended: str = "", **metadata: Any) -> Manifest:
    """Return a Job. ``ended``: Complete, Failed or "" for one that runs."""
    conditions = [{"type": ended, "status": "True"}] if ended else []
    usual = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "creationTimestamp": NOW.isoformat()}
    container = {"name": "job", "image": seed.IMAGE_REF}
    return {
        "kind": "Job", "metadata": {**usual, **metadata}, "spec": {"template": {"spec": {"containers": [container]}}},
        "status": {"conditions": conditions, **({} if ended else {"active": 1})},
    }  # fmt: skip


# --- the bucket ---------------------------------------------------------------------------------------------


@cache
def _seeded(machine: str) -> MemoryStore:
    """Return a bucket with the canonical run, the validated one beside, a control plane and a backup."""
    store = MemoryStore()
    store.bucket = BUCKET
    publish(store, PREFIX, OLD_RUN)
    staged = {
        "drill": f"{PREFIX}/drills/d/validation",
        "promote": f"{PREFIX}/promotes/p",
        "failback": f"{PREFIX}/validations/{IDS['failback']}",
    }
    publish(store, staged[machine], NEW_RUN)
    cloud = cast("Cloud", _Bucket(store))
    seed.publish_control_plane(cloud, OPTIONS)
    lasting = seed.manifests("primary", OPTIONS, Identity(ROLES["primary"], "AKIA", "secret"), "http://s3")
    lay_backup(store, lasting)
    return store


def lay_backup(store: MemoryStore, manifests: Sequence[Manifest], **fields: Any) -> None:
    """Publish a backup of these objects under this world's name. ``fields``: more of its metadata."""
    uri = seed.publish_backup(cast("Cloud", _Bucket(store)), OPTIONS, manifests, OLD_RUN)
    home, wanted = uri.removeprefix(f"s3://{BUCKET}/"), BACKUP.removeprefix(f"s3://{BUCKET}/")
    for key in [key for key in store.objects if key.startswith(f"{home}/")]:
        body = store.objects.pop(key).body
        if key.endswith("metadata.json"):
            metadata = json.loads(body)
            metadata |= {"backup_id": "backup-1", "backup_uri": BACKUP, "created_at": NOW.isoformat(), **fields}
            body = json.dumps(metadata).encode()
        store.lay(f"{wanted}/{key.rpartition('/')[2]}", body)


def publish(store: MemoryStore, prefix: str, run_id: str, ended_at: str = "", *, until: str = "", **more: str) -> None:
    """Let the workload publish a run. ``until``: it is killed after that step; ``more``: its environment."""
    for write in _writes(prefix, run_id, ended_at or run_id, tuple(more.items())):
        store.lay(write.key, write.body)
        if write.step == until:
            return


@cache
def _writes(prefix: str, run_id: str, ended_at: str, more: tuple[tuple[str, str], ...]) -> list[workload.Write]:
    environ = {"JOBINTEL_S3_BUCKET": BUCKET, "JOBINTEL_S3_PREFIX": prefix, "JOBINTEL_RUN_ID": run_id}
    environ |= {"PUBLISH_S3": "1", **dict(more)}
    settings = workload.Settings.read(environ, [])
    run = WorkloadRun(run_id, "local", "snapshot", settings.pairs, True, run_id, ended_at, 1.0)  # noqa: FBT003  a tuple
    made = artifacts(settings.contract, settings.given, settings.pairs)
    return list(workload.writes(settings, run, made, report(settings.contract, run, made)))


def point(store: MemoryStore, key: str, run_id: str, **fields: Any) -> None:
    """Let one pointer name a run, as a careless hand would."""
    body = json.loads(store.objects[key].body)
    body |= {"run_id": run_id, "run_path": f"{PREFIX}/runs/{run_id}", "ended_at": run_id, **fields}
    store.lay(key, json.dumps(body).encode())


def own(place: Place, site: str, *, uid: str = "") -> None:
    """Let a site own the pointers, by drfsm's object."""
    owned = {"schema_version": 1, "site": site, "cluster_uid": uid or f"uid-{site}", "epoch": 1, "run": None}
    place.store.lay(place.layout.own("ownership.json"), json.dumps({**owned, "nonce": "n"}).encode())


def flip(store: MemoryStore, key: str) -> None:
    """Change one bit of an object."""
    body = bytearray(store.objects[key].body)
    body[len(body) // 2] ^= 1
    store.lay(key, bytes(body))


def run_keys(place: Place, layout: Layout, run_id: str) -> Iterator[str]:
    """Yield the keys of a run's artifacts."""
    yield from [key for key in place.store.objects if key.startswith(f"{layout.run(run_id)}/")]


# --- the site's pull Secret ---------------------------------------------------------------------------------


def pulls(place: Place, expires: datetime | None) -> None:
    """Let the target's CronJob pull from ECR by a Secret, whose token lasts until then; None: it has no Secret yet."""
    place.set(image_ref=f"{ECR}/jobintel@sha256:{'a' * 64}")
    spec = place.target.objects["CronJob", CRONJOB]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    spec["imagePullSecrets"] = [{"name": PULL_SECRET}]
    if expires is None:
        return
    payload = {"payload": "x", "version": "2", "type": "DATA_KEY", "expiration": int(expires.timestamp())}
    token = base64.b64encode(json.dumps(payload).encode()).decode()
    entry = {"auth": base64.b64encode(f"AWS:{token}".encode()).decode()}
    body = base64.b64encode(json.dumps({"auths": {ECR: entry}}).encode()).decode()
    metadata = {"name": PULL_SECRET, "namespace": NAMESPACE, "creationTimestamp": NOW.isoformat()}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
    place.target.add({**kind, "metadata": metadata, "data": {".dockerconfigjson": body}})


def a_machine(place: Place, instance_id: str, state: str = "running", *, run: str = "") -> None:
    """Let the cloud list a machine of DR's. ``run``: the drfsm run that it carries."""
    tags = {**contracts.shipped().runners.tags, **({"drfsm-run": run} if run else {})}
    place.account.machines[instance_id] = Runner(instance_id, state, tags)


def stands(place: Place, *, kubeconfig: bool = True, **standing: Any) -> None:
    """Let the drill's site stand."""
    place.provisioner.site = Standing(**{"machines": (Machine("i-1", "running"),), "resources": 1, **standing})
    if place.provisioner.site.machines:
        a_machine(place, "i-1", run=IDS["drill"])
    if kubeconfig:
        place.provisioner.kubeconfig = Kubeconfig(hashlib.sha256(b"k").hexdigest(), "https://dr")


PLAN = Changes("ec2", (Change("instance", ("create",)),), ("one machine",), "")
