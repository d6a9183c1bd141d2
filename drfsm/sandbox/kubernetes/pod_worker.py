"""One pod on its node, from its binding to its end: a thread that starts and ends its containers.

Every event (the object changed, a process ended, the kubelet stops) is a message to that one thread. The thread does
what can be done now, reports the status if it changed, and sleeps until the next message or time. It reaches the API
only through ``Host``, so an outage delays only what needs the API: containers keep running, and are ended in time.
"""

import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from attrs import frozen

from drfsm.sandbox.kubernetes import images, pod_volumes
from drfsm.sandbox.kubernetes.containers import Container, repository
from drfsm.sandbox.kubernetes.errors import ApiUnreachable
from drfsm.sandbox.kubernetes.images import PROGRAMS, Image, Images
from drfsm.sandbox.kubernetes.pod_environment import Misconfigured, command_line, environment
from drfsm.sandbox.kubernetes.pod_status import ADDRESS, conditions_of, ended_phase, phase_of
from drfsm.sandbox.kubernetes.pod_volumes import Unmountable, VolumeSources, inside
from drfsm.sandbox.kubernetes.processes import MARK, Process
from drfsm.sandbox.kubernetes.reading import has_ended, is_being_deleted, moment, place, stamp, uid
from drfsm.sandbox.kubernetes.recorder import Severity
from drfsm.sandbox.kubernetes.refusals import ApiError, Manifest

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEAST_GRACE_SECONDS = 2.0  # as the real kubelet's, however little is asked for
DEFAULT_GRACE_SECONDS = 30
RETRY_SECONDS = 0.5
REPORTED_PULL_SECONDS = 0.5  # how long ErrImagePull is seen before ImagePullBackOff
MESSAGE_BYTES, MESSAGE_LOG_BYTES = 4096, 2048


@frozen
class Host:
    """What a worker needs from its kubelet."""

    directory: Path
    images: Images
    sources: VolumeSources
    report: Callable[[Manifest, Manifest, bool], None]  # the pod, its status, and whether it can be deleted
    tell: Callable[[Manifest, Severity, str, str], None]
    back_off_seconds: float

    def home(self, pod_uid: str) -> Path:
        """Return a pod's directory."""
        return self.directory / "pods" / pod_uid


class _Changed(NamedTuple):
    pod: Manifest


class _Removed(NamedTuple):
    """The object was deleted from the API: nothing is reported any more."""


class _Exited(NamedTuple):
    container: Container
    code: int


class _Stop(NamedTuple):
    """The kubelet stops: kill every process at once, and report nothing."""


_Message = _Changed | _Removed | _Exited | _Stop


