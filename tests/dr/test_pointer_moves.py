"""The pointer set in memory: its order, its conditions, and what is left to its owner."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.claims import LARGEST_BYTES
from drfsm.dr.pointers import pointers
from drfsm.dr.pointers.pointers import is_newer, is_older
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from drfsm.errors import ActionFailed, Conflict, Interrupted
from drfsm.world import Blob
from tests.dr.memory import DR_RUN, INPUTS, PRIMARY_RUN, RUN, MemoryStore, MemoryWorld, a_run

ACTIONS: Mapping[str, Any] = pointers.ACTIONS
FACTS: Mapping[str, Any] = pointers.FACTS
LATE: Mapping[str, Any] = pointers.LATE
LAYOUT = terms_of(INPUTS).layout
GLOBAL = LAYOUT.global_pointers()
PROVIDER = LAYOUT.provider_pointers([("openai", "cs")])
STRANGER = "2027-01-01T00:00:00.000001+00:00"
Pointer = dict[str, Any]


def pointer(run_id: str = DR_RUN, ended_at: str = "", **more: Any) -> Pointer:
    """Return a pointer as the workload writes it."""
    pairs = {"openai:cs": run_id}
    return {"schema_version": 1, "run_id": run_id, "run_path": LAYOUT.run(run_id), "ended_at": ended_at or run_id,
            "provider_profiles": pairs, "image": "kept", **more}  # fmt: skip


def world_of(run_id: str = DR_RUN) -> MemoryWorld:
    """Return a world whose whole set names a run of DR, with the primary's validated one beside."""
    world = MemoryWorld()
    for key in (*GLOBAL, *PROVIDER):
        lay(world, key, pointer(run_id))
    staged = terms_of(INPUTS).staged(RUN).global_pointers()[0]
    lay(world, staged, pointer(PRIMARY_RUN, ended_at="2026-02-28T14:00:00+00:00"))
    world.store.lay(LAYOUT.own("ownership.json"), json.dumps({"site": "dr", "cluster_uid": "uid-dr"}).encode())
    return world


def lay(world: MemoryWorld, key: str, content: Pointer) -> None:
    """Write a pointer as another process."""
    world.store.lay(key, json.dumps(content).encode())


def at(world: MemoryWorld, key: str) -> Pointer:
    """Return a pointer's fields without drfsm's mark."""
    content: Pointer = json.loads(world.store.objects[key].body)
    content.pop("drfsm", None)
    return content


def captured(world: MemoryWorld, **more: Any) -> Run:
    """Return a run that has captured the set."""
    result = ACTIONS["capture_pointers"](world, a_run())
    return a_run(results={"capture_pointers": result}, **more)


def value(world: MemoryWorld, run: Run, fact: str) -> str | None:
    """Return what a fact is judged."""
    verdict: str | None = FACTS[fact].judge(FACTS[fact].observe(world, run), run.inputs)
    return verdict


def moved_by_us(world: MemoryWorld) -> Run:
    """Move the whole set; return the run."""
    run = captured(world)
    ACTIONS["move_provider_pointers"](world, run)
    ACTIONS["move_global_pointer"](world, run)
    return run


def test_the_global_pointers_move_last_and_the_owner_before_them() -> None:
    """A crash in between leaves the deciding pointer with the old run: readers never see half a promote."""
    world = world_of()
    moved_by_us(world)
    assert world.store.writes == [*PROVIDER, LAYOUT.own("ownership.json"), *GLOBAL]
    assert {at(world, key)["run_id"] for key in (*PROVIDER, *GLOBAL)} == {PRIMARY_RUN}


def test_a_moved_pointer_is_rebuilt_and_keeps_the_other_fields() -> None:
    """Run, path, end and pairs are the new run's; the end is the staged pointer's; the rest is the workload's."""
    world = world_of()
    moved_by_us(world)
    assert at(world, GLOBAL[0]) == pointer(PRIMARY_RUN, ended_at="2026-02-28T14:00:00+00:00")
    assert json.loads(world.store.objects[GLOBAL[0]].body)["drfsm"].keys() == {"run", "epoch", "nonce"}


