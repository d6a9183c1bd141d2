"""A sandbox in the background: up, a second up, status, environment, down, and what a SIGKILL leaves."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from drfsm.cli.main import run
from drfsm.errors import DrfsmError, UsageFault
from drfsm.sandbox import Options, default_directory, down, environment, status, up
from drfsm.sandbox.kubernetes.processes import processes_below
from drfsm.sandbox.lifecycle import State, _born, _end, _write, outage

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a directory for a sandbox, and end whatever runs there afterwards."""
    yield tmp_path / "sandbox"
    down(tmp_path / "sandbox")


def answers(state: State) -> bool:
    """Return whether the sandbox's AWS answers."""
    try:
        with urllib.request.urlopen(f"{state.endpoint}/moto-api/data.json", timeout=60) as answer:  # noqa: S310  loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def uid(kubeconfig: str) -> str | None:
    """Return the UID of the cluster's namespace kube-system; None if it doesn't answer."""
    import kubernetes
    import urllib3

    configuration = kubernetes.client.Configuration()
    load = kubernetes.config.load_kube_config
    load(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # kubernetes has no types
    configuration.retries = urllib3.Retry(0)
    core: Any = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
    try:
        return str(core.read_namespace("kube-system", _request_timeout=5).metadata.uid)
    except urllib3.exceptions.HTTPError:
        return None


def drfsm(home: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Return what `drfsm sandbox …` says on a sandbox, as a process of its own."""
    command = [sys.executable, "-m", "drfsm", "sandbox", *argv, "--dir", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


@pytest.fixture
def typed(home: Path, capfd: pytest.CaptureFixture[str]) -> Typed:
    """Return what `drfsm sandbox …` does in this process; it gives the exit code, stdout and stderr."""

    def type_(*argv: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(("sandbox", *argv, "--dir", str(home)))
        out, err = capfd.readouterr()
        return code, out, err

    return type_


def ec2(state: State) -> Any:
    """Return a client of the sandbox's EC2."""
    from drfsm.sandbox.cloud import Cloud

    cloud = Cloud()
    cloud.endpoint = state.endpoint
    return cloud.client("ec2")


def test_up_a_second_up_status_environment_and_down(home: Path) -> None:
    """One sandbox runs however often it is started; its environment names it; down leaves nothing behind."""
    state = up(home)
    assert answers(state)
    assert (status(home).running, status(home).state) == (True, state)
    assert up(home) == evolve(state, already_running=True)
    assert list(processes_below(home))

    environ = environment(home)
    assert environ["AWS_ENDPOINT_URL"] == state.endpoint
    assert (environ["BUCKET"], environ["PREFIX"], environ["DR_RUN_ID"]) == (
        "jobintel-sandbox",
        "jobintel",
        state.dr_run_id,
    )
    assert Path(environ["KUBECONFIG_DR"]).is_file()
    assert Path(environ["KUBECONFIG_PRIMARY"]).is_file()
    assert environ["CANONICAL_RUN_ID"] == state.canonical_run_id == state.dr_run_id
    assert environ["PRIMARY_RUN_ID"] == state.primary_run_id < state.dr_run_id
    assert environ["PRIMARY_ROLE"] == state.primary_role
    assert environ["DR_ROLE"] == state.dr_role != state.primary_role
    assert environ["IMAGE_REF"].startswith("registry.example/jobintel@sha256:")

    assert down(home)
    assert not status(home).running
    assert _born(state.pid) is None
    assert not answers(state)
    assert not list(processes_below(home))
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
    left = set(processes_below(home))
    second = up(home)
    assert second.pid != first.pid
    assert answers(second)
    assert not left & set(processes_below(home))


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
    assert str(home / "sandbox.log") in caught.value.hint
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


def test_up_before_any_disaster_says_so_and_exports_the_primarys_run(home: Path) -> None:
    """The primary is canonical in what `up` prints and `env` exports; DR has no run, and no runner."""
    told = drfsm(home, "up", "--canonical", "primary")
    state = status(home).state
    assert (told.returncode, state is not None) == (0, True), told.stderr
    assert state is not None
    assert f"the primary canonical with the run {state.primary_run_id}" in told.stdout
    assert "runs already" in drfsm(home, "up").stdout
    exported = drfsm(home, "env").stdout.splitlines()
    words = dict(shlex.split(line)[1].split("=", 1) for line in exported)
    assert words == environment(home)
    assert (words["DR_RUN_ID"], words["CANONICAL_RUN_ID"]) == ("", state.primary_run_id)
    assert words["PRIMARY_RUN_ID"] == words["CANONICAL_RUN_ID"] == state.canonical_run_id
    assert words["PRIMARY_ROLE"].endswith(":user/jobintel-sandbox-primary")
    assert words["DR_ROLE"].endswith(":user/jobintel-sandbox-dr")
    assert ec2(state).describe_instances()["Reservations"] == []


def test_an_outage_is_so_when_the_command_returns_and_ends_when_it_is_ended(home: Path, typed: Typed) -> None:
    """Either site stops answering alone, its pods running on, and is the same cluster afterwards; twice is as once."""
    state = up(home, Options(runner=False))  # a standby's dashboard would have no pods
    kubeconfigs = {"primary": state.kubeconfig_primary, "dr": state.kubeconfig_dr}
    before = {site: uid(each) for site, each in kubeconfigs.items()}
    while len(pods := set(processes_below(home))) < len(kubeconfigs):  # each site's dashboard
        time.sleep(0.02)
    for site, other in (("primary", "dr"), ("dr", "primary")):
        for _ in range(2):
            code, out, _ = typed("outage", site)
            assert (code, f"the cluster of {site} does not answer any more" in out) == (0, True)
            assert uid(kubeconfigs[site]) is None
        assert uid(kubeconfigs[other]) == before[other]
        assert pods <= set(processes_below(home))
        for _ in range(2):
            assert typed("outage", site, "--end")[0] == 0
            assert uid(kubeconfigs[site]) == before[site]
    outage(home, "primary")
    assert down(home)
    assert not list(processes_below(home))
    again = up(home, Options(canonical="primary"))
    assert uid(again.kubeconfig_primary) is not None
    time.sleep(0.6)
    assert uid(again.kubeconfig_primary) is not None, "an outage does not outlive its sandbox"


def test_drs_cluster_answers_only_if_neither_its_runner_is_gone_nor_an_outage_is_asked_for(home: Path) -> None:
    """To end the outage doesn't bring the cluster of a stopped instance back, and the error names the instance."""
    state = up(home)
    outage(home, "dr")
    client = ec2(state)
    client.stop_instances(InstanceIds=[state.instance_id])
    with pytest.raises(DrfsmError, match="the cluster of dr does not answer yet") as caught:
        outage(home, "dr", on=False, timeout_seconds=1)
    assert state.instance_id in caught.value.hint
    outage(home, "dr")
    client.start_instances(InstanceIds=[state.instance_id])
    time.sleep(0.6)
    assert uid(state.kubeconfig_dr) is None
    outage(home, "dr", on=False)
    assert uid(state.kubeconfig_dr) is not None


def test_another_up_with_other_options_is_refused_and_names_them(home: Path, typed: Typed) -> None:
    """What is typed and differs is told, with 2; what is the same, or not typed, is no reason. No file is held open."""
    leak = home.with_name("somebody-s-lock")
    with leak.open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003  as a shell's `exec 9>lock`
        code, out, _ = typed("up", "--with-reports")
        assert (code, f'eval "$(drfsm sandbox env --dir {home})"' in out) == (0, True)
    state = status(home).state
    assert state is not None
    held = [str(link.readlink()) for link in Path(f"/proc/{state.pid}/fd").glob("*")] if Path("/proc").is_dir() else []
    assert str(leak) not in held
    assert (typed("up")[0], typed("up", "--with-reports")[0]) == (0, 0)
    code, _, err = typed("up", "--with-reports", "--canonical", "primary", "--pods-sleep-seconds", "2")
    assert (code, "pods_sleep_seconds is not set, not 2.0; canonical is 'dr', not 'primary'" in err) == (2, True), err
    assert status(home).state == state


def test_an_outage_where_no_sandbox_runs_is_refused(home: Path, typed: Typed) -> None:
    """Nothing there, or a sandbox that died: the command says so, and what to do, with the exit code of wrong usage."""
    code, _, err = typed("outage", "primary")
    assert (code, "no sandbox in" in err, "drfsm sandbox up" in err) == (2, True, True)
    assert not home.exists()
    state = up(home)
    os.kill(state.pid, signal.SIGKILL)
    while _born(state.pid):
        time.sleep(0.01)
    with pytest.raises(UsageFault, match="the sandbox died"):
        outage(home, "primary")
    assert typed("outage", "nowhere")[0] == 2
