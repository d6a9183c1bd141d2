"""Options that say whom a command notifies of a run. An address is a secret: no message shows it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from drfsm.cli.options import Command, Duration, with_options
from drfsm.cli.say import say_lines
from drfsm.errors import UsageFault
from drfsm.runs.notices import EVENTS, NOTIFY_AFTER_SECONDS, Notify

if TYPE_CHECKING:
    from drfsm.adapters.notice_targets import Target

_LEAST_SECONDS = 60.0


def _targets(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> "tuple[Target, ...]":
    """Return the targets that the option names. Raises UsageFault, without the address, for a wrong one that was typed.

    One of the environment or of a file may lack what this computer has not (apprise, say): it is told and left out, so
    that nobody is kept from an abort by it.
    """
    if not values:
        return ()
    from drfsm.adapters.notice_targets import target_of

    targets = []
    for number, named in enumerate(dict.fromkeys(values), start=1):
        value = os.environ.get(named[1:], "") if named.startswith("$") else named
        if not value:
            say_lines([f"drfsm: NOBODY is notified by {named}: this variable is not set"], err=True)
            continue
        try:
            targets.append(target_of(value, number))
        except UsageFault as fault:
            if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE:
                raise
            say_lines([f"drfsm: NOBODY is notified by this target: {fault.what}", f"  next: {fault.hint}"], err=True)
    return tuple(targets)


def _interval(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if 0 < seconds < _LEAST_SECONDS:
        raise UsageFault(
            f"--notify-after {seconds:.0f}s would notify people every {seconds:.0f} seconds",
            hint=f"give {_LEAST_SECONDS:.0f}s or more; 0: never",
        )
    return seconds


_OPTIONS = (
    click.option(
        "--notify",
        multiple=True,
        callback=_targets,
        envvar="DRFSM_NOTIFY",
        show_envvar=True,
        metavar="TARGET",
        help="Notify people when the run waits for a person or has ended: https://… (a webhook), the ARN of an SNS"
        " topic, or an address of apprise, as slack://… (docs/notifications.md). Repeatable.",
    ),
    click.option(
        "--notify-after",
        type=Duration(),
        default=NOTIFY_AFTER_SECONDS,
        show_default=True,
        callback=_interval,
        envvar="DRFSM_NOTIFY_AFTER",
        show_envvar=True,
        help="Notify also whenever nobody could publish for so long, in seconds, or as 5m, 2h; 0: never.",
    ),
)


def notifying(command: Command) -> Command:
    """Add the options that say whom a command notifies."""
    return with_options(command, _OPTIONS)


def taken(options: dict[str, Any], events: frozenset[str] = EVENTS) -> Notify:
    """Take the options' values out of ``options``: they are no inputs, and no record holds them."""
    return Notify(options.pop("notify"), options.pop("notify_after"), events)