def test_a_move_that_is_done_writes_nothing_again() -> None:
    """After a crash the action is taken again: what names the new run already is left alone."""
    world = world_of()
    run = moved_by_us(world)
    world.store.writes.clear()
    assert ACTIONS["move_provider_pointers"](world, run)["moved"] == []
    assert ACTIONS["move_global_pointer"](world, run)["moved"] == []
    assert world.store.writes == []
    assert value(world, run, "captured") == "unmoved"


@pytest.mark.parametrize("key", [*PROVIDER, *GLOBAL])
def test_what_lands_between_the_read_and_the_write_is_not_overwritten(key: str) -> None:
    """Each write is on the ETag that was read: another process's pointer stays, and the move fails."""
    world = world_of()
    run = captured(world)
    world.store.meanwhile[key] = lambda: lay(world, key, pointer(STRANGER))
    with pytest.raises(Conflict):
        ACTIONS["move_provider_pointers" if key in PROVIDER else "move_global_pointer"](world, run)
    assert at(world, key) == pointer(STRANGER)


def test_a_store_that_ignores_conditions_is_found_when_the_pointer_is_read_again() -> None:
    """A write that another process replaced at once is no success."""
    world = world_of()
    run, key = captured(world), PROVIDER[0]
    world.store.afterwards[key] = lambda: lay(world, key, pointer(STRANGER))
    with pytest.raises(Conflict, match="differs from what was just written"):
        ACTIONS["move_provider_pointers"](world, run)
    assert at(world, key) == pointer(STRANGER)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pointer(STRANGER), "moved by another process"),
        (pointer(DR_RUN, image="another"), "moved by another process"),
        (pointer(DR_RUN, drfsm={"run": RUN, "epoch": 8, "nonce": "n"}), "under a newer lease"),
    ],
    ids=["another run", "another field", "a newer lease of this run"],
)
def test_a_pointer_that_is_not_as_captured_is_not_moved(content: Pointer, words: str) -> None:
    """Whatever changed since the capture: nothing is written over it."""
    world = world_of()
    run = captured(world)
    lay(world, PROVIDER[0], content)
    with pytest.raises(Conflict, match=words):
        ACTIONS["move_provider_pointers"](world, run)
    assert world.store.writes == []


@pytest.mark.parametrize("epoch", [6, 7])
def test_a_pointer_with_this_runs_mark_of_its_own_or_an_older_lease_is_moved(epoch: int) -> None:
    """The mark is of this very run: an earlier attempt of it gave the pointer back."""
    world = world_of()
    run = captured(world)
    lay(world, PROVIDER[0], pointer(drfsm={"run": RUN, "epoch": epoch, "nonce": "n"}))
    assert PROVIDER[0] in ACTIONS["move_provider_pointers"](world, run)["moved"]


def test_a_pointer_that_was_deleted_since_the_capture_is_not_made_anew() -> None:
    """Nobody knows why it is gone."""
    world = world_of()
    run = captured(world)
    world.store.delete(PROVIDER[0])
    with pytest.raises(Conflict, match="was deleted since it was captured"):
        ACTIONS["move_provider_pointers"](world, run)
    assert world.store.writes == []


def test_an_interruption_stops_between_two_pointers() -> None:
    """Nothing is written after a person asked to stop, and none of the set was passed over."""
    world = world_of()
    results = captured(world).results
    run = a_run(results=results, interrupted=lambda: len(world.store.writes) == 1)
    with pytest.raises(Interrupted):
        ACTIONS["move_provider_pointers"](world, run)
    assert world.store.writes == [PROVIDER[0]]


def test_a_missing_pointer_can_not_be_captured() -> None:
    """A set that lacks one is completed first."""
    world = world_of()
    world.store.delete(GLOBAL[1])
    with pytest.raises(ActionFailed, match="does not exist"):
        ACTIONS["capture_pointers"](world, a_run())


