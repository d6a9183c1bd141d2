"""Writes a machine's runbook: for each state where a run may stop, why, what is frozen, how long, and what to type.

Markdown, from the declaration alone, so that no hold is forgotten and docs can be diffed. What can't be known without
a run (what is really frozen, the run's name) `drfsm status` says. Deterministic.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from attrs import field, frozen

from drfsm.spec.diagram import markdown_table, plain
from drfsm.spec.model import By, Foreseen, Guard, MachineSpec, Row, Wait
from drfsm.spec.ways import Way, Ways

_MANY = 5  # a guard of so many states is explained once, not in each
_WIDTH = 72  # of a comment before a command
_WHY = "--reason '...'"
_OTHERWISE = "mend it, `drfsm resume`"
_UNREAD = "only what can't be read holds the run"
_VERBS = {"approve": "approve --ticket ...", "decline": f"decline {_WHY}", "abort": f"abort {_WHY}"}
"""Triggers that have a verb of their own."""
_SECTIONS = {
    Way.HAPPY: ("On the way", "The usual way, in order."),
    Way.OTHER: ("Other ways to the same end", "By options, or by a person's decision."),
    Way.OUT: ("Ways out", "After a failure, an abort, or a person's decision."),
}
_FIRST = """\
Whatever the state, these three come first:

```sh
# where the run stands, what is frozen now, why it stopped, what to type
drfsm status
# once the cause is mended: go on from exactly there
drfsm resume
# the way out when drfsm itself can't go on: plain kubectl and aws commands
drfsm status --by-hand
```

