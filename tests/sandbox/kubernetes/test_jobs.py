"""Jobs take the steps of batch/v1: each row of the table first, then the controller on a store."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drfsm.sandbox.kubernetes.controllers import Controllers
from drfsm.sandbox.kubernetes.jobs import Ledger, step
from drfsm.sandbox.kubernetes.store import Store

NOW = datetime(2026, 2, 27, 12, 0, tzinfo=UTC)
NAMESPACE = "default"
Manifest = dict[str, Any]


def job(*, started: datetime | None = NOW, conditions: tuple[Manifest, ...] = (), **spec: Any) -> Manifest:
    """Return a Job."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}
    whole = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template, **spec}
    status: Manifest = {"startTime": started.strftime("%Y-%m-%dT%H:%M:%SZ")} if started else {}
    if conditions:
        status["conditions"] = list(conditions)
    return {"metadata": {"name": "job", "uid": "job-uid"}, "spec": whole, "status": status}


def pod(name: str, phase: str = "Running", *, deleted: bool = False, **status: Any) -> Manifest:
    """Return a pod."""
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-02-27T12:00:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-02-27T12:00:00Z"
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": phase, **status}}


def ends(status: Manifest) -> list[str]:
    """Return the types of a status's True conditions."""
    return [each["type"] for each in status.get("conditions", ()) if each["status"] == "True"]


def names(pods: Any) -> list[str]:
    """Return names."""
    return [each["metadata"]["name"] for each in pods]


# --- one step: pure ----------------------------------------------------------------------------------


def test_a_new_job_starts_its_pod() -> None:
    """The first step creates one pod, and dates the start."""
    taken = step(job(started=None), [], Ledger(), NOW)
    assert (taken.create, taken.status["active"], taken.status["startTime"]) == (1, 1, "2026-02-27T12:00:00Z")


@pytest.mark.parametrize(
    ("parallelism", "completions", "succeeded", "running", "create"),
    [
        (3, 5, 0, 0, 3),
        (3, 5, 3, 0, 2),
        (3, 5, 4, 1, 0),
        (3, 5, 1, 1, 2),
        (2, None, 0, 0, 2),
        (2, None, 1, 1, 0),
        (0, 5, 0, 0, 0),
    ],
)
def test_as_many_pods_as_are_missing(
    parallelism: int, completions: int | None, succeeded: int, running: int, create: int
) -> None:
    """Never more than parallelism, never more than completions still need; a work queue stops at a success."""
    pods = [pod(f"done-{n}", "Succeeded") for n in range(succeeded)] + [pod(f"run-{n}") for n in range(running)]
    assert step(job(parallelism=parallelism, completions=completions), pods, Ledger(), NOW).create == create


def test_a_succeeded_pod_completes_the_job() -> None:
    """SuccessCriteriaMet and Complete come together, with the completion's time and an event."""
    taken = step(job(), [pod("a", "Succeeded")], Ledger(), NOW)
    assert ends(taken.status) == ["SuccessCriteriaMet", "Complete"]
    assert (taken.status["succeeded"], taken.status["completionTime"]) == (1, "2026-02-27T12:00:00Z")
    assert [each.reason for each in taken.events] == ["Completed"]


def test_a_failed_pod_is_replaced_after_a_back_off() -> None:
    """The first failure waits 10 s, the second 20 s; until then nothing is created, and the time is known."""
    first = step(job(), [pod("a", "Failed")], Ledger(), NOW)
    assert (first.create, first.again, first.status["failed"]) == (0, NOW + timedelta(seconds=10), 1)
    assert step(job(), [pod("a", "Failed")], first.ledger, NOW + timedelta(seconds=10)).create == 1
    second = step(job(), [pod("a", "Failed"), pod("b", "Failed")], first.ledger, NOW + timedelta(seconds=20))
    assert second.again == NOW + timedelta(seconds=40)


def test_a_backoff_limit_of_zero_fails_with_the_first_failure() -> None:
    """One failed pod: FailureTarget and Failed, BackoffLimitExceeded, nothing created."""
    taken = step(job(backoffLimit=0), [pod("a", "Failed")], Ledger(), NOW)
    assert ends(taken.status) == ["FailureTarget", "Failed"]
    assert {each["reason"] for each in taken.status["conditions"]} == {"BackoffLimitExceeded"}
    assert taken.create == 0


