"""A pointer is a claim: one that can't be read is unknown, and only a person's hand writes over it. In memory."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from drfsm.dr.pointers import pointers
from drfsm.dr.pointers.pointers import LARGEST_BYTES, MOST_PAIRS, fields, set_by_hand, shown
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Conflict, LeaseLost, Unreadable
from tests.dr.memory import DR_RUN, PRIMARY_RUN, RUN, MemoryWorld, a_run
from tests.dr.test_pointer_moves import GLOBAL, LAYOUT, PROVIDER, STRANGER, at, captured, lay, pointer, world_of

ACTIONS: Mapping[str, Any] = pointers.ACTIONS
PROMOTE: Mapping[str, Any] = pointers.PROMOTE
FORM = LAYOUT.workload.pointers
MARK = {"run": RUN, "epoch": 7, "nonce": "n"}
INVALID: dict[str, Any] = {
    "no object": [],
    "no run": {**pointer(), "run_id": None},
    "a run that is no name": pointer(run_id="../x", run_path=None),
    "an empty run": {**pointer(), "run_id": ""},
    "a path that is no text": pointer(run_path=1),
    "an end that is no time": pointer(ended_at="yesterday"),
    "an end that is a number": {**pointer(), "ended_at": 1},
    "pairs that are a list": pointer(provider_profiles=[]),
    "a provider that is no name": pointer(provider_profiles={"../x:cs": "r"}),
    "a profile that is no name": pointer(provider_profiles={"openai:../x": "r"}),
    "a second pair that is none": pointer(provider_profiles={"openai:cs": "r", "../x:cs": "r"}),
    "too many pairs": pointer(provider_profiles={f"p{number}:cs": "r" for number in range(MOST_PAIRS + 1)}),
}


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_pointer_is_unreadable(what: str) -> None:
    """Its fact is unknown; it is neither absent, nor anybody's; the words say what to do."""
    with pytest.raises(Unreadable) as refused:
        fields(json.dumps(INVALID[what]).encode(), GLOBAL[0], FORM)
    assert "drfsm pointers set" in refused.value.hint
    world = world_of()
    world.store.lay(GLOBAL[0], json.dumps(INVALID[what]).encode())
    assert isinstance(shown(world.store, GLOBAL[0], FORM), str)


def test_a_pointer_that_says_one_thing_twice_is_unreadable() -> None:
    """A workload with names of its own: its field, and one by drfsm's name beside it."""
    form = evolve(FORM, fields={**FORM.fields, "run_id": "id"})
    theirs = {**pointer(), "id": DR_RUN}
    with pytest.raises(Unreadable, match="can't be read"):
        fields(json.dumps(theirs).encode(), GLOBAL[0], form)
    del theirs["run_id"]
    assert fields(json.dumps(theirs).encode(), GLOBAL[0], form)["run_id"] == DR_RUN


@pytest.mark.parametrize(
    "content",
    [
        pointer(run_path=None),
        {name: value for name, value in pointer().items() if name not in ("run_path", "ended_at", "provider_profiles")},
        pointer(ended_at="2026-02-27T00:22:29"),
        pointer(provider_profiles=None),
        pointer(provider_profiles={f"p{number}:cs": "r" for number in range(MOST_PAIRS)}),
        {**pointer(), "run_id": "", "drfsm": MARK},
    ],
    ids=[
        "no path",
        "a run and nothing else",
        "a time without an offset",
        "no pairs",
        "the most pairs",
        "a rehearsal's",
    ],
)
def test_a_pointer_may_leave_out_what_the_workload_may(content: dict[str, Any]) -> None:
    """Only the run is required, and of a rehearsal's own not even that. drfsm's mark is no field of it."""
    read = fields(json.dumps(content).encode(), GLOBAL[0], FORM)
    assert read == {name: value for name, value in content.items() if name != "drfsm"}


def test_a_pointer_that_is_too_large_says_what_to_do() -> None:
    """It is not read, and not absent."""
    world = world_of()

    def get(key: str, *, largest_bytes: int) -> None:
        assert largest_bytes == LARGEST_BYTES
        raise Unreadable(f"{key} is too large")

    world.store.get = get  # type: ignore[assignment,method-assign]
    with pytest.raises(Unreadable) as refused:
        pointers.get(world.store, GLOBAL[0])
    assert "drfsm pointers set" in refused.value.hint


