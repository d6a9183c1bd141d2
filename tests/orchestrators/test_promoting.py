"""`drfsm promote --execution-arn`: what the orchestrator says is held against what is there, and is on record."""

import json
from pathlib import Path
from typing import Any

import pytest

from drfsm.errors import ExitCode
from tests.orchestrators.orchestra import Orchestra, Typed, notice, notices, orchestrator, soon
from tests.orchestrators.test_approving import approving, everything_left
from tests.promote.test_cli import DIGEST, promote, summary
from tests.promote.test_stories import dr_publishes_alone
from tests.promote.world import Ready
from tests.safety.world import Site

pytestmark = pytest.mark.sandbox

RECEIPTS = "orchestrator/receipts"


def runner_of(site: Site) -> str:
    """Return the one machine that carries DR, launched where there is none yet."""
    return next(iter(site.runners()), "") or site.launch()


def restored(orchestra: Orchestra, site: Site, **said: Any) -> str:
    """Return an execution whose orchestrator restored a site and asks: what it says, and its receipts."""
    payload = {
        "expected_account_id": site.sandbox.cloud.account, "region": "us-east-1", "receipt_bucket": site.bucket,
        "receipt_prefix": RECEIPTS, "summary": {"instance_id": runner_of(site), **said.pop("summary", {})},
    }  # fmt: skip
    arn = orchestra.start(orchestrator(orchestra.queue_url, payload), **said)
    soon("it asks", lambda: orchestra.tasks(arn))
    leave(site, arn, "restore", {"status": "ok", "instance_id": runner_of(site)})
    return arn


def leave(site: Site, arn: str, phase: str, receipt: dict[str, Any]) -> str:
    """Leave a phase's receipt, as the orchestrator does; return its key."""
    key = f"{RECEIPTS}/{arn.rpartition(':')[2]}/{phase}.json"
    site.put(key, json.dumps({"execution_id": arn, **receipt}).encode())
    return key


def test_what_the_orchestrator_says_is_seen_the_approval_is_recorded_and_the_execution_is_told(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, tmp_path: Path
) -> None:
    """Machine and receipts are looked at, a topic is told, a person approves: journal first, then the execution, once.

    The promote completes, and leaves its own receipt beside the orchestrator's; the token is nowhere.
    """
    site = ready.site
    topic, told_queue = notices(orchestra)
    arn = restored(orchestra, site)
    token = orchestra.token(arn)
    begun = command(*promote(site, receipt, "--execution-arn", arn, "--notify", topic))
    assert begun.code == ExitCode.HELD, begun
    assert f"machine {runner_of(site)}: running" in begun.err
    assert "receipt restore.json: sha256 " in begun.err
    assert f"--execution-arn {arn}" in begun.out
    (digest,) = DIGEST.findall(begun.err)
    subject, text = notice(orchestra, told_queue)
    assert subject == "drfsm promote: an approval is needed"
    assert f" --ticket ... --plan {digest} --execution-arn {arn}" in text
    shown = command("approve", "--execution-arn", arn, "--ticket", "CHG-1", "--operator", "bea")
    assert shown.code == ExitCode.REFUSED
    assert f"--plan {digest} --execution-arn {arn}" in shown.err
    assert orchestra.status(arn) == "RUNNING"
    told = command(*approving(arn, digest))
    assert told.code == ExitCode.DONE, told
    assert orchestra.ended(arn) == "SUCCEEDED"
    dr_publishes_alone(site, ready.receipt["run_id"])
    (task,), done = orchestra.tasks(arn), summary(tmp_path)
    assert task.answer == {
        "approved": True, "approver": "bea", "ticket": "CHG-1", "approved_at": done["receipt"]["approved_at"],
        "plan_sha256": digest, "drfsm_run": done["run_id"],
    }  # fmt: skip
    assert (done["receipt"]["execution_id"], done["receipt"]["execution_kind"]) == (arn, "orchestrator")
    assert "RequestManualApproval ended with TaskSucceeded" in told.err
    key = f"{RECEIPTS}/{arn.rpartition(':')[2]}/drfsm_promote.json"
    left = json.loads(site.body(key))
    assert (left["execution_id"], left["receipt_prefix"]) == (arn, f"s3://{site.bucket}/{key.rpartition('/')[0]}")
    assert (left["operator"], left["ticket"], left["approved_plan"]) == ("bea", "CHG-1", digest)
    assert (left["instance_ids"], left["canonical_run_id"]) == ([runner_of(site)], ready.receipt["run_id"])
    assert left["journal"]["receipt_prefix"] == done["receipt"]["receipt_prefix"]
    assert token not in everything_left(site, tmp_path, *begun[1:], *shown[1:], *told[1:], text, str(left))
    assert command("replay", "--quiet").code == ExitCode.DONE


CLAIMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a machine that is none of DR's": ({"instance_id": "i-0123456789abcdef0"}, {}, "of DR's machines"),
    "a backup that is not there": ({"backup_uri": "s3://BUCKET/PREFIX/backups/none"}, {}, "no such backup"),
    "a phase that failed": ({}, {"status": "FAILED"}, "restore says that it ended as FAILED"),
    "two machines": ({}, {"instance_id": "i-0123456789abcdef0"}, "several of a machine"),
    "a receipt of another execution": ({}, {"execution_id": "another"}, "says that it is of the execution another"),
}


@pytest.mark.parametrize("case", list(CLAIMS))
def test_what_the_orchestrator_says_and_is_not_so_is_refused_before_anything_is_begun(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, tmp_path: Path, case: str
) -> None:
    """Refused, with what was seen in its place; no run was begun."""
    site = ready.site
    summary_says, receipt_says, words = CLAIMS[case]
    said = {
        name: text.replace("BUCKET", site.bucket).replace("PREFIX", site.prefix) for name, text in summary_says.items()
    }
    arn = restored(orchestra, site, summary=said)
    leave(site, arn, "restore", receipt_says)
    told = command(*promote(site, receipt, "--execution-arn", arn))
    assert told.code in (ExitCode.REFUSED, ExitCode.USAGE), told
    assert words in told.err, told
    assert not list((tmp_path / "home").rglob("*.log"))


HALVES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "an ARN that is none": (("--execution-arn", "e-1"), ExitCode.USAGE, "is no ARN"),
    "receipts without an execution": (("--receipts", "s3://b/p"), ExitCode.USAGE, "--execution-arn"),
    "an id beside an ARN": (("--execution-id", "x", "--execution-arn", "ARN"), ExitCode.USAGE, "exclude each other"),
    "an approval at once": (
        ("--execution-arn", "ARN", "--ticket", "CHG", "--plan", "0" * 64), ExitCode.USAGE, "drfsm approve --execution",
    ),
    "receipts in another bucket": (("--execution-arn", "ARN", "--receipts", "s3://b/p"), ExitCode.USAGE, "--receipts"),
    "an execution of another region": (("--execution-arn", "ELSEWHERE"), ExitCode.REFUSED, "of the region eu-west-1"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(HALVES))
def test_options_that_do_not_go_together_are_refused(
    orchestra: Orchestra, command: Typed, ready: Ready, receipt: str, case: str
) -> None:
    """The option that lacks, or is too much, is named."""
    options, code, words = HALVES[case]
    arn = restored(orchestra, ready.site)
    places = {"ARN": arn, "ELSEWHERE": arn.replace("us-east-1", "eu-west-1")}
    told = command(*promote(ready.site, receipt, *(places.get(word, word) for word in options)))
    assert (told.code, words in told.err) == (code, True), told
