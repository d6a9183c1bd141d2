"""A file of a machine through SSM: really read there, told apart from one that isn't there, and never quoted."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.aws_session import Services
from drfsm.adapters.ssm_files import LARGEST_CHARACTERS, SsmFiles
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.sandbox import remote_commands
from drfsm.sandbox.cloud import REGION, Cloud

MACHINE = "i-0123456789abcdef0"
K3S = "/etc/rancher/k3s/k3s.yaml"


@pytest.fixture
def machine(cloud: Cloud, tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a machine on which commands run."""
    remote_commands.furnish(tmp_path, b"kind: Config\n")
    remote_commands.offer(cloud.account, MACHINE, tmp_path)
    yield tmp_path
    remote_commands.withdraw(cloud.account, MACHINE)


@pytest.fixture
def files(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> SsmFiles:
    """Return the operator's way to files of machines."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "operator")
    return SsmFiles(Services(cloud.endpoint, REGION), sleep=lambda _: time.sleep(0.02))


def test_a_file_is_read_where_it_lies(files: SsmFiles, machine: Path) -> None:
    """What the machine has is what comes back; before there is a file, and before there is a machine, nothing does."""
    assert files.read(MACHINE, K3S) == "kind: Config\n"
    (machine / remote_commands.KUBECONFIG).write_bytes(b"")
    assert files.read(MACHINE, K3S) is None
    (machine / remote_commands.KUBECONFIG).unlink()
    assert files.read(MACHINE, K3S) is None
    assert files.read("i-0fedcba9876543210", K3S) is None


def test_a_command_that_fails_is_told_with_its_own_words(files: SsmFiles, machine: Path) -> None:
    """A directory is no file: the status, the exit code and what the machine says of it are told."""
    (machine / remote_commands.KUBECONFIG).unlink()
    (machine / remote_commands.KUBECONFIG).mkdir()
    (machine / remote_commands.KUBECONFIG / "x").touch()
    with pytest.raises(ActionFailed, match=r"Failed with 1: cat: .*directory") as told:
        files.read(MACHINE, K3S)
    assert "get-command-invocation --command-id" in told.value.hint


def test_what_ssm_cuts_off_is_not_taken_for_the_file(files: SsmFiles, machine: Path) -> None:
    """SSM returns the beginning of a long output and says nothing of the rest."""
    (machine / remote_commands.KUBECONFIG).write_text("secret" * LARGEST_CHARACTERS)
    with pytest.raises(ActionFailed, match="SSM returns no more") as told:
        files.read(MACHINE, K3S)
    assert "secret" not in told.value.diagnostics()


@pytest.mark.parametrize("path", ["k3s.yaml", "/etc/x; rm -rf /", "/etc/../root/x", "/etc/$(id)", "/a b"])
def test_only_a_path_is_put_into_the_command(files: SsmFiles, path: str) -> None:
    """Anything else is refused before a command is sent."""
    with pytest.raises(UsageFault):
        files.read(MACHINE, path)
    with pytest.raises(Unreadable):
        files.read("i-0; id", K3S)


def test_the_sandboxes_commands_end_as_they_end(cloud: Cloud, machine: Path) -> None:
    """Output, errors, exit code and running out of time are the command's own, and under way it is in progress."""
    ssm = cloud.client("ssm")

    def ran(script: str, seconds: str = "30") -> Any:
        parameters = {"commands": script.splitlines(), "executionTimeout": [seconds]}
        asked = {"DocumentName": "AWS-RunShellScript", "Parameters": parameters}
        command = ssm.send_command(InstanceIds=[MACHINE], **asked)["Command"]["CommandId"]
        until = time.monotonic() + 30
        statuses = []
        while time.monotonic() < until:
            seen = ssm.get_command_invocation(CommandId=command, InstanceId=MACHINE)
            statuses.append(seen["Status"])
            if seen["Status"] != "InProgress":
                return seen, statuses
            time.sleep(0.02)
        raise AssertionError(statuses)

    seen, statuses = ran("set -eu\nsudo test -s /etc/rancher/k3s/k3s.yaml\necho out\necho err >&2\nsleep 0.3\nexit 3")
    assert (seen["Status"], seen["ResponseCode"]) == ("Failed", 3)
    assert (seen["StandardOutputContent"], seen["StandardErrorContent"]) == ("out\n", "err\n")
    assert "InProgress" in statuses
    late, _ = ran("echo begun; sleep 30", seconds="0.3")
    assert (late["Status"], late["StandardOutputContent"]) == ("TimedOut", "begun\n")
    assert machine.is_dir()
