"""The start of a failback or a drill whose policy asks for approvals: from a plan, which enough persons approved.

``gate`` says before anything is read whether a policy stands in the way; ``Gate.pass_through`` judges the approvals at
the last moment, shows what was approved, and returns what the run records of it. Holds no rule: evidence/approvals.py
has it, runs/approvals.py reads the files. Used by failback.py and drill.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import click
from attrs import frozen

from drfsm.cli import policies
from drfsm.cli.options import Command
from drfsm.cli.plan_option import Chosen
from drfsm.cli.say import say
from drfsm.errors import NotApproved, PlanDiffers, UsageFault
from drfsm.evidence.approvals import Policy, in_words, policy_of


def approval_files(command: Command) -> Command:
    """Add `--approval FILE`."""
    return click.option(
        "--approval",
        "approvals",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="With --plan FILE: an approval of it that does not lie beside it. Repeatable.",
    )(command)


@frozen
class Gate:
    """What stands between a command and its start: a policy, and the plan that was approved; or nothing."""

    policy: Policy | None
    plan: Chosen | None
    files: Sequence[str]

    def pass_through(self, inputs: Mapping[str, Any], operator: str) -> dict[str, Any]:
        """Show what was approved, and return what the run's first record holds of it. Nothing without a policy.

        Raises NotApproved, naming everything that is wrong, and then nothing was begun.
        """
        if self.policy is None or self.plan is None:
            return {}
        from drfsm.runs import approvals

        plan, file = self.plan, Path(self.plan.file)
        given, faults = approvals.found(file, self.files)
        of = approvals.subject_of(plan.document)
        judgement, pinned = approvals.used(self.policy, of, given, operator=operator, inputs=inputs)
        approvals.check_suffices(judgement, self.policy, faults, hint=_approve(file))
        say(f"  · approved is the plan {of.plan_sha256} of {of.run_id}", err=True)
        for line in in_words(pinned):
            say(f"  · {line}", err=True)
        for fault in (*judgement.faults, *faults):
            say(f"  · does not count: {fault.words}", err=True)
        return {"approval": pinned}


def gate(
    procedure: str,
    plan: Chosen | None,
    files: Sequence[str],
    *,
    exempt: bool,
    as_execution_input: bool = False,
) -> Gate:
    """Return what a start has to pass. ``exempt``: a start that needs no approval, as a dry run.

    Raises NotApproved where a policy asks for approvals and no plan is named; PlanDiffers where the plan was made, and
    so approved, under another policy; UsageFault for options that don't go together.
    """
    if files and plan is None:
        raise UsageFault(
            "--approval needs --plan FILE: an approval is of a plan", hint=f"drfsm plan {procedure} --help"
        )
    policy = None if exempt else policies.policy_for(procedure)
    if policy is not None and as_execution_input:
        raise UsageFault(
            f"policies.{procedure} asks for {policy.words}: an execution starts from no plan, so none can be approved",
            hint=f"drfsm plan {procedure} … --out FILE, then drfsm {procedure} --plan FILE",
        )
    if policy is not None and plan is None:
        raise NotApproved(
            f"policies.{procedure} asks for {policy.words}: a {procedure} starts from an approved plan; nothing was"
            " begun. In this order:",
            [
                f"drfsm plan {procedure} … --out {procedure}.plan.json    with the same options",
                f"drfsm approve {procedure}.plan.json --ticket …{' --key FILE' * policy.signed}    by whoever approves",
                f"drfsm {procedure} --plan {procedure}.plan.json",
            ],
            hint="drfsm config show --origin says which file has this policy",
        )
    if plan is not None and not exempt:
        planned = policy_of(plan.document.get("policy"))
        if planned != policy:
            was, now = (each.words if each else "no approval" for each in (planned, policy))
            raise PlanDiffers(
                f"the plan {plan.file} was made under another policy; nothing was begun:",
                [f"planned {was}; now {now}"],
                hint=f"make a new plan, and have it approved: drfsm plan {procedure} … --out FILE",
            )
    return Gate(policy, plan, files)


def _approve(plan: Path) -> str:
    return f"drfsm approve {quote(str(plan))} --ticket …    by whoever approves, then start it again"
