"""Commands as people type them, in examples and docs: parsed by drfsm's own commands, without being run."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click

from drfsm.cli.main import cli

ELLIPSES = ("…", "...")
_BLOCK = re.compile(r"^```(console|sh|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`(drfsm\s[^`]+)`(?!`)")
_OPERATORS = frozenset("();<>|&")
_WITHIN = re.compile(r"\$\((drfsm [^)]*)\)")


class Shown(NamedTuple):
    """A command of a page. ``whole``: it is to be typed as it stands, so nothing that is required may be missing."""

    words: tuple[str, ...]
    whole: bool


def parse(typed: str) -> None:
    """Parse a command as drfsm would, without running it. Raises what drfsm would refuse it with."""
    first, *words = shlex.split(typed)
    assert first == "drfsm"
    context = cli.make_context("drfsm", words)
    command: click.Command = cli
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]  # click keeps a group's next words in two places
        name, below, rest = command.resolve_command(context, rest)
        assert below is not None
        command, context = below, below.make_context(name, rest, parent=context)


def fits(shown: Shown) -> None:
    """Hold a command of a page against drfsm's own: its verbs, its options, how many words each takes.

    Values may be placeholders (FILE, …), so none is converted. Raises click.UsageError.
    """
    context, words = click.Context(cli, info_name="drfsm"), list(shown.words[1:])
    below: click.Command = cli
    while isinstance(below, click.Group) and words and not words[0].startswith("-") and words[0] not in ELLIPSES:
        name = words.pop(0)
        part = below.get_command(context, name)
        if part is None:
            raise click.UsageError(f"there is no command {name}")
        below, context = part, click.Context(part, info_name=name, parent=context, help_option_names=["-h", "--help"])
    if words and not shown.whole and words[-1].startswith("-"):
        words.append(ELLIPSES[0])  # a sentence may name an option without a value
    options, rest, _ = below.make_parser(context).parse_args(words)
    rest = [word for word in rest if word not in ELLIPSES]
    if rest:
        raise click.UsageError(f"nothing takes {rest}")
    missing = [parameter.name for parameter in below.params if parameter.required and parameter.name not in options]
    if missing and shown.whole and "help" not in options:
        raise click.UsageError(f"{missing} is missing")


def commands_in(page: str) -> Iterator[Shown]:
    """Yield drfsm's commands in a page's blocks of shell, and in the code within its sentences."""
    for language, block in _BLOCK.findall(page):
        for line in typed_in(block, prompted=language == "console"):
            yield from _commands(line, whole=not any(mark in line for mark in ELLIPSES))
    for span in _SPAN.findall(_BLOCK.sub("", page)):
        yield from _commands(" ".join(span.split()), whole=False)


def typed_in(block: str, *, prompted: bool) -> Iterator[str]:
    """Yield what is typed in a block of shell, continued lines as one. ``prompted``: after "$ "; the rest is output."""
    for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines():
        if not prompted or line.startswith("$ "):
            yield line.removeprefix("$ ")


def _commands(line: str, *, whole: bool) -> Iterator[Shown]:
    for inner in _WITHIN.findall(line):
        yield from _commands(inner, whole=whole)
    joined = re.sub(r"(?<=\S)\|(?=\S)", "-or-", line)  # FILE|DIR: one or the other
    joined = re.sub(r"<[^<>]+>", "PLACEHOLDER", joined)
    joined = re.sub(r"(?<=\s)\[|\](?=\s|$)", "", joined)  # [--dry-run]: if you want
    lexer = shlex.shlex(joined, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= _OPERATORS:
            if len(command) > 1 and command[0] == "drfsm" and not command[1].isupper():  # VERB stands for any
                yield Shown(tuple(command), whole=whole)
            command = []
        elif command or "=" not in word:  # NAME=value before a command is none
            command.append(word)
