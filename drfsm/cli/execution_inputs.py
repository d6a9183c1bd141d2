"""A procedure's command as the input of an execution that is to drive it.

Used by promote.py and failback.py. Paths and addresses are no part of the input: they are the worker's own.
"""

from collections.abc import Mapping
from typing import Any

import click

from drfsm.runs.trust import PLACES

ELSEWHERE = "(the worker's own)"

as_execution_input = click.option(
    "--as-execution-input",
    is_flag=True,
    help="Begin nothing: print the input for an execution of the exported machine, whose rows `drfsm worker` takes.",
)


def execution_input(run_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input of an execution: the run's id, and its inputs without what only a worker knows."""
    return {
        "drfsm_run": run_id,
        "inputs": {name: ELSEWHERE if name in PLACES and value else value for name, value in inputs.items()},
    }