@pytest.mark.parametrize(
    ("missing", "verdict"), [([], "all"), ([GLOBAL[1]], "some_missing"), ([PROVIDER[0], GLOBAL[0]], "some_missing")]
)
def test_a_set_is_asked_for_every_pointer_before_anybody_approves(missing: list[str], verdict: str) -> None:
    """None of a missing one could be moved or restored; it is said which, and how to complete the set."""
    world = world_of()
    for key in missing:
        world.store.delete(key)
    fact, run = PROMOTE["pointers_present"], a_run(inputs={"taker": "dr"})
    seen = fact.observe(world, run)
    assert fact.judge(seen, run.inputs) == verdict
    assert sorted(seen["missing"]) == sorted(missing)
    assert sorted(seen["looked_for"]) == sorted((*GLOBAL, *PROVIDER))
    command = f"drfsm pointers set {PRIMARY_RUN} --bucket b --prefix jobintel --candidate local"
    assert (command in seen["way"]) is bool(missing)
    assert (f"--confirm CONFIRM-{PRIMARY_RUN}" in seen["way"]) is bool(missing)


def test_the_command_that_completes_a_set_takes_over_a_run_that_has_begun() -> None:
    """Past its preflight the run holds the lease, and goes on; before, it starts again."""
    world = world_of()
    world.store.delete(GLOBAL[0])
    fact = PROMOTE["pointers_present"]
    before = fact.observe(world, a_run(inputs={"taker": "dr"}))["way"]
    after = fact.observe(world, a_run(inputs={"taker": "dr"}, results={"run_preflight": {}}))["way"]
    nameless = fact.observe(world, a_run(inputs={"taker": "dr", "primary_run_id": ""}))["way"]
    assert ("--take-over" in before, "start again" in before) == (False, True)
    assert (f"--take-over {RUN}" in after, f"drfsm resume {RUN}" in after) == (True, True)
    assert "drfsm pointers set RUN" in nameless
    assert "--confirm CONFIRM-RUN" in nameless


@pytest.mark.parametrize(
    ("canonical", "allowed", "verdict"),
    [
        ("2026-02-28T13:59:59+00:00", "no", "newer"), ("2026-02-28T14:00:00+00:00", "no", "newer"),
        ("2026-02-28T14:00:01+00:00", "no", "older"), ("2026-02-28T14:00:01+00:00", "yes", "older_allowed"),
        (None, "no", "newer"),
    ],
)  # fmt: skip
def test_a_run_replaces_a_newer_one_only_by_a_persons_word(canonical: str | None, allowed: str, verdict: str) -> None:
    """The validated run's end is its staged pointer's, the other one's the deciding pointer's."""
    world, run = world_of(), a_run(inputs={"allow_older": allowed})
    for key in GLOBAL:
        world.store.delete(key)
    if canonical:
        lay(world, GLOBAL[0], pointer(ended_at=canonical))
        lay(world, GLOBAL[1], pointer(ended_at="2020-01-01T00:00:00+00:00"))
    seen = PROMOTE["succession"].observe(world, run)
    assert PROMOTE["succession"].judge(seen, run.inputs) == verdict
    assert seen["validated"] == {"run_id": PRIMARY_RUN, "ended_at": "2026-02-28T14:00:00+00:00"}


def test_the_operators_pair_is_in_the_set_beside_those_that_the_pointer_names() -> None:
    """Named first are the pointer's; each pair once."""
    world = world_of()
    lay(world, GLOBAL[0], pointer(provider_profiles={"anthropic:ml": DR_RUN, "openai:cs": DR_RUN}))
    lay(world, GLOBAL[1], pointer(provider_profiles={}))
    assert pointers.pairs(world.store, LAYOUT, "openai", "cs") == [("anthropic", "ml"), ("openai", "cs")]
    assert pointers.pairs(world.store, LAYOUT, "x", "y") == [("anthropic", "ml"), ("openai", "cs"), ("x", "y")]


