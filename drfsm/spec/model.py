"""What may happen: the frozen specification of one declared machine.

Owns the types and their pure questions. Reads no YAML (declare.py does), knows no world and no journal. Every higher
floor reads it; none changes it.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from drfsm.spec.graph import Onward, closure, onward

Required = Mapping[str, tuple[str, ...]]
"""Fact name -> the values that satisfy it."""


def _freeze(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))


def _table() -> Any:
    return field(factory=dict, converter=_freeze)


class Effect(StrEnum):
    """Whether an action may be repeated after a crash; recovery.py's table says what follows."""

    NONE = "none"  # it changes nothing outside
    IDEMPOTENT = "idempotent"  # repeating it gives the same result
    ONCE = "once"  # never repeated blindly: an operator decides


class By(StrEnum):
    """What fires a row."""

    RUNNER = "runner"  # the runner, as soon as its guards hold
    OPERATOR = "operator"  # an operator's command, with recorded arguments
    FAILURE = "failure"  # a failure that has a safe state to go to


class Foreseen(StrEnum):
    """What becomes of a guard that a row with ``foresees`` judges long before its own row is taken."""

    REFUSE = "refuse"  # what does not hold refuses the run there
    WARN = "warn"  # it is told, and the run goes on
    NO = "no"  # it is judged at its own row only


@frozen
class FactSpec:
    """A named reading of the world with a few declared values; ``unknown`` is always possible beside them.

    A *hidden* one is never read: the environment sets it and a ``never`` rule names it, so that the checker can
    follow what no observation shows.
    """

    name: str
    values: tuple[str, ...]
    reason: str = ""
    local: bool = False  # judged from the inputs alone: observing it makes no call
    depends: tuple[str, ...] = ()  # facts whose change changes this one (a dry run can't foresee it then)
    initial: tuple[str, ...] = ()  # how the checker's starting worlds may have it; empty: any value
    hidden: bool = False  # only the checker knows it (what a Job started with): no code observes it
    known_after: str = ""  # the trigger that brings about what it reads: before, it says nothing
    reads: tuple[str, ...] = ()  # inputs that its judge reads: an operator's row that amends one changes the fact
    amended_between: tuple[str, ...] = ()  # the values between which those inputs decide; empty: all
    settled_when: Required = _table()  # facts by which it changes by itself no more, though what it depends on changed
    partial: tuple[str, ...] = ()  # values that an action leaves when it is cut off; empty: mixed and partial
    line: int = 0


@frozen
class Guard:
    """Facts that a row requires, and why. Where all of ``unless`` hold, what it requires is not evaluated."""

    name: str
    requires: Required = _table()
    reason: str = ""
    unless: Required = _table()
    foreseen: Foreseen = Foreseen.NO  # whether it is judged beforehand, too: spec/foresight.py
    mend: str = ""  # what to do, and to type, where it does not hold
    watched: tuple[str, ...] = ()  # states: it guards every row by which the runner leaves them, and ends their waits
    never_refuses_because: str = ""  # why it is asked though the search shows that it always holds
    line: int = 0

    @property
    def facts(self) -> frozenset[str]:
        """The facts that decide whether it holds."""
        return frozenset(self.requires) | frozenset(self.unless)


@frozen
class Attempts:
    """How often an action is tried, with what pause (doubling) and which one repair between tries.

    ``max`` is a number or names an input that is one.
    """

    max: int | str = 1
    backoff_seconds: float = 0.0
    repair: str | None = None

    def limit(self, inputs: Mapping[str, Any]) -> int:
        """Return the number of attempts, for these inputs."""
        return _number(self.max, inputs)


@frozen
class Wait:
    """Sample the guards until they hold ``consecutive`` times in a row.

    ``limit`` is in seconds or names an input that is. ``give_up`` are fact values at which waiting any
    longer is pointless.
    """

    every_seconds: float
    limit: float | str
    consecutive: int = 1
    give_up: Required = _table()


