"""A terminal that is closed, a pipe that nobody reads, a full disk: none of them stops a procedure."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from drfsm.errors import ExitCode
from drfsm.runs import bundle
from drfsm.runs.signals import stopping
from tests.cli.conftest import given

ROOT = Path(__file__).parents[2]


def closed_pipe() -> IO[bytes]:
    """Return the end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb")


def full_disk() -> IO[bytes]:
    """Return a file on a disk that is full."""
    return Path("/dev/full").open("wb")


def closed_terminal() -> IO[bytes]:
    """Return a terminal whose other end is gone."""
    ours, theirs = os.openpty()
    os.close(ours)
    return os.fdopen(theirs, "wb")


UNWRITABLE = {"a closed pipe": closed_pipe, "a full disk": full_disk, "a closed terminal": closed_terminal}


@pytest.fixture(params=list(UNWRITABLE.values()), ids=list(UNWRITABLE))
def unwritable(request: pytest.FixtureRequest) -> Iterator[IO[bytes]]:
    """Return what can't be written."""
    with request.param() as stream:
        yield stream


def ran(tmp_path: Path, more: dict[str, str], **streams: Any) -> "subprocess.CompletedProcess[str]":
    """Start a failback with a wrong token, as a process of its own, with these streams."""
    argv = [str(word) for word in given(tmp_path, confirm1="FAIL")]
    environ = {**os.environ, "DRFSM_HOME": str(tmp_path / "home"), **more}
    return subprocess.run(
        [sys.executable, "-m", "drfsm", *argv], env=environ, cwd=ROOT, text=True, check=False, **streams
    )


def kinds(tmp_path: Path) -> list[str]:
    """Return the kinds of the run's records."""
    return [json.loads(line)["kind"] for line in (tmp_path / "bundle" / bundle.LOG).read_bytes().splitlines()]


@pytest.mark.parametrize("collects", ["", "json"])
def test_a_progress_that_can_not_be_written_goes_on_in_the_bundle(
    tmp_path: Path, unwritable: IO[bytes], collects: str
) -> None:
    """For people and for collectors of logs: the run ends as ever, and its log says where its words are."""
    told = ran(tmp_path, {"DRFSM_LOG": collects}, stdout=subprocess.PIPE, stderr=unwritable)
    assert told.returncode == ExitCode.REFUSED
    assert "ended: refused" in told.stdout
    assert kinds(tmp_path)[-2:] == ["ended", "seal"]
    kept = (tmp_path / "bundle" / "progress.log").read_text().splitlines()
    assert kept[0].startswith("stderr can't be written any more (")
    assert any("refused" in line for line in kept[1:]), kept


def test_a_result_that_can_not_be_printed_leaves_the_exit_code(tmp_path: Path, unwritable: IO[bytes]) -> None:
    """The run was refused: that is what a script must learn, and a person how to read it."""
    told = ran(tmp_path, {}, stdout=unwritable, stderr=subprocess.PIPE)
    assert told.returncode == ExitCode.REFUSED, told.stderr
    assert "the result could not be printed" in told.stderr
    assert "drfsm status failback-" in told.stderr
    assert kinds(tmp_path)[-1] == "seal"


def test_with_no_stream_at_all_a_run_ends_as_ever(tmp_path: Path, unwritable: IO[bytes]) -> None:
    """Nobody hears it."""
    assert ran(tmp_path, {}, stdout=unwritable, stderr=unwritable).returncode == ExitCode.REFUSED
    assert kinds(tmp_path)[-1] == "seal"


class Worker:
    """What signals stop."""

    stopped = 0

    def interrupt(self) -> None:
        """Count it."""
        self.stopped += 1


def test_a_closed_terminal_stops_nothing() -> None:
    """SIGHUP is told, and the run goes on; SIGTERM asks it to stop. Afterwards each means what it meant."""
    worker: Any = Worker()
    lines: list[str] = []
    before = signal.getsignal(signal.SIGHUP)
    with stopping(worker, lines.append):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert worker.stopped == 0
        assert lines[0].startswith("the terminal was closed (SIGHUP): the run goes on")
        os.kill(os.getpid(), signal.SIGTERM)
        assert worker.stopped == 1
    assert signal.getsignal(signal.SIGHUP) is before
