"""The project's main job as a story that anybody can watch: a failback that is killed, and goes on.

Runs drfsm's own commands, as processes, on a sandbox of its own; what it prints is what they print. The
SIGKILL is real: it is sent while an intent is open, whichever moment that turns out to be. Called by
``drfsm sandbox demo`` (``make demo``); raises DrfsmError where the story does not end as it must.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drfsm.errors import DrfsmError
from drfsm.sandbox.lifecycle import down, environment, up
from drfsm.sandbox.seed import Options

KILL_IN = "publish_artifacts"
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.002
LOG = "state_transitions.log"

Say = Callable[[str], None]


def tell(directory: Path, say: Say) -> Path:
    """Tell the whole story in a directory of its own; return the bundle."""
    directory = directory.resolve()
    bundle = directory / "bundle"
    down(directory / "sandbox")
    for ours in ("sandbox", "home", "bundle"):
        shutil.rmtree(directory / ours, ignore_errors=True)
    _chapter(say, "Two sites on this computer. Disaster struck before: DR publishes, the primary is frozen")
    say("$ drfsm sandbox up")
    state = up(directory / "sandbox", Options(pods_sleep_seconds=1))
    say(f"  two sites are up; every pointer names DR's run {state.dr_run_id}")
    try:
        _story(directory, bundle, say)
    finally:
        down(directory / "sandbox")
    say("")
    say(f"The bundle lies in {bundle}")
    for each in sorted(bundle.iterdir()):
        if not each.name.startswith("."):
            say(f"  {each.name}{'/' if each.is_dir() else ''}")
    return bundle


def _story(directory: Path, bundle: Path, say: Say) -> None:
    environ = environment(directory / "sandbox")
    shell = _Shell({**os.environ, **environ, "DRFSM_HOME": str(directory / "home")}, say)
    _chapter(say, "The failback: the primary becomes canonical again. It is killed in the middle of its work")
    failback = [
        "failback", "--bucket", "$BUCKET", "--prefix", "$PREFIX", "--dr-run-id", "$DR_RUN_ID",
        "--kubeconfig-dr", "$KUBECONFIG_DR", "--kubeconfig-primary", "$KUBECONFIG_PRIMARY",
        "--image-ref", "$IMAGE_REF", "--confirm1", "FAILBACK", "--confirm2", "CONFIRM-$DR_RUN_ID",
        "--receipt-dir", str(bundle),
    ]  # fmt: skip
    code = shell.run(failback, kill_when=lambda: _begun(bundle, KILL_IN))
    _must(code == -signal.SIGKILL, f"the failback was to be killed, and ended with {code}")
    _chapter(say, "3 a.m. Somebody else sits down. Where does it stand?")
    _must(shell.run(["status"]) == 0, "status failed")
    _chapter(say, "Go on from exactly there")
    _must(shell.run(["resume"]) == 0, "resume did not complete the failback")
    _chapter(say, "The auditor's question: what happened, and was it allowed? From the log alone, offline")
    _must(shell.run(["replay"]) == 0, "the log does not hold")


def _begun(bundle: Path, trigger: str) -> bool:
    """Whether the journal's last record is the intent of a trigger."""
    try:
        lines = (bundle / LOG).read_bytes().splitlines()
        last = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return False
    return bool(last.get("kind") == "intent" and last["body"]["trigger"] == trigger)


class _Shell:
    """Runs drfsm as a shell would, and passes on what it prints."""

    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        self._environ, self._say = environ, say

    def run(self, words: Sequence[str], *, kill_when: Callable[[], bool] | None = None) -> int:
        """Run ``drfsm WORDS``; variables stand for themselves in what is said. Returns the exit code."""
        self._say("$ drfsm " + _folded(words))
        argv = [_expanded(each, self._environ) for each in words]
        process = subprocess.Popen(
            [sys.executable, "-m", "drfsm", *argv],
            env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        killer = threading.Thread(target=self._kill, args=(process, kill_when), daemon=True)
        if kill_when:
            killer.start()
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        for line in process.stdout:
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


def _folded(words: Sequence[str]) -> str:
    """Return a command as a person would type it: options on lines of their own where there are many."""
    quoted = [each if each.startswith(("$", "CONFIRM-$")) else shlex.quote(each) for each in words]
    return " ".join(quoted).replace(" --", " \\\n      --") if len(words) > 6 else " ".join(quoted)  # noqa: PLR2004


def _expanded(word: str, environ: Mapping[str, str]) -> str:
    head, dollar, name = word.partition("$")
    return head + environ[name] if dollar else word


def _chapter(say: Say, words: str) -> None:
    say("")
    say(f"── {words}")


def _must(held: bool, words: str) -> None:
    if not held:
        raise DrfsmError(f"the demo did not go as it must: {words}", way="drfsm status; look at the bundle")
