"""What a person reads on stderr while a run works: where a wait gives up, each thing once, on a narrow terminal."""

import os
import pty
import termios
from io import StringIO
from pathlib import Path

import pytest

from drfsm.cli.progress import Progress
from drfsm.cli.say import Enduring, folded
from tests.engine.room import Room, machine
from tests.engine.test_engine_foresight import room as foreseeing
from tests.engine.test_engine_rounds import BURNT, SPEC


def test_a_wait_that_gives_up_says_why_and_does_not_say_that_it_waits() -> None:
    """The sample names its limit only; each failure's commit is marked as one, and has the cause."""
    room, stream = Room(SPEC, has=dict(BURNT)), StringIO()
    room.runner(on_record=[Progress(stream).on_record]).start({"tries": "2"})
    told = stream.getvalue().splitlines()
    (sample, _) = [line for line in told if "⏳" in line]
    assert sample.endswith("⏳ screwed_in: light is burnt (limit 30 s)")
    (again, last) = [line for line in told if "to_be_changed" in line or "given_up" in line]
    for line in (again, last):
        assert "✗" in line
        assert "  Cause: await_light refused: light_is_on: light is burnt" in line


def test_a_run_that_waits_for_a_decision_names_the_command_with_its_id() -> None:
    """Bare `drfsm status` may show another run: of a drill's child, it shows the drill."""
    rows = """
  - {from: start, trigger: come, to: here, because: "in"}
  - {from: here, trigger: leave, to: done, by: operator, because: "out"}
"""
    room, stream = Room(machine(rows)), StringIO()
    room.runner(on_record=[Progress(stream).on_record]).start({"patience": 5, "way": "short"}, run_id="run-1")
    told = stream.getvalue().splitlines()[-1]
    assert told.endswith(
        "held in here: a person must choose leave "
        "(what to do: `drfsm status run-1` shows the command for each decision, ready to paste)"
    )


def progress_of(room: Room, **inputs: str) -> list[str]:
    """Return what a run prints, line by line, without its times."""
    stream = StringIO()
    room.runner(on_record=[Progress(stream).on_record]).start({"patience": 5, "way": "short", **inputs})
    return [line[8:] for line in stream.getvalue().splitlines()]


def test_a_refusal_is_said_once() -> None:
    """The line that leaves the main path has the cause; the end, right below it, does not say it again."""
    lines = progress_of(foreseeing(door="open"))
    assert [line for line in lines if "door_is_shut" in line] == [line for line in lines if line.startswith("✗")]
    assert lines[-1] == "■ refused"


def test_a_refusal_of_a_dry_run_is_said_once() -> None:
    """Where it is foreseen, which is just above the end."""
    stream = StringIO()
    runner = foreseeing(door="open").runner(on_record=[Progress(stream).on_record])
    runner.start({"patience": 5, "way": "short"}, dry_run=True)
    lines = [line[8:] for line in stream.getvalue().splitlines()]
    assert [line[0] for line in lines if "door_is_shut" in line] == ["!"]
    assert lines[-1] == "■ refused"


def test_that_nothing_is_left_to_wait_for_is_said_once() -> None:
    """A wait that looks twice before it believes what it saw records both looks; a person reads of one."""
    rows = """
  - from: start
    trigger: await_dark
    to: done
    guards: [light_is_off]
    wait: {every_seconds: 1, limit: patience, consecutive: 2}
    because: "dark"
"""
    room = Room(machine(rows))
    lines = progress_of(room)
    assert [record.kind for record in room.records()].count("sampled") == 2
    assert sum("nothing left to wait for" in line for line in lines) == 1


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_progress_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    """On a real terminal, through the stream that a run prints to: folded between words, set in below the words."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    with os.fdopen(follower, "w") as terminal:
        attributes = termios.tcgetattr(terminal)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        Progress(Enduring(terminal, tmp_path)).say(
            "the primary's schedules are suspended, as the promote left them " * 2
        )
        printed = os.read(leader, 4096).decode()
    os.close(leader)
    lines = printed.splitlines()
    assert all(len(line) < columns for line in lines), printed
    assert (len(lines) == 1) == (columns == 200)
    assert all(line.startswith(" " * 12) for line in lines[1:])
    assert " ".join(printed.split()).endswith(
        "as the promote left them the primary's schedules are suspended, as the promote left them"
    )


def test_a_command_and_an_address_are_not_broken() -> None:
    """Both can be copied from a narrow terminal; what goes to a file or a pipe stays one line."""
    line = (
        "held in start: see `drfsm status run-1 --output json` and https://127.0.0.1:36821/a/long/address/of/a/cluster"
    )
    parts = folded(line, 40, 4)
    assert any("`drfsm status run-1 --output json`" in part for part in parts)
    assert any("https://127.0.0.1:36821/a/long/address/of/a/cluster" in part for part in parts)
    assert " ".join(part.strip() for part in parts) == line
    assert folded(line, None) == [line]
