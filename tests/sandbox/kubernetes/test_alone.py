"""The emulated cluster as a process of its own: README's commands, its end by a signal, and what a SIGKILL leaves."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import drfsm.sandbox.kubernetes
from drfsm.sandbox.kubernetes.processes import processes_below

README = (Path(drfsm.sandbox.kubernetes.__file__).parent / "README.md").read_text(encoding="utf-8")
MODULE = "drfsm.sandbox.kubernetes"
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="pods are found through /proc")


class Alone(NamedTuple):
    """A cluster's process, what it printed when it was ready, and where its files lie."""

    process: "subprocess.Popen[str]"
    printed: str
    directory: Path
    kubeconfig: Path


def started(argv: list[str], home: Path) -> Alone:
    """Start a cluster that writes ``cluster.yaml`` into ``home``, and wait until it answers."""
    environ = {**os.environ, "TMPDIR": str(home)}
    process = subprocess.Popen(argv, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    printed = "".join(process.stdout.readline() for _ in range(3))
    (directory,) = home.glob("drfsm-kubernetes-*")
    return Alone(process, printed, directory, home / "cluster.yaml")


@pytest.fixture
def clusters() -> Iterator[list[Alone]]:
    """Return a list for the clusters of a test; those that still run are killed afterwards."""
    running: list[Alone] = []
    yield running
    for alone in running:
        alone.process.kill()
        alone.process.wait()


def batch(kubeconfig: Path) -> Any:
    """Return the official client's batch API."""
    import kubernetes

    configuration = kubernetes.client.Configuration()
    load: Any = kubernetes.config.load_kube_config
    load(str(kubeconfig), client_configuration=configuration)
    return kubernetes.client.BatchV1Api(kubernetes.client.ApiClient(configuration))


def start_a_job(cluster: Alone, seconds: int) -> None:
    """Start a Job that sleeps, as does its child in a session of its own; wait until shell and sleepers are there."""
    script = f"setsid sleep {seconds} & sleep {seconds}"
    container = {"name": "main", "image": "busybox", "args": ["-c", script]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"metadata": {"name": "sleeper"}, "spec": {"backoffLimit": 0, "template": template}}
    batch(cluster.kubeconfig).create_namespaced_job("default", body)
    eventually(lambda: len(list(processes_below(cluster.directory))) >= 3)


def eventually(true: Any, seconds: float = 30) -> Any:
    """Return what becomes true in time; fail if nothing does."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return value


def is_gone(cluster: Alone) -> bool:
    """Return whether neither a process nor a file of a cluster is left."""
    files = cluster.directory.exists() or cluster.kubeconfig.exists()
    return not files and not list(processes_below(cluster.directory))


def readme(language: str) -> str:
    """Return the README's one block of a language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(block)


def conversation() -> list[tuple[str, str]]:
    """Return the README's commands, each with the output that it shows."""
    parts = re.split(r"^\$ ", readme("console"), flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def in_shell(command: str, home: Path) -> str:
    """Return what a command prints, with the cluster's kubeconfig."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": "cluster.yaml"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=home, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done}"
    return done.stdout


@needs_proc
def test_readmes_commands_do_what_it_says_and_sigterm_leaves_nothing(tmp_path: Path, clusters: list[Alone]) -> None:
    """Its start, its kubectl and the outputs that it shows; then SIGTERM: exit code 0, no process, no file, no port."""
    (start, _), *commands, (end, _) = conversation()
    program, *words, background = shlex.split(start)
    assert (program, background, end) == ("python", "&", "kill %1")
    cluster = started([sys.executable, *words], tmp_path)
    clusters.append(cluster)
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert f"export KUBECONFIG={cluster.kubeconfig}" in cluster.printed
    for command, output in commands:
        if shutil.which("kubectl") or not command.startswith("kubectl"):
            assert in_shell(command, tmp_path) == output, command
    start_a_job(cluster, 1000)
    port = int(re.findall(r"https://127\.0\.0\.1:(\d+)", cluster.printed)[0])
    second = [sys.executable, "-m", MODULE, "--port", str(port)]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    refused = subprocess.run(second, capture_output=True, text=True, check=False, timeout=60, env=environ)
    assert (refused.returncode, f"port {port} is taken" in refused.stderr) == (3, True), refused.stderr
    cluster.process.send_signal(signal.SIGTERM)
    assert cluster.process.wait(20) == 0
    assert is_gone(cluster)
    assert list(tmp_path.glob("drfsm-kubernetes-*")) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@needs_proc
def test_sigkill_leaves_no_pod_and_no_file_for_long(tmp_path: Path, clusters: list[Alone]) -> None:
    """Nobody hears of it but the process beside it, which ends the pods and removes the files."""
    argv = [sys.executable, "-m", MODULE, "--kubeconfig", "cluster.yaml", "--image", "busybox=/bin/sh"]
    cluster = started(argv, tmp_path)
    clusters.append(cluster)
    start_a_job(cluster, 1000)
    cluster.process.kill()
    cluster.process.wait()
    eventually(lambda: is_gone(cluster))


@pytest.mark.parametrize(("content", "stays"), [("ours", False), ("somebody else's", True)])
def test_what_remains_is_removed_but_no_file_of_somebody_else(tmp_path: Path, content: str, stays: bool) -> None:
    """The directory goes; the kubeconfig's copy goes only while it is that copy."""
    directory, copy = tmp_path / "cluster", tmp_path / "cluster.yaml"
    directory.mkdir()
    (directory / "kubeconfig.yaml").write_text("ours", encoding="utf-8")
    copy.write_text(content, encoding="utf-8")
    argv = [sys.executable, "-m", f"{MODULE}.reaper", str(directory), str(copy)]
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=30)
    assert (directory.exists(), copy.exists()) == (False, stays)


def test_readmes_example_for_tests_runs() -> None:
    """The README's Python is run as it stands."""
    subprocess.run([sys.executable, "-c", readme("python")], check=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "x"), "x is no port"),
        (("--port", "65536"), "65536 is no port"),
        (("--image", "busybox"), "busybox is no NAME=COMMAND"),
        (("--image", "busybox="), "busybox= is no NAME=COMMAND"),
        (("--image", "busybox='sh"), "can't be read"),
        (("--image", "busybox:1=sh"), "busybox:1 has a tag or digest: name the image without it (busybox)"),
        (("--kubeconfig", __file__), "exists: name a new file"),
        (("--kubeconfig", "/nowhere/cluster.yaml"), "there is no directory /nowhere"),
    ],
)
def test_wrong_usage_starts_nothing(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fault is named, the exit code is 2, and nothing was made."""
    from drfsm.sandbox.kubernetes.__main__ import main

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert (caught.value.code, said in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    """Without the extra ``sandbox`` it ends with exit code 3, and leaves nothing."""
    script = f"import sys; sys.modules['cryptography'] = None; from {MODULE}.__main__ import main; sys.exit(main([]))"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environ)
    said = "the cluster could not be started: cryptography is not installed; pip install 'drfsm[sandbox]'"
    assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_exit_code_and_version_the_kubernetes_that_is_emulated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both end with 0; the version is the one that the API itself reports."""
    from drfsm.sandbox.kubernetes.__main__ import NOT_STARTED, STOPPED, main
    from drfsm.sandbox.kubernetes.discovery import VERSION

    for word in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            main((word,))
        assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^  {code}  ", printed, re.MULTILINE) for code in (STOPPED, 1, 2, NOT_STARTED))
    assert printed.splitlines()[-1] == f"Kubernetes {VERSION['gitVersion']} (emulated)"