class PublishedMeanwhile(MemoryStore):
    """A store in which DR's last Job publishes a newer run just before a pointer is read."""

    def __init__(self, world: MemoryWorld, before: str, *, job_ends: bool) -> None:
        """Take over a world's objects. ``job_ends``: whether the Job moves all pointers, or only the deciding one."""
        super().__init__()
        self.objects, self._before = dict(world.store.objects), before
        self._moves = [GLOBAL[0], *(key for key in (*GLOBAL, *PROVIDER) if job_ends and key != GLOBAL[0])]

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object as it is once the Job has published."""
        if key == self._before:
            moves, self._moves = self._moves, []
            for moved in moves:
                self.lay(moved, json.dumps(pointer(STRANGER)).encode())
        return super().get(key, largest_bytes=largest_bytes)


@pytest.mark.parametrize("job_ends", [True, False], ids=["it moved all pointers", "it moved only the deciding one"])
@pytest.mark.parametrize("before", PROVIDER)
def test_a_run_that_is_published_while_the_set_is_completed_is_not_overwritten(before: str, *, job_ends: bool) -> None:
    """The deciding pointer is read after the one that would be replaced: a newer run stops it."""
    world = world_of()
    for key in PROVIDER:
        lay(world, key, pointer("2026-02-26T00:00:00.000001+00:00"))
    world.store = PublishedMeanwhile(world, before, job_ends=job_ends)
    with pytest.raises(Conflict, match="another process moved it"):
        ACTIONS["complete_pointer_set"](world, a_run())
    assert before not in world.store.writes
    assert at(world, GLOBAL[0])["run_id"] == STRANGER
    assert at(world, before)["run_id"] == (STRANGER if job_ends else "2026-02-26T00:00:00.000001+00:00")


def test_a_set_that_a_killed_job_left_half_moved_is_completed() -> None:
    """Every pointer then names the run of the deciding one, which is not written again."""
    world = world_of()
    lay(world, PROVIDER[0], pointer("2026-02-26T00:00:00.000001+00:00"))
    assert ACTIONS["complete_pointer_set"](world, a_run())["completed"] == [PROVIDER[0]]
    assert {at(world, key)["run_id"] for key in (*PROVIDER, *GLOBAL)} == {DR_RUN}
    assert world.store.writes == [PROVIDER[0]]


def test_a_run_that_is_published_before_the_capture_is_not_captured() -> None:
    """The guards saw the confirmed run, and a newer one is there now: captured, it would be replaced unseen."""
    world = world_of()
    world.store = PublishedMeanwhile(world, PROVIDER[0], job_ends=True)
    with pytest.raises(Conflict, match=f"names {re.escape(STRANGER)}"):
        ACTIONS["capture_pointers"](world, a_run())


def test_a_staged_pointer_of_another_run_gives_no_end() -> None:
    """The end of the validated run is its own pointer's."""
    world = world_of()
    run = captured(world)
    lay(world, terms_of(INPUTS).staged(RUN).global_pointers()[0], pointer(STRANGER))
    with pytest.raises(ActionFailed, match="no staged pointer"):
        ACTIONS["move_provider_pointers"](world, run)


# --- whether the set is still as captured -----------------------------------------------------------------


