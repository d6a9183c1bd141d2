"""What a run that has not begun would meet: each fact is read once, and not where a row before will change it."""

from collections.abc import Mapping
from typing import Any

from drfsm.dr.procedures import MACHINES
from drfsm.engine import Binding, Fact
from drfsm.engine.outlook import BY_WRITING, Change, Outlook, Readings, outlook, readings
from drfsm.errors import LeaseLost, Unreachable
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine
from drfsm.spec.ways import likely_way
from tests.engine.room import machine

ROWS = """
  - {from: start, trigger: dim, to: dark, guards: [door_is_shut], action: dim, sets: {light: off}, effect: idempotent,
     not_undone_because: "it stays dark", because: "dark"}
  - {from: dark, trigger: settle, to: calm, guards: [light_is_off, alarm_is_armed],
     wait: {every_seconds: 1, limit: patience}, because: "calm"}
  - {from: calm, trigger: agree, to: agreed, by: operator, amends: [way], because: "a person"}
  - {from: agreed, trigger: leave, to: done, guards: [light_is_off, alarm_is_armed, door_is_shut], because: "done"}
"""
INPUTS = {"patience": 5, "way": "short"}


def seen_by(
    spec: MachineSpec, world: Mapping[str, Any], later: Mapping[str, str] | None = None
) -> tuple[list[Outlook], list[str], Readings]:
    """Return the outlook on a machine whose facts read a dictionary, and the facts that were observed, in order."""
    observed: list[str] = []

    def fact(name: str) -> Fact:
        def observe(_world: Any, _run: Any) -> Any:
            observed.append(name)
            if isinstance(world[name], Exception):
                raise world[name]
            return world[name]

        return Fact(observe, lambda seen, _inputs: seen)

    actions = {row.action: (lambda _world, _run: 1 / 0) for row in spec.rows if row.action}
    binding = Binding({name: fact(name) for name in spec.facts}, actions)
    read = readings(spec, binding, None, INPUTS, run_id="room-1", asked_later=later or {})
    return list(outlook(spec, INPUTS, read)), observed, read


def outcomes(rows: list[Outlook]) -> dict[str, dict[str, str]]:
    """Return trigger -> guard -> outcome."""
    return {each.row.trigger: {check.guard: check.outcome for check in each.checks} for each in rows}


def test_every_row_is_walked_past_a_refusal_and_past_a_person() -> None:
    """A door that is open stops nothing but its own guards; a person's row is among the others."""
    rows, _, _ = seen_by(machine(ROWS), {"light": "on", "door": "open", "alarm": "armed"})
    assert [each.row.trigger for each in rows] == ["dim", "settle", "agree", "leave"]
    assert outcomes(rows)["dim"] == {"door_is_shut": "failed"}
    assert outcomes(rows)["leave"]["door_is_shut"] == "failed"


def test_a_guard_is_not_judged_by_what_an_earlier_row_changes() -> None:
    """The light is on now, and is set before anybody asks; what a row waits for has that value afterwards."""
    rows, _, _ = seen_by(machine(ROWS), {"light": "on", "door": "shut", "alarm": "loud"})
    assert outcomes(rows)["settle"] == {"light_is_off": "not_evaluated", "alarm_is_armed": "failed"}
    assert outcomes(rows)["leave"] == {
        "light_is_off": "not_evaluated", "alarm_is_armed": "not_evaluated", "door_is_shut": "passed",
    }  # fmt: skip
    changed = rows[-1].changed
    assert changed["light"] == Change("settle", "waits", ("off",))
    assert changed["alarm"] == Change("settle", "waits", ("armed",))
    assert changed["alarm"].meets(["armed", "loud"])
    assert not Change("x", "changes").meets(["armed"])
    assert not Change("x", "waits", ("armed", "loud")).meets(["armed"])


def test_each_fact_is_read_once() -> None:
    """So that the whole plan speaks of one moment, and a site is not asked forty times."""
    _, observed, _ = seen_by(machine(ROWS), {"light": "on", "door": "shut", "alarm": "armed"})
    assert sorted(observed) == ["alarm", "door"]


def test_what_only_writing_tells_is_known_later_and_is_no_fault() -> None:
    """The world refused the write; a fact that could not be read is another matter."""
    world = {"light": "on", "door": LeaseLost("nobody writes here"), "alarm": Unreachable("it is silent")}
    rows, _, read = seen_by(machine(ROWS), world)
    (door,) = rows[0].checks
    assert (door.outcome, door.value, read.asked_later) == ("not_evaluated", None, {"door": BY_WRITING})
    assert [check.value for check in rows[1].checks if check.fact == "alarm"] == ["unknown"]


def test_what_is_asked_later_is_not_read() -> None:
    """A token that nobody has typed yet."""
    rows, observed, _ = seen_by(machine(ROWS), {"light": "on", "door": "shut", "alarm": "armed"}, {"door": "typed"})
    assert "door" not in observed
    assert outcomes(rows)["dim"] == {"door_is_shut": "not_evaluated"}


def test_the_way_of_every_procedure_leads_to_its_end() -> None:
    """With the inputs that each machine declares first; each row begins where the one before it ends."""
    for name in MACHINES:
        spec = load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
        usual = {"auto_promote": "false", "allow_promote_bypass": "false", "promote": "none"}
        inputs = {each.name: each.values[0] if each.values else "" for each in spec.inputs.values()} | usual
        way = likely_way(spec, inputs)
        assert way, name
        assert [row.to for row in way[:-1]] == [row.source for row in way[1:]]
        assert spec.finals[way[-1].to] == "complete"
        assert all(row.selected(inputs) for row in way)
