"""The course that a run took through its machine, for a drawing: what was taken, and what happened where.

evidence/course.py makes it of a run's records.
"""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from drfsm.spec.model import Row


class Mark(StrEnum):
    """What happened in a state, beside that the run passed it."""

    KILLED = "killed"
    RESUMED = "resumed"
    HELD = "held"
    STANDS = "stands here"
    ENDED = "ended"


@frozen
class Note:
    """One thing that happened in a state, in words."""

    mark: Mark
    words: str


@frozen
class Course:
    """One run: the rows that it took (each with the steps at which), and what happened in which state."""

    title: str
    taken: Mapping[tuple[str, int], tuple[int, ...]]  # a row's key and line -> the numbers of the steps
    states: frozenset[str]  # that it passed
    notes: Mapping[str, tuple[Note, ...]] = field(factory=dict)

    def steps(self, row: Row) -> tuple[int, ...]:
        """Return the steps at which a row was taken. Rows that inputs tell apart may share their key."""
        return self.taken.get((row.key, row.line), ())


@frozen
class Paint:
    """How a drawing is coloured by something other than one run: by what was ever exercised, say.

    A row or a state that has no class is drawn pale. ``legend``: class -> what it stands for.
    """

    title: str
    rows: Mapping[tuple[str, int], str]  # a row's key and line -> a class of the drawing
    states: Mapping[str, str]
    legend: Mapping[str, str]
