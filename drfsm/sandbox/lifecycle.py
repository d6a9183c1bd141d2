"""The sandbox as a background process (up, down, status, environment), and as an object in this one (``Sandbox``).

``up`` starts one background process, in a session of its own, that hosts the AWS and both clusters. Its output goes to
``sandbox.log``; ``sandbox.json`` appears when it is ready. A process is identified by its pid *and* its start time, so
a recycled pid is never taken for the sandbox, nor killed. The CLI and the tests call this module; it loads servers only
where it starts them.

    <directory>/sandbox.json     what runs: see ``State``
    <directory>/sandbox.log      the server's output, kept until the next ``up``
    <directory>/options.json     what it was started with
    <directory>/primary/, dr/    each cluster's files, and its pods'
    <directory>/runners/         likewise, of each instance that was started from the launch template (runners.py)
    <directory>/image/           the files of the image that the sites run (workload_image.py)
    <directory>/outages/SITE     there while that site's cluster is asked not to answer; the server looks at it
    <directory>/.lock            held by the one ``up``, ``down`` or ``outage`` at a time
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from attrs import asdict, evolve, frozen

from drfsm.errors import DrfsmError, UsageFault
from drfsm.sandbox.clusters import Cluster, Kind
from drfsm.sandbox.kubernetes.images import Images
from drfsm.sandbox.kubernetes.processes import end_leftovers
from drfsm.sandbox.seed import Options, Seeded, Site, check_reports, read
from drfsm.sandbox.starting import SILENT_REAL_SECONDS, SILENT_SECONDS, STEP, Progress, Report

if TYPE_CHECKING:
    from drfsm.sandbox.cloud import Cloud
    from drfsm.sandbox.controlplane import RealCluster
    from drfsm.sandbox.kubernetes import EmulatedCluster
    from drfsm.sandbox.runners import Runners
    from drfsm.sandbox.serving_sites import ServingSites

STOP_SECONDS = 15.0
OUTAGE_SECONDS = 15.0
POLL_SECONDS = 0.02
WATCH_POLL_SECONDS = 0.25

_OPTIONS = "options.json"
FIRST_OF_OTHERS = 3
"""The first file descriptor that is neither stdin, stdout nor stderr."""

C = TypeVar("C", bound=Cluster)


@frozen
class State:
    """A running sandbox: enough to use it, and to end exactly that process."""

    directory: str
    pid: int
    born: str  # the process's time of birth, as the system tells it
    endpoint: str
    kubeconfig_primary: str
    kubeconfig_dr: str
    bucket: str
    prefix: str
    dr_run_id: str  # "" where DR stands by and has run nothing
    primary_run_id: str
    canonical_run_id: str
    primary_role: str  # the ARN of the identity that the site publishes with, as a fence names it
    dr_role: str
    image_ref: str
    backup_uri: str
    instance_id: str
    log: str
    kubernetes: Kind = "emulated"
    canonical: Site = "dr"
    workload: str = ""  # the file with the contract that has the sandbox's endpoints; "": it serves nothing
    already_running: bool = False  # set by an ``up`` that found it running


@frozen
class Status:
    """Whether a sandbox runs in a directory. ``state`` is also there if it ran once and died."""

    running: bool
    note: str
    state: State | None = None


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of a sandbox that names none."""
    if directory := environ.get("DRFSM_SANDBOX_DIR"):
        return Path(directory)
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(home) / "drfsm/sandbox"


