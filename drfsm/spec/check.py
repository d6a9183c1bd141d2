"""Searches every possible course of a machine, and shows the shortest way to a broken ``never`` rule.

For each ``never`` rule the machine is searched breadth first over every initial world: the runner's, the
operator's and the failures' rows whose guards hold; actions that set their facts, wholly or in part; a crash
or a failure at any point of an action, after which the run goes on with a redo (its guards over what it sets
itself are skipped), is committed as found, or is aborted with the intent still open; the undo loop, with
crashes and waivers; a request of an action that ``lands_late``, which takes effect at any moment after it was given up,
also when it was undone meanwhile, and is then undone again; and every ``environment`` rule at every moment. A fact that
``depends`` on one that changed may have any value from then on.

What is proven: the rule holds in every moment of that search. What is abstracted, so that it ends:
- Only some facts are followed, at first those that the rule names; a guard over any other fact may hold or
  not, so both ways are searched. A way to the broken rule that sets others that it needs, or that needs them as
  they can't have been at first, is no finding yet: they are followed, too, and the search begins again. What is
  found in the end needs of other facts nothing but what they may have been at first, and leaves them so.
  Likewise ``when``: rows for different inputs are searched together.
- A fact that no row and no environment rule sets, and that depends on none that is set, stays as it is.
- Guards are read and the action is begun in one step; what the environment does in between is covered by
  the compare-and-swaps, not by this search.
- A late request of an action that is not declared to land late fails on its condition (engine/late.py). Of the others
  one at a time is on its way.
- A person's verdict on an open intent (``resolve``) is right.
- States from which none of the rule's own can be reached are left out.
- A final state is searched as it was reached: what the world does after the end is the next run's matter.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from attrs import field, frozen

from drfsm.spec.graph import closure, onward
from drfsm.spec.model import By, FactSpec, MachineSpec, Row, Rule

LIMIT = 1_000_000
Values = tuple[str, ...]
Required = tuple[tuple[int, frozenset[str]], ...]  # (place of a followed fact, values that will do)


class Node(NamedTuple):
    """A moment: the state, the followed facts, the undo stack, and the open intents."""

    state: str
    facts: int  # the number of the facts' values, see _Search.values
    undo: int = 0  # the number of an undo stack, see _Search.stacks
    no_return: bool = False
    open: tuple[str, ...] = ()  # the rows whose intents are open: an operator's may be in front of another
    late: tuple[tuple[str, Values], ...] = ()  # (row, image for its undo) of actions of which a request may land later


class Stack(NamedTuple):
    """An undo stack: its newest entry, and the number of the stack below it."""

    key: str
    image: Values  # "" for the facts that the row doesn't set
    below: int
    keys: frozenset[str]


Needs = frozenset[tuple[str, tuple[str, ...]]]  # (a fact that isn't followed, values of which it had to have one)


class Event(NamedTuple):
    """What happened, in words, and the facts that must be followed to be sure that it can happen."""

    words: str
    needs: Needs = frozenset()
    moved: frozenset[str] = frozenset()  # the facts that aren't followed and that it may have set


Step = tuple[Event, Node]


@frozen
class Finding:
    """One rule that does not hold, with the shortest way there."""

    name: str
    reason: str
    path: tuple[str, ...]


@frozen
class Report:
    """The result of a check. ``explored``: the number of searched moments, by rule."""

    machine: str
    findings: tuple[Finding, ...]
    explored: Mapping[str, int] = field(factory=dict)
    dead: tuple[str, ...] = ()
    vacuous: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every rule is proven and says something, and every row can be taken."""
        return not (self.findings or self.dead or self.vacuous or self.unproven)

    def lines(self) -> Iterator[str]:
        """Yield the report in words."""
        broken = {finding.name: finding for finding in self.findings}
        for name, count in self.explored.items():
            message = "DOES NOT HOLD" if name in broken else "holds"
            if name in self.vacuous:
                message = "SAYS NOTHING: none of its states can be reached"
            if name in self.unproven:
                message = "NOT PROVEN: the search was cut off"
            yield f"{name}: {message} ({count} moments searched)"
            if name in broken:
                yield f"  {broken[name].reason}"
                yield from (f"  {number}. {step}" for number, step in enumerate(broken[name].path, start=1))
        if not self.explored:
            yield f"{self.machine} declares no never rule: only its rows were checked"
        for row in self.dead:
            yield f"row can never be taken: {row}"


