"""Commands of drfsm as processes of their own, forked from one that has imported everything already.

A process that starts from nothing spends most of its time on imports: a hundred walks that are killed and resumed
spend minutes on them. What a command is started with and ends with is as ever: its arguments, environment, working
directory and three streams; a PID of its own, signals, an exit code. Where the start itself is the claim
(tests/e2e/test_seed_commands.py, tests/drill/test_kills.py, tests/cli), `python -m drfsm` is started for real.

``Command`` is what a test holds, in the manner of subprocess.Popen. ``main`` is the other end: one thread, and no
client, session or machine of any run; it ends when the process that started it does.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
STREAMS = 3  # stdin, stdout, stderr
MACHINES = ("drill", "promote", "failback")
SERVICES = ("s3", "sts", "ec2")


class Command:
    """A command that runs, or has run. Its streams are read from the start, so that it never waits for a reader."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.returncode: int | None = None
        self._told, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_starter(), [b"."], [theirs.fileno()])
        out, err = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        asked = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd or Path.cwd())}).encode()
        sent = socket.send_fds(self._told, [asked], [nothing, out[1], err[1]])
        self._told.sendall(asked[sent:])
        self._told.shutdown(socket.SHUT_WR)
        for end in (nothing, out[1], err[1]):
            os.close(end)
        self._lines = self._told.makefile("rb")
        self._said: dict[int, bytes] = {}
        self._streams = (out[0], err[0])
        self._readers = [threading.Thread(target=self._read, args=(end,), daemon=True) for end in self._streams]
        for reader in self._readers:
            reader.start()
        self.pid = int(self._lines.readline())

    def _read(self, stream: int) -> None:
        with open(stream, "rb", buffering=0) as file:
            self._said[stream] = file.readall() or b""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the command runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the command's end; return its exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._told.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the command's end; return what it said to stdout and to stderr."""
        self.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        out, err = (self._said[stream].decode() for stream in self._streams)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send the command a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command, if it still runs."""
        self.send_signal(signal.SIGKILL)


class Shim:
    """A ``drfsm`` for the PATH of a shell, whose every call is forked from the starter, too.

    The program asks the starter itself, with its own streams, environment and directory; this process only leads it
    there. A signal reaches the program, and not the command: where signals are the claim, use ``Command``.
    """

    def __init__(self, directory: Path) -> None:
        self._place, program = directory / "starter", directory / "drfsm"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._place))
        self._listening.listen()
        program.write_text(
            f"#!{sys.executable} -ISE\n" + _PROGRAM.replace("PLACE", repr(str(self._place))), encoding="utf-8"
        )
        program.chmod(0o755)
        threading.Thread(target=self._lead, daemon=True).start()

    def _lead(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self._listening.accept()
                with caller:
                    socket.send_fds(_starter(), [b"."], [caller.fileno()])

    def close(self) -> None:
        """Lead no more calls."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


_PROGRAM = """
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as told:
    told.connect(PLACE)
    asked = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
    raw = json.dumps(asked).encode()
    sent = socket.send_fds(told, [raw], [0, 1, 2])
    told.sendall(raw[sent:])
    told.shutdown(socket.SHUT_WR)
    answer = told.makefile("rb")
    answer.readline()
    code = int(answer.readline())
os._exit(code if code >= 0 else 128 - code)
"""


@cache
def _starter() -> socket.socket:
    """Return the line to this process's starter, which is started when it is first asked for."""
    ours, theirs = socket.socketpair()
    with theirs:  # the starter ends when this process does, and its line with it
        process = subprocess.Popen([sys.executable, "-m", "tests.starter"], cwd=ROOT, stdin=theirs.fileno())
    atexit.register(_end, process, ours)
    return ours


def _end(process: "subprocess.Popen[bytes]", line: socket.socket) -> None:
    line.close()
    process.wait()


# --- the other end -------------------------------------------------------------------------------------------------


def preload() -> None:
    """Import whatever a command may need, and read what never changes: machines, and the descriptions of services."""
    import importlib

    from drfsm.adapters.aws_session import _loader
    from drfsm.cli.main import COMMANDS
    from drfsm.dr.procedures.bindings import binding
    from drfsm.resources import shipped
    from drfsm.spec import load_machine

    for module in ("boto3", "kubernetes.client", "kubernetes.config", "obstore", *_of_the_cli(COMMANDS)):
        importlib.import_module(module)
    for name in MACHINES:
        binding(name)
        load_machine((shipped("machines") / f"{name}.yaml").read_bytes(), source=f"{name}.yaml")
    for service in SERVICES:
        _loader(None).load_service_model(service, "service-2")
        _loader(None).load_service_model(service, "endpoint-rule-set-1")


def _of_the_cli(commands: Mapping[str, tuple[str, str, str]]) -> list[str]:
    return sorted({f"drfsm.cli.{module}" for module, _, _ in commands.values()} - {"drfsm.cli.sandboxes"})


def serve() -> list[str]:
    """Fork for whoever asks on stdin. Returns in the children only: the arguments of the command that they are."""
    line = socket.socket(fileno=os.dup(0))
    ends = _ends_of_children()
    running: dict[int, socket.socket] = {}
    while True:
        for descriptor in select.select([line.fileno(), ends], [], [])[0]:
            if descriptor == ends:
                os.read(ends, 4096)
                _tell_of_ends(running)
                continue
            _, asking, _, _ = socket.recv_fds(line, 1, 1)
            if not asking:  # whoever started us is gone
                os._exit(0)
            asker = socket.socket(fileno=asking[0])
            asked, streams = _request(asker)
            if (pid := _forked()) == 0:
                for inherited in (line, asker, *running.values()):
                    inherited.close()
                _become(asked, streams)
                return [str(word) for word in asked["argv"]]
            for stream in streams:
                os.close(stream)
            running[pid] = asker
            asker.sendall(b"%d\n" % pid)


def _ends_of_children() -> int:
    """Return a descriptor that can be read when a child has ended."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return woken


def _forked() -> int:
    """Fork; give the child its signals back."""
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads must not fork"
    pid = os.fork()
    if pid == 0:
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    return pid


def _request(asker: socket.socket) -> tuple[dict[str, Any], list[int]]:
    raw, streams, _, _ = socket.recv_fds(asker, 1 << 16, STREAMS)
    while more := asker.recv(1 << 16):
        raw += more
    return json.loads(raw), streams


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Take on a command's streams, directory and environment."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])


def _tell_of_ends(running: dict[int, socket.socket]) -> None:
    """Tell whoever waits for a child that has ended how it ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with suppress(OSError), running.pop(pid) as connection:
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    preload()
    sys.argv = ["drfsm", *serve()]
    from drfsm.cli.main import main

    main()
