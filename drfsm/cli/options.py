"""Options that several commands share, and the checks of their values."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from drfsm.claims import bounded
from drfsm.cli import typed
from drfsm.cli.completing import run_ids
from drfsm.errors import ActionFailed, Unreachable, UsageFault
from drfsm.files import given_file
from drfsm.runs.trust import region_here

if TYPE_CHECKING:
    from drfsm.dr.workload import Workload

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECRET = re.compile(r"(?i)secret|token|passw|credential|key$")
Command = TypeVar("Command", bound=Callable[..., Any])


class Amount(click.FloatRange):
    """A number of seconds or hours from 0 to ``most``: NaN, infinity and what no clock counts are refused."""

    def __init__(self, most: float = 1e9, *, positive: bool = False) -> None:
        super().__init__(0, most, min_open=positive)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  NaN is within every range
            self.fail(f"{value} is no number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return f"0{'<' if self.min_open else '<='}x<={self.max:.0f}"


class Duration(Amount):
    """A time limit: seconds, or a number with s, m, h or d; several of them are added (``1h30m``)."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Fails for anything else, with an example."""
        if isinstance(value, int | float):
            return float(super().convert(value, param, ctx))
        parts = _DURATION.findall(str(value))
        if not parts or "".join(map("".join, parts)) != str(value):
            self.fail(f"{value!r} is no duration: give seconds (300), or 90s, 5m, 1h30m, 2d", param, ctx)
        return float(super().convert(sum(float(number) * _UNITS[unit] for number, unit in parts), param, ctx))


class Complete(click.Command):
    """A command that names every missing option at once, not one after the other."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does. Raises click.UsageError."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            values, _, _ = self.make_parser(ctx).parse_args(given)
            missing = [
                param.opts[0]
                for param in self.params
                if param.required and param.name not in values and _said_nowhere(ctx, param)
            ]
            if len(missing) < 2:  # noqa: PLR2004  click's own words are as good for one
                raise
            raise click.UsageError(f"Missing options: {', '.join(missing)}.", ctx) from None


def _said_nowhere(context: click.Context, parameter: click.Parameter) -> bool:
    """Whether neither the environment nor the configuration has a value for a parameter that was not typed."""
    return parameter.value_from_envvar(context) is None and context.lookup_default(parameter.name or "") is None


def reason_in_words(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the reason that the option gives. Raises UsageFault for one without words."""
    if not value.strip():
        raise UsageFault("--reason is empty", hint="say why: the journal records it for whoever asks later")
    return value


def address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the endpoint that the option names. Raises UsageFault if it is no address."""
    if not value:
        return ""
    from drfsm.adapters.aws_session import checked_endpoint

    return checked_endpoint(value, "--endpoint-url")


# No default of ours: without the flag botocore's own rules decide, for each service by itself.
endpoint_url = click.option(
    "--endpoint-url",
    default="",
    callback=address,
    help="Endpoint of all cloud services.  [default: as AWS tools find it: AWS_ENDPOINT_URL_S3, ...]",
)
region = click.option(
    "--region",
    default=region_here,
    help="Region of the cloud.  [default: $AWS_REGION]",
)


def _contract(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the contract that --workload names, as a run records it. Raises UsageFault, DeclarationFault."""
    from drfsm.dr import workload

    if not value:
        return workload.canonical(workload.shipped())
    typed.keep(context, parameter, value)
    raw = given_file(value, "--workload")
    return workload.canonical(workload.read(raw, Path(value).name))


