"""CronJobs start when they are due, make up for one missed start, and keep to their policies; time is moved by hand."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drfsm.sandbox.kubernetes.controllers import Controllers
from drfsm.sandbox.kubernetes.store import Store

NAMESPACE = "jobintel"
NAME = "jobintel-daily"
DAY = timedelta(days=1)


def eventually(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return now


# --- the controller ----------------------------------------------------------------------------------


class Clockwork:
    """A store with controllers, a clock to be moved, and hands that play the kubelet."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.store = Store()
        self.store.create("namespaces", {"metadata": {"name": NAMESPACE}})
        self.controllers = Controllers(self.store, clock=lambda: self.now)
        self.controllers.start()

    def move_to(self, when: datetime) -> None:
        """Let it be another time."""
        self.now = when
        self.controllers.look()

    def settle(self) -> None:
        """Wait until the controllers have nothing more to do: an object made now is seen last."""
        before = self.store.version
        while True:
            time.sleep(0.05)
            if self.store.version == before:
                return
            before = self.store.version

    def cronjob(self, **spec: Any) -> dict[str, Any]:
        """Create the CronJob."""
        pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}
        job: dict[str, Any] = {"spec": {"template": pod, "backoffLimit": 0}}
        whole = {"schedule": "0 13 * * *", "jobTemplate": job, **spec}
        return self.store.create("cronjobs", {"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": whole})

    def look(self) -> dict[str, Any]:
        """Return the CronJob, with a status in any case."""
        return {"status": {}, **self.store.get("cronjobs", NAMESPACE, NAME)}

    def change(self, **spec: Any) -> None:
        """Change the CronJob."""
        with self.store.alone():
            live = self.look()
            self.store.update("cronjobs", {**live, "spec": {**live["spec"], **spec}})

    def jobs(self) -> list[str]:
        """Return the names of the Jobs."""
        return [each["metadata"]["name"] for each in self.store.list("jobs", NAMESPACE)[0]]

    def end(self, job: str, phase: str = "Succeeded") -> None:
        """Let a Job's pod end."""
        with self.store.alone():
            for pod in self.store.list("pods", NAMESPACE)[0]:
                if pod["metadata"]["labels"].get("job-name") == job:
                    self.store.update("pods", {**pod, "status": {**pod["status"], "phase": phase}}, status=True)

    def reasons(self) -> list[str]:
        """Return the reasons of the CronJob's events."""
        return [
            each["reason"]
            for each in self.store.list("events", NAMESPACE)[0]
            if each["involvedObject"]["kind"] == "CronJob"
        ]


@pytest.fixture
def clockwork() -> Iterator[Clockwork]:
    """Return a running clockwork."""
    made = Clockwork()
    yield made
    made.controllers.stop()


def next_one_oclock(now: datetime, days: int = 1) -> datetime:
    """Return one o'clock p.m., so many days from now."""
    return (now + days * DAY).replace(hour=13, minute=0, second=0)


def name_of(when: datetime) -> str:
    """Return the name of the Job of a scheduled time."""
    return f"{NAME}-{int(when.timestamp()) // 60}"


def test_a_due_cronjob_starts_one_job_named_by_its_time(clockwork: Clockwork) -> None:
    """At its time one Job starts: owned, named and annotated; status says so; looking again starts no second."""
    cronjob = clockwork.cronjob()
    when = next_one_oclock(clockwork.now)
    clockwork.move_to(when)
    assert eventually(lambda: clockwork.jobs() == [name_of(when)])
    job = clockwork.store.get("jobs", NAMESPACE, name_of(when))
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (cronjob["metadata"]["uid"], True)
    told = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] == told
    assert eventually(lambda: clockwork.look()["status"].get("lastScheduleTime") == told)
    assert [each["name"] for each in clockwork.look()["status"]["active"]] == [name_of(when)]
    clockwork.move_to(when + timedelta(minutes=30))
    clockwork.settle()
    assert clockwork.jobs() == [name_of(when)]


