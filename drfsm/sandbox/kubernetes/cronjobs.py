"""The CronJob controller: the Job that a CronJob starts when it is due.

The rules are those of kube-controller-manager's cronjob_controllerv2; ``drfsm.cron`` has those of times. The newest
missed start is made up for at once (only that one, and only within startingDeadlineSeconds), also just after a
suspension ends. Forbid considers only Jobs that the CronJob started, and ignores one made by hand. More than a hundred
missed starts give a warning and nothing else. A ``TZ=`` in a schedule, which the API refuses, is read with a warning.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from drfsm import cron
from drfsm.sandbox.kubernetes.jobs import is_finished
from drfsm.sandbox.kubernetes.reading import (
    Place,
    controller_of,
    is_being_deleted,
    is_true,
    moment,
    owner_reference,
    place,
    reference,
    stamp,
    uid,
)
from drfsm.sandbox.kubernetes.recorder import Severity
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.store import clone
from drfsm.sandbox.kubernetes.workqueue import Workqueue

COMPONENT = "cronjob-controller"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def job_of(cronjob: Manifest, at: datetime) -> Manifest:
    """Return the Job of a scheduled start. Its name follows from the time, so there is only one."""
    template = clone(cronjob["spec"]["jobTemplate"])
    template_metadata = template.get("metadata") or {}
    local = at.astimezone(cron.zone_of(cronjob["spec"].get("timeZone") or ""))
    scheduled_at = stamp(at) if local.utcoffset() == timedelta(0) else local.isoformat(timespec="seconds")
    metadata = {
        "name": f"{place(cronjob).name}-{int(at.timestamp()) // 60}",
        "namespace": place(cronjob).namespace,
        "labels": template_metadata.get("labels") or {},
        "annotations": {**(template_metadata.get("annotations") or {}), SCHEDULED_AT: scheduled_at},
        "ownerReferences": [owner_reference(cronjob)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


class CronJobs:
    """The controller."""

    resource = "cronjobs"

    def __init__(self, workqueue: Workqueue) -> None:
        self._workqueue = workqueue
        self._schedules: dict[Place, tuple[str, str]] = {}  # schedule and zone, as last seen

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the CronJob of a Job."""
        del gone
        owner = controller_of(manifest) if resource == "jobs" else None
        if owner is None or owner["kind"] != "CronJob":
            return ()
        return (Place(place(manifest).namespace, owner["name"]),)

    def sync(self, where: Place) -> None:
        """Clean up after a CronJob's finished Jobs, and start the one that is due."""
        cronjob = self._workqueue.mirror("cronjobs").get(where)
        if cronjob is None:
            self._schedules.pop(where, None)
            return
        jobs = self._workqueue.mirror("jobs").owned(uid(cronjob))
        status = clone(cronjob.get("status", {}))
        self._clean_up(cronjob, status, jobs)
        self._observe(cronjob, status, jobs)
        if not is_being_deleted(cronjob):
            self._start_if_due(cronjob, status)
        if not status.get("active"):
            status.pop("active", None)
        if status != cronjob.get("status", {}):
            self._workqueue.write("cronjobs", {**cronjob, "status": status}, status=True)

    def _clean_up(self, cronjob: Manifest, status: Manifest, jobs: Sequence[Manifest]) -> None:
        """Delete the oldest finished Jobs beyond the history's limits."""
        spec = cronjob["spec"]
        for end, limit in (
            ("Complete", spec.get("successfulJobsHistoryLimit")),
            ("Failed", spec.get("failedJobsHistoryLimit")),
        ):
            ended = sorted((job for job in jobs if is_true(job, end)), key=_by_start)
            for job in ended[: max(0, len(ended) - limit)] if limit is not None else ():
                self._delete(cronjob, status, job)

    def _observe(self, cronjob: Manifest, status: Manifest, jobs: Sequence[Manifest]) -> None:
        """Bring ``active`` and ``lastSuccessfulTime`` up to date."""
        active = {reference["uid"] for reference in status.get("active") or ()}
        for job in jobs:
            if not is_finished(job):
                if uid(job) not in active:
                    message = f"Saw a job that the controller did not create or forgot: {place(job).name}"
                    self._tell(cronjob, "Warning", "UnexpectedJob", message)
                continue
            if uid(job) in active:
                _strike_out(status, uid(job))
                end = "Complete" if is_true(job, "Complete") else "Failed"
                message = f"Saw completed job: {place(job).name}, condition: {end}"
                self._tell(cronjob, "Normal", "SawCompletedJob", message)
            completed = job["status"].get("completionTime")
            if completed and completed > status.get("lastSuccessfulTime", ""):
                status["lastSuccessfulTime"] = completed
        there = {uid(job) for job in jobs}
        for started in list(status.get("active") or ()):
            if started["uid"] not in there:
                _strike_out(status, started["uid"])
                self._tell(cronjob, "Normal", "MissingJob", f"Active job went missing: {started['name']}")

    def _start_if_due(self, cronjob: Manifest, status: Manifest) -> None:
        spec, rescheduled = cronjob["spec"], self._is_rescheduled(cronjob)  # looked at while suspended, too
        due = self._due(cronjob, status)
        if due is None:
            return
        if due.following is not None:
            self._workqueue.look_again("cronjobs", place(cronjob), due.following)
        at = due.start
        if rescheduled or at is None or self._is_processed(cronjob, status, at):
            return
        if due.many:
            advice = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._tell(cronjob, "Warning", "TooManyMissedTimes", f"too many missed start times. {advice}")
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and status.get("active"):
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._tell(cronjob, "Normal", "JobAlreadyActive", message)
            return
        if policy == "Replace":
            for reference in list(status.get("active") or ()):
                self._replace(cronjob, status, reference)
        self._start(cronjob, status, at)

    def _due(self, cronjob: Manifest, status: Manifest) -> cron.Due | None:
        """Return what is due; None if the CronJob is suspended, or its schedule can't be read."""
        spec, last = cronjob["spec"], status.get("lastScheduleTime")
        words, zone = spec["schedule"], spec.get("timeZone") or ""
        try:
            cron.zone_of(zone)
        except cron.UnknownZone as fault:
            self._tell(cronjob, "Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": {fault}')
            return None
        if spec.get("suspend"):
            return None
        if "TZ" in words:
            message = f'CRON_TZ or TZ used in schedule "{words}" is not officially supported'
            self._tell(cronjob, "Warning", "UnsupportedSchedule", message)
        created = moment(cronjob["metadata"]["creationTimestamp"])
        history = cron.History(created, moment(last) if last else None, spec.get("startingDeadlineSeconds"))
        try:
            return cron.due(cron.parse(words, zone), history, self._workqueue.now())
        except cron.NeverDue as fault:
            self._tell(cronjob, "Warning", "InvalidSchedule", f"invalid schedule: {words} : {fault}")
        except cron.BadSchedule as fault:
            self._tell(cronjob, "Warning", "UnparseableSchedule", f'unparseable schedule: "{words}" : {fault}')
        return None

    def _is_rescheduled(self, cronjob: Manifest) -> bool:
        """Say whether the schedule was changed since the last look: it then waits for the new one's next start."""
        spec = cronjob["spec"]
        schedule = spec["schedule"], spec.get("timeZone") or ""
        before, self._schedules[place(cronjob)] = self._schedules.get(place(cronjob)), schedule
        return before not in (None, schedule)

    def _is_processed(self, cronjob: Manifest, status: Manifest, at: datetime) -> bool:
        name = f"{place(cronjob).name}-{int(at.timestamp()) // 60}"
        if status.get("lastScheduleTime") == stamp(at):
            return True
        return any(reference["name"] == name for reference in status.get("active") or ())

    def _start(self, cronjob: Manifest, status: Manifest, at: datetime) -> None:
        new_job = job_of(cronjob, at)
        try:
            job = self._workqueue.create("jobs", new_job)
        except ApiError as refusal:
            there = self._workqueue.mirror("jobs").get(place(new_job))
            if refusal.reason != "AlreadyExists" or there is None:
                self._tell(cronjob, "Warning", "FailedCreate", f"Error creating job: {refusal.message}")
                return
            owner = controller_of(there)
            if owner is None or owner["uid"] != uid(cronjob):
                return
            job = there
        else:
            self._tell(cronjob, "Normal", "SuccessfulCreate", f"Created job {place(job).name}")
        status["active"] = [*(status.get("active") or ()), reference(job)]
        status["lastScheduleTime"] = stamp(at)

    def _replace(self, cronjob: Manifest, status: Manifest, active: Manifest) -> None:
        job = self._workqueue.mirror("jobs").get(Place(active["namespace"], active["name"]))
        if job is not None:
            self._delete(cronjob, status, job)

    def _delete(self, cronjob: Manifest, status: Manifest, job: Manifest) -> None:
        if self._workqueue.delete("jobs", job):
            self._tell(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {place(job).name}")
        _strike_out(status, uid(job))

    def _tell(self, cronjob: Manifest, severity: Severity, reason: str, message: str) -> None:
        self._workqueue.tell(COMPONENT, cronjob, severity, reason, message)


def _strike_out(status: Manifest, job_uid: str) -> None:
    status["active"] = [reference for reference in status.get("active") or () if reference["uid"] != job_uid]


def _by_start(job: Manifest) -> tuple[str, str]:
    return job.get("status", {}).get("startTime", ""), place(job).name
