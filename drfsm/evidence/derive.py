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
    by_site EXPRESSION             of pointers that were seen: beside each the site whose run it names
    none INPUT [VALUE ...]         there is no such value where the input has one of these values (none: is empty)
    A | B                          A, or B if A has no value

KEY selects within mappings. A field without a value says why, and is never null or invented: ``{"unknown": why}``
where there is a value that could not be read, was lost, or may still come; ``{"none": why}`` where there is none: the
step is no part of this run, or the run ended without it. Pure: the records are all that it reads. Called by
summary.py; ``faults`` is for tests and whoever checks a machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Body, Commit, Intent, Reading

if TYPE_CHECKING:
    from drfsm.spec.model import MachineSpec

_ANY_NUMBER = 99
SITES = ("dr", "primary")
"""The inputs ``<site>_run_id`` name the run of each."""
_Kind = TypeVar("_Kind", bound=Body)


class _NoValue(Exception):
    """A field without a value; its words say why."""


class _Unknown(_NoValue):
    """There is a value, or there may be one, and it is not known."""


class _None(_NoValue):
    """There is no value, and there will be none."""


class _NotOfThisRun(_None):
    """There is none in a run with these inputs, whatever else may still come."""


class _DoesNotApply(_NoValue):
    """It says nothing of a run with these inputs."""


@frozen
class _Run:
    state: RunState
    records: Sequence[Record]

    def commits(self, trigger: str) -> list[tuple[Record, Commit]]:
        return [(record, commit) for record, commit in self._of(Commit) if commit.trigger == trigger]

    def intents(self, trigger: str) -> list[tuple[Record, Intent]]:
        return [(record, intent) for record, intent in self._of(Intent) if intent.trigger == trigger]

    def _of(self, kind: type[_Kind]) -> Iterator[tuple[Record, _Kind]]:
        for record in self.records:
            if isinstance(record.content, kind):
                yield record, record.content

    def last_commit(self, trigger: str) -> tuple[Record, Commit]:
        commits = self.commits(trigger)
        if not commits:
            raise self.not_reached(trigger)
        return commits[-1]

    def first_intent(self, trigger: str) -> tuple[Record, Intent]:
        intents = self.intents(trigger)
        if not intents:
            raise self.not_reached(trigger)
        return intents[0]

    def not_reached(self, trigger: str) -> _NoValue:
        if self.state.dry_run:
            return _None(f"this was a dry run: {trigger} was not done")
        if self.state.ended:
            return _None(f"the run ended {self.state.status} without {trigger}")
        return _Unknown(f"{trigger} has not been reached")

    def reading(self, trigger: str, fact: str) -> Reading:
        """Return a fact as its commit saw it; a commit that was only found has its guards in the intent."""
        _, commit = self.last_commit(trigger)
        for step in (commit, *(intent for _, intent in reversed(self.intents(trigger)))):
            if fact in step.facts:
                return step.facts[fact]
        raise _Unknown(f"{fact} was not read in {trigger}")


def _input(run: _Run, name: str) -> Any:
    if name not in run.state.inputs:
        raise _Unknown(f"the run has no input {name}")
    return run.state.inputs[name]


def _intent_at(run: _Run, trigger: str) -> Any:
    return run.first_intent(trigger)[0].at


def _commit_at(run: _Run, trigger: str) -> Any:
    return run.last_commit(trigger)[0].at


def _seen(run: _Run, trigger: str, fact: str, *keys: str) -> Any:
    reading = run.reading(trigger, fact)
    if reading.seen is None:
        raise _Unknown(reading.why or f"nothing was seen of {fact} in {trigger}")
    return _into(reading.seen, keys, f"what was seen of {fact} in {trigger}")


def _before(run: _Run, trigger: str, fact: str, *keys: str) -> Any:
    _, intent = run.first_intent(trigger)
    return _into(intent.before, (fact, *keys), f"the snapshot before {trigger}")


def _value(run: _Run, trigger: str, fact: str) -> Any:
    reading = run.reading(trigger, fact)
    if reading.value is None:
        raise _Unknown(reading.why or f"{fact} has no known value in {trigger}")
    return reading.value


def _result(run: _Run, trigger: str, *keys: str) -> Any:
    _, commit = run.last_commit(trigger)
    if commit.result is None:
        raise _Unknown(f"no result of {trigger} is on record")
    return _into(commit.result, keys, f"the result of {trigger}")


def _args(run: _Run, trigger: str, key: str) -> Any:
    _, commit = run.last_commit(trigger)
    return _into(commit.args, (key,), f"the arguments of {trigger}")


