"""docs/runbook-<machine>.md: what to type where a run may stop, from the declaration."""

import click

from drfsm.cli.main import cli
from drfsm.spec import MachineSpec
from drfsm.spec.runbook import Runbook


def page(spec: MachineSpec) -> str:
    """Return the page of a machine."""
    return (
        f"# Runbook: {spec.name}\n\n"
        f"Every state in which a {spec.name} may stop: why, what is frozen then, how long it may last, what to type.\n"
        f"Drawn from [machines/{spec.name}.yaml](../machines/{spec.name}.yaml). [{spec.name}.md]({spec.name}.md) says\n"
        "what the procedure does and why; `drfsm explain NAME` explains a state, a guard or a trigger.\n\n"
        f"{Runbook(spec, defaults_of(spec.name)).page()}"
    )


def defaults_of(name: str) -> dict[str, object]:
    """Return what the options of a procedure's command are worth where they are not given, by input."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return {str(option.name): option.default for option in command.params if isinstance(option.default, int | float)}
