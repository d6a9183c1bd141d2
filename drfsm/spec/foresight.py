"""Which guards of later rows can be judged before anything moves, and of the others why they can't.

A row that says ``foresees: true`` judges, beside its own guards, those of the rows that may follow which say
``foreseen: refuse`` or ``warn``. A guard can be judged there only as long as its facts mean what they will mean at its
own row. A row in between may set one of them, wait for it, or bring about what it reads (``known_after``): then what is
read today says nothing. The same holds for what a person gives as arguments (``amends``).

The rows that may follow are those that the runner takes for the run's inputs; in a state where a person decides, all
that lead on. Owns the rules of ``foreseen`` (``unsound``), the table for the docs (``outlooks``), and what engine and
audit both ask (``ahead``). Pure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.spec.graph import closure, components, onward
from drfsm.spec.model import By, Foreseen, Guard, MachineSpec, Row

Fault = tuple[int, str, str]
_Rows = Mapping[str, tuple[Row, ...]]  # state -> the rows by which a run goes on from there


@frozen
class Ahead:
    """A guard that can be judged now, and the first row at which it would stop the run."""

    guard: Guard
    row: Row

    def waits(self, fact: str, value: str | None) -> bool:
        """Return whether the row would wait for another value, instead of being refused at once."""
        wait = self.row.wait
        return wait is not None and value not in wait.give_up.get(fact, ())

    def level(self, fact: str, value: str | None) -> Foreseen:
        """Return whether this value refuses or warns. What the row would wait for is no reason to refuse."""
        return Foreseen.WARN if self.waits(fact, value) else self.guard.foreseen


def ahead(spec: MachineSpec, start: Row, inputs: Mapping[str, Any]) -> tuple[Ahead, ...]:
    """Return the guards of later rows that a row with ``foresees`` judges for these inputs, as they are declared."""
    if not start.foresees:
        return ()
    way = _Way(spec, start, lambda row: row.selected(inputs))
    first: dict[str, Ahead] = {}
    for row in way.rows:
        for name in row.guards:
            guard = spec.guards[name]
            if guard.foreseen is not Foreseen.NO and name not in first and way.leaves_alone(guard, row):
                first[name] = Ahead(guard, row)
    return tuple(first.values())


class _Way:
    """The rows by which a run may go on from a row, and what they change."""

    def __init__(self, spec: MachineSpec, start: Row, selected: Callable[[Row], bool]) -> None:
        self._spec, self._start = spec, start
        self._changes_of: dict[int, set[str]] = {}  # by a row's identity
        self._rows_of = {state: tuple(self._onward(state, selected)) for state in spec.states}
        self._changed = self._changed_before()
        taken = {id(row) for state in self._changed for row in self._rows_of[state]}
        self.rows = tuple(row for row in spec.rows if id(row) in taken)
        self._rows_with: dict[str, list[Row]] = {}
        for row in self.rows:
            for name in row.guards:
                self._rows_with.setdefault(name, []).append(row)

    def _onward(self, state: str, selected: Callable[[Row], bool]) -> Iterator[Row]:
        leaving = self._spec.rows_by_source.get(state, ())
        rows = [row for row in leaving if row.foreach is None and selected(row)]
        by_runner = [row for row in rows if row.by is By.RUNNER]
        back = {state, *self._spec.undo_states}
        yield from by_runner or (row for row in rows if row.by is By.OPERATOR and row.to not in back)

    def changes(self, row: Row) -> set[str]:
        """Return the facts that say something else once a row is taken."""
        if id(row) not in self._changes_of:
            self._changes_of[id(row)] = self._all_changes(row)
        return self._changes_of[id(row)]

    def _all_changes(self, row: Row) -> set[str]:
        waited = {fact for _, fact, _ in self._spec.wanted_of(row)} if row.wait else set()
        return self._spec.depending_on({*row.sets, *waited, *self._spec.brought_about(row)})

    def _changed_before(self) -> Mapping[str, set[str]]:
        """Return, for each state that is reached, the facts that some way there changes.

        States on a circle lead to each other, so the same is changed before each of them: they share one set. In the
        order of the ways each row is looked at once.
        """
        leads_to = onward((row.source, row.to) for rows in self._rows_of.values() for row in rows)
        reached = closure({self._start.to}, leads_to)
        steps = ((state, to) for state in self._spec.states if state in reached for to in leads_to.get(state, ()))
        groups = components({self._start.to: (), **onward(steps)})
        changed: dict[str, set[str]] = {}
        for group in groups:
            shared: set[str] = set()
            changed |= {state: shared for state in group}  # noqa: C420  one set on purpose
        for group in reversed(groups):
            within = set(group)
            rows = [row for state in group for row in self._rows_of[state]]
            for row in sorted(rows, key=lambda row: row.to not in within):  # a circle's own changes, before what leaves
                changed[row.to] |= changed[row.source] | self.changes(row)
        return changed

    def leaves_alone(self, guard: Guard, row: Row) -> bool:
        """Whether no way to a row changes what its guard requires, and no person's arguments do."""
        return guard.name not in self._start.guards and not row.amends and not guard.facts & self._changed[row.source]

    def rows_with(self, guard: Guard) -> Sequence[Row]:
        """Return the rows that have a guard, as they are declared."""
        return self._rows_with.get(guard.name, ())

    def first_change(self, guard: Guard) -> Row:
        """Return a row that changes what a guard requires: the first that does so itself, else the first at all."""
        changing = [row for row in self.rows if self.changes(row) & guard.facts]
        itself = (row for row in changing if {*row.sets, *self._spec.brought_about(row)} & set(guard.requires))
        return next(itself, changing[0])

    def reaches(self, guard: Guard) -> bool:
        """Whether at least one way leads to a row with this guard, and leaves the guard's facts alone."""
        if any(self.leaves_alone(guard, row) for row in self.rows_with(guard)):
            return True
        free = [row for row in self.rows if not self.changes(row) & guard.facts]
        reached = closure({self._start.to}, onward((row.source, row.to) for row in free))
        at = (row for row in self.rows if guard.name in row.guards and row.source in reached)
        return guard.name not in self._start.guards and any(not row.amends for row in at)


