"""`drfsm sandbox up` waits as long as the sandbox makes progress, says for what, and gives up where there is none."""

from pathlib import Path

import pytest

from drfsm.errors import DrfsmError
from drfsm.sandbox import status, up
from drfsm.sandbox.starting import STEP, Progress


class Start:
    """A sandbox that starts, by a clock of ours: what it reports, what is told, whether it is given up."""

    def __init__(self, log: Path) -> None:
        log.write_text("")
        self.now, self.told, self._log = 0.0, list[str](), log
        self.progress = Progress(log, 60, self.told.append, lambda: self.now)

    def report(self, text: str) -> None:
        """Append to the log, as the sandbox's process does."""
        with self._log.open("a") as log:
            log.write(text)

    def look_at(self, now: float) -> bool:
        """Look at that time; return whether it is waited for still."""
        self.now = now
        return self.progress.look()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a sandbox that starts."""
    return Start(tmp_path / "sandbox.log")


def test_a_start_that_makes_progress_is_waited_for(start: Start) -> None:
    """A step every 50 seconds: ten minutes are as good as one."""
    for step in range(12):
        start.report(f"{STEP}step {step}\n")
        assert start.look_at(50.0 * step)
    assert start.look_at(50 * 11 + 60)
    assert not start.look_at(50 * 11 + 61)
    assert start.progress.gave_up == "the sandbox made no progress for 60 s, waiting for step 11"


def test_other_lines_and_half_a_line_are_no_progress(start: Start) -> None:
    """A server that complains again and again does not get on."""
    for second in range(0, 61, 10):
        start.report(f"connection refused, once more ({second})\n")
        assert start.look_at(second)
    start.report(f"{STEP}DR's clu")
    assert not start.look_at(61)
    assert start.progress.step == "its process"


def test_what_takes_long_is_told_once(start: Start) -> None:
    """Nothing is said of a step of less than two seconds."""
    start.report(f"{STEP}the object store\n")
    assert start.look_at(1)
    start.report(f"{STEP}DR's cluster\n")
    for now in (2, 4, 5, 9):
        assert start.look_at(now)
    assert start.told == ["waiting for DR's cluster ..."]


def test_a_start_without_progress_is_ended(tmp_path: Path) -> None:
    """The process that was started is gone, and the error says what it was waiting for."""
    with pytest.raises(DrfsmError, match="the sandbox made no progress for 0 s, waiting for "):
        up(tmp_path, silent_seconds=0)
    assert not status(tmp_path).running
