"""An approval is of one plan of one run, by a name and a ticket: its judges, and the digest they hold. In memory."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from drfsm.dr.procedures import approval, approver
from drfsm.dr.procedures.approval import differences, digest, stop
from drfsm.dr.procedures.approver import SKEW_SECONDS, compared
from drfsm.dr.terms import terms_of
from drfsm.errors import ActionFailed, Unreachable, Unreadable, UsageFault
from drfsm.journal.replay import Actor
from tests.dr.memory import INPUTS, NOW, MemoryWorld, a_run

FACTS: Mapping[str, Any] = approval.FACTS
APPROVER: Mapping[str, Any] = approver.FACTS
NONCE = "n" * 32
PLAN: dict[str, Any] = {
    "schema_version": 2, "run": "promote-1", "nonce": NONCE, "bucket": "b", "prefix": "jobintel", "candidate": "local",
    "canonical_run": {"run_id": "r", "ended_at": "2026-01-01", "verdict": "verified", "tree_sha256": "0" * 64},
    "decides": "jobintel/state/x.json", "cluster_uid": "u",
    "pointers": {"jobintel/state/x.json": {"run_id": "old", "content": "1"}, "jobintel/state/y.json": None},
    "primary": {"stop": "by_freeze", "unreachable": False, "fence_role": None, "reason": None},
}  # fmt: skip
GIVEN = {"approved_plan": digest(PLAN), "approved_by": "ana", "ticket": "T-1", "plan_nonce": NONCE}


def judged(plan: dict[str, Any], fired_by: str | None = None, **given: str) -> str | None:
    """Return what an approval is judged over a plan as it is now."""
    seen = {"plan": plan, "sha256": digest(plan), "fired_by": fired_by}
    verdict: str | None = FACTS["approval"].judge(seen, {**INPUTS, **GIVEN, **given})
    return verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, "current"),
        ({"fired_by": "ana"}, "current"),
        ({"fired_by": " ana "}, "current"),
        ({"approved_plan": f" {digest(PLAN)} "}, "current"),
        ({"approved_plan": "0" * 64}, "stale"),
        ({"approved_plan": digest(PLAN)[:12]}, "stale"),
        ({"plan_nonce": "another run's"}, "stale"),
        ({"plan_nonce": ""}, "stale"),
        ({"approved_plan": ""}, "none"),
        ({"approved_by": ""}, "none"),
        ({"ticket": " "}, "none"),
        ({"fired_by": "bob"}, "none"),
        ({"fired_by": ""}, "none"),
    ],
)
def test_an_approval_is_current_for_its_own_plan_its_own_run_and_its_own_name(
    given: dict[str, str], verdict: str
) -> None:
    """Digest, name and ticket are all asked for; the nonce is this run's; whoever fires it is whom it names."""
    assert judged(PLAN, **given) == verdict


def test_the_digest_beside_a_plan_is_not_believed() -> None:
    """It is for readers: the plan itself is hashed."""
    seen = {"plan": {**PLAN, "bucket": "another"}, "sha256": digest(PLAN), "fired_by": None}
    assert FACTS["approval"].judge(seen, {**INPUTS, **GIVEN}) == "stale"


