"""`drfsm machine`: an author's verbs, offline. Those with more to say have a module of their own: machine_*.py."""

import os
import threading
import time
from typing import Self

import click

from drfsm.cli.machine_diagram import diagram
from drfsm.cli.machine_diff import diff
from drfsm.cli.machine_export import export
from drfsm.cli.machine_named import load_named, named_machine
from drfsm.cli.machine_new import new
from drfsm.cli.machine_simulate import simulate
from drfsm.cli.say import say, say_json, say_text
from drfsm.errors import EvidenceFault, UsageFault
from drfsm.spec import dump_schema, foresight_table, table
from drfsm.spec.check import LIMIT, check

_QUIET_SECONDS = 2.0  # a check that takes longer says how far it is


@click.group()
def machine() -> None:
    """Check, show, draw, play, compare, export and begin declared machines.

    MACHINE is a shipped name (failback), a YAML file, or a run's bundle.
    """


for command in (diagram, new, simulate, diff, export):
    machine.add_command(command)


class Searching:
    """Says on stderr, as long as a check goes on, every few seconds how far it is; a short one says nothing."""

    def __init__(self, rules: int, every_seconds: float = _QUIET_SECONDS) -> None:
        self._rules, self._every, self._ended = rules, every_seconds, threading.Event()
        self._named, self._noted, self._began = "dead rows", 0, time.monotonic()
        self._thread = threading.Thread(target=self._tell, name="searching", daemon=True)

    def note(self, rule: str) -> None:
        """Note that the search for a rule begins, or, where several go side by side, has ended; "": dead rows."""
        if rule:
            self._named, self._noted = rule, self._noted + 1

    def _tell(self) -> None:
        while not self._ended.wait(self._every):
            lasted = time.monotonic() - self._began
            say(f"still searching, {lasted:.0f} s: {self._named} ({self._noted} of {self._rules} rules)", err=True)

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
@click.option(
    "--rule", "rules", multiple=True, metavar="NAME", help="Search for this never rule only; may be repeated."
)
@click.option(
    "--max-states",
    type=click.IntRange(min=1),
    default=LIMIT,
    show_default=True,
    help="How many moments one search may reach; what is cut off is not proven.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=lambda: min(4, os.cpu_count() or 1),
    show_default="one a core, 4 at most",
    help="How many rules are searched side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--diagram", "as_diagram", is_flag=True, help="Print each way that was found as a Mermaid diagram.")
def check_command(
    named: str, rules: tuple[str, ...], max_states: int, processes: int, *, as_json: bool, as_diagram: bool
) -> None:
    """Search every possible run for what must never happen, and for where a run can't end; show the shortest way there.

    What is searched, and what is left out on purpose, is in docs/checker.md.
    """
    spec = load_named(named)
    known = [rule.name for rule in spec.never]
    for rule in rules:
        if rule not in known:
            raise UsageFault(f"{spec.name} has no never rule {rule}", hint=f"name one of {', '.join(known)}")
    began = time.monotonic()
    with Searching(len(rules) or len(known) + 1) as searching:
        report = check(spec, limit=max_states, only=rules, begin=searching.note, processes=processes)
    if as_json:
        say_json({**report.json, "seconds": round(time.monotonic() - began, 3)})
    else:
        for line in report.lines():
            say(line)
        say(f"{report.json['moments']} moments in {time.monotonic() - began:.1f} s")
    if as_diagram:
        for drawn in report.mermaids:
            say_text(drawn)
    if report.cut_off:
        raise EvidenceFault(f"{spec.name} is not proven: a search was cut off", hint=f"--max-states above {max_states}")
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