def _any_way(spec: MachineSpec, start: Row) -> _Way:
    """Return the rows that may follow for whichever inputs select the row itself."""

    def fits(row: Row) -> bool:
        return all(set(values) & set(start.when.get(name, values)) for name, values in row.when.items())

    return _Way(spec, start, fits)


def _refusing(spec: MachineSpec) -> set[str]:
    """Return the states in which a failure ends the run as refused, for some inputs."""
    return {row.source for row in spec.rows if row.by is By.FAILURE and spec.finals.get(row.to) == "refused"}


# --- what a declaration can get wrong -----------------------------------------------------------------------------


def unsound(spec: MachineSpec) -> Iterator[Fault]:
    """Yield (line, what is wrong, the mend) where foreseeing says nothing, refuses good runs, or leaves a guard out."""
    if not _all_declared(spec):
        return
    starts = [row for row in spec.rows if row.foresees]
    foreseen = [guard for guard in spec.guards.values() if guard.foreseen is not Foreseen.NO]
    for row in starts:
        if row.source not in _refusing(spec):
            what = f"{row.trigger} foresees, and a failure in {row.source} does not end as refused"
            yield row.line, what, "add the failure's row, or foresee where nothing was changed yet"
    if starts and not foreseen:
        yield starts[0].line, f"{starts[0].trigger} foresees, and no guard says foreseen", "add it to a guard"
    ways = [_any_way(spec, row) for row in starts]
    for guard in foreseen:
        if not starts:
            mend = "add `foresees: true` to the row that checks everything first, or remove foreseen"
            yield guard.line, f"guard {guard.name} says foreseen, and no row foresees", mend
        elif not any(way.reaches(guard) for way in ways):
            what = f"guard {guard.name} can't be foreseen: on every way something changes what it requires"
            yield guard.line, what, "remove foreseen"
        yield from _refuses_good_runs(spec, guard)
        yield from _never_refuses(spec, guard, ways)
    for outlook in _outlooks(spec, starts, ways):
        if outlook.guard.foreseen is Foreseen.NO and not outlook.why:
            what = f"guard {outlook.guard.name} can be judged before anything moves, and is not"
            yield outlook.guard.line, what, "write `foreseen: refuse` or `warn`"


def _all_declared(spec: MachineSpec) -> bool:
    """Whether every guard and fact that is named is declared: declare.py tells of others, and nothing can be said."""
    guards = {name for row in spec.rows for name in row.guards}
    facts = {fact for guard in spec.guards.values() for fact in guard.facts}
    return guards <= spec.guards.keys() and facts <= spec.facts.keys()