@pytest.mark.parametrize("key", [*GLOBAL, *PROVIDER])
@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (pointer(), "unmoved"),
        (pointer(STRANGER), "moved"),
        (pointer(DR_RUN, image="another"), "moved"),
        (pointer(PRIMARY_RUN), "moved"),
        (pointer(PRIMARY_RUN, drfsm={"run": RUN, "epoch": 7, "nonce": "n"}), "moved"),
        (pointer(PRIMARY_RUN, "2026-02-28T14:00:00+00:00", drfsm={"run": "failback-2", "epoch": 7}), "moved"),
        (pointer(PRIMARY_RUN, "2026-02-28T14:00:00+00:00", image="x", drfsm={"run": RUN, "epoch": 7}), "moved"),
        (pointer(PRIMARY_RUN, "2026-02-28T14:00:00+00:00", drfsm={"run": RUN, "epoch": "7"}), "moved"),
        (pointer(PRIMARY_RUN, "2026-02-28T14:00:00+00:00", drfsm={"run": RUN, "epoch": 7}), "unmoved"),
    ],
    ids=[
        "written again as it was", "another run", "another field", "our run without our mark", "our mark, another end",
        "another run's mark", "our mark, another field", "an invalid mark", "exactly what this run writes",
    ],
)  # fmt: skip
def test_a_set_is_unmoved_only_where_each_pointer_is_as_captured_or_exactly_ours(
    key: str, content: Pointer, verdict: str
) -> None:
    """Whichever pointer it is, and whatever mark it carries."""
    world = world_of()
    run = captured(world)
    lay(world, key, content)
    assert value(world, run, "captured") == verdict


def test_a_pointer_that_is_gone_is_moved() -> None:
    """An absent one is neither ours nor as it was."""
    world = world_of()
    run = captured(world)
    before = FACTS["captured"].observe(world, run)[PROVIDER[1]]
    assert (before["now"], before["names"]) == (before["captured"], DR_RUN)
    world.store.delete(PROVIDER[1])
    gone = FACTS["captured"].observe(world, run)[PROVIDER[1]]
    assert (gone["now"], gone["names"], gone["captured"]) == (None, None, before["captured"])
    assert value(world, run, "captured") == "moved"


def test_without_a_capture_there_is_nothing_to_hold_against() -> None:
    """That would be drfsm's own fault, and never reads as unmoved."""
    with pytest.raises(ActionFailed, match="no pointers were captured"):
        FACTS["captured"].observe(world_of(), a_run())


# --- which run is canonical -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ((DR_RUN, DR_RUN), "dr"), ((PRIMARY_RUN, PRIMARY_RUN), "primary"), ((DR_RUN, PRIMARY_RUN), "mixed"),
        ((DR_RUN, STRANGER), "other"), ((STRANGER, STRANGER), "other"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("fact", "keys"), [("global_pointer", GLOBAL), ("provider_pointers", PROVIDER)])
def test_pointers_name_one_run_or_are_mixed_or_somebody_elses(
    fact: str, keys: tuple[str, ...], runs: tuple[str, str], verdict: str
) -> None:
    """One that names neither run makes the whole somebody else's."""
    world = world_of()
    for key, run_id in zip(keys, runs, strict=True):
        lay(world, key, pointer(run_id))
    assert value(world, a_run(), fact) == verdict


def test_a_pointer_with_the_right_run_and_another_path_is_somebody_elses() -> None:
    """The path must be the layout's, or not be said at all."""
    world = world_of()
    lay(world, GLOBAL[0], pointer(run_path="elsewhere/runs/x"))
    assert value(world, a_run(), "global_pointer") == "other"
    lay(world, GLOBAL[0], pointer(run_path=None))
    assert value(world, a_run(), "global_pointer") == "dr"


def test_a_missing_pointer_is_nobodys() -> None:
    """Neither site's run is canonical where there is no pointer."""
    world = world_of()
    world.store.delete(GLOBAL[0])
    assert value(world, a_run(), "global_pointer") == "other"


OLD, OLDEST = "2026-01-02T00:00:00.000001+00:00", "2026-01-01T00:00:00.000001+00:00"


