"""A sandbox in the background: up, a second up, status, environment, down, and what a SIGKILL leaves."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from drfsm.errors import DrfsmError, UsageFault
from drfsm.sandbox import Options, default_directory, down, environment, status, up
from drfsm.sandbox.lifecycle import State, _born, _end, _pods, _write


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a directory for a sandbox, and end whatever runs there afterwards."""
    yield tmp_path / "sandbox"
    down(tmp_path / "sandbox")


def answers(state: State) -> bool:
    """Return whether the sandbox's AWS answers."""
    try:
        with urllib.request.urlopen(f"{state.endpoint}/moto-api/data.json", timeout=5) as answer:  # noqa: S310  loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def test_up_a_second_up_status_environment_and_down(home: Path) -> None:
    """One sandbox runs however often it is started; its environment names it; down leaves nothing behind."""
    state = up(home)
    assert answers(state)
    assert (status(home).running, status(home).state) == (True, state)
    assert up(home) == evolve(state, already_running=True)
    assert list(_pods(home))

    environ = environment(home)
    assert environ["AWS_ENDPOINT_URL"] == state.endpoint
    assert (environ["BUCKET"], environ["PREFIX"], environ["DR_RUN_ID"]) == (
        "jobintel-sandbox",
        "jobintel",
        state.dr_run_id,
    )
    assert Path(environ["KUBECONFIG_DR"]).is_file()
    assert Path(environ["KUBECONFIG_PRIMARY"]).is_file()
    assert environ["IMAGE_REF"].startswith("registry.example/jobintel@sha256:")

    assert down(home)
    assert not status(home).running
    assert _born(state.pid) is None
    assert not answers(state)
    assert not list(_pods(home))
    assert not down(home)
    with pytest.raises(UsageFault, match="no sandbox in"):
        environment(home)


def test_a_killed_sandbox_is_seen_as_dead_and_up_starts_a_new_one_without_its_pods(home: Path) -> None:
    """After SIGKILL status tells that it died and where its log is; up clears its leftovers and goes on."""
    first = up(home)
    os.kill(first.pid, signal.SIGKILL)
    while _born(first.pid):
        time.sleep(0.01)
    assert not status(home).running
    assert "died" in status(home).note
    left = set(_pods(home))
    second = up(home)
    assert second.pid != first.pid
    assert answers(second)
    assert not left & set(_pods(home))


def test_a_recycled_pid_is_never_taken_for_the_sandbox_nor_killed(home: Path) -> None:
    """A process with the recorded pid but another time of birth is somebody else: it survives down."""
    home.mkdir()
    victim = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    words = dict.fromkeys(State.__annotations__, "")
    _write(home, State(**{**words, "pid": victim, "born": "before"}))  # type: ignore[arg-type]  # all else is text
    assert not status(home).running
    assert not down(home)
    assert _born(victim) is not None
    _end(victim, _born(victim))
    assert _born(victim) is None


def test_a_sandbox_that_cannot_start_says_why_from_its_log(home: Path) -> None:
    """Options that the server refuses end up as an error that quotes the log's last words."""
    with pytest.raises(DrfsmError, match="Invalid bucket name") as caught:
        up(home, Options(bucket="No Bucket"))
    assert str(home / "sandbox.log") in caught.value.way
    assert not status(home).running


def test_a_state_of_another_version_is_refused_not_overwritten(home: Path) -> None:
    """A sandbox.json that can't be understood may name a living process, so nothing is started over it."""
    home.mkdir()
    (home / "sandbox.json").write_text(json.dumps({"pid": 1}), encoding="utf-8")
    with pytest.raises(UsageFault, match=r"sandbox\.json can't be understood"):
        up(home)
    (home / "sandbox.json").unlink()


def test_the_default_directory_is_the_given_one_else_the_states_home() -> None:
    """DRFSM_SANDBOX_DIR wins over XDG_STATE_HOME, which wins over ~/.local/state."""
    assert default_directory({"DRFSM_SANDBOX_DIR": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert default_directory({"XDG_STATE_HOME": "/b"}) == Path("/b/drfsm/sandbox")
    assert default_directory({}) == Path.home() / ".local/state/drfsm/sandbox"
