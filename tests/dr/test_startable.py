"""Whether a site could start a Job, and end the Jobs that it has: asked before anything is frozen."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

from drfsm.dr.sites.drain import FACTS as DRAIN
from drfsm.dr.sites.startable import FACTS, examine
from drfsm.engine import Run, SystemClock

NAMESPACE = "jobintel"
NOW = datetime.now(UTC)
Manifest = dict[str, Any]


@define
class Site:
    """A cluster of a few objects: what the facts ask of one."""

    objects: list[Manifest] = field(factory=list)
    forbidden: tuple[str, ...] = ()
    name: str = "primary"

    def get(self, kind: str, _namespace: str, name: str) -> Manifest | None:
        """Return an object."""
        return next((each for each in self.list(kind, "") if each["metadata"]["name"] == name), None)

    def list(self, kind: str, _namespace: str) -> list[Manifest]:
        """Return every object of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def allowed(self, _verb: str, _group: str, resource: str, _namespace: str) -> bool:
        """Permit all but what is forbidden."""
        return resource not in self.forbidden

    def now(self) -> datetime:
        """Return the time."""
        return NOW


def an(kind: str, name: str, **more: Any) -> Manifest:
    """Return an object."""
    metadata = {"name": name, "namespace": NAMESPACE, "creationTimestamp": NOW.isoformat(), **more.pop("metadata", {})}
    return {"kind": kind, "metadata": metadata, **more}


def cronjob(job: Mapping[str, Any] | None = None, **pod: Any) -> Manifest:
    """Return a CronJob with this in its job template's and its pod's spec."""
    containers = [{"name": "main", "image": "registry.example/work:1"}]
    template = {"spec": {"containers": containers, **pod}}
    return an("CronJob", "daily", spec={"jobTemplate": {"spec": {"template": template, **(job or {})}}})


NODE = an("Node", "n", status={"allocatable": {"cpu": "2"}}, spec={})
HEAVY = [{"name": "main", "image": "registry.example/work:1", "resources": {"requests": {"cpu": "3"}}}]
VAULT = [{"name": "vault", "csi": {"driver": "vault.example", "nodePublishSecretRef": {"name": "login"}}}]


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (cronjob({"suspend": True}), "CronJob daily makes suspended Jobs, which never start"),
        (cronjob(serviceAccountName="worker"), "ServiceAccount worker does not exist"),
        (cronjob(imagePullSecrets=[{"name": "pull"}]), "pull Secret pull does not exist"),
        (cronjob(volumes=VAULT), "Secret login does not exist, and volume vault, of the driver vault.example names it"),
        (cronjob(containers=HEAVY), "no node takes a pod of CronJob daily (n: it has 2 cpu, and the pod requests 3)"),
    ],
)
def test_what_keeps_a_job_from_starting_is_told_with_what_to_do(live: Manifest, words: str) -> None:
    """Each in words that name the object; the fact is then no."""
    seen = examine(Site([live, NODE]), NAMESPACE, live, "registry.example/work:1")  # type: ignore[arg-type]  # a Cluster's part
    assert seen["wrong"]["total"] == 1
    assert words in seen["wrong"]["first"][0]
    assert FACTS["primary_startable"].judge(seen, {}) == "no"
    assert FACTS["primary_startable"].judge(seen, {"allow_degraded": "yes", "reason": "a test"}) == "accepted"


def test_a_job_that_has_all_it_needs_would_start() -> None:
    """The same with the objects there."""
    live = cronjob(volumes=VAULT, serviceAccountName="worker")
    site = Site([live, NODE, an("ServiceAccount", "worker"), an("Secret", "login")])
    seen = examine(site, NAMESPACE, live, "registry.example/work:1")  # type: ignore[arg-type]  # likewise
    assert (seen["wrong"]["total"], seen["unknown"]) == (0, [])
    assert FACTS["primary_startable"].judge(seen, {}) == "yes"


def test_what_may_not_be_read_is_unknown_and_refuses_nothing() -> None:
    """A role without `get secrets` hides whether they are there."""
    live = cronjob(volumes=VAULT, imagePullSecrets=[{"name": "pull"}])
    seen = examine(Site([live, NODE], forbidden=("secrets",)), NAMESPACE, live, "")  # type: ignore[arg-type]  # likewise
    assert seen["wrong"]["total"] == 0
    assert seen["unknown"] == ["secrets: primary does not permit to read them"]


# --- what would never end -----------------------------------------------------------------------------------------

