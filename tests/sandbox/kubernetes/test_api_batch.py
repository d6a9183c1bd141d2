"""Conformance: CronJobs, their Jobs and pods, from start to end: what freezes, drains and thaws rely on."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

IMAGE = "registry.example/shell:1"
Kubectl = Callable[..., str]
Eventually = Callable[..., Any]
Manifest = dict[str, Any]


def pod(script: str, **more: Any) -> Manifest:
    """Return a pod's spec: one container that runs a script."""
    container = {"name": "main", "image": IMAGE, "command": ["/bin/sh", "-c", script]}
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **more}


def daily(hours_ago: int, script: str = "true", **spec: Any) -> Manifest:
    """Return a suspended CronJob whose last start was to be so many hours ago, at the full hour."""
    hour = (datetime.now(UTC) - timedelta(hours=hours_ago)).hour
    template = {"spec": {"backoffLimit": 0, "template": {"spec": pod(script)}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c"},
        "spec": {"schedule": f"0 {hour} * * *", "suspend": True, "jobTemplate": template, **spec},
    }


class Schedule:
    """A suspended CronJob that missed yesterday's start, or today's, as after a freeze."""

    def __init__(self, clients: Any, namespace: str) -> None:
        self.batch, self.namespace = clients.batch, namespace

    def frozen(self, **given: Any) -> None:
        """Create it, last started two days ago."""
        self.batch.create_namespaced_cron_job(self.namespace, daily(2, **given))
        before = datetime.now(UTC) - timedelta(days=2)
        status = {"status": {"lastScheduleTime": before.strftime("%Y-%m-%dT%H:%M:%SZ")}}
        self.batch.patch_namespaced_cron_job_status("c", self.namespace, status)

    def thaw(self) -> None:
        """Let it go on."""
        self.batch.patch_namespaced_cron_job("c", self.namespace, {"spec": {"suspend": False}})

    def jobs(self) -> list[Any]:
        """Return the Jobs that the controller made."""
        found = self.batch.list_namespaced_job(self.namespace).items
        return [each for each in found if "cronjob.kubernetes.io/instantiate" not in (each.metadata.annotations or {})]


@pytest.fixture
def schedule(clients: Any, namespace: str) -> Schedule:
    """Return a schedule to freeze."""
    return Schedule(clients, namespace)


def test_unsuspending_starts_the_newest_missed_run_at_once(schedule: Schedule, eventually: Eventually) -> None:
    """Of two missed days one Job is made up for, named after its minute, and owned by the CronJob."""
    schedule.frozen()
    time.sleep(1.5)
    assert schedule.jobs() == []
    schedule.thaw()
    (job,) = eventually(schedule.jobs)
    (owner,) = job.metadata.owner_references
    assert (owner.kind, owner.name, owner.controller, owner.block_owner_deletion) == ("CronJob", "c", True, True)
    at = datetime.fromisoformat(job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"])
    assert timedelta(hours=1) < datetime.now(UTC) - at < timedelta(hours=3)
    assert job.metadata.name == f"c-{int(at.timestamp()) // 60}"
    eventually(lambda: schedule.batch.read_namespaced_cron_job("c", schedule.namespace).status.last_successful_time)
    seen = schedule.batch.read_namespaced_cron_job("c", schedule.namespace).status
    assert (seen.active, seen.last_schedule_time) == (None, at)
    assert len(schedule.jobs()) == 1


def test_unsuspending_after_the_deadline_starts_nothing(schedule: Schedule) -> None:
    """With startingDeadlineSeconds a start that is missed for longer is missed for good."""
    schedule.frozen(startingDeadlineSeconds=600)
    schedule.thaw()
    time.sleep(2.5)
    assert schedule.jobs() == []


def test_forbid_ignores_a_job_made_by_hand(schedule: Schedule, kubectl: Kubectl, eventually: Eventually) -> None:
    """While a Job by hand runs, a schedule that forbids concurrency starts its own: a freeze must look at Jobs."""
    schedule.frozen(script="sleep 60", concurrencyPolicy="Forbid")
    kubectl("--namespace", schedule.namespace, "create", "job", "by-hand", "--from=cronjob/c")
    schedule.thaw()
    (job,) = eventually(schedule.jobs)
    names = {each.metadata.name for each in schedule.batch.list_namespaced_job(schedule.namespace).items}
    assert names == {"by-hand", job.metadata.name}
    eventually(lambda: schedule.batch.read_namespaced_cron_job("c", schedule.namespace).status.active)
    (active,) = schedule.batch.read_namespaced_cron_job("c", schedule.namespace).status.active
    assert (active.kind, active.name) == ("Job", job.metadata.name)


def test_suspending_leaves_what_runs(schedule: Schedule, eventually: Eventually) -> None:
    """A Job that has begun runs to its end after the schedule was suspended again."""
    schedule.frozen(script="sleep 1.5")
    schedule.thaw()
    (job,) = eventually(schedule.jobs)
    schedule.batch.patch_namespaced_cron_job("c", schedule.namespace, {"spec": {"suspend": True}})
    eventually(lambda: status_of(schedule.batch, schedule.namespace, job.metadata.name).succeeded)


def test_deleting_a_cronjob_takes_its_jobs_and_their_pods_along(
    clients: Any, schedule: Schedule, eventually: Eventually
) -> None:
    """Deleted in the background, nothing of it runs on."""
    schedule.frozen(script="sleep 100")
    schedule.thaw()
    eventually(
        lambda: clients.core.list_namespaced_pod(schedule.namespace, field_selector="status.phase=Running").items
    )
    schedule.batch.delete_namespaced_cron_job("c", schedule.namespace, propagation_policy="Background")
    eventually(lambda: not clients.batch.list_namespaced_job(schedule.namespace).items)
    eventually(lambda: not clients.core.list_namespaced_pod(schedule.namespace).items)


# --- jobs -----------------------------------------------------------------------------------------------


def status_of(batch: Any, namespace: str, name: str) -> Any:
    """Return a Job's status."""
    return batch.read_namespaced_job(name, namespace).status


def start(clients: Any, namespace: str, script: str, **spec: Any) -> None:
    """Create a Job ``j``."""
    more = spec.pop("pod", {})
    body = {"backoffLimit": 0, "template": {"spec": pod(script, **more)}, **spec}
    clients.batch.create_namespaced_job(namespace, {"metadata": {"name": "j"}, "spec": body})


def told(status: Any) -> dict[str, str]:
    """Return the true conditions of a Job, with their reasons."""
    return {each.type: each.reason for each in status.conditions or [] if each.status == "True"}


def test_a_complete_job_says_so(clients: Any, namespace: str, eventually: Eventually) -> None:
    """SuccessCriteriaMet and Complete are true, one pod succeeded, none is active, and both times are set."""
    start(clients, namespace, "true")
    eventually(lambda: "Complete" in told(status_of(clients.batch, namespace, "j")))
    seen = status_of(clients.batch, namespace, "j")
    assert told(seen) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert (seen.succeeded, seen.active, seen.failed, seen.ready, seen.terminating) == (1, None, None, 0, 0)
    assert seen.completion_time >= seen.start_time


def test_a_failed_job_says_why(clients: Any, namespace: str, eventually: Eventually) -> None:
    """With no retries left it is Failed for BackoffLimitExceeded."""
    start(clients, namespace, "exit 3")
    eventually(lambda: "Failed" in told(status_of(clients.batch, namespace, "j")))
    seen = status_of(clients.batch, namespace, "j")
    assert told(seen) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert (seen.failed, seen.active, seen.succeeded, seen.completion_time) == (1, None, None, None)


def test_a_deadline_ends_a_job(clients: Any, namespace: str, eventually: Eventually) -> None:
    """It is Failed for DeadlineExceeded, and its pod goes."""
    start(clients, namespace, "sleep 100", activeDeadlineSeconds=1)
    eventually(lambda: told(status_of(clients.batch, namespace, "j")).get("Failed") == "DeadlineExceeded")
    eventually(lambda: not clients.core.list_namespaced_pod(namespace).items)


def test_suspending_a_job_ends_its_pods_and_resuming_starts_anew(
    clients: Any, namespace: str, eventually: Eventually
) -> None:
    """Suspended, it has no pods, and keeps the time of its start; resumed, it has a new pod and a new time."""
    start(clients, namespace, "sleep 100")
    eventually(lambda: status_of(clients.batch, namespace, "j").active)
    begun = status_of(clients.batch, namespace, "j").start_time
    (first,) = clients.core.list_namespaced_pod(namespace).items
    clients.batch.patch_namespaced_job("j", namespace, {"spec": {"suspend": True}})
    eventually(lambda: "Suspended" in told(status_of(clients.batch, namespace, "j")))
    eventually(lambda: not clients.core.list_namespaced_pod(namespace).items)
    assert status_of(clients.batch, namespace, "j").start_time == begun
    time.sleep(1.1)  # times are whole seconds
    clients.batch.patch_namespaced_job("j", namespace, {"spec": {"suspend": False}})
    (second,) = eventually(lambda: clients.core.list_namespaced_pod(namespace).items)
    assert first.metadata.uid != second.metadata.uid
    eventually(lambda: "Suspended" not in told(status_of(clients.batch, namespace, "j")))
    assert status_of(clients.batch, namespace, "j").start_time > begun


def test_a_jobs_template_stays(clients: Any, namespace: str, refusal: Callable[..., tuple[int, Manifest]]) -> None:
    """A Job's pods can't be changed once it is there."""
    start(clients, namespace, "true")
    change = {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}
    code, status = refusal(lambda: clients.batch.patch_namespaced_job("j", namespace, change))
    assert (code, status["reason"]) == (422, "Invalid")
    assert "field is immutable" in status["message"]


# --- pods -----------------------------------------------------------------------------------------------


def test_a_failed_pod_tells_its_exit_code_and_its_last_words(
    clients: Any, namespace: str, eventually: Eventually
) -> None:
    """Its container is terminated with the code, reason Error, and the message that it wrote."""
    spec = pod('echo "no such run" > $DRFSM_SANDBOX_ROOT/dev/termination-log; exit 3')
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    eventually(lambda: clients.core.read_namespaced_pod("p", namespace).status.phase == "Failed")
    seen = clients.core.read_namespaced_pod("p", namespace).status
    (container,) = seen.container_statuses
    ended = container.state.terminated
    assert (ended.exit_code, ended.reason, ended.message) == (3, "Error", "no such run\n")
    assert ended.finished_at >= ended.started_at
    ready = {each.type: each.status for each in seen.conditions}
    assert (ready["PodScheduled"], ready["Initialized"], ready["Ready"]) == ("True", "True", "False")


def test_a_pod_that_is_deleted_by_force_is_gone_at_once(clients: Any, namespace: str, eventually: Eventually) -> None:
    """With a grace of 0 the object goes whatever its processes do."""
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": pod("trap '' TERM; sleep 100")})
    eventually(lambda: clients.core.read_namespaced_pod("p", namespace).status.phase == "Running")
    clients.core.delete_namespaced_pod("p", namespace, grace_period_seconds=0)
    assert clients.ask("GET", f"/api/v1/namespaces/{namespace}/pods/p").status == 404


def test_a_pod_that_fits_nowhere_says_why(clients: Any, namespace: str, eventually: Eventually) -> None:
    """It stays Pending, PodScheduled False for Unschedulable, and an event tells the same."""
    spec = pod("true", nodeSelector={"disk": "none-has-this"})
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})

    def refused() -> Any:
        seen = clients.core.read_namespaced_pod("p", namespace).status
        return [each for each in seen.conditions or [] if each.type == "PodScheduled" and each.status == "False"]

    (mark,) = eventually(refused)
    assert (mark.reason, "didn't match" in mark.message) == ("Unschedulable", True)
    about = {"field_selector": "involvedObject.name=p,reason=FailedScheduling"}
    eventually(lambda: clients.core.list_namespaced_event(namespace, **about).items)


