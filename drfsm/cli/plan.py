"""`drfsm plan failback|promote|drill`: what the procedure would do now, row by row. Changes nothing, begins no run.

Each takes the options of its procedure: the very same ones, less those that only a start can use. runs/plan.py makes
the plan, evidence/plan_lines.py tells it.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import uuid4

import click
from attrs import frozen

from drfsm.cli import failback_inputs, plan_option, policies, promote_inputs
from drfsm.cli.drill import drill
from drfsm.cli.failback import failback
from drfsm.cli.options import Complete
from drfsm.cli.outcome import output
from drfsm.cli.promote import promote
from drfsm.cli.say import UNBROKEN, columns, folded, say, say_json
from drfsm.engine.runner import new_run_id
from drfsm.engine.runner import who as this_user
from drfsm.errors import ExitCode
from drfsm.runs import bundle

_CODES = {
    "would_start": ExitCode.DONE,
    "would_be_refused": ExitCode.REFUSED,
    "unreadable": ExitCode.UNREACHABLE,
}
_MARK = re.compile(r"^ +\S ")  # which is never left alone on a line, however long the word is that follows
_ONLY_AT_A_START = frozenset({
    "plan", "plan_of", "approvals", "ticket", "allow_older", "dry_run", "diagnostics_only", "as_execution_input",
    "notify", "notify_after", "sign_key", "retain",
    "output",
})  # fmt: skip
"""Options of a procedure that a plan has no use for. ``output`` comes again, with the plan's own words."""

Options = dict[str, Any]


@frozen
class Prepared:
    """What a procedure's options come to: its inputs, and where its bundle would lie."""

    inputs: Mapping[str, Any]
    place: Path


def _place(options: Options, run_id: str) -> Path:
    named = options.pop("receipt_dir")
    return Path(named) if named else bundle.home() / "runs" / run_id


def _of_failback(options: Options, run_id: str) -> Prepared:
    place = _place(options, run_id)
    tokens = {name: options.pop(name) or "" for name in failback_inputs.TOKENS}
    return Prepared({**failback_inputs.inputs_of(options), **tokens}, place)


def _of_promote(options: Options, run_id: str) -> Prepared:
    from drfsm.runs.reserved_plans import Reserved

    place = _place(options, run_id)
    promote_inputs.check_combinations(options)
    execution_arn, receipts = promote_inputs.orchestrated(options, "")
    inputs = promote_inputs.inputs_of(options, Reserved(run_id, uuid4().hex))
    if execution_arn:
        for line in promote_inputs.held_against(execution_arn, receipts, inputs):
            say(f"  · {line}", err=True)
    return Prepared(inputs, place)


def _of_drill(options: Options, run_id: str) -> Prepared:
    from drfsm.cli.drill_inputs import inputs_of, settle
    from drfsm.runs.earlier_drills import earlier_in

    options["diagnostics_only"] = False
    earlier = earlier_in(options["receipt_dir"])
    settle(options, earlier)
    inputs = inputs_of(options, earlier, run_id)
    return Prepared(inputs, earlier.place if earlier else _place(options, run_id))


@click.group("plan")
def plan() -> None:
    """Show what a procedure would do now, row by row, and whether it would start. Changes nothing.

    Exits with 0 if it would start, with 3 if it would be refused, with 9 if something could not be read. `--out` saves
    the plan; `--plan FILE` of the procedure does exactly that, or refuses and names what has changed.
    """


def _planning(procedure: click.Command, prepare: Callable[[Options, str], Prepared]) -> click.Command:
    """Return the command that plans a procedure: with the procedure's own options."""

    def run(out: str | None, **options: Any) -> int:
        context = click.get_current_context()
        kept = plan_option.planned_options(context)
        output_format = str(options.pop("output"))
        operator, take_over = options.pop("operator") or this_user(), options.pop("take_over")
        run_id = new_run_id(str(procedure.name))
        return _planned(
            str(procedure.name), prepare(options, run_id), run_id, kept, (operator, take_over), out, output_format
        )

    about = f"Show what `drfsm {procedure.name}` with these options would do now. Changes nothing."
    command: click.Command = click.command(str(procedure.name), cls=Complete, help=about)(output(run))
    own = [parameter for parameter in procedure.params if parameter.name not in _ONLY_AT_A_START]
    command.params = [*own, _out(), *command.params]
    return command


def _out() -> click.Option:
    return click.Option(
        ["--out"], type=click.Path(dir_okay=False), metavar="FILE", help="Save the plan there, under its digest."
    )


def _planned(
    procedure: str,
    prepared: Prepared,
    run_id: str,
    options: Mapping[str, Any],
    who: tuple[str, str],
    out: str | None,
    output_format: str,
) -> int:
    """Make the plan, save it where that was asked for, and show it; return the exit code."""
    from drfsm.runs import plan_files
    from drfsm.runs.plan import make

    if out:
        plan_files.check_target(Path(out))
    operator, take_over = who
    say("reading the sites and the bucket; nothing is changed ...", err=True)
    document = make(
        procedure, prepared.inputs, run_id=run_id, place=prepared.place, options=options, operator=operator,
        take_over=take_over,
    )  # fmt: skip
    if procedure != "promote" and (policy := policies.policy_for(procedure)):
        document["policy"] = policy.json  # whoever approves, approves this, too
    if out:
        document["sha256"] = plan_files.save(Path(out), document)
    if output_format == "json":
        say_json(document)
    else:
        _show(document, procedure, out)
    return int(_CODES[document["outcome"]])


def _show(document: Mapping[str, Any], procedure: str, out: str | None) -> None:
    from drfsm.claims import printable
    from drfsm.evidence.plan_lines import lines_of

    width = columns(sys.stdout)
    for indent, line in lines_of(document):
        with_its_mark = _MARK.sub(lambda mark: mark[0].replace(" ", UNBROKEN), printable(line))
        for part in folded(with_its_mark, width, indent):
            say(part.replace(UNBROKEN, " "))
    if out is None:
        return
    say(f"  saved: {out}, sha256 {document['sha256']}", err=True)
    if document["outcome"] == "would_start":
        approve = f"drfsm approve {quote(out)} --ticket …, then " if "policy" in document else ""
        say(f"  next: {approve}drfsm {procedure} --plan {quote(out)}", err=True)


for _procedure, _prepare in ((failback, _of_failback), (promote, _of_promote), (drill, _of_drill)):
    plan.add_command(_planning(_procedure, _prepare))
