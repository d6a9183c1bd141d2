"""Exported machines in an interpreter of the language, driven for real: a queue, workers as processes, both sites."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ExitCode
from drfsm.spec.asl import asl
from tests.orchestrators.orchestra import Orchestra, Typed, soon
from tests.promote.test_cli import promote
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import SPEC, Ready
from tests.safety.world import Site

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

HEARTBEAT_SECONDS, LOST_SECONDS = 6, 1


class Workers:
    """Workers as processes, each with the home of a machine."""

    def __init__(self, ready: Ready, orchestra: Orchestra, home: Path) -> None:
        self._ready, self.home = ready, home
        self.queue_url, self.questions_url = orchestra.queue(), orchestra.queue_url
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *more: str, home: str = "worker") -> "subprocess.Popen[str]":
        """Start one."""
        site, sandbox = self._ready.site, self._ready.site.sandbox
        process = subprocess.Popen(
            [
                sys.executable, "-m", "drfsm", "worker", "--queue", self.queue_url, "--bucket", site.bucket,
                "--prefix", site.prefix, "--kubeconfig-dr", str(sandbox.dr.kubeconfig), "--kubeconfig-primary",
                str(sandbox.primary.kubeconfig), "--operator", "robot", "--heartbeat", "1", *more,
            ],
            env={**os.environ, "DRFSM_HOME": str(self.home / home)}, stdout=subprocess.DEVNULL,
            stderr=(self.home / f"{home}.err").open("a"), text=True,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def said(self, home: str = "worker") -> str:
        """Return what workers of a machine printed."""
        return (self.home / f"{home}.err").read_text()

    def exported(self, spec: Any) -> dict[str, Any]:
        """Return a machine for these queues."""
        return asl(
            spec, work_queue=self.queue_url, questions_queue=self.questions_url,
            heartbeat_seconds=HEARTBEAT_SECONDS, lost_seconds=LOST_SECONDS,
        )  # fmt: skip

    def close(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def workers(
    ready: Ready,
    orchestra: Orchestra,
    command: Typed,  # noqa: ARG001  it sets the environment
    tmp_path: Path,
) -> Iterator[Workers]:
    """Return what starts workers, ended after the test."""
    made = Workers(ready, orchestra, tmp_path)
    yield made
    made.close()


def started(orchestra: Orchestra, command: Typed, workers: Workers, site: Site, receipt: str, *more: str) -> str:
    """Return the execution of an exported promote, begun with what the command prints as its input."""
    told = command(*promote(site, receipt, "--as-execution-input", *more))
    assert told.code == ExitCode.DONE, told
    assert str(site.sandbox.dr.kubeconfig) not in told.out
    return orchestra.start(workers.exported(SPEC), **told.json)


def question(orchestra: Orchestra, arn: str, workers: Workers) -> Mapping[str, Any]:
    """Wait until an execution asks a person; return what it says."""

    def asks() -> Any:
        waiting = [task for task in orchestra.tasks(arn) if not task.ended and task.payload["kind"] == "question"]
        return waiting or orchestra.status(arn) != "RUNNING"

    found = soon("it asks", asks)
    assert found is not True, workers.said()
    (task,) = found
    return dict(task.payload)


def test_an_execution_drives_a_promote_and_a_person_approves_it_from_another_machine(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str
) -> None:
    """Row by row; held for the approval, which names the plan; told by a topic, never with a token; then complete."""
    site = ready.site
    arn = started(orchestra, command, workers, site, receipt)
    workers.start()
    asked = question(orchestra, arn, workers)
    token = orchestra.token(arn)
    assert (asked["state"], set(asked["ways"]) >= {"approve", "decline", "resume"}) == ("dr_run_verified", True)
    wrong = command("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--plan", "0" * 64)
    assert wrong.code == ExitCode.REFUSED, wrong
    told = command(
        "approve", "--execution-arn", arn, "--ticket", "CHG-1", "--operator", "bea", "--plan", asked["plan_sha256"]
    )
    assert told.code == ExitCode.DONE, told
    assert orchestra.ended(arn) == "SUCCEEDED", workers.said()
    dr_publishes_alone(site, ready.receipt["run_id"])
    assert token not in workers.said() + wrong.err + told.err
