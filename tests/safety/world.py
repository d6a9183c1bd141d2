"""Two seeded sites in this process, and a failback on them that a test can meddle with between any two steps.

``Site`` is one sandbox, put back to its start for every test: starting one costs seconds, putting it back a
fraction. ``Failback`` is one run, wired as the CLI wires it (the real adapters, a journal on disk), but in
this process: each verb opens the journal anew, as another process would. ``when`` hooks a deed onto a record
of the journal, so that the world changes exactly between two steps; a deed that raises ``Killed`` is a power
cut there. What any run asks of the clusters and leaves in its journal is held against what preflight asks
for, and against the audit, whenever a test closes it.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from attrs import Factory, define, evolve, field

from drfsm.adapters.fenced import fenced
from drfsm.adapters.file_journal import LOG, FileJournal
from drfsm.adapters.s3_journal import MirroredJournal
from drfsm.adapters.s3_lease import S3Lease
from drfsm.dr import workload
from drfsm.dr.endpoints.declared import scope_of
from drfsm.dr.procedures.bindings import binding
from drfsm.dr.sites.preflight import PULL_SECRET_VERBS, VALIDATION_VERBS, VERBS
from drfsm.dr.sites.schedules import EPOCH
from drfsm.dr.sites.startable import WISHED_VERBS
from drfsm.engine import Runner
from drfsm.engine.runner import new_run_id
from drfsm.errors import DrfsmError
from drfsm.evidence.audit import Verdict, audit
from drfsm.evidence.standing import standing
from drfsm.evidence.summary import summarise
from drfsm.journal import Record, RunState
from drfsm.resources import shipped
from drfsm.runs.receipts import hold
from drfsm.runs.world import connect
from drfsm.sandbox import Sandbox
from drfsm.sandbox.cloud import MACHINE_IMAGE
from drfsm.sandbox.seed import BEFORE, CONFIGMAP, CRONJOB, NAMESPACE, RUNNER_TAGS, job_from
from drfsm.spec import MachineSpec, load_machine
from drfsm.world import Cluster, Copy, World
from tests.direct_store import Bucket

TEXT = (shipped("machines") / "failback.yaml").read_bytes()
SPEC = load_machine(TEXT, source="failback.yaml")
SPEED = 10  # a run's waits are so much shorter than declared
SOON_SECONDS, POLL_SECONDS = 60.0, 0.02
SITES = ("primary", "dr")
PLURALS = {
    "CronJob": "cronjobs",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Job": "jobs",
    "Pod": "pods",
    "Node": "nodes",
}
KEPT = ("cronjobs", "configmaps", "deployments")

Manifest = dict[str, Any]
Deed = Callable[[], object]
Answer = TypeVar("Answer")


class Killed(BaseException):
    """A power cut: nothing of drfsm gets to say anything any more."""


@define
class HeldBack:
    """A request that was sent, and that the world has not taken yet: its process dies while it is on its way."""

    request: Callable[[], object] | None = None

    def lands(self) -> object:
        """Let the world take it now, with the conditions that it was sent with; return the answer."""
        assert self.request is not None, "no such request was sent"
        request, self.request = self.request, None
        return request()


class Clock:
    """Time that passes only where somebody waits, and then quickly: a busy machine uses up nobody's limit.

    ``ahead`` moves the time of day, for the clusters too; ``wrong`` moves what this machine alone takes for it.
    """

    def __init__(self) -> None:
        self.ahead = self.wrong = timedelta()
        self.speed = SPEED
        self._slept = 0.0

    def now(self) -> str:
        """Return the time of day."""
        return (datetime.now(UTC) + self.ahead + self.wrong).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def monotonic(self) -> float:
        """Return the seconds that were waited."""
        return self._slept

    def sleep(self, seconds: float) -> None:
        """Pause, shorter than asked."""
        self._slept += seconds
        time.sleep(seconds / self.speed)


def soon(told: str, holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SOON_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"it took too long: {told}"
        time.sleep(POLL_SECONDS)


def one_after_another(*deeds: Deed) -> Deed:
    """Return one deed of many."""

    def do() -> None:
        for each in deeds:
            each()

    return do


class Site(Bucket):
    """A sandbox, and the hands of everybody but drfsm on it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__(sandbox.cloud, sandbox.bucket)
        self.prefix, self.dr_run_id = sandbox.prefix, sandbox.dr_run_id
        self.s3, self.ec2 = sandbox.cloud.client("s3"), sandbox.cloud.client("ec2")
        self._objects = self.everything()
        self._kept = {site: {plural: self.cluster(site).store.list(plural)[0] for plural in KEPT} for site in SITES}
        self._jobs = {site: {each["metadata"]["uid"] for each in self.jobs(site)} for site in SITES}
        self._lost: set[str] = set()
        self._alarms: set[str] = set()
        self._launched = False
        self.worlds: dict[tuple[str, ...], World] = {}

    def cluster(self, site: str) -> Any:
        """Return a site's emulated cluster."""
        return getattr(self.sandbox, site)

    # --- back to the start ------------------------------------------------------------------------------

    def reset(self) -> None:
        """Put everything back as it was seeded."""
        for site in SITES:
            self._reset_cluster(site)
        self.policy(None)
        self.put_back(self._objects)
        for each in self.runners() if self._launched else ():
            self.ec2.modify_instance_attribute(InstanceId=each, DisableApiTermination={"Value": False})
            self.ec2.terminate_instances(InstanceIds=[each])
        if self._alarms:
            self.sandbox.cloud.client("cloudwatch").delete_alarms(AlarmNames=sorted(self._alarms))
        self._alarms, self._launched = set(), False

    def _reset_cluster(self, site: str) -> None:
        cluster = self.cluster(site)
        cluster.faults.clear()
        cluster.allow_all()
        self.outage(site, on=False)
        if site in self._lost:
            self.find_node(site)
        for node in cluster.store.list("nodes")[0]:
            if node["spec"].get("unschedulable"):
                self.cordon(site, on=False)
        for plural in KEPT:
            wanted = {each["metadata"]["name"]: each for each in self._kept[site][plural]}
            for each in cluster.store.list(plural)[0]:
                if each["metadata"]["name"] not in wanted:
                    cluster.store.delete(plural, NAMESPACE, each["metadata"]["name"])
            for each in wanted.values():
                cluster.apply(each)
        for each in self.jobs(site):
            if each["metadata"]["uid"] not in self._jobs[site]:
                cluster.store.delete("jobs", NAMESPACE, each["metadata"]["name"])
        soon(f"no Job's pod is left on {site}", lambda: not self._stray_pods(site))

    def _stray_pods(self, site: str) -> list[Manifest]:
        return [
            each
            for each in self.cluster(site).store.list("pods", NAMESPACE)[0]
            for owner in each["metadata"].get("ownerReferences", ())
            if owner["kind"] == "Job" and owner["uid"] not in self._jobs[site]
        ]

    # --- the bucket -------------------------------------------------------------------------------------

    def pointer_keys(self, candidate: str = "local") -> list[str]:
        """Return the keys of a candidate's global pointer and of its one pair, deciding one first."""
        homes = [f"{self.prefix}/state/candidates/{candidate}"]
        homes += [f"{self.prefix}/state"] if candidate == "local" else []
        return [*(f"{home}/last_success.json" for home in homes), *(
            f"{home}/openai/cs/last_success.json" for home in homes
        )]  # fmt: skip

    def pointers(self) -> dict[str, Any]:
        """Return every pointer's fields but drfsm's mark."""
        found = {key: json.loads(body) for key, body in self.everything(f"{self.prefix}/state/").items()}
        return {key: {n: v for n, v in each.items() if n != "drfsm"} for key, each in found.items()}

    def named(self) -> set[str]:
        """Return every run that any pointer names."""
        return {each["run_id"] for each in self.pointers().values()}

    def owner(self) -> str | None:
        """Return who owns the pointers, by drfsm's own object."""
        found = self.everything(f"{self.prefix}/drfsm/ownership.json")
        return next((json.loads(body)["site"] for body in found.values()), None)

    def point(self, key: str, run_id: str, ended_at: str | None = None) -> None:
        """Let a pointer name another run, as a careless hand would."""
        fields = {**json.loads(self.body(key)), "run_id": run_id, "run_path": f"{self.prefix}/runs/{run_id}"}
        fields.pop("drfsm", None)
        self.put(key, json.dumps({**fields, **({"ended_at": ended_at} if ended_at else {})}).encode())

    def run_keys(self, run_id: str) -> list[str]:
        """Return the keys of a run's artifacts at its canonical place."""
        return list(self.etags(f"{self.prefix}/runs/{run_id}/"))

    def policy(self, policy: Mapping[str, Any] | None) -> None:
        """Replace the bucket's policy."""
        if policy is None:
            self.s3.delete_bucket_policy(Bucket=self.bucket)
        else:
            self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def statements(self) -> list[dict[str, Any]]:
        """Return the statements of the bucket's policy."""
        try:
            raw = self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        except self.s3.exceptions.ClientError:
            return []
        return list(json.loads(raw)["Statement"])

    # --- the clusters -----------------------------------------------------------------------------------

    def schedules(self, site: str) -> dict[str, tuple[bool, str | None]]:
        """Return (suspended, what the annotation says) of every CronJob."""
        return {
            each["metadata"]["name"]: (
                bool(each["spec"].get("suspend")),
                each["metadata"].get("annotations", {}).get(BEFORE),
            )
            for each in self.cluster(site).store.list("cronjobs", NAMESPACE)[0]
        }

    def publishing(self, site: str) -> tuple[str, str]:
        """Return (PUBLISH_S3, PUBLISH_S3_DRY_RUN)."""
        data = self.cluster(site).store.get("configmaps", NAMESPACE, CONFIGMAP)["data"]
        return data["PUBLISH_S3"], data["PUBLISH_S3_DRY_RUN"]

    def touchable(self, site: str) -> dict[str, Any]:
        """Return all that a procedure may touch on a site, annotations included, but for the one of a mere touch."""
        store = self.cluster(site).store
        return {
            f"{plural}/{each['metadata']['name']}": [
                each.get("spec") or each.get("data"),
                each["metadata"].get("labels"),
                {name: text for name, text in (each["metadata"].get("annotations") or {}).items() if name != EPOCH},
            ]
            for plural in ("cronjobs", "configmaps")
            for each in store.list(plural, NAMESPACE)[0]
        }

    def edit(self, site: str, kind: str, name: str, change: Callable[[Manifest], object]) -> None:
        """Change an object behind drfsm's back, as a person or a controller would."""
        store = self.cluster(site).store
        live = deepcopy(store.get(PLURALS[kind], "" if kind == "Node" else NAMESPACE, name))
        change(live)
        store.update(PLURALS[kind], live)

    def suspend(self, site: str, name: str = CRONJOB, *, suspend: bool = True) -> None:
        """Switch a schedule off, or on."""
        self.edit(site, "CronJob", name, lambda live: live["spec"].update(suspend=suspend))

    def configure(self, site: str, **data: str) -> None:
        """Set keys of the ConfigMap."""
        self.edit(site, "ConfigMap", CONFIGMAP, lambda live: live["data"].update(data))

    def container(self, site: str, **change: Any) -> None:
        """Change the CronJob's container."""
        self.edit(site, "CronJob", CRONJOB, lambda live: _container(live).update(change))

    def add_cronjob(self, site: str, name: str, *, suspend: bool = False, **labels: str) -> None:
        """Create a CronJob like the one that is there; its schedule is far away."""
        live = self.cluster(site).store.get("cronjobs", NAMESPACE, CRONJOB)
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {**live["metadata"]["labels"], **labels}}
        spec = {**live["spec"], "suspend": suspend, "schedule": "0 0 29 2 *"}
        self.cluster(site).apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})

    def remove(self, site: str, kind: str, name: str) -> Manifest:
        """Delete an object; return it, so that it can be put back with ``apply``."""
        store = self.cluster(site).store
        found = store.get(PLURALS[kind], NAMESPACE, name)
        store.delete(PLURALS[kind], NAMESPACE, name)
        return dict(found)

    def cordon(self, site: str, *, on: bool = True) -> None:
        """Let a site's node take no new pods."""
        self.edit(site, "Node", f"{site}-node", lambda live: live["spec"].update(unschedulable=on))

    def lose_node(self, site: str) -> None:
        """Lose a site's node: its processes run on."""
        self._lost.add(site)
        self.cluster(site).node_lost(True)  # noqa: FBT003  the sandbox's switch

    def find_node(self, site: str) -> None:
        """Find a lost node again."""
        self._lost.discard(site)
        self.cluster(site).node_lost(False)  # noqa: FBT003  the sandbox's switch

    def outage(self, site: str, *, on: bool = True) -> None:
        """Lose a site, or get it back."""
        self.cluster(site).outage(on)

    def jobs(self, site: str) -> list[Manifest]:
        """Return a site's Jobs."""
        return list(self.cluster(site).store.list("jobs", NAMESPACE)[0])

    def work(self, site: str, name: str, run_id: str, **environment: str) -> None:
        """Start a Job of the site's CronJob by hand, under a run id."""
        cluster = self.cluster(site)
        cronjob = cluster.store.get("cronjobs", NAMESPACE, CRONJOB)
        cluster.apply(job_from(cronjob, name, {"JOBINTEL_RUN_ID": run_id, **environment}))
        soon(f"{name} runs", lambda: self.ended(site, name) or self.phase(site, name) == "Running")

    def phase(self, site: str, name: str) -> str:
        """Return the phase of a Job's pod."""
        pods = self.cluster(site).store.list("pods", NAMESPACE)[0]
        found = [each for each in pods if each["metadata"].get("labels", {}).get("job-name") == name]
        return str(found[0].get("status", {}).get("phase", "Pending")) if found else ""

    def log(self, site: str, name: str) -> str:
        """Return what a Job's pod has said, also while its cluster is out of reach."""
        pods = self.cluster(site).store.list("pods", NAMESPACE)[0]
        (uid,) = [e["metadata"]["uid"] for e in pods if e["metadata"].get("labels", {}).get("job-name") == name]
        files = (self.cluster(site).directory / "node/pods" / uid / "logs").rglob("*")
        return "".join(each.read_text(encoding="utf-8") for each in files if each.is_file())

    def ended(self, site: str, name: str) -> str:
        """Return how a Job ended: Complete or Failed; "" while it runs."""
        job = self.cluster(site).store.get("jobs", NAMESPACE, name)
        conditions = job.get("status", {}).get("conditions") or ()
        return next(
            (c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), ""
        )

    def await_end(self, site: str, name: str, how: str = "Complete") -> None:
        """Wait until a Job has ended so."""
        soon(f"{name} ends", lambda: self.ended(site, name))
        assert self.ended(site, name) == how

    def release(self, name: str) -> None:
        """Let go a Job that waits for a key (SANDBOX_WAIT_FOR...)."""
        self.put(f"gate/{name}", b"go")

    # --- the rest ---------------------------------------------------------------------------------------

    def launch(self, **tags: str) -> str:
        """Launch a machine that carries DR; return its id."""
        wanted = [{"Key": key, "Value": value} for key, value in {**RUNNER_TAGS, **tags}.items()]
        self._launched = True
        found = self.ec2.run_instances(
            ImageId=MACHINE_IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": wanted}],
        )  # fmt: skip
        return str(found["Instances"][0]["InstanceId"])

    def runners(self) -> dict[str, str]:
        """Return the machines that are not terminated: id -> state."""
        found = self.ec2.describe_instances()["Reservations"]
        machines = {e["InstanceId"]: e["State"]["Name"] for each in found for e in each["Instances"]}
        return {each: state for each, state in machines.items() if state != "terminated"}

    def role(self, site: str) -> str:
        """Return the identity that a site publishes with."""
        return f"arn:aws:iam::{self.sandbox.cloud.account}:user/{self.bucket}-{site}"

    def alarm(self, name: str, state: str) -> None:
        """Let an alarm be in a state."""
        self._alarms.add(name)
        cloudwatch = self.sandbox.cloud.client("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName=name, MetricName="Failed", Namespace="jobintel", Statistic="Sum", Period=60,
            EvaluationPeriods=1, Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="the test says so")


