"""Who owns the pointers: adopted only where a person says so, handed over only by the owner. In memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from drfsm.dr.pointers import ownership
from drfsm.dr.pointers.ownership import LARGEST_BYTES, TRIES
from drfsm.dr.terms import terms_of
from drfsm.engine import Run
from drfsm.errors import Conflict
from tests.dr.memory import INPUTS, RUN, MemoryWorld, a_run

ACTIONS: Mapping[str, Any] = ownership.ACTIONS
FACTS: Mapping[str, Any] = ownership.FACTS
LATE: Mapping[str, Any] = ownership.LATE
KEY = terms_of(INPUTS).layout.own("ownership.json")
ADOPT = {"adopt_ownership": "yes"}


def world_of(site: str | None = "dr", uid: str | None = "uid-dr", **more: Any) -> MemoryWorld:
    """Return a world whose ownership object names a site; None: there is none."""
    world = MemoryWorld()
    if site is not None:
        lay(world, site, uid, **more)
    return world


def lay(world: MemoryWorld, site: str, uid: str | None, **more: Any) -> None:
    """Write the ownership object as another process."""
    world.store.lay(KEY, json.dumps({"schema_version": 1, "site": site, "cluster_uid": uid, **more}).encode())


def at(world: MemoryWorld) -> dict[str, Any]:
    """Return the ownership object."""
    return dict(json.loads(world.store.objects[KEY].body))


def owner(world: MemoryWorld, run: Run | None = None) -> str | None:
    """Return who the owner is judged to be."""
    run = run or a_run()
    verdict: str | None = FACTS["owner"].judge(FACTS["owner"].observe(world, run), run.inputs)
    return verdict


@pytest.mark.parametrize(
    ("site", "uid", "verdict"),
    [
        ("dr", "uid-dr", "dr"), ("primary", "uid-primary", "primary"), (None, None, "unclaimed"),
        ("dr", "uid-primary", "other"), ("primary", "uid-dr", "other"), ("dr", None, "dr"),
        ("attic", "uid-dr", "other"),
    ],
)  # fmt: skip
def test_the_owner_is_a_site_whose_cluster_is_the_one_that_is_named(
    site: str | None, uid: str | None, verdict: str
) -> None:
    """The name alone proves nothing; where its cluster could not be asked when it was written, the name must do."""
    assert owner(world_of(site, uid)) == verdict


@pytest.mark.parametrize("body", [b"x", b"[]", b"{}", b'{"site": "dr"}', b'{"site": "dr", "cluster_uid": 1}',
                                  b'{"site": "dr", "cluster_uid": "a\\nb"}', b'{"site": "../x", "cluster_uid": null}',
                                  b'{"site": "dr", "cluster_uid": null, "run": "../x"}'])  # fmt: skip
def test_an_object_that_can_not_be_read_names_no_owner_and_is_not_absent(body: bytes) -> None:
    """The owner is unknown until a person decides; nothing is handed over."""
    world = world_of(None)
    world.store.lay(KEY, body)
    assert owner(world) is None
    with pytest.raises(Conflict):
        ACTIONS["adopt_ownership"](world, a_run())
    with pytest.raises(Conflict, match="another process wrote it"):
        ACTIONS["hand_over_ownership"](world, a_run(inputs=ADOPT))
    assert (world.store.objects[KEY].body, world.store.writes) == (body, [])
    assert ACTIONS["adopt_ownership"](world, a_run(inputs=ADOPT))["adopted"]
    assert owner(world) == "dr"


def test_the_longest_uid_is_read_and_a_longer_one_is_not() -> None:
    """A claim is bounded."""
    assert owner(world_of("dr", "u" * 100)) == "other"
    assert owner(world_of("dr", "u" * 101)) is None


def test_an_object_that_is_too_large_is_not_read() -> None:
    """To the byte."""
    world = world_of(None)
    body = json.dumps({"site": "dr", "cluster_uid": "uid-dr", "x": ""}).encode()
    world.store.lay(KEY, body.ljust(LARGEST_BYTES))
    assert owner(world) == "dr"
    world.store.lay(KEY, body.ljust(LARGEST_BYTES + 1))
    assert owner(world) is None


def test_what_was_seen_says_why_a_cluster_was_not_asked() -> None:
    """Nobody could ask it when the object was written, or this run leaves it alone; else it says whether it fits."""
    observe = FACTS["owner"].observe
    assert observe(world_of("dr", "uid-dr"), a_run())["is_ours"] is True
    assert observe(world_of("dr", "x"), a_run())["is_ours"] is False
    assert "when this was written" in observe(world_of("dr", None), a_run())["is_ours"]
    assert "lost, or left alone" in observe(world_of("dr", "x"), a_run(inputs={"dr_unreachable": "yes"}))["is_ours"]


def test_where_nobody_owns_the_pointers_the_source_site_is_adopted() -> None:
    """Its cluster, this run and its epoch are written, where still none is."""
    world = world_of(None)
    assert ACTIONS["adopt_ownership"](world, a_run()) == {"adopted": True, "in_place_of": None}
    written = at(world)
    assert written.pop("nonce")
    assert written == {"schema_version": 1, "site": "dr", "cluster_uid": "uid-dr", "epoch": 7, "run": RUN}
    assert ACTIONS["adopt_ownership"](world, a_run(inputs=ADOPT)) == {"adopted": False}


@pytest.mark.parametrize(("site", "uid"), [(None, None), ("primary", "uid-primary")])
def test_an_adoption_loses_against_whoever_writes_first(site: str | None, uid: str | None) -> None:
    """The first object is created only where none is, and another one replaced only as it was read."""
    world = world_of(site, uid)
    world.store.meanwhile[KEY] = lambda: lay(world, "primary", "other")
    with pytest.raises(Conflict):
        ACTIONS["adopt_ownership"](world, a_run(inputs=ADOPT))
    assert at(world)["cluster_uid"] == "other"


@pytest.mark.parametrize(("site", "uid"), [("primary", "uid-primary"), ("dr", "uid-other"), ("attic", None)])
def test_another_owner_is_replaced_only_by_a_persons_word(site: str, uid: str | None) -> None:
    """Without it nothing is written."""
    world = world_of(site, uid)
    with pytest.raises(Conflict, match=f"names {site}"):
        ACTIONS["adopt_ownership"](world, a_run())
    assert world.store.writes == []
    assert ACTIONS["adopt_ownership"](world, a_run(inputs=ADOPT)) == {"adopted": True, "in_place_of": site}
    assert owner(world) == "dr"


def test_the_owner_hands_over_to_the_target_once() -> None:
    """Done again it changes nothing."""
    world = world_of()
    ACTIONS["hand_over_ownership"](world, a_run())
    assert owner(world) == "primary"
    ACTIONS["hand_over_ownership"](world, a_run())
    assert world.store.writes == [KEY]


@pytest.mark.parametrize(("site", "uid"), [(None, None), ("attic", None), ("primary", "uid-other")])
def test_whoever_is_not_the_owner_hands_nothing_over(site: str | None, uid: str | None) -> None:
    """No object, another site, or the target's name with another cluster."""
    world = world_of(site, uid)
    with pytest.raises(Conflict, match="another process changed it"):
        ACTIONS["hand_over_ownership"](world, a_run())
    assert world.store.writes == []


