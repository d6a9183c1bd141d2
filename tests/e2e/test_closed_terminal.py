"""A whole failback, a process at a real terminal, whose terminal is closed in the middle, and whose disk is full."""

import fcntl
import os
import select
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from tests.e2e.sites import WHOLE, Request, Site

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

CLOSED_AFTER = "freeze_dr"


class Terminal:
    """A pseudo terminal with somebody in front of it, who reads until it is closed."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._closing = threading.Event()
        self.closed = threading.Event()
        self.shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # This thread closes it, too: while another one reads, the system would not hang up.
        while not self._closing.is_set():
            if select.select([self._ours], [], [], 0.02)[0]:
                self.shown += os.read(self._ours, 1 << 16)
        os.close(self._ours)  # the system sends SIGHUP to whoever has this terminal
        self.closed.set()

    def close(self) -> None:
        """Close the window, and wait until it is closed."""
        self._closing.set()
        self.closed.wait(WHOLE)


def _control() -> None:
    """Make stdin the terminal that controls this process, as a login shell does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_failback_outlives_its_terminal_and_a_full_disk(site: Site) -> None:
    """Closed while DR is frozen: SIGHUP comes from the system, the run goes on to its end, and exits with 0.

    What it would have printed stands in its bundle; the result, which no disk took, changes nothing.
    """
    terminal = Terminal()

    def close(request: Request) -> str:
        record = request.record
        if record.get("kind") == "commit" and record["body"]["trigger"] == CLOSED_AFTER:
            terminal.close()
        return ""

    site.wire.deadly = close
    argv = [sys.executable, "-m", "drfsm", *site.failback("--soak", "now")]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(
            argv, env=site.environ(), stdin=terminal.theirs, stdout=full, stderr=terminal.theirs,
            start_new_session=True, preexec_fn=_control,  # noqa: PLW1509  one system call, no lock
        )  # fmt: skip
    os.close(terminal.theirs)
    try:
        code = process.wait(WHOLE)
    finally:
        process.kill()
        process.wait()
    assert terminal.closed.is_set()
    triggers = [trigger for trigger, _ in site.transitions()]
    assert triggers.index(CLOSED_AFTER) < triggers.index("resume_primary")
    assert (code, site.summary()["status"]) == (0, "complete")
    assert b"dr_frozen" not in terminal.shown.splitlines()[-1]  # it was closed before that was told
    progress = (site.bundle / "progress.log").read_text(encoding="utf-8")
    assert progress.startswith("stderr can't be written any more (Input/output error): the progress goes on here")
    assert "✓ dr_frozen" in progress
    assert "■ complete" in progress
    assert not [record for record in site.records() if record["kind"] == "held"]
