"""What a fact's table is made of: a case says in which world the fact has which value, in one sentence."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from drfsm.errors import Unreachable
from tests.agree.world import Place

Change = Callable[[Place], object]


@frozen
class Case:
    """One world of a fact. ``only``: the machines whose fact it is about; none: every machine that has this value."""

    value: str | None
    claim: str
    changes: tuple[Change, ...] = ()
    only: tuple[str, ...] = ()

    def fits(self, machine: str, values: tuple[str, ...]) -> bool:
        """Whether it is about a machine's fact with these declared values."""
        return (not self.only or machine in self.only) and (self.value is None or self.value in values)

    def lay(self, place: Place) -> Place:
        """Make its world."""
        for change in self.changes:
            change(place)
        return place


Table = Mapping[str, tuple[Case, ...]]


def case(value: str | None, claim: str, *changes: Change, only: str = "") -> Case:
    """Return a case. ``only``: machines, with spaces."""
    return Case(value, claim, changes, tuple(only.split()))


def given(**inputs: Any) -> Change:
    """Return a change of inputs."""
    return lambda place: place.set(**inputs)


def silent(words: str = "the case says so") -> Callable[..., Any]:
    """Return what answers nothing, for a port's method."""

    def ask(*_: object, **__: object) -> Any:
        raise Unreachable(words)

    return ask
