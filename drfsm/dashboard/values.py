"""The forms of the document's values: why there is none, times, words; and the list of what could not be read."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import Any, TypeVar

from attrs import field, frozen

from drfsm.claims import bounded
from drfsm.claims import moment as moment_of
from drfsm.errors import DrfsmError

T = TypeVar("T")
Fields = dict[str, Any]
LONGEST = 2000  # characters of one value


def unknown(why: str) -> Fields:
    """Return the value of what could not be read, or is not known."""
    return {"unknown": words(why)}


def none(why: str) -> Fields:
    """Return the value of what does not exist."""
    return {"none": words(why)}


def is_known(value: Any) -> bool:
    """Whether a value is one, and not a reason why there is none."""
    return not (isinstance(value, Mapping) and value and value.keys() <= {"unknown", "none"})


def words(text: object) -> str:
    """Return a text of at most LONGEST characters on one line; "(empty)" where it is."""
    return bounded(text, LONGEST) or "(empty)"


def time_of(text: object) -> Any:
    """Return a time as the document has it (UTC, with Z), or why it is none."""
    at = moment_of(text)
    return unknown("what is on record is no time") if at is None else at.astimezone(UTC).isoformat()[:19] + "Z"


@frozen
class Unread:
    """What could not be read, so far."""

    entries: list[Fields] = field(factory=list)

    def add(self, what: str, why: str) -> Fields:
        """Note something that could not be read; return the value that stands in its place."""
        entry = {"what": words(what), "why": words(why)}
        if entry not in self.entries:
            self.entries.append(entry)
        return unknown(why)

    def reading(self, what: str, read: Callable[[], T]) -> T | Fields:
        """Return what ``read`` returns; where it raises a DrfsmError, note that and return an unknown value."""
        try:
            return read()
        except DrfsmError as fault:
            return self.add(what, fault.what)


def first_known(values: Iterable[Any], otherwise: Any) -> Any:
    """Return the first value that is known; ``otherwise`` where none is."""
    return next((value for value in values if is_known(value)), otherwise)
