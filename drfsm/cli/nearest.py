"""The nearest name to one that is misspelt: one rule for verbs, flags, states, triggers and whatever else has a name.

Called by main.py for what click refuses, and by the commands that read a name from a machine. Holds no rule about what
is legal: a nearest name is only offered.
"""

from collections.abc import Iterable

import click

_MOST = 3


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Return the known names that are most like ``word``, the nearest first; [] where none is."""
    from difflib import get_close_matches

    known = {name.lower(): name for name in names}
    near = get_close_matches(word.lower(), known, n=_MOST)
    longer = [name for name in sorted(known) if len(word) > 2 and name.startswith(word.lower())]  # noqa: PLR2004
    return [known[name] for name in dict.fromkeys((*near, *longer))][:_MOST]


def did_you_mean(word: str, names: Iterable[str], before: str = "") -> str:
    """Return the question, "" where no name is near. ``before``: what stands before each name (``drfsm ``)."""
    near = nearest(word, names)
    return f"Did you mean: {', '.join(before + name for name in near)}?" if near else ""


def suggested(fault: click.UsageError) -> click.UsageError:
    """Return click's refusal of a command or an option that there isn't, with the nearest one; any other as it is."""
    context = fault.ctx
    if context is None:
        return fault
    if isinstance(fault, click.NoSuchOption):
        options = [
            name for parameter in context.command.params for name in (*parameter.opts, *parameter.secondary_opts)
        ]
        return _asked(fault, did_you_mean(fault.option_name, [name for name in options if name.startswith("--")]))
    if isinstance(context.command, click.Group) and fault.message.startswith("No such command"):
        word = fault.message.split("'")[1] if "'" in fault.message else ""
        verbs = context.command.list_commands(context)
        return _asked(fault, did_you_mean(word, verbs, f"{context.command_path} "))
    return fault


def _asked(fault: click.UsageError, question: str) -> click.UsageError:
    return click.UsageError(f"{fault.message} {question}".strip(), fault.ctx)
