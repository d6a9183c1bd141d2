"""Whom a fence may be for, and that a policy's other statements are nobody's but their owners'. In memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.dr.sites import fence
from drfsm.dr.sites.fence import SETTLE_SECONDS, judge_target, principal
from drfsm.dr.sites.fence_statement import digest, same, sid, statement
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Conflict
from tests.dr.memory import BUCKET, INPUTS, Clock, MemoryPolicy, MemoryWorld, a_run

ACTIONS: Mapping[str, Any] = fence.ACTIONS
FACTS: Mapping[str, Any] = fence.FACTS
PROMOTE: Mapping[str, Any] = fence.PROMOTE
target: Any = fence.target
ROLES = {site: INPUTS[f"fence_{site}_role"] for site in ("primary", "dr")}
LAYOUT = terms_of(INPUTS).layout
OURS = statement("primary", BUCKET, LAYOUT, ROLES["primary"])
OTHER_PREFIX = {**OURS, "Sid": sid("primary", "another/prefix")}
OTHER_SITE = statement("dr", BUCKET, LAYOUT, ROLES["dr"])
STRANGERS: list[dict[str, Any]] = [
    {"Sid": "KeepOut", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::elsewhere/*"},
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::elsewhere/public/*"},
]
NEIGHBOURS = [OTHER_PREFIX, OTHER_SITE, *STRANGERS]


def world_of(*statements: dict[str, Any], **more: Any) -> MemoryWorld:
    """Return a world whose bucket has a policy of these statements, or none."""
    raw = json.dumps({"Version": "2012-10-17", "Id": "kept", "Statement": list(statements), **more})
    return MemoryWorld(policy=MemoryPolicy(raw if statements else None))


def statements(world: MemoryWorld) -> list[dict[str, Any]]:
    """Return the policy's statements."""
    return list(json.loads(world.policy.raw)["Statement"]) if world.policy.raw else []


def test_a_raise_and_a_lift_leave_every_neighbours_statement() -> None:
    """Another prefix's fence, the other site's, a stranger's, and one without a Sid: all stay, in their order."""
    world = world_of(*NEIGHBOURS)
    raised = ACTIONS["raise_primary_fence"](world, a_run())
    assert statements(world) == [*NEIGHBOURS, OURS]
    lifted = ACTIONS["lift_primary_fence"](world, a_run())
    assert statements(world) == NEIGHBOURS
    assert json.loads(world.policy.raw or "")["Id"] == "kept"
    kept = {"other_statements": len(NEIGHBOURS), "other_statements_sha256": digest(NEIGHBOURS)}
    assert raised == {"sid": sid("primary", "jobintel"), "role": ROLES["primary"], **kept}
    assert lifted == {"lifted": True, **kept}


def test_the_last_statement_takes_the_policy_with_it() -> None:
    """A policy without a statement is refused by S3: it is deleted."""
    world, clock = world_of(), Clock()
    ACTIONS["raise_dr_fence"](world, a_run(clock=clock))
    assert json.loads(world.policy.raw or "") == {"Version": "2012-10-17", "Statement": [OTHER_SITE]}
    assert clock.naps == []  # it was there at once
    ACTIONS["lift_dr_fence"](world, a_run())
    assert world.policy.raw is None


def test_what_is_lifted_already_is_not_written_again() -> None:
    """A policy has no compare-and-swap: each write that is not needed could replace somebody's."""
    world = world_of(*NEIGHBOURS)
    assert ACTIONS["lift_primary_fence"](world, a_run()) == {"lifted": False}
    assert world.policy.written == []


def test_an_undo_gives_back_the_statement_that_was_there() -> None:
    """An earlier run's, also one that is no fence of today."""
    earlier = {**OURS, "Action": ["s3:PutObject"]}
    world = world_of(*NEIGHBOURS, earlier)
    before = FACTS["primary_fence"].observe(world, a_run())
    ACTIONS["raise_primary_fence"](world, a_run())
    undone = ACTIONS["lift_primary_fence"](world, a_run(undoing={"primary_fence": before}))
    assert undone["lifted"]
    assert statements(world) == [*NEIGHBOURS, earlier]


def test_a_policy_that_settles_late_is_read_twice() -> None:
    """The service is eventually consistent: the first answer may be the old one."""
    world, clock = world_of(*NEIGHBOURS), Clock()
    before = world.policy.raw
    world.policy.answers = [before, before]  # what is read before the write, and right after it
    ACTIONS["raise_primary_fence"](world, a_run(clock=clock))
    assert clock.naps == [SETTLE_SECONDS]


