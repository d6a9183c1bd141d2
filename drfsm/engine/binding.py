"""Binds the names in a machine to code: its facts and actions, and what each is called with.

Owns ``Fact``, ``Binding`` (complete, or refused before anything starts) and ``Run`` (what a fact or an action of one
row may know of the run). A run that an older version started is pinned to that version's declaration, which may name
fewer facts, actions and inputs than are bound today, never others. Knows no world: ``world`` is whatever the caller
passes to the Runner. Called by legal.py and observer.py; dr/ and library users write bindings.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from drfsm.engine.ports import Clock
from drfsm.errors import BindingFault, DeadlineExceeded, Interrupted
from drfsm.journal import Actor
from drfsm.spec.model import MachineSpec

Act = Callable[[Any, "Run"], Any]
"""Action, repair and undo alike: (world, run) -> a JSON value worth recording, or None.

Write it as if it had been killed halfway last time: check whether the goal is reached before changing anything.
"""


@frozen
class Fact:
    """A fact in code: ``observe`` reads the world (Unreachable if it can't), ``judge`` says what that means.

    ``observe`` returns exact JSON, never secrets. ``judge`` is pure: it returns one of the fact's declared values, or
    None where the observation doesn't say.
    """

    observe: Callable[[Any, "Run"], Any]
    judge: Callable[[Any, Mapping[str, Any]], str | None]
    of_machine: bool = False  # read from this computer's own files: on another one it says nothing about the run


@frozen
class Run:
    """What a fact or an action may know. ``undoing`` holds the snapshots to restore, in an undo only.

    A result is lost where a crash came between an action and its commit: the recovered commit has none. So later rows
    may use the results of actions with effect ``none`` only, which are done again.
    """

    id: str
    inputs: Mapping[str, Any]
    operator: str
    epoch: int  # the fencing token
    dry_run: bool
    trigger: str  # of the row that is being taken
    results: Mapping[str, Any]  # trigger -> what its action returned
    args: Mapping[str, Mapping[str, Any]]  # trigger -> an operator's recorded arguments
    clock: Clock
    undoing: Mapping[str, Any] = field(factory=dict)  # fact -> the snapshot to restore
    first_seen: Mapping[str, Any] = field(factory=dict)  # fact -> its snapshot before this row's first attempt
    # What facts that are read at one moment leave for each other, so that nothing is read twice in it.
    already_read: dict[str, Any] = field(factory=dict, eq=False, repr=False)
    deadline: float | None = None  # on the clock's monotonic scale
    interrupted: Callable[[], bool] = lambda: False
    say: Callable[..., None] = lambda *_, **__: None
    starter: Actor | None = None  # who started the run
    proven: Mapping[str, Any] = field(factory=dict)  # what is proven of whoever runs this process

    def note(self, words: str, **fields: Any) -> None:
        """Report progress, for the terminal. Never pass secrets."""
        self.say(words, **fields)

    def check(self) -> None:
        """Raise if the row's time is up, or a person asked to stop; call it between two requests."""
        if self.interrupted():
            raise Interrupted(f"{self.trigger} was interrupted between two requests")
        if self.deadline is not None and self.clock.monotonic() > self.deadline:
            raise DeadlineExceeded(f"{self.trigger} took longer than its declared time")


@frozen
class Late:
    """What keeps a request of an action from taking effect after the action was given up (engine/late.py).

    ``touch`` gives everything that the action could change a new version with the same content, so that the condition
    of a late request fails. ``settles`` names what of the action has no condition: it is waited for and read again.
    ``overwrites``: such a request replaces also what other rows wrote since, so it is waited for even where the action
    was done by a second request. ``early``: its facts can't be read any more once older changes are undone, so it is
    waited for before its own undo. ``gone``: whether what the request was sent to does not exist any more, so that it
    can't take effect, and needn't be waited for.
    """

    touch: Act | None = None
    settles: str = ""
    overwrites: bool = False
    early: bool = False
    gone: Callable[[Any, "Run"], bool] | None = None


@frozen
class Binding:
    """Facts and actions by name; and, for runs of older versions, those only they name, and inputs they lack."""

    facts: Mapping[str, Fact]
    actions: Mapping[str, Act] = field(factory=dict)
    defaults: Mapping[str, Any] = field(factory=dict)  # input -> its value in a run that was started without it
    former_actions: Mapping[str, Act] = field(factory=dict)  # that only declarations of earlier versions name
    former_facts: Mapping[str, Fact] = field(factory=dict)  # likewise
    late: Mapping[str, Late] = field(factory=dict)  # action -> what keeps it from taking effect late

    @property
    def judges(self) -> Mapping[str, Callable[[Any, Mapping[str, Any]], str | None]]:
        """Return every fact's judge, as the audit calls it: with the inputs of a run, of whichever version."""
        return {name: self._judge_of(fact) for name, fact in {**self.former_facts, **self.facts}.items()}

    def fact(self, name: str) -> Fact:
        """Return a fact of today's machine, or of the earlier one that a run is pinned to."""
        return self.facts[name] if name in self.facts else self.former_facts[name]

    def action(self, name: str) -> Act:
        """Return an action of today's machine, or of the earlier one that a run is pinned to."""
        return self.actions[name] if name in self.actions else self.former_actions[name]

    def with_defaults(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run's inputs, together with those that its version did not know yet."""
        return {**self.defaults, **inputs}

    def _judge_of(self, fact: Fact) -> Callable[[Any, Mapping[str, Any]], str | None]:
        return lambda seen, inputs: fact.judge(seen, self.with_defaults(inputs))

    def complete_for(self, spec: MachineSpec) -> None:
        """Raise BindingFault unless every name of the machine is bound, and nothing else."""
        faults = [
            *_missing("fact", _facts(spec), self.facts),
            *(f"fact {name} is bound and not declared" for name in sorted(set(self.facts) - _facts(spec))),
            *_missing("action", _actions(spec), self.actions),
            *(f"action {name} is bound and not declared" for name in sorted(set(self.actions) - _actions(spec))),
        ]
        if faults:
            raise BindingFault(f"{spec.name}: the binding does not fit the machine: {'; '.join(faults)}")

    def missing_for(self, spec: MachineSpec) -> list[str]:
        """Return, in words, what the machine names and nothing is bound to. A pinned declaration needs no more."""
        bound = {**self.former_actions, **self.actions}
        facts = {**self.former_facts, **self.facts}
        return [*_missing("fact", _facts(spec), facts), *_missing("action", _actions(spec), bound)]


def _missing(kind: str, named: set[str], bound: Mapping[str, Any]) -> list[str]:
    return [f"{kind} {name} is declared and not bound" for name in sorted(named - set(bound))]


def _facts(spec: MachineSpec) -> set[str]:
    return {name for name, fact in spec.facts.items() if not fact.hidden}


def _actions(spec: MachineSpec) -> set[str]:
    return {name for row in spec.rows for name in (row.action, row.undo, row.attempts.repair) if name}
