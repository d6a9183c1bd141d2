"""The demo: rehearsal, disaster, promote, failback (killed and resumed), audit.

It runs drfsm's own commands as processes on a sandbox of its own, and prints their output. The outage, the clusters of
the machines that the drill starts, and the SIGKILL are real: it is sent at some moment while an intent is open.
``drfsm sandbox demo`` (``make demo``) calls it. It raises DrfsmError if a step does not end as it must.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drfsm.errors import DrfsmError, ExitCode
from drfsm.sandbox.lifecycle import down, environment, up
from drfsm.sandbox.seed import GIT_SHA, Options

KILL_IN = "publish_artifacts"
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.002
LOG = "state_transitions.log"
FOLDERS = ("sandbox", "home", "rehearsal", "standby", "promote", "failback")
SITES = ("--bucket", "$BUCKET", "--prefix", "$PREFIX")

Say = Callable[[str], None]


def tell(directory: Path, say: Say) -> Path:
    """Run the demo in a directory of its own; return the failback's bundle."""
    directory = directory.resolve()
    down(directory / "sandbox")
    for folder in FOLDERS:
        shutil.rmtree(directory / folder, ignore_errors=True)
    _chapter(say, "Two sites on this computer. The primary publishes; DR is nothing but a launch template")
    say("$ drfsm sandbox up --canonical primary")
    state = up(directory / "sandbox", Options(pods_sleep_seconds=1, canonical="primary"))
    say(f"  the sandbox is up; every pointer names the primary's run {state.canonical_run_id}")
    try:
        ours = {"DRFSM_HOME": str(directory / "home"), "DRFSM_SANDBOX_DIR": str(directory / "sandbox")}
        shell = _Shell({**os.environ, **environment(directory / "sandbox"), **ours}, say)
        _rehearsal(shell, directory, say)
        run_id = _disaster(shell, directory, say)
        _failback(shell, directory, run_id, say)
        _audit(shell, directory, say)
    finally:
        down(directory / "sandbox")
    bundle = directory / "failback"
    say("")
    say(f"The failback's bundle lies in {bundle}, beside those of the drills and the promote")
    for path in sorted(bundle.iterdir()):
        if not path.name.startswith("."):
            say(f"  {path.name}{'/' if path.is_dir() else ''}")
    return bundle


def _rehearsal(shell: "_Shell", directory: Path, say: Say) -> None:
    _chapter(say, "A quiet day: the configuration is published, a backup is taken, and the disaster is rehearsed")
    shell.must(["control-plane", "publish", *SITES, "--image-ref-digest", "$IMAGE_REF", "--git-sha", GIT_SHA])
    taken = shell.must(["backup", "create", *SITES])
    shell.know("BACKUP_URI", _first_match(r"^\s*(s3://\S+)$", taken))  # a note of a slow answer names more
    shell.must([
        "drill", *SITES, "--backup-uri", "$BACKUP_URI", "--image-ref", "$IMAGE_REF", "--auto-promote", "true",
        "--allow-promote-bypass", "true", "--allow-full-drill", "--receipt-dir", str(directory / "rehearsal"),
    ])  # fmt: skip


def _disaster(shell: "_Shell", directory: Path, say: Say) -> str:
    """Lose the primary and let DR take over; return the id of the run that is canonical then."""
    _chapter(say, "DISASTER: the primary answers no more. DR is brought up, and this time it stays")
    shell.must(["sandbox", "outage", "primary"])
    standby = directory / "standby"
    shell.must([
        "drill", *SITES, "--backup-uri", "$BACKUP_URI", "--image-ref", "$IMAGE_REF", "--stop-after", "validate",
        "--teardown", "false", "--receipt-dir", str(standby),
    ])  # fmt: skip
    receipt = standby / "validation.receipt.json"
    shell.know("KUBECONFIG_DR", str(standby / "private/dr.kubeconfig.yaml"))
    _chapter(say, "DR is to become canonical. Nobody but a person decides that, and approves exactly what is shown")
    code = shell.run([
        "promote", *SITES, "--validation-receipt", str(receipt), "--kubeconfig-dr", "$KUBECONFIG_DR",
        "--primary-unreachable", "--reason", "its region is out", "--fence-primary-role", "$PRIMARY_ROLE",
        "--fence-dr-role", "$DR_ROLE", "--receipt-dir", str(directory / "promote"),
    ])  # fmt: skip
    _must(code == ExitCode.HELD, f"the promote was to wait for an approval, and ended with {code}")
    plan = _first_match(r"--plan ([0-9a-f]{64})", shell.said)
    shell.must(["approve", "--ticket", "CHG-2042", "--plan", plan, "--operator", "ada"])
    return str(json.loads(receipt.read_bytes())["run_id"])


