"""What is reached from where, step by step. Pure; used by model.py, soundness.py and check.py."""

from collections.abc import Collection, Iterable, Mapping

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


def leading_to_circles(leads_to: Onward) -> set[str]:
    """Return the things from which a circle is reached, none if there is no circle. Looks at each step once."""
    ways_on = {start: len(tos) for start, tos in leads_to.items()}
    back = onward((to, start) for start, tos in leads_to.items() for to in tos)
    ends = [to for to in back if to not in leads_to]
    while ends:
        for start in back.get(ends.pop(), ()):
            ways_on[start] -= 1
            if not ways_on[start]:
                ends.append(start)
    return {start for start, count in ways_on.items() if count}
