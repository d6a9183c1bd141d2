"""Containers as processes of this machine: started fast, signalled as a group, and found again after a crash.

A container's process leads a session of its own. When it ends, the rest of its group is killed before its pid is
reaped, so that no signal can reach a process of somebody else. Every process of a pod has the variable
DRFSM_SANDBOX_ROOT; by that ``processes_below`` finds what a killed kubelet left.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SIGNALLED = 128  # the exit code of a process that a signal ended is this plus the signal's number
MARK = "DRFSM_SANDBOX_ROOT"


class Process:
    """A running container. ``on_exit`` is called with its exit code, from a thread of its own."""

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], home: Path, log: Path, on_exit: Callable[[int], None]
    ) -> None:
        """Start it. Raises OSError if the program can't be run."""
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._ended = False
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                env=environ,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._wait, name=f"container-{self._process.pid}", daemon=True)
        self._thread.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, unless it has ended."""
        with self._lock:
            if not self._ended:
                _to_group(self._process.pid, number)

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:  # macOS before Python 3.13: what it left in its group stays
            self._process.wait()
        with self._lock:
            if self._process.returncode is None:
                _to_group(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
            self._ended = True
        self._on_exit(code if code >= 0 else SIGNALLED - code)


def processes_below(directory: Path) -> Iterator[int]:
    """Yield the pids of pods' processes whose root lies below a directory, also those of a killed kubelet.

    Needs /proc; without it nothing is yielded.
    """
    mark = f"{MARK}={directory}/".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if any(variable.startswith(mark) for variable in path.read_bytes().split(b"\0")):
                yield int(path.parent.name)


def end_leftovers(directory: Path) -> int:
    """Kill what ``processes_below`` finds; return how many processes there were."""
    ended = 0
    for pid in processes_below(directory):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            ended += 1
    return ended


def _to_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group that has only a zombie left
        os.killpg(pid, number)