BACK_OFF = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
EARLY = {"creationTimestamp": (NOW - timedelta(hours=1)).isoformat()}

HELD = {"deletionTimestamp": EARLY["creationTimestamp"]}


def pod_of(job: str, phase: str, *statuses: Manifest) -> Manifest:
    """Return a pod of a Job."""
    metadata = {"ownerReferences": [{"kind": "Job", "name": job}], "labels": {"job-name": job}}
    return an("Pod", f"{job}-x", metadata=metadata, spec={}, status={"phase": phase, "containerStatuses": statuses})


BEGUN = {"startTime": (NOW - timedelta(minutes=58)).isoformat()}
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
CASES: dict[str, tuple[list[Manifest], str, str]] = {
    "nothing is there": ([], "none", ""),
    "one has ended": ([an("Job", "manual", spec={"suspend": True}, status=COMPLETE)], "none", ""),
    "one runs": ([an("Job", "daily-1", metadata=EARLY, spec={}), pod_of("daily-1", "Running")], "ends", ""),
    "one has just begun": ([an("Job", "daily-1", spec={})], "ends", ""),
    "one is suspended": (
        [an("Job", "manual", spec={"suspend": True})], "stuck",
        "Job manual: it is suspended, so it starts no pod and never ends: kubectl -n jobintel delete job manual",
    ),
    "one pulls no image": (
        [an("Job", "s3-preflight", spec={}), pod_of("s3-preflight", "Pending", BACK_OFF)], "stuck",
        "pod s3-preflight-x, container main: ImagePullBackOff: no such image",
    ),
    "one pulls no image, and has a limit of its own": (
        [an("Job", "x", spec={"activeDeadlineSeconds": 60}), pod_of("x", "Pending", BACK_OFF)], "ends", "",
    ),
    "one pulls no image, and its own limit is longer than the drain's": (
        [an("Job", "x", spec={"activeDeadlineSeconds": 3600}), pod_of("x", "Pending", BACK_OFF)], "stuck",
        "no such image; its own limit ends it only in 3600 s: kubectl -n jobintel delete job x",
    ),
    "one pulls no image, and most of its own limit is over": (
        [
            an("Job", "x", spec={"activeDeadlineSeconds": 3600}, status=BEGUN),
            pod_of("x", "Pending", BACK_OFF),
        ], "ends", "",
    ),
    "one runs, and its own limit is longer than the drain's": (
        [an("Job", "x", metadata=EARLY, spec={"activeDeadlineSeconds": 3600}), pod_of("x", "Running")], "ends", "",
    ),
    "one starts no pod by its own word": ([an("Job", "x", spec={"parallelism": 0})], "stuck", "its parallelism is 0"),
    "one is suspended, and has a limit that does not count meanwhile": (
        [an("Job", "x", spec={"suspend": True, "activeDeadlineSeconds": 60})], "stuck", "it is suspended",
    ),
    "one gets no pod": ([an("Job", "manual", metadata=EARLY, spec={})], "stuck", "no pod of it has started in 600 s"),
    "one is being deleted for an hour, and held by a finalizer": (
        [an("Job", "manual", metadata={**HELD, "finalizers": ["a/b"]}, spec={})],
        "stuck", "waits for its finalizers: a/b: kubectl -n jobintel get job manual -o yaml",
    ),
    "one is being deleted": (
        [an("Job", "manual", metadata={"deletionTimestamp": NOW.isoformat()}, spec={"suspend": True})], "ends", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_job_that_does_not_end_by_itself_is_told_with_the_command_that_ends_it(case: str) -> None:
    """It would hold the run at its drain, with a site frozen: suspended, without an image, without a pod."""
    objects, value, words = CASES[case]
    inputs = {
        "namespace": NAMESPACE, "cronjob_selector": "", "startup_timeout": 600, "configmap": "c", "bucket": "b",
        "prefix": "p", "workload": "", "kubeconfig_dr": "", "kubeconfig_primary": "",
    }  # fmt: skip
    run = Run(id="run-1", inputs=inputs, operator="", epoch=0, dry_run=False, trigger="t", results={}, args={},
              clock=SystemClock())  # fmt: skip

    class World:
        def site(self, _name: str) -> Site:
            return Site(objects)

    seen = DRAIN["primary_backlog"].observe(World(), run)
    assert DRAIN["primary_backlog"].judge(seen, inputs) == value
    told = " ".join(f"{each['what']}: {each['why']}: {each['do']}" for each in seen["stuck"])
    assert words in told