def up(
    directory: Path,
    options: Options | None = None,
    *,
    asked: Collection[str] = (),
    tell: Report = lambda _words: None,
    silent_seconds: float | None = None,
) -> State:
    """Start a sandbox and wait until it is ready; if one runs there already, return that one.

    ``asked`` names the options that a sandbox that runs already must have, too. ``tell`` is called with what is waited
    for where that takes long; ``silent_seconds``: how long it may report nothing (starting.py). Raises UsageFault where
    the one that runs has others, DrfsmError with the end of its log if it dies or makes no progress. Programs of a real
    control plane are found or built first (controlplane/build.py), which has no limit in time.
    """
    directory = directory.resolve()
    options = options or Options()
    check_reports(options)
    if options.kubernetes == "real":
        from drfsm.sandbox.controlplane.build import programs

        programs()
    if silent_seconds is None:
        silent_seconds = SILENT_REAL_SECONDS if options.kubernetes == "real" else SILENT_SECONDS
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        before = status(directory)
        if before.running and before.state is not None:
            _check_same(directory, options, asked)
            return evolve(before.state, already_running=True)
        _clear(directory)
        pid = _spawn(directory, options)
        progress = Progress(directory / "sandbox.log", silent_seconds, tell)
        while not (state := _read(directory)):
            if _born(pid) is None:
                raise _start_error(directory, "the sandbox died while it was starting")
            if not progress.look():
                _end(pid, _born(pid))
                raise _start_error(directory, progress.gave_up)
            time.sleep(POLL_SECONDS)
        return state


def _check_same(directory: Path, options: Options, asked: Collection[str]) -> None:
    """Raise UsageFault where a running sandbox was started with other values of what is asked for."""
    try:
        running = json.loads((directory / _OPTIONS).read_bytes())
    except (OSError, ValueError):  # another version's: nobody knows
        return
    wanted = json.loads(json.dumps(asdict(options)))
    others = [name for name in wanted if name in asked and wanted[name] != running.get(name)]
    if others:
        told = "; ".join(f"{name} is {_brief(running.get(name))}, not {_brief(wanted[name])}" for name in others)
        raise UsageFault(
            f"a sandbox runs in {directory} already, with other options: {told}",
            hint="drfsm sandbox down, then up again; or another one beside it, with --dir",
        )


def _brief(value: Any) -> str:
    """Return an option's value in words: of a contract only the workload's name."""
    if isinstance(value, str) and value.startswith("{"):
        return f"the contract of {json.loads(value)['workload']}"
    return repr(value) if value else "not set"


def down(directory: Path) -> bool:
    """End the sandbox and its pods, and wait for it; return whether one was running."""
    directory = directory.resolve()
    if not directory.is_dir():
        return False
    with _alone(directory):
        before = status(directory)
        if before.running and before.state is not None:
            _end(before.state.pid, before.state.born)
        _clear(directory)
        return before.running


def status(directory: Path) -> Status:
    """Return whether a sandbox runs there. Reads one file and the process table."""
    state = _read(directory.resolve())
    if state is None:
        return Status(running=False, note=f"no sandbox in {directory}")
    if _born(state.pid) != state.born:
        return Status(running=False, note=f"the sandbox died; its log is {state.log}", state=state)
    return Status(running=True, note=f"running as process {state.pid}", state=state)


def outage(directory: Path, site: Site, *, on: bool = True, timeout_seconds: float = OUTAGE_SECONDS) -> None:
    """Begin or end an outage of a site's cluster, and wait until it is in effect. Pods keep running.

    Raises UsageFault if no sandbox runs there, DrfsmError if the outage doesn't begin, or end, in time.
    """
    directory = directory.resolve()
    _running(directory)  # BEFORE the lock: there may be no directory to hold it
    with _alone(directory):
        state = _running(directory)
        outage_file = _outage_file(directory, site)
        if on:
            outage_file.parent.mkdir(exist_ok=True)
            outage_file.touch()
        else:
            outage_file.unlink(missing_ok=True)
        kubeconfig = Path(state.kubeconfig_primary if site == "primary" else state.kubeconfig_dr)
        deadline = time.monotonic() + timeout_seconds
        while _answers(kubeconfig) == on:
            _running(directory)
            if time.monotonic() > deadline:
                raise _outage_error(state, site, on=on)
            time.sleep(POLL_SECONDS)
        _running(directory)  # a cluster doesn't answer either when the sandbox has died


def environment(directory: Path) -> dict[str, str]:
    """Return the environment in which drfsm's commands work on the sandbox. Raises UsageFault if none runs."""
    return environment_of(_running(directory))


