"""Which methods of a world's parts only read: every other one asks for the lease first."""

import inspect

import pytest
from attrs import fields

from drfsm.adapters.fenced import READS, fenced
from drfsm.errors import LeaseLost
from drfsm.world import World, ports

WRITES = {
    "apply", "copy", "copy_many", "create", "delete", "delete_many", "patch", "presigned_url", "put", "write",
    "terminate", "bring_up", "tear_down", "allow", "run", "change", "send",
    "plan", "asked_again", "fetch_kubeconfig",  # they write files, or a record of what was asked
}  # fmt: skip
PARTS = {name: kind for name, kind in vars(ports).items() if getattr(kind, "_is_protocol", False)}
METHODS = {
    name
    for kind in PARTS.values()
    for name, member in vars(kind).items()
    if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
}


def test_every_method_of_a_port_is_known_to_read_or_to_write() -> None:
    """A dry run holds no lease: a reading that was forgotten here would stop it, a writing one would not be stopped."""
    assert not READS & WRITES
    assert set() == METHODS - READS - WRITES
    assert set() == WRITES - METHODS


class _Lost:
    """A lease that another run took over."""

    def check(self) -> None:
        raise LeaseLost("it was taken over")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_only_what_writes_asks_for_the_lease(name: str) -> None:
    """For every method, on a part that has all of them: reads answer, writes are stopped before they are sent."""
    sent: list[str] = []

    class Part:
        def __getattr__(self, method: str) -> object:
            return lambda: sent.append(method)

    world = World(**{part.name: Part() for part in fields(World)})  # type: ignore[arg-type]  # a part that has every method
    part = fenced(world, _Lost()).store  # type: ignore[arg-type]  # it has what is asked of a lease
    if name in READS:
        getattr(part, name)()
    else:
        with pytest.raises(LeaseLost):
            getattr(part, name)()
    assert sent == ([name] if name in READS else [])