@frozen
class Row:
    """One line of the table: a transition.

    ``sets`` is the action's promise, and so also the test of it: after a crash those facts are read again, and
    ``effect`` says whether an action that was not done may be repeated (recovery.py).
    """

    source: str
    trigger: str
    to: str
    reason: str = ""
    by: By = By.RUNNER
    when: Required = _table()  # input name -> values that select this row
    guards: tuple[str, ...] = ()
    action: str | None = None
    sets: Mapping[str, str] = _table()  # fact -> value once the action is done
    effect: Effect = Effect.NONE
    attempts: Attempts = Attempts()
    wait: Wait | None = None
    undo: str | None = None
    not_undone_because: str = ""  # instead of undo: why an abort does not give this back
    amends: tuple[str, ...] = ()  # inputs that the operator's recorded arguments replace from the commit on
    foreach: str | None = None  # "undo": taken once for each change left to undo, newest first
    timeout_seconds: float | None = None
    point_of_no_return: bool = False  # the intent of this row is the point of no return
    overrides_open_intent: bool = False  # by failure, also with an intent open, or when nothing could be reached
    foresees: bool = False  # judges the foreseen guards of later rows, too
    lands_late: bool = False  # a request of its action has no condition: it may take effect after it was given up
    notes: Mapping[str, str] = _table()  # hidden facts that its commit changes: what only the checker knows
    compares: tuple[str, ...] = ()  # facts of its guards that its requests' own condition covers until the end
    rounds: int | str = 0  # by failure: how often the circle that it closes is gone through; 0: it closes none
    line: int = 0

    @cached_property
    def key(self) -> str:
        """Name the row in records: ``source --trigger--> to``."""
        return f"{self.source} --{self.trigger}--> {self.to}"

    @property
    def can_be_given_up(self) -> bool:
        """Say whether its intent no longer counts as the point of no return once it is seen to have changed nothing.

        What may be done once a person decides about, and a request without a condition can't be shut out.
        """
        return self.point_of_no_return and self.effect is Effect.IDEMPOTENT and not self.lands_late

    def selected(self, inputs: Mapping[str, Any]) -> bool:
        """Say whether ``when`` selects this row for these inputs."""
        return all(str(inputs.get(name)) in values for name, values in self.when.items())

    def returns(self, inputs: Mapping[str, Any]) -> int | None:
        """Return how often this row may be taken for these inputs: one time less than rounds; None: any number."""
        return _number(self.rounds, inputs) - 1 if self.rounds else None


@frozen
class InputSpec:
    """A value given when a run starts; it never changes during the run."""

    name: str
    values: tuple[str, ...] = ()  # empty: any
    reason: str = ""
    line: int = 0


@frozen
class Rule:
    """A rule about facts: a change by the environment, a forbidden combination (never), or a freeze (frozen)."""

    when: Required = _table()
    sets: Mapping[str, str] = _table()
    name: str = ""
    reason: str = ""
    states: tuple[str, ...] = ()  # only in these states; empty: in all
    meddles: bool = False  # of the environment: somebody undoes what a run relies on; guards are there to see it
    mends: bool = False  # of the environment: somebody, by hand, makes right again what would hold the run
    inputs: Required = _table()  # of a never rule: it speaks of the runs with these inputs
    unless_taken: tuple[str, ...] = ()  # likewise: of runs in which no row of these triggers was begun or taken
    line: int = 0

    def speaks_of(self, row: Row) -> bool:
        """Whether a run of which this rule speaks may take a row."""
        fits = all(set(values) & set(row.when.get(name, values)) for name, values in self.inputs.items())
        return fits and row.trigger not in self.unless_taken


@frozen
class PhaseSpec:
    """A part of a run that gets a receipt of its own: the triggers of its rows, and what becomes of it."""

    name: str
    triggers: tuple[str, ...]
    ends: Mapping[str, str] = _table()  # trigger that ends it -> its outcome then
    fails: tuple[str, ...] = ()  # the triggers by which its failure is sent on
    line: int = 0


