"""A page on a narrow terminal: no word is cut, and what can be typed stays on one line."""

import pytest

from drfsm.cli.fitting import fitting

REASON = "The run's changes are undone, newest first: DR stays canonical and publishes as before"
COMMAND = '  drfsm abort failback-20261129t095222z-f2aefed08b7e --reason "..."'
LINES = [
    "Frozen now:",
    "  NOBODY CAN PUBLISH, since 2026-11-29 09:52:29Z (5 h 39 min): the primary being fenced; both sites being fenced",
    f"{COMMAND}  {REASON}",
    "  drfsm resume r          go on from exactly here",
    f"run {'x' * 90} is HELD in dr_frozen since 2026-11-29 09:52:29Z, and the lease is this run's",
]


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:20])
def test_no_word_is_cut_and_none_is_lost(line: str, width: int) -> None:
    """The words are the same, in order; a line is longer than the terminal only where it is one word or a command."""
    parts = list(fitting(line, width))
    assert " ".join(parts).split() == line.split()
    too_long = [part for part in parts if len(part) >= width]
    assert all(part == COMMAND or "x" * 90 in part for part in too_long)


def test_a_command_stays_whole_and_its_reason_goes_below_it() -> None:
    """So that it can be copied; where both fit on a line, they stand on one."""
    first, *reason = fitting(f"{COMMAND}  {REASON}", 60)
    assert first == COMMAND
    assert all(part.startswith("      ") for part in reason)
    assert len(list(fitting(f"{COMMAND}  {REASON}", 200))) == 1


@pytest.mark.parametrize("width", [40, 60])
def test_a_command_at_the_end_of_a_line_stays_whole(width: int) -> None:
    """It goes to a line of its own, so that it can be copied."""
    typed = "drfsm status failback-20261129t095222z-f2aefed08b7e"
    parts = list(fitting(f"  more about it: {typed}", width))
    assert [part.strip() for part in parts] == ["more about it:", typed]


def test_a_page_that_goes_to_no_terminal_is_not_folded() -> None:
    """A program gets each line whole."""
    assert [list(fitting(line, None)) for line in LINES] == [[line] for line in LINES]
