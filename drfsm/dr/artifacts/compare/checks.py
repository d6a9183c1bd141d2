"""What one run's files must be by themselves, whatever the other run's are. Every fault is one of integrity.

Reads a file by its rule, looks at it alone (records that can't be told apart, a status that isn't success),
and keeps the little that is needed to hold the files of a run against each other: whether they all are of
this run, have as many records as another file says, and the bytes that another file describes. Pure;
called by compare.py.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from attrs import frozen

from drfsm.dr.artifacts.compare.fields import identified, same
from drfsm.dr.artifacts.compare.outcome import Bare, printable, short
from drfsm.dr.artifacts.compare.profile import (
    BYTES,
    CSV_RECORDS,
    JSON,
    OBJECT,
    RECORDS,
    TEXT,
    Path,
    Pattern,
    Rule,
    find,
)
from drfsm.dr.artifacts.compare.reading import (
    ABSENT,
    Document,
    csv_records,
    json_object,
    json_records,
    json_value,
    text_lines,
)
from drfsm.dr.artifacts.run_report import says_success

_TOLD = 5  # numbers of records that a fault names


@frozen
class Fault:
    """Something wrong with one file of one run."""

    file: str
    where: str
    seen: Any
    because: str


@frozen
class Held:
    """What is kept of a file that was read."""

    rule: Rule
    size_bytes: int
    sha256: str
    records: int | None
    run_ids: tuple[tuple[str, Any], ...]  # (where, what it says)
    counts: tuple[tuple[str, Any, str], ...]  # (where, what it says, the rule whose records are meant)
    described: tuple[tuple[str, Any], ...]  # (where, {path, sha256, bytes})
    made_with: frozenset[str] = frozenset()  # of what it says what made the run


def read(rule: Rule, raw: bytes) -> Document:
    """Read a file as its rule says. Raises Unreadable."""
    if rule.read == CSV_RECORDS:
        return csv_records(raw, rule.delimiter)
    if rule.read == BYTES:
        return Document()
    if rule.read == TEXT:
        return text_lines(raw, rule.until)
    if rule.read == JSON:
        return json_value(raw)
    return json_object(raw) if rule.read == OBJECT else json_records(raw)


def held(rule: Rule, raw: bytes, document: Document) -> Held:
    """Return what is kept of a file."""
    return Held(
        rule,
        len(raw),
        hashlib.sha256(raw).hexdigest(),
        len(document.records) if rule.read in RECORDS else None,
        tuple((dotted(path), value) for pattern in rule.run_id for path, value in find(document.value, pattern)),
        tuple(
            (dotted(path), value, counted)
            for pattern, counted in rule.counts.items()
            for path, value in find(document.value, pattern)
        ),
        tuple((dotted(path), value) for pattern in rule.describes for path, value in find(document.value, pattern)),
        frozenset(what for what, patterns in rule.made_with.items() if _says_any(document.value, patterns)),
    )


def _says_any(value: Any, patterns: Iterable[Pattern]) -> bool:
    """Return whether a document says anything at one of these places; null says nothing."""
    return any(said is not None for pattern in patterns for _, said in find(value, pattern))


def alone(name: str, rule: Rule, document: Document) -> Iterator[Fault]:
    """Yield what is wrong with a file, looked at alone."""
    if rule.read in RECORDS:
        yield from _records(name, rule, document)
    for pattern, wanted in rule.expects.items():
        found = list(find(document.value, pattern)) or [(pattern, ABSENT)]
        for path, value in found:
            if not any(same(value, each) for each in wanted):
                why = f"must be {' or '.join(map(str, wanted))}"
                yield Fault(name, dotted(path), value, short(why))
    for pattern, word in rule.succeeded.items():
        for path, value in find(document.value, pattern):
            if not says_success(value, word):
                yield Fault(name, dotted(path), value, short(f"a successful run says {word}"))
    for pattern in (*rule.run_id, *rule.counts):
        if next(find(document.value, pattern), None) is None:
            yield Fault(name, dotted(pattern), ABSENT, "must be there")


def _records(name: str, rule: Rule, document: Document) -> Iterator[Fault]:
    found = identified(document.records, rule.identify)
    for record, numbers in found.repeated.items():
        yield Fault(name, short(record), Bare(f"records {_listed(numbers)}"), "one name, several records")
    if found.nameless:
        why = f"has none of {', '.join(rule.identify)}"
        yield Fault(name, "", Bare(f"records {_listed(found.nameless)}"), why)


def together(files: Mapping[str, Held], run_id: str | None) -> Iterator[Fault]:
    """Yield where the files of one run contradict each other, or the run's id."""
    beside = _by_rule(files)
    for name, file in files.items():
        for where, value in file.run_ids:
            if value != run_id:
                yield Fault(name, where, value, short(f"the run is {run_id}"))
        for where, value, rule in file.counts:
            yield from _counted(name, where, value, beside(name, rule))
        if file.rule.as_many_as:
            yield from _counted(name, "", Decimal(file.records or 0), beside(name, file.rule.as_many_as))
        for where, entry in file.described:
            yield from _described(name, where, entry, files)