def test_a_move_names_the_pairs_that_were_there() -> None:
    """A pointer without pairs gets none; one whose pairs changed since the capture is another's."""
    world = world_of()
    lay(world, PROVIDER[0], pointer(provider_profiles=None))
    run = captured(world)
    ACTIONS["move_provider_pointers"](world, run)
    assert at(world, PROVIDER[0])["provider_profiles"] == {}
    world = world_of()
    run = captured(world)
    theirs = pointer(PRIMARY_RUN, "2026-02-28T14:00:00+00:00", provider_profiles={"x:y": PRIMARY_RUN}, drfsm=MARK)
    lay(world, PROVIDER[0], theirs)
    seen = pointers.FACTS["captured"].observe(world, run)
    assert pointers.FACTS["captured"].judge(seen, run.inputs) == "moved"
    assert (seen[PROVIDER[0]]["names"], seen[PROVIDER[0]]["ours"]) == (PRIMARY_RUN, False)


def test_a_capture_tells_the_global_pointers_end_and_each_pointers_content() -> None:
    """The global ones are read last; what is shown for an approval is the run, its end, and a digest of all fields."""
    world = world_of()
    lay(world, GLOBAL[-1], pointer(ended_at="2026-02-27T01:00:00+00:00"))
    result = ACTIONS["capture_pointers"](world, a_run())
    assert list(result["pointers"]) == [*PROVIDER, *GLOBAL]
    assert result["ended_at"] == "2026-02-27T01:00:00+00:00"
    says = result["pointers"][PROVIDER[0]]["says"]
    assert says == {"run_id": DR_RUN, "ended_at": DR_RUN, "content": result["pointers"][PROVIDER[0]]["content"]}
    turned = json.dumps(dict(reversed(pointer().items()))).encode()
    assert pointers.said(turned, PROVIDER[0], FORM) == says


def test_an_unreadable_pointer_is_not_restored_over() -> None:
    """An undo gives back what is this run's own move, and tells the rest."""
    world = world_of()
    image = {key: at(world, key) for key in PROVIDER}
    world.store.lay(PROVIDER[0], b"x")
    with pytest.raises(Conflict, match="not overwritten"):
        ACTIONS["restore_provider_pointers"](world, a_run(undoing={"provider_pointers": image}))
    assert world.store.objects[PROVIDER[0]].body == b"x"


def test_a_pointer_that_was_not_there_is_not_restored() -> None:
    """Nothing deletes a pointer: whoever made it is asked."""
    world = world_of()
    image = {PROVIDER[0]: None, PROVIDER[1]: at(world, PROVIDER[1])}
    with pytest.raises(Conflict, match="not overwritten"):
        ACTIONS["restore_provider_pointers"](world, a_run(undoing={"provider_pointers": image}))
    assert world.store.writes == [PROVIDER[1]]


# --- set by hand ------------------------------------------------------------------------------------------

OURS = {"run": "by-hand", "epoch": 1}


def with_artifacts(run_id: str, ended_at: str = "") -> MemoryWorld:
    """Return a world in which a run is whole, without a report; with a pointer of its own where its end is said."""
    world = world_of()
    world.store.lay(f"{LAYOUT.run(run_id)}/openai/cs/openai_top.cs.md", b"# top")
    if ended_at:
        lay(world, PROVIDER[0], pointer(run_id, ended_at, image="theirs"))
    return world


def by_hand(world: MemoryWorld, run_id: str, check: Callable[[], None] = lambda: None, **more: Any) -> list[str]:
    """Make a run canonical by hand."""
    return set_by_hand(world.store, LAYOUT, run_id, ("openai", "cs"), OURS, check, **more)


def test_by_hand_every_pointer_names_the_run_the_global_ones_last() -> None:
    """Also those that can't be read; the run's own pointer is the template."""
    world = with_artifacts(STRANGER, STRANGER)
    world.store.lay(PROVIDER[1], b"x")
    world.store.lay(GLOBAL[1], b"x")
    assert by_hand(world, STRANGER) == [PROVIDER[1], *GLOBAL]
    assert world.store.writes == [PROVIDER[1], *GLOBAL]
    assert {(at(world, key)["run_id"], at(world, key)["image"]) for key in (*PROVIDER, *GLOBAL)} == {
        (STRANGER, "theirs")
    }


def test_by_hand_a_run_that_is_not_whole_becomes_nothing() -> None:
    """Nothing is written."""
    world = world_of()
    with pytest.raises(ActionFailed, match="is missing"):
        by_hand(world, STRANGER)
    assert world.store.writes == []