def paths(document: Any, where: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every leaf of a document."""
    if isinstance(document, dict):
        return [path for name, value in document.items() for path in paths(value, (*where, name))]
    return [where]


@pytest.mark.parametrize("path", paths(PLAN), ids=".".join)
def test_whatever_changes_in_a_plan_makes_its_approval_stale_and_is_told(path: tuple[str, ...]) -> None:
    """Leaf by leaf: no field is left out of the digest, nor of the words."""
    plan = deepcopy(PLAN)
    *before, last = path
    inner = plan
    for name in before:
        inner = inner[name]
    inner[last] = {"run_id": "new", "content": "2"} if inner[last] is None else "otherwise"
    assert judged(plan) == "stale"
    (words,) = differences(PLAN, plan)
    assert (path[1].removeprefix("jobintel/") if path[0] == "pointers" and path[1:] else ".".join(path)) in words


def test_a_plan_that_stays_has_no_differences() -> None:
    """And the order of its fields is none."""
    both = {**PLAN, "bucket": "c", "pointers": {key: {"run_id": "new"} for key in reversed(PLAN["pointers"])}}
    told = [words.partition(":")[0] for words in differences(PLAN, both)]
    assert told == ["pointers state/x.json", "pointers state/y.json", "bucket"]
    turned = dict(reversed(deepcopy(PLAN).items()))
    assert list(differences(PLAN, turned)) == []
    assert digest(turned) == digest(PLAN)


ROLES = {name: INPUTS[name] for name in ("fence_primary_role", "fence_dr_role")}


@pytest.mark.parametrize(
    ("inputs", "how"),
    [
        ({}, "by_freeze"),
        ({"fence_primary": "asked"}, "by_fence"),
        ({"fence_primary": "asked", "no_fence": "yes"}, "by_fence"),
        ({"fence_primary": "asked", "fence_dr_role": ""}, "unclear"),
        ({"fence_primary": "asked", "fence_primary_role": "nobody"}, "unclear"),
        ({"primary_unreachable": "yes"}, "by_fence"),
        ({"primary_unreachable": "yes", "fence_dr_role": ""}, "unclear"),
        ({"primary_unreachable": "yes", "no_fence": "yes"}, "unclear"),
        ({"primary_unreachable": "yes", "no_fence": "yes", "reason": "gone"}, "by_risk"),
        ({"no_fence": "yes", "reason": "gone"}, "by_freeze"),
    ],
)
def test_how_the_primary_is_stopped_is_decided_by_the_inputs_alone(inputs: dict[str, str], how: str) -> None:
    """A lost one is fenced, or a person takes the risk with a reason; a fence needs both identities."""
    assert stop(terms_of({**INPUTS, **inputs})) == how
    seen = FACTS["primary_stop"].observe(MemoryWorld(), a_run(inputs=inputs))
    assert FACTS["primary_stop"].judge(seen, {}) == how


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (None, "yes"),
        (ActionFailed("forbidden"), "yes"),
        (Unreachable("no route"), "no"),
        (UsageFault("no kubeconfig"), "no"),
        (Unreadable("another cluster"), None),
    ],
)
def test_only_silence_of_the_primary_is_no_answer(fault: Exception | None, verdict: str | None) -> None:
    """A refusal is an answer; who answers and is not the primary leaves it unknown."""
    world, asked = MemoryWorld(), list[tuple[str, ...]]()

    def get(*what: str) -> None:
        asked.append(what)
        if fault:
            raise fault

    world.site("primary").get = get  # type: ignore[assignment,method-assign]
    fact = FACTS["primary_answers"]
    if verdict is None:
        with pytest.raises(Unreadable):
            fact.observe(world, a_run())
    else:
        seen = fact.observe(world, a_run())
        assert fact.judge(seen, {}) == verdict
        assert seen["why"] == (getattr(fault, "what", "its namespace kube-system was read"))
    assert asked == [("Namespace", "", "kube-system")]


# --- how old, and whose -----------------------------------------------------------------------------------

AT = "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("approved_at", "hours", "now", "verdict"),
    [
        (AT, "24", "2026-01-02T12:00:00+00:00", "in_time"),
        (AT, "24", "2026-01-02T12:00:01+00:00", "expired"),
        (AT, "0.5", "2026-01-01T12:30:00+00:00", "in_time"),
        (AT, "0.5", "2026-01-01T12:30:01+00:00", "expired"),
        (AT, "24", "2026-01-01T11:55:00+00:00", "in_time"),
        (AT, "24", "2026-01-01T11:54:59+00:00", "unclear"),
        ("", "24", AT, "unclear"),
        (AT, "24", None, "unclear"),
        (AT, "", AT, "unclear"),
        (AT, "0", AT, "unclear"),
        (AT, "-1", AT, "unclear"),
        (AT, "nan", AT, "unclear"),
        (AT, "inf", AT, "unclear"),
    ],
)
def test_an_approval_expires_by_the_stores_clock(approved_at: str, hours: str, now: str | None, verdict: str) -> None:
    """To the second; from the future by more than two servers' difference, or without a limit, it is unclear."""
    assert SKEW_SECONDS == 300
    seen = {"stop_begun": False, "store_time": now}
    inputs = {"approved_at": approved_at, "approval_expires": hours}
    assert APPROVER["approval_age"].judge(seen, inputs) == verdict
    assert APPROVER["approval_age"].judge({**seen, "stop_begun": True}, inputs) == "in_time"


@pytest.mark.parametrize(
    ("approved_at", "words"),
    [
        ("2026-03-01T11:01:00+00:00", "approved 59 minutes ago"),
        ("2026-03-01T11:00:00+00:00", "approved 1.0 hours ago"),
        ("2026-02-28T12:00:00+00:00", "approved 24.0 hours ago"), ("", "the time of the approval is not on record"),
    ],
)  # fmt: skip
def test_the_age_of_an_approval_is_told_by_the_stores_clock(approved_at: str, words: str) -> None:
    """A store that has not answered yet is asked; one that has no clock leaves it unknown."""
    run = a_run(trigger="approve", inputs={"approved_at": approved_at, "approval_expires": "24"})
    world, asked = MemoryWorld(), list[str]()
    world.store.time = None

    def stat(key: str) -> None:
        asked.append(key)
        world.store.time = NOW

    world.store.stat = stat  # type: ignore[method-assign]
    seen = APPROVER["approval_age"].observe(world, run)
    assert (seen["says"].startswith(words), seen["store_time"]) == (True, "2026-03-01T12:00:00+00:00")
    assert APPROVER["approval_age"].observe(world, run) == seen
    assert asked == ["jobintel/drfsm/ownership.json"]
    world.store.time, world.store.stat = None, lambda _key: None  # type: ignore[assignment,method-assign]
    with pytest.raises(Unreadable, match="no Date header"):
        APPROVER["approval_age"].observe(world, run)


@pytest.mark.parametrize(
    ("trigger", "fences", "intended", "begun"),
    [
        ("approve", False, False, False), ("fence_primary", True, False, False), ("fence_primary", True, True, True),
        ("leave_primary_unfenced", False, False, False), ("accept_unfenced_primary", False, False, False),
        ("freeze_primary", False, False, False), ("freeze_primary", False, True, True),
        ("freeze_primary", True, False, True), ("silence_primary", False, False, True),
        ("switch_global_pointer", True, False, True),
    ],
)  # fmt: skip
def test_the_primarys_stop_begins_with_its_first_intent(
    trigger: str, fences: bool, intended: bool, begun: bool
) -> None:
    """Its fence's or, without one, its freeze's: before that an approval ages, after it no more."""
    run = a_run(
        trigger=trigger, first_seen={"x": 1} if intended else {},
        inputs={"fence_primary": "asked" if fences else "none", "approved_at": AT, "approval_expires": "24"},
    )  # fmt: skip
    seen = APPROVER["approval_age"].observe(MemoryWorld(), run)
    assert (seen["stop_begun"], seen["store_time"] is None) == (begun, begun)


@pytest.mark.parametrize(
    ("starter", "other", "proof", "verdict"),
    [
        ({"cloud_caller": "a"}, {"cloud_caller": "b"}, "cloud_caller", "another"),
        ({"cloud_caller": "a"}, {"cloud_caller": "a", "os_user": {"uid": 2, "host": "h"}}, "cloud_caller", "same"),
        ({"cloud_caller": "a"}, {"cluster_users": {"dr": "u"}}, "cloud_caller", "unclear"),
        ({"cloud_caller": "a", "os_user": {"uid": 1}}, {"os_user": {"uid": 2}}, "cloud_caller", "unclear"),
        ({"cluster_users": {"dr": "u"}, "os_user": {"uid": 1}}, {"os_user": {"uid": 2}}, "cluster_users", "unclear"),
        ({"cloud_caller": 1, "cluster_users": {"dr": "u"}}, {"cluster_users": {"dr": "v"}}, "cluster_users", "another"),
        ({"cluster_users": {"dr": "u", "primary": "w"}}, {"cluster_users": {"primary": "w"}}, "cluster_users", "same"),
        ({"cluster_users": {"dr": "u"}}, {"cluster_users": {"primary": "u"}}, "cluster_users", "another"),
        ({"os_user": {"uid": 1, "host": "h"}}, {"os_user": {"uid": 1, "host": "h"}}, "os_user", "same"),
        ({"os_user": {"uid": 1, "host": "h"}}, {"os_user": {"uid": 1, "host": "i"}}, "os_user", "another"),
        ({"os_user": {"uid": 1, "host": "h"}}, {}, "os_user", "unclear"),
        ({}, {"cloud_caller": "b"}, "name", "another"),
    ],
)  # fmt: skip
def test_two_people_differ_by_the_starters_strongest_proof(
    starter: dict[str, Any], other: dict[str, Any], proof: str, verdict: str
) -> None:
    """A weaker proof, and a name, count only where the starter has none that is stronger."""
    first, second = {"operator": "ana", "proven": starter}, {"operator": "bob", "proven": other}
    assert compared(first, second) == (proof, verdict)


@pytest.mark.parametrize(
    ("names", "verdict"),
    [(("ana", "bob"), "another"), (("ana", " ana"), "same"), (("", "bob"), "unclear"), (("ana", ""), "unclear")],
)
def test_without_any_proof_two_people_differ_by_name(names: tuple[str, str], verdict: str) -> None:
    """An empty name is nobody's."""
    starter, other = ({"operator": name, "proven": {}} for name in names)
    assert compared(starter, other) == ("name", verdict)
    seen = {"starter": starter, "approver": other}
    assert APPROVER["approver"].judge(seen, {"approval_distinct": "yes"}) == verdict
    assert APPROVER["approver"].judge(seen, {"approval_distinct": "no"}) == "not_asked"


OS_USER = {"uid": 1, "name": "ana", "host": "h"}


@pytest.mark.parametrize(
    ("trigger", "recorded", "approver"),
    [
        ("approve", {"cloud_caller": "old"}, {"cloud_caller": "mine", "os_user": OS_USER}),
        ("capture_pointers", {"cloud_caller": "old"}, {"cloud_caller": "old"}),
        ("capture_pointers", None, {}),
    ],
)
def test_who_approves_is_proven_in_the_row_itself_and_read_again_later(
    trigger: str, recorded: dict[str, Any] | None, approver: dict[str, Any]
) -> None:
    """By the process that fires it, then by what that process recorded; whoever resumes the run is not asked."""
    starter = Actor("started", AT, "ana", "h", {"cloud_caller": "starter"})
    args = {"approve": {"proven": recorded}} if recorded else {}
    run = a_run(
        trigger=trigger, args=args, starter=starter, proven={"cloud_caller": "mine", "os_user": OS_USER},
        inputs={"approval_distinct": "yes", "approved_by": "bob"},
    )  # fmt: skip
    seen = APPROVER["approver"].observe(MemoryWorld(), run)
    assert seen["starter"] == {"operator": "ana", "proven": {"cloud_caller": "starter"}}
    assert seen["approver"] == {"operator": "bob", "proven": approver}
    assert (seen["asked_for_two_people"], seen["compared_by"]) == ("yes", "cloud_caller")


def test_a_run_whose_starter_is_not_on_record_proves_nothing_of_him() -> None:
    """An older version's: then the names decide."""
    run = a_run(trigger="x", inputs={"approval_distinct": "no", "approved_by": "bob"})
    seen = APPROVER["approver"].observe(MemoryWorld(), run)
    assert seen["starter"] == {"operator": "", "proven": {}}
    assert (seen["asked_for_two_people"], seen["compared_by"]) == ("no", "name")
