"""One container of a pod through all its starts: its status, and when it may start again.

It does nothing by itself: pod_worker.py starts and ends processes, and records here what happened. The back-off is the
real kubelet's: the first restart comes at once, the next after 10 s, 20 s, 40 s, ... up to five minutes; after ten
minutes of running it begins anew.
"""

import hashlib
import time
import uuid
from datetime import datetime

from drfsm.sandbox.kubernetes.processes import Process
from drfsm.sandbox.kubernetes.reading import stamp
from drfsm.sandbox.kubernetes.refusals import Manifest

BACK_OFF_LIMIT_SECONDS, BACK_OFF_RESET_SECONDS = 300.0, 600.0
LOST = 137  # the exit code of a container that nobody can tell about
LOST_MESSAGE = "The container could not be located when the pod was terminated"


class Container:
    """One container."""

    def __init__(self, spec: Manifest, *, initial: bool, waiting: str) -> None:
        self.spec, self.initial = spec, initial
        self.state: Manifest = {"waiting": {"reason": waiting}}
        self.last: Manifest = {}
        self.restarts = 0
        self.process: Process | None = None
        self.not_before = 0.0  # on the monotonic clock
        self.pulls_failed = 0
        self._crashes = 0
        self._id = ""
        self._started = 0.0
        self._started_at = ""

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return str(self.spec["name"])

    @property
    def image(self) -> str:
        """The image that it asks for."""
        return str(self.spec["image"])

    @property
    def ended(self) -> Manifest | None:
        """Its ``terminated`` state; None while it waits or runs."""
        terminated: Manifest | None = self.state.get("terminated")
        return terminated

    @property
    def was_started(self) -> bool:
        """Whether it was ever started."""
        return bool(self._id)

    def adopt(self, status: Manifest, now: datetime) -> None:
        """Continue from the status that an earlier kubelet reported; a container that ran then is lost."""
        self.restarts = self._crashes = status.get("restartCount", 0)
        self.last = status.get("lastState") or {}
        self._id = status.get("containerID", "")
        if "terminated" in status["state"]:
            self.state = status["state"]
        elif "running" in status["state"]:
            self._started_at = status["state"]["running"].get("startedAt", "")
            self.end(LOST, now, reason="ContainerStatusUnknown", message=LOST_MESSAGE)

    def begin(self, process: Process, now: datetime) -> None:
        """Record that it runs."""
        self._count()
        self.process = process
        self._started, self._started_at = time.monotonic(), stamp(now)
        self.state = {"running": {"startedAt": self._started_at}}

    def fail_to_start(self, message: str, now: datetime) -> None:
        """Record that its program could not be started."""
        self._count()
        self._started_at = "1970-01-01T00:00:00Z"
        self.end(128, now, reason="StartError", message=message)

    def end(self, code: int, now: datetime, *, reason: str = "", message: str = "") -> None:
        """Record that it ended."""
        if self.process is not None and time.monotonic() - self._started > BACK_OFF_RESET_SECONDS:
            self._crashes = 0
        self.process = None
        ended = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            **({"message": message} if message else {}),
            **({"startedAt": self._started_at} if self._started_at else {}),
            "finishedAt": stamp(now),
            "containerID": self._id,
        }
        self.state = {"terminated": ended}

    def wait(self, reason: str, message: str, seconds: float) -> None:
        """Record why it waits, and for how many seconds."""
        if self.ended is not None:
            self.last = self.state
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.not_before = time.monotonic() + seconds

    def back_off(self, base_seconds: float) -> float:
        """Return how long to wait before it may be started again; each call makes the next wait longer."""
        self._crashes += 1
        if self._crashes == 1:
            return 0.0
        return min(base_seconds * float(2 ** (self._crashes - 2)), BACK_OFF_LIMIT_SECONDS)

    def status(self) -> Manifest:
        """Return its containerStatus."""
        running = "running" in self.state
        done = self.ended is not None and self.ended["exitCode"] == 0
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last,
            "ready": done if self.initial else running,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": image_id(self.image) if self._id else "",
            **({"containerID": self._id} if self._id else {}),
            "started": running,
        }

    def _count(self) -> None:
        if self._id:
            self.restarts += 1
        if self.ended is not None:
            self.last = self.state
        self._id = f"drfsm://{uuid.uuid4().hex}{uuid.uuid4().hex}"


def repository(image: str) -> str:
    """Return an image's repository: without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def image_id(image: str) -> str:
    """Return an image's id: with its digest, or one made from its name."""
    _, _, digest = image.partition("@")
    return f"{repository(image)}@{digest or 'sha256:' + hashlib.sha256(image.encode()).hexdigest()}"
