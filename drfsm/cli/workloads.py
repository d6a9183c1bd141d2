"""`drfsm workload`: checks and shows the contract of a workload, offline. Exit codes: 0 done, 2 no contract."""

from pathlib import Path

import click

from drfsm.cli.outcome import output
from drfsm.cli.say import say, say_json, say_text
from drfsm.files import given_file

_named = click.argument("file", required=False, default="", metavar="[FILE]")


@click.group()
def workload() -> None:
    """Check and show a workload's contract. FILE is its YAML; without it, the one that drfsm ships is meant."""


def _text(file: str) -> tuple[bytes, str]:
    from drfsm.dr.workload import SHIPPED

    path = Path(file) if file else SHIPPED
    return given_file(path, "the contract"), path.name


@workload.command()
@_named
@output
def check(file: str, output: str) -> None:
    """Read a contract strictly: every fault with its line, and what it amounts to where there is none."""
    from drfsm.dr.workload import digest, read

    contract = read(*_text(file))
    pair = (contract.defaults.provider, contract.defaults.profile)
    sha256 = digest(contract)
    report = [contract.report.key] if contract.report and contract.report.required else []
    record = {"workload": contract.name, "sha256": sha256, "required": [*contract.required(pair), *report]}
    if output == "json":
        say_json(record)
        return
    say(f"{contract.name}: sha256 {sha256}")
    say(f"  publishes where {' and '.join(f'{name}={value}' for name, value in contract.switches.on.items())}")
    for path in contract.required(pair):
        say(f"  a run of {pair[0]}, {pair[1]} must have {path}")
    for path in report:
        say(f"  a run must have its report {path}")


@workload.command()
@_named
def show(file: str) -> None:
    """Print a contract as YAML, with everything that it leaves out."""
    import json

    import yaml

    from drfsm.dr.workload import canonical, read

    say_text(yaml.safe_dump(json.loads(canonical(read(*_text(file)))), sort_keys=False))


@workload.command()
def schema() -> None:
    """Print the JSON Schema of a contract, for editors."""
    from drfsm.dr.workload import SCHEMA

    say_json(SCHEMA)
