"""A procedure's command as the input of an execution that is to drive it; and the notice that a run waits.

Used by promote.py and failback.py. Paths and addresses are no part of the input: they are the worker's own.
"""

from collections.abc import Mapping
from typing import Any

import click

from drfsm.cli.say import say
from drfsm.errors import DrfsmError
from drfsm.runs.run_context import Outcome
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


def tell_topic(topic_arn: str, outcome: Outcome) -> None:
    """Notify a topic where a promote waits for its approval. A topic that does not answer stops nothing."""
    from drfsm.adapters.aws_session import Services
    from drfsm.runs import notices

    state = outcome.state
    reading = state.facts.get("approval")
    if state.status != "held" or state.state != "dr_run_verified" or reading is None or not reading.seen:
        return
    inputs = state.inputs
    execution = str(inputs.get("execution_id") or "")
    try:
        notices.needs_a_person(
            Services(inputs["endpoint_url"] or None, inputs["region"] or None),
            topic_arn,
            machine=state.machine,
            run_id=state.run_id,
            state=state.state,
            reason=state.reason,
            triggers=("approve", "decline"),
            plan_sha256=str(reading.seen["sha256"]),
            execution_arn=execution if ":execution:" in execution else "",
            by_worker=False,
        )
    except DrfsmError as fault:
        say(f"nobody was notified: {fault.what}", err=True)
