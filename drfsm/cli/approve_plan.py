"""`drfsm approve PLAN` and `drfsm decline PLAN`: a person's yes or no to a plan in a file, written beside it.

Offline: it reaches no site and no bucket, so whoever approves needs no rights there. The plan is shown whole first, as
`drfsm plan` told it. The answer is bound to the plan's digest; with a key it is signed (runs/approvals.py).
"""

import sys
from pathlib import Path
from shlex import quote
from typing import Any

import click

from drfsm.claims import bounded
from drfsm.cli.options import Command
from drfsm.cli.prompts import prompted
from drfsm.cli.say import columns, folded, say
from drfsm.engine.runner import who as this_user
from drfsm.errors import ExitCode, UsageFault
from drfsm.evidence.approvals import APPROVE, DECLINE, policy_of

SHOWN = 12  # characters of a digest that a person types


def key_and_out(command: Command) -> Command:
    """Add the options of an answer that is written into a file."""
    for option in reversed((
        click.option(
            "--key", default="", type=click.Path(), metavar="FILE",
            help="Sign with this ssh key (a private one, or a public one whose agent signs).  [$DRFSM_SIGNING_KEY]",
        ),
        click.option(
            "--out", default="", type=click.Path(dir_okay=False), metavar="FILE",
            help="Of a PLAN: write the answer there.  [default: beside the plan]",
        ),
    )):  # fmt: skip
        command = option(command)
    return command


def is_plan(named: str | None) -> bool:
    """Whether what a person named is a file, and so a plan: a run is named by its bundle's directory, or its id."""
    return named is not None and not named.startswith("s3://") and Path(named).is_file()


def answer(
    file: str, decision: str, *, operator: str, ticket: str, reason: str, digest: str, key: str, out: str
) -> int:
    """Show a plan, take a person's answer to it, and write that down; return the exit code.

    Raises UsageFault for what is no plan, or for a promote's, which is approved once it waits.
    """
    from drfsm.runs import approvals, plan_files

    path = Path(file)
    plan = plan_files.load(path, called="PLAN")
    if plan["procedure"] == "promote":
        raise UsageFault(
            "a promote is approved when it waits for that, not before its start",
            hint=f"drfsm promote --plan {quote(file)}; it then shows what to approve, and how",
        )
    _show(plan)
    if decision == APPROVE and not _is_confirmed(plan, digest):
        more = "".join(f" --{name} {quote(value)}" for name, value in (("reason", reason), ("key", key)) if value)
        say("not approved. To approve exactly this plan:", err=True)
        say(f"  drfsm approve {quote(file)} --ticket {quote(ticket)}{more} --plan {plan['sha256']}", err=True)
        return int(ExitCode.REFUSED)
    of = approvals.subject_of(plan)
    said = approvals.statement(of, decision, by=operator or this_user(), ticket=ticket, reason=reason)
    given = approvals.signed(said, key)
    where = approvals.save(path, Path(out) if out else None, given)
    verb = "approved" if decision == APPROVE else "declined"
    signed = "signed" if "signature" in given else "not signed"
    say(f"{verb}: the plan {of.plan_sha256} of {of.run_id}, by {said['by']}, {signed}")
    say(f"written to {where}; a start from the plan finds it there")
    _say_what_is_missing(plan, path, out, decision, signed="signature" in given)
    return int(ExitCode.DONE)


def _show(plan: Any) -> None:
    from drfsm.claims import printable
    from drfsm.evidence.plan_lines import lines_of

    width = columns(sys.stderr)
    for indent, line in lines_of(plan):
        for part in folded(printable(line), width, indent):
            say(part, err=True)
    say(f"  digest   {plan['sha256']}", err=True)


def _is_confirmed(plan: Any, digest: str) -> bool:
    """Whether a person confirmed the digest: by the option, else at a terminal."""
    sha256 = str(plan["sha256"])
    if digest:
        if digest.lower() != sha256:
            say(f"{bounded(digest, 100)} is not the digest of this plan", err=True)
        return digest.lower() == sha256
    typed = prompted(f"Type the first {SHOWN} characters of the digest to approve it").strip().lower()
    return len(typed) >= SHOWN and sha256.startswith(typed)


def _say_what_is_missing(plan: Any, path: Path, out: str, decision: str, *, signed: bool) -> None:
    """Say on stderr what the policy of the plan still asks for, as far as that is known here."""
    from drfsm.runs import approvals

    if decision == DECLINE:
        say("no run can be started from this plan any more, where this answer lies beside it", err=True)
        return
    policy = policy_of(plan.get("policy"))
    if policy is None:
        say("no policy asked for an approval when this plan was made; the start does not use it", err=True)
        return
    if policy.signed and not signed:
        say("the policy asks for SIGNED approvals: this one does not count. Add --key FILE", err=True)
        return
    beside = len(list(approvals.beside(path))) + bool(out)
    say(f"the policy asks for {policy.words}; {beside} lie beside the plan or were just written", err=True)
    if beside >= policy.approvals:
        say(
            f"next: drfsm {plan['procedure']} --plan {quote(str(path))}{f' --approval {quote(out)}' * bool(out)}",
            err=True,
        )
