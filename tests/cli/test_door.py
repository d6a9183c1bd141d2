"""The door: the seed's flags with their defaults, and no word, file or credential that is wrong ends in a traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from drfsm.cli.failback import failback
from drfsm.cli.main import cli
from drfsm.errors import ExitCode
from drfsm.runs import bundle, selection
from tests.cli.conftest import given
from tests.command import Drfsm

SEED = {
    "--bucket": None, "--prefix": "jobintel", "--dr-run-id": None, "--kubeconfig-dr": None,
    "--kubeconfig-primary": None, "--image-ref": "", "--namespace": "jobintel", "--provider": "openai",
    "--profile": "cs", "--primary-restore-backup-uri": "", "--sync-src-prefix": "", "--sync-dst-prefix": "",
    "--teardown": True, "--confirm1": None, "--confirm2": None, "--dry-run": False, "--receipt-dir": None,
    "--allow-tag": False,
}  # fmt: skip
"""The flags of the seed's failback command; None: none, or no default."""


def every(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*names, name)
        if isinstance(found, click.Group):
            yield from every(found, *names, name)


COMMANDS = list(every(cli))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_every_verb_of_a_noun_explains_itself(drfsm: Drfsm, words: tuple[str, ...]) -> None:
    """--help exits with 0 and names the command; an option that there isn't exits with 2 and is named."""
    told = drfsm(*words, "--help")
    assert told.code == ExitCode.DONE
    assert re.search(r"^Usage: .*" + " ".join(words), told.out)
    assert len(told.out.splitlines()) > 3
    told = drfsm(*words, "--no-such-option")
    assert (told.code, "--no-such-option" in told.err) == (ExitCode.USAGE, True), told


def test_failback_has_exactly_the_seeds_flags_with_their_defaults(drfsm: Drfsm) -> None:
    """Every flag of the seed is there under its name, with the seed's default, and in --help."""
    found = {option: each for each in failback.params for option in each.opts}
    needed = {flag: "x" for flag, option in found.items() if option.required}
    words = [word for pair in needed.items() for word in pair]
    settled = failback.make_context("failback", words, parent=click.Context(cli, **cli.context_settings)).params
    told = drfsm("failback", "--help")
    for flag, default in SEED.items():
        assert flag in found, flag
        if default is not None:
            assert (flag, settled[str(found[flag].name)] or False) == (flag, default or False)
        assert re.search(rf"^\s+{flag}\b", told.out, re.MULTILINE), flag
    required = {each.opts[0] for each in failback.params if each.required}
    assert required == {"--bucket", "--dr-run-id", "--kubeconfig-dr", "--kubeconfig-primary"}


def test_the_help_of_all_names_every_command_and_the_exit_codes(drfsm: Drfsm) -> None:
    """`drfsm --help` is where a tired person begins."""
    told = drfsm("--help")
    assert told.code == ExitCode.DONE
    for name in (words[0] for words in COMMANDS if len(words) == 1):
        assert re.search(rf"^  {name} ", told.out, re.MULTILINE), name
    assert "continue with `drfsm resume`" in " ".join(told.out.split())
    assert drfsm("--version").out.startswith("drfsm")


def test_a_kubeconfig_that_is_missing_leaves_no_bundle_behind(drfsm: Drfsm, tmp_path: Path) -> None:
    """Exit 2, the option and the file are named, and nothing was made."""
    told = drfsm(*given(tmp_path, kubeconfig_primary=tmp_path / "missing"))
    assert told.code == ExitCode.USAGE
    assert f"--kubeconfig-primary: there is no file {tmp_path}/missing" in told.err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"- a\n- list\n", b"token: hunter2\n", b"clusters: [}\n", b"clusters: []\ncontexts: []\n"],
    ids=["nothing", "bytes", "a list", "other keys", "no YAML", "no cluster"],
)
def test_a_kubeconfig_that_is_none_is_wrong_usage(drfsm: Drfsm, tmp_path: Path, content: bytes) -> None:
    """Exit 2 before anything is made; its content, which may be a credential, is not shown."""
    (tmp_path / "garbage").write_bytes(content)
    told = drfsm(*given(tmp_path, kubeconfig_dr=tmp_path / "garbage"))
    assert told.code == ExitCode.USAGE
    assert f"--kubeconfig-dr: {tmp_path}/garbage is no kubeconfig" in told.err
    assert "hunter2" not in told.err + told.out
    assert not (tmp_path / "bundle").exists()


