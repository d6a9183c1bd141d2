"""From the start of a process to its first new step, with 900 steps done: drfsm's side.

``python -m tests.bench.recovery prepare|drfsm FOLDER``. ``prepare`` takes 900 steps of a declared machine and dies in
the next one, with its intent on disk. ``drfsm`` is the process that goes on: it reads declaration and journal, settles
the open intent, takes the next step, and ends at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from drfsm.adapters.file_journal import FileJournal
from drfsm.engine import Binding, Fact, Runner
from drfsm.spec import load_machine
from drfsm.spec.model import MachineSpec

ROWS, DONE = 960, 900
MACHINE = "machine.yaml"


def bound(spec: MachineSpec, dies_at: int = -1) -> Binding:
    """Return the code of the bench's procedure; the world is a dict. One action may kill the process."""

    def setting(number: int, name: str, value: str) -> Any:
        def act(world: dict[str, str], _run: object) -> None:
            if number == dies_at:
                os._exit(0)
            world[name] = value

        return act

    def reading(name: str, otherwise: str) -> Any:
        return lambda world, _run: {"is": world.get(name, otherwise)}

    actions = {}
    for number, row in enumerate(spec.rows):
        for name, value in row.sets.items():
            actions[row.action or ""] = setting(number, name, value)
            actions[row.undo or ""] = setting(number, name, "value_1")
    facts = {name: "yes" if name.endswith("_ready") else "value_1" for name in spec.facts}
    return Binding(
        facts={
            name: Fact(reading(name, value), lambda seen, _inputs: str(seen["is"])) for name, value in facts.items()
        },
        actions=actions,
    )


def prepare(folder: Path) -> None:
    """Take so many steps, and die in the next."""
    from tests.bench.machines import procedure

    folder.mkdir(mode=0o700)
    (folder / MACHINE).write_text(procedure(ROWS))
    spec = load_machine((folder / MACHINE).read_bytes())
    with FileJournal.create(folder) as journal:
        Runner(spec, bound(spec, dies_at=DONE), {}, journal).start({"mode": "full"}, run_id="run-1")


def go_on(folder: Path) -> None:
    """Settle what was begun, and take the next step."""
    spec = load_machine((folder / MACHINE).read_bytes())
    journal = FileJournal.open(folder)
    runner = Runner(spec, bound(spec), {}, journal)
    assert runner.state.open is not None
    assert runner.state.state == f"step_{DONE}_done"
    runner.advance()
    assert runner.state.state == f"step_{DONE + 1}_done"
    print(json.dumps({"state": runner.state.state}), flush=True)  # noqa: T201  what it is for
    os._exit(0)


if __name__ == "__main__":
    {"prepare": prepare, "drfsm": go_on}[sys.argv[1]](Path(sys.argv[2]))
