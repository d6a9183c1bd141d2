"""Orders of a transfer, tried on real servers with clients that cache for ever: what is refused, and what is lost.

The order of a whole procedure is its machine's matter. Here is what the actions themselves allow: with the active-site
document no order lets two sites acknowledge writes; with two switches, or a zombie, some do, and docs/endpoints.md
tells of them.
"""

import json
from itertools import permutations
from typing import Any

import pytest

from drfsm.adapters.https import HttpsDoors
from drfsm.errors import ActionFailed, Conflict, Unreachable
from drfsm.sandbox.api_server import ApiServer
from drfsm.sandbox.serving_sites import ADDRESSES, HOST
from drfsm.world import Door
from tests.dr.memory import CONFIGMAP
from tests.endpoints.conftest import Bench
from tests.endpoints.test_gates import Switched

STEPS = ("close_source_gate", "declare_active_site", "move_endpoints", "open_target_gate")
SAFE = STEPS


class Clients:
    """A client that asked once in its life, and one that asks each time; both write wherever their address leads."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.count = bench, 0
        self.stubborn, self.fresh = bench.sites.client(for_ever=True), bench.sites.client()
        self.stubborn.address(HOST)

    def write(self) -> set[str]:
        """Let both write; return the sites that acknowledged."""
        self.fresh.kept.clear()
        acknowledged = set()
        for client in (self.stubborn, self.fresh):
            self.count += 1
            address = client.address(HOST)
            door = Door(address, self.bench.sites.port, HOST, self.bench.sites.authorities)
            headers = {"Idempotency-Key": f"write-{self.count}"}
            reply = HttpsDoors().send(door, "POST", "/items", headers=headers, body=b"{}", seconds=5)
            if reply.status == 201:
                acknowledged.add(next(site for site, value in ADDRESSES.items() if value == address))
        return acknowledged


def _taken(bench: Bench, order: tuple[str, ...]) -> tuple[list[set[str]], bool]:
    """Take the steps in an order; return who acknowledged after each, and whether one was refused."""
    clients = Clients(bench)
    acknowledged = [clients.write()]
    for step in order:
        try:
            bench.act(step)
        except Conflict:
            return acknowledged, True
        acknowledged.append(clients.write())
    return acknowledged, False


def _reset(bench: Bench, start: list[Any]) -> None:
    """Let the primary own the name and the writes again, in this process: without a request."""
    from moto.route53.models import route53_backends

    bench.sites.declare("primary")
    bench.epoch += 1
    zone: Any = route53_backends[bench.cloud.account]["aws"].get_hosted_zone(bench.sites.zone)
    start.extend(zone.rrsets if not start else ())
    zone.rrsets = list(start)


def test_with_the_document_no_order_lets_two_sites_acknowledge(bench: Bench) -> None:
    """All 24: what would is refused, and the safe one ends at the new site."""
    ends, start = {}, list[Any]()
    for order in permutations(STEPS):
        _reset(bench, start)
        acknowledged, refused = _taken(bench, order)
        assert all(len(sites) <= 1 for sites in acknowledged), order
        first_of_dr = next((at for at, sites in enumerate(acknowledged) if "dr" in sites), len(acknowledged))
        assert not any("primary" in sites for sites in acknowledged[first_of_dr:]), order
        opened_too_early = order.index("open_target_gate") < order.index("declare_active_site")
        assert refused >= opened_too_early, order
        ends[order] = (refused, acknowledged[-1])
    assert ends[SAFE] == (False, {"dr"})


def test_a_stubborn_client_is_refused_and_never_misled(bench: Bench) -> None:
    """It goes on asking the old site, for ever: its writes are refused there, and nowhere acknowledged and lost."""
    clients = Clients(bench)
    for step in SAFE:
        bench.act(step)
    assert clients.stubborn.address(HOST) == ADDRESSES["primary"]
    assert clients.write() == {"dr"}
    assert not bench.sites.primary.acknowledged


def test_a_write_that_the_old_site_acknowledges_after_the_sync_is_lost(bench: Bench) -> None:
    """Story 1: what was copied before the gate was closed lacks it. After the gate was closed nothing is added."""
    clients = Clients(bench)
    door = Door(ADDRESSES["primary"], bench.sites.port, HOST, bench.sites.authorities)

    def there() -> set[str]:
        items = json.loads(HttpsDoors().read(door, "/items", seconds=5).body)["items"]
        return {item["mark"] for item in items}

    clients.write()
    synced = there()
    clients.write()
    assert there() - synced == {"write-3", "write-4"}  # acknowledged, and not at the new site
    bench.act("close_source_gate")
    synced = there()
    clients.write()
    assert there() == synced


def _by_switch(switched: Switched, site: str) -> int | None:
    """Return an epoch while the site's ConfigMap says that it takes writes: how a server goes by its switch."""
    return 1 if switched.sites[site].objects["ConfigMap", CONFIGMAP]["data"]["API_WRITES"] == "1" else None


def test_with_two_switches_the_new_gate_before_the_old_one_is_refused_or_lets_both_acknowledge(bench: Bench) -> None:
    """Story 2: a switch that is on is seen; of a site that is declared lost nobody sees it, so a fence is needed."""
    switched = Switched(bench)
    for site, server in bench.sites.servers.items():
        _go_by(server, switched, site)
    bench.sites.declare("dr", "closed")  # declared, although nobody closed the old gate
    clients = Clients(bench)
    with pytest.raises(Conflict, match="the gate of primary is not closed"):
        switched.act("open_target_gate")
    assert clients.write() == {"primary"}
    switched.act("open_target_gate", inputs={"primary_unreachable": "yes"})
    bench.act("move_endpoints")
    assert clients.write() == {"primary", "dr"}


def _go_by(server: ApiServer, switched: Switched, site: str) -> None:
    server.gate = lambda: _by_switch(switched, site)


def test_a_zombie_without_a_fence_loses_writes_in_every_order(bench: Bench) -> None:
    """Story 5: it believes for ever that it owns. The tried write says so, before the new gate opens."""
    zombie = bench.sites.primary
    clients = Clients(bench)
    clients.write()
    zombie.is_zombie = True
    for step in ("close_source_gate", "declare_active_site", "move_endpoints"):
        bench.act(step)
    with pytest.raises(ActionFailed, match="api on primary took a write"):
        bench.act("check_both_sites_refuse")
    bench.act("open_target_gate")
    assert clients.write() == {"primary", "dr"}


def test_an_outage_in_the_middle_of_a_move_leaves_the_name_at_one_site(bench: Bench) -> None:
    """The primary is gone: the name moves all the same, and whoever kept the old address reaches nobody."""
    clients = Clients(bench)
    bench.sites.primary.outage()
    bench.inputs = {"primary_unreachable": "yes"}
    for step in SAFE:
        bench.act(step)
    assert bench.fact("endpoint_serving") == "serves"
    with pytest.raises(Unreachable):
        clients.write()