def _container(cronjob: Manifest) -> Manifest:
    found: Manifest = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


container_of = _container


class Watched:
    """A cluster as the run sees it: everything passes, is counted, and may be met by a deed."""

    def __init__(self, site: str, cluster: Cluster, run: "Failback") -> None:
        self._site, self._cluster, self._run = site, cluster, run

    @property
    def name(self) -> str:
        """What operators call this site."""
        return self._cluster.name

    def uid(self) -> str:
        """Return the UID of the kube-system namespace."""
        self._asked("get", "Namespace")
        return self._cluster.uid()

    def get(self, kind: str, namespace: str, name: str) -> Any:
        """Return an object, None if there is none."""
        self._asked("get", kind)
        return self._cluster.get(kind, namespace, name)

    def list(self, kind: str, namespace: str, *, labels: str = "") -> Sequence[Manifest]:
        """Return every object of a kind."""
        self._asked("list", kind)
        return self._cluster.list(kind, namespace, labels=labels)

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        return self._written("create", manifest["kind"], lambda: self._cluster.create(manifest))

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, object]) -> Manifest:
        """Merge-patch an object."""
        return self._written("patch", kind, lambda: self._cluster.patch(kind, namespace, name, change))

    def apply(self, manifest: Manifest, *, manager: str = "drfsm", force: bool = False) -> Manifest:
        """Apply an object on the server: the verb is patch."""
        return self._written(
            "patch", manifest["kind"], lambda: self._cluster.apply(manifest, manager=manager, force=force)
        )

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object."""
        self._written("delete", kind, lambda: self._cluster.delete(kind, namespace, name, uid=uid))

    def allowed(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Ask the cluster whether it would let us."""
        return self._cluster.allowed(verb, group, resource, namespace)

    def log(self, namespace: str, pod: str, *, tail_lines: int) -> str:
        """Return the end of a pod's log."""
        self._run.asked.add((self._site, "get", "", "pods/log"))
        return self._cluster.log(namespace, pod, tail_lines=tail_lines)

    def whoami(self) -> str:
        """Return the user name that the cluster knows us by."""
        return self._cluster.whoami()

    def now(self) -> datetime | None:
        """Return the cluster's own time: it is moved with the run's, but not wrong where this machine's is."""
        now = self._cluster.now()
        return None if now is None else now + self._run.clock.ahead

    def _asked(self, verb: str, kind: str) -> None:
        group = {"Job": "batch", "CronJob": "batch", "Deployment": "apps"}.get(kind, "")
        self._run.asked.add((self._site, verb, group, f"{kind.lower()}s"))

    def _written(self, verb: str, kind: str, write: Callable[[], Answer]) -> Answer:
        self._asked(verb, kind)
        self._run.meet("before", self._site, verb, kind, write)
        found = write()
        self._run.meet("after", self._site, verb, kind)
        return found


