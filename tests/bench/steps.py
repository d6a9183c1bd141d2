"""Durable steps of a long machine, one action a row: what drfsm takes, and the floor on the same disk.

``python -m tests.bench.steps drfsm|floor ROWS FOLDER`` prints what was measured as one line of JSON. Every row has its
own trigger, action and undo; ten rows share a fact, as a row's facts are few and a machine's are many. The floor writes
the very lines that drfsm wrote, each with ``write`` and ``fdatasync``, and does nothing else.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from drfsm.adapters.file_journal import LOG, FileJournal, read_lines
from drfsm.engine import Binding, Fact, Runner
from drfsm.spec.model import By, Effect, FactSpec, MachineSpec, Row

ROWS_A_FACT = 10
WINDOW = 100  # steps: the first and the last so many are compared


def chain(rows: int) -> MachineSpec:
    """Return a machine of ``rows`` rows with an action each, one after the other, which an abort would undo."""
    facts = {f"part_{number}": FactSpec(f"part_{number}", ("even", "odd")) for number in range(-(-rows // ROWS_A_FACT))}
    steps = [
        Row(
            source=f"step_{number}",
            trigger=f"do_{number}",
            to="done" if number == rows - 1 else f"step_{number + 1}",
            reason=f"Step {number} is done",
            action=f"act_{number}",
            sets={f"part_{number // ROWS_A_FACT}": ("even", "odd")[number % 2]},
            effect=Effect.IDEMPOTENT,
            undo=f"undo_{number}",
        )
        for number in range(rows)
    ]
    ways_out = [
        Row(source="step_1", trigger="abort", to="aborting", by=By.OPERATOR),
        Row(source="aborting", trigger="give_back", to="aborting", foreach="undo"),
        Row(source="aborting", trigger="finish", to="aborted"),
    ]
    finals = {"done": "complete", "aborted": "aborted"}
    return MachineSpec("chain", "steps", "step_0", finals, facts=facts, rows=(*steps, *ways_out), sha256="0" * 64)


def bound(spec: MachineSpec) -> Binding:
    """Return the code of such a machine: the world is a dict, an action sets one of its keys."""

    def setting(name: str, value: str) -> Callable[[dict[str, str], Any], None]:
        return lambda world, _run: world.update({name: value})

    def reading(name: str) -> Callable[[dict[str, str], Any], Any]:
        return lambda world, _run: {"is": world.get(name, "odd")}

    actions = {}
    for row in spec.rows:
        for name, value in row.sets.items():
            actions[row.action or ""] = setting(name, value)
            actions[row.undo or ""] = setting(name, "odd")
    return Binding(
        facts={name: Fact(reading(name), lambda seen, _inputs: str(seen["is"])) for name in spec.facts}, actions=actions
    )


def drfsm_steps(rows: int, bundle: Path) -> dict[str, Any]:
    """Take every step of a machine, each durable; return microseconds a step. Raises AssertionError if it was not."""
    spec = chain(rows)
    bundle.mkdir(mode=0o700)
    world: dict[str, str] = {}
    with FileJournal.create(bundle) as journal:
        runner = Runner(spec, bound(spec), world, journal)
        runner.begin({}, run_id="run-1")
        taken = timed(runner.advance, rows)
        assert (runner.state.status, runner.state.state, runner.state.sealed) == ("complete", "done", True)
    assert len(world) == len(spec.facts)
    assert len(read_lines(bundle)) == 2 * rows + 4  # started, lease, an intent and a commit a row, ended, sealed
    return taken


def timed(step: Callable[[], object], count: int) -> dict[str, Any]:
    """Call a step so often; return the median microseconds of all, of the first and of the last, and of processor."""
    seconds = []
    processor = time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    processor = time.process_time() - processor
    window = min(WINDOW, count // 2)
    return {
        "steps": count,
        "us": median(seconds) * 1e6,
        "first_us": median(seconds[1:window]) * 1e6,
        "last_us": median(seconds[-window:-1]) * 1e6,
        "cpu_us": processor / count * 1e6,
    }


def floor(rows: int, bundle: Path) -> dict[str, Any]:
    """Write the lines of a run that drfsm made before, two a step; return microseconds a step."""
    lines = iter(read_lines(bundle)[2 : 2 * rows + 2])
    descriptor = os.open(bundle / f"{LOG}.floor", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def two_lines() -> None:
        for _ in range(2):
            os.write(descriptor, next(lines))
            os.fdatasync(descriptor)

    try:
        taken = timed(two_lines, rows)
    finally:
        os.close(descriptor)
        size = (bundle / f"{LOG}.floor").stat().st_size
        (bundle / f"{LOG}.floor").unlink()
    assert size == sum(map(len, read_lines(bundle)[2 : 2 * rows + 2]))
    return taken


if __name__ == "__main__":
    who, rows, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    print(json.dumps({"drfsm": drfsm_steps, "floor": floor}[who](rows, folder)))  # noqa: T201  what it is for