def _failback(shell: "_Shell", directory: Path, run_id: str, say: Say) -> None:
    _chapter(say, "The primary is back. It is failed back to, and the process is killed in the middle of its work")
    shell.must(["sandbox", "outage", "primary", "--end"])
    shell.know("DR_RUN_ID", run_id)
    bundle = directory / "failback"
    failback = [
        "failback", *SITES, "--dr-run-id", "$DR_RUN_ID", "--kubeconfig-dr", "$KUBECONFIG_DR",
        "--kubeconfig-primary", "$KUBECONFIG_PRIMARY", "--image-ref", "$IMAGE_REF", "--confirm1", "FAILBACK",
        "--confirm2", "CONFIRM-$DR_RUN_ID", "--receipt-dir", str(bundle),
    ]  # fmt: skip
    code = shell.run(failback, kill_when=lambda: _begun(bundle, KILL_IN))
    _must(code == -signal.SIGKILL, f"the failback was to be killed, and ended with {code}")
    _chapter(say, "3 a.m. Somebody else sits down. Where does it stand?")
    shell.must(["status"])
    _chapter(say, "Go on from exactly there")
    shell.must(["resume"])


def _audit(shell: "_Shell", directory: Path, say: Say) -> None:
    _chapter(say, "The auditor's question: what happened, and was it allowed? From the logs alone, offline")
    shell.must(["replay", str(directory / "promote"), "--quiet"])
    shell.must(["replay", str(directory / "failback")])


def _begun(bundle: Path, trigger: str) -> bool:
    """Whether the journal's last record is the intent of a trigger."""
    try:
        lines = (bundle / LOG).read_bytes().splitlines()
        last = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return False
    return bool(last.get("kind") == "intent" and last["body"]["trigger"] == trigger)


class _Shell:
    """Runs drfsm as a shell would, and prints its output."""

    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        self._environ, self._say = dict(environ), say
        self.said: list[str] = []  # by the last command

    def know(self, name: str, value: str) -> None:
        """Set a variable of the shell."""
        self._environ[name] = value
        self._say(f"$ {name}={value}")

    def must(self, words: Sequence[str]) -> list[str]:
        """Run ``drfsm WORDS``, which must succeed; return what it printed."""
        code = self.run(words)
        _must(code == 0, f"drfsm {words[0]} ended with {code}")
        return self.said

    def run(self, words: Sequence[str], *, kill_when: Callable[[], bool] | None = None) -> int:
        """Run ``drfsm WORDS``, and print the command with its variables unexpanded. Returns the exit code."""
        for line in _folded(["$ drfsm", *words]):
            self._say(line)
        argv = [_expanded(word, self._environ) for word in words]
        process = subprocess.Popen(
            [sys.executable, "-m", "drfsm", *argv],
            env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        killer = threading.Thread(target=self._kill, args=(process, kill_when), daemon=True)
        if kill_when:
            killer.start()
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        self.said = []
        for line in process.stdout:
            self.said.append(line.rstrip())
            self._say(f"  {line.rstrip()}")
        code = process.wait()
        if kill_when:
            killer.join()
        return code

    def _kill(self, process: "subprocess.Popen[str]", when: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if when():
                process.kill()
                self._say(f"  $ kill -9 {process.pid}      # power cut, in the middle of a step")
                return
            time.sleep(POLL_SECONDS)


def _first_match(pattern: str, lines: Sequence[str]) -> str:
    """Return the first match of a pattern (or its group) in the printed lines."""
    for line in lines:
        if match := re.search(pattern, line):
            return match[match.re.groups]
    raise DrfsmError(f"the demo did not go as it must: nothing like {pattern} was printed")


def _folded(words: Sequence[str]) -> list[str]:
    """Return the lines of a command as a person would type it: options on lines of their own where there are many."""
    typed = " ".join(word if word.startswith(("$", "CONFIRM-$")) else shlex.quote(word) for word in words)
    if len(words) <= 9:  # noqa: PLR2004
        return [typed]
    first, *options = typed.split(" --")
    lines = [first, *(f"      --{option}" for option in options)]
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _expanded(word: str, environ: Mapping[str, str]) -> str:
    head, dollar, name = word.partition("$")
    return head + environ[name] if dollar else word


def _chapter(say: Say, words: str) -> None:
    say("")
    say(f"── {words}")


def _must(held: bool, words: str) -> None:
    if not held:
        raise DrfsmError(f"the demo did not go as it must: {words}", hint="drfsm status; look at the bundle")
