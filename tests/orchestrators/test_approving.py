"""`drfsm approve|decline --execution-arn`: what an execution asks, whether it is this promote's, what it is told."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drfsm.adapters import aws
from drfsm.adapters.executions import Callback, without_token
from drfsm.errors import ExitCode, Unreadable
from drfsm.runs.orchestrators import Asked, asked
from tests.orchestrators.orchestra import ASKS, Orchestra, Typed, orchestrator, soon
from tests.promote.test_cli import DIGEST, promote, summary
from tests.promote.world import Ready
from tests.safety.world import Site

pytestmark = pytest.mark.sandbox


def waiting(command: Typed, site: Site, receipt: str, arn: str) -> str:
    """Begin a promote for an execution; return the digest of the plan that waits."""
    told = command(*promote(site, receipt, "--execution-id", arn))
    assert told.code == ExitCode.HELD, told
    (digest,) = DIGEST.findall(told.err)
    return str(digest)


def approving(arn: str, digest: str, *more: str) -> tuple[str, ...]:
    """Return the command that approves through an execution."""
    return ("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--operator", "bea", "--plan", digest, *more)


def declining(arn: str, *more: str) -> tuple[str, ...]:
    """Return the command that declines through an execution."""
    return ("decline", "--execution-arn", arn, "--reason", "not today", "--operator", "bea", *more)


def everything_left(site: Site, tmp_path: Path, *told: str) -> str:
    """Return all that drfsm wrote and printed."""
    files = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    objects = b"".join(site.everything(f"{site.prefix}/drfsm/").values())
    return (files + objects).decode() + "".join(told)


def test_a_no_ends_the_run_and_fails_the_execution_with_the_reason(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, tmp_path: Path
) -> None:
    """Declined in the journal first; the execution fails as ManualApprovalRejected, and nothing has moved.

    It is named by its state machine and its own name; half of that, or another kind of ARN, is wrong usage.
    """
    site = ready.site
    arn = orchestra.asking()
    token = orchestra.token(arn)
    waiting(command, site, receipt, arn)
    machine, _, name = arn.replace(":execution:", ":stateMachine:").rpartition(":")
    flags = ("decline", "--reason", "not today", "--operator", "bea")
    for wrong in (
        ("--state-machine", machine), ("--execution-name", name), ("--execution-arn", machine),
        ("--execution-arn", "arn:aws:s3:::bucket"), ("--state", "X"),
        ("--state-machine", arn, "--execution-name", name),
    ):  # fmt: skip
        assert command(*flags, *wrong).code == ExitCode.USAGE, wrong
    told = command(*flags, "--state-machine", machine, "--execution-name", name)
    assert told.code == ExitCode.REFUSED, told
    assert (orchestra.ended(arn), orchestra.tasks(arn)[0].ended) == ("FAILED", "TaskFailed")
    assert orchestra.sfn.describe_execution(executionArn=arn)["error"] == "ManualApprovalRejected"
    assert summary(tmp_path)["state"] == "declined"
    assert site.named() == {site.sandbox.primary_run_id}
    assert token not in everything_left(site, tmp_path, *told[1:])
    again = command("decline", "--execution-arn", arn, "--reason", "still not")
    assert (again.code, "waits for nobody" in again.err) == (ExitCode.NOT_WAITING, True)


def of_another(orchestra: Orchestra, arn: str) -> str:
    """Return the ARN of an execution whose question says that it is another execution's."""
    definition = orchestrator(orchestra.queue_url, {})
    definition["States"][ASKS]["Parameters"]["MessageBody"]["execution_id.$"] = "$.of"
    started = orchestra.start(definition, of=arn)
    soon("it asks", lambda: orchestra.tasks(started))
    return started


def test_an_execution_that_is_not_this_promotes_is_refused_before_anything_is_recorded(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str
) -> None:
    """Another run, plan, account, region or execution: each is named, and neither journal nor execution moves."""
    site = ready.site
    ours, theirs = orchestra.asking(), orchestra.asking()
    digest = waiting(command, site, receipt, ours)
    cases = {
        theirs: f"not for {theirs}",
        orchestra.asking({"drfsm_run": "x"}): "asks for the run x",
        orchestra.asking({"plan_sha256": "0" * 64}): f"asks for the plan {'0' * 64}",
        orchestra.asking({"expected_account_id": "999999999999"}): "is of the account 999999999999",
        orchestra.asking({"region": "eu-west-1"}): "is of the region eu-west-1",
        of_another(orchestra, theirs): "says that it is of the execution",
    }
    records = command("replay").out
    for arn, words in cases.items():
        told = command(*approving(arn, digest))
        assert (told.code, words in told.err) == (ExitCode.REFUSED, True), (words, told)
        assert orchestra.status(arn) == "RUNNING", words
    wrong = command(*approving(re.sub(r":\d{12}:", ":999999999999:", ours), digest))
    assert (wrong.code, "there is no execution" in wrong.err) == (ExitCode.USAGE, True), wrong
    assert command("replay").out == records
    assert site.named() == {site.sandbox.primary_run_id}


