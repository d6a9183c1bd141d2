"""`drfsm completion`: the script by which a shell asks what the Tab key may offer. completing.py gives the answers.

``install`` writes the script where fish reads it by itself; for bash and zsh it adds one line that reads the script to
the shell's start-up file, once.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click

from drfsm.cli.completing import COMPLETE_VARIABLE
from drfsm.cli.say import say, say_text
from drfsm.errors import UsageFault

_MARK = "# completion of drfsm"


class Place(NamedTuple):
    """Where a shell's script goes, and which start-up file has to read it ("": the shell finds it by itself)."""

    script: str
    start_up: str = ""


PLACES: Mapping[str, Place] = {
    "bash": Place("{data}/bash-completion/completions/drfsm", "{home}/.bashrc"),
    "zsh": Place("{data}/drfsm/completion.zsh", "{zdotdir}/.zshrc"),
    "fish": Place("{config}/fish/completions/drfsm.fish"),
}
shell_option = click.option(
    "--shell", type=click.Choice(list(PLACES)), default=None, help="The shell.  [default: that of $SHELL]"
)


@click.group()
def completion() -> None:
    """Let the Tab key complete commands, options, runs, triggers, machines and states."""


@completion.command()
@shell_option
def show(shell: str | None) -> None:
    """Print the shell's script."""
    say_text(_script(_shell(shell)))


@completion.command()
@shell_option
def install(shell: str | None) -> None:
    """Install the shell's script for this user. Repeating it changes nothing."""
    named = _shell(shell)
    place = PLACES[named]
    script = Path(_filled(place.script))
    _write(script, _script(named))
    say(f"written: {script}")
    if place.start_up:
        start_up = Path(_filled(place.start_up))
        added = _add_line(start_up, f'[ -r "{script}" ] && . "{script}"  {_MARK}')
        say(f"{'added to' if added else 'already in'} {start_up}: one line that reads it")
    say(f"Open a new {named}, then try: drfsm <Tab>")


def _shell(named: str | None) -> str:
    """Return the shell. Raises UsageFault where $SHELL names none that drfsm knows."""
    shell = named or Path(os.environ.get("SHELL", "")).name
    if shell not in PLACES:
        raise UsageFault(
            f"drfsm has no completion for the shell {shell or '(none: $SHELL is empty)'}",
            hint=f"drfsm completion install --shell {'|'.join(PLACES)}",
        )
    return shell


def _script(shell: str) -> str:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  PLACES names only shells that click knows
    completer = kind(click.Command("drfsm"), {}, "drfsm", COMPLETE_VARIABLE)
    return completer.source_template % completer.source_vars()


def _filled(place: str) -> str:
    home = os.environ.get("HOME") or str(Path.home())
    return place.format(
        home=home,
        data=os.environ.get("XDG_DATA_HOME") or f"{home}/.local/share",
        config=os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config",
        zdotdir=os.environ.get("ZDOTDIR") or home,
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _add_line(path: Path, line: str) -> bool:
    """Add a line to a file of the user's, unless it is there; return whether it was added."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if line in old.splitlines():
        return False
    between = "" if not old or old.endswith("\n") else "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{between}{line}\n")
    return True
