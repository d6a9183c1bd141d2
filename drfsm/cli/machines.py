"""`drfsm machine`: an author's verbs, offline. Those with more to say have a module of their own: machine_*.py."""

import threading
import time
from typing import Self

import click

from drfsm.cli.machine_diagram import diagram
from drfsm.cli.machine_diff import diff
from drfsm.cli.machine_named import load_named, named_machine
from drfsm.cli.machine_new import new
from drfsm.cli.machine_simulate import simulate
from drfsm.cli.say import say, say_json, say_text
from drfsm.errors import EvidenceFault
from drfsm.spec import check, dump_schema, foresight_table, table


@click.group()
def machine() -> None:
    """Check, show, draw, play, compare and begin declared machines.

    MACHINE is a shipped name (failback), a YAML file, or a run's bundle.
    """


for command in (diagram, new, simulate, diff):
    machine.add_command(command)


class Searching:
    """Says on stderr which rule is searched for, and, as long as one search goes on, every few seconds for how long."""

    def __init__(self, every_seconds: float = 2.0) -> None:
        self._every, self._ended = every_seconds, threading.Event()
        self._rule, self._began = "", time.monotonic()
        self._thread = threading.Thread(target=self._tell, name="searching", daemon=True)

    def begin(self, rule: str) -> None:
        """Say that the search for a rule begins, "" for dead rows."""
        self._rule, self._began = rule or "dead rows", time.monotonic()
        say(f"searching for {self._rule} ...", err=True)

    def _tell(self) -> None:
        while not self._ended.wait(self._every):
            lasted = time.monotonic() - self._began
            if lasted >= self._every:
                say(f"still searching for {self._rule}, {lasted:.0f} s", err=True)

    def __enter__(self) -> Self:
        """Begin to watch the time."""
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()


@machine.command("check")
@named_machine
def check_command(named: str) -> None:
    """Search every possible run for a state that must never happen; show the shortest way to it."""
    spec = load_named(named)
    with Searching() as searching:
        report = check(spec, begin=searching.begin)
    for line in report.lines():
        say(line)
    if not report.ok:
        raise EvidenceFault(f"{spec.name} is not safe as declared", hint="correct the declaration as the findings say")


@machine.command()
@named_machine
def show(named: str) -> None:
    """Print the table of transitions, and what is known beforehand of their guards."""
    spec = load_named(named)
    say_text(table(spec))
    if foreseen := foresight_table(spec):
        say_text(f"\n{foreseen}")


@machine.command()
def schema() -> None:
    """Print the JSON Schema of a declaration, for editors."""
    say_json(dump_schema())
