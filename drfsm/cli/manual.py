"""`drfsm man`: a man page for every command, made from the same tree of commands as the pages of help.

A small writer of roff (the macros of man(7)). It escapes what roff would read as its own: backslashes, hyphens, and a
dot or an apostrophe that begins a line.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from drfsm import __version__
from drfsm.cli.examples import EXAMPLES
from drfsm.cli.exit_codes import MEANINGS, plain
from drfsm.cli.first_page import ABOUT, COMMANDS
from drfsm.cli.first_page import EXAMPLES as OF_ALL
from drfsm.cli.say import say

_CODES = {int(code): plain(meaning.means).rstrip(".") for code, meaning in MEANINGS.items()}


@click.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR", help="Directory for the pages.")
@click.pass_context
def man(context: click.Context, out: str) -> None:
    """Write a man page for every command, as DIR/drfsm-<command>.1.

    `man drfsm` finds those in ~/.local/share/man/man1.
    """
    directory = Path(out).expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    written = 0
    for words, command in every(context.find_root().command):
        (directory / f"{'-'.join(words)}.1").write_text(page(words, command), encoding="utf-8")
        written += 1
    say(f"{written} pages written to {directory}; to read one: man {directory / 'drfsm.1'}")


def page(words: tuple[str, ...], command: click.Command) -> str:
    """Return the man page of a command. ``words``: those that lead to it, ``drfsm`` first."""
    return "\n".join(_lines(words, command)) + "\n"


def every(
    command: click.Command, words: tuple[str, ...] = ("drfsm",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, each with the words that lead to it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            if part is not None:
                yield from every(part, (*words, name))


def _lines(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(words), help_option_names=["-h", "--help"])
    first, *more = paragraphs(command.help or ABOUT)
    yield f'.TH "{_escaped("-".join(words)).upper()}" 1 "" "drfsm {__version__}" "drfsm"'
    yield ".SH NAME"
    yield f"{_escaped('-'.join(words))} \\- {_escaped(first.rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_escaped(' '.join(words))}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    for paragraph in (first, *more):
        yield ".PP"
        yield _text(paragraph)
    yield from _section("OPTIONS", options(command, context))
    if isinstance(command, click.Group):
        yield from _section("COMMANDS", _commands(words, command, context))
    yield from _examples(words)
    yield from _section("EXIT STATUS", ((str(code), means) for code, means in _CODES.items()))
    yield ".SH SEE ALSO"
    yield ", ".join(f"{_escaped('-'.join(other))}(1)" for other in _related(words))


def _section(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(entries)
    if listed:
        yield f".SH {title}"
    for name, about in listed:
        yield ".TP"
        yield f".B {_escaped(name)}"
        yield _text(about or "-")


def options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield a command's options with what help says of each."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield record


def _commands(words: tuple[str, ...], group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(context):
        if len(words) == 1:
            yield name, COMMANDS[name][2]
        elif (part := group.get_command(context, name)) is not None:
            yield name, part.get_short_help_str(limit=200)


def _examples(words: tuple[str, ...]) -> Iterator[str]:
    typed = [command for command, _ in OF_ALL] if len(words) == 1 else typed_with(words)
    if not typed:
        return
    yield ".SH EXAMPLES"
    yield ".nf"
    yield from (_text(command) for command in typed)
    yield ".fi"


def typed_with(words: tuple[str, ...]) -> list[str]:
    """Return a command's examples, as they are typed. ``words``: those that lead to it, ``drfsm`` first."""
    return [" ".join((*words, more)).strip() for more in EXAMPLES.get(" ".join(words[1:]), ())]


def _related(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [words[:length] for length in range(1, len(words))] or [("drfsm", name) for name in ("status", "explain")]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text, each in one line."""
    return [" ".join(paragraph.replace("\b", "").split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _text(text: str) -> str:
    """Return a line of text: what begins it is never a macro."""
    escaped = _escaped(" ".join(text.split()))
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in escaped)
