"""Whether what speaks of the same thing says the same: inputs, what actions returned, and what was seen.

A judge looks at one reading. Somebody who rewrites a log, chain and all, may alter what no judge asks: the bucket of
an input, what an action returned. Much of that is said twice in a log. The table of such pairs belongs to whoever
knows the facts (dr/procedures/bound.py); one line is

    result publish_artifacts tree_sha256   is      seen artifacts tree_sha256
    seen captured @ captured               each    result capture_pointers pointers @ etag
    seen captured #                        among   result capture_pointers pointers #
    seen adoption reason                   equals  input reason                     (also where one of them is empty)
    seen dr_run where                      below   text s3://{bucket}/{prefix}      (``|``: or another text)

The left side is looked at in every record that has it, the right side by what is known there: this record, else what
was read or returned before. ``*`` stands for every member, ``#`` for every key, ``@`` for the members
of the same key. Where one side has no value, nothing is
said. An alteration of both sides is not found here, but by a signature or another copy. Pure. Called by kinds.py.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from drfsm.evidence.audit.findings import Findings
from drfsm.journal import Record, RunState
from drfsm.journal.record_types import Commit, Sampled, Transition

_WITH_FACTS = (Transition, Sampled)
_NAMED = re.compile(r"\{([a-z_0-9]+)\}")
_RELATIONS = {
    "is": "the same as",
    "equals": "the same as",
    "among": "among",
    "below": "below",
    "each": "for each key the same as",
}


@frozen
class Pair:
    """Two expressions that speak of the same thing, and how they must agree."""

    left: tuple[str, ...]
    relation: str
    right: tuple[str, ...]

    @property
    def code(self) -> str:
        """The code of a finding."""
        if self.right[0] in ("input", "text", "run"):
            return "input_unlike_seen"
        return "result_unlike_seen" if "result" in (self.left[0], self.right[0]) else "reading_unlike_earlier"


def pairs(table: str) -> tuple[Pair, ...]:
    """Return the pairs of a table, a line each. Raises ValueError for a line that is none."""
    return tuple(_pair(line.split()) for line in table.splitlines() if line.strip())


def _pair(words: Sequence[str]) -> Pair:
    (at,) = [place for place, word in enumerate(words) if word in _RELATIONS]
    return Pair(tuple(words[:at]), words[at], tuple(words[at + 1 :]))


class Bound:
    """Holds the records of one run against such a table."""

    def __init__(self, table: Sequence[Pair], findings: Findings) -> None:
        self._findings = findings
        self._by_name: dict[tuple[str, str], list[Pair]] = {}
        for pair in table:
            self._by_name.setdefault((pair.left[0], pair.left[1]), []).append(pair)

    def hold(self, record: Record, state: RunState) -> None:
        """Add a finding for each pair that disagrees in a record. ``state``: before it."""
        if not self._by_name:
            return
        content = record.content
        here = _Known(record, state)
        if isinstance(content, _WITH_FACTS):
            for fact in content.facts:
                self._each(record, ("seen", fact), here)
        if isinstance(content, Commit):
            self._each(record, ("result", content.trigger), here)
            self._each(record, ("args", content.trigger), here)

    def _each(self, record: Record, name: tuple[str, str], here: "_Known") -> None:
        for pair in self._by_name.get(name, ()):
            left, right = here.values(pair.left), here.values(pair.right)
            if pair.relation == "equals":
                left, right = here.values(pair.left, empty=True), here.values(pair.right, empty=True)
            if pair.relation == "each":
                right = [here.keyed(pair.right)]
                left = [each for each in here.keyed(pair.left).items() if right[0].get(each[0], each[1]) != each[1]]
            wrong = [value for value in left if right and not _agree(value, pair.relation, right)]
            if wrong:
                what = f"{' '.join(pair.left)} is not {_RELATIONS[pair.relation]} {' '.join(pair.right)}"
                expected: Any = right[0] if len(right) == 1 else right
                self._findings.add(record.seq, pair.code, what, expected=expected, found=wrong[0])


def _agree(value: Any, relation: str, right: Sequence[Any]) -> bool:
    if relation == "each":
        return False  # only what differs is asked here
    if relation == "among":
        return value in right
    if relation == "below":
        return any(str(value) == str(each) or str(value).startswith(f"{each}/") for each in right)
    return all(value == each for each in right)


class _Known:
    """What is known where a record stands."""

    def __init__(self, record: Record, state: RunState) -> None:
        content = record.content
        facts = content.facts if isinstance(content, _WITH_FACTS) else {}
        commit = content if isinstance(content, Commit) else None
        self._facts = {**state.facts, **facts}
        self._results = {**state.results, **({commit.trigger: commit.result} if commit is not None else {})}
        self._args = {**state.args, **({commit.trigger: commit.args} if commit is not None else {})}
        self._inputs = {**state.inputs, **(content.amends if isinstance(content, Transition) else {})}
        self._run = {
            "run_id": state.run_id,
            "operator": state.operator,
            "starter": state.actors[0] if state.actors else None,
        }

    def values(self, words: Sequence[str], *, empty: bool = False) -> list[Any]:
        """Return every value of an expression; [] where there is none. ``empty``: an empty text is one."""
        kind, name, *path = words
        match kind:
            case "text":
                return self._text(name)
            case "input":
                found: Any = self._inputs.get(name)
            case "run":
                found = self._of_run(name)
            case "seen":
                found = self._facts[name].seen if name in self._facts else None
            case "result":
                found = self._results.get(name)
            case _:
                found = self._args.get(name)
        blank = (None,) if empty else (None, "")
        return [value for value in _within(found, path) if value not in blank and not _says_why(value)]

    def keyed(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the values of an expression with ``@`` by its keys."""
        at = words.index("@")
        members = self.values(words[:at])
        found = members[0] if members and isinstance(members[0], Mapping) else {}
        inner = {key: list(_within(member, words[at + 1 :])) for key, member in found.items()}
        return {key: values[0] for key, values in inner.items() if values and values[0] not in (None, "")}

    def _of_run(self, name: str) -> Any:
        starter = self._run["starter"]
        if name == "run_id":
            return self._run["run_id"]
        return getattr(starter, name, None) if starter is not None else None

    def _text(self, form: str) -> list[Any]:
        known = {"run_id": self._run["run_id"], **self._inputs}
        forms = [part for part in form.split("|") if all(known.get(name) for name in _NAMED.findall(part))]
        return [_NAMED.sub(lambda name: str(known[name[1]]), part) for part in forms]  # an empty input says nothing


def _says_why(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= {"unknown", "none"}


def _within(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    key, *rest = path
    if isinstance(value, Mapping):
        if key == "#":
            yield from value
        elif key == "*":
            for member in value.values():
                yield from _within(member, rest)
        elif key in value:
            yield from _within(value[key], rest)
    elif isinstance(value, list | tuple) and key == "*":
        for member in value:
            yield from _within(member, rest)
