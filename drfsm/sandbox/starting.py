"""How far a sandbox is that starts in the background: its process reports each step in its log; ``up`` reads that.

A sandbox that makes progress is waited for, however slow the computer is; one that reports nothing for
``SILENT_SECONDS`` is given up. Called by lifecycle.py.
"""

import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field

STEP = "starting: "
"""How a line of the log begins that reports a step."""
SILENT_SECONDS = 60.0
SILENT_REAL_SECONDS = 180.0
"""After this time without a step, ``up`` gives up: emulated clusters, real control planes."""
TOLD_AFTER_SECONDS = 2.0

Report = Callable[[str], object]


@define
class Progress:
    """What the log of a starting sandbox says, read again and again. ``tell`` is called with what takes long."""

    log: Path
    silent_seconds: float
    tell: Report = lambda _words: None
    clock: Callable[[], float] = time.monotonic
    step: str = "its process"
    _since: float = field(init=False)
    _read: int = 0  # bytes of the log
    _told: str = ""

    def __attrs_post_init__(self) -> None:
        """Count from now."""
        self._since = self.clock()

    def look(self) -> bool:
        """Read what the log has since; return whether a step was reported within the time that is allowed."""
        if self.log.stat().st_size != self._read:
            raw = self.log.read_bytes()
            self._read = len(raw)
            steps = [line.removeprefix(STEP) for line in _lines(raw) if line.startswith(STEP)]
            if steps and steps[-1] != self.step:
                self.step, self._since = steps[-1], self.clock()
        silent = self.clock() - self._since
        if silent > TOLD_AFTER_SECONDS and self._told != self.step:
            self._told = self.step
            self.tell(f"waiting for {self.step} ...")
        return silent <= self.silent_seconds

    @property
    def gave_up(self) -> str:
        """Why it was given up, in words."""
        return f"the sandbox made no progress for {self.silent_seconds:.0f} s, waiting for {self.step}"


def _lines(raw: bytes) -> list[str]:
    """Return the whole lines of a log; the last one may be half written."""
    return raw.decode("utf-8", "replace").rpartition("\n")[0].splitlines()