def environment_of(state: State) -> dict[str, str]:
    """Return a sandbox's environment: for AWS clients, and the variables that the documents' commands use."""
    from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY

    return {
        "AWS_ENDPOINT_URL": state.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "BUCKET": state.bucket,
        "PREFIX": state.prefix,
        "DR_RUN_ID": state.dr_run_id,
        "PRIMARY_RUN_ID": state.primary_run_id,
        "CANONICAL_RUN_ID": state.canonical_run_id,
        "PRIMARY_ROLE": state.primary_role,
        "DR_ROLE": state.dr_role,
        "KUBECONFIG_DR": state.kubeconfig_dr,
        "KUBECONFIG_PRIMARY": state.kubeconfig_primary,
        "IMAGE_REF": state.image_ref,
        "BACKUP_URI": state.backup_uri,
        "DRFSM_SITE_ON_THIS_MACHINE": "1",  # its clusters are here, and their kubeconfigs say so
        "DRFSM_REQUEST_TIMEOUT": "5",  # its servers answer at once, or never
        **({"WORKLOAD": state.workload} if state.workload else {}),
    }


class TwoSites(ABC, Generic[C]):
    """Both sites in this process, seeded; ``Sandbox`` and ``RealSandbox`` choose the kind of clusters.

    Tests use ``cloud``, ``primary`` and ``dr`` directly: ``sandbox.dr.outage(True)``. DR's cluster has an outage
    while DR's runner isn't running in EC2, as if the cluster ran on the instance; either cluster has one while
    ``outage`` asks for it.
    """

    kubernetes: Kind
    cloud: "Cloud"
    primary: C
    dr: C

    def __init__(self, directory: Path, options: Options | None = None, *, report: Report = lambda _step: None) -> None:
        self.directory = directory.resolve()
        self._report = report  # called with what is waited for, step by step
        self.options = evolve(options or Options(), kubernetes=self.kubernetes)
        self.bucket, self.prefix = self.options.bucket, self.options.prefix
        self.dr_run_id = self.primary_run_id = self.canonical_run_id = ""
        self.primary_role = self.dr_role = self.backup_uri = self.instance_id = ""
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self.runners: Runners | None = None  # what a drill brings up
        self.serving: ServingSites | None = None  # where the options have endpoints
        self.workload = ""

    def start(self) -> Self:
        """Start the servers and seed them. If anything fails, nothing is left running."""
        from drfsm.sandbox import workload_image
        from drfsm.sandbox.cloud import Cloud
        from drfsm.sandbox.seed import REPOSITORY, seed

        self._report("the image of the workload")
        images = {REPOSITORY: workload_image.build(self.directory / "image", self.options.contract)}
        self.cloud = Cloud()
        self.primary, self.dr = (self._cluster(name, self.directory / name, images) for name in ("primary", "dr"))
        try:
            with ThreadPoolExecutor() as pool:
                starts: dict[str, Callable[[], object]] = {
                    "the object store": self.cloud.start,
                    "the primary's cluster": self.primary.start,
                    "DR's cluster": self.dr.start,
                }
                started = {name: pool.submit(start) for name, start in starts.items()}
                for name, server in started.items():
                    self._report(name)
                    server.result()
            seeded = seed(self.cloud, self.primary, self.dr, self.options, self._report)
            self._report("the runners")
            self.runners = self._runners(images)
            self.runners.start()
            self._name(seeded)
            self._serve()
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="outage-watcher", daemon=True)
        self._watcher.start()
        return self

    def stop(self) -> None:
        """Stop the servers and end every pod."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        if self.runners is not None:
            self.runners.stop()
        if self.serving is not None:
            self.serving.stop()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda server: server.stop(), (self.primary, self.dr, self.cloud)))

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def image_ref(self) -> str:
        """The pinned image that both sites run."""
        from drfsm.sandbox.seed import IMAGE_REF

        return IMAGE_REF

    @property
    def state(self) -> State:
        """The content of ``sandbox.json``."""
        return State(
            directory=str(self.directory),
            pid=os.getpid(),
            born=_born(os.getpid()) or "",
            endpoint=self.cloud.endpoint,
            kubeconfig_primary=str(self.primary.kubeconfig),
            kubeconfig_dr=str(self.dr.kubeconfig),
            bucket=self.bucket,
            prefix=self.prefix,
            dr_run_id=self.dr_run_id,
            primary_run_id=self.primary_run_id,
            canonical_run_id=self.canonical_run_id,
            primary_role=self.primary_role,
            dr_role=self.dr_role,
            image_ref=self.image_ref,
            backup_uri=self.backup_uri,
            instance_id=self.instance_id,
            log=str(self.directory / "sandbox.log"),
            kubernetes=self.kubernetes,
            canonical=self.options.canonical,
            workload=self.workload,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which drfsm's commands work on this sandbox."""
        return environment_of(self.state)

    @abstractmethod
    def _cluster(self, name: str, directory: Path, images: Images) -> C:
        """Return a cluster of the kind that a subclass stands for, not yet started."""

    def _runners(self, images: Images) -> "Runners":
        from drfsm.sandbox.runners import Runners

        def made(name: str, directory: Path) -> Cluster:
            return self._cluster(name, directory, images)

        return Runners(self.cloud, self.directory / "runners", self.options, made)

    def _name(self, seeded: Seeded) -> None:
        self.dr_run_id, self.primary_run_id = seeded.dr_run_id, seeded.primary_run_id
        self.canonical_run_id = seeded.canonical_run_id
        self.primary_role, self.dr_role = seeded.primary_role, seeded.dr_role
        self.backup_uri, self.instance_id = seeded.backup_uri, seeded.instance_id

    def _serve(self) -> None:
        """Let both sites serve, each as the identity that it publishes with, if the options have endpoints."""
        if not self.options.endpoints:
            return
        from drfsm.sandbox.serving_sites import ServingSites

        self._report("the sites' HTTPS servers")
        place = self.directory / "serving"
        place.mkdir(exist_ok=True)
        users, owner = {"primary": self.primary_role, "dr": self.dr_role}, self.options.canonical
        routing = self.options.endpoints
        self.serving = ServingSites(
            self.cloud, self.bucket, self.prefix, place, routing=routing, owner=owner, users=users
        )
        self.serving.start()
        self.serving.declare(owner)
        self.workload = str(self.serving.write_contract(self.options.contract))

    def _watch(self) -> None:
        """Make and end each cluster's outage as it is asked for; never end one that a test made."""
        clusters: dict[Site, Cluster] = {"primary": self.primary, "dr": self.dr}
        was: dict[Site, bool] = {"primary": False, "dr": False}
        while not self._stopping.wait(WATCH_POLL_SECONDS):
            for site, cluster in clusters.items():
                out = self._has_outage(site)
                if out != was[site]:
                    if self.serving is not None:
                        self.serving.set_outage(site, on=out)
                    cluster.outage(out)
                was[site] = out

    def _has_outage(self, site: Site) -> bool:
        """Return whether an outage was asked for, or DR's runner isn't running."""
        if _outage_file(self.directory, site).exists():
            return True
        return site == "dr" and bool(self.instance_id) and self._runner_state() not in ("pending", "running")

    def _runner_state(self) -> str:
        return next(str(runner.state) for runner in self.cloud.instances() if runner.id == self.instance_id)


