"""Each action, undo, touch and fact of a site asks that very site, never the other one: entry by entry, in memory."""

import json
from copy import deepcopy
from typing import Any

import pytest

from drfsm.dr.sites import fence, publishing, schedules
from drfsm.dr.sites.fence_statement import sid
from tests.dr.memory import CONFIGMAP, MemoryPolicy, MemorySite, MemoryWorld, a_run
from tests.dr.test_freezing import ON, configmap, cronjob, live

ROOMS: dict[str, Any] = {"schedules": schedules, "publishing": publishing}
TABLES = [
    (room, table, name)
    for room, module in ROOMS.items()
    for table in ("ACTIONS", "PROMOTE", "LATE", "FACTS")
    for name in getattr(module, table, {})
    if name.startswith(("primary_", "dr_")) or "_primary_" in f"{name}_" or "_dr_" in f"{name}_"
]


class Apart(MemoryWorld):
    """Two sites, and the names by which they were asked for."""

    asked: list[str]

    def site(self, name: str) -> MemorySite:
        """Return a cluster."""
        self.asked.append(name)
        return super().site(name)


def both() -> Apart:
    """Return a world whose two sites look alike."""
    objects = (cronjob("a"), configmap(ON))
    world = Apart(sites={name: MemorySite(name, *deepcopy(objects)) for name in ("primary", "dr")})
    world.asked = []
    return world


@pytest.mark.parametrize(
    ("room", "table", "name"), TABLES, ids=[f"{room}.{table}.{name}" for room, table, name in TABLES]
)
def test_an_entry_asks_the_site_of_its_name_and_touches_no_other(room: str, table: str, name: str) -> None:
    """A freeze of the wrong site would leave two publishers, or none."""
    site, other = ("primary", "dr") if "primary" in name else ("dr", "primary")
    world, entry = both(), getattr(ROOMS[room], table)[name]
    before = {each: deepcopy(world.sites[each].objects) for each in world.sites}
    images = {
        fact: {**ROOMS[where].FACTS[fact].observe(world, a_run())}
        for where in ROOMS
        for fact in ROOMS[where].FACTS
        if fact.endswith(f"_{where}")
    }
    images = {fact: _otherwise(image) for fact, image in images.items()}
    world.asked.clear()
    run = a_run(undoing=images, inputs={"taker": site})
    act = entry.touch if table == "LATE" else entry.observe if table == "FACTS" else entry
    try:
        act(world, run)
    finally:
        assert set(world.asked) == {site}
    assert world.sites[other].objects == before[other]
    unchanged = table == "FACTS" or (table != "LATE" and name in ALREADY)
    assert (world.sites[site].objects == before[site]) is unchanged


ALREADY = {"enable_primary_publishing", "enable_dr_publishing", "resume_primary_schedules", "resume_dr_schedules"}
"""What both sites are already, so that there is nothing to do."""


def _otherwise(image: Any) -> Any:
    """Return an image that an undo has something to do for."""
    if "PUBLISH_S3" in image:
        return {**image, "before": json.dumps({"data": ON})}
    return {name: {**entry, "suspend": True} for name, entry in image.items()}


@pytest.mark.parametrize("site", ["primary", "dr"])
def test_a_fence_is_raised_and_lifted_for_the_site_of_its_name(site: str) -> None:
    """The other site's identity is denied nothing."""
    world = MemoryWorld(policy=MemoryPolicy())
    actions: Any = fence.ACTIONS
    actions[f"raise_{site}_fence"](world, a_run())
    (statement,) = json.loads(world.policy.raw or "")["Statement"]
    assert statement["Sid"] == sid(site, "jobintel")
    assert statement["Condition"]["ArnEquals"]["aws:PrincipalArn"].endswith(f"/{site}")
    actions[f"lift_{site}_fence"](world, a_run())
    assert world.policy.raw is None


def test_a_write_of_the_policy_replaces_all_of_it_so_its_late_landing_is_waited_for() -> None:
    """It has no condition: also where a second request did it, the first may still land over what came since."""
    late: Any = fence.LATE
    assert set(late) == {f"{act}_{site}_fence" for act in ("raise", "lift") for site in ("primary", "dr")}
    assert all(each.overwrites and each.settles and each.touch is None for each in late.values())


def test_the_mark_of_a_touch_is_an_annotation_that_docs_name() -> None:
    """Operators see it on their objects, and older versions' runs know it."""
    world = both()
    publishing.LATE["silence_dr"].touch(world, a_run())  # type: ignore[misc]
    assert "drfsm/epoch" in live(world, "ConfigMap", CONFIGMAP)["metadata"]["annotations"]
