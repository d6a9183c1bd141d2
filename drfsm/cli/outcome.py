"""What a verb that moves a run prints in the end, and what its process exits with."""

import os
import sys
from collections.abc import Sequence

from drfsm.cli.documents import output_option
from drfsm.cli.say import say, say_json, say_lines
from drfsm.errors import ExitCode
from drfsm.evidence.standing import standing
from drfsm.evidence.summary import summarise
from drfsm.journal import Record, RunState
from drfsm.runs.run_context import Outcome

output = output_option("What stdout carries; progress goes to stderr.")

STATUS_CODES = {
    "complete": ExitCode.DONE,
    "dry_run": ExitCode.DONE,
    "refused": ExitCode.REFUSED,
    "held": ExitCode.HELD,
    "running": ExitCode.HELD,
    "aborted": ExitCode.ABORTED,
    "failed": ExitCode.ABORTED,
}


def exit_code(state: RunState, records: Sequence[Record]) -> ExitCode:
    """Return what a verb's process exits with for where the run stands."""
    last = next((record for record in reversed(records) if record.kind in ("held", "ended")), None)
    if state.status == "held" and last and last.body.get("interrupted"):
        return ExitCode.INTERRUPTED
    if state.status == "dry_run" and last and last.body.get("findings"):
        return ExitCode.REFUSED
    if state.status == "refused" and any(args.get("error") == "LeaseHeld" for args in state.args.values()):
        return ExitCode.LEASE_HELD
    if state.status in ("refused", "failed") and _lacks_required_state(state):
        return ExitCode.NO_STATE
    return STATUS_CODES.get(state.status, ExitCode.DEFECT)


def _lacks_required_state(state: RunState) -> bool:
    """Return whether a drill with --require-state met a backup, or a site, without lasting state.

    The facts of a refused row are on record in the words of the refusal only.
    """
    refused = "lasting_state is missing" in state.reason
    return state.inputs.get("require_state") == "yes" and (refused or state.value("restored_state") == "not_restorable")


def reported(outcome: Outcome, output: str) -> int:
    """Print where a run stands, as ``text`` or ``json``; return the exit code, also where nobody reads that."""
    state, records = outcome.state, outcome.records
    try:
        if output == "json":
            say_json(summarise(state, records, head=outcome.head))
        else:
            above = records[-1].kind in ("held", "ended", "seal") and _is_one_terminal()
            say_lines(standing(state, str(outcome.place), with_reason=not above))
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
        say(f"drfsm: the result could not be printed ({why}); drfsm status {state.run_id} shows it", err=True)
    return int(exit_code(state, records))


def _is_one_terminal() -> bool:
    """Whether the progress of the run, which ends with the reason, is on the terminal that stdout goes to."""
    try:
        return (
            os.environ.get("DRFSM_LOG") != "json"
            and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
            and sys.stdout.isatty()
        )
    except (OSError, ValueError):
        return False
