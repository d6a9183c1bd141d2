"""What the demos share: a shell that types drfsm's own commands and prints what they print, and ends one on time.

A process is signalled at some moment while what was asked for holds: the signal, and what it cuts off, are real.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from drfsm.errors import DrfsmError

POLL_SECONDS = 0.002
LOG = "state_transitions.log"

Say = Callable[[str], None]


@frozen
class Stop:
    """When a command is signalled, by what, and what is printed then."""

    when: Callable[[], bool]
    number: signal.Signals = signal.SIGKILL
    typed: str = "$ kill -9 {pid}      # power cut, in the middle of a step"


class Shell:
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
        must(code == 0, f"drfsm {words[0]} ended with {code}")
        return self.said

    def cut(self, words: Sequence[str], stop: Stop) -> None:
        """Run ``drfsm WORDS``, which must be ended by SIGKILL."""
        code = self.run(words, stop=stop)
        must(code == -signal.SIGKILL, f"drfsm {words[0]} was to be killed, and ended with {code}")

    def run(self, words: Sequence[str], *, stop: Stop | None = None) -> int:
        """Run ``drfsm WORDS``, and print the command with its variables unexpanded. Returns the exit code."""
        for line in _folded(["$ drfsm", *words]):
            self._say(line)
        argv = [_expanded(word, self._environ) for word in words]
        process = subprocess.Popen(
            [sys.executable, "-m", "drfsm", *argv],
            env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        watcher = threading.Thread(target=self._stop, args=(process, stop), daemon=True)
        if stop:
            watcher.start()
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        self.said = []
        for line in process.stdout:
            self.said.append(line.rstrip())
            self._say(f"  {line.rstrip()}")
        code = process.wait()
        if stop:
            watcher.join()
        return code

    def _stop(self, process: "subprocess.Popen[str]", stop: Stop) -> None:
        while process.poll() is None:
            if stop.when():
                process.send_signal(stop.number)
                self._say(f"  {stop.typed.format(pid=process.pid)}")
                return
            time.sleep(POLL_SECONDS)


def records(bundle: Path, word: str = "") -> list[Mapping[str, Any]]:
    """Return the journal's records so far; a line that is being written is left out.

    ``word``: only the lines that hold it are read, as this is asked some hundred times a second.
    """
    try:
        lines = (bundle / LOG).read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith(b"\n") and word.encode() in line]


def begun(bundle: Path, trigger: str) -> bool:
    """Whether the last record that names a trigger is its intent."""
    named = [entry for entry in records(bundle, f'"{trigger}"') if entry["body"].get("trigger") == trigger]
    return bool(named) and named[-1]["kind"] == "intent"


def done(bundle: Path, trigger: str) -> bool:
    """Whether a trigger's commit is on record."""
    named = records(bundle, f'"{trigger}"')
    return any(entry["kind"] == "commit" and entry["body"]["trigger"] == trigger for entry in named)


def first_match(pattern: str, lines: Sequence[str]) -> str:
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


def chapter(say: Say, words: str) -> None:
    """Print the head of a part of the story."""
    say("")
    say(f"── {words}")


def must(held: bool, words: str) -> None:
    """Raise DrfsmError, with these words, unless something is as it must be."""
    if not held:
        raise DrfsmError(f"the demo did not go as it must: {words}", hint="drfsm status; look at the bundle")
