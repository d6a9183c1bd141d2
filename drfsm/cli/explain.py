"""`drfsm explain`: what a state, a trigger, a guard, a fact or an exit code means. Offline. Words: explanations.py."""

from typing import Any

import click

from drfsm.cli.completing import explained as completed_names
from drfsm.cli.explanations import explained, lines, names, shipped_machines
from drfsm.cli.machine_named import load_named
from drfsm.cli.nearest import did_you_mean
from drfsm.cli.reading_options import output_format
from drfsm.cli.say import say, say_json
from drfsm.errors import UsageFault


@click.command()
@click.argument("name", required=False, shell_complete=completed_names)
@click.option(
    "--machine", default="", metavar="MACHINE", help="Only of this machine: a name, a YAML file, or a run's bundle."
)
@output_format
def explain(name: str | None, machine: str, output: str) -> None:
    """Explain NAME: a state, trigger, guard or fact of a machine, an exit code, or a finding of doctor, start or audit.

    Without NAME, list all.
    """
    specs = [load_named(machine)] if machine else shipped_machines()
    if name is None:
        _list_names(dict.fromkeys(names(specs)), output)
        return
    entries = explained(name, specs)
    if not entries:
        question = did_you_mean(name, dict.fromkeys(known for known, _ in names(specs)), "drfsm explain ")
        raise UsageFault(f"nothing is named {name!r}. {question}".strip(), hint="drfsm explain   lists every name")
    if output == "json":
        say_json(entries)
        return
    for number, entry in enumerate(entries):
        if number:
            say()
        for line in lines(entry):
            say(line)


def _list_names(known: dict[tuple[str, str], Any], output: str) -> None:
    if output == "json":
        say_json([{"name": name, "kind": kind} for name, kind in known])
        return
    for name, kind in known:
        say(f"{kind:<10} {name}")
