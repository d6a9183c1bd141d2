"""A fence holds without the fenced: for a site that can't be drained, and for one that is lost for good."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drfsm.dr.fence import sid
from drfsm.errors import GuardRefused
from drfsm.sandbox.cloud import Identity
from drfsm.sandbox.seed import CRONJOB, SECRET
from tests.safety.conftest import Make
from tests.safety.world import Failback, Killed, Site, refused_with, soon

STRAGGLER = "2027-01-01T00:00:00.000001+00:00"
FOREIGN: list[dict[str, Any]] = [
    {"Sid": "KeepOut", "Effect": "Deny", "Principal": {"AWS": ["arn:aws:iam::123456789012:user/mallory"]},
     "Action": "s3:*", "Resource": ["arn:aws:s3:::elsewhere/*"]},
    {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::elsewhere/public/*"},
]  # fmt: skip


def asked(site: Site, which: str) -> dict[str, str]:
    """Return the inputs that ask for a site's fence."""
    return {f"fence_{which}": "asked", f"fence_{which}_role": site.role(which)}


def killed() -> None:
    """Cut the power."""
    raise Killed


def writes_as(site: Site, which: str, key: str) -> bool:
    """Return whether a site's identity may write a key."""
    data = site.cluster(which).store.get("secrets", "jobintel", SECRET)["data"]
    key_id, secret = (base64.b64decode(data[name]).decode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    s3 = site.sandbox.cloud.client("s3", Identity("", key_id, secret))
    try:
        s3.put_object(Bucket=site.bucket, Key=key, Body=b"probe")
    except ClientError as refused:
        return bool(refused.response["Error"]["Code"] != "AccessDenied")
    return True


def test_the_fenced_primary_is_really_denied_and_drfsm_is_not_until_the_switch_is_done(
    site: Site, failback: Make
) -> None:
    """While fenced it writes no pointer and no latest of any layout, only beside; afterwards it publishes."""
    site.policy({"Version": "2012-10-17", "Statement": FOREIGN})
    run = failback(soak="now", **asked(site, "primary"))
    before = site.everything(f"{site.prefix}/state/")
    seen: dict[str, bool] = {}

    def probe() -> None:
        for key in (
            "state/last_success.json", "state/candidates/local/openai/cs/last_success.json", "latest/openai/cs/x.json",
            "candidates/other/state/x.json", "candidates/other/latest/x.json",
            "runs/probe/x.json", f"validations/{run.id}/state/probe.json",
        ):  # fmt: skip
            seen[key] = writes_as(site, "primary", f"{site.prefix}/{key}")
        seen["dr"] = writes_as(site, "dr", f"{site.prefix}/latest/probe.json")

    run.when("commit", "freeze_primary", probe)
    statements: list[Any] = []
    run.when("commit", "switch_global_pointer", lambda: statements.extend(site.statements()))
    run.start()
    assert run.state.status == "complete", run.words
    assert [key for key, may in seen.items() if may] == [
        "runs/probe/x.json", f"validations/{run.id}/state/probe.json", "dr"
    ]  # fmt: skip
    assert [each.get("Sid") for each in statements] == ["KeepOut", None, sid("primary", "jobintel")]
    assert site.statements() == FOREIGN
    assert site.everything(f"{site.prefix}/state/") != before
    assert (
        run.results("fence_primary")["other_statements_sha256"]
        == (run.results("unfence_primary")["other_statements_sha256"])
    )


@pytest.mark.parametrize(
    ("role", "other"),
    [
        ("arn:aws:iam::123456789012:role/batch/jobintel", "arn:aws:iam::123456789012:role/jobintel"),
        ("arn:aws:iam::123456789012:role/jobintel", "arn:aws:sts::123456789012:assumed-role/jobintel/session"),
        ("arn:aws:iam::123456789012:role/*", ""),
        ("arn:aws:iam::123456789012:root", ""),
        ("arn:aws:sts::000000000000:assumed-role/x/y", ""),
        ("own", ""),
        ("", ""),
        ("mistyped", ""),
    ],
    ids=[
        "same name, other path",
        "a session of it",
        "wildcard",
        "account",
        "session",
        "drfsm's own",
        "nobody",
        "nobody that there is",
    ],
)
def test_a_fence_on_anything_but_one_foreign_identity_is_refused_in_preflight(
    site: Site, failback: Make, role: str, other: str
) -> None:
    """Shared with the other site or with drfsm, a wildcard, no identity at all: refused before anything moves."""
    own = site.sandbox.cloud.client("sts").get_caller_identity()["Arn"]
    named = {"own": own, "mistyped": site.role("dr")[:-1] + "x"}.get(role, role)
    run = failback(fence_dr="asked", fence_dr_role=named, fence_primary_role=other)
    before = site.touchable("primary")
    run.start()
    assert run.state.status == "refused", run.words
    assert "the identity to fence on dr" in run.state.reason
    assert (site.touchable("primary"), site.statements()) == (before, [])


def test_a_primary_that_shares_drs_identity_is_found_when_it_is_validated(site: Site, failback: Make) -> None:
    """Nobody named the primary's identity, and it is DR's: the fence denies its validation, before the switch."""
    store = site.cluster("dr").store
    shared = store.get("secrets", "jobintel", SECRET)["data"]
    own = site.cluster("primary").store.get("secrets", "jobintel", SECRET)
    site.cluster("primary").apply({**own, "data": shared})
    try:
        run = failback(**asked(site, "dr"))
        run.start()
        assert (run.state.status, run.state.state) == ("held", "validation_started"), run.words
        assert any("AccessDenied" in line for line in run.seen("validation_result")["log"])
        run.abort()
        assert run.state.status == "aborted", run.words
    finally:
        site.cluster("primary").apply(own)
    assert site.statements() == []


def test_an_abort_gives_back_the_fence_that_was_there_and_keeps_foreign_statements(site: Site, failback: Make) -> None:
    """A statement of ours that an earlier run left is restored to the letter; others that appeared since are kept."""
    left = {"Sid": sid("dr", "jobintel"), "Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"],
            "Resource": ["arn:aws:s3:::x/state/*"],
            "Condition": {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/old"}}}  # fmt: skip
    site.policy({"Version": "2012-10-17", "Id": "ours", "Statement": [*FOREIGN, left]})
    run = failback(**asked(site, "dr"))
    run.stop_after("fence_dr")
    run.start()
    (mine,) = [each for each in site.statements() if each.get("Sid") == sid("dr", "jobintel")]
    assert mine["Condition"] == {"ArnEquals": {"aws:PrincipalArn": site.role("dr")}}
    newcomer = {**FOREIGN[1], "Sid": "Newcomer"}
    site.policy({"Version": "2012-10-17", "Id": "ours", "Statement": [*FOREIGN, newcomer, mine]})
    run.abort()
    assert run.state.status == "aborted", run.words
    policy = json.loads(site.s3.get_bucket_policy(Bucket=site.bucket)["Policy"])
    assert policy == {"Version": "2012-10-17", "Id": "ours", "Statement": [*FOREIGN, newcomer, left]}


# --- DR is lost --------------------------------------------------------------------------------------------------


def out(site: Site) -> None:
    """Lose DR for good."""
    site.outage("dr")


LOST_AFTER = [
    ("freeze_dr", "dr_frozen"),
    ("demote_dr", "dr_demoted"),
    ("capture_pointers", "primary_healthy"),
    ("confirm_no_divergence", "no_divergence_confirmed"),
    ("enable_primary_publish", "primary_publish_enabled"),
    ("switch_provider_pointers", "provider_switched"),
]


@pytest.mark.parametrize(("after", "held_in"), LOST_AFTER)
def test_a_dr_that_is_lost_in_the_middle_holds_and_declared_lost_is_fenced(
    site: Site, failback: Make, after: str, held_in: str
) -> None:
    """It holds; a person declares it lost, its identity is fenced, and the failback completes without it."""
    run = failback(drain_timeout=5)
    run.when("commit", after, lambda: out(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", held_in), run.words
    assert "dr does not answer" in run.state.reason
    assert "declare_dr_lost" in run.ways
    refused_with(
        lambda: run.request("declare_dr_lost", dr_unreachable="yes", fence_dr_role="arn:aws:iam::123456789012:role/*"),
        GuardRefused,
    )
    run.request("declare_dr_lost", dr_unreachable="yes", reason="the region is gone", fence_dr_role=site.role("dr"))
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}
    assert [each["Sid"] for each in site.statements()] == [sid("dr", "jobintel")]
    assert not writes_as(site, "dr", f"{site.prefix}/state/last_success.json")
    assert site.owner() == "primary"
    (decision,) = [each for each in run.summary["decisions"] if each["what"] == "declare_dr_lost"]
    assert decision["reason"] == "the region is gone"


def test_that_nobody_can_publish_is_still_said_when_dr_is_lost(site: Site, failback: Make) -> None:
    """What was frozen before the site was lost is frozen still, as far as anybody knows."""
    run = failback(drain_timeout=5)
    run.when("commit", "demote_dr", lambda: out(site))
    run.start()
    assert "NOBODY CAN PUBLISH, since" in run.words


def test_a_dr_that_is_lost_after_the_switch_stays_fenced_and_the_run_ends(site: Site, failback: Make) -> None:
    """Past the point of no return there is a way too: DR is fenced for good, and the primary publishes."""
    run = failback()
    run.when("commit", "switch_latest", lambda: out(site))
    run.start()
    assert (run.state.status, run.state.state) == ("held", "primary_unfenced"), run.words
    run.request("declare_dr_lost", dr_unreachable="yes", fence_dr_role=site.role("dr"))
    assert run.state.status == "complete", run.words
    assert [each["Sid"] for each in site.statements()] == [sid("dr", "jobintel")]


def test_a_dr_that_is_lost_from_the_start_is_fenced_instead_of_frozen(site: Site, failback: Make) -> None:
    """Never asked, recorded as not evaluated; what still runs there is denied every pointer, and that is said."""
    site.work("dr", "ghost", STRAGGLER, SANDBOX_WAIT_FOR_BEFORE_POINTERS="gate/ghost")
    out(site)
    run = failback(dr_unreachable="yes", reason="the region is gone", fence_dr_role=site.role("dr"))
    words: list[str] = []

    def look() -> None:
        words.append(run.words)
        site.release("ghost")
        soon("the ghost has tried", lambda: "AccessDenied" in site.log("dr", "ghost"))

    run.when("commit", "capture_pointers", look)
    run.start()
    assert run.state.status == "complete", run.words
    assert site.named() == {run.primary_run_id}
    assert "NOBODY CAN PUBLISH, DR being fenced, since" in words[0]
    assert "DR's identity is fenced: it can move no pointer" in run.words
    assert {site for site, *_ in run.asked} == {"primary"}
    assert run.results("run_preflight")["clusters"]["dr"] == "not evaluated: declared lost"
    site.outage("dr", on=False)
    assert site.schedules("dr")[CRONJOB] == (False, None)  # nobody could freeze it: only the fence holds


def _declared(site: Site, run: Failback) -> None:
    run.request("declare_dr_lost", dr_unreachable="yes", fence_dr_role=site.role("dr"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_in_the_middle_of_the_declaration_is_aborted_cleanly(site: Site, failback: Make, moment: str) -> None:
    """Killed just before or just after the policy was written, an abort ends as declared: no fence of ours is left."""
    dr = site.touchable("dr")
    run = failback(drain_timeout=5)
    run.stop_after("freeze_dr")
    run.start()
    run.on(moment, "policy", "write", "", killed)
    run.killed(lambda: _declared(site, run))
    assert len(site.statements()) == (moment == "after")
    run.abort()
    assert run.state.status == "aborted", run.words
    assert (site.statements(), site.touchable("dr")) == ([], dr)
