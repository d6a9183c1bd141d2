"""`--plan FILE` of failback, promote and drill: the options are the plan's, and the run starts if all is as planned.

The file fills in what the command line leaves open, as a configuration would; then the command makes its inputs as
ever, reads the world again, and holds both against the plan (runs/plan_differences.py). An option that is typed beside
`--plan` counts, and is a difference where it isn't the planned one. What a plan never holds (``NEVER_PLANNED``) is
given at the start; what leads to places of this machine is taken only from a plan that this machine made
(runs/plan_files.py).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Self

import click
from attrs import define, evolve, frozen
from click.core import ParameterSource

from drfsm.claims import bounded, is_name
from drfsm.cli import typed
from drfsm.cli.options import Command, check_run_id, contract_of
from drfsm.cli.say import say
from drfsm.errors import LeaseHeld, PlanDiffers, Unreachable, UsageFault
from drfsm.runs.invocation import Invocation

NEVER_PLANNED = frozenset({
    "confirm1", "confirm2", "validation_env",  # what a plan must not say
    "operator", "take_over", "ticket", "allow_older",  # what a person answers for at the start
    # ... and what is the command's own:
    "plan", "plan_of", "approvals", "dry_run", "diagnostics_only", "as_execution_input", "notify",
    "notify_after", "sign_key", "retain", "output", "out",
})  # fmt: skip
"""Options that no plan holds: a file that names one is refused."""
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_META = "drfsm.plan"
_OWN_TO_A_START = ("started_at",)  # a drill's recovery time counts from its start, not from its plan
_NOT_NAMED = "/a place of this machine, which --plan does not name"


@frozen
class Chosen:
    """The plan that a command is held to, and the file that it came from."""

    document: Mapping[str, Any]
    file: str
    own: bool  # this machine made it
    to_name: tuple[str, ...] = ()  # options of places that it may not name: they are to be given here

    @property
    def run_id(self) -> str:
        """The run that it is reserved for."""
        return str(self.document["run_id"])

    def generated(self, name: str) -> str:
        """Return an id that was made up for the plan's run. Raises UsageFault for what is none."""
        value = self.document["inputs"].get(name, "")
        if not isinstance(value, str):
            raise UsageFault(f"--plan: its input {name} is no text", hint="make a new plan")
        if name.endswith("_run_id"):
            check_run_id(f"the plan's {name}", value, contract_of(click.get_current_context().params))
        elif not is_name(name.rpartition("_")[2], value):
            raise UsageFault(f"--plan: its input {name} is {bounded(value, 80)}", hint="make a new plan")
        return value


# --- the option -----------------------------------------------------------------------------------------------------


