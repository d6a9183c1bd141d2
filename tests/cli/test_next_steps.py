"""A noun has no run: it never says `drfsm resume`, whatever goes wrong in the world; a run's command does."""

import subprocess
import sys
from pathlib import Path

import pytest

from drfsm.cli.main import COMMANDS, report_fault
from drfsm.cli.main import run as drfsm
from drfsm.cli.next_steps import NOUNS, for_command
from drfsm.errors import ExitCode, LeaseHeld, Unreachable

RUNS = {
    "drill", "validate", "failback", "promote", "approve", "decline", "answer", "worker", "resume", "abort", "hold",
    "skip", "request", "resolve", "status", "list", "replay", "audit", "bundle",
    "watch", "report",
}  # fmt: skip
RUN = "2026-11-28T08:02:45Z"
NOWHERE = ("--endpoint-url", "http://127.0.0.1:9")
URI = "s3://b/p/backups/b1"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""
UNREACHABLE: dict[str, tuple[str, ...]] = {
    "backup create": ("--bucket", "b", "--prefix", "p", "--kubeconfig", "KUBECONFIG", *NOWHERE),
    "backup list": ("--bucket", "b", "--prefix", "p", *NOWHERE),
    "backup verify": ("--backup-uri", URI, *NOWHERE),
    "backup restore": ("--backup-uri", URI, "--kubeconfig", "KUBECONFIG", *NOWHERE),
    "pointers show": ("--bucket", "b", "--prefix", "p", *NOWHERE),
    "pointers set": (RUN, "--bucket", "b", "--prefix", "p", "--confirm", f"CONFIRM-{RUN}", "--reason", "x", *NOWHERE),
    "pointers own": (
        "dr",
        "--bucket",
        "b",
        "--prefix",
        "p",
        "--confirm",
        "CONFIRM-OWNER-dr",
        "--reason",
        "x",
        *NOWHERE,
    ),
    "fence show": ("--bucket", "b", "--prefix", "p", *NOWHERE),
    "fence lift": ("dr", "--bucket", "b", "--prefix", "p", "--confirm", "CONFIRM-LIFT-dr", "--reason", "x", *NOWHERE),
    "runs list": ("--bucket", "b", "--prefix", "p", *NOWHERE),
    "control-plane fetch": ("--bucket", "b", "--prefix", "p", *NOWHERE),
}


@pytest.mark.parametrize("command", UNREACHABLE)
def test_a_noun_that_reaches_nothing_is_to_be_repeated(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Store and cluster refuse the connection: exit 9, no run is spoken of."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("DRFSM_HOME", str(tmp_path / "home"))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    options = [str(kubeconfig) if word == "KUBECONFIG" else word for word in UNREACHABLE[command]]
    assert drfsm([*command.split(), *options]) == ExitCode.UNREACHABLE
    said = capfd.readouterr().err
    assert "drfsm resume" not in said
    assert "next: " in said


def test_every_command_is_a_noun_or_of_a_run() -> None:
    """A new command must say which it is."""
    assert set(COMMANDS) == NOUNS | RUNS
    assert not NOUNS & RUNS


HINTS = {
    "drfsm resume": "repeat this command",
    "renew them; then `drfsm resume`": "renew them; then repeat this command",
    "install it, then drfsm resume (see its page)": "install it, then repeat this command (see its page)",
    "check the network, then try again (a run: `drfsm resume`)": "check the network, then try again",
    "continue it (drfsm resume failback-1); or wait": "continue it (drfsm resume failback-1); or wait",
}


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_is_worded_for_the_command(hint: str) -> None:
    """A noun is repeated; another run that is named stays named; a run's own command says it as it was."""
    assert for_command("backup", [f"  next: {hint}"]) == [f"  next: {HINTS[hint]}"]
    assert for_command("failback", [f"  next: {hint}"]) == [f"  next: {hint}"]


def test_what_an_interrupted_noun_says(capfd: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in a noun leaves no run to look at."""
    assert report_fault(KeyboardInterrupt(), "backup") == ExitCode.INTERRUPTED
    assert "status" not in capfd.readouterr().err
    assert report_fault(KeyboardInterrupt(), "failback") == ExitCode.INTERRUPTED
    assert "`drfsm status`" in capfd.readouterr().err


def test_the_exit_code_is_the_faults_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Only the words differ."""
    for fault in (Unreachable("x", hint="drfsm resume"), LeaseHeld("x", hint="drfsm resume failback-1")):
        assert report_fault(fault, "backup") == report_fault(fault, "failback") == fault.exit_code
    capfd.readouterr()


def test_the_process_says_so_too(tmp_path: Path) -> None:
    """As an operator types it."""
    words = [sys.executable, "-m", "drfsm", "backup", "verify", "--backup-uri", URI, *NOWHERE]
    environment = {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(tmp_path),
    }
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (told.returncode, "drfsm resume" in told.stderr) == (ExitCode.UNREACHABLE, False), told