class WatchedPolicy:
    """A bucket's policy as the run sees it."""

    def __init__(self, policy: Any, run: "Failback") -> None:
        self._policy, self._run = policy, run

    def read(self) -> str | None:
        """Return the policy."""
        found: str | None = self._policy.read()
        return found

    def write(self, policy: str | None) -> None:
        """Replace the policy."""
        self._run.meet("before", "policy", "write", "", lambda: self._policy.write(policy))
        self._policy.write(policy)
        self._run.meet("after", "policy", "write", "")


class WatchedZones:
    """Hosted zones as the run sees them: each batch may be met, and is kept: of records, or of a claim alone."""

    def __init__(self, zones: Any, run: "Failback") -> None:
        self._zones, self._run = zones, run

    def __getattr__(self, name: str) -> Any:
        """Pass everything else on."""
        return getattr(self._zones, name)

    def change(self, zone: str, changes: Any, comment: str) -> str:
        """Make a batch."""
        types = {change.record["Type"] for change in changes}
        what = "records" if types - {"TXT"} else "claim"
        self._run.meet("before", "zones", "change", what)
        change_id = str(self._zones.change(zone, changes, comment))
        self._run.batches.append(what)
        self._run.meet("after", "zones", "change", what)
        return change_id


class WatchedStore:
    """A store as the run sees it: conditional writes may be met by a deed, before and after."""

    def __init__(self, store: Any, run: "Failback") -> None:
        self._store, self._run = store, run

    def __getattr__(self, name: str) -> Any:
        """Pass everything else on."""
        return getattr(self._store, name)

    def now(self) -> datetime | None:
        """Return the time by the store's clock."""
        now: datetime | None = self._store.now()
        return None if now is None else now + self._run.store_ahead

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object."""

        def write() -> str:
            return str(self._store.put(key, body, if_match=if_match, if_absent=if_absent))

        self._run.meet("before", "store", "put", key, write)
        etag = write()
        self._run.meet("after", "store", "put", key)
        return etag

    def copy_many(
        self, copies: Iterable[Copy], *, check: Callable[[], None] | None = None, verify: bool = True
    ) -> Iterator[Copy]:
        """Copy objects: many requests, met as one."""
        del verify
        wanted = list(copies)
        self._run.meet(
            "before", "store", "copy", " ".join(each.target for each in wanted), lambda: self._copied(wanted)
        )
        yield from self._store.copy_many(wanted, check=check)

    def _copied(self, copies: Sequence[Copy]) -> list[Copy]:
        return list(self._store.copy_many(copies))


@define
class _Hook:
    fits: Callable[[Record], bool]
    deed: Deed


@define
class _Meeting:
    moment: str
    where: str
    verb: str
    what: str
    left: int
    deed: Deed | HeldBack


@define
class Failback:
    """One run, driven in this process."""

    text: ClassVar[bytes] = TEXT
    spec: ClassVar[MachineSpec] = SPEC
    validates: ClassVar[str] = "primary"  # the site that does the work once, beside

    site: Site
    directory: Path
    inputs: dict[str, Any]
    id: str = field(default=Factory(lambda self: new_run_id(self.spec.name), takes_self=True))
    mirrored: bool = False
    proven: dict[str, Any] = field(factory=dict)
    store_ahead: timedelta = field(factory=timedelta)  # how much later it is by the store's clock
    host: str = "here"
    operator: str = "ann"
    take_over: str = ""
    clock: Clock = field(factory=Clock)
    said: list[str] = field(factory=list)
    batches: list[str] = field(factory=list)  # the zone's changes that were made: of records, or of a claim alone
    asked: set[tuple[str, str, str, str]] = field(factory=set)
    state: RunState = field(factory=RunState)
    records: tuple[Record, ...] = ()
    runner: Runner | None = None
    closed: bool = False
    _hooks: list[_Hook] = field(factory=list)
    _meetings: list[_Meeting] = field(factory=list)
    _failed: list[BaseException] = field(factory=list)

    # --- meddling ---------------------------------------------------------------------------------------

    def when(self, kind: str, trigger: str, deed: Deed) -> None:
        """Do something once, when a record of a kind for a trigger is written (a commit: before the next step)."""
        self._hooks.append(_Hook(lambda each: each.kind == kind and trigger == _trigger(each), deed))

    def when_in(self, state: str, deed: Deed) -> None:
        """Do something once, as soon as the run stands in a state."""
        self._hooks.append(_Hook(lambda each: each.kind == "commit" and each.body["to"] == state, deed))

    def on(self, moment: str, where: str, verb: str, what: str, deed: Deed, *, number: int = 1) -> None:
        """Do something before or after the n-th write of a kind (or of keys that hold this) to a site or the store."""
        self._meetings.append(_Meeting(moment, where, verb, what, number, deed))

    def hold_back(self, where: str, verb: str, what: str, *, number: int = 1) -> HeldBack:
        """Kill the process while the n-th write of a kind is on its way; return the request, which may land later."""
        held = HeldBack()
        self._meetings.append(_Meeting("before", where, verb, what, number, held))
        return held

    def meet(self, moment: str, where: str, verb: str, what: str, write: Callable[[], object] | None = None) -> None:
        """Let a write be met by who waits for it."""
        for each in list(self._meetings):
            fits = (each.moment, each.where, each.verb) == (moment, where, verb) and each.what in what
            if not fits or (where == "store" and "/drfsm/" in what and "/drfsm/" not in each.what):
                continue
            each.left -= 1
            if each.left == 0:
                self._meetings.remove(each)
                if isinstance(each.deed, HeldBack):
                    each.deed.request = write
                    raise Killed
                each.deed()

    def stop_after(self, trigger: str) -> None:
        """Have the run held when a step is done."""
        self.when("commit", trigger, self.interrupt)

    def stop_after_next(self) -> None:
        """Have the run held as soon as any step is done."""
        self._hooks.append(_Hook(lambda each: each.kind == "commit", self.interrupt))

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""
        assert self.runner is not None
        self.runner.interrupt()

    def _heard(self, record: Record, state: RunState) -> None:
        self.state = state
        for each in list(self._hooks):
            if each.fits(record):
                self._hooks.remove(each)
                try:
                    each.deed()
                except Exception as fault:
                    self._failed.append(fault)
                    raise

    # --- the verbs --------------------------------------------------------------------------------------

    def start(self) -> RunState:
        """Start it and drive it as far as it goes."""
        return self._verb(lambda runner: runner.start(self.inputs, run_id=self.id), fresh=True)

    def dry_run(self) -> RunState:
        """Walk it and change nothing."""
        return self._verb(lambda runner: runner.start(self.inputs, run_id=self.id, dry_run=True), fresh=True)

    def resume(self) -> RunState:
        """Go on."""
        return self._verb(lambda runner: runner.resume())

    def abort(self, reason: str = "the test wants it") -> RunState:
        """Give back what was changed."""
        return self._verb(lambda runner: runner.abort(reason))

    def request(self, trigger: str, **args: Any) -> RunState:
        """Fire an operator's row."""
        return self._verb(lambda runner: runner.request(trigger, {"reason": "the test wants it", **args}))

    def resolve(self, outcome: str) -> RunState:
        """Say what became of an action whose outcome is open."""
        return self._verb(lambda runner: runner.resolve(outcome, "the test knows"))

    def killed(self, verb: Callable[[], object]) -> None:
        """Do something that must end in a power cut."""
        try:
            verb()
        except Killed:
            return
        raise AssertionError("it was to be killed, and was not")

    def _verb(self, act: Callable[[Runner], RunState], *, fresh: bool = False) -> RunState:
        self.directory.mkdir(parents=True, exist_ok=True)
        world, lease = self.world()
        with FileJournal(self.directory, fresh=fresh) as local:
            if not fresh:
                lease.look()  # as the CLI does
            journal = self._mirror(local, world) if self.mirrored else local
            self.runner = Runner(
                self.spec, binding(self.spec.name), world, journal,
                lease=lease, clock=self.clock, on_record=[self._heard],
                say=lambda words, **_: self.said.append(words), operator=self.operator, host=self.host,
                proven=self.proven,
            )  # fmt: skip
            try:
                self.state = act(self.runner)
            finally:
                self.state = self.runner.state
                self.records = tuple(local.records())
                if self._failed:
                    raise self._failed[0]
        return self.state

    def _mirror(self, local: FileJournal, world: World) -> MirroredJournal:
        mirror = MirroredJournal(local, world.store, str(self.inputs["prefix"]), self.id, self.text)
        mirror.catch_up(lambda _lines: None)
        return mirror

    def world(self) -> tuple[World, S3Lease]:
        """Return the world as the CLI wires it, with an eye on everything that passes."""
        where = tuple(str(self.inputs[name]) for name in ("endpoint_url", "kubeconfig_primary", "kubeconfig_dr"))
        if where not in self.site.worlds:  # clients are dear to make, and hold nothing of a run
            made = connect(self.inputs, "", self.directory)[0]
            direct = where[0] == self.site.sandbox.cloud.endpoint  # else a test has put something in between
            self.site.worlds[where] = evolve(made, store=self.site.store) if direct else made
        real = self.site.worlds[where]
        prefix, bundle = str(self.inputs["prefix"]), str(self.directory.resolve())
        lease = S3Lease(
            real.store,
            prefix,
            take_over_from=self.take_over or None,
            bundle=bundle,
            known_epoch=lambda: self.state.epoch,
            has_changed=lambda: self.state.touched,
        )
        watched: dict[str, Any] = {
            "primary": Watched("primary", real.primary, self),
            "dr": Watched("dr", real.dr, self),
            "store": WatchedStore(real.store, self),
            "policy": WatchedPolicy(real.policy, self),
            "zones": WatchedZones(real.zones, self),
        }
        return fenced(evolve(real, **watched), lease), lease

    # --- looking ----------------------------------------------------------------------------------------

    @property
    def primary_run_id(self) -> str:
        """The id of the run that validates the primary."""
        return str(self.inputs["primary_run_id"])

    @property
    def words(self) -> str:
        """What an operator reads: `drfsm status`."""
        return "\n".join(standing(self.state, str(self.directory)))

    @property
    def reached(self) -> list[str]:
        """Every state that was reached, in order."""
        return [each.body["to"] for each in self.records if each.kind == "commit"]

    @property
    def next_actions(self) -> set[str]:
        """What a person can do now."""
        return {offered.action for offered in self.state.next_actions}

    @property
    def summary(self) -> dict[str, Any]:
        """Return the summary as it lies in the bundle."""
        return summarise(self.state, self.records, head="0" * 64)

    def results(self, trigger: str) -> Any:
        """Return what an action said in the journal."""
        found = [e.body["result"] for e in self.records if e.kind == "commit" and e.body["trigger"] == trigger]
        return found[-1]

    def seen(self, fact: str) -> Any:
        """Return what was last seen of a fact."""
        return self.state.facts[fact].seen

    def audit(self) -> Verdict:
        """Hold the journal against the machine, offline."""
        bound = binding(self.spec.name)
        judges = {name: fact.judge for name, fact in bound.facts.items()}
        return audit((self.directory / LOG).read_bytes(), self.spec, judges=judges, late=bound.late)

    def close(self) -> None:
        """Hold what every run must hold: audit and summary are right, and only what preflight asks for was asked."""
        if not self.records or self.closed:
            return
        self.closed = True
        verdict = self.audit()
        assert verdict.ok, "\n".join(verdict.lines())
        hold(f"{self.spec.name}.summary.json", self.summary, f"{self.spec.name}.summary")
        asked_for = {(site, *each) for site in ("primary", "dr") for each in VERBS}
        asked_for |= {(self.validates, *each) for each in (*VALIDATION_VERBS, *PULL_SECRET_VERBS, *WISHED_VERBS)}
        assert self.asked <= asked_for, f"used, and not asked for in preflight: {sorted(self.asked - asked_for)}"