@frozen
class MachineSpec:
    """One declared machine: states, rows, facts, guards, environment and invariants."""

    name: str
    reason: str
    initial: str
    finals: Mapping[str, str] = _table()  # final state -> the status that the run ends with
    inputs: Mapping[str, InputSpec] = _table()
    facts: Mapping[str, FactSpec] = _table()
    guards: Mapping[str, Guard] = _table()
    rows: tuple[Row, ...] = ()
    environment: tuple[Rule, ...] = ()
    never: tuple[Rule, ...] = ()
    frozen: tuple[Rule, ...] = ()  # what facts mean that something is frozen, in the operator's words
    phases: Mapping[str, PhaseSpec] = _table()
    receipt: Mapping[str, Any] = _table()
    sha256: str = ""  # of the declaration's bytes
    source: str = ""  # the file's name, for messages

    @cached_property
    def rows_by_source(self) -> Mapping[str, tuple[Row, ...]]:
        """The rows that leave each state, in their order. A final state has none, and is not named."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.source, []).append(row)
        return {state: tuple(leaving) for state, leaving in rows.items()}

    @cached_property
    def points_of_no_return(self) -> tuple[Row, ...]:
        """The rows whose intent is the point of no return."""
        return tuple(row for row in self.rows if row.point_of_no_return)

    @cached_property
    def actions_landing_late(self) -> tuple[str, ...]:
        """The actions of the rows of which a request may take effect after it was given up."""
        return tuple(row.action for row in self.rows if row.lands_late and row.action)

    @cached_property
    def _rows_by_key(self) -> Mapping[str, tuple[Row, ...]]:
        rows: dict[str, tuple[Row, ...]] = {}
        for row in self.rows:
            rows[row.key] = (*rows.get(row.key, ()), row)
        return rows

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order in which the rows name them."""
        seen: dict[str, None] = {self.initial: None}
        for row in self.rows:
            seen.setdefault(row.source)
            seen.setdefault(row.to)
        return tuple(seen)

    @cached_property
    def triggers(self) -> tuple[str, ...]:
        """Every trigger, in the order of the rows."""
        return tuple(dict.fromkeys(row.trigger for row in self.rows))

    @cached_property
    def undo_states(self) -> frozenset[str]:
        """The states in which a run undoes what it changed, newest first."""
        return frozenset(row.source for row in self.rows if row.foreach == "undo")

    def goes_straight_to_undo(self, row: Row) -> bool:
        """Whether a row leads to where everything is undone, and neither reads nor changes anything before."""
        return row.to in self.undo_states and not (row.guards or row.action or row.foreach)

    def refuses(self, state: str, inputs: Mapping[str, Any]) -> bool:
        """Whether a failure in ``state`` ends the run as refused."""
        failures = self.rows_from(state, inputs, By.FAILURE)
        return any(self.finals.get(row.to) == "refused" for row in failures)

    def rows_from(self, state: str, inputs: Mapping[str, Any], by: By | None = None) -> Iterator[Row]:
        """Yield the rows that leave ``state`` and that the inputs select."""
        for row in self.rows_by_source.get(state, ()):
            if (by is None or row.by is by) and row.selected(inputs):
                yield row

    def row_of(self, key: str, inputs: Mapping[str, Any]) -> Row:
        """Return the row that a record names by its key. Raises KeyError if the machine has none."""
        for row in self._rows_by_key.get(key, ()):
            if row.selected(inputs):
                return row
        raise KeyError(key)

    def declared(self, key: str) -> Row | None:
        """Return the first row of a key, whatever the inputs are; None if the machine has none."""
        return next(iter(self._rows_by_key.get(key, ())), None)

    def wanted_of(self, row: Row, waived: Collection[str] = ()) -> Iterator[tuple[Guard, str, tuple[str, ...]]]:
        """Yield (guard, fact, values that will do) for every fact that the row's guards require.

        Of the guards in ``waived`` what stands in for them is required instead.
        """
        for name in row.guards:
            guard = self.guards[name]
            for fact, values in (guard.unless if name in waived else guard.requires).items():
                yield guard, fact, values

    def stand_ins(self, row: Row) -> set[str]:
        """Return the facts that can stand in for what the row's guards require."""
        return {fact for name in row.guards for fact in self.guards[name].unless}

    def waived(self, row: Row, values: Mapping[str, str | None]) -> frozenset[str]:
        """Return those of the row's guards for which, by these fact values, something else stands in."""
        guards = (self.guards[name] for name in row.guards)
        return frozenset(guard.name for guard in guards if guard.unless and holds(guard.unless, values))

    def values_of(self, row: Row) -> dict[str, tuple[str, ...]]:
        """Return the values that a person's arguments of a row may have, where the inputs declare them."""
        return {name: self.inputs[name].values for name in row.amends if self.inputs[name].values}

    def says_frozen(self, facts: Mapping[str, str | None]) -> tuple[str, ...]:
        """Yield what is frozen by these fact values, in the operator's words."""
        return tuple(
            rule.reason for rule in self.frozen if all(facts.get(fact) in values for fact, values in rule.when.items())
        )

    def brought_about(self, row: Row) -> set[str]:
        """Return the facts of which a row brings about what they read (``known_after``)."""
        return set(self._known_after.get(row.trigger, ()))

    def depending_on(self, changed: set[str]) -> set[str]:
        """Return the facts that change with ``changed``, directly or through others, themselves included."""
        return closure(changed, self._dependents)

    @cached_property
    def _dependents(self) -> Onward:
        return onward((on, fact.name) for fact in self.facts.values() for on in fact.depends)

    @cached_property
    def _known_after(self) -> Onward:
        return onward((fact.known_after, name) for name, fact in self.facts.items() if fact.known_after)


def _number(number: int | str, inputs: Mapping[str, Any]) -> int:
    return number if isinstance(number, int) else int(inputs[number])


def holds(required: Required, values: Mapping[str, str | None]) -> bool:
    """Return whether every required fact has one of its required values; an unknown fact never has."""
    return all(values.get(fact) in options for fact, options in required.items())
