"""Runs one program that must not outlive whoever started it: ``python leash.py PROGRAM ARGUMENT...``.

Whoever starts this holds the other end of its stdin. When that end is closed, by a stop or because its holder
was killed, the program is killed; should this process itself be killed, the kernel does it (Linux). Run by its
path and on the standard library alone, so that it is small and there at once; started by cluster.py.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
SIGNALLED = 128  # a program that a signal ended is told as this much more than the signal's number


def main(argv: Sequence[str]) -> int:
    """Run the program until it ends by itself, or its holder is gone; return its exit code."""
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
