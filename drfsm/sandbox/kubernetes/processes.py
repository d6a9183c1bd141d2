"""A container as a process of this machine: started fast, signalled as a group, and never left behind.

The process leads a session of its own. When it ends, whatever it left in its group is killed while its pid
is still ours, so that no signal can ever reach somebody else's process.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SIGNALLED = 128  # a process that a signal ended has this much more than the signal's number
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

    @property
    def pid(self) -> int:
        """Its process id, which is its group's."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it and its group are gone."""
        return self._ended

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, if it is still there."""
        with self._lock:
            if not self._ended:
                _to_group(self._process.pid, number)

    def join(self) -> None:
        """Wait until it is gone and ``on_exit`` has been called."""
        self._thread.join()

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
    """Yield the pids of the pods' processes whose root lies below a directory, also of a kubelet that died.

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