def _refuses_good_runs(spec: MachineSpec, guard: Guard) -> Iterator[Fault]:
    """Find what the world may mend by itself until the guard's own row is taken. That somebody meddles is no hope."""
    if guard.foreseen is not Foreseen.REFUSE:
        return
    for rule in (rule for rule in spec.environment if not (rule.meddles or rule.mends)):  # what people do is no hope
        mended = {fact for fact, value in rule.sets.items() if value in guard.requires.get(fact, ())}
        mended |= (spec.depending_on(set(rule.sets)) - set(rule.sets)) & set(guard.requires)
        if mended:
            facts = ", ".join(sorted(mended))
            what = f"guard {guard.name} refuses beforehand what may become right by itself ({facts}, line {rule.line})"
            yield guard.line, what, "write `foreseen: warn`"
            return


def _never_refuses(spec: MachineSpec, guard: Guard, ways: Sequence[_Way]) -> Iterator[Fault]:
    """Find a guard that says ``refuse``, and whose row waits for every value that it refuses."""
    if guard.foreseen is not Foreseen.REFUSE:
        return
    rows = [row for way in ways for row in way.rows_with(guard) if way.leaves_alone(guard, row)]
    if not rows:
        return
    aheads = [Ahead(guard, row) for row in rows]
    refused = [(fact, value) for fact in guard.requires for value in spec.facts[fact].values]
    refused = [(fact, value) for fact, value in refused if value not in guard.requires[fact]]
    if all(ahead.waits(fact, value) for ahead in aheads for fact, value in refused):
        triggers = ", ".join(sorted({row.trigger for row in rows}))
        what = f"guard {guard.name} says refuse, and never does: {triggers} would wait for what it requires"
        yield guard.line, what, "write `foreseen: warn`, or name in the row's wait what it gives up at"


# --- the table for the docs ---------------------------------------------------------------------------------------


@frozen
class Outlook:
    """What is known beforehand of a guard. ``why``: how it comes that it is not judged then, "" where it is."""

    guard: Guard
    row: Row  # the first that has it
    why: str = ""


def outlooks(spec: MachineSpec) -> Iterator[Outlook]:
    """Return every guard of the rows that follow one with ``foresees``, as they are declared, a person's rows last."""
    starts = [row for row in spec.rows if row.foresees]
    return _outlooks(spec, starts, [_any_way(spec, row) for row in starts])


def _outlooks(spec: MachineSpec, starts: Sequence[Row], ways: Sequence[_Way]) -> Iterator[Outlook]:
    after = closure({row.to for row in starts}, onward((row.source, row.to) for row in spec.rows))
    told = {name for row in spec.rows if row.source not in after for name in row.guards}
    refusing = _refusing(spec)
    for start, way in zip(starts, ways, strict=True):
        before = [row for row in (start, *way.rows) if row.source in refusing]
        for row in way.rows:
            for guard in (spec.guards[name] for name in row.guards if name not in told):
                told.add(guard.name)
                yield Outlook(guard, row, _why_not(spec, way, before, row, guard))
    for row in (row for row in spec.rows if row.source in after):
        for guard in (spec.guards[name] for name in row.guards if name not in told):
            told.add(guard.name)
            yield Outlook(guard, row, f"only {row.trigger} requires it, which is not on the way")


def _why_not(spec: MachineSpec, way: _Way, before: Sequence[Row], row: Row, guard: Guard) -> str:
    """Say why a guard is not judged beforehand; "" where it is, or where there is no reason."""
    every_value = all(set(values) == set(spec.facts[fact].values) for fact, values in guard.requires.items())
    asked = {fact: other.trigger for other in before for _, fact, _ in spec.wanted_of(other)}
    why = ""
    if guard.foreseen is not Foreseen.NO:
        pass
    elif row in before:
        why = f"nothing has moved yet at {row.trigger}: it refuses there"
    elif row.amends:
        why = f"it is judged with what the person gives to {row.trigger}"
    elif every_value:
        why = "every value will do: it asks only that the fact can be read"
    elif not way.leaves_alone(guard, row):
        other = way.first_change(guard)
        why = f"{other.trigger} {'waits for' if other.wait else 'changes'} what it requires, and comes first"
    elif guard.facts <= asked.keys():
        triggers = dict.fromkeys(asked[fact] for fact in sorted(guard.facts))
        why = f"its facts are read before anything moves, at {', '.join(triggers)}"
    return why