def test_a_finished_job_leaves_the_active_list_and_dates_the_last_success(clockwork: Clockwork) -> None:
    """When the Job is complete nothing is active any more, and lastSuccessfulTime is its completion."""
    clockwork.cronjob()
    when = next_one_oclock(clockwork.now)
    clockwork.move_to(when)
    assert eventually(lambda: bool(clockwork.store.list("pods", NAMESPACE)[0]))
    clockwork.end(name_of(when))
    assert eventually(lambda: "active" not in clockwork.look()["status"])
    completed = clockwork.store.get("jobs", NAMESPACE, name_of(when))["status"]["completionTime"]
    assert clockwork.look()["status"]["lastSuccessfulTime"] == completed
    assert eventually(lambda: "SawCompletedJob" in clockwork.reasons())


def test_a_suspended_cronjob_starts_nothing(clockwork: Clockwork) -> None:
    """While it is suspended its time passes without a Job."""
    clockwork.cronjob(suspend=True)
    clockwork.move_to(next_one_oclock(clockwork.now))
    clockwork.settle()
    assert clockwork.jobs() == []


def test_unsuspending_starts_the_missed_run_at_once(clockwork: Clockwork) -> None:
    """Without a deadline the newest missed start is made up for as soon as the suspension ends, hours later."""
    clockwork.cronjob(suspend=True)
    when = next_one_oclock(clockwork.now, days=3)
    clockwork.move_to(when + timedelta(hours=5))
    clockwork.settle()
    clockwork.change(suspend=False)
    assert eventually(lambda: clockwork.jobs() == [name_of(when)])
    clockwork.settle()
    assert clockwork.jobs() == [name_of(when)]


def test_unsuspending_after_the_deadline_starts_nothing_within_it_does(clockwork: Clockwork) -> None:
    """With startingDeadlineSeconds 600 a start missed by 11 minutes stays missed, one by 5 minutes is made up for."""
    clockwork.cronjob(suspend=True, startingDeadlineSeconds=600)
    when = next_one_oclock(clockwork.now)
    clockwork.move_to(when + timedelta(minutes=11))
    clockwork.change(suspend=False)
    clockwork.settle()
    assert clockwork.jobs() == []
    clockwork.change(suspend=True)
    clockwork.move_to(when + DAY + timedelta(minutes=5))
    clockwork.settle()
    clockwork.change(suspend=False)
    assert eventually(lambda: clockwork.jobs() == [name_of(when + DAY)])


def test_forbid_waits_for_its_own_job(clockwork: Clockwork) -> None:
    """With Forbid the next start is skipped while the Job runs, and made up for when it ends."""
    clockwork.cronjob(concurrencyPolicy="Forbid", schedule="*/5 * * * *")
    clockwork.move_to(clockwork.now + timedelta(minutes=5))
    assert eventually(lambda: len(clockwork.jobs()) == 1)
    clockwork.settle()
    (first,) = clockwork.jobs()
    clockwork.move_to(clockwork.now + timedelta(minutes=5))
    clockwork.settle()
    assert clockwork.jobs() == [first]
    assert "JobAlreadyActive" in clockwork.reasons()
    clockwork.end(first)
    assert eventually(lambda: len(clockwork.jobs()) == 2)


def test_forbid_ignores_a_job_made_by_hand(clockwork: Clockwork) -> None:
    """A running Job that somebody made from the CronJob doesn't hold the schedule up; it is only wondered at."""
    cronjob = clockwork.cronjob(concurrencyPolicy="Forbid")
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": NAME,
        "uid": cronjob["metadata"]["uid"],
        "controller": True,
    }
    spec = cronjob["spec"]["jobTemplate"]["spec"]
    metadata = {"name": "by-hand", "namespace": NAMESPACE, "ownerReferences": [owner]}
    clockwork.store.create("jobs", {"metadata": metadata, "spec": spec})
    clockwork.settle()
    assert "UnexpectedJob" in clockwork.reasons()
    when = next_one_oclock(clockwork.now)
    clockwork.move_to(when)
    assert eventually(lambda: clockwork.jobs() == ["by-hand", name_of(when)])


def test_replace_ends_the_running_job_for_the_next(clockwork: Clockwork) -> None:
    """With Replace the running Job is deleted when the next one starts."""
    clockwork.cronjob(concurrencyPolicy="Replace")
    when = next_one_oclock(clockwork.now)
    clockwork.move_to(when)
    assert eventually(lambda: clockwork.jobs() == [name_of(when)])
    clockwork.settle()
    clockwork.move_to(when + DAY)
    assert eventually(lambda: clockwork.jobs() == [name_of(when + DAY)])


