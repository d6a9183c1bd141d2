"""Sends what the kubelet reports to the API: pod statuses, deletions, events. One thread.

Only a pod's latest status counts, so it replaces an earlier one that wasn't sent yet. During an outage the reporter
retries with back-off until the status is sent. Events are commentary: of too many the oldest are dropped. ``hold``
holds everything back, as on a node that lost its network.
"""

import logging
import threading
from collections import deque
from http import HTTPStatus

from attrs import frozen

from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.errors import ApiUnreachable
from drfsm.sandbox.kubernetes.reading import place, uid
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest

SOONEST_SECONDS, LATEST_SECONDS = 0.05, 2.0
EVENTS = 1000

_log = logging.getLogger(__name__)


@frozen
class _Report:
    pod: Manifest
    status: Manifest
    deletable: bool  # the pod is being deleted, and nothing of it runs any more


class Reporter:
    """Sends statuses first, and events when no status is left."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reports: dict[str, _Report] = {}
        self._events: deque[tuple[Manifest, bool]] = deque(maxlen=EVENTS)
        self._news = threading.Condition()
        self._stopping = self._held = False
        self._thread = threading.Thread(target=self._run, name="kubelet-reporter", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and drop what wasn't sent. The client must be closed first, or be idle soon."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self._thread.join()

    def report(self, pod: Manifest, status: Manifest, deletable: bool) -> None:
        """Send a pod's status, and then delete its object if it is deletable."""
        with self._news:
            self._reports.pop(uid(pod), None)
            self._reports[uid(pod)] = _Report(pod, status, deletable)
            self._news.notify_all()

    def event(self, event: Manifest, new: bool) -> None:
        """Send an event."""
        with self._news:
            self._events.append((event, new))
            self._news.notify_all()

    def hold(self, held: bool) -> None:
        """Hold everything back, or send again."""
        with self._news:
            self._held = held
            self._news.notify_all()

    def _run(self) -> None:
        pause_seconds = SOONEST_SECONDS
        while (task := self._next()) is not None:
            try:
                self._send(task)
                pause_seconds = SOONEST_SECONDS
            except ApiUnreachable:
                self._keep(task)
                with self._news:
                    self._news.wait_for(lambda: self._stopping, pause_seconds)
                pause_seconds = min(pause_seconds * 2, LATEST_SECONDS)

    def _next(self) -> _Report | tuple[Manifest, bool] | None:
        with self._news:
            ready = lambda: self._stopping or (not self._held and (self._reports or self._events))  # noqa: E731  one use
            self._news.wait_for(ready)
            if self._stopping:
                return None
            if self._reports:
                return self._reports.pop(next(iter(self._reports)))
            return self._events.popleft()

    def _keep(self, task: "_Report | tuple[Manifest, bool]") -> None:
        """Put back what couldn't be sent, unless something newer replaced it."""
        with self._news:
            if isinstance(task, _Report):
                self._reports.setdefault(uid(task.pod), task)
            elif len(self._events) < EVENTS:
                self._events.appendleft(task)

    def _send(self, task: "_Report | tuple[Manifest, bool]") -> None:
        try:
            if isinstance(task, _Report):
                self._send_report(task)
            elif task[1]:
                self._client.create("events", task[0])
            else:
                self._client.replace("events", task[0])
        except ApiError as refusal:
            if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR or refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise ApiUnreachable(refusal.message) from None
            # The pod is gone, or another one has its name, or its namespace is going: nobody is to be told.
            if refusal.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN):
                _log.warning("the API refuses what the kubelet reports: %s", refusal.message)

    def _send_report(self, task: _Report) -> None:
        where = place(task.pod)
        change = {"metadata": {"uid": uid(task.pod)}, "status": task.status}
        self._client.patch("pods", where.namespace, where.name, change, part="status")
        if task.deletable:
            self._client.delete("pods", where.namespace, where.name, uid=uid(task.pod), grace_seconds=0)
