"""Expands a declaration's shorthand: old key names, defaults, groups of states.

    defaults: {effect: idempotent, attempts: {max: 3}}     for each row with an action that doesn't say otherwise
    groups: {frozen_states: [a, b]}                        a name for states, wherever states are listed
    from: [a, {state: b, when: {validate: asked}}]         rows that differ only in their source and its ``when``
    guards: {still_ours: {watched: [frozen_states], …}}    a guard of every row by which the runner leaves these states

Runs before any check, so that every later rule sees plain rows only. Owns the faults of the first three; build.py gives
the rows their watched guards. Refuses unused shorthand: a group or a default without a row. Called by declare.py.
"""

from collections.abc import Iterable, Mapping
from typing import Self

import yaml

from drfsm.spec.words import Block, Faults, Kind, Word, did_you_mean

OLD_KEYS: Mapping[str, str] = {
    "final_write": "point_of_no_return",
    "keeps": "not_undone_because",
    "each": "foreach",
    "abandons": "overrides_open_intent",
}
"""Keys of a row up to 0.2.0 -> their names now. Runs that 0.1.0 and 0.2.0 started pin declarations that use them."""


MOST = 5_000
"""States that all groups of a declaration may stand for, counted wherever one is listed (136 in promote.yaml)."""


class Source(Word):
    """A state that a row leaves, with the inputs that select the row there."""

    __slots__ = ("when",)
    when: Mapping[Word, tuple[Word, ...]]

    @classmethod
    def of(cls, state: Word, when: Mapping[Word, tuple[Word, ...]]) -> Self:
        """Return ``state`` as a source, on the line where it is written."""
        source = cls(state, state.line)
        source.when = when
        return source


def source(name: Kind, with_when: Kind) -> Kind:
    """Return the kind of one source: a state's name, or ``{state: NAME, when: {...}}``."""

    def read(node: yaml.Node, faults: Faults, called: str) -> Source | None:
        if not isinstance(node, yaml.MappingNode):
            state = name.read(node, faults, called)
            return None if state is None else Source.of(state, {})
        declared = with_when.read(node, faults, called)
        return Source.of(declared["state"], declared.get("when", {})) if declared and "state" in declared else None

    return Kind(read, {"anyOf": [name.schema, with_when.schema]})


def members(states: Kind) -> Kind:
    """Return the kind of a group: a list of states. A list at fault is read as (), so that its name stays known.

    Else each use of the name would be a fault of its own, and a misleading one.
    """

    def read(node: yaml.Node, faults: Faults, called: str) -> tuple[Word, ...]:
        listed: tuple[Word, ...] | None = states.read(node, faults, called)
        return listed or ()

    return Kind(read, states.schema)


def groups_are_whole(machine: Block) -> bool:
    """Say whether each group was read without a fault, so that the lists which use it hold what was meant."""
    return all(machine.get("groups", {}).values())


def write_out(machine: Block, faults: Faults) -> None:
    """Write out the machine's groups and defaults, in place."""
    _Groups(machine, faults).write_out()
    _write_out_defaults(machine, faults)


# --- groups of states -----------------------------------------------------------------------------------


class _Groups:
    """The groups of one machine: what each stands for, and which of them are used.

    A group may hold only groups that stand above it, so that there is no circle, and one pass writes them all out.
    """

    def __init__(self, machine: Block, faults: Faults) -> None:
        self._machine, self._faults = machine, faults
        self._declared: Mapping[Word, tuple[Word, ...]] = machine.get("groups", {})
        self._states: dict[str, tuple[Word, ...]] = {}
        self._used: set[str] = set()
        self._left = MOST

    def write_out(self) -> None:
        """Replace each group by its states in every list of states, and find what is wrong with the groups."""
        if not self._declared:
            return
        for name, members in self._declared.items():
            self._states[name] = self._written_out(members, f"group {name}")
        self._refuse_groups_as_states()
        for row in self._machine.get("transitions", ()):
            if "from" in row:
                row["from"] = self._written_out(row["from"], "from")
        rules = [rule for section in ("environment", "never") for rule in self._machine.get(section, ())]
        for key, blocks in (("states", rules), ("watched", self._machine.get("guards", {}).values())):
            for block in (block for block in blocks if key in block):
                block[key] = self._written_out(block[key], key)
        for name in self._declared:
            if name not in self._used and self._declared[name]:
                self._faults.add(name.line, f"group {name} is used nowhere", "list it in from or states, or remove it")
        self._refuse_unknown()

    def _written_out(self, names: Iterable[Word], called: str) -> tuple[Word, ...]:
        """Return the states of one list, each once, in the order in which they are named."""
        states: dict[str, Word] = {}
        for name in names:
            for state in self._states_of(name, called):
                if state in states:
                    by = f" (group {name} holds it, too)" if name in self._declared else ""
                    self._faults.add(name.line, f"{state} is in {called} twice{by}", "remove one")
                states.setdefault(state, Source.of(state, name.when) if isinstance(name, Source) else state)
        return tuple(states.values())

    def _states_of(self, name: Word, called: str) -> tuple[Word, ...]:
        if name not in self._declared:
            return (name,)
        self._used.add(name)
        if name not in self._states:
            self._faults.add(name.line, f"{called} holds {name}, which is not declared above it", "move it up, or out")
        states = self._states.get(name, ())
        if len(states) <= self._left:
            self._left -= len(states)
            return states
        self._faults.add(name.line, f"with {name}, groups stand for more than {MOST} states in all", "list fewer")
        return ()

    def _refuse_groups_as_states(self) -> None:
        """Find groups where one state is meant: a row leads to one state, a run begins and ends in one."""
        rows = [row for row in self._machine.get("transitions", ()) if "to" in row]
        named = [
            *(("to", row["to"]) for row in rows),
            *(("finals", state) for state in self._machine.get("finals", ())),
        ]
        named += [("initial", self._machine["initial"])] if "initial" in self._machine else []
        for key, word in named:
            if word in self._declared:
                self._faults.add(word.line, f"{key} names the group {word}", "name one state, or rename the group")

    def _refuse_unknown(self) -> None:
        """Find a member that is neither a state nor a group, and a source that has nearly the name of a group."""
        rows = self._machine.get("transitions", ())
        states = {row["to"] for row in rows if "to" in row} | {self._machine.get("initial", "")}
        for member in (member for members in self._declared.values() for member in members):
            if member not in states and member not in self._declared:
                mend = did_you_mean(member, [*states, *self._declared], "remove it, or add the row that leads there")
                self._faults.add(member.line, f"{member} is neither a group nor a state that a row leads to", mend)
        for state in (state for row in rows for state in row.get("from", ())):
            mend = "" if state in states else did_you_mean(state, self._declared, "")
            if mend:
                self._faults.add(state.line, f"there is no group {state}, and no row leads to such a state", mend)


# --- defaults of rows -----------------------------------------------------------------------------------


def _write_out_defaults(machine: Block, faults: Faults) -> None:
    """Give every row with an action the defaults that it doesn't override."""
    defaults = machine.get("defaults", Block(0))
    rows = [row for row in machine.get("transitions", ()) if "action" in row.lines]
    for key, value in defaults.items():
        silent = [row for row in rows if key not in row.lines]
        if not silent:
            faults.add(defaults.at(key), f"no row uses the default {key}", "remove it")
        for row in rows:
            if row.get(key) == value:
                faults.add(row.at(key), f"{key} is what defaults say anyway", "remove it here")
        for row in silent:
            row[key], row.lines[key] = value, row.at("action")
