"""What the Tab key offers: runs, machines, states, triggers. A completion is quick, and silent whatever goes wrong.

The shell's script (`drfsm completion install`) starts drfsm with _DRFSM_COMPLETE set; ``completed`` answers. Runs are
named from the names of their directories and their summaries (runs/glance.py), triggers from the declarations that
drfsm ships. No server is asked, nothing is written, and nothing but the answer is printed.
"""

import os
from collections.abc import Iterator
from contextlib import redirect_stderr, suppress
from io import StringIO
from typing import Any

import click

from drfsm.claims import is_name, printable
from drfsm.errors import DrfsmError

COMPLETE_VARIABLE = "_DRFSM_COMPLETE"
_MOST_RUNS = 30
"""The newest runs, at most: each is looked at."""


def completed(cli: click.Command) -> int:
    """Answer the shell; return the exit code. Whatever goes wrong, no more than an empty answer is given."""
    from click.shell_completion import get_completion_class

    shell, _, instruction = os.environ[COMPLETE_VARIABLE].partition("_")
    completer = get_completion_class(shell)
    if completer is None or instruction != "complete":
        return 1
    answer = ""
    with suppress(Exception), redirect_stderr(StringIO()):
        answer = completer(cli, {}, "drfsm", COMPLETE_VARIABLE).complete()
    if answer:
        from drfsm.cli.say import say_text

        with suppress(OSError, ValueError):
            say_text(answer)
    return 0


def run_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return the newest runs of this computer whose ids begin so, with what `list` says of them."""
    from click.shell_completion import CompletionItem

    from drfsm.runs import bundle
    from drfsm.runs.glance import glance

    places = (place for place in bundle.runs() if place.name.startswith(incomplete))
    items = []
    for _, place in zip(range(_MOST_RUNS), places, strict=False):
        seen = glance(place)
        # Shells read a line an entry: a summary's newline would be an entry of its own.
        items.append(CompletionItem(place.name, help=printable(f"{seen.status} in {seen.state}") if seen else ""))
    return [item for item in items if is_name("drfsm run", item.value)] or _paths(incomplete)


def machines(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return the machines that drfsm ships, else files."""
    from click.shell_completion import CompletionItem

    from drfsm.resources import shipped

    names = sorted(file.stem for file in shipped("machines").glob("*.yaml"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)] or _paths(incomplete)


def triggers(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return what a person may ask for: of the open run what is legal now; where no run is open, of every machine."""
    from click.shell_completion import CompletionItem

    named = {name: words for name, words in _legal() if name.startswith(incomplete)}
    if not named:
        named = {row.trigger: row.reason for spec in _specs() for row in spec.rows if row.by == "operator"}
    return [CompletionItem(name, help=words) for name, words in named.items() if name.startswith(incomplete)]


def explained(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return every name that `drfsm explain` knows."""
    from click.shell_completion import CompletionItem

    from drfsm.cli.explanations import names

    return [CompletionItem(name, help=kind) for name, kind in names(_specs()) if name.startswith(incomplete)]


def _legal() -> Iterator[tuple[str, str]]:
    from drfsm.adapters.file_journal import read_chain
    from drfsm.journal import fold
    from drfsm.runs import selection

    with suppress(DrfsmError):
        state = fold(read_chain(selection.find(None)).records)
        ways = ((way.action, printable(way.reason)) for way in state.next_actions)
        yield from (way for way in ways if is_name("state", way[0]))  # triggers are spelt like states


def _specs() -> list[Any]:
    from drfsm.cli.explanations import shipped_machines

    return shipped_machines()


def _paths(incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]
