"""A world of one's own behind a fuse: what is asked of it is on record, and the process can die at each request."""

from typing import Any

import pytest
from attrs import define, field

from drfsm.testing import Crash, Fuse, Recorded


@define
class Disk:
    """A thing in the world."""

    files: dict[str, str] = field(factory=dict)

    def write(self, name: str, *, text: str) -> int:
        """Write a file; return its length."""
        self.files[name] = text
        return len(text)


@define
class Host:
    """A world."""

    disk: Disk
    name: str = "a"
    disks: dict[str, Disk] = field(factory=dict)


def test_calls_are_on_record_with_their_path_and_arguments() -> None:
    """A method of an object in the world is called as it is, and told by its path."""
    fuse = Fuse()
    host = Recorded(Host(Disk(), disks={"b": Disk()}), fuse)
    assert host.disk.write("x", text="abc") == 3
    assert host.name == "a"
    host.name = "c"
    assert Recorded.of(host).name == "c"
    assert [told[1:] for told in fuse.seen] == [("disk.write", "'x', text='abc'"), ("name", "'c'")]
    calls = ("the call disk.write", "the call name")
    assert fuse.trail == [f"{when} {call}" for call in calls for when in ("before", "after")]


@pytest.mark.parametrize(("point", "written"), [(0, False), (1, True)])
def test_the_process_dies_before_or_after_a_request(point: int, written: bool) -> None:
    """Before it nothing has happened; after it, everything."""
    disk = Disk()
    with pytest.raises(Crash):
        Recorded(disk, Fuse(point)).write("x", text="abc")
    assert ("x" in disk.files) == written


def test_a_dictionary_is_a_world_too() -> None:
    """Items are set and removed by requests; reading one is none; it is equal to what it stands for."""
    fuse = Fuse()
    room: Any = Recorded({"light": "off", "door": "open"}, fuse)
    room["light"] = "on"
    del room["door"]
    room.update(window="shut")
    assert (room["light"], "door" in room, len(room), bool(room)) == ("on", False, 2, True)
    assert room == {"light": "on", "window": "shut"}
    assert sorted(room) == ["light", "window"]
    assert dict(room) == {"light": "on", "window": "shut"}
    assert [told[1] for told in fuse.seen] == ["['light']", "del ['door']", "update", "keys"]


def test_while_a_fact_is_observed_nothing_is_a_point() -> None:
    """To die then is to die before the next write; what is read is on record all the same."""
    fuse = Fuse(0)
    fuse.observing = True
    assert Recorded(Disk(), fuse).write("x", text="abc") == 3
    assert (fuse.points, len(fuse.seen)) == (0, 1)
