"""The plan that an operator approves, as it is read from the world, in words, and against an earlier one: in memory."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drfsm.dr import workload
from drfsm.dr.procedures import approval
from drfsm.dr.procedures.approval import canonical_now, digest, in_words
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from tests.dr.memory import DR_RUN, INPUTS, PRIMARY_RUN, RUN, MemoryWorld, a_run
from tests.dr.test_pointer_moves import GLOBAL, LAYOUT, PROVIDER, STRANGER, lay, pointer

FACTS: Mapping[str, Any] = approval.FACTS
plan: Any = approval.plan
ASKED: Mapping[str, Any] = {
    "taker": "dr", "validation": "own", "validation_receipt": "", "plan_nonce": "n", "plan_run": "",
    "approved_plan": "", "approved_by": "ana", "ticket": "T-1", "allow_older": "no", "comparison_profile": "",
}  # fmt: skip
BESIDE = terms_of({**INPUTS, **ASKED}).staged(RUN)
FILE = "openai/cs/openai_ranked_jobs.cs.json"


def world_of() -> MemoryWorld:
    """Return a world whose pointers name the primary's run, and whose validated DR run lies beside."""
    world = MemoryWorld()
    for key in (*GLOBAL, *PROVIDER):
        lay(world, key, pointer(PRIMARY_RUN))
    lay(world, BESIDE.global_pointers()[0], pointer(DR_RUN, "2026-02-27T01:00:00+00:00"))
    for home in (BESIDE.run(DR_RUN), BESIDE.latest(), LAYOUT.run(PRIMARY_RUN)):
        world.store.lay(f"{home}/{FILE}", b"[]")
    return world


def asked(*, trigger: str = "approve", args: Mapping[str, Any] | None = None, **inputs: Any) -> Run:
    """Return a run of a promote."""
    return a_run(trigger=trigger, args=args or {}, inputs={**ASKED, **inputs})


def test_a_plan_names_the_run_the_place_the_pointers_and_the_primarys_stop() -> None:
    """All that is to be approved, as it is now."""
    world = world_of()
    shown = plan(world, asked())
    assert (shown["schema_version"], shown["run"], shown["nonce"]) == (2, RUN, "n")
    assert (shown["bucket"], shown["prefix"], shown["candidate"]) == ("b", "jobintel", "local")
    run = shown["canonical_run"]
    assert (run["run_id"], run["ended_at"], run["verdict"]) == (DR_RUN, "2026-02-27T01:00:00+00:00", "verified")
    assert (run["level"], run["artifacts"], run["staged"]) == ("observed", 1, f"s3://b/{BESIDE.run(DR_RUN)}")
    assert (shown["cluster_uid"], shown["decides"]) == ("uid-dr", GLOBAL[0])
    assert {key: each["run_id"] for key, each in shown["pointers"].items()} == dict.fromkeys(
        (*GLOBAL, *PROVIDER), PRIMARY_RUN
    )
    assert canonical_now(shown) == PRIMARY_RUN
    assert shown["primary"] == {"stop": "by_freeze", "unreachable": False, "fence_role": None, "reason": None}
    assert "compared" not in shown  # a run that an older version began compares none
    assert "workload" not in shown