def _comparison_profile(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the profile that the option names, as a run records it; "" without it. Raises DeclarationFault."""
    from drfsm.dr.artifacts.compare import load

    if not value:
        return ""
    typed.keep(context, parameter, value)
    raw = given_file(value, "--comparison-profile")
    load(raw, Path(value).name)
    return raw.decode()


def contract_of(given: Mapping[str, Any]) -> "Workload":
    """Return the workload's contract that the options name."""
    from drfsm.dr import workload

    return workload.recorded(given["workload"])


def endpoint_scope(contract: "Workload") -> str:
    """Return what a run does with the contract's endpoints: none where it declares none."""
    from drfsm.dr.endpoints import declared

    return declared.scope_of(contract)


def _of_workload(choose: Callable[["Workload"], str]) -> Callable[[click.Context, click.Parameter, str], str]:
    """Return a callback that puts in what the contract says where an option isn't given."""
    return lambda context, _parameter, value: value or choose(contract_of(context.params))


def _settled(name: str, about: str, choose: Callable[["Workload"], str]) -> Callable[[Command], Command]:
    words = f"{about}  [default: the workload's]".strip()
    return click.option(f"--{name}", default="", callback=_of_workload(choose), help=words)


workload_file = click.option(
    "--workload",
    default="",
    is_eager=True,  # others take their defaults from it
    callback=_contract,
    metavar="FILE",
    help="Contract of the workload (docs/workload.md).  [default: the one that drfsm ships]",
)
prefix = _settled("prefix", "Prefix in the bucket below which both sites publish.", lambda it: it.defaults.prefix)
candidate = _settled("candidate", "Candidate whose runs and pointers are meant.", lambda it: it.defaults.candidate)
namespace = _settled("namespace", "Namespace of the workload.", lambda it: it.kubernetes.namespace)
configmap = _settled("configmap", "ConfigMap that switches publishing on and off.", lambda it: it.kubernetes.configmap)
provider = _settled("provider", "Provider of the pair that the pointers must name.", lambda it: it.defaults.provider)
profile = _settled("profile", "Profile of that pair.", lambda it: it.defaults.profile)
comparison_profile = click.option(
    "--comparison-profile",
    default="",
    callback=_comparison_profile,
    metavar="FILE",
    help="JSON file: which differences of two runs matter (docs/comparison.md).  [default: the workload's]",
)
operator = click.option("--operator", default="", help="Your name in the journal.  [default: your user name]")
take_over = click.option(
    "--take-over",
    default="",
    metavar="RUN",
    shell_complete=run_ids,
    help="Take over the lease of this run. Only if you know that its process is dead.",
)

expect_account = click.option(
    "--expect-account",
    default="",
    envvar="EXPECTED_ACCOUNT_ID",
    show_envvar=True,
    metavar="ID",
    help="Cloud account that this must happen in; refused in any other.",
)
refresh_pull_secret = click.option(
    "--refresh-pull-secret",
    is_flag=True,
    help="Put a new token of AWS's registry into the site's pull Secret before a Job needs it.",
)

_AT_BUCKET = (
    click.option("--bucket", default="", help="Bucket to which both sites publish."),
    workload_file,
    prefix,
    candidate,
    expect_account,
    endpoint_url,
    region,
)
_PATIENCE = (
    refresh_pull_secret,
    click.option(
        "--validation-timeout",
        type=Duration(),
        default=3600,
        show_default=True,
        help="Limit for a validation, in seconds, or as 90s, 5m, 2h.",
    ),
    click.option(
        "--startup-timeout",
        type=Duration(),
        default=600,
        show_default=True,
        help="Limit for pods to start, in seconds, or as 90s, 5m, 2h.",
    ),
)
_OF_A_RUN = (
    expect_account,
    endpoint_url,
    region,
    operator,
    take_over,
)
_APPROVAL_POLICY = (
    click.option(
        "--two-people",
        is_flag=True,
        envvar="DRFSM_TWO_PEOPLE",
        show_envvar=True,
        help="Another person than the one who starts the run must approve it (checked by proven identities).",
    ),
    click.option(
        "--approval-expires",
        type=Amount(8784, positive=True),
        default=24,
        show_default=True,
        envvar="DRFSM_APPROVAL_EXPIRES",
        show_envvar=True,
        metavar="HOURS",
        help="How long an approval is valid: the stop of the primary must begin by then.",
    ),
)
_PAIR = (provider, profile)


def at_bucket(command: Command) -> Command:
    """Add the options that name a bucket, a prefix and a candidate."""
    return with_options(command, _AT_BUCKET)


def pair(command: Command) -> Command:
    """Add the options that name a provider and a profile."""
    return with_options(command, _PAIR)


def approval_policy(command: Command) -> Command:
    """Add the options that say which approval is valid."""
    return with_options(command, _APPROVAL_POLICY)


def policy_inputs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a run that say which approval is valid."""
    return {
        "approval_expires": options["approval_expires"],
        "approval_distinct": "yes" if options["two_people"] else "no",
    }


def patience(command: Command) -> Command:
    """Add the time limits of a validation."""
    return with_options(command, _PATIENCE)


def of_a_run(command: Command) -> Command:
    """Add the options of every run: account, endpoint, region, operator, lease."""
    return with_options(command, _OF_A_RUN)


def with_options(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    """Add options to a command, in their order."""
    for option in reversed(options):
        command = option(command)
    return command


def connected(options: Mapping[str, Any]) -> Any:
    """Return the store that ``at_bucket``'s options lead to. Makes no call but for an expected account.

    Raises UsageFault without a bucket, ActionFailed in another account than the expected one.
    """
    if not options["bucket"]:
        raise UsageFault("no bucket is named", hint="add --bucket BUCKET")
    from drfsm.adapters import aws

    account = aws.connect(
        bucket=options["bucket"], endpoint_url=options["endpoint_url"] or None, region=options["region"] or None
    )
    check_account(options)
    return account.store


def check_account(options: Mapping[str, Any]) -> None:
    """Raise ActionFailed unless the credentials are of the expected account, Unreachable where nobody tells.

    A command without the option is held to the variable all the same. Without either, no call is made.
    """
    expected = options.get("expect_account") or os.environ.get("EXPECTED_ACCOUNT_ID", "")
    if not expected:
        return
    from drfsm.adapters import aws
    from drfsm.world import UNTOLD

    place = {name: options[name] or None for name in ("endpoint_url", "region")}
    account = aws.connect(bucket="", **place).identity.account()
    if account.startswith(UNTOLD):
        raise Unreachable(f"--expect-account {expected}: {account}", hint="see docs/stores.md", fault="operator")
    if account != expected:
        raise ActionFailed(
            f"these credentials are of the account {account}, and {expected} is expected: nothing was touched",
            hint="use credentials of that account, or mend --expect-account or EXPECTED_ACCOUNT_ID",
            fault="operator",
        )


def assignments(texts: Sequence[str], contract: "Workload") -> Sequence[str]:
    """Return the values of --validation-env. Raises UsageFault for one that is no NAME=VALUE, or a secret."""
    for assignment in texts:
        name, equals, value = assignment.partition("=")
        if not (equals and name.isidentifier()) or "\n" in value:
            raise UsageFault(
                f"--validation-env {name!r} is no NAME=VALUE", hint="give it as --validation-env NAME=VALUE"
            )
        if name.startswith("AWS_") or contract.reserves(name):
            raise UsageFault(
                f"--validation-env {name}: where and with which identity the site publishes must come from the site",
                hint="change it in the site's own configuration",
            )
        if _SECRET.search(name):
            raise UsageFault(
                f"--validation-env {name} looks like a secret, and the journal would record it",
                hint="put it into the site's Secret",
            )
    return texts


def new_workload_run_id(contract: "Workload") -> str:
    """Return an id for a validation's workload run, as the workload names its runs."""
    return contract.run_ids.new(datetime.now(UTC))


def check_run_id(what: str, run_id: str, contract: "Workload") -> None:
    """Raise UsageFault for what can't be a run of the workload, as its contract names runs. ``what``: the option."""
    if not contract.run_ids.is_id(run_id):
        raise UsageFault(
            f"{what} {bounded(repr(run_id), 100)} can't be a run of the workload {contract.name}: its runs are named by"
            f" {contract.run_ids.grammar}",
            hint="`drfsm pointers show --bucket …` names the run that is canonical; --workload names another contract",
        )


def both_or_none(options: Mapping[str, Any], one: str, other: str) -> str:
    """Return ``asked`` or ``none`` for two options that go together. Raises UsageFault for only one."""
    if bool(options[one]) != bool(options[other]):
        raise UsageFault(
            f"--{one.replace('_', '-')} and --{other.replace('_', '-')} go together", hint="give both, or none"
        )
    return "asked" if options[one] else "none"
