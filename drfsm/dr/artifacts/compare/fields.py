"""Compares two values, field by field, and two lists of records, by their names. Pure.

Called by compare.py. Everything is linear in the number of records and fields, but for the search of the
records that were moved (n log n).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import frozen

from drfsm.claims import is_name
from drfsm.dr.artifacts.compare.outcome import CHANGED, EXTRA, MISSING
from drfsm.dr.artifacts.compare.profile import Path, Tolerance, Treatment
from drfsm.dr.artifacts.compare.reading import ABSENT

Treat = Callable[[Path], Treatment]
Apart = tuple[Path, str, Any, Any, bool]
"""(path, kind, left, right, whether it is one of integrity)"""


def apart(left: Any, right: Any, treat: Treat, path: Path = ()) -> Iterator[Apart]:
    """Yield every field in which two values differ and may not."""
    treatment = treat(path)
    if treatment.volatile:
        return
    if isinstance(left, dict) and isinstance(right, dict):
        yield from _inside(left, right, treat, path)
    elif isinstance(left, list) and isinstance(right, list):
        yield from _inside(*_as_tables(left, right, treatment.keyed), treat, path)
    elif not same(left, right, treatment.tolerance):
        kind = EXTRA if left is ABSENT else MISSING if right is ABSENT else CHANGED
        yield path, kind, left, right, treatment.integrity


def same(left: Any, right: Any, tolerance: Tolerance | None = None) -> bool:
    """Return whether two scalars are alike: true is not 1, "1" is not 1, 1.0 is 1; a SHA-256 is one in either case."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Decimal):
        return left == right if tolerance is None else tolerance.allows(left, right)
    if left == right or _digest(left) == _digest(right) is not None:
        return True
    # CSV knows only texts: where a number is declared, it is read as one.
    if tolerance is None or not isinstance(left, str):
        return False
    numbers = _number(left), _number(right)
    return numbers[0] is not None and numbers[1] is not None and tolerance.allows(numbers[0], numbers[1])


def _digest(text: object) -> str | None:
    """Return a SHA-256 in lower case, None for any other text: a digest is the same in either case."""
    return text.lower() if isinstance(text, str) and is_name("sha256", text.lower()) else None


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _inside(left: Mapping[str, Any], right: Mapping[str, Any], treat: Treat, path: Path) -> Iterator[Apart]:
    for name, value in left.items():
        yield from apart(value, right.get(name, ABSENT), treat, (*path, name))
    for name, value in right.items():
        if name not in left:
            yield from apart(ABSENT, value, treat, (*path, name))


def _as_tables(
    left: Sequence[Any], right: Sequence[Any], keyed: Sequence[str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return two lists as tables: by the names of their elements if all have one of their own, else by number."""
    if keyed and all(isinstance(each, dict) for each in (*left, *right)):
        named = identified(left, keyed), identified(right, keyed)
        if not any(reference.repeated or reference.nameless for reference in named):
            return named[0].records, named[1].records
    return _numbered(left), _numbered(right)


def _numbered(elements: Sequence[Any]) -> Mapping[str, Any]:
    return {str(number): each for number, each in enumerate(elements)}


# --- records --------------------------------------------------------------------------------------------


@frozen
class Identified:
    """Records by their name, in their order. Of several with one name the first is kept."""

    records: Mapping[str, Mapping[str, Any]]
    repeated: Mapping[str, Sequence[int]]  # name -> the numbers of all records that have it
    nameless: Sequence[int]  # the numbers of those that have none


def identified(records: Sequence[Mapping[str, Any]], identify: Sequence[str]) -> Identified:
    """Name each record by the first of these fields that says anything. Numbers count from 1."""
    by_identity: dict[str, Mapping[str, Any]] = {}
    first: dict[str, int] = {}
    repeated: dict[str, list[int]] = {}
    nameless = []
    for number, record in enumerate(records, start=1):
        name = _name(record, identify)
        if name is None:
            nameless.append(number)
        elif name in by_identity:
            repeated.setdefault(name, [first[name]]).append(number)
        else:
            by_identity[name], first[name] = record, number
    return Identified(by_identity, repeated, nameless)


def _name(record: Mapping[str, Any], identify: Sequence[str]) -> str | None:
    for field in identify:
        value = record.get(field)
        if isinstance(value, str | Decimal) and not isinstance(value, bool) and value != "":
            return f"{field}={value}"
    return None


def moved(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield (name, rank in left, rank in right) of the fewest records whose move explains two orders.

    Only the names that both sides have count, and ranks are those among them, from 1: a record that was
    added does not move those below it.
    """
    ours, theirs = frozenset(left), frozenset(right)
    rank = {name: number for number, name in enumerate((each for each in right if each in ours), start=1)}
    common = [name for name in left if name in theirs]
    ranks = [rank[name] for name in common]
    stay = _longest_rising(ranks)
    for number, (name, other) in enumerate(zip(common, ranks, strict=True), start=1):
        if other not in stay:
            yield name, number, other


def _longest_rising(ranks: Sequence[int]) -> frozenset[int]:
    """Return a longest rising part of distinct ranks (patience sorting, with the way back kept)."""
    ends: list[int] = []  # the smallest end of a rising part of each length
    before: dict[int, int | None] = {}
    for rank in ranks:
        at = bisect_left(ends, rank)
        before[rank] = ends[at - 1] if at else None
        ends[at : at + 1] = [rank]
    rising, step = set(), ends[-1] if ends else None
    while step is not None:
        rising.add(step)
        step = before[step]
    return frozenset(rising)
