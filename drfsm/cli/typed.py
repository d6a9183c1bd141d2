"""The command that was typed, to be shown again with what it lacked: ready to paste."""

from shlex import join
from typing import Any

import click
from click.core import ParameterSource

WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "y": True,
    "": False,
    "0": False,
    "false": False,
    "no": False,
    "n": False,
}
"""What a variable of the environment may say for yes and no, in any case."""


_KEPT = "drfsm.typed."


def keep(context: click.Context, parameter: click.Parameter, value: str) -> None:
    """Remember what was typed for an option whose value becomes something else: the content of the file, say."""
    context.meta[f"{_KEPT}{parameter.name}"] = value


def kept(context: click.Context, name: str) -> str | None:
    """Return what was typed for such an option; None where its value is what was typed."""
    typed: str | None = context.meta.get(f"{_KEPT}{name}")
    return typed


def again(*more: str) -> str:
    """Return the present command as it was typed, with more options at its end, in the place of those that it had."""
    context = click.get_current_context()
    words = [context.command_path.partition(" ")[2] or context.command_path]
    for parameter in context.command.params:
        name = parameter.name or ""
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and not set(parameter.opts) & set(more):
            words += _words(parameter, context.meta.get(f"{_KEPT}{name}", context.params[name]))
    return join(["drfsm", *" ".join(words[:1]).split(), *words[1:], *more])


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    """Return what was typed for one parameter."""
    if isinstance(parameter, click.Argument):
        return [str(value)]
    option = max(parameter.opts, key=len)
    if getattr(parameter, "is_flag", False):
        return [option if value else max(parameter.secondary_opts, key=len, default=option)]
    values = value if parameter.multiple else (value,)
    shown = (str(each).lower() if isinstance(each, bool) else str(each) for each in values)
    return [word for text in shown for word in (option, text)]
