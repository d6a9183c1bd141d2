"""What serves users, in memory: a hosted zone, the servers that speak for it, a resolver, and both sites' APIs."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from attrs import define, field

from drfsm.errors import ActionFailed, Conflict
from drfsm.world import DnsAnswer, Door, HttpReply, RecordChange, RecordSet

HOST, DRILL_HOST, RESOLVER = "api.example.com", "api-drill.example.com", "resolver.example.com"
NAME_SERVERS = ("ns1.example.com", "ns2.example.com")
ADDRESSES: Mapping[str, str] = {"primary": "192.0.2.10", "dr": "198.51.100.10"}
CANARY = {
    "create": "/items", "body": '{"note": "{key}"}', "item": "/items/{id}", "list": "/items?mark={key}",
    "items": "items", "key": "mark",
}  # fmt: skip
ENDPOINT = {
    "host": HOST, "drill_host": DRILL_HOST, "zone": "Z0123456789ABC", "routing": "weighted", "ttl": 60,
    **{site: {"address": address} for site, address in ADDRESSES.items()},
    "checks": {"health": {"path": "/healthz"}}, "canary": CANARY,
}  # fmt: skip
DOCUMENT_GATE = {"gate": "document", "keys": ["api/items"]}
CONFIGMAP_GATE = {
    "gate": "configmap",
    "keys": ["api/items"],
    "switches": {"on": {"TAKES": "1", "SHOWS": "1"}, "off": {"TAKES": "0", "SHOWS": "0"}},
}
REPLICATED = {"gate": "document", "replication": {"path": "/replicated", "body": "{}"}}


def records(owner: str, host: str = HOST, *, ttl_seconds: int = 60) -> list[RecordSet]:
    """Return a name's weighted records, which lead to a site."""
    return [
        {
            "Name": f"{host}.", "Type": "A", "TTL": ttl_seconds, "SetIdentifier": site,
            "Weight": 100 if site == owner else 0, "ResourceRecords": [{"Value": address}],
        }
        for site, address in ADDRESSES.items()
    ]  # fmt: skip


@define
class Zones:
    """A hosted zone: name -> its records."""

    sets: dict[str, list[RecordSet]] = field(factory=dict)
    denied: bool = False  # whether we may change nothing

    def records(self, _zone: str, name: str) -> Sequence[RecordSet]:
        """Return the records of a name."""
        return deepcopy(self.sets.get(name, []))

    def name_servers(self, _zone: str) -> Sequence[str]:
        """Return who speaks for it."""
        return NAME_SERVERS

    def change(self, _zone: str, changes: Sequence[RecordChange], _comment: str) -> str:
        """Make all changes, or none."""
        if self.denied:
            raise ActionFailed("changing records: AccessDenied")
        after = deepcopy(self.sets)
        for change in changes:
            of_name = after.setdefault(change.record["Name"].rstrip("."), [])
            if (change.record in of_name) != (change.action == "DELETE"):
                raise Conflict("the batch does not fit")
            (of_name.remove if change.action == "DELETE" else of_name.append)(change.record)
        self.sets = after
        return "C1"

    def change_status(self, _change: str) -> str:
        """Return that it has spread."""
        return "INSYNC"


@define
class Names:
    """Name servers that answer by the zone. ``stale``: (server, name) -> what it says instead."""

    zones: Zones
    stale: dict[tuple[str, str], DnsAnswer] = field(factory=dict)

    def answer(self, server: str, name: str, kind: str) -> DnsAnswer:
        """Answer."""
        if (server, name) in self.stale:
            return self.stale[server, name]
        fitting = [
            record for record in self.zones.records("", name) if record["Type"] == kind and record.get("Weight", 1)
        ]
        values = tuple(sorted(entry["Value"] for record in fitting for entry in record["ResourceRecords"]))
        return DnsAnswer(values, min((record["TTL"] for record in fitting), default=0), server in NAME_SERVERS)


@define
class Https:
    """Both sites' APIs. ``ill``: addresses whose checks fail; ``items``: address -> the items there."""

    ill: set[str] = field(factory=set)
    items: dict[str, list[dict[str, Any]]] = field(factory=dict)

    def read(self, door: Door, path: str, *, seconds: float) -> HttpReply:  # noqa: ARG002  the port's signature
        """Answer a GET."""
        wanted = path.partition("mark=")[2]
        body = {"items": [item for item in self.items.get(door.address, []) if item["mark"] == wanted]}
        return HttpReply(503 if door.address in self.ill else 200, {}, json.dumps(body).encode(), 0.1)
