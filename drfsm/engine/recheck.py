"""Compares the world with what a run's records say of it, for records that another computer wrote.

Whoever resumes a run from such records can't know that its guards were ever judged. So every fact behind a guard that
was passed is read again. Expected is what the last guard over a fact required, or what an action of the run set since.
Nothing is expected of a fact that an undo or the world itself (``environment``) may have changed meanwhile, nor of one
that the next row judges anyway. Pure but for ``differences``, which reads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, Reading
from drfsm.journal.undoing import leads_to_undo
from drfsm.spec.model import MachineSpec, Row

Expected = Mapping[str, frozenset[str]]
"""Fact -> the values of which it must still have one."""


@frozen
class Difference:
    """A fact that is not as the records say."""

    fact: str
    expected: frozenset[str]
    reading: Reading

    @property
    def unreadable(self) -> bool:
        """Whether nobody can say just now how it is."""
        return self.reading.value is None

    def __str__(self) -> str:
        """Say it in words."""
        expected = " or ".join(sorted(self.expected))
        if self.unreadable:
            return f"{self.fact} can't be read ({self.reading.why}); the records say that it is {expected}"
        return f"{self.fact} is {self.reading.value}; the records say that it is {expected}"


def in_words(differences: Iterable[Difference]) -> Iterator[str]:
    """Yield differences in words; facts that can't be read for one and the same reason share a line."""
    unreadable: dict[str, list[str]] = {}
    for difference in differences:
        if difference.unreadable:
            unreadable.setdefault(difference.reading.why, []).append(difference.fact)
        else:
            yield str(difference)
    yield from (f"{', '.join(facts)} can't be read ({why})" for why, facts in unreadable.items())


def expected(records: Iterable[Record], spec: MachineSpec, state: RunState) -> Expected:
    """Return what the records say of the world as it must be now, by fact."""
    known: dict[str, frozenset[str]] = {}
    for record in records:
        if not isinstance(commit := record.content, Commit):
            continue
        for check in commit.guards:
            known[check.fact] = frozenset(check.needed)
        _moved(known, spec, _row(spec, state, commit.row), undoes=bool(commit.undoes))
    if state.open is not None:  # half done: nobody knows
        _moved(known, spec, _row(spec, state, state.open.row), undoes=True)
    if state.undo and leads_to_undo(spec, state.state):
        return {}  # changes are being undone: each undo is compared with the object itself
    return _without_the_worlds_own(known, spec, state.state)


def _row(spec: MachineSpec, state: RunState, key: str) -> Row | None:
    try:
        return spec.row_of(key, state.inputs)
    except KeyError:
        return None


def _moved(known: dict[str, frozenset[str]], spec: MachineSpec, row: Row | None, *, undoes: bool) -> None:
    """Take in what a row did: what it set is expected, what depends on that is not expected to be as it was."""
    if row is None:
        return
    if undoes and not row.sets:
        known.clear()
        return
    for fact in spec.depending_on(set(row.sets)):
        known.pop(fact, None)
    if not undoes:
        known.update({fact: frozenset({value}) for fact, value in row.sets.items()})


def _without_the_worlds_own(known: Mapping[str, frozenset[str]], spec: MachineSpec, state: str) -> Expected:
    """Widen what the world may have changed by itself since, as the machine declares its environment."""
    widened: dict[str, frozenset[str]] = dict(known)
    grows = True
    while grows:
        grows = False
        for rule in spec.environment:
            if rule.states and state not in rule.states:
                continue
            if any(name in widened and not widened[name] & set(values) for name, values in rule.when.items()):
                continue
            for name, value in rule.sets.items():
                if name in widened and value not in widened[name]:
                    widened[name] |= {value}
                    grows = True
                for depending in spec.depending_on({name}) - {name}:
                    grows |= widened.pop(depending, None) is not None
    return widened


def differences(
    expected: Expected, upcoming: Sequence[Row], spec: MachineSpec, read: Callable[[set[str]], Mapping[str, Reading]]
) -> tuple[Difference, ...]:
    """Read what is expected, but for what the rows that come next judge themselves; return what is otherwise."""
    judged_anyway = {fact for row in upcoming for _, fact, _ in spec.wanted_of(row)}
    names = {name for name in expected if name not in judged_anyway and not spec.facts[name].hidden}
    readings = read(names)
    return tuple(
        Difference(name, expected[name], readings[name])
        for name in sorted(names)
        if readings[name].value not in expected[name]
    )
