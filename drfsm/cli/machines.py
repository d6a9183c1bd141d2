"""`drfsm machine`: checks, shows and draws declarations, offline."""

import click

from drfsm.cli.machine_diff import diff
from drfsm.cli.machine_named import load_named, named_machine
from drfsm.cli.machine_new import new
from drfsm.cli.machine_simulate import simulate
from drfsm.cli.say import say, say_json, say_text
from drfsm.errors import EvidenceFault
from drfsm.spec import check, dump_schema, foresight_table, mermaid, table


@click.group()
def machine() -> None:
    """Check, show and draw declared machines. MACHINE is a shipped name (failback), a YAML file, or a run's bundle."""


for command in (new, simulate, diff):
    machine.add_command(command)


@machine.command("check")
@named_machine
def check_command(named: str) -> None:
    """Search every possible run for a state that must never happen; show the shortest way to it."""
    spec = load_named(named)
    report = check(spec, begin=lambda rule: say(f"searching for {rule or 'dead rows'} ...", err=True))
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
@named_machine
def diagram(named: str) -> None:
    """Print a Mermaid state diagram."""
    say_text(mermaid(load_named(named)))


@machine.command()
def schema() -> None:
    """Print the JSON Schema of a declaration, for editors."""
    say_json(dump_schema())
