"""What a comparison profile says, as values: which files matter, and what in them may differ.

Pure. declare.py makes these of JSON; compare.py acts on them. Patterns are globs over parts: the parts of
a file's name lie between slashes, those of a field's path between dots. ``*`` stands for one part (or some
of it), ``**`` for any number of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from attrs import field, frozen

Path = tuple[str, ...]
"""A field's place: names of keys, numbers of elements."""
Pattern = tuple[str, ...]

OBJECT, JSON_RECORDS, CSV_RECORDS, BYTES = "json_object", "json_records", "csv_records", "bytes"
JSON, TEXT = "json", "text"
"""Any JSON value; a text, line by line."""
RECORDS = (JSON_RECORDS, CSV_RECORDS)
VALUES = (OBJECT, JSON)
READS = (*VALUES, *RECORDS, TEXT, BYTES)

REQUIRED, PAIRED, OPTIONAL = "required", "paired", "optional"
PRESENCES = (REQUIRED, PAIRED, OPTIONAL)
"""On both sides, and a remark where neither has it; on both or on neither; compared where both have it."""

_EXACT = Context(prec=100, traps=[])
_FARTHEST = 40  # powers of ten; beyond them a tolerance means nothing and _EXACT would round
_UNESCAPED_DOT = re.compile(r"(?<!\\)\.")


@frozen
class Tolerance:
    """By how much two numbers may differ: the larger of both allowances."""

    absolute: Decimal = Decimal(0)
    relative: Decimal = Decimal(0)

    def allows(self, left: Decimal, right: Decimal) -> bool:
        """Return whether these two are near enough, whichever comes first."""
        if left == right:
            return True
        if not all(each.is_finite() and abs(each.adjusted()) <= _FARTHEST for each in (left, right)):
            return False
        share = _EXACT.multiply(self.relative, max(left.copy_abs(), right.copy_abs()))
        return _EXACT.subtract(left, right).copy_abs() <= max(self.absolute, share)


@frozen
class Treatment:
    """How one field is compared."""

    volatile: bool = False
    integrity: bool = False
    tolerance: Tolerance | None = None
    keyed: tuple[str, ...] = ()


@frozen
class Rule:
    """One kind of file. Field patterns are relative to the object, or to each record."""

    name: str
    match: str
    read: str
    presence: str
    because: str = ""
    volatile: tuple[Pattern, ...] = ()  # not compared
    integrity: tuple[Pattern, ...] = ()  # a difference here is one of integrity
    numbers: Mapping[Pattern, Tolerance] = field(factory=dict)
    keyed: Mapping[Pattern, tuple[str, ...]] = field(factory=dict)  # lists whose elements have names, not ranks
    made_with: Mapping[str, tuple[Pattern, ...]] = field(factory=dict)  # what -> where it says what made the run
    run_id: tuple[Pattern, ...] = ()  # must be the run's own
    expects: Mapping[Pattern, tuple[Any, ...]] = field(factory=dict)  # each side must say one of these
    succeeded: Mapping[Pattern, str] = field(factory=dict)  # the contract's word of a successful run, if it says any
    counts: Mapping[Pattern, str] = field(factory=dict)  # a number of records, of that rule's file beside
    describes: tuple[Pattern, ...] = ()  # {path, sha256, bytes} of files of the same run
    identify: tuple[str, ...] = ()  # the first of these that a record has is its name
    order: bool = False
    as_many_as: str = ""  # the rule whose file beside must have as many records
    delimiter: str = ","
    until: str = ""  # of a text: compared up to the line that begins so

    @property
    def glob(self) -> Pattern:
        """The parts of ``match``."""
        return tuple(self.match.split("/"))

    @property
    def per_pair(self) -> bool:
        """Whether this file exists once for every provider and profile: its name begins with ``*/*/``."""
        return self.match.startswith("*/*/")

    @property
    def matters(self) -> bool:
        """Whether a run without such a file lacks something."""
        return self.presence != OPTIONAL


@frozen
class Profile:
    """All rules; the first that matches a file's name is the file's."""

    name: str
    sha256: str
    rules: tuple[Rule, ...]
    because: str = ""

    def rule_for(self, name: str) -> Rule | None:
        """Return the rule of a file, None if the profile does not know it."""
        parts = tuple(name.split("/"))
        return next((rule for rule in self.rules if matches(rule.glob, parts)), None)


def pattern_of(text: str) -> Pattern:
    """Return the parts of a dotted pattern; a dot that belongs to a name is written with a backslash."""
    return tuple(each.replace("\\.", ".") for each in _UNESCAPED_DOT.split(text))


def matches(pattern: Pattern, parts: Path) -> bool:
    """Return whether a pattern covers exactly these parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(pattern[1:], parts[start:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(pattern[1:], parts[1:])


def find(value: Any, pattern: Pattern, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) of everything in a JSON value that a pattern without ``**`` covers."""
    if not pattern:
        yield path, value
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in inside:
        if fnmatchcase(str(name), pattern[0]):
            yield from find(child, pattern[1:], (*path, str(name)))


def treatments(rule: Rule, *, allow_run_id_drift: bool) -> Callable[[Path], Treatment]:
    """Return the function that says how each field of a rule's files is compared."""
    # Of what has one right value, any other is a fault of that side: not told a second time as a difference.
    fixed = (pattern for pattern, wanted in rule.expects.items() if len(wanted) == 1)
    integrity = (*rule.integrity, *(pattern for patterns in rule.made_with.values() for pattern in patterns))
    volatile = (*rule.volatile, *fixed, *rule.succeeded, *(rule.run_id if allow_run_id_drift else ()))

    @lru_cache(maxsize=8192)
    def treatment(path: Path) -> Treatment:
        return Treatment(
            volatile=any(matches(each, path) for each in volatile),
            integrity=any(matches(each, path) for each in integrity),
            tolerance=next((number for pattern, number in rule.numbers.items() if matches(pattern, path)), None),
            keyed=next((each for pattern, each in rule.keyed.items() if matches(pattern, path)), ()),
        )

    return treatment
