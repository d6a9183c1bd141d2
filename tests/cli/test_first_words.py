"""What a newcomer types first: a variable that isn't set, a verb without its words, a directory in a run's place.

No server: everything here is refused, or done, before a call is made.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from drfsm.cli.main import COMMANDS, cli, run
from drfsm.resources import shipped
from tests.recorded import recorded

Typed = Callable[..., tuple[int, str, str]]
MAKEFILE = shipped("machines").parent / "Makefile"


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return the command, with a home of its own and without credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def type_(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(word) for word in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return type_


# --- a variable that isn't set ------------------------------------------------------------------------------------


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of a group, with the words that lead to it."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


REQUIRED = [
    (path, parameter.opts[0])
    for path, command in commands(cli)
    for parameter in command.params
    if parameter.required and isinstance(parameter, click.Option)
]


@pytest.mark.parametrize(("path", "option"), REQUIRED, ids=[" ".join((*path, option)) for path, option in REQUIRED])
def test_a_required_option_that_is_empty_is_wrong_usage(
    typed: Typed, tmp_path: Path, path: tuple[str, ...], option: str
) -> None:
    """Every verb refuses it with 2 and a sentence, before it makes anything."""
    code, _, err = typed(*path, option, "")
    assert (code, "is empty" in err, "next:" in err) == (2, True, True), err
    assert not (tmp_path / "home").exists()


def test_the_options_that_every_procedure_needs_are_among_them() -> None:
    """The table above is no empty one."""
    named = {(path[0], option) for path, option in REQUIRED}
    assert {("failback", "--dr-run-id"), ("promote", "--kubeconfig-dr"), ("validate", "--bucket")} < named
    assert {path[0] for path, _ in REQUIRED} < set(COMMANDS)


def test_a_dr_that_has_run_nothing_has_no_run_to_fail_back(typed: Typed, tmp_path: Path) -> None:
    """`sandbox env` gives an empty DR_RUN_ID where DR stands by: it is told so, and no bundle is made."""
    code, _, err = typed(
        "failback", "--bucket", "b", "--dr-run-id", "", "--kubeconfig-dr", "x", "--kubeconfig-primary", "y",
        "--receipt-dir", tmp_path / "bundle",
    )  # fmt: skip
    assert (code, "DR has run nothing: there is no run to fail back" in err) == (2, True)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("verb", ["failback", "promote"])
def test_a_reason_that_is_missing_is_asked_for_by_its_option(typed: Typed, verb: str) -> None:
    """Who accepts a degraded site is told which option says why."""
    words = {
        "failback": ("--dr-run-id", "2026-11-28T08:02:45Z", "--kubeconfig-dr", "x", "--kubeconfig-primary", "y"),
        "promote": ("--kubeconfig-dr", "x", "--kubeconfig-primary", "y"),
    }
    code, _, err = typed(verb, "--bucket", "b", *words[verb], "--allow-degraded")
    assert (code, "next: add --reason" in err) == (2, True), err


@pytest.mark.parametrize("run_id", ["r", "2026-11-28", "2026-11-28T08:02:45", "manual 1", "../x"])
@pytest.mark.parametrize("verb", ["failback", "pointers set"])
def test_an_id_that_the_workload_gives_no_run_is_refused_with_its_grammar(
    typed: Typed, tmp_path: Path, verb: str, run_id: str
) -> None:
    """By the workload's contract, before a token is asked for and before anything is made or called."""
    sites = ("--kubeconfig-dr", "x", "--kubeconfig-primary", "y", "--receipt-dir", tmp_path / "bundle")
    words = {
        "failback": ("failback", "--bucket", "b", "--dr-run-id", run_id, *sites),
        "pointers set": ("pointers", "set", run_id, "--bucket", "b", "--reason", "x"),
    }
    code, _, err = typed(*words[verb])
    assert (code, "can't be a run of the workload jobintel" in err) == (2, True), err
    assert "its runs are named by a time with an offset, e.g. 2026-11-28T08:02:45Z" in err
    assert not (tmp_path / "bundle").exists()


# --- make ---------------------------------------------------------------------------------------------------------


def make(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Return what make says; drfsm's own words are only printed."""
    command = ["make", "-f", str(MAKEFILE), "DRFSM=echo drfsm", *words]
    place = {"PATH": "/usr/bin:/bin", **environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=place)


def test_make_restores_only_what_is_typed_to_the_site_that_is_typed() -> None:
    """Variables of the environment, as `sandbox env` exports them, change no site by themselves."""
    named = {"BACKUP_URI": "s3://b/p/backups/1", "KUBECONFIG_DR": "/k"}
    words = [f"{name}={value}" for name, value in named.items()]
    for typed_words in ([], words[:1], words[1:]):
        refused = make("dr-restore", *typed_words, **named)
        assert (refused.returncode, "drfsm" in refused.stdout) == (2, False)
        assert "make dr-restore BACKUP_URI=" in refused.stderr
    done = make("dr-restore", *words)
    assert done.stdout.strip() == "drfsm backup restore --backup-uri s3://b/p/backups/1 --kubeconfig /k"


# --- a directory, and no words at all -----------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a directory with one of the five files that a run must have."""
    file = tmp_path / "copy" / "openai" / "cs" / "openai_top.cs.md"
    file.parent.mkdir(parents=True)
    file.write_text("# one\n", encoding="utf-8")
    return tmp_path / "copy"


def test_a_directory_in_a_run_s_place_is_told_with_the_command_for_it(typed: Typed, copy: Path) -> None:
    """Both verbs that can look at a copy say how."""
    for words in (("verify", copy), ("compare", copy, copy)):
        code, _, err = typed("runs", *words)
        assert (code, f"next: drfsm runs {' '.join(map(str, words))} --offline" in err) == (2, True), err


def test_offline_is_said_alike_by_both_verbs_and_as_before(typed: Typed, copy: Path) -> None:
    """The option stands behind the directories, or before them; `verify --offline DIRECTORY RUN` still means RUN."""
    alone: tuple[tuple[object, ...], ...] = (
        (copy, "--offline"),
        ("--offline", copy),
        ("--offline", copy, "2026-02-27T00:22:29Z"),
    )
    for words in alone:
        code, out, _ = typed("runs", "verify", *words)
        assert (code, "missing (1 of 5 artifacts read, 4 not there" in out) == (11, True), out
    both: tuple[tuple[object, ...], ...] = ((copy, copy, "--offline"), ("--offline", copy, copy))
    for words in both:
        assert typed("runs", "compare", *words)[0] == 0


@pytest.mark.parametrize("words", [("runs", "verify"), ("runs", "verify", "--offline"), ("pointers", "set")])
def test_a_verb_without_words_shows_the_whole_command(typed: Typed, words: tuple[str, ...]) -> None:
    """What to type, and where the run's name comes from."""
    code, _, err = typed(*words)
    assert (code, f"next: drfsm {words[0]} {words[1]} RUN --bucket BUCKET" in err) == (2, True), err
    assert "drfsm runs list" in err


def test_a_request_without_a_trigger_names_the_legal_ones(typed: Typed, tmp_path: Path) -> None:
    """Of the newest run, in the state in which it stands; nothing is written."""
    place = tmp_path / "home" / "runs" / "a-promote"
    shutil.copytree(next(bundle for bundle in recorded() if bundle.name == "promote"), place)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    code, _, err = typed("request")
    assert (code, "no trigger is named; legal for promote-" in err, f"{place} --reason" in err) == (2, True, True), err
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
