"""The Job controller: pods from a template, retried with back-off, until the Job is complete or failed.

``step`` is pure: from a Job, its pods and the pods counted before, it returns the status to write, and the pods to
create or remove. The rules are those of kube-controller-manager (pkg/controller/job), recent versions: a pod that is
being deleted counts as failed at once, and is replaced; a Job whose outcome is decided has SuccessCriteriaMet or
FailureTarget until its last pod is gone, and only then Complete or Failed. Left out: Indexed Jobs, podFailurePolicy,
successPolicy, podReplacementPolicy Failed, managedBy.

The real controller remembers counted pods by a finalizer and uncountedTerminatedPods. Here a ``Ledger`` in memory does,
since this controller lives as long as its store.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from attrs import evolve, frozen

from drfsm.sandbox.kubernetes.reading import (
    Place,
    by_readiness,
    condition,
    controller_of,
    has_ended,
    is_active,
    is_being_deleted,
    is_true,
    moment,
    owner_reference,
    phase,
    place,
    stamp,
    uid,
)
from drfsm.sandbox.kubernetes.recorder import Severity
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.store import clone
from drfsm.sandbox.kubernetes.workqueue import Workqueue

COMPONENT = "job-controller"
BACK_OFF_SECONDS, BACK_OFF_LIMIT_SECONDS = 10.0, 600.0
RETRY_SECONDS = 1.0
ENDS: Mapping[str, str] = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}


@frozen
class Ledger:
    """The pods of a Job that were counted, by their uids."""

    succeeded: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()  # removed by a suspension, or as too many: no failures
    failures: int = 0  # since the last success
    last_failure: datetime | None = None

    def counting(self, pods: Iterable[Manifest], now: datetime, *, all_failed: bool = False) -> "Ledger":
        """Return the ledger with pods that ended or are being deleted; with ``all_failed`` the others count, too."""
        ledger = self
        for pod in pods:
            if uid(pod) in ledger.succeeded | ledger.failed | ledger.ignored:
                continue
            if phase(pod) == "Succeeded":
                ledger = evolve(ledger, succeeded=ledger.succeeded | {uid(pod)}, failures=0, last_failure=None)
            elif phase(pod) == "Failed" or is_being_deleted(pod) or all_failed:
                ledger = evolve(
                    ledger,
                    failed=ledger.failed | {uid(pod)},
                    failures=ledger.failures + 1,
                    last_failure=now,
                )
        return ledger

    def ignoring(self, pods: Iterable[Manifest]) -> "Ledger":
        """Return the ledger with pods that the controller removes itself."""
        return evolve(self, ignored=self.ignored | {uid(pod) for pod in pods})

    def waits_until(self, base_seconds: float) -> datetime | None:
        """Return when the next pod may be created: 10 s after a failure, 20 s after the next, and so on."""
        if not self.failures or self.last_failure is None:
            return None
        delay_seconds = min(base_seconds * 2 ** (self.failures - 1), BACK_OFF_LIMIT_SECONDS)
        return self.last_failure + timedelta(seconds=delay_seconds)


class JobEvent(NamedTuple):
    """An event about the Job."""

    severity: Severity
    reason: str
    message: str


@frozen
class Step:
    """The next step of a Job."""

    status: Manifest
    ledger: Ledger
    create: int = 0
    remove: Sequence[Manifest] = ()
    events: Sequence[JobEvent] = ()
    again: datetime | None = None


@frozen
class _JobView:
    """A Job, its pods and its ledger at one time."""

    job: Manifest
    pods: Sequence[Manifest]
    ledger: Ledger
    now: datetime

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self.job["spec"]
        return spec

    @property
    def active(self) -> list[Manifest]:
        return [pod for pod in self.pods if is_active(pod)]

    @property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))

    @property
    def started(self) -> datetime | None:
        text = self.job.get("status", {}).get("startTime")
        return moment(text) if text else None

    @property
    def deadline(self) -> datetime | None:
        """The end of activeDeadlineSeconds; a suspended Job has no deadline."""
        seconds = self.spec.get("activeDeadlineSeconds")
        if seconds is None or self.suspended:
            return None
        return (self.started or self.now) + timedelta(seconds=seconds)


def is_finished(job: Manifest) -> bool:
    """Return whether a Job is complete or failed, and none of its pods is left running."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def step(
    job: Manifest,
    pods: Sequence[Manifest],
    ledger: Ledger,
    now: datetime,
    *,
    back_off_seconds: float = BACK_OFF_SECONDS,
) -> Step:
    """Return the next step of a Job that isn't finished."""
    view = _JobView(job, pods, ledger.counting(pods, now), now)
    fate = _decided(job) or _failure(view)
    if fate:
        return _ending(view, fate)
    create, remove, again = _pods_to_change(view, back_off_seconds)
    counted = view.ledger.ignoring(remove)
    active = len(view.active) + create - len(remove)
    if _is_complete(view, active):
        return _ending(view, _condition("SuccessCriteriaMet", "CompletionsReached", SUCCESS))
    status, events = _running(view)
    status |= _counts(view, counted, remove, create)
    times = [at for at in (again, view.deadline) if at is not None]
    return Step(status, counted, create, remove, events, min(times, default=None))


