"""The small language of a machine's ``receipt:`` table: where in the records a field's value is.

    receipt:
      switched_back_at: commit_at switch_global_pointer
      divergence: seen confirm_no_divergence divergence | seen accept_divergence divergence

    input NAME                     an input of the run
    intent_at TRIGGER              when it was first begun
    commit_at TRIGGER              when it was last done
    seen TRIGGER FACT [KEY ...]    what was seen of a fact when it was last done: after its action for a fact
                                   that the row sets, by its guards for any other
    before TRIGGER FACT [KEY ...]  what was seen before its first action
    value TRIGGER FACT             the fact's value, where `seen` has the observation
    result TRIGGER [KEY ...]       what its action returned
    args TRIGGER KEY               what the operator gave with it
    because TRIGGER                the reason that the declaration gives for it, once it is done
    A | B                          A, or where that can't be known, B

KEY goes into mappings. What can't be known is ``{"unknown": why}``, never made up and never null. Pure: the
records are all that it reads. Called by summary.py; ``faults`` is for tests and whoever checks a machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.journal import Record, RunState
from drfsm.spec.model import MachineSpec

_ANY_NUMBER = 99


class _Unknown(Exception):
    """A field that can't be known yet; its words say why."""


@frozen
class _Run:
    state: RunState
    records: Sequence[Record]

    def all_of(self, kind: str, trigger: str) -> list[Record]:
        return [each for each in self.records if each.kind == kind and each.body.get("trigger") == trigger]

    def last(self, trigger: str) -> Record:
        found = self.all_of("commit", trigger)
        if not found:
            raise _Unknown(self.not_reached(trigger))
        return found[-1]

    def not_reached(self, trigger: str) -> str:
        if self.state.dry_run:
            return f"this was a dry run: {trigger} was not done"
        if self.state.ended:
            return f"the run ended {self.state.status} without {trigger}"
        return f"{trigger} has not been reached"

    def reading(self, trigger: str, fact: str) -> Mapping[str, Any]:
        """Return a fact as its commit saw it; a commit that was only found has its guards in the intent."""
        commit = self.last(trigger)
        for record in (commit, *reversed(self.all_of("intent", trigger))):
            found = record.body["facts"].get(fact)
            if found is not None:
                return dict(found)
        raise _Unknown(f"{fact} was not read in {trigger}")


def _input(run: _Run, name: str) -> Any:
    if name not in run.state.inputs:
        raise _Unknown(f"the run has no input {name}")
    return run.state.inputs[name]


def _intent_at(run: _Run, trigger: str) -> Any:
    found = run.all_of("intent", trigger)
    if not found:
        raise _Unknown(run.not_reached(trigger))
    return found[0].at


def _commit_at(run: _Run, trigger: str) -> Any:
    return run.last(trigger).at


def _seen(run: _Run, trigger: str, fact: str, *keys: str) -> Any:
    found = run.reading(trigger, fact)
    if found["seen"] is None:
        raise _Unknown(str(found.get("why") or f"nothing was seen of {fact} in {trigger}"))
    return _into(found["seen"], keys, f"what was seen of {fact} in {trigger}")


def _before(run: _Run, trigger: str, fact: str, *keys: str) -> Any:
    found = run.all_of("intent", trigger)
    if not found:
        raise _Unknown(run.not_reached(trigger))
    return _into(found[0].body["before"], (fact, *keys), f"the image before {trigger}")


def _value(run: _Run, trigger: str, fact: str) -> Any:
    found = run.reading(trigger, fact)
    if found["value"] is None:
        raise _Unknown(str(found.get("why") or f"{fact} could not be told in {trigger}"))
    return found["value"]


def _result(run: _Run, trigger: str, *keys: str) -> Any:
    result = run.last(trigger).body["result"]
    if result is None:
        raise _Unknown(f"no result of {trigger} is on record")
    return _into(result, keys, f"the result of {trigger}")


def _args(run: _Run, trigger: str, key: str) -> Any:
    return _into(run.last(trigger).body.get("args", {}), (key,), f"what was given with {trigger}")


def _because(run: _Run, trigger: str) -> Any:
    return run.last(trigger).body["because"]


def _into(found: Any, keys: Sequence[str], what: str) -> Any:
    for key in keys:
        if not isinstance(found, Mapping) or found.get(key) is None:
            raise _Unknown(f"{what} has no {key}")
        found = found[key]
    return found


@frozen
class _Verb:
    """A word of the language: how it is read, and how many words follow it."""

    read: Callable[..., Any]
    least: int
    most: int
    of: tuple[str, ...]  # what the first words after it name


_VERBS: Mapping[str, _Verb] = {
    "input": _Verb(_input, 1, 1, ("input",)),
    "intent_at": _Verb(_intent_at, 1, 1, ("trigger",)),
    "commit_at": _Verb(_commit_at, 1, 1, ("trigger",)),
    "seen": _Verb(_seen, 2, _ANY_NUMBER, ("trigger", "fact")),
    "before": _Verb(_before, 2, _ANY_NUMBER, ("trigger", "fact")),
    "value": _Verb(_value, 2, 2, ("trigger", "fact")),
    "result": _Verb(_result, 1, _ANY_NUMBER, ("trigger",)),
    "because": _Verb(_because, 1, 1, ("trigger",)),
    "args": _Verb(_args, 2, 2, ("trigger",)),
}


def derive(receipt: Mapping[str, Any], state: RunState, records: Sequence[Record]) -> dict[str, Any]:
    """Return every declared field with its value, or with ``{"unknown": why}``."""
    run = _Run(state, records)
    return {name: _derived(run, said) for name, said in receipt.items()}


def _derived(run: _Run, said: Any) -> Any:
    why = []
    for alternative in str(said).split("|"):
        verb, words = _parsed(alternative)
        if verb is None:
            why.append(f"the declaration says {alternative.strip()!r}, which is no receipt expression")
            continue
        try:
            return verb.read(run, *words)
        except _Unknown as unknown:
            why.append(str(unknown))
    return {"unknown": "; ".join(dict.fromkeys(why))}


def _parsed(alternative: str) -> tuple[_Verb | None, list[str]]:
    words = alternative.split()
    verb = _VERBS.get(words[0]) if words else None
    if verb is None or not verb.least <= len(words) - 1 <= verb.most:
        return None, []
    return verb, words[1:]


def faults(spec: MachineSpec) -> list[str]:
    """Return, in words, everything that a machine's receipt table says and that its declaration doesn't have."""
    known = {"input": set(spec.inputs), "trigger": set(spec.triggers), "fact": set(spec.facts)}
    return [fault for name, said in spec.receipt.items() for fault in _faults(name, str(said), known)]


def _faults(name: str, said: str, known: Mapping[str, set[str]]) -> Iterator[str]:
    for alternative in said.split("|"):
        verb, words = _parsed(alternative)
        if verb is None:
            yield f"receipt {name}: {alternative.strip()!r} is no expression; its verbs are {', '.join(_VERBS)}"
            continue
        for kind, word in zip(verb.of, words, strict=False):
            if word not in known[kind]:
                yield f"receipt {name}: there is no {kind} {word}"
