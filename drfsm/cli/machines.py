"""`drfsm machine`: checks, shows and draws declarations, offline."""

import threading
import time
from pathlib import Path
from typing import Self

import click

from drfsm.cli.say import say, say_json, say_text
from drfsm.errors import EvidenceFault, UsageFault
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, check, dump_schema, foresight_table, load_machine, mermaid, table

_named = click.argument("named", metavar="MACHINE")


@click.group()
def machine() -> None:
    """Check, show and draw declared machines. MACHINE is a shipped name (failback) or a YAML file."""


def _load(named: str) -> MachineSpec:
    path = Path(named)
    if path.suffix not in (".yaml", ".yml"):
        path = shipped("machines") / f"{named}.yaml"
    try:
        return load_machine(path.read_bytes(), source=path.name)
    except OSError as fault:
        known = ", ".join(sorted(file.stem for file in shipped("machines").glob("*.yaml")))
        raise UsageFault(f"{path}: {fault.strerror}", hint=f"name a YAML file, or one of {known}") from None


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
@_named
def check_command(named: str) -> None:
    """Search every possible run for a state that must never happen; show the shortest way to it."""
    spec = _load(named)
    with Searching() as searching:
        report = check(spec, begin=searching.begin)
    for line in report.lines():
        say(line)
    if not report.ok:
        raise EvidenceFault(f"{spec.name} is not safe as declared", hint="correct the declaration as the findings say")


@machine.command()
@_named
def show(named: str) -> None:
    """Print the table of transitions, and what is known beforehand of their guards."""
    spec = _load(named)
    say_text(table(spec))
    if foreseen := foresight_table(spec):
        say_text(f"\n{foreseen}")


@machine.command()
@_named
def diagram(named: str) -> None:
    """Print a Mermaid state diagram."""
    say_text(mermaid(_load(named)))


@machine.command()
def schema() -> None:
    """Print the JSON Schema of a declaration, for editors."""
    say_json(dump_schema())
