"""A command is shown again as it was typed; a switch in the environment says yes or no, and nothing else."""

import shlex

import click
import pytest
from click.testing import CliRunner

from drfsm.cli import typed
from drfsm.cli.drill import _allowed_by_the_environment
from drfsm.errors import UsageFault


@click.command("noun")
@click.argument("name")
@click.option("--flag", is_flag=True)
@click.option("--wish", type=click.BOOL, default=True)
@click.option("--env", multiple=True)
@click.option("--usual", default="as usual")
def noun(**_options: object) -> None:
    """Show the command."""
    click.echo(typed.again("--more", "a b"))
    click.echo(typed.again("--wish", "true"))


@pytest.mark.parametrize("line", ["it --flag --wish false --env A=1 --env 'B=x y'", "it", "'a name; rm -rf /'"])
def test_a_command_is_shown_as_it_was_typed(line: str) -> None:
    """What was typed comes back quoted, defaults stay out, and what is added replaces what was there."""
    shown = CliRunner().invoke(noun, shlex.split(line), catch_exceptions=False).output.splitlines()
    assert shlex.split(shown[0]) == ["drfsm", "noun", *shlex.split(line), "--more", "a b"]
    assert "false" not in shown[1]


@pytest.mark.parametrize(
    ("word", "allowed"),
    [("1", True), ("true", True), ("YES", True), ("y", True), ("", False), ("0", False), ("No", False), ("n", False)],
)
def test_the_allowance_takes_the_words_that_it_always_took(
    monkeypatch: pytest.MonkeyPatch, word: str, *, allowed: bool
) -> None:
    """As before: 1, true, yes, y, in any case. Another word is told as wrong usage, and allows nothing."""
    monkeypatch.setenv("ALLOW_FULL_DRILL", word)
    assert _allowed_by_the_environment() is allowed
    monkeypatch.setenv("ALLOW_FULL_DRILL", "perhaps")
    with pytest.raises(UsageFault, match="perhaps is neither yes nor no"):
        _allowed_by_the_environment()
