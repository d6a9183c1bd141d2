"""What counts as in flight on a site, what is out of sight, and what is told and not asked: one rule, case by case.

docs/failback.md has the rule in an operator's words.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

from drfsm.adapters.kube import KubeCluster
from drfsm.dr.pod_troubles import BEGINNING, HOPELESS, RETRIED, troubles
from drfsm.dr.sites.drain import FACTS
from drfsm.dr.validation import job as validation_job
from drfsm.engine import Run, SystemClock
from drfsm.sandbox.kubernetes import EmulatedCluster

NAMESPACE, CONFIGMAP, RUN = "jobintel", "jobintel-config", "failback-1"
NOW = datetime.now(UTC)
Manifest = dict[str, Any]


@define
class Site:
    """A cluster of a few objects: what the facts ask of one."""

    objects: list[Manifest] = field(factory=list)
    permits: bool = True
    name: str = "primary"

    def get(self, kind: str, _namespace: str, name: str) -> Manifest | None:
        """Return an object."""
        return next((manifest for manifest in self.list(kind, "") if manifest["metadata"]["name"] == name), None)

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind, of all namespaces for ""; ``labels`` is one term."""
        name, _, value = labels.partition("=")
        return [
            manifest
            for manifest in self.objects
            if manifest["kind"] == kind
            and (not namespace or manifest["metadata"].get("namespace") == namespace)
            and (not name or (manifest["metadata"].get("labels") or {}).get(name) == value)
        ]

    def allowed(self, *_: str) -> bool:
        """Permit all, or nothing."""
        return self.permits

    def now(self) -> datetime:
        """Return the time."""
        return NOW


class World:
    """A world of one site."""

    def __init__(self, site: Any) -> None:
        self._site = site

    def site(self, _name: str) -> Any:
        """Return it."""
        return self._site


def an(kind: str, name: str, *, owner: tuple[str, str] | None = None, **more: Any) -> Manifest:
    """Return an object, owned by (kind, name) if given."""
    owners = [{"kind": owner[0], "name": owner[1], "uid": "u"}] if owner else []
    metadata = {"name": name, "namespace": NAMESPACE, "creationTimestamp": NOW.isoformat(), "ownerReferences": owners}
    return {"kind": kind, "metadata": {**metadata, **more.pop("metadata", {})}, **more}


KEY = {"name": CONFIGMAP, "key": "PUBLISH_S3"}
OFF = [{"name": "PUBLISH_S3", "value": "0"}, {"name": "PUBLISH_S3_DRY_RUN", "value": "1"}]
MOUNT = {"name": "v", "configMap": {"name": CONFIGMAP}}
TAKES: Manifest = {"envFrom": [{"configMapRef": {"name": CONFIGMAP}}]}


def pod(
    name: str = "p",
    *,
    owner: tuple[str, str] | None = None,
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    node: str = "here",
    restart: str = "Always",
    status: Manifest | None = None,
    volumes: list[Manifest] | None = None,
    going: bool = False,
    **container: Any,
) -> Manifest:
    """Return a pod of one container on a node."""
    spec = {
        "containers": [{"name": "main", "image": "x", **container}],
        "volumes": volumes or [],
        "nodeName": node,
        "restartPolicy": restart,
    }
    metadata = {"labels": labels or {}, **({"deletionTimestamp": NOW.isoformat()} if going else {})}
    return an("Pod", name, owner=owner, metadata=metadata, spec=spec, status={"phase": phase, **(status or {})})


def ours(name: str, run: str = RUN) -> Manifest:
    """Return the labels of a validation of a run."""
    return {"drfsm/run": run, "drfsm/role": "validation", "job-name": name}


