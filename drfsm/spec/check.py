"""Explores all that can happen, and shows the shortest way to what must never happen.

For each ``never`` rule the machine is searched breadth first over every initial world: the runner's and the
operator's rows whose guards hold, actions that set their facts, a crash after any action (the intent stays
open; the run goes on with a redo, or the operator aborts), the undo loop, and every ``environment`` rule
at every moment.

What is proven: the rule holds in every state of that search. What is abstracted, so that it ends:
- Only facts that can matter for the rule are followed (its own, those of rules and rows that set them, and
  so on); a guard over any other fact may hold or not, so both ways are searched.
- Guards are read and the action is done in one step; what the environment does in between is covered by
  the compare-and-swaps, not by this search. A failing action that did half its work is a crash.
- A final state is searched as it was reached: what the world does after the end is the next run's matter.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import product

from attrs import field, frozen

from drfsm.spec.model import By, MachineSpec, Row, Rule

LIMIT = 400_000
Values = tuple[str, ...]


@frozen
class Node:
    """A moment: the state, the facts that are followed, what can be undone, and what was left open."""

    state: str
    facts: Values
    undo: tuple[tuple[str, Values], ...] = ()  # row key, its facts before
    no_return: bool = False


@frozen
class Finding:
    """One rule that does not hold, with the shortest way there."""

    name: str
    because: str
    way: tuple[str, ...]


@frozen
class Report:
    """What a search found. ``explored`` counts the moments that were looked at, rule by rule."""

    machine: str
    findings: tuple[Finding, ...]
    explored: Mapping[str, int] = field(factory=dict)
    dead: tuple[str, ...] = ()
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether every rule holds and every row can be taken, as far as was searched to the end."""
        return not self.findings and not self.dead and self.complete

    def lines(self) -> Iterator[str]:
        """Yield the report in words."""
        broken = {each.name: each for each in self.findings}
        for name, count in self.explored.items():
            told = "DOES NOT HOLD" if name in broken else "holds"
            yield f"{name}: {told} ({count} moments searched)"
            if name in broken:
                yield f"  {broken[name].because}"
                yield from (f"  {number}. {step}" for number, step in enumerate(broken[name].way, start=1))
        for row in self.dead:
            yield f"row can never be taken: {row}"
        if not self.complete:
            yield f"the search was cut off after {LIMIT} moments: nothing is proven"


def check(spec: MachineSpec, *, limit: int = LIMIT) -> Report:
    """Search the machine for each of its ``never`` rules."""
    findings, explored, complete, taken = [], {}, True, set[str]()
    for rule in spec.never:
        search = _Search(spec, rule, limit)
        finding = search.run()
        explored[rule.name] = len(search.seen)
        taken |= search.taken
        complete &= len(search.seen) < limit
        if finding:
            findings.append(finding)
    dead = [row.key for row in spec.rows if explored and row.key not in taken] if not findings else []
    return Report(spec.name, tuple(findings), explored, tuple(dead), complete)