CHANGES: dict[str, Callable[[MemoryWorld], object]] = {
    "an artifact": lambda world: world.store.lay(f"{BESIDE.run(DR_RUN)}/{FILE}", b"[1]"),
    "one more artifact": lambda world: world.store.lay(f"{BESIDE.run(DR_RUN)}/openai/cs/x.json", b""),
    "the validation's latest": lambda world: world.store.lay(f"{BESIDE.latest()}/{FILE}", b"[1]"),
    "the run's end": lambda world: lay(
        world, BESIDE.global_pointers()[0], pointer(DR_RUN, "2026-02-27T02:00:00+00:00")
    ),
    "the deciding pointer": lambda world: lay(world, GLOBAL[0], pointer(STRANGER)),
    "a provider pointer": lambda world: lay(world, PROVIDER[0], pointer(STRANGER)),
    "another field of a pointer": lambda world: lay(world, GLOBAL[1], pointer(PRIMARY_RUN, image="other")),
    "a pointer that is gone": lambda world: world.store.delete(PROVIDER[1]),
    "the cluster": lambda world: setattr(world.site("dr"), "uid", lambda: "another"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_the_world_changes_the_digest(change: str) -> None:
    """And the same content written again does not: ETags are no part of it."""
    world = world_of()
    before = digest(plan(world, asked()))
    lay(world, GLOBAL[0], pointer(PRIMARY_RUN))
    assert digest(plan(world, asked())) == before
    CHANGES[change](world)
    assert digest(plan(world, asked())) != before


@pytest.mark.parametrize(
    "inputs",
    [
        {"plan_nonce": "m"}, {"fence_primary": "asked"}, {"primary_unreachable": "yes", "reason": "gone"},
        {"validation": "receipt", "validation_receipt": '{"validated_at": "2026-01-01T00:00:00Z"}'},
    ],
)  # fmt: skip
def test_whatever_the_operator_asks_for_changes_the_digest(inputs: dict[str, Any]) -> None:
    """A plan of another run, or with another stop of the primary, is another plan."""
    assert digest(plan(world_of(), asked(**inputs))) != digest(plan(world_of(), asked()))


def test_a_plan_of_a_dry_run_is_of_the_start_that_it_reserves() -> None:
    """A real run's is its own; without a nonce it is as 0.1.0 made it, and names none."""
    world = world_of()
    run = a_run(dry_run=True, inputs={**ASKED, "plan_run": "promote-7"})
    assert plan(world, run)["run"] == "promote-7"
    assert plan(world, a_run(inputs={**ASKED, "plan_run": "promote-7"}))["run"] == RUN
    assert plan(world, a_run(dry_run=True, inputs=ASKED))["run"] == RUN
    old = plan(world, asked(plan_nonce=""))
    assert (old["schema_version"], "run" in old, "nonce" in old) == (1, False, False)


def test_a_plan_says_how_the_primary_is_fenced_or_why_it_is_not() -> None:
    """The role where it is, the reason where it is declared lost."""
    fenced = plan(world_of(), asked(fence_primary="asked"))["primary"]
    assert (fenced["stop"], fenced["fence_role"], fenced["reason"]) == ("by_fence", INPUTS["fence_primary_role"], None)
    lost = plan(world_of(), asked(primary_unreachable="yes", no_fence="yes", reason="gone"))["primary"]
    assert (lost["stop"], lost["unreachable"], lost["fence_role"], lost["reason"]) == ("by_risk", True, None, "gone")


def test_a_plan_by_a_receipt_names_its_digest_and_its_time() -> None:
    """The receipt that was handed in is part of what is approved; a run's own validation has none."""
    receipt = '{"validated_at": "2026-01-01T00:00:00Z"}'
    shown = plan(world_of(), asked(validation="receipt", validation_receipt=receipt))["validated_by"]
    digest_of_receipt = hashlib.sha256(receipt.encode()).hexdigest()
    assert shown == {
        "how": "receipt", "receipt_sha256": digest_of_receipt, "validated_at": "2026-01-01T00:00:00Z"
    }  # fmt: skip
    own = plan(world_of(), asked())["validated_by"]
    assert own == {"how": "own", "receipt_sha256": None, "validated_at": None}


def test_a_plan_of_a_run_that_lacks_what_the_contract_requires_says_so() -> None:
    """Of the operator's pair, whatever the run has."""
    contract = workload.canonical(workload.shipped())
    assert plan(world_of(), asked(workload=contract))["canonical_run"]["verdict"] == "missing"
    whole = world_of()
    for path in workload.shipped().required(("openai", "cs")):
        whole.store.lay(f"{BESIDE.run(DR_RUN)}/{path}", b"x")
    for provider, verdict in (("openai", "verified"), ("x", "missing")):
        run = asked(workload=contract, provider=provider)
        assert plan(whole, run)["canonical_run"]["verdict"] == verdict
    world = world_of()
    world.store.delete(f"{BESIDE.latest()}/{FILE}")
    assert (
        plan(world, asked())["canonical_run"]["latest_sha256"]
        != plan(world_of(), asked())["canonical_run"]["latest_sha256"]
    )


def test_a_rehearsals_plan_compares_with_the_run_that_it_rehearses_with() -> None:
    """The canonical run lies in its own place, which the rehearsal does not touch."""
    contract, world = workload.canonical(workload.legacy()), world_of()
    inputs: dict[str, Any] = {"workload": contract, "target": "drill", "rehearses": "canonical/prefix", "taker": "dr"}
    world.store.lay(f"canonical/prefix/runs/{PRIMARY_RUN}/{FILE}", b"[]")
    lay(world, GLOBAL[0], pointer(STRANGER))
    world.store.delete(f"{LAYOUT.run(PRIMARY_RUN)}/{FILE}")
    shown = plan(world, asked(**inputs))["compared"]
    assert (shown["with"], shown["incomparable"], shown["integrity"]) == (PRIMARY_RUN, "", 0)
    assert len(shown["profile_sha256"]) == 64


def test_a_captured_set_is_what_the_plan_says_from_then_on() -> None:
    """That it stays so is another guard's matter."""
    world = world_of()
    says = {"run_id": PRIMARY_RUN, "ended_at": "x", "content": "y"}
    captured = {"pointers": {key: {"says": says} for key in GLOBAL}}
    lay(world, GLOBAL[0], pointer(STRANGER))
    shown = plan(world, a_run(inputs=ASKED, results={"capture_pointers": captured}))
    assert shown["pointers"] == dict.fromkeys(GLOBAL, says)


def test_a_plan_tells_how_the_validated_run_differs_from_the_one_it_replaces() -> None:
    """Counts and a digest, by the profile; what decides is the approver."""
    contract = workload.canonical(workload.legacy())
    world = world_of()
    same = plan(world, asked(workload=contract))
    world.store.lay(f"{LAYOUT.run(PRIMARY_RUN)}/{FILE}", b"x")
    other = plan(world, asked(workload=contract))
    assert (same["workload"], len(same["workload_sha256"])) == (workload.legacy().name, 64)
    assert same["compared"]["with"] == PRIMARY_RUN
    assert same["compared"] != other["compared"]
    assert any("Compared with it:" in line for line in in_words(same))
    lay(world, GLOBAL[0], pointer(STRANGER))
    assert plan(world, asked(workload=contract))["compared"]["with"] == STRANGER


def words_of(**inputs: Any) -> list[str]:
    """Return a plan in words, each line's runs of blanks as one."""
    return [" ".join(line.split()) for line in in_words(plan(world_of(), asked(**inputs)))]


def test_a_plan_in_words_names_all_that_is_approved() -> None:
    """The run, the place, the cluster, the stop; an older run and a mixed set draw attention."""
    words = "\n".join(words_of())
    for part in (
        f"Done by: {RUN}, by no other run", f"Becomes canonical: {DR_RUN}, ended at 2026-02-27T01:00:00+00:00",
        f"In place of: {PRIMARY_RUN}", "ATTENTION: OLDER than what is canonical by 1 day, 12:00:00",
        f"verified (observed), 1 artifacts, from s3://b/{BESIDE.run(DR_RUN)}", "At: s3://b/jobintel, candidate local",
        "Published by: DR, cluster uid-dr, validated by this run",
        "The primary: is reachable: its schedules are suspended",
    ):  # fmt: skip
        assert part in words
    assert "not all pointers" not in words
    assert ("fenced:" in words, "because:" in words) == (False, False)
    assert "Done by: this run" in words_of(plan_nonce="")


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ({"fence_primary": "asked"}, "The primary: its identity is denied every write to pointers and latest"),
        ({"fence_primary": "asked"}, f"fenced: {INPUTS['fence_primary_role']}"),
        ({"primary_unreachable": "yes", "no_fence": "yes", "reason": "gone"}, "The primary: IS LOST AND NOT FENCED"),
        ({"primary_unreachable": "yes", "no_fence": "yes", "reason": "gone"}, "because: gone"),
        ({"fence_primary": "asked", "fence_dr_role": ""}, "The primary: it is not decided"),
        ({"validation": "receipt", "validation_receipt": '{"validated_at": "2026-01-01T00:00:00Z"}'},
         "validated by a receipt of 2026-01-01T00:00:00Z (sha256 "),
    ],
)  # fmt: skip
def test_how_the_primary_is_stopped_is_said(inputs: dict[str, str], part: str) -> None:
    """In words of its own for each way."""
    assert part in "\n".join(words_of(**inputs))