SUCCESS = "Reached expected number of succeeded pods"


def _decided(job: Manifest) -> Manifest | None:
    """Return the condition that decided the Job's outcome before; None if it is open."""
    return next((condition(job, kind) for kind in ENDS if is_true(job, kind)), None)


def _failure(view: _JobView) -> Manifest | None:
    limit = view.spec.get("backoffLimit", 6)
    if len(view.ledger.failed) > limit or _restarted_too_often(view, limit):
        return _condition("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if view.started and view.deadline and view.now >= view.deadline:
        return _condition("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def _restarted_too_often(view: _JobView, limit: int) -> bool:
    """Return whether the containers of an OnFailure Job were restarted more often than it allows."""
    if view.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        container.get("restartCount", 0)
        for pod in view.pods
        if not has_ended(pod)
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in pod.get("status", {}).get(kind) or ()
    )
    return bool(restarts > 0 if limit == 0 else restarts >= limit)


def _pods_to_change(view: _JobView, back_off_seconds: float) -> tuple[int, list[Manifest], datetime | None]:
    """Return how many pods to create, which pods to remove, and when a back-off ends."""
    active = view.active
    target = 0 if view.suspended else _target_active(view)
    if len(active) > target:
        return 0, by_readiness(active)[: len(active) - target], None
    until = view.ledger.waits_until(back_off_seconds)
    if len(active) < target and until is not None and view.now < until:
        return 0, [], until
    return target - len(active), [], None


def _target_active(view: _JobView) -> int:
    parallelism, completions = view.spec.get("parallelism", 1), view.spec.get("completions")
    if completions is None:  # a work queue: after the first success nothing new is started
        return len(view.active) if view.ledger.succeeded else int(parallelism)
    return int(max(0, min(parallelism, completions - len(view.ledger.succeeded))))


def _is_complete(view: _JobView, active: int) -> bool:
    completions = view.spec.get("completions")
    needed = 1 if completions is None else completions
    return len(view.ledger.succeeded) >= needed and active == 0


def _ending(view: _JobView, fate: Manifest) -> Step:
    """Return the step of a Job whose outcome is decided: remove running pods, and finish once none is left."""
    failed = fate["type"] == "FailureTarget"
    remove = view.active
    ledger = view.ledger.counting(remove, view.now, all_failed=failed)
    status = {**view.job.get("status", {}), **_counts(view, ledger, remove, 0)}
    if not view.suspended:
        status.setdefault("startTime", stamp(view.now))
    status["conditions"] = _conditions(status, [fate], view.now)
    events: list[JobEvent] = []
    if not status["terminating"] and not remove:
        end = _condition(ENDS[fate["type"]], fate["reason"], fate["message"])
        status["conditions"] = _conditions(status, [end], view.now)
        if not failed:
            status["completionTime"] = stamp(view.now)
        events = [JobEvent("Warning", fate["reason"], fate["message"]) if failed else _COMPLETED]
    return Step(status, ledger, remove=remove, events=events)


_COMPLETED = JobEvent("Normal", "Completed", "Job completed")


def _running(view: _JobView) -> tuple[Manifest, list[JobEvent]]:
    """Return the status of a Job that continues, without its counts but with the marks of a suspension."""
    status = dict(view.job.get("status", {}))
    suspended, before = view.suspended, condition(view.job, "Suspended")
    if not suspended:
        status.setdefault("startTime", stamp(view.now))
    if suspended == (before is not None and before["status"] == "True"):
        return status, []
    if suspended:
        mark, word = _condition("Suspended", "JobSuspended", "Job suspended"), "Suspended"
    else:
        mark, word = {**_condition("Suspended", "JobResumed", "Job resumed"), "status": "False"}, "Resumed"
        status["startTime"] = stamp(view.now)  # the deadline counts anew
    status["conditions"] = _conditions(status, [mark], view.now)
    return status, [JobEvent("Normal", word, f"Job {word.lower()}")]


def _counts(view: _JobView, ledger: Ledger, remove: Sequence[Manifest], create: int) -> Manifest:
    removed = {uid(pod) for pod in remove}
    active = [pod for pod in view.active if uid(pod) not in removed]
    terminating = sum(is_being_deleted(pod) and not has_ended(pod) for pod in view.pods)
    return {
        "active": len(active) + create,
        "ready": sum(is_true(pod, "Ready") for pod in active),
        "terminating": terminating + len(remove),
        "succeeded": len(ledger.succeeded),
        "failed": len(ledger.failed),
        "uncountedTerminatedPods": {},
    }


def _condition(kind: str, reason: str, message: str) -> Manifest:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _conditions(status: Manifest, new: Iterable[Manifest], now: datetime) -> list[Manifest]:
    kept = {mark["type"]: mark for mark in status.get("conditions") or ()}
    for mark in new:
        if mark["type"] not in kept or kept[mark["type"]]["status"] != mark["status"]:
            kept[mark["type"]] = {**mark, "lastProbeTime": stamp(now), "lastTransitionTime": stamp(now)}
    return list(kept.values())


class Jobs:
    """The controller: takes each step, and remembers the ledgers."""

    resource = "jobs"

    def __init__(self, workqueue: Workqueue, *, back_off_seconds: float = BACK_OFF_SECONDS) -> None:
        self._workqueue, self._back_off_seconds = workqueue, back_off_seconds
        self._ledgers: dict[str, Ledger] = {}

    def concerns(self, resource: str, manifest: Manifest, *, gone: bool) -> Iterable[Place]:
        """Return the Job of a pod. A pod that is gone without having ended is counted as failed."""
        if resource == "jobs" and gone:
            self._ledgers.pop(uid(manifest), None)
        owner = controller_of(manifest) if resource == "pods" else None
        if owner is None or owner["kind"] != "Job":
            return ()
        if gone and owner["uid"] in self._ledgers:
            counted = self._ledgers[owner["uid"]].counting([manifest], self._workqueue.now(), all_failed=True)
            self._ledgers[owner["uid"]] = counted
        return (Place(place(manifest).namespace, owner["name"]),)

    def sync(self, where: Place) -> None:
        """Take a Job's next step."""
        job = self._workqueue.mirror("jobs").get(where)
        if job is None or is_being_deleted(job):
            return
        if is_finished(job):
            self._expire(job)
            return
        pods = self._workqueue.mirror("pods").owned(uid(job))
        ledger = self._ledgers.get(uid(job), Ledger())
        taken = step(job, pods, ledger, self._workqueue.now(), back_off_seconds=self._back_off_seconds)
        # Before anything is removed: what we remove must not be taken for a failure when its deletion is seen.
        self._ledgers[uid(job)] = taken.ledger
        for pod in taken.remove:
            if self._workqueue.delete("pods", pod):
                self._tell(job, JobEvent("Normal", "SuccessfulDelete", f"Deleted pod: {place(pod).name}"))
        created = self._create(job, taken.create)
        self._write(job, taken, missing=taken.create - created)
        if taken.again is not None:
            self._workqueue.look_again("jobs", where, taken.again)

    def _create(self, job: Manifest, count: int) -> int:
        """Create that many pods, or as many as are admitted; return how many."""
        for number in range(count):
            try:
                pod = self._workqueue.create("pods", pod_of(job))
            except ApiError as refusal:
                self._tell(job, JobEvent("Warning", "FailedCreate", f"Error creating: {refusal.message}"))
                later = self._workqueue.now() + timedelta(seconds=RETRY_SECONDS)
                self._workqueue.look_again("jobs", place(job), later)
                return number
            self._tell(job, JobEvent("Normal", "SuccessfulCreate", f"Created pod: {place(pod).name}"))
        return count

    def _write(self, job: Manifest, taken: Step, *, missing: int) -> None:
        status = {**taken.status, "active": taken.status["active"] - missing}
        for name in ("active", "succeeded", "failed"):
            if not status[name]:
                del status[name]
        if status == job.get("status"):
            return
        self._workqueue.write("jobs", {**job, "status": clone(status)}, status=True)
        for event in taken.events:
            self._tell(job, event)

    def _expire(self, job: Manifest) -> None:
        """Delete a finished Job when its ttlSecondsAfterFinished are over."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        end = condition(job, "Complete") or condition(job, "Failed")
        if seconds is None or end is None:
            return
        at = moment(end["lastTransitionTime"]) + timedelta(seconds=seconds)
        if self._workqueue.now() >= at:
            self._workqueue.delete("jobs", job)
        else:
            self._workqueue.look_again("jobs", place(job), at)

    def _tell(self, job: Manifest, event: JobEvent) -> None:
        self._workqueue.tell(COMPONENT, job, *event)


def pod_of(job: Manifest) -> Manifest:
    """Return a new pod of a Job."""
    template = clone(job["spec"]["template"])
    template_metadata = template.get("metadata") or {}
    where = place(job)
    marks = {
        "job-name": where.name,
        "controller-uid": uid(job),
        "batch.kubernetes.io/job-name": where.name,
        "batch.kubernetes.io/controller-uid": uid(job),
    }
    metadata = {
        "generateName": f"{where.name[:52]}-",
        "namespace": where.namespace,
        "labels": {**(template_metadata.get("labels") or {}), **marks},
        "annotations": template_metadata.get("annotations") or {},
        "ownerReferences": [owner_reference(job)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
