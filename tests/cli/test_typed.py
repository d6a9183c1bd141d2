"""A command is shown again as it was typed; a switch in the environment says yes or no, and nothing else."""

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from drfsm.cli import typed
from drfsm.cli.drill import _allowed_by_the_environment
from drfsm.cli.options import comparison_profile, workload_file
from drfsm.dr.artifacts import compare
from drfsm.dr.workload import SHIPPED
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


def test_a_file_is_shown_by_its_name(tmp_path: Path) -> None:
    """A contract and a profile become their content when they are read: the command still names the files."""

    @click.command("noun")
    @workload_file
    @comparison_profile
    def noun(**options: str) -> None:
        """Show the command, once what it reads is its content."""
        assert options["workload"].startswith("{")
        click.echo(typed.again("--more"))

    contract, profile = tmp_path / "a contract.yaml", tmp_path / "profile.json"
    contract.write_bytes(SHIPPED.read_bytes())
    profile.write_bytes((Path(compare.__file__).parent / "profiles/default.json").read_bytes())
    line = ["--workload", str(contract), "--comparison-profile", str(profile)]
    shown = CliRunner().invoke(noun, line, catch_exceptions=False).output
    assert shlex.split(shown) == ["drfsm", "noun", *line, "--more"]


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
