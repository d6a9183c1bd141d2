"""Runs one program that must not outlive its parent: ``python supervisor.py PROGRAM ARGUMENT...``.

Its parent holds the other end of its stdin. When that end is closed, by a stop or because the parent was killed,
the program is killed; should the supervisor itself be killed, the kernel kills the program (Linux). cluster.py
starts it by its path, and it uses the standard library alone, so that it starts at once and stays small.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
SIGNALLED = 128  # the exit code of a program that a signal ended is this plus the signal's number


def main(argv: Sequence[str]) -> int:
    """Run the program until it ends by itself or the parent is gone; return its exit code."""
    ended, awake = os.pipe()
    os.set_blocking(awake, False)
    signal.set_wakeup_fd(awake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)  # noqa: PLW1509  no threads here
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    while child.poll() is None:
        ready, _, _ = select.select([sys.stdin.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 512)
        elif not os.read(sys.stdin.fileno(), 512):
            child.kill()
            child.wait()
    return child.returncode if child.returncode >= 0 else SIGNALLED - child.returncode


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
