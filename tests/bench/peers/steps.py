"""Durable steps of a long machine as others take them: ``python steps.py PEER ROWS FOLDER`` prints one line of JSON.

transitions   with SQLite (WAL, synchronous=FULL): a row that says what is begun, the action, a row that says it is done
burr          its SQLitePersister writes the state once after each action
dbos          a workflow of steps on SQLite: each step's result is written once after it

Run by the interpreter of build/peers, which has none of drfsm. Only transitions is given what drfsm promises: a record
BEFORE each action. The other two say after it that it was done.
"""

import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any


def told(count: int, seconds: list[float], processor: float) -> dict[str, Any]:
    """Return what was measured, in microseconds a step."""
    window = min(100, count // 2)
    return {
        "steps": count,
        "us": median(seconds) * 1e6,
        "first_us": median(seconds[1:window]) * 1e6,
        "last_us": median(seconds[-window:-1]) * 1e6,
        "cpu_us": processor / count * 1e6,
    }


def timed(step: Callable[[], object], count: int) -> dict[str, Any]:
    """Call a step so often."""
    seconds = []
    processor = time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return told(count, seconds, time.process_time() - processor)


def with_transitions(rows: int, folder: Path) -> dict[str, Any]:
    """Two rows of a table a step, each with a commit of its own."""
    machine_of: Any = import_module("transitions").Machine
    store = sqlite3.connect(folder / "transitions.db", isolation_level=None)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=FULL")
    store.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, kind TEXT, body TEXT)")
    world: dict[str, int] = {}

    class Position:
        state = ""

    position = Position()
    machine: Any = machine_of(
        model=None, states=[f"step_{number}" for number in range(rows + 1)], initial="step_0", auto_transitions=False
    )
    machine.set_state("step_0", position)
    numbers = iter(range(rows))

    def act(number: int) -> None:
        for kind, body in (("intent", {"row": number, "before": world.get("x")}), ("commit", {"row": number})):
            store.execute("INSERT INTO log (kind, body) VALUES (?, ?)", (kind, json.dumps(body)))
            world["x"] = number

    for number in range(rows):
        machine.add_transition(f"do_{number}", f"step_{number}", f"step_{number + 1}", before=lambda n=number: act(n))
    taken = timed(lambda: machine.events[f"do_{next(numbers)}"].trigger(position), rows)
    assert position.state == f"step_{rows}"
    assert store.execute("SELECT count(*) FROM log").fetchone() == (2 * rows,)
    return taken


def with_burr(rows: int, folder: Path) -> dict[str, Any]:
    """Take one action of an application again and again; it is saved each time."""
    core: Any = import_module("burr.core")
    persistence: Any = import_module("burr.core.persistence")
    persister = persistence.SQLitePersister(db_path=str(folder / "burr.db"), table_name="steps")
    persister.initialize()

    @core.action(reads=["number"], writes=["number"])  # type: ignore[untyped-decorator]
    def act(state: Any) -> Any:
        return state.update(number=state["number"] + 1)

    application = (
        core.ApplicationBuilder()
        .with_actions(act=act)
        .with_transitions(("act", "act", core.expr("number >= 0")))
        .with_state(number=0)
        .with_entrypoint("act")
        .with_identifiers(app_id="run-1", partition_key="p")
        .with_state_persister(persister)
        .build()
    )
    taken = timed(application.step, rows)
    assert application.state["number"] == rows
    assert sqlite3.connect(folder / "burr.db").execute("SELECT count(*) FROM steps").fetchone() == (rows,)
    return taken


def with_dbos(rows: int, folder: Path) -> dict[str, Any]:
    """One workflow of so many steps; then its steps are counted in the database."""
    dbos: Any = import_module("dbos")
    logging.disable(logging.WARNING)
    database = f"sqlite:///{folder / 'dbos.db'}"
    dbos.DBOS(config={"name": "steps", "system_database_url": database, "run_admin_server": False})
    seconds: list[float] = []

    @dbos.DBOS.step()  # type: ignore[untyped-decorator]
    def act(number: int) -> int:
        return number

    @dbos.DBOS.workflow()  # type: ignore[untyped-decorator]
    def work() -> int:
        for number in range(rows):
            began = time.perf_counter()
            act(number)
            seconds.append(time.perf_counter() - began)
        return len(seconds)

    dbos.DBOS.launch()
    processor = time.process_time()
    assert work() == rows
    taken = told(rows, seconds, time.process_time() - processor)
    counted = sqlite3.connect(folder / "dbos.db").execute("SELECT count(*) FROM operation_outputs").fetchone()
    assert counted == (rows,), counted
    return taken


if __name__ == "__main__":
    peers = {"transitions": with_transitions, "burr": with_burr, "dbos": with_dbos}
    place = Path(sys.argv[3])
    place.mkdir(mode=0o700)
    print(json.dumps(peers[sys.argv[1]](int(sys.argv[2]), place)), flush=True)  # noqa: T201  what it is for
    os._exit(0)  # DBOS has threads that end by themselves after seconds