def _because(run: _Run, trigger: str) -> Any:
    _, commit = run.last_commit(trigger)
    return commit.reason


def _none(run: _Run, name: str, *values: str) -> Any:
    value = _input(run, name)
    if str(value) in (values or ("",)):
        raise _NotOfThisRun(f"this run has none: its input {name} is {value or 'empty'}")
    raise _DoesNotApply


def _by_site(run: _Run, pointers: Any) -> Any:
    """Return pointers, each with the run that it names and that run's site, by the run's own inputs."""
    if not isinstance(pointers, Mapping):
        raise _Unknown("what was seen is no set of pointers")
    return {key: _labelled(run, pointer) for key, pointer in pointers.items()}


def _labelled(run: _Run, pointer: Any) -> Any:
    if not isinstance(pointer, Mapping):
        return {"none": "there was no pointer"}
    run_id = pointer.get("run_id")
    sites = [site for site in SITES if run_id and run.state.inputs.get(f"{site}_run_id") == run_id]
    return {
        "site": sites[0] if sites else "other",
        "run_id": run_id or {"none": "it names no run"},
        "pointer": dict(pointer),
    }


def _into(value: Any, keys: Sequence[str], what: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            raise _Unknown(f"{what} has no {key}")
        if value[key] is None:
            raise _None(f"{what} has no {key}")
        value = value[key]
    return value


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
    "none": _Verb(_none, 1, _ANY_NUMBER, ("input",)),
}
_LABEL = "by_site"


def derive(receipt: Mapping[str, Any], state: RunState, records: Sequence[Record]) -> dict[str, Any]:
    """Return every declared field with its value, or with ``{"unknown": why}`` or ``{"none": why}``."""
    run = _Run(state, records)
    return {name: _derived(run, said) for name, said in receipt.items()}


def _derived(run: _Run, said: Any) -> Any:
    missing: list[_NoValue] = []
    for alternative in str(said).split("|"):
        read = _parsed(alternative)
        if read is None:
            missing.append(_Unknown(f"the declaration has {alternative.strip()!r}, which is no receipt expression"))
            continue
        try:
            return read.value(run)
        except _NoValue as why:
            missing.append(why)
    return _without_value(missing)


def _without_value(missing: Sequence[_NoValue]) -> dict[str, str]:
    """Say why a field has no value: what this run can't have; else what is unknown; else what there is none of."""
    for kind, word in ((_NotOfThisRun, "none"), (_Unknown, "unknown"), (_None, "none")):
        if reasons := [str(why) for why in missing if isinstance(why, kind)]:
            return {word: "; ".join(dict.fromkeys(reasons))}
    return {"unknown": "the declaration says nothing of it"}


@frozen
class _Read:
    """One alternative of an expression."""

    verb: _Verb
    words: tuple[str, ...]
    labelled: bool

    def value(self, run: _Run) -> Any:
        """Return what it reads. Raises _NoValue."""
        value = self.verb.read(run, *self.words)
        return _by_site(run, value) if self.labelled else value


def _parsed(alternative: str) -> _Read | None:
    words = alternative.split()
    labelled = words[:1] == [_LABEL]
    words = words[1:] if labelled else words
    verb = _VERBS.get(words[0]) if words else None
    if verb is None or not verb.least <= len(words) - 1 <= verb.most:
        return None
    return _Read(verb, tuple(words[1:]), labelled)


def faults(spec: "MachineSpec") -> list[str]:
    """Return, in words, everything that a machine's receipt table says and that its declaration doesn't have."""
    known = {"input": set(spec.inputs), "trigger": set(spec.triggers), "fact": set(spec.facts)}
    legal = {name: set(declared.values) for name, declared in spec.inputs.items() if declared.values}
    return [fault for name, said in spec.receipt.items() for fault in _faults(name, str(said), known, legal)]


def _faults(name: str, said: str, known: Mapping[str, set[str]], legal: Mapping[str, set[str]]) -> Iterator[str]:
    for alternative in said.split("|"):
        read = _parsed(alternative)
        if read is None:
            verbs = ", ".join((*_VERBS, _LABEL))
            yield f"receipt {name}: {alternative.strip()!r} is no expression; its verbs are {verbs}"
            continue
        for kind, word in zip(read.verb.of, read.words, strict=False):
            if word not in known[kind]:
                yield f"receipt {name}: there is no {kind} {word}"
        if read.verb is _VERBS["none"] and (values := legal.get(read.words[0])):
            wrong = [word for word in read.words[1:] or ("",) if word not in values]
            yield from (f"receipt {name}: the input {read.words[0]} is never {word or 'empty'}" for word in wrong)
