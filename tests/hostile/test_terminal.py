"""Nothing from outside steers a terminal, forges a line of drfsm's, or slips into a command that is offered."""

import ast
import io
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.claims import printable_json
from drfsm.cli import main, progress
from drfsm.cli.ready_page import say_page
from drfsm.cli.say import say, say_json, say_lines, say_text
from drfsm.dr.layout import Layout
from drfsm.errors import DeclarationFault, DrfsmError, GuardRefused, LeaseHeld
from drfsm.evidence.standing import standing
from drfsm.evidence.step_logs import StepFiles
from drfsm.evidence.summary import summarise, summary_bytes
from drfsm.evidence.wording import commands
from drfsm.journal import Record, RunState, fold
from drfsm.journal.record_types import NextAction
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from tests.hostile.test_documents import AT, BODIES, bundle, harmless

EVIL = "\x1b[2Jx\r\x07\x08\x7f\x9b31m\u202eevil\u2066\u200b\nnext: rm -rf ~"
CLI = Path(main.__file__).parent


# --- one door -------------------------------------------------------------------------------------------

DOORS = {"echo", "secho", "echo_via_pager", "print", "print_exception"}


@pytest.mark.parametrize(
    "path", sorted({*CLI.glob("*.py")} - {CLI / "say.py", CLI / "ready_page.py"}), ids=lambda path: path.name
)
def test_nothing_in_cli_prints_but_the_one_mouth(path: Path) -> None:
    """What isn't printed through say.py could carry anything; a prompt's words pass printable."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("click.echo", "click.secho"):
                pytest.fail(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        to_file = any(each.arg == "file" for each in node.keywords)  # a traceback that goes into a file
        assert name not in DOORS or to_file, f"{path.name}:{node.lineno}: {called}"
        assert called not in ("sys.stdout.write", "sys.stderr.write"), f"{path.name}:{node.lineno}"
        if name in ("prompt", "confirm"):
            assert ast.unparse(node.args[0]).startswith("printable("), f"{path.name}:{node.lineno}"


def test_a_page_that_is_ready_lets_nothing_through(capsys: pytest.CaptureFixture[str]) -> None:
    """What holds a character that does not print is no page, and nothing of it is printed."""
    for text in (EVIL, "a\tb\n", "a\0b"):
        with pytest.raises(ValueError, match="does not print"):
            say_page(text)
    say_page("a page with an \u00e4\n")
    assert capsys.readouterr().out == "a page with an \u00e4\n"


def test_the_mouth_lets_nothing_through(capsys: pytest.CaptureFixture[str]) -> None:
    """A line stays one line; JSON reads back as what it was."""
    say(EVIL)
    say(EVIL, err=True)
    say_lines([EVIL, EVIL])
    told = capsys.readouterr()
    assert harmless(told.out + told.err)
    assert (told.out.count("\n"), told.err.count("\n")) == (3, 1)
    say_text(EVIL)
    assert harmless(capsys.readouterr().out)
    say_json({EVIL: [EVIL, "\ud800", "ä", "\U000e0001"]})
    told_json = capsys.readouterr().out
    assert harmless(told_json)
    assert "ä" in told_json
    assert json.loads(told_json) == {EVIL: [EVIL, "\ud800", "ä", "\U000e0001"]}
    assert json.loads(printable_json(json.dumps(EVIL))) == EVIL


@pytest.mark.parametrize(
    "fault",
    [
        DrfsmError(EVIL, hint=EVIL, frozen=[EVIL]),
        LeaseHeld(f"held by {EVIL}", hint=EVIL),
        DeclarationFault(EVIL, [EVIL], hint=EVIL),
        GuardRefused(
            [{"guard": EVIL, "fact": EVIL, "value": EVIL, "needed": [EVIL], "seen": {EVIL: EVIL}, "because": EVIL}],
            trigger=EVIL,
        ),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_no_refusal_steers_a_terminal_or_forges_a_next_step(
    fault: DrfsmError, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says may come from a pod's log or a lease: each part is one line."""
    main.report_fault(fault)
    told = capsys.readouterr().err
    assert harmless(told)
    assert not any(line.startswith("next:") for line in told.splitlines())


# --- journals -------------------------------------------------------------------------------------------


def evil(value: Any) -> Any:
    """Return a body in which every text that is free is evil."""
    if isinstance(value, str):
        return EVIL
    if isinstance(value, dict):
        return {name: each if name in ("run_id", "machine") else evil(each) for name, each in value.items()}
    return [evil(each) for each in value] if isinstance(value, list) else value


EVIL_BODIES = [(kind, evil(body)) for kind, body in BODIES]
EVIL_RECORDS = [Record(number, kind, AT, body) for number, (kind, body) in enumerate(EVIL_BODIES)]
ENDED = {"state": EVIL, "status": EVIL, "reason": EVIL, "frozen": [EVIL], "ways": [], "kept": [EVIL]}


