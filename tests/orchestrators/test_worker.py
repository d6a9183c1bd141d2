"""Exported machines in an interpreter of the language, driven for real: a queue, workers as processes, both sites."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ExitCode
from drfsm.spec.asl import asl
from tests.orchestrators.orchestra import Orchestra, Typed, notice, notices, soon, whole_procedures
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


def take(orchestra: Orchestra, queue_url: str) -> dict[str, Any]:
    """Take one message out of a queue, as a worker does; return its body."""

    def taken() -> Any:
        return orchestra.sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=1).get("Messages")

    (message,) = soon("there is work", taken)
    orchestra.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return dict(json.loads(message["Body"]))


@whole_procedures
def test_an_execution_drives_a_promote_and_a_person_approves_it_from_another_machine(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str
) -> None:
    """Row by row; held for the approval; a topic tells digest and command, never the token; then complete.

    A message that came too late is dropped, and a worker that is asked to stop leaves its run to the next one.
    """
    site = ready.site
    topic, told_queue = notices(orchestra)
    arn = started(orchestra, command, workers, site, receipt)
    first = take(orchestra, workers.queue_url)
    for body in ({**first, "task_token": "of-nobody"}, {"kind": "nonsense"}, first):
        orchestra.sqs.send_message(QueueUrl=workers.queue_url, MessageBody=json.dumps(body))
    worker = workers.start("--notify", topic)
    asked = question(orchestra, arn, workers)
    token = orchestra.token(arn)
    assert (asked["state"], set(asked["ways"]) >= {"approve", "decline", "resume"}) == ("dr_run_verified", True)
    digest = asked["plan_sha256"]
    subject, text = notice(orchestra, told_queue)
    assert subject == "drfsm promote: an approval is needed"
    assert f"drfsm approve --execution-arn {arn} --ticket ... --plan {digest}" in text
    assert f"drfsm decline --execution-arn {arn} --reason" in text
    worker.terminate()
    assert worker.wait(60) == ExitCode.DONE, workers.said()
    wrong = command("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--plan", "0" * 64)
    assert wrong.code == ExitCode.REFUSED, wrong
    illegal = command("answer", "switch_global_pointer", "--execution-arn", arn, "--reason", "now")
    assert (illegal.code, orchestra.token(arn)) == (ExitCode.ILLEGAL, token), illegal
    workers.start("--notify", topic)
    told = command("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--operator", "bea", "--plan", digest)
    assert told.code == ExitCode.DONE, told
    assert orchestra.ended(arn) == "SUCCEEDED", workers.said()
    dr_publishes_alone(site, ready.receipt["run_id"])
    (summary_file,) = workers.home.glob("worker/runs/*/promote.summary.json")
    done = json.loads(summary_file.read_text())["receipt"]
    assert (done["operator"], done["ticket"], done["approved_plan"]) == ("bea", "CHG-1", digest)
    assert (done["execution_id"], done["execution_kind"]) == (arn, "orchestrator")
    assert "too late: nobody waits for" in workers.said()
    assert "left in the queue" in workers.said()
    left = b"".join(path.read_bytes() for path in workers.home.rglob("*") if path.is_file()).decode()
    assert token not in left + subject + text + wrong.err + told.err + illegal.err
    again = command("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--plan", digest)
    assert again.code == ExitCode.NOT_WAITING, again


LIES: dict[str, dict[str, Any]] = {
    "that the run is complete": {"state": "complete", "status": "complete"},
    "that it is approved": {"state": "approved", "status": "running"},
    "that it is held somewhere else": {"state": "dr_run_verified", "status": "held"},
}


@pytest.mark.parametrize("case", list(LIES))
def test_a_worker_that_lies_ends_the_execution_as_an_illegal_transition(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str, case: str
) -> None:
    """No row leads there: the execution fails, and nothing has moved."""
    site = ready.site
    arn = started(orchestra, command, workers, site, receipt)
    token = take(orchestra, workers.queue_url)["task_token"]
    orchestra.sfn.send_task_success(taskToken=token, output=json.dumps(LIES[case]))
    assert orchestra.ended(arn) == "FAILED"
    assert orchestra.sfn.describe_execution(executionArn=arn)["error"] == "IllegalTransition"
    assert site.named() == {site.sandbox.primary_run_id}


@whole_procedures
def test_a_lie_that_the_language_allows_is_refused_by_the_next_worker(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str
) -> None:
    """It says that preflight was passed. The journal knows nothing of it: an honest worker refuses the next row."""
    site = ready.site
    arn = started(orchestra, command, workers, site, receipt)
    token = take(orchestra, workers.queue_url)["task_token"]
    orchestra.sfn.send_task_success(taskToken=token, output=json.dumps({"state": "preflight_ok", "status": "running"}))
    workers.start()
    assert orchestra.ended(arn) == "FAILED"
    assert "holds no run" in workers.said()
    assert site.named() == {site.sandbox.primary_run_id}
    assert not list(workers.home.glob("worker/runs/*"))


@whole_procedures
def test_a_heartbeat_that_stops_is_asked_again_with_a_new_token_and_no_is_a_no(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str
) -> None:
    """A worker takes the first row and is never heard of again; the next one begins the run; a person declines."""
    site = ready.site
    arn = started(orchestra, command, workers, site, receipt)
    lost = take(orchestra, workers.queue_url)
    workers.start()
    asked = question(orchestra, arn, workers)
    assert asked["state"] == "dr_run_verified"
    first, second, *_ = orchestra.tasks(arn)
    assert (first.state, first.ended, second.state) == ("start", "TaskTimedOut", "start")
    assert lost["task_token"] != orchestra.token(arn)
    told = command("decline", "--execution-arn", arn, "--reason", "it is mended", "--operator", "bea")
    assert told.code == ExitCode.DONE, told
    assert orchestra.ended(arn) == "FAILED"
    assert orchestra.sfn.describe_execution(executionArn=arn)["error"] == "Refused"
    assert site.named() == {site.sandbox.primary_run_id}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another bucket": (lambda given: given["inputs"].update(bucket="elsewhere"), "this worker works in"),
    "an input that is unknown": (lambda given: given["inputs"].update(speed="fast"), "speed"),
}


@whole_procedures
@pytest.mark.parametrize("case", list(WRONG))
def test_an_execution_whose_input_is_wrong_fails_and_nothing_is_begun(
    orchestra: Orchestra, command: Typed, workers: Workers, ready: Ready, receipt: str, case: str
) -> None:
    """Who starts executions says which run; where a worker works, the worker alone says."""
    site = ready.site
    change, words = WRONG[case]
    given = command(*promote(site, receipt, "--as-execution-input")).json
    change(given)
    arn = orchestra.start(workers.exported(SPEC), **given)
    workers.start()
    assert orchestra.ended(arn) == "FAILED"
    assert words in workers.said()
    assert not list(workers.home.glob("worker/runs/*/state_transitions.log"))


def test_a_worker_without_work_ends_when_it_is_told_to_and_wrong_addresses_are_wrong_usage(
    orchestra: Orchestra, command: Typed, ready: Ready
) -> None:
    """--idle-exit; a topic or a queue that is none is refused before anything is asked for."""
    place = ("--bucket", ready.site.bucket, "--prefix", ready.site.prefix)
    told = command("worker", "--queue", orchestra.queue(), *place, "--idle-exit", "1")
    assert (told.code, "waiting for rows" in told.err) == (ExitCode.DONE, True), told
    assert command("worker", "--queue", "not-a-url", *place, "--idle-exit", "1").code == ExitCode.USAGE
    topic = ("--notify", "arn:aws:s3:::bucket")
    assert command("worker", "--queue", orchestra.queue_url, *place, *topic).code == ExitCode.USAGE
