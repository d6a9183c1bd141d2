"""Options that several commands share, and what they lead to."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from drfsm.errors import UsageFault
from drfsm.runs.trust import region_here

_OURS = re.compile(r"AWS_|PUBLISH_S3|JOBINTEL_S3_|JOBINTEL_RUN_ID$")
_SECRET = re.compile(r"(?i)secret|token|passw|credential|key$")
Command = TypeVar("Command", bound=Callable[..., Any])


def address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return a flag's endpoint. Raises UsageFault for what is no address."""
    if not value:
        return ""
    from drfsm.adapters.aws_session import checked_endpoint

    return checked_endpoint(value, "--endpoint-url")


# No default of ours: without the flag botocore's own rules decide, for each service by itself.
endpoint_url = click.option(
    "--endpoint-url",
    default="",
    callback=address,
    help="Of all the cloud's services.  [default: as AWS's own tools find them: AWS_ENDPOINT_URL_S3, ...]",
)
region = click.option(
    "--region",
    default=region_here,
    help="Of the cloud.  [default: $AWS_REGION]",
)

_AT_BUCKET = (
    click.option("--bucket", default="", help="Where both sites publish."),
    click.option("--prefix", default="jobintel", show_default=True, help="The part of the bucket that is theirs."),
    click.option("--candidate", default="local", show_default=True, help="Whose runs and pointers."),
    endpoint_url,
    region,
)
_PATIENCE = (
    click.option("--validation-timeout", type=click.FloatRange(0), default=3600, show_default=True, help="Seconds."),
    click.option(
        "--startup-timeout", type=click.FloatRange(0), default=600, show_default=True, help="Seconds, for pods."
    ),
)
_OF_A_RUN = (
    click.option("--expect-account", default="", help="The cloud account that this must happen in."),
    endpoint_url,
    region,
    click.option("--operator", default="", help="Your name in the records.  [default: the user's]"),
    click.option(
        "--take-over", default="", metavar="RUN", help="Take the lease from this run, which you know is dead."
    ),
)
_APPROVAL_POLICY = (
    click.option(
        "--two-people",
        is_flag=True,
        envvar="DRFSM_TWO_PEOPLE",
        show_envvar=True,
        help="Who approves must be another than who starts, by what can be proven.",
    ),
    click.option(
        "--approval-expires",
        type=click.FloatRange(0, 8784, min_open=True),
        default=24,
        show_default=True,
        envvar="DRFSM_APPROVAL_EXPIRES",
        show_envvar=True,
        metavar="HOURS",
        help="How long an approval holds until the primary's stop begins.",
    ),
)
_PAIR = (
    click.option("--provider", default="openai", show_default=True),
    click.option("--profile", default="cs", show_default=True),
)


def at_bucket(command: Command) -> Command:
    """Add what says which part of which bucket."""
    return _with(command, _AT_BUCKET)


def pair(command: Command) -> Command:
    """Add what names a provider and a profile."""
    return _with(command, _PAIR)


def approval_policy(command: Command) -> Command:
    """Add what is asked of an approval."""
    return _with(command, _APPROVAL_POLICY)


def policy_inputs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked of an approval, as a run's inputs have it."""
    return {
        "approval_expires": given["approval_expires"],
        "approval_distinct": "yes" if given["two_people"] else "no",
    }


def patience(command: Command) -> Command:
    """Add how long a validation may take."""
    return _with(command, _PATIENCE)


def of_a_run(command: Command) -> Command:
    """Add where a run happens, and who answers for it."""
    return _with(command, _OF_A_RUN)


def _with(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def connected(given: Mapping[str, Any]) -> Any:
    """Return the store that ``at_bucket``'s options lead to. Makes no call yet. Raises UsageFault without a bucket."""
    if not given["bucket"]:
        raise UsageFault("no bucket is named", hint="give --bucket")
    from drfsm.adapters import aws

    return aws.connect(
        bucket=given["bucket"], endpoint_url=given["endpoint_url"] or None, region=given["region"] or None
    ).store


def assignments(given: Sequence[str]) -> Sequence[str]:
    """Return what --validation-env says, one NAME=VALUE each. Raises UsageFault for what is none, or a secret."""
    for each in given:
        name, equals, value = each.partition("=")
        if not (equals and name.isidentifier()) or "\n" in value:
            raise UsageFault(f"--validation-env {name!r} is no NAME=VALUE")
        if _OURS.match(name):
            raise UsageFault(
                f"--validation-env {name}: where and as whom a validation publishes is what it is to show",
                hint="change it in the site's own settings",
            )
        if _SECRET.search(name):
            raise UsageFault(
                f"--validation-env {name}: what is recorded must be no secret", hint="put it into the Secret"
            )
    return given


def new_workload_run_id() -> str:
    """Return an id for the run that validates a site, as the workload would give it: the time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def both_or_none(given: Mapping[str, Any], one: str, other: str) -> str:
    """Return ``asked`` or ``none`` for two options that go together. Raises UsageFault for only one."""
    if bool(given[one]) != bool(given[other]):
        raise UsageFault(f"--{one.replace('_', '-')} and --{other.replace('_', '-')} go together")
    return "asked" if given[one] else "none"
