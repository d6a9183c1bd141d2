"""What a person reads on stderr while a run works, where a wait gives up."""

from io import StringIO

from drfsm.cli.progress import Progress
from tests.engine.room import Room, machine
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