def test_a_policy_that_is_not_what_was_written_is_a_conflict() -> None:
    """Another process writes it, too: nobody knows whether the fence stands."""
    world = world_of(*NEIGHBOURS)
    before = world.policy.raw
    world.policy.answers = [before, before, before]
    with pytest.raises(Conflict, match="differs from what was just written"):
        ACTIONS["raise_primary_fence"](world, a_run())


@pytest.mark.parametrize("role", ["", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:root"])
def test_a_raise_without_one_identity_writes_nothing(role: str) -> None:
    """A fence on a wildcard, an account or nobody would be on whoever fits."""
    world = world_of(*NEIGHBOURS)
    with pytest.raises(ActionFailed, match="can't be fenced"):
        ACTIONS["raise_primary_fence"](world, a_run(inputs={"fence_primary_role": role}))
    assert world.policy.written == []


# --- whom it may be for -----------------------------------------------------------------------------------

ROLE = "arn:aws:iam::123456789012:role/publisher"
SEEN = {
    "role": ROLE,
    "known": "present",
    "other": "arn:aws:iam::123456789012:role/other",
    "caller": "arn:aws:iam::1:user/x",
}


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ({}, "distinct"),
        ({"other": ""}, "distinct"),
        ({"known": "untold"}, "distinct"),
        ({"known": "absent"}, "unnamed"),
        ({"role": ""}, "unnamed"),
        ({"role": f"{ROLE}*"}, "unnamed"),
        ({"role": f"x{ROLE}"}, "unnamed"),
        ({"role": "arn:aws:iam::123456789012:group/publisher"}, "unnamed"),
        ({"other": ROLE}, "shared"),
        ({"other": "arn:aws:iam::123456789012:role/batch/publisher"}, "shared"),
        ({"other": "arn:aws:sts::123456789012:assumed-role/publisher/session"}, "shared"),
        ({"caller": ROLE}, "shared"),
        ({"caller": "arn:aws:sts::123456789012:assumed-role/publisher/me"}, "shared"),
        ({"other": "arn:aws:iam::123456789012:user/publisher"}, "distinct"),
        ({"other": "arn:aws:iam::210987654321:role/publisher"}, "distinct"),
        ({"caller": "untold: STS does not answer"}, None),
    ],
)
def test_a_fence_is_for_one_identity_that_nobody_else_uses(seen: dict[str, str], verdict: str | None) -> None:
    """Names are unique in an account whatever their path; a session is its role; who is not told may be anybody."""
    assert judge_target({**SEEN, **seen}) == verdict


@pytest.mark.parametrize(("other", "verdict"), [(SEEN["other"], "distinct"), ("", "unnamed"), ("arn:*", "unnamed")])
def test_in_a_promote_drs_identity_is_named_too(other: str, verdict: str) -> None:
    """Else nobody can tell that the two differ."""
    assert PROMOTE["primary_fence_target"].judge({**SEEN, "other": other}, INPUTS) == verdict


@pytest.mark.parametrize(("site", "other"), [("primary", "dr"), ("dr", "primary")])
def test_the_other_identity_is_the_other_sites(site: str, other: str) -> None:
    """Each site is held against the other one and against drfsm itself."""
    world = MemoryWorld()
    seen = target(world, terms_of(INPUTS), site)
    assert (seen["role"], seen["other"]) == (ROLES[site], ROLES[other])
    assert (seen["known"], seen["caller"]) == ("present", world.identity.caller())
    assert FACTS[f"{site}_fence_target"].observe(world, a_run()) == seen


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::1:assumed-role/x/y",
        "arn:aws:sts::1:federated-user/x",
        "assumed-role/x",
        "arn:aws:sts:::a:b:assumed-role/x",
    ],
)
def test_what_is_no_session_stays_as_it_is(arn: str) -> None:
    """Only an assumed role's session has a role behind it."""
    assert principal(arn) == arn


# --- whether a run may rely on it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "standing", "verdict"),
    [
        ({}, [], "yes"),
        ({"fence_primary": "asked"}, [OURS], "yes"),
        ({"fence_primary": "asked"}, [], "removed"),
        ({"primary_unreachable": "yes"}, [], "removed"),
        ({"primary_unreachable": "yes"}, [{**OURS, "Effect": "Allow"}], "removed"),
        ({"fence_dr": "asked"}, [], "yes"),
    ],
)
def test_a_fence_that_a_run_relies_on_must_stand(
    inputs: dict[str, str], standing: list[dict[str, Any]], verdict: str
) -> None:
    """Asked for, or in place of a site that can't be frozen: gone or altered, it is removed."""
    world, run = world_of(*standing, *STRANGERS), a_run(inputs=inputs)
    fact = FACTS["primary_fence_stands"]
    assert fact.judge(fact.observe(world, run), run.inputs) == verdict