def test_by_hand_an_older_run_is_refused_unless_a_person_allows_it() -> None:
    """Older than the canonical one, or perhaps, where no global pointer can be read."""
    older = "2026-01-01T00:00:00.000001+00:00"
    world = with_artifacts(older, older)
    with pytest.raises(ActionFailed, match="before the canonical run"):
        by_hand(world, older)
    for key in GLOBAL:
        world.store.lay(key, b"x")
    with pytest.raises(ActionFailed, match="no global pointer can be read"):
        by_hand(world, older)
    assert world.store.writes == []
    assert by_hand(world, older, allow_older=True)


def test_by_hand_a_run_whose_end_nobody_knows_is_refused_unless_it_is_said() -> None:
    """It has neither a pointer nor a report: the canonical pointer's other fields stay."""
    world = with_artifacts(STRANGER)
    with pytest.raises(ActionFailed, match="the end of the run"):
        by_hand(world, STRANGER)
    assert world.store.writes == []
    by_hand(world, STRANGER, ended_at="2027-01-01T01:00:00+00:00")
    assert at(world, GLOBAL[0]) == pointer(STRANGER, "2027-01-01T01:00:00+00:00")


def test_by_hand_the_first_run_of_all_becomes_canonical_by_its_said_end() -> None:
    """There is no pointer at all: nothing is newer, and the pair is the operator's."""
    world = with_artifacts(STRANGER)
    for key in (*GLOBAL, *PROVIDER):
        world.store.delete(key)
    assert by_hand(world, STRANGER, ended_at="2027-01-01T01:00:00+00:00") == [*PROVIDER, *GLOBAL]
    assert at(world, GLOBAL[0]) == {
        "schema_version": 1, "run_id": STRANGER, "run_path": LAYOUT.run(STRANGER),
        "ended_at": "2027-01-01T01:00:00+00:00", "provider_profiles": {"openai:cs": STRANGER},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "ended_at"),
    [("2027-01-01T02:00:00+00:00", "2027-01-01T02:00:00+00:00"), (None, "2027-01-01T01:00:00+00:00"), ("now", None)],
)
def test_by_hand_the_end_is_the_reports_where_it_says_one(said: str | None, ended_at: str | None) -> None:
    """It goes before a person's word; one that is no time is unreadable, and nothing is written."""
    world = with_artifacts(STRANGER)
    body = b"# top"
    entry = {"path": "openai/cs/openai_top.cs.md", "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    report = {
        "run_id": STRANGER,
        "verifiable_artifacts": {"x": entry},
        "timestamps": {"ended_at": said} if said else {},
    }
    world.store.lay(f"{LAYOUT.run(STRANGER)}/run_report.json", json.dumps(report).encode())
    if ended_at is None:
        with pytest.raises(Unreadable, match="is not a time"):
            by_hand(world, STRANGER, ended_at="2027-01-01T01:00:00+00:00")
        assert world.store.writes == []
    else:
        by_hand(world, STRANGER, ended_at="2027-01-01T01:00:00+00:00")
        assert at(world, GLOBAL[0])["ended_at"] == ended_at


def test_by_hand_the_lease_is_asked_before_every_write() -> None:
    """Lost in between, nothing more is written."""
    world = with_artifacts(STRANGER, STRANGER)

    def check() -> None:
        if world.store.writes:
            raise LeaseLost("somebody else holds it")

    with pytest.raises(LeaseLost):
        by_hand(world, STRANGER, check)
    assert world.store.writes == [PROVIDER[1]]


@pytest.mark.parametrize("key", [PROVIDER[1], GLOBAL[0]])
def test_by_hand_a_pointer_that_moves_in_between_is_not_overwritten(key: str) -> None:
    """Another process moves pointers at the same time."""
    world = with_artifacts(STRANGER, STRANGER)
    world.store.meanwhile[key] = lambda: lay(world, key, pointer(PRIMARY_RUN))
    with pytest.raises(Conflict):
        by_hand(world, STRANGER)
    assert at(world, key)["run_id"] == PRIMARY_RUN


def test_a_run_that_captured_before_0_4_0_knows_its_own_move() -> None:
    """It kept no digest of the rest: the run, its path, its end and its pairs must do."""
    world = world_of()
    run = captured(world)
    result = json.loads(json.dumps(run.results["capture_pointers"]))
    for entry in result["pointers"].values():
        del entry["rest"]
    old: Run = a_run(results={"capture_pointers": result})
    ACTIONS["move_provider_pointers"](world, old)
    seen = pointers.FACTS["captured"].observe(world, old)
    assert pointers.FACTS["captured"].judge(seen, old.inputs) == "unmoved"