def test_a_failed_job_waits_for_its_last_pod() -> None:
    """While another pod is being ended the Job only has FailureTarget; when it is gone, Failed."""
    pods = [pod("a", "Failed"), pod("b")]
    first = step(job(parallelism=2, completions=2, backoffLimit=0), pods, Ledger(), NOW)
    assert (names(first.remove), ends(first.status), first.status["terminating"]) == (["b"], ["FailureTarget"], 1)
    again = {**job(parallelism=2, completions=2, backoffLimit=0), "status": first.status}
    waiting = step(again, [pod("a", "Failed"), pod("b", deleted=True)], first.ledger, NOW)
    assert (ends(waiting.status), waiting.remove) == (["FailureTarget"], [])
    last = step(again, [pod("a", "Failed")], waiting.ledger, NOW)
    assert (ends(last.status), last.status["failed"]) == (["FailureTarget", "Failed"], 2)


def test_the_deadline_ends_what_runs() -> None:
    """After activeDeadlineSeconds the pods are removed and the Job fails with DeadlineExceeded."""
    late = NOW + timedelta(seconds=60)
    assert step(job(activeDeadlineSeconds=60), [pod("a")], Ledger(), late - timedelta(seconds=1)).again == late
    taken = step(job(activeDeadlineSeconds=60), [pod("a")], Ledger(), late)
    assert (names(taken.remove), ends(taken.status)) == (["a"], ["FailureTarget"])
    assert taken.status["conditions"][0]["reason"] == "DeadlineExceeded"


def test_a_suspension_removes_the_pods_and_is_no_failure() -> None:
    """Suspended: pods go, the condition says so, nothing counts as failed, and no deadline runs."""
    taken = step(job(suspend=True, activeDeadlineSeconds=1), [pod("a")], Ledger(), NOW + timedelta(hours=1))
    assert (names(taken.remove), ends(taken.status), taken.again) == (["a"], ["Suspended"], None)
    gone = step({**job(suspend=True), "status": taken.status}, [pod("a", deleted=True)], taken.ledger, NOW)
    assert (gone.status["failed"], gone.status["terminating"], gone.create) == (0, 1, 0)


def test_a_resumed_job_starts_anew() -> None:
    """Suspended turns False, the start is dated anew, and the pod is created."""
    suspended = {"type": "Suspended", "status": "True"}
    later = NOW + timedelta(hours=1)
    taken = step(job(conditions=(suspended,)), [], Ledger(), later)
    assert (taken.create, ends(taken.status), taken.status["startTime"]) == (1, [], "2026-02-27T13:00:00Z")
    assert [each.reason for each in taken.events] == ["Resumed"]


def test_a_pod_that_is_being_deleted_counts_as_failed_and_is_replaced() -> None:
    """Somebody deletes a running pod: it is terminating and failed at once."""
    taken = step(job(), [pod("a", deleted=True)], Ledger(), NOW)
    assert (taken.status["failed"], taken.status["terminating"], taken.status["active"]) == (1, 1, 0)


def test_restarts_in_place_count_against_the_limit() -> None:
    """OnFailure: as many restarts as backoffLimit fail the Job."""
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "main", "image": "x"}]}}
    once, twice = (pod("a", containerStatuses=[{"name": "main", "restartCount": n}]) for n in (1, 2))
    assert ends(step(job(backoffLimit=2, template=template), [once], Ledger(), NOW).status) == []
    taken = step(job(backoffLimit=2, template=template), [twice], Ledger(), NOW)
    assert (ends(taken.status), names(taken.remove)) == (["FailureTarget"], ["a"])


def test_fewer_parallel_pods_are_removed_without_being_failures() -> None:
    """Turning parallelism down removes the youngest unready, and none of them counts as failed."""
    taken = step(job(parallelism=1, completions=3), [pod("a"), pod("b", "Pending")], Ledger(), NOW)
    assert (names(taken.remove), taken.status["failed"], taken.status["active"]) == (["b"], 0, 1)


# --- the controller ----------------------------------------------------------------------------------


