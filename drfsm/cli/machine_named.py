"""The machine that a command names: one that drfsm ships, a YAML file, or the one in a run's bundle."""

from pathlib import Path
from typing import Any

import click

from drfsm.cli.completing import machines
from drfsm.errors import UsageFault
from drfsm.resources import shipped
from drfsm.spec import MachineSpec, load_machine

named_machine = click.argument("named", metavar="MACHINE", shell_complete=machines)


def load_named(named: str) -> MachineSpec:
    """Return a machine. Raises UsageFault where there is none of that name, DeclarationFault for a wrong one."""
    return load_machine(text_of(named), source=path_of(named).name)


def text_of(named: str) -> bytes:
    """Return the declaration of a machine as it is written."""
    try:
        return path_of(named).read_bytes()
    except OSError as fault:
        known = ", ".join(sorted(file.stem for file in shipped("machines").glob("*.yaml")))
        hint = f"name a YAML file, a run's bundle, or one of {known}"
        raise UsageFault(f"{path_of(named)}: {fault.strerror}", hint=hint) from None


def path_of(named: str) -> Path:
    """Return the file of a machine, whether it is there or not. Raises UsageFault for a directory without just one."""
    path = Path(named)
    if path.is_dir():
        declarations = [file for file in sorted(path.glob("*.yaml")) if not file.name.startswith(".")]
        if len(declarations) != 1:
            raise UsageFault(f"{path} holds {len(declarations)} YAML files instead of one", hint="name the file")
        return declarations[0]
    return path if path.suffix in (".yaml", ".yml") else shipped("machines") / f"{named}.yaml"


def pairs_of(words: tuple[str, ...], option: str) -> dict[str, Any]:
    """Return NAME=VALUE options as a table. Raises UsageFault for a word without ``=``."""
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise UsageFault(f"{option} {wrong[0]}: there is no = in it", hint=f"{option} NAME=VALUE")
    return dict(word.split("=", 1) for word in words)