def test_a_set_that_names_several_runs_draws_attention() -> None:
    """Each other run is named."""
    world = world_of()
    lay(world, PROVIDER[0], pointer(STRANGER))
    world.store.delete(PROVIDER[1])
    words = list(in_words(plan(world, asked())))
    assert [line for line in words if "not all pointers" in line] == [
        "ATTENTION:          not all pointers name that run: some name 2027-01-01T00:00:00.000001+00:00",
        "ATTENTION:          not all pointers name that run: some name None",
    ]


# --- against the approved one -----------------------------------------------------------------------------


def observed(world: MemoryWorld, run: Run) -> tuple[str, Any]:
    """Return what the approval is judged, and what was seen."""
    seen = FACTS["approval"].observe(world, run)
    return str(FACTS["approval"].judge(seen, run.inputs)), seen


def test_an_approval_of_this_very_plan_is_current_and_of_any_other_stale_with_the_difference() -> None:
    """What changed since is told first: by the recorded plan, or at least by the digest."""
    world = world_of()
    approved = plan(world, asked())
    inputs: dict[str, Any] = {"approved_plan": digest(approved)}
    assert observed(world, asked(**inputs))[0] == "current"
    lay(world, PROVIDER[0], pointer(STRANGER))
    verdict, seen = observed(world, asked(**inputs))
    assert verdict == "stale"
    assert seen["changed"] == [f"the plan's digest is now {seen['sha256']}, not {digest(approved)}"]
    recorded = {"approve": {"plan": approved, **inputs, "operator": "ana"}}
    verdict, seen = observed(world, asked(trigger="capture_pointers", args=recorded, **inputs))
    short = PROVIDER[0].removeprefix("jobintel/")
    assert (verdict, seen["changed"]) == ("stale", [f"pointers {short}: was run {PRIMARY_RUN}, is run {STRANGER}"])
    garbled = {"approve": {"plan": {**approved, "bucket": "c"}, **inputs, "operator": "ana"}}
    _, seen = observed(world, asked(trigger="capture_pointers", args=garbled, **inputs))
    assert seen["changed"] == [f"the plan's digest is now {seen['sha256']}, not {digest(approved)}"]