class Bench:
    """A store with controllers; the test plays the kubelet."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.store = Store()
        self.controllers = Controllers(
            self.store, clock=lambda: datetime.now(UTC) + self.offset, job_back_off_seconds=0.05
        )
        self.controllers.start()

    def create(self, name: str = "job", **spec: Any) -> Manifest:
        """Create a Job."""
        template = {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]},
        }
        whole = {"template": template, **spec}
        return self.store.create("jobs", {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": whole})

    def job(self, name: str = "job") -> Manifest:
        """Return a Job, with a status in any case."""
        return {"status": {}, **self.store.get("jobs", NAMESPACE, name)}

    def suspend(self, *, suspended: bool) -> None:
        """Suspend the Job, or resume it."""
        with self.store.alone():
            live = self.job()
            self.store.update("jobs", {**live, "spec": {**live["spec"], "suspend": suspended}})

    def pods(self) -> list[Manifest]:
        """Return all pods."""
        return self.store.list("pods", NAMESPACE)[0]

    def bind(self) -> None:
        """Bind every pod, so that its deletion takes time."""
        with self.store.alone():
            for each in self.pods():
                self.store.update("pods", {**each, "spec": {**each["spec"], "nodeName": "n"}})

    def end(self, manifest: Manifest, phase: str = "Succeeded") -> None:
        """Let a pod end."""
        with self.store.alone():
            live = self.store.get("pods", NAMESPACE, manifest["metadata"]["name"])
            self.store.update("pods", {**live, "status": {**live["status"], "phase": phase}}, status=True)

    def reasons(self) -> list[str]:
        """Return the reasons of all Jobs' events."""
        found = self.store.list("events", NAMESPACE)[0]
        return [each["reason"] for each in found if each["involvedObject"]["kind"] == "Job"]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a running bench."""
    made = Bench()
    yield made
    made.controllers.stop()


def eventually(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return now


def test_the_pod_is_marked_as_the_jobs(bench: Bench) -> None:
    """Owner, both pairs of labels, the template's labels, and a generated name."""
    made = bench.create()
    assert eventually(lambda: len(bench.pods()) == 1)
    (found,) = bench.pods()
    uid = made["metadata"]["uid"]
    assert found["metadata"]["labels"] == {
        "app": "x",
        "job-name": "job",
        "controller-uid": uid,
        "batch.kubernetes.io/job-name": "job",
        "batch.kubernetes.io/controller-uid": uid,
    }
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Job", uid, True)
    assert found["metadata"]["name"].startswith("job-")


def test_a_job_runs_to_its_completions_and_tells(bench: Bench) -> None:
    """Three completions, one after the other, end Complete; events say what was created."""
    bench.create(completions=3, parallelism=1)
    for number in range(3):
        assert eventually(lambda: any(each["status"]["phase"] == "Pending" for each in bench.pods()))
        assert bench.job()["status"].get("succeeded", 0) <= number
        bench.end(next(each for each in bench.pods() if each["status"]["phase"] == "Pending"))
    assert eventually(lambda: "Complete" in ends(bench.job()["status"]))
    status = bench.job()["status"]
    assert (status["succeeded"], status.get("active", 0), status["ready"], status["terminating"]) == (3, 0, 0, 0)
    assert bench.reasons().count("SuccessfulCreate") == 3
    assert eventually(lambda: "Completed" in bench.reasons())


def test_a_failing_job_is_tried_again_until_its_limit(bench: Bench) -> None:
    """A backoffLimit of 2 means three pods; then Failed, with the event of that reason."""
    bench.create(backoffLimit=2)
    for number in range(1, 4):
        assert eventually(lambda: len(bench.pods()) == number)  # noqa: B023  used within this turn
        bench.end(next(each for each in bench.pods() if each["status"]["phase"] == "Pending"), "Failed")
    assert eventually(lambda: "Failed" in ends(bench.job()["status"]))
    assert (bench.job()["status"]["failed"], len(bench.pods())) == (3, 3)
    assert eventually(lambda: "BackoffLimitExceeded" in bench.reasons())


def test_a_deadline_passes_by_itself(bench: Bench) -> None:
    """When activeDeadlineSeconds are over the Job ends with nobody looking."""
    bench.create(activeDeadlineSeconds=1)
    assert eventually(lambda: ends(bench.job()["status"]) == ["FailureTarget", "Failed"])
    assert bench.job()["status"]["conditions"][1]["reason"] == "DeadlineExceeded"
    assert bench.pods() == []


def test_a_failed_jobs_pod_on_a_node_keeps_it_from_failed(bench: Bench) -> None:
    """A pod that nobody ends (its node is lost) leaves the Job at FailureTarget, terminating 1."""
    bench.create(activeDeadlineSeconds=1)
    assert eventually(lambda: len(bench.pods()) == 1)
    bench.bind()
    assert eventually(lambda: ends(bench.job()["status"]) == ["FailureTarget"])
    assert eventually(lambda: bench.job()["status"]["terminating"] == 1)
    time.sleep(0.1)
    assert ends(bench.job()["status"]) == ["FailureTarget"]
    (stuck,) = bench.pods()
    bench.store.delete("pods", NAMESPACE, stuck["metadata"]["name"], grace_seconds=0)
    assert eventually(lambda: ends(bench.job()["status"]) == ["FailureTarget", "Failed"])


