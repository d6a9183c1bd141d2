"""Options that say how bundles are sealed: with which key, and for how long the checkpoint can't be deleted."""

import re
from datetime import timedelta
from typing import Any

import click
from click.core import ParameterSource

from drfsm.cli.options import Command, with_options
from drfsm.cli.say import say_lines
from drfsm.errors import UsageFault
from drfsm.runs.sealing_settings import Sealing

_RETENTION = re.compile(r"([1-9][0-9]{0,5})([dwmy])", re.ASCII)
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
LONGEST_DAYS = 36_525  # a century: S3 takes no longer one


def retention(text: str) -> timedelta | None:
    """Return a duration of whole days: 90d, 12w, 18m or 7y; None for "". Raises UsageFault.

    A month has 30 days, a year 365 and the day of each leap year that it may have.
    """
    if not text:
        return None
    match = _RETENTION.fullmatch(text)
    days = int(match[1]) * _DAYS[match[2]] if match else 0
    if match and match[2] == "y":
        days += (int(match[1]) + 3) // 4
    if not 0 < days <= LONGEST_DAYS:
        raise UsageFault(f"{text!r} is no duration of days, weeks, months or years", hint="give 90d, 12w, 18m or 7y")
    return timedelta(days=days)


def _retention(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta | None:
    return retention(value)


sign_key = click.option(
    "--sign-key",
    default="",
    envvar="DRFSM_SIGN_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Key that signs the bundle's seals: a private key's file, an ssh public key whose agent signs, or"
    " awskms:alias/NAME (docs/sealing.md).",
)
retain = click.option(
    "--retain",
    default="",
    callback=_retention,
    envvar="DRFSM_RETAIN",
    show_envvar=True,
    metavar="TIME",
    help="Nobody can delete the checkpoints for so long, where the bucket has Object Lock: 90d, 7y.",
)


def sealing(command: Command) -> Command:
    """Add the options that say how a command seals bundles."""
    return with_options(command, (sign_key, retain))


def sealed_as(options: dict[str, Any]) -> Sealing:
    """Take the options' values out of ``options``: they are no inputs, and no record holds them.

    Raises UsageFault for a key that was typed and can't be used. One of the environment or of a file keeps nobody from
    an abort: it is told.
    """
    settings = Sealing(sign_key=options.pop("sign_key"), retain=options.pop("retain"))
    try:
        settings.signer()
    except UsageFault as fault:
        if click.get_current_context().get_parameter_source("sign_key") is ParameterSource.COMMANDLINE:
            raise
        say_lines([f"drfsm: seals will NOT be signed: {fault.what}", f"  next: {fault.hint}"], err=True)
    return settings
