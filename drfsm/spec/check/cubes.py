"""Sets of worlds by what they require: few words, however many worlds there are.

A *cube* says of some facts which values they may have; of all others it says nothing. Several cubes together are the
worlds in which one of them holds. Unlike in domain.py, no world is numbered: a search backwards asks for few facts at a
time, but for any of them. Pure. Called by backward.py and traps.py.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

Cube = Mapping[str, frozenset[str]]
"""Fact -> the values that it may have; a fact that isn't named may have any."""

Ranges = Mapping[str, frozenset[str]]
"""Fact -> all values that it can have."""

ANYTHING: tuple[Cube, ...] = ({},)
"""Every world."""


def narrowed(cube: Cube, required: Mapping[str, Collection[str]], ranges: Ranges) -> Cube | None:
    """Return the part of a cube in which facts have one of their required values; None: no world is left."""
    narrow = dict(cube)
    for name, values in required.items():
        both = narrow.get(name, ranges[name]) & frozenset(values)
        if not both:
            return None
        if both != ranges[name]:
            narrow[name] = both
        else:
            narrow.pop(name, None)
    return narrow


def without(cube: Cube, names: Collection[str]) -> Cube:
    """Return a cube that says nothing of these facts any more."""
    return {name: values for name, values in cube.items() if name not in names}


def within(cube: Cube, other: Cube) -> bool:
    """Whether all worlds of one cube are worlds of the other."""
    return all(name in cube and cube[name] <= values for name, values in other.items())


def simplified(cubes: Iterable[Cube], ranges: Ranges) -> tuple[Cube, ...]:
    """Return fewer cubes for the same worlds: none within another, none that two of them could be joined to."""
    kept: list[Cube] = []
    todo = sorted(cubes, key=len, reverse=True)
    while todo:
        cube = todo.pop()
        if any(within(cube, other) for other in kept):
            continue
        kept = [other for other in kept if not within(other, cube)]
        joined = next(((other, both) for other in kept if (both := _joined(cube, other, ranges)) is not None), None)
        if joined is None:
            kept.append(cube)
        else:
            todo.append(joined[1])
    return tuple(kept)


def _joined(one: Cube, other: Cube, ranges: Ranges) -> Cube | None:
    """Return the one cube that is two together, where they differ in the values of one fact only."""
    if one.keys() != other.keys():
        return None
    differing = [name for name, values in one.items() if other[name] != values]
    if len(differing) != 1:
        return None
    name = differing[0]
    values = one[name] | other[name]
    return without(one, [name]) if values == ranges[name] else {**one, name: values}


def others(cubes: Sequence[Cube], ranges: Ranges) -> tuple[Cube, ...]:
    """Return the worlds in which none of some cubes holds."""
    left: tuple[Cube, ...] = ANYTHING
    for cube in cubes:
        left = simplified(_cut(left, cube, ranges), ranges)
    return left


def _cut(cubes: Iterable[Cube], cut: Cube, ranges: Ranges) -> Iterator[Cube]:
    for cube in cubes:
        for name, values in cut.items():
            rest = narrowed(cube, {name: ranges[name] - values}, ranges)
            if rest is not None:
                yield rest
