"""Sets of worlds, so that one operation of the interpreter moves many worlds at once.

A world is one combination of the followed facts' values. The *fast* facts, which the world itself moves, are numbered
together: a set of their combinations is one Python integer with a bit for each, a requirement is an ``&`` with a mask,
and to give a fact a value is a shift. The *slow* facts, which mostly rows move, are few combinations at a time: a set
of worlds is a dict from one combination of slow facts (its key) to the integer of the fast ones.

Owns the numbering of the worlds and these operations. Knows no rows and no search. Called by moves.py.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from attrs import frozen

Bits = int
"""A set of combinations of the fast facts: bit n is set where the combination with the number n is in it."""

Worlds = dict[int, Bits]
"""A set of worlds: the number of a combination of the slow facts -> the combinations of the fast ones, never 0."""

_MOST_BITS = 1 << 16  # above that the integers get so long that more dict entries are cheaper


@frozen
class Variable:
    """A fact as it is followed. ``weight``: by how much a world's number grows from one value to the next."""

    name: str
    values: tuple[str, ...]
    weight: int
    fast: bool


class Mask:
    """A requirement: for each combination of the slow facts the combinations of the fast ones that meet it."""

    __slots__ = ("_bits", "_known")

    def __init__(self, bits: Callable[[int], Bits]) -> None:
        """Ask ``bits`` once for each key."""
        self._bits = bits
        self._known: dict[int, Bits] = {}

    def at(self, key: int) -> Bits:
        """Return the combinations of the fast facts that meet it, for one of the slow facts."""
        bits = self._known.get(key)
        if bits is None:
            bits = self._known[key] = self._bits(key)
        return bits


