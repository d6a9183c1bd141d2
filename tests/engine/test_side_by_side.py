"""Questions asked at once: in the order of the questions, no more at once than allowed, and no fault is lost."""

import threading
from typing import Any

import pytest

from drfsm.engine import Binding, Fact, Runner
from drfsm.engine.ports import MemoryJournal
from drfsm.engine.side_by_side import side_by_side
from drfsm.errors import Unreachable
from drfsm.spec import load_machine

SECONDS = 20
MACHINE = """\
machine: two_rooms
because: "a test"
initial: dark
finals: {lit: complete}
facts: {near: {values: [on, off]}, far: {values: [on, off]}}
guards:
  both_on: {requires: {near: on, far: on}, because: "Both lamps burn"}
transitions:
  - {from: dark, trigger: see, to: lit, guards: [both_on], because: "Both were seen"}
"""


def test_as_many_as_allowed_are_asked_at_once_and_answered_in_order() -> None:
    """Three questions that each wait for two others are answered only side by side; a fourth has its turn later."""
    meeting, now, most = threading.Barrier(3), [0], [0]
    lock = threading.Lock()

    def asked(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if number < 3:
            meeting.wait(SECONDS)
        with lock:
            now[0] -= 1
        return number

    assert side_by_side([lambda number=number: asked(number) for number in range(6)], 3) == list(range(6))  # type: ignore[misc]
    assert most == [3]


def test_the_first_fault_in_the_order_of_the_questions_is_raised_once_all_are_answered() -> None:
    """The second question fails last; its fault is raised, and the third one was asked although the second failed."""
    third = threading.Event()

    def second() -> int:
        third.wait(SECONDS)
        raise Unreachable("the second")

    def last() -> int:
        third.set()
        raise Unreachable("the third")

    with pytest.raises(Unreachable, match="the second"):
        side_by_side([lambda: 1, second, last], 3)
    assert third.is_set()


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_runner_reads_the_facts_of_a_row_at_once_only_if_it_is_told_to(at_once: int) -> None:
    """Two facts that wait for each other are known if both are read at once; in turn neither can be."""
    meeting = threading.Barrier(2)

    def observe(_world: object, _run: object) -> Any:
        try:
            meeting.wait(SECONDS if at_once > 1 else 0.1)
        except threading.BrokenBarrierError:
            raise Unreachable("nobody else is read") from None
        return "on"

    fact = Fact(observe, lambda seen, _inputs: str(seen))
    binding = Binding(facts={"near": fact, "far": fact}, actions={})
    runner = Runner(load_machine(MACHINE), binding, {}, MemoryJournal(), reads_at_once=at_once)
    assert runner.start({}).status == ("complete" if at_once > 1 else "held")