def _trigger(record: Record) -> str:
    row = str(record.body.get("row", ""))  # <source> --<trigger>--> <to>
    return str(record.body.get("trigger") or row.partition(" --")[2].partition("-->")[0])


def inputs_of(site: Site, **given: Any) -> dict[str, Any]:
    """Return a failback's inputs as `drfsm failback` makes them of its defaults, without a soak and a teardown."""
    sandbox = site.sandbox
    usual: dict[str, Any] = {
        "workload": workload.canonical(sandbox.options.contract), "comparison_profile": "",
        "bucket": site.bucket, "prefix": site.prefix, "dr_run_id": site.dr_run_id, "namespace": NAMESPACE,
        "primary_run_id": datetime.now(UTC).isoformat(timespec="microseconds"), "candidate": "local",
        "provider": "openai", "profile": "cs", "image_ref": "", "allow_tag": "no", "cronjob": "",
        "configmap": CONFIGMAP, "cronjob_selector": "", "resume_cronjobs": "", "allow_image_drift": "no",
        "allow_degraded": "no", "missing_writes_accepted": "",
        "gitops_paused": "no", "refresh_pull_secret": "no",
        "endpoints": scope_of(sandbox.options.contract),
        "adopt_ownership": "no",
        "primary_pod_answered_for": "",
        "startup_timeout": 90,
        "validation_env": "", "alarms": "", "fence_primary": "none", "fence_primary_role": "", "fence_dr": "none",
        "fence_dr_role": "", "dr_unreachable": "no", "reason": "a test", "sync": "none", "sync_src_prefix": "",
        "sync_dst_prefix": "", "restore_check": "none", "primary_restore_backup_uri": "", "soak": "none",
        "teardown": "false", "confirm1": "FAILBACK",
        "drain_timeout": 300, "validation_timeout": 900, "soak_timeout": 900, "expect_account": "",
        "endpoint_url": sandbox.cloud.endpoint, "region": "us-east-1",
        "kubeconfig_dr": str(sandbox.dr.kubeconfig), "kubeconfig_primary": str(sandbox.primary.kubeconfig),
    }  # fmt: skip
    merged = {**usual, **given}
    return {"confirm2": f"CONFIRM-{merged['dr_run_id']}", **merged}


def refused_with(verb: Callable[[], object], kind: type[DrfsmError]) -> str:
    """Return the words of a refusal that must come."""
    try:
        verb()
    except kind as refused:
        return refused.diagnostics()
    raise AssertionError(f"{kind.__name__} was to be raised")


def lines(found: Iterator[str]) -> str:
    """Return lines as one text."""
    return "\n".join(found)