def test_without_credentials_the_run_says_what_to_export(drfsm: Drfsm, tmp_path: Path) -> None:
    """Nothing could be asked, so nothing is known: held before its first step, with what to do."""
    told = drfsm(*given(tmp_path))
    assert told.code == ExitCode.HELD
    assert "no usable AWS credentials" in told.err
    assert "what to do: export AWS_PROFILE or AWS_ACCESS_KEY_ID" in told.err
    assert "a-token-that-nobody-may-see" not in (tmp_path / "bundle/state_transitions.log").read_text()
    told = drfsm("runs", "list", "--bucket", "b")
    assert (told.code, "AWS_ACCESS_KEY_ID" in told.err) == (ExitCode.UNREACHABLE, True), told


def test_a_bundle_that_holds_a_run_is_not_written_over(drfsm: Drfsm, tmp_path: Path) -> None:
    """--receipt-dir of an earlier run: exit 2, the way to go on with that one, and its journal is as it was."""
    drfsm(*given(tmp_path, confirm1="no"))
    before = (tmp_path / "bundle/state_transitions.log").read_bytes()
    told = drfsm(*given(tmp_path))
    assert told.code == ExitCode.USAGE
    assert f"drfsm resume {tmp_path}/bundle" in told.err
    assert (tmp_path / "bundle/state_transitions.log").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prefix": "/"}, "--prefix is empty"),
        ({"drain_timeout": -1}, "--drain-timeout"),
        ({"soak": "none"}, "--reason"),
        ({"validation_env": "no-assignment"}, "NAME=VALUE"),
        ({"validation_env": "JOBINTEL_S3_BUCKET=mine"}, "where and with which identity"),
        ({"validation_env": "AWS_ROLE_ARN=mine"}, "where and with which identity"),
        ({"teardown": "perhaps"}, "--teardown"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_an_option_that_makes_no_sense_is_told_before_anything_is_made(
    drfsm: Drfsm, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    """Exit 2, the option is named, and there is no bundle."""
    told = drfsm(*given(tmp_path, **options))
    assert (told.code, words in told.err) == (ExitCode.USAGE, True), told
    assert not (tmp_path / "bundle").exists()


def test_list_status_and_hold_know_the_runs_of_this_machine(drfsm: Drfsm, tmp_path: Path) -> None:
    """Without runs they say so; with one it is found by its id, by its directory, and as the newest."""
    assert "no run is known" in drfsm("list").err
    assert drfsm("status").code == ExitCode.USAGE
    drfsm(*given(tmp_path, confirm1="no"))
    line = drfsm("list").out
    assert line.startswith("refused")
    run_id = line.split()[-1]
    told = [drfsm("status", *named) for named in ((), (run_id,), (tmp_path / "bundle",))]
    assert {each.code for each in told} == {ExitCode.DONE}
    assert all(f"{run_id} ended: refused" in each.out for each in told)
    told_hold = drfsm("hold", run_id, "--reason", "r")
    assert (told_hold.code, "nobody works on this run" in told_hold.out) == (ExitCode.DONE, True)


LAMP = """
machine: lamp
because: "A lamp"
initial: dark
finals: {lit: complete}
facts:
  light: {values: [on, off], initial: [off], because: "Whether it burns"}
transitions:
  - {from: dark, trigger: press, to: lit, action: press, sets: {light: on}, effect: idempotent, because: "Light"}
"""


def test_machine_check_says_that_a_machine_is_safe_or_shows_how_it_is_not(drfsm: Drfsm, tmp_path: Path) -> None:
    """A safe one exits with 0; one in which something that must never happen can happen exits with 6 and shows how."""
    path = tmp_path / "lamp.yaml"
    path.write_text(LAMP)
    assert drfsm("machine", "check", path).code == ExitCode.DONE
    path.write_text(LAMP + 'never: [{name: burning, when: {light: on}, states: [lit], because: "of the fire"}]\n')
    told = drfsm("machine", "check", path)
    assert told.code == ExitCode.EVIDENCE
    assert "burning" in told.out
    assert "lamp is not safe as declared" in told.err


def test_a_search_that_was_cut_off_blames_no_declaration(drfsm: Drfsm, tmp_path: Path) -> None:
    """Nothing was found: the operator is shown how to search more, not told to correct what may be right."""
    path = tmp_path / "lamp.yaml"
    path.write_text(LAMP + 'never: [{name: blown, when: {light: off}, states: [lit], because: "it is dark"}]\n')
    told = drfsm("machine", "check", path, "--max-states", "1")
    assert told.code == ExitCode.EVIDENCE
    assert "lamp is not proven: a search was cut off" in told.err
    assert "--max-states above 1" in told.err
    assert "not safe" not in told.err


def test_a_guard_that_never_refuses_is_not_called_a_run_that_cannot_end(drfsm: Drfsm, tmp_path: Path) -> None:
    """The line says that every run ends, and names the guard; the exit code is that of a finding."""
    path = tmp_path / "lamp.yaml"
    guard = 'guards: {it_burns: {requires: {light: on}, because: "Nobody finds the door"}}\n'
    leave = '  - {from: lit, trigger: leave, to: left, guards: [it_burns], because: "It is late"}\n'
    path.write_text(guard + LAMP.replace("finals: {lit:", "finals: {left:") + leave)
    told = drfsm("machine", "check", path)
    assert told.code == ExitCode.EVIDENCE
    assert "every run can end: holds, but not all guards make sense" in told.out
    assert "guard can never refuse: it_burns" in told.out


def test_a_defect_leaves_its_traceback_in_a_file_and_words_on_the_terminal(
    drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody thought of exits with 1, says that it is drfsm's fault, and where the traceback lies."""
    drfsm(*given(tmp_path, confirm1="no"))
    monkeypatch.setattr("drfsm.cli.status_page.fold", lambda _records: {0: 0}[1])  # who would think of that
    told = drfsm("status", tmp_path / "bundle")
    assert told.code == ExitCode.DEFECT
    assert "a defect in drfsm, not in your sites" in told.err
    (found,) = re.findall(r"its traceback is in (\S+)", told.err)
    assert "KeyError" in Path(found).read_text(encoding="utf-8")


def test_a_command_leaves_without_taking_the_interpreter_apart() -> None:
    """Obstore's threads outlive their requests, and one that lets go of an object at that moment is a SIGABRT."""
    script = (
        "import atexit, sys\n"
        "from drfsm.cli.main import main\n"
        "class Last:\n    def __del__(self, say=print): say('taken apart')\n"
        "last = Last()\n"
        "sys.argv = ['drfsm', 'machine', 'show', 'no-such-machine']\n"
        "main()\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (ExitCode.USAGE, ""), told.stderr
    assert "no-such-machine" in told.stderr


def test_progress_for_collectors_of_logs_is_json_lines(
    drfsm: Drfsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DRFSM_LOG=json every line on stderr is one event with the run, the record and its words."""
    monkeypatch.setenv("DRFSM_LOG", "json")
    told = drfsm(*given(tmp_path, confirm1="FAIL"))
    events = [json.loads(line) for line in told.err.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("run.started", "run.seal")
    assert {each["machine"] for each in events} == {"failback"}
    ended = next(each for each in events if each["event"] == "run.ended")
    assert (ended["status"], "tokens_match" in ended["reason"]) == ("refused", True)


def test_without_a_name_a_child_stands_for_the_run_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest run is a drill's promote: `drfsm resume` goes on with the drill; by its own id it is itself."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    parent, child = tmp_path / "drill", tmp_path / "drill/promote"
    for run_id, place in (("drill-1", parent), ("promote-1", child)):
        bundle.new(run_id, str(place))
        (place / bundle.LOG).write_text("{}\n", encoding="utf-8")
    assert next(bundle.runs()).resolve() == child
    assert selection.find(None) == parent
    assert bundle.find("promote-1") == child
