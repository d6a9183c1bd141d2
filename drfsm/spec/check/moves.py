"""A machine's rows and its environment as moves over sets of worlds: compiled once for each choice of followed facts.

Owns what a guard, an action's effect, an environment rule and a dependence mean for the facts. steps.py says when each
of them can happen. Facts that are not followed may have any value: a requirement of one is noted as a *need* of the
move, and what a move makes of one as *beside*; refine.py decides whether the fact must be followed, too.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod

from attrs import evolve, frozen

from drfsm.spec.check.domain import Domain, Mask, Worlds, meet, minus, union
from drfsm.spec.check.guarding import Amended, Way, reads_any, ways_of_rows
from drfsm.spec.model import FactSpec, MachineSpec, Row, Rule

DRIFTS = "{} drifts"
"""The name of the variable that says whether a fact changes by itself, as something that it depends on has changed."""

MEDDLED = "somebody meddled"
"""The variable that says whether somebody undid what the run relies on, and whether the run has read guards since."""

UNTOUCHED, UNSEEN, LOOKING, PASSED = "no", "unseen", "before the guards are read", "before guards that held"

Needs = frozenset[tuple[str, tuple[str, ...]]]
"""(a fact that isn't followed, values of which it must have one)."""

Beside = tuple[str, tuple[str, ...] | None, tuple[str, ...]]
"""(a fact that isn't followed, the values at which it changes (None: any), what it may be then)."""


@frozen
class Event:
    """What happens in one step. ``by``: world, run, person or late (a request that nobody waits for any more)."""

    by: str
    words: str
    row: str = ""  # the key of the row that it belongs to
    stage: str = ""  # of a row: read, begin, effect, commit; of an undo: back, commit
    needs: Needs = frozenset()
    beside: tuple[Beside, ...] = ()
    undo: str = ""  # the undo (undo_name) that gives this action back, or that this is a step of
    gives_back: bool = False  # whether that undo is done with this step


@frozen
class Change:
    """Facts that get values at one moment. What depends on one that really changes may then have any value.

    ``loosens``: fact -> the followed facts that depend on it. ``loosened``: those that depend on what isn't followed.
    ``also``: those of them that this change gives a value itself: they have that value, and may have any from then on.
    """

    domain: Domain
    sets: tuple[tuple[str, str], ...]
    loosens: Mapping[str, tuple[str, ...]]
    loosened: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether it changes a followed fact at all."""
        return bool(self.sets or self.loosened)

    def __call__(self, worlds: Worlds) -> Worlds:
        """Return what becomes of these worlds."""
        for name, value in self.sets:
            if name not in self.loosens:
                worlds = self.domain.put(worlds, name, value)
                continue
            same = meet(worlds, self.domain.where(name, value))
            changed = self.domain.put(minus(worlds, same), name, value)
            worlds = union(same, loosen(self.domain, changed, self.loosens[name], self.also))
        return union(worlds, loosen(self.domain, worlds, self.loosened, self.also)) if self.loosened else worlds


def loosen(domain: Domain, worlds: Worlds, names: Iterable[str], also: Collection[str] = ()) -> Worlds:
    """Return what becomes of worlds in which something changed that these facts depend on.

    Those in ``also`` keep the value that they have, or get one by the same change; they may have any later.
    """
    for name in names:
        worlds = domain.put(worlds, DRIFTS.format(name), "yes")
        if name not in also:
            worlds = domain.put_any(worlds, name, domain.variables[name].values)
    return worlds


@frozen
class Move:
    """A move that stays where the run is: by the world, or an effect that lands."""

    event: Event
    when: Mask
    change: Change


@frozen
class Judging:
    """One way in which a row's guards can hold: each guard by itself, or by its ``unless``.

    ``reads``: the followed facts in the order in which the engine reads them, with the values that will do.
    ``amended``: facts that the row's own arguments decide, each with the values that it must have for that, and those
    that it can have once the row is committed.
    """

    row: Row
    number: int
    reads: tuple[tuple[str, tuple[str, ...]], ...]
    amended: Amended
    needs: Needs

    def allows(self, other: "Judging") -> bool:
        """Whether this way can be gone whenever another one can, as far as facts are followed."""
        read = dict(other.reads)
        return self.amended == other.amended and all(
            name in read and set(values) >= set(read[name]) for name, values in self.reads
        )

    def steps(self, domain: Domain, variable: Collection[str]) -> tuple[Mask, ...]:
        """Return the masks of the readings, one after the other. What nothing changes meanwhile is read at once."""
        return _steps(domain, self.reads, variable)


def _steps(domain: Domain, reads: Sequence[tuple[str, Collection[str]]], variable: Collection[str]) -> tuple[Mask, ...]:
    steady = domain.having({name: values for name, values in reads if name not in variable})
    masks = [domain.having({name: values}) for name, values in reads if name in variable]
    if not masks:
        return (steady,)
    return (domain.both(masks[0], steady), *masks[1:])


class Moves:
    """The moves of one machine while some facts are followed."""

    def __init__(self, spec: MachineSpec, names: Collection[str]) -> None:
        """Compile for these followed facts."""
        self.spec, self.names = spec, tuple(name for name in spec.facts if name in names)
        drifting = [name for name in self.names if spec.facts[name].depends]
        values = {name: self._possible(spec.facts[name]) for name in self.names}
        values |= {DRIFTS.format(name): ("no", "yes") for name in drifting}
        meddled = {name for rule in spec.environment if rule.meddles for name in rule.sets}
        self.meddles = bool(spec.depending_on(meddled) & set(self.names))
        if self.meddles:
            values[MEDDLED] = (UNTOUCHED, UNSEEN, LOOKING, PASSED)
        fast = {name for rule in spec.environment for name in rule.sets} | set(drifting)
        self.domain = Domain(values, fast | {MEDDLED})
        self.unseen = self.domain.having({MEDDLED: (UNSEEN, LOOKING)})
        self._known_after: dict[str, list[str]] = {}
        for name, fact in spec.facts.items():
            if fact.known_after:
                self._known_after.setdefault(fact.known_after, []).append(name)
        self._depending = {name: self._dependents(name) for name in spec.facts}
        every = [
            tuple(self._judging(row, number, way) for number, way in enumerate(ways))
            for row, ways in zip(spec.rows, ways_of_rows(spec), strict=True)
        ]
        self.judgings = [self._different(ways) for ways in every]
        self.compared = [self._compared(row, ways) for row, ways in zip(spec.rows, every, strict=True)]
        self.world = [(frozenset(rule.states), self._environment(rule)) for rule in spec.environment]
        self.world += [(frozenset[str](), self._drift(name)) for name in drifting]
        self.image_facts = [tuple(sorted(name for name in row.sets if name in self.domain)) for row in spec.rows]
        self.effects = [
            tuple(self._parts(row, row.sets, row.trigger, when, self._compared_beside(row, ways)))
            for row, when, ways in zip(spec.rows, self.compared, every, strict=True)
        ]
        self._after = [
            tuple((name, (row.sets[name],)) for name in names)
            for row, names in zip(spec.rows, self.image_facts, strict=True)
        ]

    @cached_property
    def worlds_at_first(self) -> Worlds:
        """Every world that a run may begin in."""
        at_first = {name: initial(self.spec, self.spec.facts[name]) for name in self.names}
        steady = {DRIFTS.format(name): ("no",) for name in self.names if self.spec.facts[name].depends}
        return self.domain.every({**at_first, **steady, MEDDLED: (UNTOUCHED,)})

    @property
    def number_at_first(self) -> int:
        """How many worlds a run may begin in: known before any is made."""
        return prod(len(initial(self.spec, self.spec.facts[name])) for name in self.names)

    @cached_property
    def variable(self) -> frozenset[str]:
        """The followed facts that the world may change while a row's guards are read."""
        moving = {name for rule in self.spec.environment for name in rule.sets}
        moving |= {name for moved in moving for name in self._depending[moved]}
        return frozenset(name for name in self.names if name in moving or self.spec.facts[name].depends)

    def change(self, sets: Mapping[str, str]) -> Change:
        """Return the change that sets these facts, followed or not."""
        mine = tuple((name, value) for name, value in sets.items() if name in self.domain)
        loosens = {name: self._loosened_by(name) for name, _ in mine}
        others = (name for name in sets if name not in self.domain)
        loosened = dict.fromkeys(dependent for name in others for dependent in self._loosened_by(name))
        also = frozenset(name for name, _ in mine)
        return Change(self.domain, mine, {name: them for name, them in loosens.items() if them}, tuple(loosened), also)

    def look(self, worlds: Worlds) -> Worlds:
        """Return what becomes of worlds when the run begins to read guards: it could see what somebody did before."""
        return self._after_meddling(worlds, UNSEEN, LOOKING)

    def passed(self, worlds: Worlds) -> Worlds:
        """Return what becomes of worlds when the run goes on, as all guards held."""
        return self._after_meddling(worlds, LOOKING, PASSED)

    def _after_meddling(self, worlds: Worlds, now: str, then: str) -> Worlds:
        if not self.meddles or not (touched := meet(worlds, self.domain.where(MEDDLED, now))):
            return worlds
        return union(minus(worlds, touched), self.domain.put(touched, MEDDLED, then))

    def amend(self, judging: Judging, worlds: Worlds) -> Worlds:
        """Return what a row's commit makes of worlds: by its arguments, and in what only the checker knows."""
        for name, (between, after) in judging.amended.items():
            if name in self.domain:
                decided = meet(worlds, self.domain.having({name: between}))
                worlds = union(minus(worlds, decided), self.domain.put_any(decided, name, after))
        for name in judging.amended:
            worlds = union(worlds, loosen(self.domain, worlds, self._loosened_by(name, judging.amended)))
        for name in self._brought_about(judging.row):
            at_first = (
                self.domain.put_any(worlds, name, initial(self.spec, self.spec.facts[name]))
                if name in self.domain
                else {}
            )
            worlds = union(worlds, at_first)
        for name, value in judging.row.notes.items():
            worlds = self.domain.put(worlds, name, value) if name in self.domain else worlds
        return worlds

    def back(self, number: int, image: Sequence[str]) -> tuple[Move, ...]:
        """Return the effects of undoing the row of this number: each fact by itself, also by half."""
        row = self.spec.rows[number]
        before = dict(zip(self.image_facts[number], image, strict=True))
        others = {name: "" for name in row.sets if name not in self.domain}
        parts = self._parts(row, {**before, **others}, "undo", self.domain.all)
        return tuple(evolve(part, event=evolve(part.event, stage="back", undo=undo_name(row))) for part in parts)

    def image_mask(self, number: int, image: Sequence[str]) -> Mask:
        """Return the worlds in which what the row of this number sets is as it was before."""
        names = self.image_facts[number]
        return self.domain.having({name: (value,) for name, value in zip(names, image, strict=True)})

    def commit_steps(self, number: int) -> tuple[Mask, ...]:
        """Return the masks of the readings after the action of the row of this number, one after the other."""
        return _steps(self.domain, self._after[number], self.variable)

    def needs_of(self, sets: Mapping[str, str]) -> Needs:
        """Return what an action's commit needs of facts that aren't followed: they were read as it sets them."""
        return self._needs((name, (value,)) for name, value in sets.items())

    def read_again(self, number: int, done: int) -> frozenset[str]:
        """Return the facts that the first readings after the action of the row of this number have read."""
        moving = [name for name, _ in self._after[number] if name in self.variable]
        return frozenset(name for name, _ in self._after[number] if name not in moving[done:])

    # --- the pieces -----------------------------------------------------------------------------------

    def _brought_about(self, row: Row) -> list[str]:
        """Return the facts that a row begins: what they read is as at first from then on, or has changed since."""
        return self._known_after.get(row.trigger, [])

    def set_beside(self, sets: Mapping[str, str]) -> tuple[Beside, ...]:
        """Return what becomes of facts that aren't followed when these are set."""
        return tuple((name, None, (value,)) for name, value in sets.items() if name not in self.domain)

    def begun_beside(self, row: Row) -> tuple[Beside, ...]:
        """Return what may become of facts that aren't followed while an action is under way: all, a part, nothing.

        Those on which a followed fact depends have effects of their own, which say it.
        """
        others = [(name, value) for name, value in row.sets.items() if name not in self.domain]
        others = [(name, value) for name, value in others if not self._loosened_by(name)]
        return tuple((name, (), (value, *partial_values(self.spec.facts[name]))) for name, value in others)

    def amended_beside(self, judging: Judging) -> tuple[Beside, ...]:
        """Return what becomes of facts that aren't followed when an operator's arguments are committed."""
        others = ((name, both) for name, both in judging.amended.items() if name not in self.domain)
        amended = tuple((name, between, after) for name, (between, after) in others)
        brought = [(name, (), initial(self.spec, self.spec.facts[name])) for name in self._brought_about(judging.row)]
        brought = [beside for beside in brought if beside[0] not in self.domain]
        return (*amended, *brought, *self.set_beside(judging.row.notes))

    def _dependents(self, name: str) -> tuple[str, ...]:
        return tuple(sorted(self.spec.depending_on({name}) - {name}))

    def _loosened_by(self, name: str, but: Collection[str] = ()) -> tuple[str, ...]:
        return tuple(other for other in self._depending[name] if other in self.domain and other not in but)

    def _needs(self, required: Iterable[tuple[str, tuple[str, ...]]]) -> Needs:
        return frozenset((name, tuple(values)) for name, values in required if name not in self.domain)

    def _environment(self, rule: Rule) -> Move:
        needs = self._needs(rule.when.items())
        beside = self.set_beside(rule.sets)
        words = ", ".join(f"{name}={value}" for name, value in rule.sets.items())
        change = self.change(rule.sets)
        if rule.meddles and change:
            change = evolve(change, sets=(*change.sets, (MEDDLED, UNSEEN)))
        event = Event("person" if rule.meddles else "world", words, needs=needs, beside=beside)
        return Move(event, self.domain.having(rule.when), change)

    def _drift(self, name: str) -> Move:
        """Return the move by which a fact changes by itself, since what it depends on has changed."""
        fact = self.spec.facts[name]
        when = self.domain.having({DRIFTS.format(name): ("yes",)})
        needs: set[tuple[str, tuple[str, ...]]] = set()
        if fact.settled_when:
            others = {on: values for on, values in fact.settled_when.items() if on not in self.domain}
            if not others:
                when = self.domain.but(when, self.domain.having(fact.settled_when))
            for on, values in others.items():
                needs.add((on, tuple(value for value in self.spec.facts[on].values if value not in values)))
        change = Change(self.domain, (), {}, (name, *self._loosened_by(name, [name])))
        return Move(Event("world", name, needs=frozenset(needs)), when, change)

    def _judging(self, row: Row, number: int, way: Way) -> Judging:
        reads = tuple((name, values) for name, values in way.wanted.items() if name in self.domain)
        return Judging(row, number, reads, way.amended, self._needs(way.wanted.items()))

    def _different(self, judgings: Sequence[Judging]) -> tuple[Judging, ...]:
        """Return these ways without those that read all that another one reads, and more.

        What is read less often can happen whenever the other can. If what it needs of facts that aren't followed is not
        so, they are followed in the next search, and make the two differ.
        """
        kept: list[Judging] = []
        for judging in judgings:
            if not any(other.allows(judging) for other in kept):
                kept = [*(other for other in kept if not judging.allows(other)), judging]
        return tuple(evolve(judging, number=number) for number, judging in enumerate(kept))

    def _parts(
        self, row: Row, sets: Mapping[str, str], called: str, when: Mask, needs: Needs = frozenset()
    ) -> Iterator[Move]:
        """Yield the parts of an action's effect: of each fact all, or a half; in any order, each at any moment.

        ``needs``: what facts that are not followed must be for its requests to be taken.
        """
        domain = self.domain
        for name, value in sets.items():
            if name not in domain:
                change = self.change({name: value})
                others = tuple(other for other in self.spec.facts[name].values if other != value)
                if change:
                    after = (value, *partial_values(self.spec.facts[name])) if value else others
                    own: Needs = frozenset({(name, others)})
                    event = Event("run", called, row.key, "effect", own | needs, ((name, None, after),))
                    yield Move(event, when, change)
                continue
            for part in dict.fromkeys((value, *partial_values(self.spec.facts[name]))):
                mask = domain.but(when, domain.having({name: (value, part)}))
                yield Move(Event("run", called, row.key, "effect", needs), mask, self.change({name: part}))

    def _compared(self, row: Row, ways: Iterable[Judging]) -> Mask:
        """Return the worlds in which the condition of an action's own request holds."""
        if not row.compares:
            return self.domain.all
        required = [{name: values for name, values in judging.reads if name in row.compares} for judging in ways]
        return self.domain.either([self.domain.having(wanted) for wanted in required])

    def _compared_beside(self, row: Row, ways: Iterable[Judging]) -> Needs:
        """Return what the condition of an action's own request asks of facts that are not followed."""
        asked: dict[str, list[str]] = {}
        for judging in ways:
            for name, values in judging.needs:
                if name in row.compares:
                    asked.setdefault(name, []).extend(values)
        return frozenset((name, tuple(dict.fromkeys(values))) for name, values in asked.items())

    def _possible(self, fact: FactSpec) -> tuple[str, ...]:
        """Return the values that a fact can ever have: at first, by the world, by an action or by a part of it."""
        spec = self.spec
        amended = any(reads_any(fact, row.amends) for row in spec.rows)
        if fact.depends or amended:
            return fact.values
        rows = [row.sets[fact.name] for row in spec.rows if fact.name in row.sets]
        by_rows = {*rows, *partial_values(fact)} if rows else set()
        by_rows |= {row.notes[fact.name] for row in spec.rows if fact.name in row.notes}
        by_world = {rule.sets[fact.name] for rule in spec.environment if fact.name in rule.sets}
        return tuple(value for value in fact.values if value in {*initial(spec, fact), *by_rows, *by_world})


def initial(spec: MachineSpec, fact: FactSpec) -> tuple[str, ...]:
    """Return the values that a fact may have when a run starts.

    A local one has any, as a run may start with any inputs. What a person's row may say later by amending an input may
    have been said at the start.
    """
    if fact.local or not fact.initial:
        return fact.values
    said = any(reads_any(fact, row.amends) for row in spec.rows)
    more = (fact.amended_between or fact.values) if said else ()
    return tuple(value for value in fact.values if value in {*fact.initial, *more})


def partial_values(fact: FactSpec) -> tuple[str, ...]:
    """Return the values that a fact may have while an action that changes it is half done."""
    return fact.partial or tuple(value for value in fact.values if value in ("mixed", "partial"))


def undo_key(row: Row) -> tuple[str, frozenset[str]]:
    """Name what an undo gives back: the deed and the facts; the journal's fold keeps one entry of each."""
    return row.undo or "", frozenset(row.sets)


def undo_name(row: Row) -> str:
    """Name what an undo gives back in one word; "" where the row has none."""
    return " ".join((row.undo, *sorted(row.sets))) if row.undo else ""
