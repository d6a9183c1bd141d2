"""A fence holds without the fenced: for a site that can't be drained, and for one that is lost for good."""

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drfsm.dr.layout import Layout
from drfsm.dr.sites.fence import ACTIONS, FACTS, judge_target
from drfsm.dr.sites.fence_statement import same, sid, statement
from drfsm.errors import GuardRefused, Unreadable
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
    assert "Cannot reach dr (connection refused): https://" in run.state.reason
    assert "declare_dr_lost" in run.next_actions
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
    assert (run.state.status, run.state.state) == ("held", "latest_switched"), run.words
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


ROLE, BUCKET = "arn:aws:iam::123456789012:role/publisher", "bucket"
INPUTS = {
    "workload": "",
    "bucket": BUCKET,
    "prefix": "jobintel",
    "candidate": "local",
    "fence_primary_role": ROLE,
    "fence_dr_role": "",
}
OURS = statement("primary", BUCKET, Layout("jobintel"), ROLE)


def changed(**parts: Any) -> dict[str, Any]:
    """Return our statement with some of its parts otherwise; None takes a part away."""
    return {name: value for name, value in {**OURS, **parts}.items() if value is not None}


SPELLINGS: dict[str, list[dict[str, Any]]] = {
    "as it was written": [OURS],
    "its keys in another order": [dict(reversed(OURS.items()))],
    "its actions in another order": [changed(Action=[*reversed(OURS["Action"])])],
    "its resources in another order": [changed(Resource=[*reversed(OURS["Resource"])])],
    "an action twice": [changed(Action=[*OURS["Action"], OURS["Action"][0]])],
    "the principal as an object": [changed(Principal={"AWS": "*"})],
    "the principal in a list": [changed(Principal={"AWS": ["*"]})],
    "the condition's value in a list": [changed(Condition={"ArnEquals": {"aws:PrincipalArn": [ROLE]}})],
    "twice the same": [OURS, OURS],
}
ALTERED: dict[str, list[dict[str, Any]]] = {
    "an action less": [changed(Action=OURS["Action"][:1])],
    "one action as a text": [changed(Action=OURS["Action"][0])],
    "another action": [changed(Action=["s3:PutObject", "s3:GetObject"])],
    "all but the actions": [changed(Action=None, NotAction=OURS["Action"])],
    "a resource less": [changed(Resource=OURS["Resource"][1:])],
    "a resource more": [changed(Resource=[*OURS["Resource"], f"arn:aws:s3:::{BUCKET}/*"])],
    "another bucket": [changed(Resource=[name.replace(BUCKET, "other") for name in OURS["Resource"]])],
    "allowed": [changed(Effect="Allow")],
    "one principal": [changed(Principal={"AWS": ROLE})],
    "a service as principal": [changed(Principal={"Service": "*"})],
    "no principal": [changed(Principal=None)],
    "no condition": [changed(Condition=None)],
    "another operator": [changed(Condition={"ArnLike": {"aws:PrincipalArn": ROLE}})],
    "an operator in another case": [changed(Condition={"arnequals": {"aws:PrincipalArn": ROLE}})],
    "another key": [changed(Condition={"ArnEquals": {"aws:SourceArn": ROLE}})],
    "another value": [changed(Condition={"ArnEquals": {"aws:PrincipalArn": f"{ROLE}s"}})],
    "a value more": [changed(Condition={"ArnEquals": {"aws:PrincipalArn": [ROLE, f"{ROLE}s"]}})],
    "a condition more": [changed(Condition={**OURS["Condition"], "Bool": {"aws:SecureTransport": "true"}})],
    "a condition of no shape": [changed(Condition=["ArnEquals"])],
    "another statement of our Sid beside it": [OURS, changed(Effect="Allow")],
}


class Policy:
    """A bucket's policy that is given back otherwise than it was written."""

    def __init__(self, raw: str | None) -> None:
        self.raw = raw

    def read(self) -> str | None:
        """Return it in another order and spelling, as AWS does."""
        if self.raw is None:
            return None
        policy = json.loads(self.raw)
        for entry in policy["Statement"]:
            for name in ("Action", "Resource"):
                values = entry[name] if isinstance(entry[name], list) else [entry[name]]
                entry[name] = values[0] if len(values) == 1 else sorted(values, reverse=True)
            entry["Principal"] = {"AWS": "*"} if entry["Principal"] == "*" else entry["Principal"]
        return json.dumps({"Statement": policy["Statement"][::-1], "Version": policy["Version"]})

    def write(self, policy: str | None) -> None:
        """Keep it."""
        self.raw = policy