def _file(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value:
        _take(context, value)
    return value


def _file_or_digest(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the digest; a file's plan is taken, and "" returned."""
    named = value.strip()
    if not named or _DIGEST.fullmatch(named):
        return named
    _take(context, value)
    return ""


def plan_file(command: Command) -> Command:
    """Add `--plan FILE`."""
    return click.option(
        "--plan",
        default="",
        is_eager=True,  # the other options take from it what the command line leaves open
        callback=_file,
        metavar="FILE",
        help="Do exactly what this file of `drfsm plan` says; refused if anything has changed since.",
    )(command)


def plan_file_or_digest(command: Command) -> Command:
    """Add `--plan SHA256|FILE`, of a promote."""
    return click.option(
        "--plan",
        default="",
        is_eager=True,
        callback=_file_or_digest,
        metavar="SHA256|FILE",
        help="64 hex digits: the plan that --dry-run showed; approve it if it is still current. Else a file of"
        " `drfsm plan`: do exactly what it says; refused if anything has changed since.",
    )(command)


def _take(context: click.Context, file: str) -> None:
    """Let a file's plan fill in what the command line leaves open."""
    from drfsm.runs import plan_files

    document = plan_files.load(file, procedure=str(context.command.name))
    chosen = Chosen(document, file, plan_files.made_here(document))
    known = {parameter.name: parameter for parameter in context.command.params}
    options = {}
    for name, value in document["options"].items():
        if name not in known or name in NEVER_PLANNED or isinstance(value, list) is not known[name].multiple:
            raise UsageFault(
                f"--plan: {bounded(file)} gives the option {bounded(name, 80)}, which no plan of a"
                f" {context.command.name} may give",
                hint="make a new plan: drfsm plan … --out FILE",
            )
        options[name] = value
    settled = context.default_map or {}
    if chosen.own:
        context.default_map = {**settled, **options}
    else:  # a plan of another machine names no place of this one, and never goes before what this one has settled
        places = [name for name in plan_files.PLACES if options.pop(name, None) is not None and name not in settled]
        chosen = evolve(chosen, to_name=tuple(name for name in places if name != "receipt_dir"))
        files = {name: _NOT_NAMED for name in chosen.to_name if name != "endpoint_url"}
        context.default_map = {**options, **files, **settled}
    context.meta[_META] = chosen


def chosen(*, dry_run: bool, as_execution_input: bool = False) -> Chosen | None:
    """Return the plan that the present command is held to, None without one.

    Raises UsageFault for options that go without a plan, and for places that another machine's plan can't give.
    """
    context = click.get_current_context()
    plan: Chosen | None = context.meta.get(_META)
    if plan is None:
        return None
    if dry_run or as_execution_input:
        raise UsageFault("--plan FILE starts the run", hint=f"leave out --plan, or look at {bounded(plan.file)} itself")
    _check_places(context, plan)
    return plan


def _check_places(context: click.Context, plan: Chosen) -> None:
    here = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    missing = [f"--{name.replace('_', '-')}" for name in plan.to_name if context.get_parameter_source(name) not in here]
    if missing:
        raise UsageFault(
            f"this machine did not make the plan {bounded(plan.file)}, so its paths and addresses are not used;"
            f" nothing was begun",
            hint=f"add {', '.join(missing)}, as they are on this machine",
        )


def planned_options(context: click.Context) -> dict[str, Any]:
    """Return the options that a plan keeps: what was given, not what is usual; paths from the root."""
    kept: dict[str, Any] = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        usual = context.get_parameter_source(name) in (None, ParameterSource.DEFAULT)
        if usual or name in NEVER_PLANNED or isinstance(parameter, click.Argument):
            continue
        value, as_typed = context.params[name], typed.kept(context, name)
        is_path = isinstance(parameter.type, click.Path) or as_typed is not None or name == "validation_receipt"
        value = value if as_typed is None else as_typed
        if is_path and value and not str(value).startswith("s3://"):
            value = str(Path(value).absolute())
        kept[name] = list(value) if isinstance(value, tuple) else value
        if isinstance(value, str) and _CREDENTIALS.search(value):
            raise UsageFault(
                f"--{name.replace('_', '-')} holds a name or a password in an address, and a plan holds no secret",
                hint="leave it out of the address",
            )
    return kept


# --- held to it -----------------------------------------------------------------------------------------------------


@define
class Use:
    """Uses a plan up for the run in a new bundle, and gives it back where that run never got its first record.

    Call it with the bundle, inside ``with``. Without a plan it does nothing.
    """

    plan: Chosen | None
    _place: Path | None = None

    def __call__(self, place: Path) -> None:
        """Use the plan up. Raises ActionFailed if another start was first."""
        from drfsm.runs import plan_files

        if self.plan is not None:
            plan_files.use(self.plan.document, place)
            self._place = place

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, _type: object, fault: BaseException | None, _traceback: object) -> None:
        """Give the plan back after an error before the run's first record."""
        from drfsm.runs import bundle, plan_files

        plan, place = self.plan, self._place
        if fault is not None and plan is not None and place is not None and not bundle.has_begun(place):
            plan_files.give_back(plan.document)


def hold_to(plan: Chosen | None, inputs: Mapping[str, Any], receipt_dir: str | None, invocation: Invocation) -> None:
    """Read the world again, and return where all is as planned and the run would start. Without a plan, do nothing.

    Raises PlanDiffers, naming each difference, or why it would be refused; ActionFailed for a plan that was used;
    Unreachable where something could not be read; LeaseHeld.
    """
    from drfsm.runs import bundle, plan_files
    from drfsm.runs.plan import declaration_of, make, pinned
    from drfsm.runs.plan_differences import differing_terms, differing_world

    if plan is None:
        return
    procedure = str(plan.document["procedure"])
    but = _OWN_TO_A_START if plan.own else (*_OWN_TO_A_START, *plan_files.PLACES)
    terms = pinned(declaration_of(procedure), inputs, plan.run_id)
    _refuse_differing(plan, list(differing_terms(plan.document, terms, but)))
    plan_files.check_unused(plan.document, inputs)
    place = Path(receipt_dir) if receipt_dir else bundle.home() / "runs" / plan.run_id
    now = make(
        procedure,
        inputs,
        run_id=plan.run_id,
        place=place,
        options={},
        operator=invocation.operator,
        take_over=invocation.take_over,
    )
    _refuse_differing(plan, list(differing_world(plan.document, now)))
    _refuse_unfit(plan, now)
    made = f"{str(plan.document['made_at'])[:19]}Z"
    say(f"  · all is as in the plan {plan.document['sha256'][:12]}… of {made}", err=True)


def refuse_wrong_tokens(plan: Chosen | None, inputs: Mapping[str, Any]) -> None:
    """Raise PlanDiffers for a token that would end a failback's run as it begins: its plan would be used for nothing.

    Without a plan the run is begun, and its record shows who tried.
    """
    from drfsm.dr.procedures import confirmation

    if plan is not None and (wrong := confirmation.faults(inputs)):
        what = f"the failback is not confirmed; nothing was begun, and the plan {bounded(plan.file)} can still be used:"
        hint = f"--confirm1 FAILBACK --confirm2 {quote('CONFIRM-' + str(inputs['dr_run_id']))}"
        raise PlanDiffers(what, wrong, hint=hint)


def _again(plan: Chosen) -> str:
    return f"look at it again: drfsm plan {plan.document['procedure']} …, with the same options"


def _refuse_differing(plan: Chosen, differences: list[str]) -> None:
    if differences:
        what = f"the plan {bounded(plan.file)} is not what would be done now; nothing was begun:"
        raise PlanDiffers(what, differences, hint=_again(plan))


def _refuse_unfit(plan: Chosen, now: Mapping[str, Any]) -> None:
    """Raise why a plan is not done, though nothing has changed: it would be refused, or held up, as it says itself."""
    procedure, file, again = plan.document["procedure"], bounded(plan.file), _again(plan)
    stops = [finding for finding in now["findings"] if finding["would"] != "warn"]
    if stops:
        reasons = [f"{finding['row']}: {finding['fact']}: {finding['because']}" for finding in stops]
        hint = f"drfsm plan {procedure} … says what to do about each"
        raise PlanDiffers(
            f"the plan {file} would be refused, as it says itself; nothing was begun:", reasons, hint=hint
        )
    if unread := [reading["why"] for reading in now["unread"]]:
        raise Unreachable(f"nothing was begun, as something could not be read: {'; '.join(unread)}", hint=again)
    if "unknown" in now["lease"]:
        raise Unreachable(f"nothing was begun, as the lease could not be read: {now['lease']['unknown']}", hint=again)
    if "held" in now["lease"]:
        raise LeaseHeld(f"{now['lease']['held']}; nothing was begun", hint=now["lease"]["what_to_do"])
