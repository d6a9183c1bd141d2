"""The shell: completion, man pages, nearest names, examples on every page of help, and what a name means."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from drfsm.cli.completing import COMPLETE_VARIABLE
from drfsm.cli.completion import PLACES
from drfsm.cli.examples import EXAMPLES
from drfsm.cli.exit_codes import MEANINGS, page_table
from drfsm.cli.first_page import COMMANDS
from drfsm.cli.first_page import EXAMPLES as OF_ALL
from drfsm.cli.main import cli, report_fault
from drfsm.cli.nearest import nearest
from drfsm.errors import ExitCode, IllegalTransition
from tests.command import Drfsm
from tests.starter import Command
from tests.typed import parse

ROOT = Path(__file__).parents[2]
BUNDLE = max((ROOT / "tests/data/bundles").glob("*/failback"))


def tree(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that lead to it, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from tree(command, *words, name)


COMMAND_WORDS = [words for words, _ in tree(cli)]


# --- examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMAND_WORDS, ids=" ".join)
def test_every_page_of_help_ends_with_examples_that_parse(drfsm: Drfsm, words: tuple[str, ...]) -> None:
    """One or two, in the order of the table, each accepted by the command's own parser."""
    lines = drfsm(*words, "--help").out.rstrip().splitlines()
    start = next(number for number, line in enumerate(lines) if re.fullmatch(r" *Examples?:", line))
    shown = [line.strip() for line in lines[start + 1 :]]
    assert shown == [f"drfsm {' '.join(words)} {typed}".strip() for typed in EXAMPLES[" ".join(words)]]
    assert 1 <= len(shown) <= 2
    for typed in shown:
        parse(typed)


def test_the_first_page_shows_examples_that_parse(drfsm: Drfsm) -> None:
    """As every other page."""
    page = drfsm("--help").out
    for typed, words in OF_ALL:
        assert typed in page
        assert words.split()[0] in page
        parse(typed)


def test_the_table_of_examples_names_no_command_that_there_is_not() -> None:
    """And an example with a wrong option would be found."""
    assert set(EXAMPLES) == {" ".join(words) for words in COMMAND_WORDS}
    with pytest.raises(click.UsageError):
        parse("drfsm status --no-such-option")


# --- nearest names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "code", "question"),
    [
        ("statsu", 2, "Did you mean: drfsm status?"),
        ("Resume", 2, "Did you mean: drfsm resume"),
        ("runs lits", 2, "Did you mean: drfsm runs list?"),
        ("sandbox outge", 2, "Did you mean: drfsm sandbox outage?"),
        ("status --outptu json", 2, "Did you mean: --output?"),
        ("failback --dr-runid x", 2, "Did you mean: --dr-run-id"),
        ("explain dr_forzen", 2, "Did you mean: drfsm explain dr_frozen"),
        ("explain freze_dr", 2, "Did you mean: drfsm explain freeze_dr"),
        ("explain no_inflight_dr_job", 2, "Did you mean: drfsm explain "),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(drfsm: Drfsm, typed: str, code: int, question: str) -> None:
    """Verbs at every depth, flags, states, triggers and guards alike."""
    answer = drfsm(*typed.split())
    assert answer.code == code
    assert question in answer.err


def test_a_trigger_that_is_not_legal_gets_the_nearest_legal_one(capsys: pytest.CaptureFixture[str]) -> None:
    """`drfsm request skip_soka`: the legal ones stay named."""
    fault = IllegalTransition(machine="failback", state="s", trigger="skip_soka", legal=["abort", "skip_soak"])
    assert report_fault(fault, "request") == ExitCode.ILLEGAL
    assert "next: Did you mean: skip_soak? legal here: abort, skip_soak" in capsys.readouterr().err


def test_what_is_like_nothing_gets_no_suggestion(drfsm: Drfsm) -> None:
    """No guess is better than a wrong one; a name that is the beginning of others gets them."""
    answer = drfsm("zzzzzz")
    assert (answer.code, "Did you mean" in answer.err) == (2, False)
    assert nearest("qqq", COMMANDS) == []
    assert nearest("kube", COMMANDS) == ["kubeconfig"]


# --- explain ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "dr_frozen",
            ["dr_frozen: state of failback", "DR's schedules are suspended", "freeze_dr", "abort -> aborting"],
        ),
        ("freeze_dr", ["freeze_dr: trigger of failback", "dr_schedules becomes off", "yes, by restore_dr_schedules"]),
        ("dr_still_owns", ["dr_still_owns: guard of failback", "requires:"]),
        ("dr_schedules", ["dr_schedules: fact of failback", "values:", "mixed"]),
        ("4", ["4 (held): exit code", "what to do: `drfsm resume`"]),
        ("lease_held", ["5 (lease held): exit code", "which lease is free"]),
    ],
)
def test_explain_says_what_a_name_means(drfsm: Drfsm, name: str, words: list[str]) -> None:
    """In the words of the declaration, or of the table of exit codes; links of the page are taken out."""
    answer = drfsm("explain", name)
    assert answer.code == ExitCode.DONE
    assert [word for word in words if word not in answer.out] == []
    assert "](" not in answer.out