READY = an("Node", "here", spec={}, status={"conditions": [{"type": "Ready", "status": "True"}]})
LOST = an("Node", "lost", spec={}, status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
HASH = {"pod-template-hash": "5f6d"}
TERMINATED = {"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 1}}}]}
JOB_FAILED = {"conditions": [{"type": "Failed", "status": "True"}]}
STILL = {"containerStatuses": [{"name": "main", "state": {"running": {}}}]}
OURS = f"drfsm-validation-{RUN}"
INPUTS = {
    "namespace": NAMESPACE, "cronjob_selector": "", "startup_timeout": 600, "configmap": CONFIGMAP, "bucket": "b",
    "prefix": "jobintel", "workload": "", "kubeconfig_dr": "", "kubeconfig_primary": "",
}  # fmt: skip


def observed(site: Any, fact: str, **inputs: Any) -> tuple[str, Manifest, list[str]]:
    """Return the value of a fact, what was seen, and what was noted."""
    notes: list[str] = []
    run = Run(
        id=RUN, inputs={**INPUTS, **inputs}, operator="ann", epoch=1, dry_run=False, trigger="t", results={}, args={},
        clock=SystemClock(), say=lambda words, **_: notes.append(words),
    )  # fmt: skip
    seen = FACTS[fact].observe(World(site), run)
    return str(FACTS[fact].judge(seen, INPUTS)), seen, notes


CASES: dict[str, tuple[list[Manifest], str, str]] = {
    "nothing": ([], "no", "none"),
    "a Job": ([an("Job", "j", spec={})], "yes", "ends"),
    "a Job that has ended, and its pod has not": (
        [an("Job", "j", spec={}, status=JOB_FAILED), pod(owner=("Job", "j"))],
        "yes", "none",
    ),
    "a bare pod that takes the ConfigMap": ([pod(**TAKES)], "yes", "stuck"),
    "a bare pod that ends by itself": ([pod(restart="Never", **TAKES)], "yes", "ends"),
    "a bare pod that has ended": ([pod(phase="Succeeded", restart="Never", **TAKES)], "no", "none"),
    "a bare pod that takes nothing": ([pod()], "no", "none"),
    "a bare pod that takes another ConfigMap": ([pod(envFrom=[{"configMapRef": {"name": "other"}}])], "no", "none"),
    "a bare pod that takes a switch by its key": (
        [pod(env=[{"name": "P", "valueFrom": {"configMapKeyRef": KEY}}])], "yes", "stuck",
    ),
    "a bare pod that takes another key": (
        [pod(env=[{"name": "P", "valueFrom": {"configMapKeyRef": {**KEY, "key": "LOG_LEVEL"}}}])], "no", "none",
    ),
    "a bare pod that mounts the ConfigMap": ([pod(volumes=[MOUNT])], "yes", "stuck"),
    "a bare pod that mounts it among others": (
        [pod(volumes=[{"name": "v", "projected": {"sources": [MOUNT]}}])], "yes", "stuck",
    ),
    "a bare pod that sets a switch itself": ([pod(env=[{"name": "PUBLISH_S3", "value": "1"}])], "yes", "stuck"),
    "a bare pod that sets every switch to off itself": (
        [pod(env=OFF, **TAKES)], "no", "none",
    ),
    "a Deployment's pod": ([pod(owner=("ReplicaSet", "web-5f6d"), labels=HASH, **TAKES)], "yes", "stuck"),
    "a Deployment's pod that takes nothing": ([pod(owner=("ReplicaSet", "web-5f6d"), labels=HASH)], "no", "none"),
    "a pod of the contract's Deployment": (
        [pod(owner=("ReplicaSet", "jobintel-dashboard-5f6d"), labels=HASH, **TAKES)], "no", "none",
    ),
    "a Deployment's pod that is going": (
        [pod(owner=("ReplicaSet", "web-5f6d"), labels=HASH, going=True, **TAKES)], "yes", "ends",
    ),
    "a ReplicaSet's pod": ([pod(owner=("ReplicaSet", "web"), **TAKES)], "yes", "stuck"),
    "a StatefulSet's pod": ([pod(owner=("StatefulSet", "web"), **TAKES)], "yes", "stuck"),
    "a DaemonSet's pod": ([pod(owner=("DaemonSet", "web"), **TAKES)], "yes", "stuck"),
    "this run's Job and pod": (
        [an("Job", OURS, metadata={"labels": ours(OURS)}, spec={}), pod(owner=("Job", OURS), labels=ours(OURS))],
        "no", "none",
    ),
    "another run's Job": (
        [an("Job", "drfsm-validation-x", metadata={"labels": ours("", "x")}, spec={})], "yes", "ends",
    ),
    "another run's pod": ([pod(owner=("Job", "drfsm-validation-x"), labels=ours("", "x"))], "yes", "none"),
    "a Job with this run's label and a name of its own": (
        [an("Job", "copied", metadata={"labels": ours("")}, spec={})], "yes", "ends",
    ),
    "its pod": ([pod(owner=("Job", "copied"), labels=ours(""))], "yes", "none"),
    "a pod with this run's label and no Job": ([pod(labels=ours(""), **TAKES)], "yes", "stuck"),
    "a running pod on a lost node": ([pod(owner=("Job", "j"), node="lost")], "out_of_sight", "none"),
    "a bare pod on a lost node that nothing ends": ([pod(node="lost", **TAKES)], "out_of_sight", "ends"),
    "a bare pod on a lost node": ([pod(node="lost", restart="Never", **TAKES)], "out_of_sight", "ends"),
    "a Failed pod on a lost node, last seen running": (
        [pod(owner=("Job", "j"), node="lost", phase="Failed", status=STILL)], "out_of_sight", "none",
    ),
    "a Failed pod on a lost node, of which nothing was seen": (
        [pod(owner=("Job", "j"), node="lost", phase="Failed")], "out_of_sight", "none",
    ),
    "a Failed pod on a node that is gone": (
        [pod(owner=("Job", "j"), node="gone", phase="Failed")], "out_of_sight", "none",
    ),
    "a Failed pod on a lost node whose containers were seen to end": (
        [pod(owner=("Job", "j"), node="lost", phase="Failed", status=TERMINATED)], "no", "none",
    ),
    "a Failed pod on a node that answers": ([pod(owner=("Job", "j"), phase="Failed", status=STILL)], "no", "none"),
    "a Succeeded pod on a lost node": ([pod(owner=("Job", "j"), node="lost", phase="Succeeded")], "no", "none"),
    "a Failed pod that found no node": ([pod(owner=("Job", "j"), node="", phase="Failed")], "no", "none"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_in_flight(case: str) -> None:
    """The drain's answer, and what is asked before the freeze: does it end by itself."""
    objects, inflight, backlog = CASES[case]
    site = Site([READY, LOST, *objects])
    assert observed(site, "primary_inflight")[0] == inflight
    assert observed(site, "primary_backlog")[0] == backlog


@pytest.mark.parametrize(
    ("owner", "labels", "command"),
    [
        (None, {}, "kubectl -n jobintel delete pod p"),
        (("ReplicaSet", "web-5f6d"), HASH, "kubectl -n jobintel scale deployment web --replicas=0"),
        (("ReplicaSet", "web"), {}, "kubectl -n jobintel scale replicaset web --replicas=0"),
        (("StatefulSet", "web"), {}, "kubectl -n jobintel scale statefulset web --replicas=0"),
        (("DaemonSet", "web"), {}, "kubectl -n jobintel delete daemonset web"),
    ],
)
def test_what_does_not_end_is_told_with_the_command_that_ends_it(
    owner: tuple[str, str] | None, labels: dict[str, str], command: str
) -> None:
    """Deleting a pod that something starts again would help nobody: its owner is named."""
    _, seen, _ = observed(Site([READY, pod(owner=owner, labels=labels, **TAKES)]), "primary_backlog")
    assert seen["in_words"].startswith("pod p on primary: it takes the workload's switches")
    assert f"({command})" in seen["in_words"]


def test_what_is_beside_is_told_and_not_asked() -> None:
    """The contract's Deployment, Jobs of excluded CronJobs, and other namespaces that publish to the same place."""
    excluded = an("CronJob", "other", spec={})
    elsewhere = an("ConfigMap", "copy", data={"JOBINTEL_S3_BUCKET": "b", "JOBINTEL_S3_PREFIX": "jobintel/"})
    elsewhere["metadata"]["namespace"] = "staging"
    objects = [
        READY, excluded, elsewhere, an("CronJob", "daily", metadata={"labels": {"role": "batch"}}, spec={}),
        an("ConfigMap", CONFIGMAP, data=elsewhere["data"]), an("Job", "o", owner=("CronJob", "other"), spec={}),
        pod("o-1", owner=("Job", "o")),
        pod("web-1", owner=("ReplicaSet", "jobintel-dashboard-5f6d"), labels=HASH, **TAKES),
    ]  # fmt: skip
    value, _, notes = observed(Site(objects), "primary_inflight", cronjob_selector="role=batch")
    assert value == "no"
    assert notes == [
        "on primary: pod o-1 is not waited for: its CronJob is excluded by --cronjob-selector",
        "on primary: pod web-1 is not waited for: the contract names its Deployment as what serves, not publishes",
    ]
    value, _, notes = observed(Site(objects), "primary_backlog", cronjob_selector="role=batch")
    assert value == "none"
    (words,) = notes
    assert words.startswith("on primary: namespace staging is not asked, and its ConfigMap copy names the same bucket")
    _, _, notes = observed(Site(objects, permits=False), "primary_backlog", cronjob_selector="role=batch")
    assert notes == []


@pytest.mark.parametrize("reason", [*HOPELESS, *RETRIED, *BEGINNING, "SomethingNewInKubernetes2"])
def test_a_pod_that_has_not_started_is_not_called_running(reason: str) -> None:
    """It is in flight, as it may start yet; the words say for what it waits, from the first sample on."""
    waiting = {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": "m"}}}]}
    objects = [READY, an("Job", "j", spec={}), pod("j-1", owner=("Job", "j"), phase="Pending", status=waiting)]
    value, _, notes = observed(Site(objects), "primary_inflight")
    assert value == "yes"
    assert notes[0].startswith("on primary: Job j, waiting for its pod to start, ")
    assert notes[1].startswith(f"on primary: pod j-1, not started: {reason}, ")
    stuck, seen, _ = observed(Site(objects), "primary_backlog")
    assert stuck == ("ends" if reason in BEGINNING else "stuck")
    assert reason in BEGINNING or f"{reason}: m" in seen["in_words"]


@pytest.mark.parametrize("reason", [*HOPELESS, *RETRIED, *BEGINNING, "SomethingNewInKubernetes2"])
def test_a_validation_tells_each_reason_at_once(reason: str) -> None:
    """From the first look on; what no other try mends fails it at once, the rest after its startup timeout."""
    waiting = {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": "m"}}}]}
    job = an("Job", "j", spec={})
    objects = [job, pod("j-1", owner=("Job", "j"), labels={"job-name": "j"}, phase="Pending", status=waiting)]
    run = Run(RUN, INPUTS, "ann", 1, dry_run=False, trigger="t", results={}, args={}, clock=SystemClock())
    seen = validation_job.seen_job(World(Site(objects)), run, job, satisfied=False)  # type: ignore[arg-type]  # a World's part
    (trouble,) = seen["trouble"]  # what looks like a credential is left out: "Signature…: m"
    assert (trouble.partition(":")[0], seen["too_long"]) == (reason, False)
    assert validation_job._judge_result(seen, INPUTS) == ("failed" if reason in HOPELESS else "pending")
    job["metadata"]["creationTimestamp"] = (NOW - timedelta(seconds=601)).isoformat()
    late = validation_job.seen_job(World(Site(objects)), run, job, satisfied=False)  # type: ignore[arg-type]  # likewise
    assert validation_job._judge_result(late, INPUTS) == "failed"


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_a_container_that_never_began_is_told_with_its_own_reason(reason: str) -> None:
    """Also while its next try is awaited: CrashLoopBackOff alone says nothing of a command that is not there."""
    last = {"terminated": {"reason": reason, "message": "no such file", "exitCode": 128}}
    back_off = {"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
    for status in ({"name": "main", "state": last}, back_off):
        running = pod("j-1", owner=("Job", "j"), status={"containerStatuses": [status]})
        value, seen, _ = observed(Site([READY, an("Job", "j", spec={}), running]), "primary_backlog")
        assert value == "stuck"
        assert f"{reason}: no such file" in seen["in_words"]


@pytest.mark.parametrize(
    ("state", "waits"),
    [({"running": {}}, False), ({"terminated": {}}, False), ({"waiting": {"reason": "PodInitializing"}}, True)],
)
def test_a_pod_whose_init_container_works_waits_for_nothing_else(state: Manifest, waits: bool) -> None:
    """PodInitializing lasts as long as the init containers work: a trouble only while none of them has begun."""
    waiting = {"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}
    status = {"initContainerStatuses": [{"name": "init", "state": state}], "containerStatuses": [waiting]}
    assert bool(list(troubles(pod(phase="Pending", status=status)))) is waits


# --- on a real API ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCluster]:
    """Return a cluster with a bare pod and a Deployment that would publish, and whose image nobody has."""
    with EmulatedCluster("primary", tmp_path_factory.mktemp("site"), {}) as cluster:
        cluster.store.create("namespaces", {"metadata": {"name": NAMESPACE}})
        cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIGMAP, "namespace": NAMESPACE}}
        )
        spec = {
            "containers": [{"name": "main", "image": "nobody/has:it", "env": [{"name": "PUBLISH_S3", "value": "1"}]}]
        }
        metadata = {"namespace": NAMESPACE, "labels": {"app": "web"}}
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": "bare"}, "spec": spec})
        template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
        web = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        cluster.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**metadata, "name": "web"}, "spec": web}
        )
        yield cluster


def test_a_site_s_own_pods_are_seen_through_the_adapter(emulated: EmulatedCluster) -> None:
    """Both are in flight, both with the command that ends them, neither is running."""
    cluster = KubeCluster("primary", emulated.kubeconfig)
    value, seen = "", Manifest(stuck=[])
    for _ in range(600):
        value, seen, _ = observed(cluster, "primary_backlog")
        if " ".join(entry["why"] for entry in seen["stuck"]).count("Image") == 2:
            break
        SystemClock().sleep(0.05)
    assert value == "stuck"
    assert sorted(entry["do"] for entry in seen["stuck"]) == [
        "kubectl -n jobintel delete pod bare", "kubectl -n jobintel scale deployment web --replicas=0",
    ]  # fmt: skip
    value, seen, notes = observed(cluster, "primary_inflight")
    assert value == "yes"
    assert len(seen["pods"]) == 2
    assert not any("running" in words for words in notes)