class Domain:
    """All combinations of the values of some facts."""

    def __init__(self, facts: Mapping[str, Sequence[str]], fast: Collection[str]) -> None:
        """Give each combination of these facts' values its number. As many of the ``fast`` ones as fit become bits."""
        self.size = self._width = 1
        self.variables: dict[str, Variable] = {}
        slow = 1
        for name, values in sorted(facts.items(), key=lambda item: len(item[1])):
            if name in fast and self._width * len(values) <= _MOST_BITS:
                self.variables[name] = Variable(name, tuple(values), self._width, fast=True)
                self._width *= len(values)
            else:
                self.variables[name] = Variable(name, tuple(values), slow, fast=False)
                slow *= len(values)
        self.size = self._width * slow
        self._all_bits: Bits = (1 << self._width) - 1
        self._bits = {
            (name, value): self._stripes(variable, number)
            for name, variable in self.variables.items()
            if variable.fast
            for number, value in enumerate(variable.values)
        }
        self.all = Mask(lambda _key: self._all_bits)
        self._one: dict[tuple[str, str], Mask] = {}

    def _stripes(self, variable: Variable, number: int) -> Bits:
        """Return the combinations in which a fact has its value of this number: stripes as wide as its weight."""
        stripe = ((1 << variable.weight) - 1) << (number * variable.weight)
        width = variable.weight * len(variable.values)
        while width < self._width:  # double what is there, as often as it fits
            stripe |= stripe << width
            width *= 2
        return stripe & self._all_bits

    def __contains__(self, name: object) -> bool:
        """Whether a fact is followed."""
        return name in self.variables

    # --- requirements -----------------------------------------------------------------------------------

    def having(self, required: Mapping[str, Iterable[str]]) -> Mask:
        """Return where every followed fact has one of its wanted values."""
        bits, slow = self._all_bits, []
        for name, values in required.items():
            variable = self.variables.get(name)
            if variable is None:
                continue
            if variable.fast:
                wanted = 0
                for value in values:
                    wanted |= self._bits.get((name, value), 0)
                bits &= wanted
            else:
                numbers = frozenset(variable.values.index(value) for value in values if value in variable.values)
                slow.append((variable.weight, len(variable.values), numbers))
        if not slow:
            return Mask(lambda _key: bits)
        return Mask(lambda key: bits if all(key // weight % many in numbers for weight, many, numbers in slow) else 0)

    def where(self, name: str, value: str) -> Mask:
        """Return where a followed fact has a value."""
        if (name, value) not in self._one:
            self._one[name, value] = self.having({name: (value,)})
        return self._one[name, value]

    def both(self, one: Mask, other: Mask) -> Mask:
        """Return where both requirements are met."""
        return Mask(lambda key: one.at(key) & other.at(key))

    def either(self, masks: Sequence[Mask]) -> Mask:
        """Return where one of some requirements is met."""

        def bits(key: int) -> Bits:
            any_of = 0
            for mask in masks:
                any_of |= mask.at(key)
            return any_of

        return Mask(bits)

    def but(self, one: Mask, other: Mask) -> Mask:
        """Return where one requirement is met, and another is not."""
        return Mask(lambda key: one.at(key) & ~other.at(key))

    def every(self, required: Mapping[str, Iterable[str]]) -> Worlds:
        """Return all worlds that meet a requirement."""
        mask = self.having(required)
        worlds = {key: mask.at(key) for key in range(self.size // self._width)}
        return {key: bits for key, bits in worlds.items() if bits}

    # --- changes ------------------------------------------------------------------------------------------

    def put(self, worlds: Worlds, name: str, value: str) -> Worlds:
        """Return what becomes of these worlds when a fact gets a value."""
        return self.put_any(worlds, name, (value,))

    def put_any(self, worlds: Worlds, name: str, values: Sequence[str]) -> Worlds:
        """Return what becomes of these worlds when a fact may get any of these values."""
        variable = self.variables[name]
        numbers = [variable.values.index(value) for value in values]
        if variable.fast:
            return {key: self._put_bits(bits, variable, numbers) for key, bits in worlds.items()}
        after: Worlds = {}
        weight, many = variable.weight, len(variable.values)
        for key, bits in worlds.items():
            first = key - key // weight % many * weight
            for number in numbers:
                to = first + number * weight
                after[to] = after.get(to, 0) | bits
        return after

    def _put_bits(self, bits: Bits, variable: Variable, numbers: Sequence[int]) -> Bits:
        first = 0
        for number, value in enumerate(variable.values):
            first |= (bits & self._bits[variable.name, value]) >> (number * variable.weight)
        if len(numbers) == 1:
            return first << (numbers[0] * variable.weight)
        after = 0
        for number in numbers:
            after |= first << (number * variable.weight)
        return after

    # --- single worlds --------------------------------------------------------------------------------------

    def values_of(self, world: Worlds) -> dict[str, str]:
        """Return the values of the first world of a set."""
        key, bits = next(iter(world.items()))
        number = (bits & -bits).bit_length() - 1
        return {
            name: variable.values[(number if variable.fast else key) // variable.weight % len(variable.values)]
            for name, variable in self.variables.items()
        }

    def world(self, values: Mapping[str, str]) -> Worlds:
        """Return the set of the one world with these values, of every followed fact."""
        key, number = 0, 0
        for name, variable in self.variables.items():
            part = variable.values.index(values[name]) * variable.weight
            number, key = (number + part, key) if variable.fast else (number, key + part)
        return {key: 1 << number}


def meet(worlds: Worlds, mask: Mask) -> Worlds:
    """Return those worlds that meet a requirement."""
    met: Worlds = {}
    for key, bits in worlds.items():
        if bits := bits & mask.at(key):
            met[key] = bits
    return met


def union(one: Worlds, other: Worlds) -> Worlds:
    """Return the worlds of both sets."""
    both = dict(one)
    for key, bits in other.items():
        both[key] = both.get(key, 0) | bits
    return both


def add(worlds: Worlds, more: Worlds) -> None:
    """Put more worlds into a set."""
    for key, bits in more.items():
        worlds[key] = worlds.get(key, 0) | bits


def minus(worlds: Worlds, known: Worlds) -> Worlds:
    """Return the worlds of a set that are not in another."""
    left: Worlds = {}
    for key, bits in worlds.items():
        if bits := bits & ~known.get(key, 0):
            left[key] = bits
    return left


def common(one: Worlds, other: Worlds) -> Worlds:
    """Return the worlds that are in both sets."""
    shared: Worlds = {}
    for key, bits in one.items():
        if bits := bits & other.get(key, 0):
            shared[key] = bits
    return shared


def count(worlds: Worlds) -> int:
    """Return how many worlds are in a set."""
    return sum(bits.bit_count() for bits in worlds.values())


def first(worlds: Worlds) -> Worlds:
    """Return the first world of a set, as a set."""
    key, bits = next(iter(worlds.items()))
    return {key: bits & -bits}


def each(worlds: Worlds) -> Iterator[Worlds]:
    """Yield every world of a set, as a set."""
    for key, bits in worlds.items():
        left = bits
        while left:
            yield {key: left & -left}
            left &= left - 1


def halves(worlds: Worlds) -> tuple[Worlds, Worlds]:
    """Return a set of more than one world in two parts, both with worlds in them."""
    if len(worlds) > 1:
        keys = list(worlds)
        low = dict.fromkeys(keys[: len(keys) // 2])
        return {key: worlds[key] for key in low}, {key: bits for key, bits in worlds.items() if key not in low}
    ((key, bits),) = worlds.items()
    begin, end = (bits & -bits).bit_length(), bits.bit_length()
    low_bits = bits & ((1 << ((begin + end) // 2)) - 1)
    return {key: low_bits}, {key: bits ^ low_bits}