def test_a_promote_that_was_begun_for_no_execution_needs_one_that_names_its_run_and_plan(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, tmp_path: Path
) -> None:
    """Nothing binds the two: refused. An execution that names run and digest is this promote's."""
    digest = waiting(command, ready.site, receipt, "")
    nobody = orchestra.asking()
    told = command(*approving(nobody, digest))
    assert (told.code, "nothing says that the execution" in told.err) == (ExitCode.REFUSED, True), told
    run_id = summary(tmp_path)["run_id"]
    named = orchestra.asking({"summary": {"drfsm_run": run_id, "plan_sha256": digest}})
    told = command(*declining(named))
    assert told.code == ExitCode.REFUSED, told
    assert orchestra.ended(named) == "FAILED"


def test_a_token_that_expired_is_refused_and_the_run_stays_as_it_is(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str
) -> None:
    """The task has timed out: exit 14, nothing is recorded, nothing was sent."""
    arn = orchestra.asking(TimeoutSeconds=2, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Promote"}])
    digest = waiting(command, ready.site, receipt, arn)
    assert orchestra.ended(arn) == "SUCCEEDED"  # by its Catch
    told = command(*approving(arn, digest))
    assert (told.code, "waits for nobody" in told.err) == (ExitCode.NOT_WAITING, True), told
    assert "HELD in dr_run_verified" in command("status").out


def test_what_was_recorded_and_not_told_is_told_by_the_next_command_and_never_twice(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, tmp_path: Path
) -> None:
    """Decided without the execution, as after a kill in between: the next command tells what the journal has."""
    arn = orchestra.asking({"summary": {"instance_id": "i-0123456789abcdef0"}})
    waiting(command, ready.site, receipt, arn)
    assert command("decline", "--operator", "ann", "--reason", "it is mended").code == ExitCode.REFUSED
    run_id = summary(tmp_path)["run_id"]
    records = command("replay", run_id).out
    told = command("decline", run_id, *declining(arn)[1:])
    assert told.code == ExitCode.REFUSED, told
    assert "instance_id        i-0123456789abcdef0" in told.err
    assert orchestra.ended(arn) == "FAILED"
    assert command("replay", run_id).out == records
    assert command("decline", run_id, *declining(arn)[1:]).code == ExitCode.NOT_WAITING


def test_an_execution_is_named_by_its_state_machine_and_its_name_too(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str
) -> None:
    """Both options make the ARN; half of one, or another kind of ARN, is wrong usage."""
    arn = orchestra.asking()
    waiting(command, ready.site, receipt, arn)
    machine, _, name = arn.replace(":execution:", ":stateMachine:").rpartition(":")
    flags = ("decline", "--reason", "not today")
    for wrong in (
        ("--state-machine", machine), ("--execution-name", name), ("--execution-arn", machine),
        ("--execution-arn", "arn:aws:s3:::bucket"), ("--state", "X"),
        ("--state-machine", arn, "--execution-name", name),
    ):  # fmt: skip
        assert command(*flags, *wrong).code == ExitCode.USAGE, wrong
    told = command(*flags, "--state-machine", machine, "--execution-name", name)
    assert told.code == ExitCode.REFUSED, told
    assert orchestra.ended(arn) == "FAILED"


def unnamed(orchestra: Orchestra) -> str:
    """Return the ARN of an execution that asks, and whose history has the token under a name that nobody knows."""
    definition = orchestrator(orchestra.queue_url, {"handle.$": "$$.Task.Token"})
    del definition["States"][ASKS]["Parameters"]["MessageBody"]["task_token.$"]
    arn = orchestra.start(definition)
    soon("it asks", lambda: orchestra.tasks(arn))
    return arn


def test_where_the_history_keeps_the_token_to_itself_the_receipt_or_the_queue_has_it(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str
) -> None:
    """The phase's receipt below the place that the operator names; else the queue, whose other messages stay."""
    site = ready.site
    in_receipt, in_queue = unnamed(orchestra), unnamed(orchestra)
    handles = {arn: orchestra.tasks(arn)[0].payload["handle"] for arn in (in_receipt, in_queue)}
    digest = waiting(command, site, receipt, in_queue)
    told = command(*approving(in_queue, digest))
    assert (told.code, "its token is nowhere" in told.err) == (ExitCode.NOT_WAITING, True), told
    queue_url = orchestra.queue()
    for arn, token in ((in_receipt, "another"), (in_queue, handles[in_queue])):
        body = json.dumps({"execution_id": arn, "task_token": token})
        orchestra.sqs.send_message(QueueUrl=queue_url, MessageBody=body)
    told = command(*declining(in_queue, "--queue", queue_url))
    assert told.code == ExitCode.REFUSED, told
    assert orchestra.ended(in_queue) == "FAILED"
    left = orchestra.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)["Messages"]
    assert {json.loads(message["Body"])["execution_id"] for message in left} == {in_receipt, in_queue}
    asked = orchestrators_asked(orchestra, in_receipt, site, handles[in_receipt])
    assert asked.token.reveal() == handles[in_receipt]


