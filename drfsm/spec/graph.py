"""What is reached from where, step by step. Pure; used by model.py, foresight.py, soundness.py and check/."""

from collections.abc import Collection, Iterable, Iterator, Mapping

Onward = Mapping[str, Collection[str]]
"""A thing -> the things that one step leads to."""


def onward(steps: Iterable[tuple[str, str]]) -> Onward:
    """Return where each thing leads, in the order of ``steps``: pairs (from, to)."""
    leads_to: dict[str, dict[str, None]] = {}
    for start, to in steps:
        leads_to.setdefault(start, {})[to] = None
    return leads_to


def closure(start: Iterable[str], leads_to: Onward) -> set[str]:
    """Return all that is reached from ``start``, itself included. Looks at each step once."""
    reached = set(start)
    todo = list(reached)
    while todo:
        more = [to for to in leads_to.get(todo.pop(), ()) if to not in reached]
        reached.update(more)
        todo += more
    return reached


def components(leads_to: Onward) -> list[tuple[str, ...]]:
    """Return the things in groups: each group holds what leads to each other, and comes after all that it leads to.

    Looks at each step once (Tarjan's algorithm, with a stack of its own instead of recursion).
    """
    return list(_Components(leads_to).found())


class _Components:
    """One search: the number that each thing got, the oldest that it leads back to, and what is not in a group yet."""

    def __init__(self, leads_to: Onward) -> None:
        self._leads_to = leads_to
        self._numbers: dict[str, int] = {}
        self._oldest: dict[str, int] = {}
        self._open: dict[str, None] = {}

    def found(self) -> Iterator[tuple[str, ...]]:
        """Yield the groups."""
        for start in self._leads_to:
            if start not in self._numbers:
                yield from self._from(start)

    def _from(self, start: str) -> Iterator[tuple[str, ...]]:
        way = [(start, self._entered(start))]
        while way:
            name, following = way[-1]
            after = next((to for to in following if self._is_new(name, to)), None)
            if after is not None:
                way.append((after, self._entered(after)))
                continue
            way.pop()
            if way:
                before = way[-1][0]
                self._oldest[before] = min(self._oldest[before], self._oldest[name])
            if self._oldest[name] == self._numbers[name]:
                yield self._closed(name)

    def _entered(self, name: str) -> Iterator[str]:
        self._numbers[name] = self._oldest[name] = len(self._numbers)
        self._open[name] = None
        return iter(self._leads_to.get(name, ()))

    def _is_new(self, name: str, to: str) -> bool:
        if to not in self._numbers:
            return True
        if to in self._open:
            self._oldest[name] = min(self._oldest[name], self._numbers[to])
        return False

    def _closed(self, name: str) -> tuple[str, ...]:
        group: list[str] = []
        while not group or group[-1] != name:
            group.append(self._open.popitem()[0])
        return tuple(group)


def on_circles(leads_to: Onward) -> set[str]:
    """Return the things that lead back to themselves."""
    groups = components(leads_to)
    return {name for group in groups for name in group if len(group) > 1 or name in leads_to.get(name, ())}
