"""The comparison of two runs. Pure but for the two readers; every file that the profile knows is read once.

What it refuses to do: to be silent about files that it did not compare, to call unreadable bytes a
difference of content, and to compare runs that have nothing in common.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import field, frozen

from drfsm.dr.artifacts.compare.checks import (
    Fault,
    Held,
    alone,
    dotted,
    held,
    own_id,
    pair_of,
    read,
    together,
    unverified,
)
from drfsm.dr.artifacts.compare.fields import Treat, apart, identified, moved
from drfsm.dr.artifacts.compare.outcome import (
    CHANGED,
    CONTENT,
    EXTRA,
    FAULT,
    INTEGRITY,
    MISSING,
    ORDER,
    Bare,
    Comparison,
    Difference,
    Side,
    printable,
    short,
    shown,
)
from drfsm.dr.artifacts.compare.profile import BYTES, REQUIRED, TEXT, VALUES, Profile, Rule, matches, treatments
from drfsm.dr.artifacts.compare.reading import ABSENT, Document, Unreadable
from drfsm.dr.artifacts.compare.sources import LARGEST_FILE_BYTES, Reader
from drfsm.dr.workload import Workload

_BATCH_BYTES, _BATCH_FILES = 64 << 20, 1000  # read at once, of both sides together

Pair = tuple[str, ...]


@frozen
class _Run:
    """One side: what is there, and what was read of it."""

    reader: Reader
    sizes: Mapping[str, int]
    rules: Mapping[str, Rule]  # of the files that the profile knows
    held: dict[str, Held] = field(factory=dict)

    @classmethod
    def of(cls, reader: Reader, profile: Profile) -> "_Run":
        sizes = dict(sorted(reader.names().items()))
        known = ((name, profile.rule_for(name)) for name in sizes)
        return cls(reader, sizes, {name: rule for name, rule in known if rule})

    @property
    def pairs(self) -> frozenset[Pair]:
        return frozenset(pair_of(name, rule) for name, rule in self.rules.items() if rule.per_pair)

    @property
    def run_id(self) -> str | None:
        return self.reader.run_id or own_id(self.held)

    def told(self) -> Side:
        records = sum(each.records or 0 for each in self.held.values())
        said = self.reader.run_id or short(self.run_id or "") or None
        reader = self.reader
        return Side(reader.label, printable(reader.where), said, len(self.rules), records, unverified(self.held))


def compare(
    left: Reader,
    right: Reader,
    profile: Profile,
    workload: Workload | None = None,
    *,
    allow_run_id_drift: bool = True,
) -> Comparison:
    """Compare two runs. Raises only what the readers raise.

    ``workload``: the contract, whose required files matter whether a rule covers them or not. Each side's files must
    name their own side's run in any case; ``allow_run_id_drift`` says whether the two sides may be different runs.
    """
    ours, theirs = _Run.of(left, profile), _Run.of(right, profile)
    incomparable = _incomparable(ours, theirs)
    if incomparable:
        found = [Difference("", "", FAULT, INTEGRITY, None, None, incomparable)]
        return _outcome(profile, ours, theirs, found, incomparable=incomparable)
    found = list(_presence(ours, theirs, workload))
    both = [name for name in ours.rules if name in theirs.rules]
    big = [name for name in both if max(ours.sizes[name], theirs.sizes[name]) > LARGEST_FILE_BYTES]
    found += _too_big(big, ours, theirs)
    treat = {rule.name: treatments(rule, allow_run_id_drift=allow_run_id_drift) for rule in profile.rules}
    identical = 0
    for batch in _batches([name for name in both if name not in set(big)], ours, theirs):
        bodies = left.read(batch), right.read(batch)
        for name in batch:
            one, other = bodies[0].get(name), bodies[1].get(name)
            identical += one is not None and one == other
            found += _file(name, treat[ours.rules[name].name], (ours, one), (theirs, other))
    found += _faults(left=together(ours.held, ours.run_id), right=together(theirs.held, theirs.run_id))
    remarks = (*_in_neither(ours, theirs, profile, workload), *_not_vouched_for(ours, theirs, profile, workload))
    return _outcome(profile, ours, theirs, found, compared=len(both) - len(big), identical=identical, remarks=remarks)


def never_passes(run: Reader, profile: Profile, workload: Workload | None = None) -> tuple[str, ...]:
    """Return why no other run could ever pass a comparison with this one: it doesn't pass against itself.

    () where it could. Called before anything is frozen, with a run of the present owner of the pointers.
    """
    comparison = compare(run, run, profile, workload)
    if comparison.incomparable:
        return (comparison.incomparable,)
    faults = [difference for difference in comparison.differences if difference.left is not None]
    lines = (fault.line(run.label, run.label) for fault in faults or comparison.differences)
    return tuple(dict.fromkeys(lines))


def _outcome(
    profile: Profile,
    ours: _Run,
    theirs: _Run,
    differences: Iterable[Difference],
    *,
    compared: int = 0,
    identical: int = 0,
    incomparable: str = "",
    remarks: Sequence[str] = (),
) -> Comparison:
    both = ours.rules.keys() & theirs.rules.keys()
    lone = {name for run in (ours, theirs) for name, rule in run.rules.items() if not rule.matters} - both
    unknown = {name for run in (ours, theirs) for name in run.sizes if name not in run.rules}
    return Comparison(
        profile=profile.name,
        profile_sha256=profile.sha256,
        left=ours.told(),
        right=theirs.told(),
        compared=compared,
        identical=identical,
        not_compared=tuple(printable(name) for name in sorted(lone | unknown)),
        differences=tuple(sorted(differences, key=lambda difference: difference.weight != INTEGRITY)),
        incomparable=incomparable,
        remarks=remarks,
    )


# --- which files are there ------------------------------------------------------------------------------


def _incomparable(ours: _Run, theirs: _Run) -> str:
    for run in (ours, theirs):
        if not any(rule.matters for rule in run.rules.values()):
            return f"{run.reader.label} ({printable(run.reader.where)}) has none of the files that matter"
    if ours.pairs and theirs.pairs and not ours.pairs & theirs.pairs:
        one, other = (", ".join(sorted(map("/".join, each.pairs))) for each in (ours, theirs))
        message = f"{ours.reader.label} has {short(one)}, {theirs.reader.label} {short(other)}"
        return f"no provider and profile is in both: {message}"
    return ""


def _presence(ours: _Run, theirs: _Run, workload: Workload | None) -> Iterator[Difference]:
    """Yield what only one run has, of what a rule or the contract says that matters."""
    required = frozenset(_required(ours, theirs, workload))
    for name in sorted(ours.sizes.keys() ^ theirs.sizes.keys()):
        run, kind = (ours, MISSING) if name in ours.sizes else (theirs, EXTRA)
        rule = run.rules.get(name)
        if name in required or (rule is not None and rule.matters):
            size = shown(Bare(f"{run.sizes[name]} bytes"))
            told = (size, None) if kind == MISSING else (None, size)
            yield Difference(printable(name), "", kind, INTEGRITY, *told)


def _required(ours: _Run, theirs: _Run, workload: Workload | None) -> tuple[str, ...]:
    """Return what the contract requires of every pair that one of the runs has."""
    if workload is None:
        return ()
    pairs = workload.pairs_in(iter((*ours.sizes, *theirs.sizes)))
    return tuple(name for pair in pairs for name in workload.required(pair))


def _in_neither(ours: _Run, theirs: _Run, profile: Profile, workload: Workload | None) -> Iterator[str]:
    """Yield a remark for each file that is required, by a rule or by the contract, and that neither run has."""
    there = {(rule.name, pair_of(name, rule)) for run in (ours, theirs) for name, rule in run.rules.items()}
    names = [
        "/".join((*pair, *rule.glob[len(pair) :]))
        for rule in profile.rules
        for pair in (sorted(ours.pairs | theirs.pairs) if rule.per_pair else [()])
        if rule.presence == REQUIRED and (rule.name, pair) not in there
    ]
    covered = {rule.match for rule in profile.rules if rule.presence == REQUIRED}
    absent = (name for name in _required(ours, theirs, workload) if name not in {*ours.sizes, *theirs.sizes})
    names += [name for name in absent if not _is_covered(name, covered)]
    yield from (f"{printable(name)}: required, and neither run has it" for name in names)


def _is_covered(name: str, globs: Iterable[str]) -> bool:
    return any(matches(tuple(glob.split("/")), tuple(name.split("/"))) for glob in globs)


def _not_vouched_for(ours: _Run, theirs: _Run, profile: Profile, workload: Workload | None) -> Iterator[str]:
    """Yield one remark for what made the runs, where no file of both says it: it may be another on each side.

    A workload whose contract has no file that could say it gets none: docs/comparison.md says so once and for all.
    """
    rules = profile.rules
    if workload is not None:
        pairs = workload.pairs_in(iter((*ours.sizes, *theirs.sizes)))
        places = [place for pair in pairs for place in workload.known(pair)]
        places += [workload.report.key] if workload.report else []
        rules = tuple(rule for rule in rules if any(_is_covered(place, (rule.match,)) for place in places))
    asked = dict.fromkeys(what for rule in rules for what in rule.made_with)
    told = {
        what
        for name, file in ours.held.items()
        if name in theirs.held
        for what in file.made_with & theirs.held[name].made_with
    }
    if open_ones := [what for what in asked if what not in told]:
        yield f"not compared: {', '.join(open_ones)} (no file of both runs says it)"


def _too_big(names: Iterable[str], ours: _Run, theirs: _Run) -> Iterator[Difference]:
    why = f"more than {LARGEST_FILE_BYTES >> 20} MiB: too big to be compared"
    for name in names:
        told = _words(f"{ours.sizes[name]} bytes", f"{theirs.sizes[name]} bytes")
        yield Difference(printable(name), "", FAULT, INTEGRITY, *told, why)


def _batches(names: Sequence[str], ours: _Run, theirs: _Run) -> Iterator[list[str]]:
    """Yield the names in parts that fit into memory together."""
    batch: list[str] = []
    size = 0
    for name in names:
        here = ours.sizes[name] + theirs.sizes[name]
        if batch and (size + here > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += here
    if batch:
        yield batch


# --- one file on both sides -----------------------------------------------------------------------------


def _file(
    name: str, treat: Treat, left: tuple[_Run, bytes | None], right: tuple[_Run, bytes | None]
) -> Iterator[Difference]:
    (ours, one), (theirs, other) = left, right
    alike = one is not None and one == other
    document = _look(name, ours, one)
    if alike and isinstance(document, Document):
        theirs.held[name] = ours.held[name]
    again = document if alike else _look(name, theirs, other)
    rule = ours.rules[name]
    yield from _faults(left=_wrong(name, rule, document), right=_wrong(name, rule, again))
    if isinstance(document, Document) and isinstance(again, Document) and not alike:
        yield from _apart(name, ours, theirs, document, again, treat)


def _wrong(name: str, rule: Rule, content: Document | Fault) -> Iterable[Fault]:
    return [content] if isinstance(content, Fault) else alone(name, rule, content)


def _look(name: str, run: _Run, raw: bytes | None) -> Document | Fault:
    """Read a file and keep what is needed of it; return it, or what is wrong with it."""
    if raw is None:
        return Fault(name, "", ABSENT, "it was listed, and gone when it was to be read")
    try:
        document = read(run.rules[name], raw)
    except Unreadable as fault:
        return Fault(name, "", Bare(f"{len(raw)} bytes"), printable(str(fault)))
    run.held[name] = held(run.rules[name], raw, document)
    return document


def _apart(name: str, ours: _Run, theirs: _Run, left: Document, right: Document, treat: Treat) -> Iterator[Difference]:
    """Yield the differences of two files of different bytes."""
    rule, file = ours.rules[name], printable(name)
    if rule.read in VALUES:
        for path, kind, one, other, integrity in apart(left.value, right.value, treat):
            yield Difference(file, dotted(path), kind, INTEGRITY if integrity else CONTENT, shown(one), shown(other))
    elif rule.read == TEXT and left.value == right.value:
        return  # what differs comes after its ``until``
    elif rule.read in (BYTES, TEXT):
        one, other = (f"{run.held[name].size_bytes} bytes, sha256 {run.held[name].sha256}" for run in (ours, theirs))
        yield Difference(file, "", CHANGED, CONTENT, *_words(one, other))
    else:
        yield from _columns(file, left.header, right.header)
        yield from _records(file, rule, left, right, treat)


def _columns(file: str, left: Sequence[str], right: Sequence[str]) -> Iterator[Difference]:
    for column in left:
        if column not in right:
            yield Difference(file, "header", MISSING, INTEGRITY, shown(column), None)
    for column in right:
        if column not in left:
            yield Difference(file, "header", EXTRA, INTEGRITY, None, shown(column))
    common = [[column for column in one if column in other] for one, other in ((left, right), (right, left))]
    if common[0] != common[1]:
        yield Difference(file, "header", ORDER, CONTENT, *_words(*map(",".join, common)))


def _records(file: str, rule: Rule, left: Document, right: Document, treat: Treat) -> Iterator[Difference]:
    # What a whole column lacks is told once, by _columns, not for each record.
    lone = set(left.header) ^ set(right.header)
    ours, theirs = identified(left.records, rule.identify), identified(right.records, rule.identify)
    for name, record in ours.records.items():
        if name not in theirs.records:
            yield Difference(file, short(name), MISSING, CONTENT, shown(record), None)
            continue
        for path, kind, one, other, integrity in apart(record, theirs.records[name], treat):
            if path[0] not in lone:
                where = f"{short(name)} {dotted(path)}"
                weight = INTEGRITY if integrity else CONTENT
                yield Difference(file, where, kind, weight, shown(one), shown(other))
    for name, record in theirs.records.items():
        if name not in ours.records:
            yield Difference(file, short(name), EXTRA, CONTENT, None, shown(record))
    if rule.order:
        for name, rank, other in moved(list(ours.records), list(theirs.records)):
            yield Difference(file, short(name), ORDER, CONTENT, *_words(f"rank {rank}", f"rank {other}"))


def _faults(*, left: Iterable[Fault], right: Iterable[Fault]) -> Iterator[Difference]:
    for fault in left:
        yield Difference(printable(fault.file), fault.where, FAULT, INTEGRITY, _seen(fault), None, fault.because)
    for fault in right:
        yield Difference(printable(fault.file), fault.where, FAULT, INTEGRITY, None, _seen(fault), fault.because)


def _words(one: str, other: str) -> tuple[str | None, str | None]:
    """Return what is told of both sides in words of ours."""
    return shown(Bare(one)), shown(Bare(other))


def _seen(fault: Fault) -> str | None:
    return shown(Bare("absent") if fault.seen is ABSENT else fault.seen)
