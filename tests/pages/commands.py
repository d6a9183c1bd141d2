"""docs/commands.md: every command, from the tree that drfsm itself parses with."""

from collections.abc import Iterator

import click

from drfsm.cli.first_page import COMMANDS
from drfsm.cli.main import cli
from drfsm.cli.manual import every, options, paragraphs, typed_with
from drfsm.spec.diagram import markdown_table, plain

HEAD = """\
# Commands

Every command, with all that it takes, drawn from the commands themselves; `drfsm COMMAND --help` says the same. What a
command exits with stands in [exit-codes.md](exit-codes.md).

"""
PAGES = {
    "drill": "drill.md", "promote": "promote.md", "failback": "failback.md", "fence": "fences.md",
    "health": "health.md", "backup": "backups.md", "workload": "workload.md", "sandbox": "sandbox.md",
    "worker": "step-functions.md", "runs compare": "comparison.md", "machine": "authoring.md",
    "machine check": "checker.md", "replay": "auditing.md", "audit": "audit-codes.md",
    "completion": "shell.md", "status": "by-hand.md",
}  # fmt: skip
"""Command -> the page that says more."""


def page() -> str:
    """Return the page."""
    commands = [(" ".join(words[1:]), command) for words, command in every(cli) if len(words) > 1]
    index = markdown_table(
        ("command", "what it does"), ((f"[{name}](#drfsm-{name})", COMMANDS[name][2]) for name in COMMANDS)
    )
    return HEAD + index + "\n" + "\n".join("\n".join(_command(name, command)) for name, command in commands)


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"drfsm {name}", help_option_names=["-h", "--help"])
    yield f"{'##' if ' ' not in name else '###'} drfsm {name}\n"
    for words in paragraphs(command.help or ""):
        yield f"{plain(_plain(words))}\n"
    if name in PAGES:
        yield f"More: [{PAGES[name]}]({PAGES[name]}).\n"
    yield f"```text\n{' '.join(['drfsm', name, *command.collect_usage_pieces(context)])}\n```\n"
    rows = [(f"`{option}`", _plain(about)) for option, about in options(command, context) if "--help" not in option]
    if rows:
        yield markdown_table(("option", "what it does"), rows)
    typed = typed_with(("drfsm", *name.split()))
    if typed:
        yield "```console\n" + "\n".join(f"$ {line}" for line in typed) + "\n```\n"


def _plain(words: str) -> str:
    """Return words of a help page as Markdown: an asterisk is one."""
    return " ".join(words.split()).replace("*", "\\*")