class _Search:
    """Breadth first over one rule's cone of influence."""

    def __init__(self, spec: MachineSpec, rule: Rule, limit: int) -> None:
        self._spec, self._rule, self._limit = spec, rule, limit
        self._names = _cone(spec, rule)
        self._index = {name: number for number, name in enumerate(self._names)}
        self._loops = {row.source for row in spec.rows if row.each == "undo"}
        self.seen: dict[Node, tuple[Node | None, str]] = {}
        self.taken: set[str] = set()

    def run(self) -> Finding | None:
        """Return the shortest way to a broken rule, None if there is none."""
        queue: deque[Node] = deque()
        for node in self._worlds():
            self.seen[node] = (None, self._told(node))
            queue.append(node)
        while queue and len(self.seen) < self._limit:
            node = queue.popleft()
            if self._broken(node):
                return Finding(self._rule.name, self._rule.because, self._way(node))
            for step, after in self._next(node):
                if after not in self.seen:
                    self.seen[after] = (node, step)
                    queue.append(after)
        return None

    def _worlds(self) -> Iterator[Node]:
        facts = [self._spec.facts[name] for name in self._names]
        for values in product(*(each.initial or each.values for each in facts)):
            yield Node(self._spec.initial, values)

    def _broken(self, node: Node) -> bool:
        if self._rule.states and node.state not in self._rule.states:
            return False
        return self._all(self._rule.when, node.facts)

    def _all(self, wanted: Mapping[str, tuple[str, ...]], facts: Values) -> bool:
        """Whether every followed fact has a wanted value; one that is not followed may have it."""
        return all(facts[self._index[name]] in values for name, values in wanted.items() if name in self._index)

    def _next(self, node: Node) -> Iterator[tuple[str, Node]]:
        for rule in self._spec.environment:
            if (not rule.states or node.state in rule.states) and self._all(rule.when, node.facts):
                facts = self._set(node.facts, rule.sets)
                if facts != node.facts:
                    yield (
                        f"the world: {_words(rule.sets)}",
                        Node(node.state, facts, node.undo, node.no_return),
                    )
        for row in self._spec.rows:
            if row.source == node.state:
                yield from self._rows(node, row)

    def _rows(self, node: Node, row: Row) -> Iterator[tuple[str, Node]]:
        if row.each == "undo":
            if node.undo:
                self.taken.add(row.key)
                (key, before), rest = node.undo[-1], node.undo[:-1]
                facts = node.facts if row.by is By.OPERATOR else before_of(node.facts, before)
                yield f"{row.trigger} of {key}", Node(row.to, facts, rest, node.no_return)
            return
        if row.source in self._loops and node.undo and row.by is By.RUNNER:
            return
        if row.to in self._loops and node.no_return:
            return
        if not all(self._all(self._spec.guards[name].requires, node.facts) for name in row.guards):
            return
        self.taken.add(row.key)
        after = self._done(node, row)
        told = f"{row.trigger}: {node.state} -> {row.to}" + (f" ({_words(row.sets)})" if row.sets else "")
        yield told, Node(row.to, after.facts, after.undo, after.no_return)
        if row.action and row.sets:  # the crash after the action and before the commit
            yield f"{row.trigger} is done, then a crash before its commit", after

    def _done(self, node: Node, row: Row) -> Node:
        undo = node.undo
        if row.undo and all(key != row.key for key, _ in undo):
            image = tuple(v if n in row.sets else "" for n, v in zip(self._names, node.facts, strict=True))
            undo = (*undo, (row.key, image))
        return Node(node.state, self._set(node.facts, row.sets), undo, node.no_return or row.final_write)

    def _set(self, facts: Values, sets: Mapping[str, str]) -> Values:
        return tuple(sets.get(name, value) for name, value in zip(self._names, facts, strict=True))

    def _way(self, node: Node) -> tuple[str, ...]:
        steps = [f"there: {node.state}; {self._told(node)}"]
        here: Node | None = node
        while here is not None:
            before, step = self.seen[here]
            steps.append(step if before else f"at first: {step}")
            here = before
        return tuple(reversed(steps))

    def _told(self, node: Node) -> str:
        return ", ".join(f"{name}={value}" for name, value in zip(self._names, node.facts, strict=True))


def before_of(facts: Values, image: Values) -> Values:
    """Return the facts with those of an image ("" stands for not in it) put back."""
    return tuple(old or now for now, old in zip(facts, image, strict=True))


def _cone(spec: MachineSpec, rule: Rule) -> tuple[str, ...]:
    """Return the facts that can matter: the rule's, and those that decide over what sets them.

    A row's guard matters when the row sets a fact of the cone; a fact that nothing sets is read only and is
    followed only if the rule itself names it.
    """
    changing = {name for row in spec.rows for name in row.sets} | {
        name for each in spec.environment for name in each.sets
    }
    cone = set(rule.when)
    while True:
        more: set[str] = set()
        for each in spec.environment:
            if cone & set(each.sets):
                more |= set(each.when)
        for row in spec.rows:
            if cone & set(row.sets):
                more |= {fact for name in row.guards for fact in spec.guards[name].requires if fact in changing}
        # A guard anywhere over a fact of the cone is read anyway; the drain is one such wait.
        if more <= cone:
            return tuple(name for name in spec.facts if name in cone)
        cone |= more


def _words(sets: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sets.items())
