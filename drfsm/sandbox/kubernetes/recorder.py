"""Events, as ``kubectl describe`` and ``kubectl get events`` show them. A repeated event only raises its count.

The caller passes in a sink: that of the controllers writes to the store, that of the kubelet posts to the API. Events
are commentary: a sink that can't deliver one drops it. Safe for use by many threads.
"""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from drfsm.sandbox.kubernetes.reading import stamp
from drfsm.sandbox.kubernetes.refusals import Manifest

REMEMBERED = 4096

Severity = Literal["Normal", "Warning"]
Sink = Callable[[Manifest, bool], None]  # the event, and whether it is a new one


class Recorder:
    """Records the events of one component."""

    def __init__(self, component: str, sink: Sink, *, host: str = "") -> None:
        self._component, self._sink, self._host = component, sink, host
        self._recorded: OrderedDict[tuple[str, str, str], Manifest] = OrderedDict()
        self._numbers = itertools.count(time.time_ns())
        self._lock = threading.Lock()

    def tell(self, about: Manifest, severity: Severity, reason: str, message: str, now: datetime) -> None:
        """Record that something happened to an object."""
        key = (str(about["metadata"].get("uid")), reason, message)
        with self._lock:
            before = self._recorded.pop(key, None)
            event = self._again(before, now) if before else self._new(about, severity, reason, message, now)
            self._recorded[key] = event
            if len(self._recorded) > REMEMBERED:
                self._recorded.popitem(last=False)
            self._sink(event, before is None)

    def _again(self, before: Manifest, now: datetime) -> Manifest:
        return {**before, "count": before["count"] + 1, "lastTimestamp": stamp(now)}

    def _new(self, about: Manifest, severity: Severity, reason: str, message: str, now: datetime) -> Manifest:
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        involved = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
            **{name: metadata[name] for name in ("uid", "resourceVersion") if name in metadata},
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{next(self._numbers):x}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": severity,
            "count": 1,
            "firstTimestamp": stamp(now),
            "lastTimestamp": stamp(now),
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
