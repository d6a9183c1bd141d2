"""A declaration of many rows, read: ``python -m tests.bench.loading drfsm|transitions|floor ROWS`` prints JSON.

drfsm reads the YAML and checks everything; transitions builds the same states and rows from values that are read
already; the floor is PyYAML's C loader with the file. Seconds of processor of one thread, the quickest of three.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.bench.machines import procedure

TRIES = 3


def seconds_of(work: Callable[[int], Any]) -> float:
    """Return the seconds of the quickest try. ``work`` takes the number of the try."""
    taken = []
    for number in range(TRIES):
        began = time.thread_time()
        work(number)
        taken.append(time.thread_time() - began)
    return min(taken)


def with_drfsm(text: str, rows: int) -> float:
    """Load it whole; each time another text, as what was loaded once is kept."""
    from drfsm.spec import load_machine

    def load(number: int) -> None:
        spec = load_machine(f"{text}# {number}\n")
        assert len({row.line for row in spec.rows}) == rows

    load_machine(procedure(30))  # what is imported and compiled once is not what is measured
    return seconds_of(load)


def with_transitions(text: str, rows: int) -> float:
    """Build a machine of the same states and rows."""
    from transitions import Machine

    from drfsm.spec import load_machine

    spec = load_machine(text)
    moves = [[row.trigger, row.source, row.to] for row in spec.rows]

    def build(_number: int) -> None:
        machine = Machine(
            model=None, states=list(spec.states), transitions=moves, initial=spec.initial, auto_transitions=False
        )
        assert len(machine.get_transitions()) == len(moves) >= rows

    return seconds_of(build)


def with_yaml(text: str, rows: int) -> float:
    """Let PyYAML's C loader read it."""
    import yaml

    def read(_number: int) -> None:
        assert len(yaml.load(text, Loader=yaml.CSafeLoader)["transitions"]) == rows

    return seconds_of(read)


if __name__ == "__main__":
    count = int(sys.argv[2])
    how = {"drfsm": with_drfsm, "transitions": with_transitions, "floor": with_yaml}[sys.argv[1]]
    print(json.dumps({"cpu": how(procedure(count), count)}))  # noqa: T201  what it is for
