"""Binds pods to nodes over the API, for a control plane without a scheduler.

A kubelet with ``binds=True`` starts it. It decides as the emulated cluster's scheduler does (``place_pod``), and tries
a pod that fits nowhere again every second.
"""

import threading
from datetime import UTC, datetime

from drfsm.sandbox.kubernetes.client import Client
from drfsm.sandbox.kubernetes.errors import ApiUnreachable
from drfsm.sandbox.kubernetes.reading import Place, condition, place, with_condition
from drfsm.sandbox.kubernetes.recorder import Recorder
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest
from drfsm.sandbox.kubernetes.scheduling import place_pod, unschedulable, waits_for_a_node

AGAIN_SECONDS = 1.0


class Binder:
    """The scheduler of a control plane that has none. It ends when the client is closed."""

    def __init__(self, client: Client, recorder: Recorder) -> None:
        self._client, self._recorder = client, recorder
        self._waiting: dict[Place, Manifest] = {}
        self._news = threading.Condition()
        self._fresh = self._stopping = False
        self._threads = [
            threading.Thread(target=work, name="kubelet-binding", daemon=True) for work in (self._watch, self._work)
        ]

    def start(self) -> None:
        """Start."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop; the client must be closed."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        for change in self._client.follow("pods"):
            with self._news:
                if change.type != "DELETED" and waits_for_a_node(change.object):
                    self._waiting[place(change.object)] = change.object
                    self._fresh = True
                    self._news.notify_all()
                else:
                    self._waiting.pop(place(change.object), None)

    def _work(self) -> None:
        while not self._stopping:
            with self._news:
                waiting, self._fresh = list(self._waiting.values()), False
            for pod in waiting:
                self._try(pod)
            with self._news:  # what came while we bound the others must not wait
                self._news.wait_for(lambda: self._fresh or self._stopping, AGAIN_SECONDS if self._waiting else None)

    def _try(self, pod: Manifest) -> None:
        try:
            nodes, _ = self._client.list("nodes")
            fit = place_pod(pod, nodes)
            if fit.node:
                self._bind(pod, fit.node)
            else:
                self._refuse(pod, fit.why)
        except (ApiError, ApiUnreachable):
            return  # it was bound or deleted meanwhile, or will be tried again

    def _bind(self, pod: Manifest, node: str) -> None:
        where = place(pod)
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": where._asdict(), "target": target}
        self._client.create("pods", binding, part="binding", name=where.name)
        with self._news:
            self._waiting.pop(where, None)
        message = f"Successfully assigned {where.namespace}/{where.name} to {node}"
        self._recorder.tell(pod, "Normal", "Scheduled", message, datetime.now(UTC))

    def _refuse(self, pod: Manifest, why: str) -> None:
        if (condition(pod, "PodScheduled") or {}).get("message") == why:
            return
        now, where = datetime.now(UTC), place(pod)
        conditions = with_condition(pod.get("status", {}).get("conditions") or (), unschedulable(why), now)
        self._client.patch("pods", where.namespace, where.name, {"status": {"conditions": conditions}}, part="status")
        self._recorder.tell(pod, "Warning", "FailedScheduling", why, now)
