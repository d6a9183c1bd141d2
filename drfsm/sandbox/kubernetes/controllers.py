"""The emulated cluster's controllers and scheduler, in one thread, on the store.

Watches bring every change to that thread. It updates its mirrors, asks each controller which objects the change
concerns, and syncs those. Nothing polls: the thread sleeps until a change comes or the next object is due (a deadline,
a back-off, a CronJob's next start). The clock is passed in, so that a test can move time; a test that moved it calls
``look``. cluster.py starts and stops the controllers.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from drfsm.sandbox.kubernetes.cronjobs import CronJobs
from drfsm.sandbox.kubernetes.deployments import Deployments, ReplicaSets
from drfsm.sandbox.kubernetes.jobs import BACK_OFF_SECONDS, Jobs
from drfsm.sandbox.kubernetes.reading import place, uid
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.scheduling import Scheduler
from drfsm.sandbox.kubernetes.store import Store
from drfsm.sandbox.kubernetes.workqueue import WATCHED, Clock, Controller, Subject, Workqueue

FOREVER = float("inf")
LONGEST_SLEEP_SECONDS = 3600.0
RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class _News(NamedTuple):
    """News of a watch: one change, or all objects (at first, and after a gap)."""

    resource: str
    type: str
    objects: Sequence[Manifest]


class Controllers:
    """Jobs, CronJobs, Deployments, ReplicaSets and the scheduler of one cluster."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = lambda: datetime.now(UTC),
        job_back_off_seconds: float = BACK_OFF_SECONDS,
    ) -> None:
        self._store, self._workqueue = store, Workqueue(store, clock)
        workqueue = self._workqueue
        self._controllers: Sequence[Controller] = (
            Scheduler(workqueue),
            Jobs(workqueue, back_off_seconds=job_back_off_seconds),
            CronJobs(workqueue),
            ReplicaSets(workqueue),
            Deployments(workqueue),
        )
        self._inbox: queue.SimpleQueue[_News | None] = queue.SimpleQueue()
        self._dirty: dict[Subject, None] = {}  # in order of arrival
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start with the objects that exist already. May be called again after ``stop``."""
        self._stopping = threading.Event()
        versions = {resource: self._list(resource) for resource in WATCHED}
        self._threads = [threading.Thread(target=self._work, name="controllers", daemon=True)]
        for resource, version in versions.items():
            watch = threading.Thread(
                target=self._watch, args=(resource, version), name=f"controllers-{resource}", daemon=True
            )
            self._threads.append(watch)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait until the threads have ended. The store keeps what was reached."""
        self._stopping.set()
        self._store.wake()
        self._inbox.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def look(self) -> None:
        """Sync every object again now, since the clock was moved."""
        for resource in WATCHED:
            self._inbox.put(_News(resource, "LOOK", ()))

    # --- watching -------------------------------------------------------------------------------------

    def _list(self, resource: str) -> int:
        objects, version = self._store.list(resource)
        self._inbox.put(_News(resource, "LISTED", objects))
        return version

    def _watch(self, resource: str, version: int) -> None:
        while not self._stopping.is_set():
            try:
                for change, manifest in self._store.watch(resource, "", version, FOREVER, self._stopping):
                    self._inbox.put(_News(resource, change, (manifest,)))
            except ApiError as refusal:
                if refusal.status != 410:  # noqa: PLR2004  Gone: we were too slow, or the past was compacted
                    raise
                version = self._list(resource)

    # --- working --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping.is_set():
            for news in self._take():
                if news is not None:
                    self._apply(news)
            for subject in self._workqueue.take_due():
                self._dirty[subject] = None
            self._sync_all()

    def _take(self) -> Sequence[_News | None]:
        """Return the news; wait until there are some, or until an object is due."""
        taken: list[_News | None] = []
        try:
            taken.append(self._inbox.get(timeout=self._sleep_seconds()))
            while True:
                taken.append(self._inbox.get_nowait())
        except queue.Empty:
            return taken

    def _sleep_seconds(self) -> float:
        due = self._workqueue.next_due()
        if due is None:
            return LONGEST_SLEEP_SECONDS
        return min(max((due - self._workqueue.now()).total_seconds(), 0), LONGEST_SLEEP_SECONDS)

    def _apply(self, news: _News) -> None:
        mirror = self._workqueue.mirror(news.resource)
        if news.type == "LOOK":
            for manifest in mirror:
                self._mark(news.resource, manifest, gone=False)
            return
        if news.type == "LISTED":
            there = {uid(manifest) for manifest in news.objects}
            for manifest in mirror:
                if uid(manifest) not in there:
                    mirror.forget(manifest)
                    self._mark(news.resource, manifest, gone=True)
        for manifest in news.objects:
            if news.type == "DELETED":
                mirror.forget(manifest)
            else:
                mirror.see(manifest)
            self._mark(news.resource, manifest, gone=news.type == "DELETED")

    def _mark(self, resource: str, manifest: Manifest, *, gone: bool) -> None:
        """Note which objects a change makes due for a sync."""
        for controller in self._controllers:
            if controller.resource == resource:
                self._dirty[Subject(resource, place(manifest))] = None
            for concerned in controller.concerns(resource, manifest, gone=gone):
                self._dirty[Subject(controller.resource, concerned)] = None

    def _sync_all(self) -> None:
        for subject in list(self._dirty):
            del self._dirty[subject]
            for controller in self._controllers:
                if controller.resource == subject.resource:
                    self._sync(controller, subject)

    def _sync(self, controller: Controller, subject: Subject) -> None:
        try:
            controller.sync(subject.place)
        except ApiError as refusal:
            if refusal.reason in ("NotFound", "Conflict"):
                # What it was read from is stale; the watch brings the newer version, and another sync.
                return
            _log.warning("%s %s: %s", subject.resource, "/".join(subject.place), refusal.message)
            later = self._workqueue.now() + timedelta(seconds=RETRY_SECONDS)
            self._workqueue.look_again(subject.resource, subject.place, later)