What could not be read (a network, a cluster, credentials) holds a run in any state: mend that, then `drfsm resume`. A
process that was killed is no hold: `drfsm resume` reads whether its last step was done. *Frozen by then* names what
this run may have frozen when it stands there; `drfsm status` reads what is really so. *Depending on the run* means
that it is so with some options, or after some decisions.
"""


@frozen
class Runbook:
    """The runbook of one machine. ``defaults``: input -> what an option that is not given is worth, for durations."""

    spec: MachineSpec
    defaults: Mapping[str, object] = field(factory=dict)

    def page(self) -> str:
        """Return the page, without its title."""
        return "\n".join(self._lines()) + "\n"

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The states where a run may stop, in the order in which the rows name them."""
        return tuple(state for state in self.spec.states if state not in self.spec.finals)

    def _lines(self) -> Iterator[str]:
        yield _FIRST
        if self._watched:
            yield "## What many steps read\n\nEach guard here can hold the run at any of the steps that name it.\n"
            yield self._guards((self.spec.guards[name] for name in self._watched), ())
        yield from self._before_anything_moves()
        ways = Ways.of(self.spec)
        for way, (title, about) in _SECTIONS.items():
            states = [state for state in self.states if ways.states[state] is way and state not in self._early]
            if states:
                yield f"## {title}\n\n{about}\n"
            for state in states:
                yield "\n".join(self._state(state))

    @cached_property
    def _early(self) -> tuple[str, ...]:
        """The states in which a failure ends the run as refused: nothing has moved."""
        return tuple(
            state
            for state in self.states
            if any(self.spec.finals.get(row.to) == "refused" for row in self._rows(state, By.FAILURE))
        )

    def _before_anything_moves(self) -> Iterator[str]:
        if self._early:
            names = dict.fromkeys(name for state in self._early for name in self._guards_of(state))
            yield (
                "## Before anything moves\n\nWhat does not hold here ends the run as refused, with all findings: mend"
                f" them, and start again. The states are {', '.join(f'`{state}`' for state in self._early)}. What can't"
                " be read holds the run: `drfsm resume`, or start again.\n"
            )
            yield self._guards((self.spec.guards[name] for name in names), (), "mend it, start again")

    @cached_property
    def _watched(self) -> tuple[str, ...]:
        """The guards of so many states that they are explained once."""
        later = (state for state in self.states if state not in self._early)
        states = Counter(name for state in later for name in self._guards_of(state))
        return tuple(name for name in self.spec.guards if states[name] >= _MANY)

    def _guards_of(self, state: str) -> tuple[str, ...]:
        rows = self._rows(state, By.RUNNER)
        watched = (name for name, guard in self.spec.guards.items() if state in guard.watched)
        return tuple(dict.fromkeys([*(name for row in rows for name in row.guards), *watched]))

    def _rows(self, state: str, by: By) -> list[Row]:
        return [row for row in self.spec.rows if row.source == state and row.by is by]

    def _state(self, state: str) -> Iterator[str]:
        yield f"### {state}\n\n{plain(self._reached(state))}\n"
        yield from self._facts_of_the_matter(state)
        guards = self._guards_of(state)
        people = self._rows(state, By.OPERATOR)
        own = [self.spec.guards[name] for name in guards if name not in self._watched]
        if own:
            yield "\n" + self._guards(own, people).rstrip()
        if shared := [f"`{name}`" for name in guards if name in self._watched]:
            yield f"\nAlso read here ([see above](#what-many-steps-read)): {', '.join(shared)}."
        yield "\n```sh"
        for command, reason in self._typed(state, people):
            yield from textwrap.wrap(reason, _WIDTH, initial_indent="# ", subsequent_indent="# ")
            yield command
        yield "```\n"

    def _reached(self, state: str) -> str:
        into = [row for row in self.spec.rows if row.to == state and row.source != state]
        by_runner = [row for row in into if row.by is By.RUNNER] or into
        return ". ".join(dict.fromkeys(row.reason for row in by_runner)) + "." if into else "The run begins."

    def _facts_of_the_matter(self, state: str) -> Iterator[str]:
        surely, perhaps = self._frozen[state]
        yield f"- **Frozen by then:** {'; '.join(surely) or 'nothing, by this run'}."
        if perhaps:
            yield f"- **Depending on the run:** {'; '.join(perhaps)}."
        rows = self._rows(state, By.RUNNER)
        if not rows:
            yield "- **It waits for a person**, as long as that takes."
        for row in rows:
            yield f"- **Next:** `{row.trigger}`{_selected(row)}: {plain(row.reason)}. {self._lasting(row)}"
        if failures := self._rows(state, By.FAILURE):
            leads_to = " or ".join(dict.fromkeys(f"`{row.to}`" for row in failures))
            unread = "what can't be read, too" if any(row.overrides_open_intent for row in failures) else _UNREAD
            yield f"- **What fails here** leads to {leads_to}; {unread}."
        if any(row.point_of_no_return for row in rows):
            yield "- **The point of no return** is the next step: once it began, the only way is forward."

    def _lasting(self, row: Row) -> str:
        tries = self._number(row.attempts.max)
        if row.wait is not None:
            return self._waiting(row.wait)
        pause = f", the first pause being {row.attempts.backoff_seconds:g} s" if row.attempts.backoff_seconds else ""
        repair = f", after `{row.attempts.repair}`" if row.attempts.repair else ""
        limit = f" At most {row.timeout_seconds:g} s a try." if row.timeout_seconds else ""
        return f"Tries, at most: {tries}{pause}{repair}.{limit}" if tries != "1" else f"Tried once.{limit}"

    def _waiting(self, wait: Wait) -> str:
        twice = f", until it holds {wait.consecutive} times in a row" if wait.consecutive > 1 else ""
        return f"It looks every {wait.every_seconds:g} s{twice}, for at most {self._number(wait.limit, ' seconds')}."

    def _number(self, number: float | str, unit: str = "") -> str:
        if not isinstance(number, str):
            return f"{number:g}{unit}"
        default = f" ({self.defaults[number]} if not given)" if number in self.defaults else ""
        return f"the{unit or ' number'} of `--{number.replace('_', '-')}`{default}"

    def _guards(
        self, guards: Iterable[Guard], people: Iterable[Row], otherwise: str = "mend it, `drfsm resume`"
    ) -> str:
        head = ("guard", "what it wants", "why", "what to do")
        return markdown_table(
            head,
            (
                (f"`{guard.name}`", _wanted(guard), guard.reason, self._mend(guard, people, otherwise))
                for guard in guards
            ),
        )

    def _mend(self, guard: Guard, people: Iterable[Row], otherwise: str) -> str:
        """Return what to do. The mend of a guard that only warns beforehand is worded for who has not started yet."""
        helping = dict.fromkeys(f"`{row.trigger}`" for row in people if self._helps(row, guard))
        mend = otherwise if guard.foreseen is Foreseen.WARN else guard.mend or otherwise
        return f"{mend}; or {' or '.join(helping)}" if helping else mend

    def _helps(self, row: Row, guard: Guard) -> bool:
        """Whether a person's row changes what a guard reads."""
        amended = set(row.amends) - {"reason"}
        changed = {name for name, fact in self.spec.facts.items() if amended & set(fact.reads)} | set(row.sets)
        return bool(self.spec.depending_on(changed) & guard.facts) and guard.name not in row.guards

    def _typed(self, state: str, people: Iterable[Row]) -> Iterator[tuple[str, str]]:
        if self._rows(state, By.RUNNER):
            yield "drfsm resume", "once the cause is mended"
        known: set[str] = set()
        for row in people:
            if row.trigger not in known:
                known.add(row.trigger)
                legal = (f"{name} is {' or '.join(values)}" for name, values in self.spec.values_of(row).items())
                yield typed(row), "; ".join([row.reason, *legal])
        if "abort" not in known and not self.spec.undo_states & {state}:
            yield "drfsm status", "no abort is legal here; this says the ways on"

    @cached_property
    def _frozen(self) -> Mapping[str, tuple[list[str], list[str]]]:
        """For each state what this run has frozen on every way to it, and on some: in the declaration's words."""
        values = self._values()
        frozen: dict[str, tuple[list[str], list[str]]] = {}
        for state in self.states:
            surely: dict[str, None] = {}
            perhaps: dict[str, None] = {}
            for rule in self.spec.frozen:
                here = [(values[state].get(fact, {None}), set(needed)) for fact, needed in rule.when.items()]
                if all(possible <= needed for possible, needed in here):
                    surely.setdefault(rule.reason)
                elif all(possible & needed for possible, needed in here):
                    perhaps.setdefault(rule.reason)
            frozen[state] = (_strongest(surely), _strongest([*surely, *perhaps])[len(_strongest(surely)) :])
        return frozen

    def _values(self) -> Mapping[str, dict[str, set[str | None]]]:
        """Return for each state which values each fact may have got from this run's rows; None: it changed nothing."""
        facts = {fact for row in self.spec.rows for fact in row.sets}
        values: dict[str, dict[str, set[str | None]]] = {state: {} for state in self.spec.states}
        values[self.spec.initial] = {fact: {None} for fact in facts}
        moved = True
        while moved:
            moved = False
            for row in self.spec.rows:
                for fact, possible in values[row.source].items():
                    after: set[str | None] = {row.sets[fact]} if fact in row.sets else set(possible)
                    if row.foreach == "undo":
                        after.add(None)
                    known = values[row.to].setdefault(fact, set())
                    moved = moved or not after <= known
                    known |= after
        return values


def _strongest(reasons: Iterable[str]) -> list[str]:
    """Return the reasons without those that begin with another one: "nobody can publish" says enough."""
    known = list(dict.fromkeys(reasons))
    weaker = {reason for reason in known for other in known if reason != other and reason.startswith(other)}
    return [reason for reason in known if reason not in weaker]


def typed(row: Row) -> str:
    """Return the command that fires a person's row of the run that is open on this computer."""
    if row.trigger in _VERBS:
        return f"drfsm {_VERBS[row.trigger]}"
    args = "".join(f" --arg {name}=..." for name in row.amends if name != "reason")
    return f"drfsm request {row.trigger} {_WHY}{args}"


def _wanted(guard: Guard) -> str:
    return " and ".join(f"{fact} is {' or '.join(values)}" for fact, values in guard.requires.items())


def _selected(row: Row) -> str:
    inputs = "; ".join(f"{name}={'/'.join(values)}" for name, values in row.when.items())
    return f" (with {inputs})" if inputs else ""
