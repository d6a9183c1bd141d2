"""Tells people, through a topic of SNS, that a run waits for one of them: why, the plan's digest, and what to type.

Never a task's token: whoever reads a notice can answer only with credentials of his own. Used by `promote` and by the
worker. A topic that does not answer stops nothing: the run waits all the same, and the caller says so.
"""

from collections.abc import Iterator, Sequence
from shlex import quote

from drfsm.adapters.aws_session import Services
from drfsm.adapters.queues import publish
from drfsm.claims import bounded, printable_lines


def needs_a_person(
    services: Services,
    topic_arn: str,
    *,
    machine: str,
    run_id: str,
    state: str,
    reason: str,
    triggers: Sequence[str],
    plan_sha256: str,
    execution_arn: str,
    by_worker: bool,
) -> None:
    """Publish one notice. ``triggers``: what a person may fire. Raises what a publication raises."""
    needs = "an approval" if plan_sha256 and "approve" in triggers else "a decision"
    commands = _commands(run_id, triggers, plan_sha256, execution_arn, by_worker=by_worker)
    lines = [
        f"{machine} {run_id} waits in {state} and needs {needs}.",
        *([f"Why: {bounded(reason)}"] if reason else []),
        *([f"The plan's digest: {plan_sha256}"] if plan_sha256 else []),
        "What to type:",
        *(f"  {command}" for command in commands),
    ]
    publish(services, topic_arn, f"drfsm {machine}: {needs} is needed", printable_lines("\n".join(lines)))


def _commands(
    run_id: str, triggers: Sequence[str], plan_sha256: str, execution_arn: str, *, by_worker: bool
) -> Iterator[str]:
    """Yield the commands for what a person may fire: where a worker drives the run, the execution is answered."""
    execution = f" --execution-arn {quote(execution_arn)}" if execution_arn else ""
    run = "" if by_worker else f" {quote(run_id)}"
    for trigger in triggers:
        if trigger == "approve":
            plan = f" --plan {plan_sha256}" if plan_sha256 else ""
            yield f"drfsm approve{run}{execution} --ticket ...{plan}"
        elif trigger == "decline":
            yield f"drfsm decline{run}{execution} --reason '...'"
        elif by_worker:
            yield f"drfsm answer {quote(trigger)}{execution} --reason '...'"
        elif trigger in ("resume", "abort"):
            yield f"drfsm {trigger}{run}" + (" --reason '...'" if trigger == "abort" else "")
        else:
            yield f"drfsm request {quote(trigger)}{run} --reason '...'"
