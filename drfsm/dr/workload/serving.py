"""What a contract says of a workload that serves: its endpoints, their checks and canaries, and its write gate. Pure.

An endpoint is one name that leads to one of the two sites. declare_serving.py reads it; dr/endpoints acts on it.
"""

from collections.abc import Mapping

from attrs import field, frozen

from drfsm.dr.workload.switches import Switches

WEIGHTED, FAILOVER, HEALTH_CHECK = "weighted", "failover", "health_check"
DOCUMENT, CONFIGMAP = "document", "configmap"
SITES = ("primary", "dr")


@frozen
class EndpointSite:
    """Where one site serves. ``record``: the set identifier of its record."""

    address: str  # an IP address; with type CNAME a name
    record: str


@frozen
class Check:
    """One request that a site must answer: GET, some times in a row, each within the time."""

    path: str
    status: tuple[int, ...]
    headers: Mapping[str, str] = field(factory=dict)
    body: str = ""  # a JSON Schema, as JSON; "": the body may be anything
    within_seconds: float = 5.0
    successes: int = 1


@frozen
class Canary:
    """How to write something that is told by its idempotency key, to read it, and to remove it again."""

    create: str  # POST
    body: str  # JSON; {key}
    key_header: str
    id: str  # dotted field of the created item's id in the answer
    item: str  # GET and DELETE; {id}
    list: str  # GET; {key}
    items: str  # dotted field of the list in the answer; "": the answer is the list
    key: str  # dotted field of an item's idempotency key
    created: tuple[int, ...]
    refused: tuple[int, ...]  # how a site says that it takes no writes
    within_seconds: float


@frozen
class Endpoint:
    """One name, its records, and the server of each site behind it."""

    host: str
    zone: str
    routing: str
    primary: EndpointSite
    dr: EndpointSite
    checks: Mapping[str, Check]
    type: str = "A"
    ttl: int = 60  # seconds; the most that records may have when they are moved
    port: int = 443
    canary: Canary | None = None  # None: it takes no writes
    drill_host: str = ""  # what a drill moves; "": a drill only looks
    ca: str = ""  # PEM; "": the authorities that the system trusts
    health_check: str = ""  # the id, where routing is by a health check on an object
    name_servers: tuple[str, ...] = ()  # of the zone; (): those that the zone itself names
    resolvers: tuple[str, ...] = ()  # whose caches are told of

    def site(self, name: str) -> EndpointSite:
        """Return where ``primary`` or ``dr`` serves."""
        return self.primary if name == "primary" else self.dr


@frozen
class Writes:
    """What decides whether a site takes writes, and where what was written lies."""

    gate: str
    switches: Switches | None = None  # of the ConfigMap, where that is the gate
    keys: tuple[str, ...] = ()  # folders below the prefix, which a fence denies too
    replication: Check | None = None  # on the new owner, where data lies elsewhere: whether it has every write
