"""SSM's Run Command, for the sandbox's machines: a command really runs, and its output, status and errors are its own.

moto answers that every command succeeded, printed nothing, and on whichever machine. Here a command for a machine that
SSM doesn't know is refused (``InvalidInstanceId``), as in the cloud until the machine's agent has spoken up; any other
runs as a process of ``/bin/sh``, is ``InProgress`` until it ends or its time is up, and leaves what it printed: 24,000
characters at most of stdout, 8,000 of stderr, as SSM's own
(https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html).

A machine is a folder. Paths below ``/etc/rancher`` in a command mean the ones in it, and ``sudo`` runs what it is
given; nothing else tells a command that it is not on a machine of its own. Owns which machines there are; runners.py
offers and withdraws them, cloud.py installs it.
"""

import os
import re
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MOST_STDOUT, MOST_STDERR = 24_000, 8_000
DEFAULT_SECONDS = 3600
KUBECONFIG = "etc/rancher/k3s/k3s.yaml"
_OWN_PATHS = re.compile(r"(?<![\w.-])/(?=etc/rancher/)")
_machines: dict[tuple[str, str], Path] = {}


def furnish(machine: Path, kubeconfig: bytes) -> None:
    """Put into a machine's folder what k3s and the image leave there: the kubeconfig, for root alone, and sudo."""
    for place, body, mode in ((KUBECONFIG, kubeconfig, 0o600), ("bin/sudo", b'#!/bin/sh\nexec "$@"\n', 0o700)):
        path = machine / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.chmod(mode)


def offer(account: str, instance_id: str, machine: Path) -> None:
    """Let commands run on a machine, whose files lie in a folder."""
    _machines[account, instance_id] = machine


def withdraw(account: str, instance_id: str) -> None:
    """Let no more commands run on a machine."""
    _machines.pop((account, instance_id), None)


def install() -> None:
    """Make moto run the commands that it is sent. A second call changes nothing."""
    from moto.ssm.models import SimpleSystemManagerBackend

    backend: Any = SimpleSystemManagerBackend
    if not hasattr(backend.send_command, "pretending"):
        backend.send_command = _running(backend.send_command)


def _running(send_command: Any) -> Any:
    from moto.core.exceptions import JsonRESTError

    def running(self: Any, **asked: Any) -> Any:
        machines = {name: _machines.get((self.account_id, name)) for name in asked["instance_ids"]}
        if unknown := [name for name, machine in machines.items() if machine is None]:
            message = f"Instances [{', '.join(unknown)}] not in a valid state for account {self.account_id}"
            raise JsonRESTError("InvalidInstanceId", message)
        command = send_command(self, **asked)
        for invocation in command.invocations:
            invocation |= {"Status": "InProgress", "StatusDetails": "InProgress", "ResponseCode": -1}
            machine = machines[invocation["InstanceId"]]
            threading.Thread(target=_run, args=(invocation, machine, asked["parameters"]), daemon=True).start()
        return command

    running.pretending = send_command  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    return running


def _run(invocation: dict[str, Any], machine: Path, parameters: dict[str, list[str]]) -> None:
    """Run a command to its end, and write down how it ended: all at once, for whoever asks meanwhile."""
    script = _OWN_PATHS.sub(f"{machine}/", "\n".join(parameters["commands"]))
    seconds = float((parameters.get("executionTimeout") or [str(DEFAULT_SECONDS)])[0])
    environ = {"PATH": f"{machine / 'bin'}:{os.environ.get('PATH', os.defpath)}", "HOME": str(machine)}
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=machine,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        code, status = ended.returncode, "Success" if ended.returncode == 0 else "Failed"
        output, errors = ended.stdout, ended.stderr
    except subprocess.TimeoutExpired as late:
        code, status, output, errors = -1, "TimedOut", late.stdout or b"", late.stderr or b""
    except OSError as fault:  # the machine is gone
        code, status, output, errors = -1, "Failed", b"", str(fault).encode()
    invocation.update(
        ResponseCode=code,
        StatusDetails=status,
        StandardOutputContent=output.decode("utf-8", "replace")[:MOST_STDOUT],
        StandardErrorContent=errors.decode("utf-8", "replace")[:MOST_STDERR],
        ExecutionEndDateTime=datetime.now(UTC).isoformat(),
        Status=status,  # AFTER the rest: whoever sees it ended finds what it printed
    )
