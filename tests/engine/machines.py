"""Machines to be killed: a small one that has everything, and the real failback."""

from pathlib import Path
from typing import Any

from drfsm.engine import Act, Run
from drfsm.errors import ActionFailed
from drfsm.resources import shipped
from drfsm.spec import load_machine
from drfsm.testing.world import World, binding_of, data_of, inputs_of, quiet
from tests.engine.bench import Bench, Left

MILL = """
machine: mill
because: "The mill is handed over, and no wheel turns unseen"
initial: asked
finals: {handed_over: complete, given_back: aborted, refused: refused}
inputs:
  token: {values: [right, wrong], because: "whether the asker may ask"}
  patience: {because: "seconds to wait for the wheel"}
facts:
  token: {values: [right, wrong], local: true}
  road: {values: [open, blocked]}
  sluices: {values: [up, down, mixed], initial: [up]}
  bell: {values: [silent, rung, mixed], initial: [silent]}
  doors: {values: [open, shut, mixed], initial: [open]}
  wheel: {values: [still, turning]}
  key: {values: [old, new], initial: [old]}
  sign: {values: [old, new, mixed], initial: [old]}
  lamp: {values: [dark, lit], initial: [dark]}
guards:
  token_is_right: {requires: {token: right}, because: "Anybody could ask"}
  road_is_open: {requires: {road: open}, because: "Nobody can come"}
  sluices_are_up: {requires: {sluices: up}, because: "They are let down from the top"}
  wheel_is_still: {requires: {wheel: still}, because: "A turning wheel takes a hand"}
  sign_is_old: {requires: {sign: old}, because: "It is painted over once"}
frozen:
  - {when: {sluices: down}, because: "no water comes"}
transitions:
  - {from: asked, trigger: ask, to: heard, guards: [token_is_right], because: "It is wanted"}
  - {from: heard, trigger: look, to: seen, guards: [road_is_open], action: look, effect: none,
     attempts: {max: 2, backoff_seconds: 1}, because: "The road is open"}
  - {from: seen, trigger: let_down, to: dammed, guards: [sluices_are_up], action: let_down, sets: {sluices: down},
     effect: idempotent, attempts: {max: 2, backoff_seconds: 1, repair: oil}, undo: pull_up, because: "No water"}
  - {from: dammed, trigger: shut_doors, to: shut, action: shut_doors, sets: {doors: shut}, effect: idempotent,
     not_undone_because: "the doors stay shut: rats", because: "Nobody walks in"}
  - {from: shut, trigger: await_wheel, to: still, guards: [wheel_is_still],
     wait: {every_seconds: 1, limit: patience, consecutive: 2}, because: "It runs down"}
  - {from: still, trigger: ring, to: told, action: ring, sets: {bell: rung}, effect: once,
     not_undone_because: "what was heard is heard", because: "Everybody knows"}
  - {from: told, trigger: hand_over, to: handed, guards: [wheel_is_still, sign_is_old], action: hand_over,
     sets: {key: new, sign: new}, effect: idempotent, attempts: {max: 2, backoff_seconds: 1}, point_of_no_return: true,
     because: "The new miller has it"}
  - {from: handed, trigger: light, to: handed_over, action: light, sets: {lamp: lit}, effect: idempotent,
     because: "Work begins"}
  - {from: still, trigger: leave_sluices, to: told, by: operator, action: half_up, sets: {sluices: mixed},
     effect: idempotent, undo: half_down, because: "A person wants some water"}
  - {from: [asked, heard, seen], trigger: refuse, to: refused, by: failure, because: "Nothing moved"}
  - {from: [heard, seen, dammed, shut, still, told], trigger: abort, to: going_back, by: operator,
     because: "All is given back"}
  - {from: going_back, trigger: undo_newest, to: going_back, foreach: undo, attempts: {max: 2}, because: "Newest first"}
  - {from: going_back, trigger: finish_abort, to: given_back, because: "All is as before"}
  - {from: going_back, trigger: waive_undo, to: going_back, by: operator, foreach: undo, because: "A person answers"}
"""


def oiled(act: Act) -> tuple[Act, Act]:
    """Return an action that fails until its repair was called, and that repair."""

    def stiff(world: World, run: Run) -> Any:
        if world.get("oil") != "yes":
            raise ActionFailed("it is stiff")
        return act(world, run)

    return stiff, lambda world, _run: world.put("oil", "yes")


def mill_bench() -> Bench:
    """Return the small machine with everything: its sluices are stiff until they are oiled."""
    spec = load_machine(MILL, source="mill.yaml")
    plain = binding_of(spec)
    let_down, oil = oiled(plain.actions["let_down"])
    binding = binding_of(spec, let_down=let_down, oil=oil)
    data = data_of(spec, quiet(spec)) | {f"bell/{number}#count": "0" for number in range(3)} | {"oil": "no"}
    return Bench(spec, binding, {"token": "right", "patience": 5}, Left(tuple(sorted(data.items()))))


def failback_bench() -> Bench:
    """Return the shipped failback in a world in which nothing happens by itself and every guard holds."""
    path = shipped("machines") / "failback.yaml"
    spec = load_machine(Path(path).read_bytes(), source=path.name)
    data = data_of(spec, quiet(spec, users="stay"))  # as `endpoints: none` has it
    return Bench(spec, binding_of(spec), inputs_of(spec), Left(tuple(sorted(data.items()))))