class PodWorker:
    """One pod."""

    def __init__(self, pod: Manifest, host: Host) -> None:
        self._pod, self._host, self.home = pod, host, host.home(uid(pod))
        spec, status = pod["spec"], pod.get("status", {})
        initial = spec.get("initContainers") or ()
        waiting = "PodInitializing" if initial else "ContainerCreating"
        self._inits = [Container(container, initial=True, waiting="PodInitializing") for container in initial]
        self._mains = [Container(container, initial=False, waiting=waiting) for container in spec["containers"]]
        self._started_at = status.get("startTime") or stamp(_now())
        self._conditions = status.get("conditions") or []
        self._reported: tuple[Manifest, bool] | None = None
        self._volumes: dict[str, Path] | None = None
        self._kill_at: float | None = None  # set: everything is being ended, and killed then
        self._why: Manifest = {}  # reason and message of a pod that the kubelet itself failed
        self._removed = self._stopping = False
        self._done = has_ended(pod) and not is_being_deleted(pod)
        self._wake_at: float | None = None
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._adopt(status)
        self._thread = threading.Thread(target=self._run, name=f"pod-{place(pod).name}", daemon=True)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do for the pod."""
        return self._done

    @property
    def pod(self) -> Manifest:
        """The pod's object, as a watch last showed it."""
        return self._pod

    def start(self) -> None:
        """Start the thread, unless the pod has ended already."""
        if not self._done:
            self._thread.start()

    def change(self, pod: Manifest) -> bool:
        """Note that the object changed; return False if the worker has ended."""
        return self._put(_Changed(pod))

    def remove(self) -> bool:
        """Note that the object was deleted; return False if the worker has ended."""
        return self._put(_Removed())

    def stop(self) -> None:
        """Kill every process of the pod at once."""
        self._put(_Stop())

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def container(self, name: str) -> Container | None:
        """Return a container by its name."""
        return next((container for container in (*self._mains, *self._inits) if container.name == name), None)

    def log(self, container: Container, number: int) -> Path:
        """Return the path of the log of a container's start; the first start has the number 0."""
        return self.home / "logs" / container.name / f"{number}.log"

    # --- the thread -----------------------------------------------------------------------------------

    def _put(self, message: _Message) -> bool:
        with self._lock:
            if not self._done:
                self._inbox.put(message)
            return not self._done

    def _run(self) -> None:
        while not self._done:
            self._wake_at = None
            self._advance()
            self._report()
            if self._is_over():
                with self._lock:
                    self._done = self._inbox.empty()
            if not self._done:
                for message in self._messages():
                    self._take(message)
        if self._removed:
            shutil.rmtree(self.home, ignore_errors=True)

    def _messages(self) -> Iterable[_Message]:
        """Yield the next messages; wait until there is one, or until the time to wake."""
        timeout = None if self._wake_at is None else max(0.0, self._wake_at - time.monotonic())
        try:
            yield self._inbox.get(timeout=timeout)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take(self, message: _Message) -> None:
        if isinstance(message, _Changed):
            self._pod = message.pod
            if is_being_deleted(message.pod):
                self._end(message.pod["metadata"].get("deletionGracePeriodSeconds", 0))
        elif isinstance(message, _Removed):
            self._removed = True
            self._end(0)
        elif isinstance(message, _Exited):
            container = message.container
            container.end(message.code, _now(), message=self._last_words(container, message.code))
        else:
            self._stopping = True
            self._signal(signal.SIGKILL)

    def _is_over(self) -> bool:
        if self._runs():
            return False
        return self._stopping or self._kill_at is not None or self._phase() in ("Succeeded", "Failed")

    def _all(self) -> Iterable[Container]:
        return (*self._inits, *self._mains)

    def _wake(self, at: float) -> None:
        self._wake_at = at if self._wake_at is None else min(at, self._wake_at)

    # --- what can be done now -------------------------------------------------------------------------

    def _advance(self) -> None:
        if self._stopping:
            return
        self._check_deadline()
        if self._kill_at is not None:
            self._enforce(self._kill_at)
            return
        if self._volumes is None and not self._mount():
            return
        for container in self._inits:
            if container.ended is None or container.ended["exitCode"]:
                self._move(container)
            if container.ended is None or container.ended["exitCode"]:
                return
        for container in self._mains:
            self._move(container)

    def _move(self, container: Container) -> None:
        """Start a container that waits and may start; let one that ended wait if it is restarted."""
        if container.process is not None:
            return
        if container.ended is not None:
            if not self._starts_again(container):
                return
            self._back_off(container)
        if time.monotonic() < container.not_before:
            self._wake(container.not_before)
        else:
            self._start(container)
            if container.process is None:
                self._wake(container.not_before)

    def _starts_again(self, container: Container) -> bool:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        failed = container.ended is not None and container.ended["exitCode"] != 0
        if policy == "Always" and not container.initial:
            return True
        return failed and policy != "Never"

    def _back_off(self, container: Container) -> None:
        seconds = container.back_off(self._host.back_off_seconds)
        where = place(self._pod)
        named = f"container={container.name} pod={where.name}_{where.namespace}({uid(self._pod)})"
        if seconds:
            container.wait("CrashLoopBackOff", f"back-off {seconds:g}s restarting failed {named}", seconds)
            about = f"{container.name} in pod {where.name}_{where.namespace}({uid(self._pod)})"
            self._tell("Warning", "BackOff", f"Back-off restarting failed container {about}")
        else:
            container.not_before = 0.0

    def _mount(self) -> bool:
        """Make the volumes; return False, and try again later, if they aren't available now."""
        try:
            self._volumes = pod_volumes.prepare(
                self._pod, self.home, self._host.directory / "claims", self._host.sources
            )
        except Unmountable as fault:
            self._tell("Warning", "FailedMount", str(fault))
        except (ApiUnreachable, ApiError) as fault:
            self._tell("Warning", "FailedMount", f"the API doesn't give what a volume needs: {fault}")
        if self._volumes is None:
            self._wake(time.monotonic() + RETRY_SECONDS)
        return self._volumes is not None

    # --- starting -------------------------------------------------------------------------------------

    def _start(self, container: Container) -> None:
        image = images.find(self._host.images, repository(container.image))
        if image is None:
            self._fail_to_pull(container)
            return
        container.pulls_failed = 0
        root = self.home / "roots" / container.name
        try:
            environ = self._environment(container, root, image)
            pod_volumes.make_root(container.spec, root, self._volumes or {}, image.files)
        except (Misconfigured, OSError) as fault:  # OSError: a mount path that can't be made
            container.wait("CreateContainerConfigError", str(fault), RETRY_SECONDS)
            self._tell("Warning", "Failed", f"Error: {fault}")
            return
        except (ApiUnreachable, ApiError):
            container.not_before = time.monotonic() + RETRY_SECONDS
            return
        self._tell("Normal", "Pulled", f'Container image "{container.image}" already present on machine')
        self._spawn(container, command_line(container.spec, image.entrypoint, environ), environ, root)

    def _environment(self, container: Container, root: Path, image: Image) -> dict[str, str]:
        path = f"{root / PROGRAMS}:{PATH}" if image.files else PATH
        base = {"PATH": path, "HOME": str(root), "HOSTNAME": place(self._pod).name}
        known = {**self._pod.get("status", {}), **_addresses()}
        environ = environment({**self._pod, "status": known}, container.spec, self._host.sources, base)
        return {**environ, MARK: str(root)}

    def _spawn(self, container: Container, argv: Sequence[str], environ: Mapping[str, str], root: Path) -> None:
        home = inside(root, container.spec.get("workingDir") or "/")
        home.mkdir(parents=True, exist_ok=True)
        number = container.restarts + 1 if container.was_started else 0
        log = self.log(container, number)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        try:
            process = Process(argv, environ, home, log, lambda code: self._inbox.put(_Exited(container, code)))
        except (OSError, ValueError, IndexError) as fault:  # no program, not executable, a NUL in it, no command
            container.fail_to_start(_no_start(argv, fault), _now())
            self._tell("Warning", "Failed", f"Error: {_no_start(argv, fault)}")
            self._wake(time.monotonic())
            return
        container.begin(process, _now())
        self._tell("Normal", "Created", f"Created container: {container.name}")
        self._tell("Normal", "Started", f"Started container {container.name}")

    def _fail_to_pull(self, container: Container) -> None:
        """Report ErrImagePull and ImagePullBackOff in turn for a container whose image doesn't exist."""
        image, waiting = container.image, container.state.get("waiting", {})
        why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        if waiting.get("reason") == "ErrImagePull":
            seconds = min(self._host.back_off_seconds * float(2 ** (container.pulls_failed - 1)), 300.0)
            container.wait("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {why}', seconds)
            self._tell("Normal", "BackOff", f'Back-off pulling image "{image}"')
            self._tell("Warning", "Failed", "Error: ImagePullBackOff")
            return
        container.pulls_failed += 1
        container.wait("ErrImagePull", why, REPORTED_PULL_SECONDS)
        self._tell("Warning", "Failed", f'Failed to pull image "{image}": {why}')
        self._tell("Warning", "Failed", "Error: ErrImagePull")

    # --- ending ---------------------------------------------------------------------------------------

    def _check_deadline(self) -> None:
        seconds = self._pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or self._why:
            return
        left = (moment(self._started_at) + timedelta(seconds=seconds) - _now()).total_seconds()
        if left > 0:
            self._wake(time.monotonic() + left)
            return
        message = "Pod was active on the node longer than the specified deadline"
        self._why = {"reason": "DeadlineExceeded", "message": message}
        self._tell("Normal", "DeadlineExceeded", message)
        self._end(self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))

    def _end(self, grace_seconds: float) -> None:
        """Ask every process to end, and kill those left after the grace period. A later, shorter grace wins."""
        kill_at = time.monotonic() + max(float(grace_seconds), LEAST_GRACE_SECONDS)
        if self._kill_at is None:
            for container in self._all():
                if container.process is not None:
                    self._tell("Normal", "Killing", f"Stopping container {container.name}")
            self._signal(signal.SIGTERM)
            self._kill_at = kill_at
        self._kill_at = min(kill_at, self._kill_at)

    def _enforce(self, kill_at: float) -> None:
        if time.monotonic() < kill_at:
            self._wake(kill_at)
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for container in self._all():
            if container.process is not None:
                container.process.send(number)

    def _last_words(self, container: Container, code: int) -> str:
        """Return a container's termination message: its file, or by policy the end of its log."""
        path = container.spec.get("terminationMessagePath") or "/dev/termination-log"
        message = _tail(inside(self.home / "roots" / container.name, path), MESSAGE_BYTES)
        fallback = container.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not message and code and fallback:
            message = _tail(self.log(container, container.restarts), MESSAGE_LOG_BYTES)
        return message

    # --- reporting ------------------------------------------------------------------------------------

    def _adopt(self, status: Manifest) -> None:
        for name, containers in (("initContainerStatuses", self._inits), ("containerStatuses", self._mains)):
            before = {container_status["name"]: container_status for container_status in status.get(name) or ()}
            for container in containers:
                if container.name in before:
                    container.adopt(before[container.name], _now())
        if is_being_deleted(self._pod):
            self._end(0)

    def _phase(self) -> str:
        """Return the phase. It is never a final one while a process of the pod is left."""
        inits, mains = self._statuses()
        ends = self._kill_at is not None
        if ends and not self._runs():
            return "Failed" if self._why else ended_phase(mains)
        phase = phase_of(self._pod["spec"].get("restartPolicy", "Always"), inits, mains)
        return "Running" if ends and phase in ("Succeeded", "Failed") else phase

    def _runs(self) -> bool:
        return any(container.process for container in self._all())

    def _statuses(self) -> tuple[list[Manifest], list[Manifest]]:
        return [container.status() for container in self._inits], [container.status() for container in self._mains]

    def _report(self) -> None:
        """Report the status if it changed; the object of a deleted pod that has ended may be removed."""
        if self._stopping or self._removed:
            return
        ended = self._kill_at is not None and not self._runs()
        now = (self._status(), ended and is_being_deleted(self._pod))
        if now != self._reported:
            self._reported = now
            self._host.report(self._pod, *now)

    def _status(self) -> Manifest:
        (inits, mains), phase = self._statuses(), self._phase()
        self._conditions = conditions_of(self._conditions, phase, inits, mains, _now())
        return {
            "phase": phase,
            "conditions": self._conditions,
            "reason": self._why.get("reason") if phase == "Failed" else None,
            "message": self._why.get("message") if phase == "Failed" else None,
            **_addresses(),
            "startTime": self._started_at,
            "qosClass": self._pod.get("status", {}).get("qosClass"),
            "containerStatuses": mains,
            "initContainerStatuses": inits or None,
        }

    def _tell(self, severity: Severity, reason: str, message: str) -> None:
        if not self._removed:
            self._host.tell(self._pod, severity, reason, message)


def _addresses() -> Manifest:
    one = [{"ip": ADDRESS}]
    return {"hostIP": ADDRESS, "hostIPs": one, "podIP": ADDRESS, "podIPs": one}


def _no_start(argv: Sequence[str], fault: Exception) -> str:
    program = argv[0] if argv else ""
    if isinstance(fault, FileNotFoundError):
        why = f'exec: "{program}": executable file not found in $PATH'
    elif isinstance(fault, PermissionError):
        why = f'exec: "{program}": permission denied'
    else:
        why = str(fault) if argv else "no command specified"
    return f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {why}: unknown"


def _tail(path: Path, size: int) -> str:
    try:
        body = path.read_bytes()
    except OSError:
        return ""
    return body[-size:].decode(errors="replace")


def _now() -> datetime:
    return datetime.now(UTC)