def check(
    spec: MachineSpec,
    *,
    limit: int = LIMIT,
    only: Collection[str] = (),
    begin: Callable[[str], object] = lambda _rule: None,
) -> Report:
    """Search the machine for each of its ``never`` rules (``only`` these, if named), and first for its rows alone.

    ``begin`` is called with the name of each rule when its search begins, "" for the rows.
    """
    findings, vacuous, open_ended = [], [], []
    explored: dict[str, int] = {}
    dead = {row.key for row in spec.rows if _unattainable(spec, row)}
    for rule in (Rule(), *(named for named in spec.never if not only or named.name in only)):
        begin(rule.name)
        search = _searched(spec, rule, limit)
        if rule.when:
            explored[rule.name] = len(search.seen)
        if search.finding:
            findings.append(search.finding)
        elif len(search.seen) >= limit:
            open_ended.append(rule.name)
        else:  # what can't be taken in one such search can never be
            dead |= {row.key for row in spec.rows if row.source in search.relevant} - search.taken
            if rule.states and not {node.state for node in search.seen} & set(rule.states):
                vacuous.append(rule.name)
    never_taken = dict.fromkeys(row.key for row in spec.rows if row.key in dead)
    return Report(spec.name, tuple(findings), explored, tuple(never_taken), tuple(vacuous), tuple(open_ended))


def _unattainable(spec: MachineSpec, row: Row) -> bool:
    """Whether a guard needs a value that its fact neither has at first nor gets before the row is taken."""
    needs = (
        (spec.facts[fact], values)
        for guard in map(spec.guards.__getitem__, row.guards)
        if not guard.unless
        for fact, values in guard.requires.items()
    )
    return any(not set(values) & _possible(spec, fact, besides=row) for fact, values in needs)


def _possible(spec: MachineSpec, fact: FactSpec, besides: Row) -> set[str]:
    """Return the values that a fact may have before one row is taken: its first ones, and those of all other rows."""
    if fact.depends:
        return set(fact.values)
    rows = [other for other in spec.rows if other.key != besides.key and fact.name in other.sets]
    set_by_rows = {*(other.sets[fact.name] for other in rows), *("mixed" for other in rows if other.action)}
    world = {rule.sets[fact.name] for rule in spec.environment if fact.name in rule.sets}
    return {*(fact.initial or fact.values), *set_by_rows, *world}


def _searched(spec: MachineSpec, rule: Rule, limit: int) -> "_Search":
    """Search for a way to break the rule on which facts that aren't followed stay as they were, or prove the rule."""
    followed = set(rule.when)
    while True:
        search = _Search(spec, tuple(name for name in spec.facts if name in followed), rule, limit)
        needed = search.run()
        more = {name for name in needed if name in search.moved or not _one_value(spec, name, needed[name])}
        if not more:
            return search
        followed |= more


def _one_value(spec: MachineSpec, name: str, needed: list[tuple[str, ...]]) -> bool:
    """Whether a fact that no step of the way changes could have the values that the whole way needs."""
    fact = spec.facts[name]
    return any(all(value in values for values in needed) for value in fact.initial or fact.values)


def _relevant(spec: MachineSpec, rule: Rule) -> frozenset[str]:
    """Return the states that matter for a rule: those from which one of its own can be reached."""
    return frozenset(closure(rule.states or spec.states, onward((row.to, row.source) for row in spec.rows)))


@frozen
class _Move:
    """A row or an environment rule, with its facts as places in a node's values."""

    event: Event
    when: Required
    own: Required  # the part of ``when`` that is left when its guards over what it sets are skipped
    sets: tuple[tuple[int, str], ...]
    moved: frozenset[str]  # the facts that it sets and that aren't followed
    needs: Needs
    states: frozenset[str] = frozenset()
    row: Row | None = None