def test_suspending_and_resuming(bench: Bench) -> None:
    """A suspended Job has no pods and says so; resumed it has one again, and none counts as failed."""
    bench.create()
    assert eventually(lambda: len(bench.pods()) == 1)
    bench.suspend(suspended=True)
    assert eventually(lambda: ends(bench.job()["status"]) == ["Suspended"] and bench.pods() == [])
    bench.suspend(suspended=False)
    assert eventually(lambda: len(bench.pods()) == 1)
    assert eventually(lambda: bench.job()["status"].get("active") == 1)
    assert "failed" not in bench.job()["status"]
    assert eventually(lambda: {"Suspended", "Resumed"} <= set(bench.reasons()))


def test_a_deleted_job_takes_its_pods_along(bench: Bench) -> None:
    """Deleting the Job deletes its pods, and nothing is created again."""
    bench.create(parallelism=2, completions=2)
    assert eventually(lambda: len(bench.pods()) == 2)
    bench.store.delete("jobs", NAMESPACE, "job")
    assert eventually(lambda: bench.pods() == [])
    time.sleep(0.1)
    assert bench.pods() == []


def test_a_pod_deleted_by_force_is_a_failure_and_replaced(bench: Bench) -> None:
    """A pod that vanishes without having ended counts as failed, once, and another one comes."""
    bench.create()
    assert eventually(lambda: len(bench.pods()) == 1)
    (first,) = bench.pods()
    bench.store.delete("pods", NAMESPACE, first["metadata"]["name"], grace_seconds=0)
    assert eventually(lambda: bench.job()["status"].get("failed") == 1)
    assert eventually(lambda: len(bench.pods()) == 1)
    assert bench.pods()[0]["metadata"]["uid"] != first["metadata"]["uid"]
    bench.end(bench.pods()[0])
    assert eventually(lambda: "Complete" in ends(bench.job()["status"]))
    assert (bench.job()["status"]["failed"], bench.job()["status"]["succeeded"]) == (1, 1)


def test_a_finished_job_is_deleted_after_its_time_to_live(bench: Bench) -> None:
    """The ttlSecondsAfterFinished count from the end; then Job and pods are gone."""
    bench.create(ttlSecondsAfterFinished=3600)
    assert eventually(lambda: len(bench.pods()) == 1)
    bench.end(bench.pods()[0])
    assert eventually(lambda: "Complete" in ends(bench.job()["status"]))
    bench.offset = timedelta(minutes=59)
    bench.controllers.look()
    time.sleep(0.1)
    assert bench.store.list("jobs", NAMESPACE)[0]
    bench.offset = timedelta(minutes=61)
    bench.controllers.look()
    assert eventually(lambda: bench.store.list("jobs", NAMESPACE)[0] == [] and bench.pods() == [])


def test_nothing_is_lost_when_the_past_is_forgotten(bench: Bench) -> None:
    """After a compaction the watches list again, and Jobs go on."""
    bench.create("before")
    assert eventually(lambda: len(bench.pods()) == 1)
    bench.store.compact()
    bench.create("after")
    bench.end(bench.pods()[0])
    assert eventually(lambda: len(bench.pods()) == 2)
    assert eventually(lambda: "Complete" in ends(bench.job("before")["status"]))


def test_stopped_controllers_do_nothing_and_go_on_when_started_again(bench: Bench) -> None:
    """What happened while they were stopped is seen to afterwards."""
    bench.controllers.stop()
    bench.create()
    time.sleep(0.1)
    assert (bench.pods(), bench.job()["status"]) == ([], {})
    bench.controllers.start()
    assert eventually(lambda: len(bench.pods()) == 1)


def test_a_hundred_jobs_get_their_pods(bench: Bench) -> None:
    """The controllers keep up: a hundred Jobs have a pod each, none has two."""
    for number in range(100):
        bench.create(f"job-{number}")
    assert eventually(lambda: len(bench.pods()) == 100)
    time.sleep(0.1)
    owners = [each["metadata"]["ownerReferences"][0]["uid"] for each in bench.pods()]
    assert len(set(owners)) == len(owners) == 100
