"""A world that is a dictionary, and a binding for any machine to it: what a machine does, without what it is for.

A fact is a few keys of the world: ``sluices/0``, ``sluices/1``, ... where it may be ``mixed``, else one. An action
writes its row's ``sets`` key by key, so that there are crashes in its middle. Every request passes the world's fuse.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from drfsm.engine import Act, Binding, Fact, Run
from drfsm.spec import MachineSpec
from drfsm.testing.fuse import Fuse

WHOLE_KEYS = 3  # of a fact that may be mixed
Data = dict[str, str]


@define
class World:
    """Keys and values, behind a fuse."""

    data: Data
    fuse: Fuse = field(factory=Fuse)

    @property
    def seen(self) -> list[tuple[str, ...]]:
        """What was asked of it, in order, together with the journal's records."""
        return self.fuse.seen

    def get(self, key: str) -> str:
        """Read one key."""
        self.seen.append(("read", key))
        return str(self.fuse.read(lambda: self.data.get(key, ""), f"the read of {key}"))

    def put(self, key: str, value: str) -> None:
        """Write one key."""
        self.fuse.write(lambda: self._put(key, value), f"the write of {key}")

    def _put(self, key: str, value: str) -> None:
        self.seen.append(("write", key, value))
        self.data[key] = value
        if f"{key}#count" in self.data:  # what must happen once is counted where no crash forgets it
            self.data[f"{key}#count"] = str(int(self.data[f"{key}#count"]) + 1)


# --- a binding for any machine ----------------------------------------------------------------------------


def keys_of(spec: MachineSpec, fact: str) -> list[str]:
    """Return the keys of the world that make up a fact."""
    several = "mixed" in spec.facts[fact].values
    return [f"{fact}/{number}" for number in range(WHOLE_KEYS)] if several else [fact]


def data_of(spec: MachineSpec, values: Mapping[str, str]) -> Data:
    """Return a world in which the facts have these values."""
    return {key: value for fact, value in values.items() for key in keys_of(spec, fact)}


def quiet(spec: MachineSpec, **values: str) -> dict[str, str]:
    """Return a value for every fact such that the machine's guards hold and its actions have something to do."""
    needed: dict[str, str] = {}
    for guard in spec.guards.values():
        for fact, options in guard.requires.items():
            needed.setdefault(fact, options[0])
    values_by_fact: dict[str, str] = {}
    for name, declared in spec.facts.items():
        set_to = {row.sets[name] for row in spec.rows if name in row.sets}
        unset = [value for value in declared.values if value not in set_to]
        default = unset[0] if set_to and unset else needed.get(name, declared.values[0])
        values_by_fact[name] = declared.initial[0] if declared.initial else default
    return values_by_fact | values


def inputs_of(spec: MachineSpec, **values: Any) -> dict[str, Any]:
    """Return inputs for a run: of each the first declared value, or 5 where any number or text will do."""
    return {name: (declared.values[0] if declared.values else "5") for name, declared in spec.inputs.items()} | values


def binding_of(spec: MachineSpec, **more: Act) -> Binding:
    """Bind every fact of a machine to its keys, and every action to writing what its row sets."""
    actions: dict[str, Act] = {}
    for row in spec.rows:
        for name in (row.action, row.undo):
            if name:
                actions[name] = _act(spec, name)
        if row.attempts.repair:
            actions[row.attempts.repair] = lambda _world, _run: None
    facts = {name: _fact(spec, name) for name, fact in spec.facts.items() if not fact.hidden}
    return Binding(facts, {**actions, **more})


def _fact(spec: MachineSpec, name: str) -> Fact:
    keys, values = keys_of(spec, name), spec.facts[name].values

    def judge(seen: Mapping[str, str], _inputs: Mapping[str, Any]) -> str | None:
        parts = set(seen.values())
        one = parts.pop() if len(parts) == 1 else "mixed"
        return one if one in values else None

    return Fact(lambda world, _run: {key: world.get(key) for key in keys}, judge)


def _act(spec: MachineSpec, name: str) -> Act:
    """Return an act that writes, key by key: as an undo the images before, else what its row sets."""

    def act(world: World, run: Run) -> dict[str, Any]:
        world.seen.append(("act", name))
        sets = next((row.sets for row in spec.rows if (row.action, row.trigger) == (name, run.trigger)), {})
        wanted = {key: value for image in run.undoing.values() for key, value in image.items()}
        wanted = wanted or {key: value for fact, value in sets.items() for key in keys_of(spec, fact)}
        for key, value in wanted.items():
            if world.data.get(key) != value or f"{key}#count" in world.data:
                world.put(key, value)
        return {"did": name}

    return act