def bare(raw: str | None, undoing: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """Return a world of nothing but a policy, and a run."""
    clock = SimpleNamespace(sleep=lambda _seconds: None)
    run = SimpleNamespace(inputs=INPUTS, clock=clock, undoing=undoing or {}, note=lambda _words: None)
    return SimpleNamespace(policy=Policy(raw)), run


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_fence_in_another_order_or_spelling_is_up(spelling: str) -> None:
    """Whatever AWS makes of it on the way back: the same policy is the same fence, also as it is observed."""
    statements = SPELLINGS[spelling]
    assert FACTS["primary_fence"].judge({"statements": statements}, INPUTS) == "up"
    world, run = bare(json.dumps({"Version": "2012-10-17", "Statement": [*FOREIGN, *statements]}))
    assert FACTS["primary_fence"].observe(world, run) == {"statements": [OURS]}


@pytest.mark.parametrize("alteration", ALTERED)
def test_a_fence_that_says_anything_else_is_foreign(alteration: str) -> None:
    """A really altered one is told apart, part by part."""
    assert FACTS["primary_fence"].judge({"statements": ALTERED[alteration]}, INPUTS) == "foreign"


def test_a_policy_that_comes_back_in_another_order_reads_as_it_was_written() -> None:
    """Raised, seen to be up, and lifted; the others' statements stay, and prove it by one digest."""
    world, run = bare(json.dumps({"Version": "2012-10-17", "Statement": FOREIGN}))
    raised = ACTIONS["raise_primary_fence"](world, run)
    seen = FACTS["primary_fence"].observe(world, run)
    assert FACTS["primary_fence"].judge(seen, INPUTS) == "up"
    lifted = ACTIONS["lift_primary_fence"](world, run)
    assert raised is not None
    assert lifted is not None
    assert (lifted["lifted"], lifted["other_statements"]) == (True, len(FOREIGN))
    assert raised["other_statements_sha256"] == lifted["other_statements_sha256"]
    assert FACTS["primary_fence"].observe(world, run) == {"statements": []}


OLDER: dict[str, Any] = {
    "Sid": sid("primary", "jobintel"),
    "Effect": "Deny",
    "Principal": "*",
    "Action": ["s3:PutObject", "s3:DeleteObject"],
    "Resource": [
        f"arn:aws:s3:::{BUCKET}/jobintel/{path}/*"
        for path in ("state", "latest", "candidates/*/state", "candidates/*/latest")
    ],
    "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}},
}
"""What 0.1.0 to 0.3.0 wrote, to the letter (tests/data/bundles has it from each of them)."""


def test_the_fence_of_an_older_version_is_up_is_made_todays_by_a_raise_and_is_lifted_whole() -> None:
    """Recognised in any spelling; raised again it denies what today's does; lifted, nothing of it is left."""
    world, run = bare(json.dumps({"Version": "2012-10-17", "Statement": [*FOREIGN, OLDER]}))
    seen = FACTS["primary_fence"].observe(world, run)
    assert seen == {"statements": [OLDER]}
    assert FACTS["primary_fence"].judge(seen, INPUTS) == "up"
    ACTIONS["raise_primary_fence"](world, run)
    assert FACTS["primary_fence"].observe(world, run) == {"statements": [OURS]}
    for policy in ([*FOREIGN, OLDER], [*FOREIGN, OLDER, OURS]):
        world, run = bare(json.dumps({"Version": "2012-10-17", "Statement": policy}))
        ACTIONS["lift_primary_fence"](world, run)
        assert FACTS["primary_fence"].observe(world, run) == {"statements": []}
        assert same(json.loads(world.policy.read())["Statement"], FOREIGN)


def test_an_undo_gives_an_older_fence_back_as_it_was() -> None:
    """A raise over it that is undone leaves the older one, to the letter: the undo is no upgrade."""
    world, run = bare(json.dumps({"Version": "2012-10-17", "Statement": [OLDER]}))
    before = FACTS["primary_fence"].observe(world, run)
    ACTIONS["raise_primary_fence"](world, run)
    run.undoing["primary_fence"] = before
    ACTIONS["lift_primary_fence"](world, run)
    assert FACTS["primary_fence"].observe(world, run) == before


@pytest.mark.parametrize(
    "alteration",
    [
        {"Action": ["s3:PutObject"]},
        {"Resource": OLDER["Resource"][1:]},
        {"Action": OURS["Action"]},
        {"Effect": "Allow"},
    ],
)
def test_an_older_fence_that_says_anything_else_is_foreign(alteration: dict[str, Any]) -> None:
    """An older one is recognised as a whole, not by its Sid."""
    assert FACTS["primary_fence"].judge({"statements": [{**OLDER, **alteration}]}, INPUTS) == "foreign"


@pytest.mark.parametrize(
    "raw",
    ["", "<html>", "[]", "{}", '{"Statement": "x"}', '{"Statement": ["x"]}', '{"Statement": [], "Statement": []}'],
)
def test_a_policy_that_is_none_is_unreadable(raw: str) -> None:
    """What is no policy is never "no fence"."""
    world, run = bare(None)
    world.policy.read = lambda: raw
    with pytest.raises(Unreadable):
        FACTS["primary_fence"].observe(world, run)


def test_whom_drfsm_is_must_be_told_before_anybody_is_fenced() -> None:
    """Where nobody tells, the one to be fenced could be drfsm itself: unknown, so the run holds."""
    seen = {"role": ROLE, "known": "untold", "other": "", "caller": "untold: STS does not answer"}
    assert judge_target(seen) is None
    assert judge_target({**seen, "caller": "arn:aws:iam::123456789012:user/operator"}) == "distinct"