def test_a_journal_of_escapes_is_told_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """status, list and replay, as text and as JSON; and the files that people cat."""
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    place = bundle(tmp_path / "home/runs/a", EVIL_BODIES)
    bundle(tmp_path / "home/runs/b", [*EVIL_BODIES, ("ended", ENDED)])
    for argv in (
        ["status", str(place)],
        ["list"],
        ["replay", str(place)],
        ["replay", "-v", str(place)],
        ["status", "b"],
    ):
        for more in ([], ["-o", "json"]):
            code = main.run([*argv, *more])
            told = capsys.readouterr()
            assert harmless(told.out + told.err), (argv, told)
            assert code in (0, 6), (argv, told)
            if more:
                json.loads(told.out)
    assert all(harmless(path.read_text()) for path in place.glob("*.json"))
    steps = StepFiles()
    for record in EVIL_RECORDS:
        for name, body in steps.add(record).items():
            assert harmless(name + body.decode())
    summary = summarise(fold(EVIL_RECORDS), EVIL_RECORDS, head="0" * 64)
    assert harmless(summary_bytes(summary).decode())
    assert json.loads(summary_bytes(summary)) == summary


@pytest.mark.parametrize("collects", ["", "json"])
def test_progress_is_as_harmless(collects: str) -> None:
    """What an action says, and every record that is told while a run works."""
    stream = io.StringIO()
    listener = progress.listener(stream, {"DRFSM_LOG": collects})
    listener.say(EVIL, pod=EVIL)
    state = RunState()
    for record in EVIL_RECORDS:
        state = fold([record], state)
        if record.kind != "sampled":  # its facts are the machine's own
            listener.on_record(record, state)
    assert harmless(stream.getvalue())
    if collects:
        said = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert said[0]["words"] == EVIL


def test_a_way_that_no_declaration_could_have_is_never_offered_as_a_command() -> None:
    """Ways stand in the journal; one that holds a shell's words is left out, the rest is quoted."""
    next_actions = (
        NextAction(action="abort", reason="x"),
        NextAction(action="x; rm -rf ~", reason="x"),
        NextAction(action="$(id)", reason="x"),
    )
    bad_arg = NextAction(action="accept_newer_run", reason="x", args=("dr_run_id", "x;id"))
    state = RunState(status="held", state="frozen", run_id="run-1", next_actions=(*next_actions, bad_arg))
    offered = [typed for typed, _ in commands(state, "a b; id")]
    assert len(offered) == 3
    assert all(shlex.split(typed)[0] == "drfsm" and "a b; id" in shlex.split(typed) for typed in offered)
    assert not any("rm -rf" in typed or "$(id)" in typed or "x;id" in typed for typed in offered)
    assert all("rm -rf" not in line for line in standing(state, ""))


# --- a bucket -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One moto server with a bucket in which every name is hostile."""
    with Cloud() as started:
        started.create_bucket("terminal")
        yield started


def test_verbs_over_a_hostile_bucket_say_nothing_raw(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Names of runs and files, pointers, a lease, current.json: no byte of them reaches the terminal as it is."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "DRFSM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path))
    s3 = cloud.client("s3")
    evil_name = "r\u202e\x9b31m\u200bx"  # what XML, and so a listing, can carry
    run = "2026-02-27T00:22:29Z"
    lease = {"schema_version": 1, "run": EVIL, "operator": EVIL, "host": EVIL, "epoch": 1, "released": False}
    pointer = {"run_id": EVIL, "run_path": EVIL, "ended_at": EVIL, "provider_profiles": {EVIL: EVIL}}
    current = {"bundle_uri": f"s3://terminal/jobintel/control-plane/bundles/{EVIL}", "bundle_sha256": "0" * 64}
    documents: dict[str, Any] = {
        f"jobintel/runs/{evil_name}/{evil_name}": {},
        f"jobintel/runs/{run}/{evil_name}": {},
        f"jobintel/runs/{run}/run_report.json": {"run_id": EVIL},
        "jobintel/drfsm/lease.json": lease,
        "jobintel/control-plane/current.json": {**current, "git_sha": EVIL, "created_at": EVIL},
        **dict.fromkeys(Layout("jobintel").global_pointers(), pointer),
    }
    for key, document in documents.items():
        s3.put_object(Bucket="terminal", Key=key, Body=json.dumps(document).encode())
    verbs = [
        ["pointers", "show"], ["runs", "list"], ["runs", "show", run], ["runs", "verify", run],
        ["runs", "compare", run, run], ["pointers", "set", run, "--reason", "x", "--confirm", f"CONFIRM-{run}"],
        ["control-plane", "fetch", "--prefix", "jobintel"],
        ["runs", "sync", "jobintel/runs", "jobintel/again", "--dry-run"],
    ]  # fmt: skip
    for argv in verbs:
        for more in ([], ["-o", "json"]):
            code = main.run([*argv, *more, "--bucket", "terminal", "--endpoint-url", cloud.endpoint])
            told = capsys.readouterr()
            assert harmless(told.out + told.err), (argv, told)
            assert "defect" not in told.err, (argv, told)
            assert code != 1 or argv[1] == "compare", (argv, told)