class _Search:
    """Breadth first for one rule, following some facts."""

    def __init__(self, spec: MachineSpec, names: tuple[str, ...], rule: Rule, limit: int) -> None:
        self._spec, self._rule, self._limit, self._names = spec, rule, limit, names
        self._index = {name: number for number, name in enumerate(names)}
        self.relevant = _relevant(spec, rule)
        self._loops = spec.undo_states
        self._undoing = bool(self._loops & self.relevant)  # else no undo stack need be kept
        self._bad = self._required(rule.when)
        self._world = [self._environment(rule) for rule in spec.environment]
        self._rows_of: dict[str, list[_Move]] = {state: [] for state in spec.states}
        for row in spec.rows:
            self._rows_of[row.source] += self._moves(row)
        moves = [move for moves in self._rows_of.values() for move in moves]
        alike: dict[object, _Move] = {}  # rows that do the same land as one, or the search would not end
        self._landing = {
            move.row.key: alike.setdefault((_undo_of(move.row), move.sets), move)
            for move in moves
            if move.row and move.row.lands_late and move.sets
        }
        self._undone = {_undo_of(move.row): move for move in moves if move.row and move.row.undo}
        self._loose: dict[tuple[frozenset[int], frozenset[str]], tuple[int, ...]] = {}
        # Nodes name facts and stacks by number, so that a million of them are compared quickly.
        self._values: list[Values] = []
        self._number: dict[Values, int] = {}
        self._stacks: list[Stack] = [Stack("", (), 0, frozenset())]
        self._stack_number: dict[Stack, int] = {self._stacks[0]: 0}
        self._world_after: dict[tuple[str, int], list[tuple[Event, int]]] = {}
        self._outcomes: dict[tuple[int, int], tuple[list[int], list[tuple[Event, int]]]] = {}
        self.seen: dict[Node, tuple[Node | None, Event]] = {}
        self.finding: Finding | None = None
        self.taken: set[str] = set()
        self.moved: frozenset[str] = frozenset()  # what the way that was found sets of facts that aren't followed

    def run(self) -> dict[str, list[tuple[str, ...]]]:
        """Search for the shortest way to break the rule; return the values that it needs of facts that aren't followed.

        ``finding`` has that way; without one, the rule is proven.
        """
        queue: deque[Node] = deque()
        for node in self._worlds():
            self.seen[node] = (None, Event(self._facts_in_words(node)))
            queue.append(node)
        while queue and len(self.seen) < self._limit:
            node = queue.popleft()
            if self._broken(node):
                path = self._way(node)
                self.finding = Finding(self._rule.name, self._rule.reason, tuple(step.words for step in path))
                self.moved = frozenset().union(*(step.moved for step in path))
                needed: dict[str, list[tuple[str, ...]]] = {}
                for name, values in (need for step in path for need in step.needs):
                    needed.setdefault(name, []).append(values)
                return needed
            for step, after in self._next(node):
                if after not in self.seen and after.state in self.relevant:
                    self.seen[after] = (node, step)
                    queue.append(after)
        return {}

    # --- the search's words ---------------------------------------------------------------------------

    def _required(self, values_of: Mapping[str, tuple[str, ...]]) -> Required:
        return tuple(
            (self._index[name], frozenset(values)) for name, values in values_of.items() if name in self._index
        )

    def _places(self, sets: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
        return tuple((self._index[name], value) for name, value in sets.items() if name in self._index)

    def _environment(self, rule: Rule) -> _Move:
        when = self._required(rule.when)
        moved = frozenset(rule.sets) - frozenset(self._names)
        message = f"the world: {_words(rule.sets)}"
        needs = frozenset((name, values) for name, values in rule.when.items() if name not in self._index)
        states = frozenset(rule.states)
        return _Move(Event(message, needs, moved), when, when, self._places(rule.sets), moved, needs, states)

    def _moves(self, row: Row) -> Iterator[_Move]:
        """Yield the ways in which a row's guards can hold: each guard by itself, or by its ``unless``."""
        either = [name for name in row.guards if self._spec.guards[name].unless]
        for waived in product(*((None, name) for name in either)):
            guards = self._spec.wanted_of(row, [name for name in waived if name])
            yield self._move(row, [(fact, values) for _, fact, values in guards])

    def _move(self, row: Row, guards: Sequence[tuple[str, tuple[str, ...]]]) -> _Move:
        when = tuple(requirement for fact, values in guards for requirement in self._required({fact: values}))
        own = tuple(requirement for requirement in when if self._names[requirement[0]] not in row.sets)
        moved = frozenset(row.sets) - frozenset(self._names)
        message = f"{row.trigger}: {row.source} -> {row.to}" + (f" ({_words(row.sets)})" if row.sets else "")
        needs = frozenset((fact, values) for fact, values in guards if fact not in self._index)
        return _Move(Event(message, needs, moved), when, own, self._places(row.sets), moved, needs, row=row)

    def _worlds(self) -> Iterator[Node]:
        facts = [self._spec.facts[name] for name in self._names]
        for values in product(*(fact.initial or fact.values for fact in facts)):
            yield Node(self._spec.initial, self._numbered(values))

    def _numbered(self, values: Values) -> int:
        number = self._number.setdefault(values, len(self._values))
        if number == len(self._values):
            self._values.append(values)
        return number

    def _broken(self, node: Node) -> bool:
        here = not self._rule.states or node.state in self._rule.states
        return here and bool(self._bad) and _all(self._bad, self._values[node.facts])

    # --- what can happen next -------------------------------------------------------------------------

    def _next(self, node: Node) -> Iterator[Step]:
        if node.state in self._spec.finals:
            return
        for event, facts in self._by_itself(node.state, node.facts):
            yield event, node._replace(facts=facts)
        yield from self._land(node)
        for move in self._rows_of[node.state]:
            if move.row is not None and self._may(node, move.row):
                yield from self._undo(node, move.row) if move.row.foreach else self._take(node, move, move.row)

    def _land(self, node: Node) -> Iterator[Step]:
        """Yield what a late request does: what was undone already is to be undone again."""
        for key, image in node.late:
            move = self._landing[key]
            left, undo, row = tuple(other for other in node.late if other != (key, image)), node.undo, move.row
            again = row is not None and row.undo and node.state in self._loops
            if row is not None and again and _undo_of(row) not in self._stacks[undo].keys:
                undo = self._pushed(Stack(_undo_of(row), image, undo, self._stacks[undo].keys | {_undo_of(row)}))
            event = Event(f"{row.trigger if row else ''} lands late", moved=move.moved)
            for after in self._after(self._values[node.facts], move.sets, move.moved):
                yield event, node._replace(facts=self._numbered(after), undo=undo, late=left)

    def _sent(self, node: Node, undo: int, row: Row) -> tuple[tuple[str, Values], ...]:
        """Return what may land late after an attempt whose end nobody saw. ``undo`` has the image for its undo."""
        if row.key not in self._landing or node.late:
            return node.late
        stack = self._stacks[undo]
        while stack.key and stack.key != _undo_of(row):
            stack = self._stacks[stack.below]
        alike = self._landing[row.key].row
        return ((alike.key if alike else row.key, stack.image),)

    def _by_itself(self, state: str, number: int) -> list[tuple[Event, int]]:
        """Return what the world may do by itself from these facts."""
        if (state, number) not in self._world_after:
            facts = self._values[number]
            self._world_after[state, number] = [
                (move.event, self._numbered(after))
                for move in self._world
                if (not move.states or state in move.states) and _all(move.when, facts)
                for after in self._after(facts, move.sets, move.moved)
                if after != facts
            ]
        return self._world_after[state, number]

    def _may(self, node: Node, row: Row) -> bool:
        """Whether the engine could take a row here, whatever its guards."""
        if row.foreach:
            return bool(node.undo)
        if node.open and node.open[-1] != row.key and row.by is not By.OPERATOR and not row.overrides_open_intent:
            return False  # what was begun comes first; a failure passes over it only where that is declared
        if len(node.open) > 1 and node.open[-1] != row.key and row.to not in self._loops:
            return False  # nor does a third in front of two
        if node.undo and row.source in self._loops and row.by is By.RUNNER:
            return False
        return not (node.no_return and row.to in self._loops)

    def _take(self, node: Node, move: _Move, row: Row) -> Iterator[Step]:
        again, facts = row.key in node.open[-1:], self._values[node.facts]
        behind = node.open[:-1] if again else node.open
        left = behind if row.to == row.source else ()
        if again and all(facts[place] == value for place, value in move.sets):
            event = Event(f"{move.event.words}, found done")
            yield event, Node(row.to, node.facts, node.undo, node.no_return, left, node.late)
        if not _all(move.own if again else move.when, facts):
            return
        self.taken.add(row.key)
        if not row.action or not row.sets:
            yield move.event, Node(row.to, node.facts, node.undo, node.no_return, left, node.late)
            return
        undo, began = self._begun(node, move, row), (*behind, row.key)
        late = self._sent(node, undo, row)
        no_return = node.no_return or row.point_of_no_return
        done, cut = self._outcome(move, node.facts)
        for after in done:
            yield move.event, Node(row.to, after, undo, no_return, left, node.late)
        if not again:
            event = Event(f"{row.trigger} failed and changed nothing", move.needs)
            yield event, Node(node.state, node.facts, undo, no_return, behind, late)
        for event, after in cut:
            yield event, Node(node.state, after, undo, no_return, began, late)

    def _outcome(self, move: _Move, number: int) -> tuple[list[int], list[tuple[Event, int]]]:
        """Return the facts after an action that was done, and after one that was cut off."""
        if (id(move), number) not in self._outcomes:
            facts = self._values[number]
            done = [self._numbered(after) for after in self._after(facts, move.sets, move.moved)]
            cut = []
            for part in self._parts(facts, move.sets):
                seen = ", ".join(f"{self._names[place]}={value}" for place, value in part) or "nothing seen of it"
                event = Event(f"{move.row.trigger if move.row else ''} is cut off ({seen})", move.needs, move.moved)
                cut += [(event, self._numbered(after)) for after in self._after(facts, part, move.moved)]
            self._outcomes[id(move), number] = (done, cut)
        return self._outcomes[id(move), number]

    def _begun(self, node: Node, move: _Move, row: Row) -> int:
        """Return the undo stack as it is once the row's intent is written."""
        undo = node.undo
        if self._undoing and row.undo and _undo_of(row) not in self._stacks[undo].keys:
            mine = {place for place, _ in move.sets}
            values = enumerate(self._values[node.facts])
            image = tuple(value if place in mine else "" for place, value in values)
            undo = self._pushed(Stack(_undo_of(row), image, undo, self._stacks[undo].keys | {_undo_of(row)}))
        return undo

    def _pushed(self, stack: Stack) -> int:
        number = self._stack_number.setdefault(stack, len(self._stacks))
        if number == len(self._stacks):
            self._stacks.append(stack)
        return number

    def _undo(self, node: Node, row: Row) -> Iterator[Step]:
        newest = self._stacks[node.undo]
        self.taken.add(row.key)
        message = f"{row.trigger} of {newest.key}"
        if row.by is By.OPERATOR:
            yield Event(message), node._replace(undo=newest.below, open=())
            return
        facts, moved = self._values[node.facts], self._undone[newest.key].moved
        back = tuple((place, value) for place, value in enumerate(newest.image) if value)
        for after in self._after(facts, back, moved):
            yield Event(message, moved=moved), node._replace(facts=self._numbered(after), undo=newest.below, open=())
        for part in self._parts(facts, back):
            for after in self._after(facts, part, moved):
                yield Event(f"{message} is cut off", moved=moved), node._replace(facts=self._numbered(after))

    def _parts(self, facts: Values, sets: tuple[tuple[int, str], ...]) -> Iterator[tuple[tuple[int, str], ...]]:
        """Yield the possible effects of an interrupted action: of each fact nothing, a part (mixed), or all."""
        choices = []
        for place, value in sets:
            mixed = "mixed" in self._spec.facts[self._names[place]].values and facts[place] != value
            choices.append([None, (place, value), *([(place, "mixed")] if mixed else [])])
        for chosen in product(*choices):
            yield tuple(setting for setting in chosen if setting is not None)

    def _after(self, facts: Values, sets: Iterable[tuple[int, str]], moved: frozenset[str]) -> Iterator[Values]:
        """Yield the facts with these set; what depends on those that changed may then have any value."""
        after = list(facts)
        mine = set()
        for place, value in sets:
            after[place] = value
            mine.add(place)
        changed = frozenset(place for place in mine if facts[place] != after[place])
        places = [place for place in self._loosened(changed, moved) if place not in mine]
        if not places:
            yield tuple(after)
            return
        for values in product(*(self._spec.facts[self._names[place]].values for place in places)):
            for place, value in zip(places, values, strict=True):
                after[place] = value
            yield tuple(after)

    def _loosened(self, changed: frozenset[int], moved: frozenset[str]) -> tuple[int, ...]:
        """Return the followed facts that depend on what changed, followed or not."""
        if (changed, moved) not in self._loose:
            names = {self._names[place] for place in changed} | moved
            depending = (self._index[name] for name in self._spec.depending_on(names) - names if name in self._index)
            self._loose[changed, moved] = tuple(sorted(depending))
        return self._loose[changed, moved]

    # --- telling --------------------------------------------------------------------------------------

    def _way(self, node: Node) -> list[Event]:
        steps = [Event(f"there: {node.state}; {self._facts_in_words(node)}")]
        here: Node | None = node
        while here is not None:
            before, step = self.seen[here]
            steps.append(step if before else Event(f"at first: {step.words}"))
            here = before
        return steps[::-1]

    def _facts_in_words(self, node: Node) -> str:
        return ", ".join(f"{name}={value}" for name, value in zip(self._names, self._values[node.facts], strict=True))


def _undo_of(row: Row) -> str:
    """Name what an undo gives back: the deed and the facts; the journal's fold keeps one entry of each."""
    return f"{row.undo} ({', '.join(sorted(row.sets))})"


def _all(required: Required, facts: Values) -> bool:
    """Whether every followed fact has a wanted value; one that is not followed may have it."""
    for place, values in required:  # noqa: SIM110  half the search's time is spent here: a generator is dear
        if facts[place] not in values:
            return False
    return True


def _words(sets: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sets.items())