RISK = {"primary_unreachable": "yes", "no_fence": "yes", "reason": "the region is gone"}


@pytest.mark.parametrize(
    ("inputs", "standing", "verdict", "stands"),
    [
        (RISK, [], "risked", "yes"),
        (RISK, [OURS], "up", "yes"),
        ({**RISK, "reason": " "}, [], "down", "removed"),
        ({**RISK, "no_fence": "no"}, [], "down", "removed"),
        ({**RISK, "primary_unreachable": "no"}, [], "down", "yes"),
    ],
)
def test_in_a_promote_a_person_may_take_the_risk_with_a_reason(
    inputs: dict[str, str], standing: list[dict[str, Any]], verdict: str, stands: str
) -> None:
    """Of a primary that is declared lost, and for a reason that is said; else it is down."""
    world, run = world_of(*standing, *STRANGERS), a_run(inputs=inputs)
    for name, wanted in (("primary_fence", verdict), ("primary_fence_stands", stands)):
        assert PROMOTE[name].judge(PROMOTE[name].observe(world, run), run.inputs) == wanted


def test_a_fence_of_one_site_is_not_the_others() -> None:
    """Each site's fact sees its own statement alone."""
    world = world_of(OTHER_SITE, OTHER_PREFIX)
    run: Run = a_run()
    verdicts = {
        site: FACTS[f"{site}_fence"].judge(FACTS[f"{site}_fence"].observe(world, run), run.inputs) for site in ROLES
    }
    assert verdicts == {"primary": "down", "dr": "up"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"NotAction": ["a", "b"]}, {"NotAction": ["b", "a"]}), ({"NotResource": ["a"]}, {"NotResource": "a"}),
        ({"NotPrincipal": {"AWS": ["x"]}}, {"NotPrincipal": {"AWS": "x"}}),
        ({"NotPrincipal": "*"}, {"NotPrincipal": {"AWS": "*"}}),
        ({"Condition": {"Bool": {"aws:X": True}}}, {"Condition": {"Bool": {"aws:X": "true"}}}),
        ({"Condition": {"X": {"k": [2, "a"]}}}, {"Condition": {"X": {"k": ["a", "2"]}}}),
    ],
)  # fmt: skip
def test_a_statement_says_the_same_in_each_spelling_that_aws_gives_it_back_in(one: Any, other: Any) -> None:
    """Order, lists of one, booleans and numbers as texts; each part is a set, and no part is left out."""
    assert same([one], [other])
    assert not same([one], [{**other, "Sid": "x"}])
    assert not same([one], [])


@pytest.mark.parametrize(
    ("role", "partition"),
    [("arn:aws-cn:iam::1:role/x", "aws-cn"), ("arn:aws:iam::1:role/x", "aws"), ("", "aws"), ("x:y:z", "aws")],
)
def test_a_fence_names_the_bucket_in_the_partition_of_the_role(role: str, partition: str) -> None:
    """A policy of China's regions takes no other ARN."""
    resources = statement("dr", BUCKET, LAYOUT, role)["Resource"]
    assert {resource.split(":s3:::")[0] for resource in resources} == {f"arn:{partition}"}
    assert f"arn:{partition}:s3:::{BUCKET}" in resources


def test_drs_fence_covers_validations_and_the_primarys_does_not() -> None:
    """The primary is validated while its fence is up; one that publishes with DR's identity is found then."""
    places = {site: statement(site, BUCKET, LAYOUT, ROLES[site])["Resource"] for site in ROLES}
    assert set(places["dr"]) - set(places["primary"]) == {f"arn:aws:s3:::{BUCKET}/jobintel/validations/*"}
    assert not set(places["primary"]) - set(places["dr"])


def test_nobody_is_asked_whether_an_identity_exists_that_names_none() -> None:
    """It is told as untold; drfsm itself is asked for all the same."""
    world = MemoryWorld()
    world.identity.known = lambda arn: pytest.fail(f"asked for {arn}")
    seen = target(world, terms_of({**INPUTS, "fence_dr_role": "arn:*"}), "dr")
    assert (seen["known"], seen["caller"]) == ("untold", world.identity.caller())
