"""One emulated cluster as a process of its own, on loopback: ``python -m drfsm.sandbox.kubernetes``; see README.md.

Owns the command line, the exit codes and the cluster's temporary directory. The process runs until SIGINT, SIGTERM or
SIGHUP. A reaper beside it (reaper.py) removes what is left of its pods and files, also when it is killed by SIGKILL.
"""

import argparse
import errno
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drfsm.sandbox.kubernetes.containers import repository
from drfsm.sandbox.kubernetes.errors import ClusterError
from drfsm.sandbox.kubernetes.kubeconfigs import write_private
from drfsm.sandbox.kubernetes.node import VERSION

PROGRAM = "python -m drfsm.sandbox.kubernetes"
NAME = "emulated"
STOPPED, NOT_STARTED = 0, 3  # argparse ends with 2 for wrong usage, Python with 1 for a defect
PORT_MAX = 65535
REAP_SECONDS = 15.0
DESCRIPTION = """\
Start one emulated Kubernetes cluster on loopback: API server, controllers, scheduler, and one node whose
containers are processes of this machine. Nothing isolates them, so run only what you would run in a shell.
The cluster runs until Ctrl-C or SIGTERM; its pods end with it, and its files are removed."""
EXIT_CODES = """\
exit codes:
  0  stopped by SIGINT, SIGTERM or SIGHUP; no pod and no file is left
  1  a defect of this program
  2  wrong usage: nothing was started
  3  the cluster could not be started: the port is taken, a file can't be written, or a package is missing;
     nothing is left

example:
  python -m drfsm.sandbox.kubernetes --kubeconfig cluster.yaml --image busybox=/bin/sh"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a cluster until a signal; return the exit code."""
    options = _parser().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda *_: stop.set())
    try:
        _run(options, stop)
    except (ClusterError, ImportError, OSError) as fault:
        print(f"{PROGRAM}: the cluster could not be started: {_reason(fault, options)}", file=sys.stderr)  # noqa: T201
        return NOT_STARTED
    return STOPPED


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    """Run a cluster until ``stop``. Raises ClusterError, ImportError or OSError if it can't be started."""
    from drfsm.sandbox.kubernetes.cluster import EmulatedCluster

    directory = Path(tempfile.mkdtemp(prefix="drfsm-kubernetes-")).resolve()
    with (
        _reaped(directory, options.kubeconfig),
        EmulatedCluster(NAME, directory, dict(options.image), options.port) as cluster,
    ):
        if options.kubeconfig is not None:
            _publish(cluster.kubeconfig, options.kubeconfig)
        _say(cluster.server, options.kubeconfig or cluster.kubeconfig)
        stop.wait()


@contextmanager
def _reaped(directory: Path, kubeconfig: Path | None) -> Iterator[None]:
    """Have a reaper remove everything as soon as the block, or this process, has ended."""
    copies = [] if kubeconfig is None else [str(kubeconfig)]
    reaper = subprocess.Popen(
        [sys.executable, "-m", "drfsm.sandbox.kubernetes.reaper", str(directory), *copies],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    try:
        yield
    finally:
        reaper.communicate(timeout=REAP_SECONDS)
        if reaper.returncode:
            raise RuntimeError(
                f"the reaper ended with {reaper.returncode}: look for processes and files of {directory}"
            )


def _publish(kubeconfig: Path, copy: Path) -> None:
    """Copy a kubeconfig to where it was asked for: whole as soon as it is seen, and never over another file."""
    draft = copy.with_name(f".{copy.name}.{os.getpid()}")
    write_private(draft, kubeconfig.read_text(encoding="utf-8"))
    try:
        os.link(draft, copy)
    finally:
        draft.unlink()


def _say(server: str, kubeconfig: Path) -> None:
    lines = (
        f"Kubernetes {VERSION} (emulated) answers at {server}",
        f"use it:   export KUBECONFIG={shlex.quote(str(kubeconfig.absolute()))}",
        f"stop it:  Ctrl-C, or kill {os.getpid()}",
    )
    print("\n".join(lines), flush=True)  # noqa: T201  this is a command


def _reason(fault: Exception, options: argparse.Namespace) -> str:
    if isinstance(fault, ImportError):
        return f"{fault.name} is not installed; pip install 'drfsm[sandbox]'"
    if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE and options.port:
        return f"port {options.port} is taken; name another --port, or none for a free one"
    return str(fault)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        help="say which Kubernetes is emulated",
        version=f"Kubernetes {VERSION} (emulated)",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="the API's port; without it a free one")
    parser.add_argument(
        "--kubeconfig",
        type=_new_file,
        metavar="FILE",
        help="where to write the kubeconfig as soon as the cluster answers; the file must not exist yet, and is removed"
        " at the end. Without it the kubeconfig lies in a temporary directory, which is printed",
    )
    parser.add_argument(
        "--image",
        type=_image,
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="what an image is: its name without tag and digest, and the command that stands for its entrypoint; may be"
        " given several times. A pod with any other image waits in ImagePullBackOff",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no port: give a number from 0 (any free port) to {PORT_MAX}")
    return int(text)


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.exists() or path.is_symlink():
        raise argparse.ArgumentTypeError(f"{text} exists: name a new file, or remove that one first")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path.parent}: make it first")
    return path


def _image(text: str) -> tuple[str, list[str]]:
    name, _, command = text.partition("=")
    try:
        words = shlex.split(command)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(f"the command of {text} can't be read: {fault}") from None
    if not name or not words:
        raise argparse.ArgumentTypeError(f"{text} is no NAME=COMMAND, as in busybox=/bin/sh")
    if name != repository(name):
        raise argparse.ArgumentTypeError(f"{name} has a tag or digest: name the image without it ({repository(name)})")
    return name, words


if __name__ == "__main__":
    sys.exit(main())
