"""In which ways the guards of a row can hold: each by itself, or by what stands in for it (``unless``).

Owns what the table says of that, whichever facts are followed: moves.py takes from it what it needs. Pure.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import product

from attrs import frozen

from drfsm.spec.model import FactSpec, Guard, MachineSpec, Row

Amended = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""A fact that a row's own arguments decide -> the values that it must have for that, those that it can have then."""


@frozen
class Way:
    """One way in which a row's guards can hold. ``wanted``: facts in the order in which they are read, with values."""

    wanted: Mapping[str, tuple[str, ...]]
    amended: Amended


@frozen
class _Known:
    """What was found for one table. A search begins again with other facts, and asks the same."""

    rows: tuple[Row, ...]
    guards: Mapping[str, Guard]
    facts: Mapping[str, FactSpec]
    ways: tuple[tuple[Way, ...], ...]


_latest: list[_Known] = []
_MOST_KEPT = 3


def ways_of_rows(spec: MachineSpec) -> tuple[tuple[Way, ...], ...]:
    """Return for each row of a machine, by its number, the ways in which its guards can hold."""
    for known in _latest:
        if known.rows is spec.rows and known.guards == spec.guards and known.facts == spec.facts:
            return known.ways
    ways = tuple(tuple(_ways(spec, row)) for row in spec.rows)
    _latest[:] = [_Known(spec.rows, spec.guards, spec.facts, ways), *_latest[: _MOST_KEPT - 1]]
    return ways


def reads_any(fact: FactSpec, inputs: Collection[str]) -> bool:
    """Whether a fact's judge reads any of these inputs. A local fact that does not say which may read them all."""
    return bool(inputs) if fact.local and not fact.reads else bool(set(fact.reads) & set(inputs))


def _ways(spec: MachineSpec, row: Row) -> Iterator[Way]:
    either = [name for name in row.guards if spec.guards[name].unless]
    # What the action itself sets is judged by the new inputs from the beginning.
    amended = sorted(name for name, fact in spec.facts.items() if reads_any(fact, row.amends) and name not in row.sets)
    stand_ins = spec.stand_ins(row)
    for waived in product(*((None, name) for name in either)):
        wanted: dict[str, tuple[str, ...]] = {}
        for _, fact, values in spec.wanted_of(row, [name for name in waived if name]):
            wanted[fact] = tuple(value for value in values if value in wanted.get(fact, values))
        if any(not values for values in wanted.values()):
            continue  # what the guards want of one fact contradicts itself
        decided = {name: _decided(spec.facts[name], wanted.get(name)) for name in amended}
        for name in wanted.keys() & decided.keys():
            before, after = decided[name]
            if after:
                wanted[name] = (*before, *(value for value in wanted[name] if value not in before))
        order = sorted(wanted, key=lambda name: (name not in stand_ins, name))
        yield Way({name: wanted[name] for name in order}, {name: both for name, both in decided.items() if both[1]})


def _decided(fact: FactSpec, wanted: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values at which an amended input decides over a fact, and those that it can have then."""
    between = fact.amended_between or fact.values
    return between, tuple(value for value in between if wanted is None or value in wanted)