def test_a_hand_over_loses_against_whoever_writes_in_between() -> None:
    """It is on the ETag that was read."""
    world = world_of()
    world.store.meanwhile[KEY] = lambda: lay(world, "dr", "uid-other")
    with pytest.raises(Conflict):
        ACTIONS["hand_over_ownership"](world, a_run())
    assert at(world)["cluster_uid"] == "uid-other"


@pytest.mark.parametrize("inputs", [{"dr_unreachable": "yes"}, {"target": "drill", "taker": "primary"}])
def test_a_site_that_gets_no_requests_is_believed_by_its_name(inputs: dict[str, str]) -> None:
    """Lost, or a rehearsal's source: its cluster is not asked, and no UID of it is written."""
    world = world_of("dr", "whatever")
    del world.sites["dr"]
    assert owner(world, a_run(inputs=inputs)) == "dr"
    empty = world_of(None)
    del empty.sites["dr"]
    ACTIONS["adopt_ownership"](empty, a_run(inputs=inputs))
    assert at(empty)["cluster_uid"] is None


def test_a_touch_keeps_the_content_and_changes_the_etag() -> None:
    """A late hand-over was sent for the old one. Absent or unreadable, the object is left alone."""
    world, touch = world_of(run="failback-9", epoch=3), LATE["hand_over_ownership"].touch
    before, etag = at(world), world.store.objects[KEY].etag
    assert touch(world, a_run()) == {"touched": [KEY]}
    after = at(world)
    assert after.pop("nonce")
    assert (after, world.store.objects[KEY].etag != etag) == (before, True)
    for body in (None, b'{"site": "dr"}'):
        world = world_of(None)
        if body:
            world.store.lay(KEY, body)
        assert touch(world, a_run()) == {"touched": []}
        assert world.store.writes == []


def test_a_touch_tries_five_times() -> None:
    """Then somebody writes the object again and again."""
    world, touch, tries = world_of(), LATE["hand_over_ownership"].touch, list[int]()

    def again() -> None:
        tries.append(1)
        lay(world, "dr", f"uid-{len(tries)}")
        world.store.meanwhile[KEY] = again

    world.store.meanwhile[KEY] = again
    with pytest.raises(Conflict, match="again and again"):
        touch(world, a_run())
    assert len(tries) == TRIES
