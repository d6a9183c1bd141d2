"""What a person is asked at a terminal, and what is used instead if there is no terminal."""

import sys
from functools import partial
from typing import Any

import click
from attrs import evolve

from drfsm.claims import printable
from drfsm.cli.progress import listener
from drfsm.cli.say import Enduring, say
from drfsm.runs.invocation import Invocation
from drfsm.runs.trust import Assurances


def prompted(words: str) -> str:
    """Return what a person types at a terminal; "" if there is no terminal."""
    if not sys.stdin.isatty():
        return ""
    return str(click.prompt(printable(words), err=True, default="", show_default=False))


def tokens(first: str | None, second: str | None, dr_run_id: str, *, dry_run: bool) -> dict[str, str]:
    """Return the two tokens: from the options, else typed at a terminal, else empty, which a guard refuses."""
    if first is None or second is None:
        makes = "A failback (this dry run changes nothing) makes" if dry_run else "This makes"
        say(f"{makes} the primary canonical again, instead of DR's run {dr_run_id}.", err=True)
    typed = {
        "confirm1": prompted("Type FAILBACK to continue") if first is None else first,
        "confirm2": prompted(f"Type CONFIRM-{dr_run_id}") if second is None else second,
    }
    right = ("FAILBACK", f"CONFIRM-{dr_run_id}")
    # What is typed instead of a token may be anything, also a password: it is not kept.
    return {name: token if token in ("", *right) else "(something else)" for name, token in typed.items()}


def at_terminal(**options: Any) -> Invocation:
    """Return the invocation of a person who reads stderr and can be asked."""
    assurances = evolve(options.pop("assurances", Assurances()), ask=prompted, tell=partial(say, err=True))
    from drfsm.cli import policies

    config = policies.config_here()
    return Invocation(
        **options,
        assurances=assurances,
        listen=lambda place: listener(Enduring(sys.stderr, place)),
        config=policies.recorded(config),
        policies=policies.all_of(config),
    )
