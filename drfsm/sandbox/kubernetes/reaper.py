"""Removes what a cluster's process leaves behind: ``python -m drfsm.sandbox.kubernetes.reaper DIRECTORY [KUBECONFIG]``.

__main__.py starts it beside a cluster and holds the other end of its stdin. When that end is closed, by a stop or
because the cluster's process was killed, it kills the processes of pods that are left, and removes the cluster's
directory and the copy of its kubeconfig. A file in the place of that copy that says something else stays. Processes
are found where there is /proc; elsewhere those of a killed cluster stay. It uses the standard library alone.
"""

import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from drfsm.sandbox.kubernetes.processes import end_leftovers

KUBECONFIG = "kubeconfig.yaml"
"""The cluster's own kubeconfig, below its directory."""
PAUSE_SECONDS, LIMIT_SECONDS = 0.02, 10.0


def main(argv: Sequence[str]) -> int:
    """Wait for the end of stdin, then remove everything. Returns 1 if processes are left after ten seconds."""
    directory, *copies = (Path(word) for word in argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the cluster's process ends first, whoever signals both
    sys.stdin.buffer.read()
    all_ended = _end_all(directory)
    for copy in copies:
        with suppress(OSError):
            if copy.read_bytes() == (directory / KUBECONFIG).read_bytes():
                copy.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    return 0 if all_ended else 1


def _end_all(directory: Path) -> bool:
    """Kill until nothing is left, since a process may start another one meanwhile; return whether that was reached."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while end_leftovers(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
