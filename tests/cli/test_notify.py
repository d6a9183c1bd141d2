"""`--notify` as it is typed: a run that ends tells a real webhook, and its address is nowhere but there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from drfsm.cli.drill import drill
from drfsm.cli.typed import again
from drfsm.errors import ExitCode
from drfsm.runs.notifying import LOG
from tests.cli.conftest import given
from tests.command import Answer, Drfsm
from tests.receiver import Receiver, code, receiving

TOKEN = "T0K3N"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a server that takes notices."""
    with receiving() as started:
        yield started


def left(tmp_path: Path, *answers: Answer) -> str:
    """Return all that a command left on this computer and said."""
    files = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    return "".join([*files, *(answer.out + answer.err for answer in answers)])


def test_a_refused_start_is_told_and_the_address_is_nowhere(drfsm: Drfsm, tmp_path: Path, receiver: Receiver) -> None:
    """By the option; the journal has no such input."""
    answer = drfsm(*given(tmp_path, confirm1="FAIL"), "--notify", f"{receiver.url}/{TOKEN}")
    assert answer.code == ExitCode.REFUSED, answer
    (posted,) = receiver.posted
    notice = json.loads(posted.body)
    assert (posted.path, notice["event"], notice["status"]) == (f"/{TOKEN}", "ended", "refused")
    assert notice["next"] == [f"drfsm status {tmp_path / 'bundle'}"]
    (entry,) = map(json.loads, (tmp_path / "bundle" / LOG).read_text().splitlines())
    assert (entry["target"], entry["sent"]) == ("webhook 1 (127.0.0.1)", True)
    assert TOKEN not in left(tmp_path, answer)
    assert drfsm("replay", tmp_path / "bundle").code == ExitCode.DONE


def test_targets_of_the_environment_that_fail_change_nothing_but_are_told(
    drfsm: Drfsm, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two in one variable: one refuses, the other gets it; the run's own exit code stays."""
    receiver.answers = [code(403), code(200)]
    monkeypatch.setenv("DRFSM_NOTIFY", f"{receiver.url}/{TOKEN}/a {receiver.url}/{TOKEN}/b")
    answer = drfsm(*given(tmp_path, confirm1="FAIL"))
    assert answer.code == ExitCode.REFUSED
    assert len(receiver.posted) == 2
    assert sorted(json.loads(line)["sent"] for line in (tmp_path / "bundle" / LOG).read_text().splitlines()) == [
        False, True,
    ]  # fmt: skip
    assert "NOT notified: webhook " in answer.err
    assert "(127.0.0.1): it answered HTTP 403" in answer.err
    assert TOKEN not in left(tmp_path, answer)


def test_a_wrong_target_of_the_environment_is_told_and_keeps_nobody_from_anything(
    drfsm: Drfsm, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort at night needs no apprise on this computer. The other target gets its notice."""
    monkeypatch.setenv("DRFSM_NOTIFY", f"nonsense://{TOKEN} {receiver.url}")
    answer = drfsm(*given(tmp_path, confirm1="FAIL"))
    assert answer.code == ExitCode.REFUSED
    assert "NOBODY is notified by this target: --notify (number 1): apprise understands no such address" in answer.err
    assert len(receiver.posted) == 1
    assert TOKEN not in left(tmp_path, answer)


def test_the_file_names_the_variable_that_holds_the_address(
    drfsm: Drfsm, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a start, and of a verb on a run where the file was named. A variable that is not set stops nothing."""
    (tmp_path / "drfsm.toml").write_text("[notifications]\ntargets = ['$DR_HOOK', '$NOT_SET']\n", encoding="utf-8")
    monkeypatch.setenv("DRFSM_CONFIG", str(tmp_path / "drfsm.toml"))
    monkeypatch.setenv("DR_HOOK", f"{receiver.url}/{TOKEN}")
    answer = drfsm(*given(tmp_path, confirm1="FAIL"))
    assert (answer.code, len(receiver.posted)) == (ExitCode.REFUSED, 1)
    assert "NOBODY is notified by $NOT_SET: this variable is not set" in answer.err
    assert "NOBODY is notified by $NOT_SET" in drfsm("resume", tmp_path / "bundle").err
    monkeypatch.setenv("DRFSM_NOTIFY", f"{receiver.url}/{TOKEN}")
    assert TOKEN not in left(tmp_path, answer, drfsm("config", "show", "--origin"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--notify", f"xoxb-{TOKEN}"), "--notify (number 1) is no address of a target"),
        (("--notify", "https://example.com/", "--notify", f"http://example.com/{TOKEN}"), "--notify (number 2)"),
        (("--notify-after", "5"), "would notify people every 5 seconds"),
        (("--notify-after", "soon"), "no duration"),
    ],
    ids=["a bare token", "the second in the clear", "every five seconds", "no duration"],
)
def test_a_wrong_target_is_wrong_usage_before_anything_begins(
    drfsm: Drfsm, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """Exit 2, no bundle, no address; by each verb that works on a run."""
    started = drfsm(*given(tmp_path), *options)
    others = [drfsm(verb, *more, *options) for verb, more in VERBS.items()]
    for answer in (started, *others):
        assert answer.code == ExitCode.USAGE, answer
        assert words in answer.err
        assert TOKEN not in answer.err
    assert not (tmp_path / "bundle").exists()


REASON = ("--reason", "a test")
VERBS = {
    "promote": (), "drill": (), "resume": (), "abort": REASON, "approve": ("--ticket", "CHG-1"), "decline": REASON,
    "skip": REASON, "request": ("accept_newer_run", *REASON), "resolve": ("done", *REASON),
    "worker": ("--queue", "https://example.com/q", "--bucket", "b", "--prefix", "p"),
}  # fmt: skip


def test_a_start_sends_its_trace_and_replay_sends_it_again_under_the_same_ids(
    drfsm: Drfsm, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off without an endpoint; a collector that is away changes no exit code of a run, and does that of `replay`."""
    assert drfsm("replay", "--otlp", "x").code == ExitCode.USAGE
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    assert drfsm(*given(tmp_path, confirm1="FAIL")).code == ExitCode.REFUSED
    assert drfsm("replay", "--quiet", "--otlp", tmp_path / "bundle").code == ExitCode.DONE
    live, again_ = ([span for of in ExportTraceServiceRequest.FromString(posted.body).resource_spans
                     for span in of.scope_spans[0].spans] for posted in receiver.posted)  # fmt: skip
    assert live == again_
    assert [span.name for span in live][-1] == "drfsm failback"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    answer = drfsm(*given(tmp_path, confirm1="FAIL", receipt_dir=tmp_path / "other"))
    assert (answer.code, "NO traces: " in answer.err) == (ExitCode.REFUSED, True), answer
    assert drfsm("replay", "--quiet", "--otlp", tmp_path / "bundle").code == ExitCode.UNREACHABLE


def test_a_command_that_is_shown_again_does_not_show_the_target() -> None:
    """`drill` prints the command as it was typed where a flag was missing."""
    words = ["--backup-uri", "s3://b/p/backups/x", "--notify", f"https://example.com/{TOKEN}", "--notify-after", "20m"]
    with drill.make_context("drill", words):
        assert again("--teardown", "false").startswith("drfsm drill --backup-uri s3://b/p/backups/x --notify TARGET ")
        assert TOKEN not in again()