@pytest.mark.parametrize(
    ("named", "verdict"),
    [
        ([DR_RUN, DR_RUN, DR_RUN, DR_RUN], "whole"),
        ([DR_RUN, DR_RUN, OLD, DR_RUN], "half_moved"),
        ([DR_RUN, OLD, OLD, OLDEST], "half_moved"),
        ([DR_RUN, STRANGER, OLD, OLD], "torn"),
        ([DR_RUN, DR_RUN, DR_RUN, STRANGER], "torn"),
        ([None, DR_RUN, None, DR_RUN], "older_only"),
        ([None, DR_RUN, None, OLD], "torn"),
        ([None, DR_RUN, DR_RUN, DR_RUN], "torn"),
        ([DR_RUN, DR_RUN, DR_RUN, None], "torn"),
        ([None, None, None, None], "torn"),
    ],
)
def test_a_set_is_whole_half_moved_as_an_older_workload_leaves_it_or_torn(
    named: list[str | None], verdict: str
) -> None:
    """The candidate's global and older pointer, then the provider's: behind the deciding one, or not explained."""
    world = world_of()
    for key, run_id in zip((*GLOBAL, *PROVIDER), named, strict=True):
        world.store.delete(key)
        if run_id is not None:
            lay(world, key, pointer(run_id))
    assert value(world, a_run(), "pointer_set") == verdict


def test_the_canonical_run_is_that_of_the_deciding_pointer_alone() -> None:
    """Readers follow the candidate's key where it is, else the older one."""
    world = world_of()
    lay(world, GLOBAL[1], pointer(STRANGER))
    assert value(world, a_run(), "canonical_run") == "dr"
    world.store.delete(GLOBAL[0])
    assert value(world, a_run(), "canonical_run") == "other"
    lay(world, GLOBAL[1], pointer())
    assert value(world, a_run(), "canonical_run") == "dr"


def test_a_half_moved_set_is_completed_and_nothing_else_is_written() -> None:
    """Every pointer but the deciding one is moved to its run, and those that name it are left alone."""
    world = world_of()
    lay(world, PROVIDER[0], pointer(OLD))
    world.store.delete(GLOBAL[1])
    assert ACTIONS["complete_pointer_set"](world, a_run()) == {"completed": [GLOBAL[1], PROVIDER[0]]}
    assert world.store.writes == [GLOBAL[1], PROVIDER[0]]
    assert value(world, a_run(), "pointer_set") == "whole"


def test_a_set_whose_deciding_pointer_another_process_moved_is_not_completed() -> None:
    """It would make a stranger's run whole."""
    world = world_of()
    lay(world, GLOBAL[0], pointer(STRANGER))
    with pytest.raises(Conflict, match="another process moved it"):
        ACTIONS["complete_pointer_set"](world, a_run())
    assert world.store.writes == []


# --- undone, and shut out ---------------------------------------------------------------------------------


def images(world: MemoryWorld) -> dict[str, Pointer]:
    """Return the provider pointers as an undo restores them."""
    return {key: at(world, key) for key in PROVIDER}


def test_an_undo_gives_back_exactly_what_was_there() -> None:
    """Every provider pointer, also one that was not moved: its ETag is new, so that a late move of it fails."""
    world = world_of()
    before, run = images(world), captured(world)
    ACTIONS["move_provider_pointers"](world, run)
    lay(world, PROVIDER[1], before[PROVIDER[1]])
    etags = {key: world.store.objects[key].etag for key in PROVIDER}
    undo = a_run(results=run.results, undoing={"provider_pointers": before})
    assert ACTIONS["restore_provider_pointers"](world, undo) == {"restored": list(PROVIDER)}
    assert images(world) == before
    assert all(world.store.objects[key].etag != etag for key, etag in etags.items())


def test_an_undo_that_is_done_writes_nothing_again() -> None:
    """What carries this run's mark of this lease, and is as it was, was restored."""
    world = world_of()
    undo = a_run(results=captured(world).results, undoing={"provider_pointers": images(world)})
    ACTIONS["restore_provider_pointers"](world, undo)
    world.store.writes.clear()
    assert ACTIONS["restore_provider_pointers"](world, undo) == {"restored": []}
    assert world.store.writes == []