def orchestrators_asked(orchestra: Orchestra, arn: str, site: Site, token: str) -> Asked:
    """Return what an execution asks, by the receipt that its orchestrator left."""
    key = f"orchestrator/{arn.rpartition(':')[2]}/request_manual_approval.json"
    site.put(key, json.dumps({"execution_id": arn, "task_token": token}).encode())
    store = aws.connect(bucket=site.bucket, endpoint_url=orchestra.cloud.endpoint, region="us-east-1").store
    return asked(orchestra.executions, arn, store=store, receipts="orchestrator")


def test_a_token_that_somebody_used_meanwhile_holds_the_run_with_its_approval_on_record(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str
) -> None:
    """Somebody else answers while the person reads: exit 14, what the journal has is said, nothing was stopped."""
    site = ready.site
    arn = orchestra.asking()
    digest = waiting(command, site, receipt, arn)
    before = site.touchable("primary")
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "drfsm", *approving(arn, "")[:-2]],
        stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ),
    ) as process:  # fmt: skip
        assert process.stderr is not None
        told = b""
        while b"Type the first" not in told:
            told += process.stderr.read1()  # type: ignore[attr-defined]  # a pipe's reader has it
        orchestra.sfn.send_task_success(taskToken=orchestra.token(arn), output="{}")
        orchestra.ended(arn)
        os.write(master, f"{digest[:12]}\n".encode())
        told += process.communicate(timeout=60)[1]
    os.close(master)
    os.close(slave)
    assert process.returncode == ExitCode.NOT_WAITING, told.decode()
    assert b"the approval is recorded in the journal, and the run is held" in told
    standing = command("status").out
    assert "HELD in approved" in standing
    assert (site.touchable("primary"), site.named()) == (before, {site.sandbox.primary_run_id})


HISTORY: dict[str, tuple[object, str]] = {
    "a token that is a number": ({"task_token": 7}, "no token"),
    "a token that is empty": ({"Payload": {"task_token": ""}}, "no token"),
    "a token that is too long": ({"MessageBody": {"taskToken": "x" * 3000}}, "no token"),
    "a token that moves the cursor": ({"MessageBody": '{"task_token": "\\u001b[2J"}'}, "no token"),
}


@pytest.mark.parametrize("case", list(HISTORY))
def test_what_stands_in_a_tokens_place_and_is_none_is_refused(case: str) -> None:
    """It is never sent on, and never shown."""
    value, words = HISTORY[case]
    with pytest.raises(Unreadable, match=words):
        without_token(value)


def test_a_token_shows_itself_to_nobody() -> None:
    """Neither its repr, nor its str, nor a callback that holds it."""
    kept, token = without_token({"Payload": {"task_token": "s3cr3t", "list": [{"a": 1}]}})
    assert token is not None
    assert (kept, token.reveal()) == ({"Payload": {"list": [{"a": 1}]}}, "s3cr3t")
    callback = Callback("X", 1, {}, token)
    assert "s3cr3t" not in f"{token!r} {token} {callback!r} {callback} {[token]}"