def test_allow_lets_jobs_run_side_by_side(clockwork: Clockwork) -> None:
    """With Allow two Jobs are active at the same time."""
    clockwork.cronjob(concurrencyPolicy="Allow")
    when = next_one_oclock(clockwork.now)
    for moment in (when, when + DAY):
        clockwork.move_to(moment)
        clockwork.settle()
    assert clockwork.jobs() == [name_of(when), name_of(when + DAY)]
    assert len(clockwork.look()["status"]["active"]) == 2


def test_the_history_keeps_only_the_newest(clockwork: Clockwork) -> None:
    """Of five successes and two failures the limits leave the newest two and one."""
    clockwork.cronjob(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    when, names = next_one_oclock(clockwork.now), []
    for number in range(7):
        clockwork.move_to(when + number * DAY)
        names.append(name_of(when + number * DAY))
        assert eventually(lambda: names[-1] in clockwork.jobs())
        clockwork.settle()
        clockwork.end(names[-1], "Failed" if number in (1, 3) else "Succeeded")
        clockwork.settle()
    assert eventually(lambda: clockwork.jobs() == sorted([names[3], names[5], names[6]]))


def test_many_missed_starts_are_warned_about(clockwork: Clockwork) -> None:
    """After more than a hundred missed starts there is a warning, and, as with the real controller, one Job."""
    clockwork.cronjob(schedule="* * * * *", suspend=True)
    clockwork.move_to(clockwork.now + timedelta(hours=3))
    clockwork.change(suspend=False)
    assert eventually(lambda: "TooManyMissedTimes" in clockwork.reasons())
    assert eventually(lambda: len(clockwork.jobs()) == 1)


def test_a_changed_schedule_waits_for_its_own_next_start(clockwork: Clockwork) -> None:
    """What the new schedule would have started before it was there is not made up for at the change."""
    clockwork.cronjob(schedule="@yearly")
    clockwork.settle()
    clockwork.move_to(clockwork.now + timedelta(minutes=20))
    clockwork.settle()
    clockwork.change(schedule="*/5 * * * *")
    clockwork.settle()
    assert clockwork.jobs() == []
    clockwork.move_to(clockwork.now + timedelta(minutes=5))
    assert eventually(lambda: len(clockwork.jobs()) == 1)


def test_every_counts_from_the_last_start_and_not_from_the_hour(clockwork: Clockwork) -> None:
    """``@every 7m``: seven minutes after it was made, and again seven minutes after that start was due."""
    clockwork.cronjob(schedule="@every 7m")
    made = datetime.fromisoformat(clockwork.look()["metadata"]["creationTimestamp"])
    names = []
    for number in (1, 2):
        clockwork.move_to(made + number * timedelta(minutes=7) + timedelta(seconds=20))
        names.append(name_of(made + number * timedelta(minutes=7)))
        assert eventually(lambda: clockwork.jobs() == names)
        clockwork.settle()


def test_a_schedule_that_names_no_date_starts_nothing_and_is_told(clockwork: Clockwork) -> None:
    """The thirtieth of February is lawful for the API, and an event for the controller; mending it makes it work."""
    clockwork.cronjob(schedule="0 0 30 2 *")
    assert eventually(lambda: "InvalidSchedule" in clockwork.reasons())
    clockwork.change(schedule="* * * * *")
    clockwork.settle()
    clockwork.move_to(clockwork.now + timedelta(minutes=1))
    assert eventually(lambda: len(clockwork.jobs()) == 1)


def test_the_real_clock_needs_no_look() -> None:
    """On a running clock the CronJob starts by itself when its minute comes."""
    store = Store()
    begin = datetime.now(UTC).replace(second=59, microsecond=500_000)
    offset = begin - datetime.now(UTC)
    controllers = Controllers(store, clock=lambda: datetime.now(UTC) + offset)
    controllers.start()
    try:
        pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": pod}}}
        cronjob = {"metadata": {"name": NAME, "namespace": "default"}, "spec": spec}
        store.create("cronjobs", cronjob)
        assert eventually(lambda: bool(store.list("jobs", "default")[0]), seconds=3)
    finally:
        controllers.stop()
