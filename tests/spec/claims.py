"""Claims about a declared table: a sentence, the machines of which it holds, and what breaks it.

Owns the register and the questions that claims ask of a table. Pure. claims_of_steps.py, claims_of_order.py and
claims_of_guards.py make the claims; table_claims.py has all of them.
"""

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from drfsm.spec import By, MachineSpec, Row
from drfsm.spec.graph import closure, onward

Breaks = Iterator[str]


@frozen
class Claim:
    """A sentence that holds of some machines. ``broken`` yields the rows, states or guards that break it."""

    sentence: str
    machines: tuple[str, ...]
    broken: Callable[[MachineSpec], Breaks]


CLAIMS: list[Claim] = []


def claim(sentence: str, *machines: str) -> Callable[[Callable[[MachineSpec], Breaks]], None]:
    """Register a claim of these machines; of all three, if none is named."""

    def register(broken: Callable[[MachineSpec], Breaks]) -> None:
        CLAIMS.append(Claim(sentence, machines or ("failback", "promote", "drill"), broken))

    return register


def by_runner(spec: MachineSpec) -> Iterator[Row]:
    """Return the rows that the runner takes by itself, but for the loop of undos."""
    return (row for row in spec.rows if row.by is By.RUNNER and row.foreach is None)


def before_the_switch(spec: MachineSpec) -> set[str]:
    """Return the states from which the point of no return is still ahead, that which its row leaves included."""
    ends = {row.source for row in spec.rows if row.point_of_no_return}
    return closure(ends, onward((row.to, row.source) for row in spec.rows))


def after(spec: MachineSpec, *triggers: str) -> set[str]:
    """Return the states that are reached once a row of one of these triggers was taken."""
    begin = {row.to for row in spec.rows if row.trigger in triggers}
    return closure(begin, onward((row.source, row.to) for row in spec.rows))


def lacking(rows: Iterable[Row], *guards: str) -> Breaks:
    """Yield the rows that don't have one of these guards; ``a|b``: either will do."""
    for row in rows:
        for guard in guards:
            if not set(guard.split("|")) & set(row.guards):
                yield f"{row.key} does not ask {guard}"