@pytest.mark.parametrize(
    "content",
    [
        pointer(STRANGER),
        pointer(STRANGER, drfsm={"run": RUN, "epoch": 7, "nonce": "n"}),
        pointer(PRIMARY_RUN, drfsm={"run": "failback-2", "epoch": 7, "nonce": "n"}),
        pointer(PRIMARY_RUN, image="another", drfsm={"run": RUN, "epoch": 7, "nonce": "n"}),
        None,
    ],
    ids=["a stranger's", "a stranger's under our mark", "another run's move", "our move, another field", "gone"],
)
def test_an_undo_restores_the_others_and_fails_for_what_somebody_else_changed(content: Pointer | None) -> None:
    """Work of another process is never overwritten, and a waiver covers only that."""
    world = world_of()
    before, run = images(world), captured(world)
    ACTIONS["move_provider_pointers"](world, run)
    world.store.delete(PROVIDER[0])
    if content:
        lay(world, PROVIDER[0], content)
    undo = a_run(results=run.results, undoing={"provider_pointers": before})
    with pytest.raises(Conflict, match="not overwritten") as refused:
        ACTIONS["restore_provider_pointers"](world, undo)
    assert PROVIDER[0] in refused.value.what
    assert PROVIDER[1] not in refused.value.what
    assert at(world, PROVIDER[1]) == before[PROVIDER[1]]
    assert world.store.writes[-1] != PROVIDER[0]


def test_a_touch_writes_each_pointer_again_with_its_own_content() -> None:
    """A late write was sent for the old ETag, and fails; nothing else changes."""
    world = world_of()
    run = captured(world)
    before = {key: at(world, key) for key in (*PROVIDER, *GLOBAL)}
    etags = {key: world.store.objects[key].etag for key in before}
    owner = world.store.objects[LAYOUT.own("ownership.json")].etag
    touch = LATE["move_global_pointer"].touch
    assert touch(world, run)["touched"] == [LAYOUT.own("ownership.json"), *before]
    assert {key: at(world, key) for key in before} == before
    assert all(world.store.objects[key].etag != etag for key, etag in etags.items())
    assert world.store.objects[LAYOUT.own("ownership.json")].etag != owner


def test_a_touch_of_an_undo_leaves_alone_what_is_not_as_it_was() -> None:
    """A pointer that somebody else moved has another ETag than the late write was sent for."""
    world = world_of()
    before = images(world)
    lay(world, PROVIDER[0], pointer(STRANGER))
    touch = LATE["restore_provider_pointers"].touch
    assert touch(world, a_run(undoing={"provider_pointers": before})) == {"touched": [PROVIDER[1]]}
    assert world.store.writes == [PROVIDER[1]]


def test_a_touch_tries_again_when_another_process_writes_in_between() -> None:
    """The second time it writes what the other one wrote."""
    world = world_of()
    world.store.meanwhile[PROVIDER[0]] = lambda: lay(world, PROVIDER[0], pointer(STRANGER))
    touch = LATE["move_provider_pointers"].touch
    assert PROVIDER[0] in touch(world, a_run())["touched"]
    assert at(world, PROVIDER[0]) == pointer(STRANGER)
    assert PROVIDER[0] in world.store.writes


# --- older and newer --------------------------------------------------------------------------------------

EARLY, LATER = "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"


@pytest.mark.parametrize(
    ("ended_at", "canonical", "older", "newer"),
    [
        (EARLY, LATER, True, False), (LATER, EARLY, False, True), (EARLY, EARLY, False, False),
        ("2026-01-01T00:00:00", EARLY, False, False), (EARLY, None, False, True), (EARLY, "", False, True),
        ("yesterday", EARLY, True, None), (EARLY, "yesterday", True, None), (None, EARLY, True, None),
    ],
)  # fmt: skip
def test_a_run_is_older_unless_it_is_proven_not_to_be(
    ended_at: object, canonical: object, older: bool, newer: bool | None
) -> None:
    """A time that can't be read proves nothing, one without an offset is UTC; where nothing is canonical all is new."""
    assert (is_older(ended_at, canonical), is_newer(ended_at, canonical)) == (older, newer)
