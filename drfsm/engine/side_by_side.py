"""Questions that wait for answers from outside, asked at once: each takes a round trip, and needs no other answer.

Threads that nobody waits for at the end of the process: whoever interrupts a command a second time is not kept waiting
for a server that hangs. Called by observer.py for the facts of one row, and by whoever lists two places.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


def side_by_side(questions: Sequence[Callable[[], Answer]], most: int) -> list[Answer]:
    """Return the answers, in the order of the questions, at most ``most`` of which are asked at once.

    Raises what the first of them (in that order) raised, once each was answered.
    """
    if most <= 1 or len(questions) <= 1:
        return [question() for question in questions]
    crew = _Crew(questions)
    threads = [threading.Thread(target=crew.work, daemon=True, name="drfsm-reading") for _ in questions[:most]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fault in crew.faults:
        if fault is not None:
            raise fault
    return [answer for answers in crew.answers for answer in answers]


class _Crew(Generic[Answer]):
    """The questions that are left, and what became of the others."""

    def __init__(self, questions: Sequence[Callable[[], Answer]]) -> None:
        self._questions = questions
        self._left = iter(range(len(questions)))
        self._lock = threading.Lock()
        self.answers: list[list[Answer]] = [[] for _ in questions]
        self.faults: list[BaseException | None] = [None] * len(questions)

    def work(self) -> None:
        """Ask until no question is left."""
        while True:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                return
            try:
                self.answers[number].append(self._questions[number]())
            except BaseException as fault:  # noqa: BLE001  whoever waits for the answer raises it
                self.faults[number] = fault