def own_id(files: Mapping[str, Held]) -> str | None:
    """Return the run id that the first file says that says any: the others must agree."""
    said = (value for file in files.values() for _, value in file.run_ids)
    return next((value for value in said if isinstance(value, str)), None)


def unverified(files: Mapping[str, Held]) -> int:
    """Return how many descriptions are of files that were not read: they are neither right nor wrong."""
    entries = (entry for file in files.values() for _, entry in file.described)
    return sum(_named(entry, files) is None for entry in entries)


def _counted(name: str, where: str, value: Any, beside: Mapping[str, Held]) -> Iterator[Fault]:
    if not beside:
        return
    number = sum(each.records or 0 for each in beside.values())
    if value != number or isinstance(value, bool):
        why = f"{', '.join(sorted(beside))} has {number} records"
        yield Fault(name, where, value, short(why))


def _by_rule(files: Mapping[str, Held]) -> Callable[[str, str], Mapping[str, Held]]:
    """Return what finds the read files of a rule that belong to a file: those of its provider and profile.

    A file or a rule that is not about a provider and profile is about the whole run.
    """
    found: dict[tuple[str, Path], dict[str, Held]] = {}
    for name, file in files.items():
        for place in {pair_of(name, file.rule), ()}:
            found.setdefault((file.rule.name, place), {})[name] = file

    def beside(name: str, rule: str) -> Mapping[str, Held]:
        nearest = found.get((rule, pair_of(name, files[name].rule)))
        if nearest is not None:
            return nearest
        whole = found.get((rule, ()), {})
        return {} if any(each.rule.per_pair for each in whole.values()) else whole

    return beside


def pair_of(name: str, rule: Rule) -> Path:
    """Return the provider and profile that a file is about; () for one that is about the whole run."""
    return tuple(name.split("/")[:2]) if rule.per_pair else ()


def _described(name: str, where: str, entry: Any, files: Mapping[str, Held]) -> Iterator[Fault]:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        yield Fault(name, where, entry, "must describe a file: path, sha256, bytes")
        return
    named = _named(entry, files)
    if named is None:
        return
    file = files[named]
    for field, value in (("bytes", Decimal(file.size_bytes)), ("sha256", file.sha256)):
        said = entry.get(field)
        if field in entry and not same(said, value):
            yield Fault(name, f"{where}.{field}", entry[field], printable(f"{named} has {value}"))


def _named(entry: Any, files: Mapping[str, Held]) -> str | None:
    """Return the read file that a description means: its path ends with the file's name in the run.

    Else, as reports have paths of the workload's own disk, the only file of the run that has the path's last name.
    """
    parts = str(entry.get("path", "")).split("/") if isinstance(entry, dict) else []
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    if (named := next((tail for tail in tails if tail in files), None)) or not parts:
        return named
    alike = [name for name in files if name.rpartition("/")[2] == parts[-1]]
    return alike[0] if len(alike) == 1 else None


def dotted(path: Path | Pattern) -> str:
    """Return a path as profiles write it, shortened."""
    return short(".".join(each.replace(".", "\\.") for each in path))


def _listed(numbers: Any) -> str:
    first_numbers = ", ".join(map(str, numbers[:_TOLD]))
    return f"{first_numbers} and {len(numbers) - _TOLD} more" if len(numbers) > _TOLD else first_numbers