@pytest.mark.parametrize(("operator", "verdict"), [("ana", "current"), ("bob", "none")])
def test_an_approval_in_another_persons_name_is_void(operator: str, verdict: str) -> None:
    """Who fired the recorded row is compared with whom it names; in the row itself that is not known yet."""
    world = world_of()
    inputs: dict[str, Any] = {"approved_plan": digest(plan(world, asked()))}
    recorded = {"approve": {**inputs, "operator": operator}}
    judged, seen = observed(world, asked(trigger="capture_pointers", args=recorded, **inputs))
    assert (judged, seen["fired_by"]) == (verdict, operator)
    assert bool(seen["changed"]) is (operator == "bob")
    judged, seen = observed(world, asked(args=recorded, **inputs))
    assert (judged, seen["fired_by"]) == ("current", None)
    other = {"approve": {"approved_plan": "0" * 64, "operator": "bob"}}
    assert observed(world, asked(trigger="capture_pointers", args=other, **inputs))[1]["fired_by"] is None


def test_an_observation_has_the_stores_time() -> None:
    """By which the approval's age is told; a record can hold it."""
    seen = observed(world_of(), asked())[1]
    assert seen["store_time"] == "2026-03-01T12:00:00+00:00"
    assert json.loads(json.dumps(seen)) == seen