class Sandbox(TwoSites["EmulatedCluster"]):
    """Both sites, emulated, in this process: ``with Sandbox(tmp_path) as sandbox:``."""

    kubernetes = "emulated"

    def _cluster(self, name: str, directory: Path, images: Images) -> "EmulatedCluster":
        from drfsm.sandbox.kubernetes import EmulatedCluster

        return EmulatedCluster(name, directory, images)


class RealSandbox(TwoSites["RealCluster"]):
    """Both sites, on real control planes that are processes of this machine."""

    kubernetes = "real"

    def _cluster(self, name: str, directory: Path, images: Images) -> "RealCluster":
        from drfsm.sandbox.controlplane import RealCluster

        return RealCluster(name, directory, images)


def serve(directory: Path, options: Options) -> None:
    """Host a sandbox until SIGTERM, as the background process."""
    from drfsm.sandbox.executions import executions_of

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    chosen = RealSandbox if options.kubernetes == "real" else Sandbox
    with (
        chosen(directory, options, report=lambda step: _say(f"{STEP}{step}")) as sandbox,
        executions_of(sandbox.cloud),
    ):
        _write(directory, sandbox.state)
        _say("ready")
        stop.wait()
        _say("stopping")
    _say("stopped")


def _spawn(directory: Path, options: Options) -> int:
    """Start the server in a session of its own, apart from our terminal; return its pid."""
    # An operator's profile or endpoint must not reach the sandbox's own clients.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    argv = [
        sys.executable,
        "-m",
        "drfsm.sandbox.lifecycle",
        "serve",
        str(directory),
        json.dumps(asdict(options)),
    ]
    (directory / _OPTIONS).write_text(argv[-1], encoding="utf-8")
    log = os.open(directory / "sandbox.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, nothing, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        return os.posix_spawn(sys.executable, argv, environ, file_actions=actions, setsid=True)
    finally:
        os.close(log)
        os.close(nothing)


def _end(pid: int, born: str | None) -> None:
    """End exactly that process by SIGTERM, or by SIGKILL if it doesn't end in time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if born is None or _born(pid) != born:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while _born(pid) == born and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _clear(directory: Path) -> None:
    """Remove what a sandbox that has ended may have left: pods (found where there is /proc), files; the log stays."""
    end_leftovers(directory)
    for name in ("sandbox.json", _OPTIONS):
        (directory / name).unlink(missing_ok=True)
    for name in ("primary", "dr", "runners", "outages", "image", "serving"):
        shutil.rmtree(directory / name, ignore_errors=True)


def _born(pid: int) -> str | None:
    """Return a process's start time; None if it isn't alive (a zombie isn't)."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is our own child, let it go
    try:
        # The name in parentheses may hold anything, so count from behind it: state, …, start time (22nd).
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if after_name[0] in "ZX" else f"{after_name[19]} ticks after boot"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    word, _, born = printed.stdout.strip().partition(" ")
    return None if not born or word.startswith("Z") else born.strip()


def _read(directory: Path) -> State | None:
    try:
        return State(**json.loads((directory / "sandbox.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as fault:  # another version's: its process may be alive, so don't go on
        hint = "end the process that it names, then remove the file"
        raise UsageFault(f"{directory / 'sandbox.json'} can't be understood: {fault}", hint=hint) from None


def _write(directory: Path, state: State) -> None:
    draft = directory / ".sandbox.json"
    draft.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    draft.rename(directory / "sandbox.json")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _running(directory: Path) -> State:
    """Return the state of what runs there. Raises UsageFault if nothing does."""
    current = status(directory)
    if not current.running or current.state is None:
        raise UsageFault(current.note, hint="drfsm sandbox up")
    return current.state


def _outage_file(directory: Path, site: Site) -> Path:
    return directory / "outages" / site


def _answers(kubeconfig: Path) -> bool:
    """Return whether a cluster's API answers now, even by an error."""
    try:
        read(kubeconfig, "/version")
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _outage_error(state: State, site: Site, *, on: bool) -> DrfsmError:
    """Return the error of an outage that didn't begin, or end. DR's cluster is also out without its runner."""
    what = f"the cluster of {site} {'still answers' if on else 'does not answer yet'}"
    if site == "dr" and state.instance_id and not on:
        return DrfsmError(what, hint=f"its runner {state.instance_id} must run in EC2; else read {state.log}")
    return DrfsmError(what, hint=f"read {state.log}")


def _start_error(directory: Path, what: str) -> DrfsmError:
    """Return the error of a sandbox that did not start, with the last line of its log: the reason, as a rule."""
    log = directory / "sandbox.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    reason = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    return DrfsmError(f"{what}: {reason}", hint=f"read {log}")


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201  the server's log is its stdout


def main(argv: Sequence[str]) -> int:
    """Run ``serve DIRECTORY OPTIONS``, the only command; people use ``drfsm sandbox``."""
    # Whoever started us may have left files open, a lock among them: we outlive it by days.
    os.closerange(FIRST_OF_OTHERS, os.sysconf("SC_OPEN_MAX"))
    command, directory, options = argv
    if command != "serve":
        raise UsageFault(f"unknown command {command}", hint="drfsm sandbox up")
    fields: dict[str, Any] = json.loads(options)
    serve(Path(directory), Options(**fields))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