@pytest.fixture
def node(clients: Any, kubectl: Kubectl) -> Iterator[str]:
    """Return the node's name; it takes pods again after the test."""
    (found,) = clients.core.list_node().items
    yield found.metadata.name
    kubectl("uncordon", found.metadata.name)


def test_a_drained_node_runs_nothing_and_takes_nothing(
    clients: Any, namespace: str, kubectl: Kubectl, node: str, eventually: Eventually
) -> None:
    """Kubectl drain cordons, evicts and waits; a new pod waits until the node is uncordoned."""
    clients.core.create_namespaced_pod(
        namespace, {"metadata": {"name": "p", "labels": {"drain": "me"}}, "spec": pod("sleep 100")}
    )
    eventually(lambda: clients.core.read_namespaced_pod("p", namespace).status.phase == "Running")
    kubectl("drain", node, "--force", "--pod-selector=drain=me", "--timeout=30s")
    assert clients.core.list_namespaced_pod(namespace).items == []
    assert clients.core.read_node(node).spec.unschedulable
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "q"}, "spec": pod("true")})
    time.sleep(1.2)
    assert clients.core.read_namespaced_pod("q", namespace).spec.node_name is None
    kubectl("uncordon", node)
    eventually(lambda: clients.core.read_namespaced_pod("q", namespace).status.phase == "Succeeded")


def test_an_eviction_is_a_polite_deletion(clients: Any, namespace: str, eventually: Eventually) -> None:
    """The eviction is 201, and the pod goes in its own time."""
    clients.core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": pod("sleep 100")})
    eventually(lambda: clients.core.read_namespaced_pod("p", namespace).status.phase == "Running")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/p"
    assert clients.ask("POST", f"{path}/eviction", body=body).status == 201
    eventually(lambda: clients.ask("GET", path).status == 404)
