"""Which endpoints of the contract a run acts on, under which names, and how a site behind one is reached.

A rehearsal moves the names that the contract declares for drills, and no other; it looks at all of them.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import frozen

from drfsm.dr.terms import Terms
from drfsm.dr.workload import Endpoint, Workload
from drfsm.errors import ActionFailed, Unreadable, UsageFault
from drfsm.world import Door, HostedZones, Https, Names, World

T = TypeVar("T")
NONE, ASKED, CHECKED = "none", "asked", "checked"


@frozen
class Moving:
    """An endpoint that a run moves: its contract, and the name whose records are written."""

    endpoint: Endpoint
    host: str


def moving(terms: Terms) -> dict[str, Moving]:
    """Return what this run moves, by the endpoints' names: {} where the contract declares none."""
    declared = terms.workload.endpoints
    if terms.is_rehearsal:
        return {name: Moving(entry, entry.drill_host) for name, entry in declared.items() if entry.drill_host}
    return {name: Moving(entry, entry.host) for name, entry in declared.items()}


def declared(terms: Terms) -> Mapping[str, Endpoint]:
    """Return every endpoint of the contract, by its name."""
    return terms.workload.endpoints


def scope_of(contract: Workload, *, rehearsal: bool = False) -> str:
    """Return the input ``endpoints`` of a run by its contract: none, asked, or checked.

    A rehearsal moves the names that are declared for drills. Where there are none it only looks: ``checked``.
    """
    if not contract.endpoints:
        return NONE
    movable = not rehearsal or any(endpoint.drill_host for endpoint in contract.endpoints.values())
    return ASKED if movable else CHECKED


def door_of(endpoint: Endpoint, address: str) -> Door:
    """Return how a server at an address is asked: always for the endpoint's own name."""
    return Door(address, endpoint.port, endpoint.host, endpoint.ca)


def zones_of(world: World) -> HostedZones:
    """Return the world's hosted zones."""
    return _there(world.zones, "hosted zones")


def names_of(world: World) -> Names:
    """Return what asks name servers."""
    return _there(world.names, "name servers")


def https_of(world: World) -> Https:
    """Return what asks a site's servers."""
    return _there(world.https, "HTTPS servers")


def check_readable(read: Callable[[], object]) -> None:
    """Raise ActionFailed where ``read`` can't read what is about to be written: nobody else could, either."""
    try:
        read()
    except Unreadable as fault:
        raise ActionFailed(
            f"it is not written, since nobody could read it again: {fault.what}",
            hint="find out who wrote what is there now; restore its earlier version, then `drfsm resume`",
            fault="store",
        ) from None


def _there(part: T | None, what: str) -> T:
    if part is None:
        raise UsageFault(f"the contract declares endpoints, and this world has no access to {what}")
    return part