def test_explain_lists_every_name_and_explains_each(drfsm: Drfsm) -> None:
    """States, triggers, guards and facts of every machine, exit codes, codes; none is listed without a meaning."""
    listed = drfsm("explain", "-o", "json").json
    kinds = {"state", "trigger", "guard", "fact", "exit code", "finding"}
    assert {entry["kind"] for entry in listed} == kinds
    for name in ("complete", "abort", "4"):
        entries = drfsm("explain", name, "-o", "json").json
        assert entries
        assert {"kind", "name"} <= set(entries[0])
    only = drfsm("explain", "--machine", BUNDLE, "-o", "json").json
    assert 0 < len(only) < len(listed)


def test_the_page_of_exit_codes_is_the_table() -> None:
    """docs/exit-codes.md has exactly the lines of the table, and every code is in it."""
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in page if re.match(r"\| \d+ \|", line)] == page_table()
    assert set(MEANINGS) == set(ExitCode)


# --- man pages ----------------------------------------------------------------------------------------------------


def test_man_writes_a_page_for_every_command(drfsm: Drfsm, tmp_path: Path) -> None:
    """Each names its options; what begins a line of text is never read as a macro."""
    answer = drfsm("man", "--out", tmp_path / "man1")
    assert answer.code == ExitCode.DONE
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "man1").iterdir()}
    assert set(pages) == {"drfsm.1", *(f"drfsm-{'-'.join(words)}.1" for words in COMMAND_WORDS)}
    macros = {".TH", ".SH", ".PP", ".TP", ".B", ".nf", ".fi"}
    for name, page in pages.items():
        starts = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
        assert starts <= macros, name
        assert page.isascii(), name
    for option in ("\\-\\-dr\\-run\\-id", "\\-\\-dry\\-run", "\\-h, \\-\\-help"):
        assert option in pages["drfsm-failback.1"]
    assert ".SH COMMANDS" in pages["drfsm-runs.1"]
    assert "drfsm status" in pages["drfsm.1"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_reads_every_man_page_without_a_warning(drfsm: Drfsm, tmp_path: Path) -> None:
    """All pages in one go, with every warning on."""
    drfsm("man", "--out", tmp_path)
    ended = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", *sorted(tmp_path.glob("*.1"))], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""


# --- completion ---------------------------------------------------------------------------------------------------


def offered(typed: str, home: Path, shell: str = "bash", **more: str) -> list[str]:
    """Return what the Tab key is offered, as the shell's script gets it; nothing may come on stderr."""
    words = typed.split(" ")
    environment = {
        "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), COMPLETE_VARIABLE: f"{shell}_complete",
        "DRFSM_HOME": str(home), **more,
    }  # fmt: skip
    out, err = Command([], {**os.environ, **environment}).communicate(90)
    assert err == ""
    return [line.partition(",")[2] or line for line in out.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with one held failback."""
    shutil.copytree(BUNDLE, tmp_path / "home/runs/failback-1")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("drfsm re", {"resume", "request", "resolve", "replay", "report", "receipts"}),
        ("drfsm runs ", {"list", "show", "verify", "compare", "sync"}),
        ("drfsm status --o", {"--output"}),
        ("drfsm status fail", {"failback-1"}),
        ("drfsm resume ", {"failback-1"}),
        ("drfsm request ab", {"abort"}),
        ("drfsm machine check fa", {"failback"}),
        ("drfsm explain dr_froz", {"dr_frozen"}),
        ("drfsm explain freeze_d", {"freeze_dr"}),
        ("drfsm completion install --shell f", {"fish"}),
    ],
)
def test_the_tab_key_offers_what_fits(home: Path, typed: str, names: set[str]) -> None:
    """Commands, options, runs of this computer, triggers that are legal now, machines, states."""
    assert set(offered(typed, home)) == names


def test_a_completion_is_silent_whatever_goes_wrong(home: Path) -> None:
    """A damaged journal, an unknown command, a home that is a file: no message, no traceback."""
    (home / "runs/failback-1/state_transitions.log").write_text("{")
    assert offered("drfsm status fail", home) == ["failback-1"]
    offered("drfsm nosuch ", home)
    (home.parent / "file").write_text("")
    offered("drfsm status ", home.parent / "file")
    offered("drfsm request ", home.parent / "file")


def test_a_summary_offers_the_tab_key_nothing_of_its_own(home: Path) -> None:
    """Zsh reads an entry as three lines: kind, value, words. A state with newlines stays in the words of its run."""
    file = home / "runs/failback-1/failback.summary.json"
    summary = {**json.loads(file.read_text()), "state": "held\nplain\n$(reboot)\n"}
    head = hashlib.sha256(
        (file.parent / "state_transitions.log").read_bytes().splitlines(keepends=True)[-1]
    ).hexdigest()
    file.write_text(json.dumps({**summary, "journal": {**summary["journal"], "head": head}}))
    kind, value, words = offered("drfsm status fail", home, "zsh")
    assert (kind, value) == ("plain", "failback-1")
    assert words.endswith(r" in held\nplain\n$(reboot)\n")


@pytest.mark.parametrize("shell", PLACES)
def test_completion_is_installed_by_one_command_and_once(drfsm: Drfsm, tmp_path: Path, shell: str) -> None:
    """The script is where the shell, or its start-up file, finds it; a second time changes nothing."""
    assert drfsm("completion", "install", "--shell", shell).code == ExitCode.DONE
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    scripts = [path for path, body in files.items() if COMPLETE_VARIABLE.encode() in body]
    assert len(scripts) == 1
    assert (
        drfsm("completion", "show", "--shell", shell).out == scripts[0].read_text(encoding="utf-8").rstrip("\n") + "\n"
    )
    if PLACES[shell].start_up:
        assert any(str(scripts[0]).encode() in body for path, body in files.items() if path != scripts[0])
    drfsm("completion", "install", "--shell", shell)
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_bash_completes_after_the_install(drfsm: Drfsm, tmp_path: Path, home: Path) -> None:
    """A real bash reads its start-up file, and its completion function offers the run."""
    drfsm("completion", "install", "--shell", "bash")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/drfsm"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m drfsm "$@"\n')
    command.chmod(0o755)
    asked = 'COMP_WORDS=(drfsm status fail); COMP_CWORD=2; _drfsm_completion drfsm; echo "${COMPREPLY[@]}"'
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DRFSM_HOME": str(home), "HOME": str(tmp_path)}
    ended = subprocess.run(
        ["bash", "--norc", "-c", f". {tmp_path}/.bashrc; {asked}"], capture_output=True, text=True, check=True,
        cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    assert (ended.stdout.strip(), ended.stderr) == ("failback-1", "")


def test_a_shell_that_drfsm_does_not_know_is_named(drfsm: Drfsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the three that it knows."""
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    answer = drfsm("completion", "install")
    assert answer.code == ExitCode.USAGE
    assert "tcsh" in answer.err
    assert "bash|zsh|fish" in answer.err
