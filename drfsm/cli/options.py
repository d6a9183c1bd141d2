"""Options that several commands share, and what they lead to."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from drfsm.errors import UsageFault

Command = TypeVar("Command", bound=Callable[..., Any])

endpoint_url = click.option(
    "--endpoint-url",
    default=lambda: os.environ.get("AWS_ENDPOINT_URL", ""),
    help="Of the object store.  [default: $AWS_ENDPOINT_URL]",
)
region = click.option(
    "--region",
    default=lambda: os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", ""),
    help="Of the cloud.  [default: $AWS_REGION]",
)

_AT_BUCKET = (
    click.option("--bucket", default="", help="Where both sites publish."),
    click.option("--prefix", default="jobintel", show_default=True, help="The part of the bucket that is theirs."),
    click.option("--candidate", default="local", show_default=True, help="Whose runs and pointers."),
    endpoint_url,
    region,
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


def _with(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def connected(given: Mapping[str, Any]) -> Any:
    """Return the store that ``at_bucket``'s options lead to. Makes no call yet. Raises UsageFault without a bucket."""
    if not given["bucket"]:
        raise UsageFault("no bucket is named", way="give --bucket")
    from drfsm.adapters import aws

    return aws.connect(
        bucket=given["bucket"], endpoint_url=given["endpoint_url"] or None, region=given["region"] or None
    ).store
