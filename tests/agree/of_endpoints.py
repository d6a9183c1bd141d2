"""The tables of the facts of a workload that serves: its names, the active-site document, the gate, its servers."""

import json
from typing import Any, cast

from drfsm.dr import workload as contracts
from drfsm.dr.endpoints import claim
from drfsm.dr.endpoints.canary import key_of
from drfsm.world import DnsAnswer
from tests.agree.cases import Case, Change, Table, case, given
from tests.agree.of_inputs import BLANK, LOST, WORDS
from tests.agree.of_sites import DR_LOST, switches
from tests.agree.serving import (
    ADDRESSES,
    CONFIGMAP_GATE,
    DOCUMENT_GATE,
    ENDPOINT,
    HOST,
    NAME_SERVERS,
    REPLICATED,
    RESOLVER,
    Https,
    Names,
    Zones,
    records,
)
from tests.agree.world import TARGETS, Place

PASSED, WAITING = "2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z"
STRANGER = "203.0.113.9"


def site_of(place: Place, which: str) -> str:
    """Return the name of the ``source`` or the ``target`` site of a machine."""
    target = TARGETS[place.machine]
    return target if which == "target" else {"dr": "primary", "primary": "dr"}[target]


def zones(place: Place) -> Zones:
    """Return the hosted zone."""
    return cast("Zones", place.world.zones)


def names(place: Place) -> Names:
    """Return the name servers."""
    return cast("Names", place.world.names)


def serves(writes: dict[str, Any] | None = None, **changes: Any) -> Change:
    """Return a change: the contract declares an endpoint, whose name leads to the source. ``changes``: of its keys."""

    def declare(place: Place) -> None:
        contract = json.loads(place.inputs["workload"])
        endpoint = {name: value for name, value in {**ENDPOINT, **changes}.items() if value is not None}
        contract |= {"endpoints": {"api": endpoint}, "writes": writes or DOCUMENT_GATE}
        place.set(workload=contracts.canonical(contracts.read(json.dumps(contract))), endpoints="asked")
        leads("source")(place)

    return declare


def leads(which: str, *, ttl_seconds: int = 60) -> Change:
    """Return a change: the name's records lead to the source or the target."""

    def lead(place: Place) -> None:
        zones(place).sets[HOST] = records(site_of(place, which), ttl_seconds=ttl_seconds)

    return lead


def claimed(which: str, until: str = PASSED) -> Change:
    """Return a change: a claim names the source or the target."""

    def add(place: Place) -> None:
        made = claim.Claim(site_of(place, which), 1, "run-1", until, "0" * 32)
        zones(place).sets[claim.host_of(HOST)] = [claim.record_of(HOST, made)]

    return add


def says(server: str, name: str, *values: str, authoritative: bool = True) -> Change:
    """Return a change: one name server says something else than the zone."""
    return lambda place: names(place).stale.update({(server, name): DnsAnswer(values, 60, authoritative)})


def addresses(server: str, which: str) -> Change:
    """Return a change: one name server gives the address of the source or of the target."""
    return lambda place: says(server, HOST, ADDRESSES[site_of(place, which)])(place)


def edited(**fields: Any) -> Change:
    """Return a change: somebody changed the first record of the name."""
    return lambda place: zones(place).sets[HOST][0].update(fields)


def document(which: str, writes: str = "open", **fields: Any) -> Change:
    """Return a change: the active-site document names a site: source, target, or what is said."""

    def write(place: Place) -> None:
        site = site_of(place, which) if which in ("source", "target") else which
        said = {
            "schema_version": 1, "site": site, "writes": writes, "epoch": 1, "lease_epoch": 0, "run": "setup",
            "since": PASSED, "nonce": "0" * 32, **fields,
        }  # fmt: skip
        place.store.lay(place.layout.own("active.json"), json.dumps(said).encode())

    return write


def ill(which: str) -> Change:
    """Return a change: a site fails its checks."""
    return lambda place: cast("Https", place.world.https).ill.add(ADDRESSES[site_of(place, which)])


def left(what: str) -> Change:
    """Return a change: what this run wrote is still on the target."""

    def write(place: Place) -> None:
        items = cast("Https", place.world.https).items
        items[ADDRESSES[site_of(place, "target")]] = [{"id": "1", "mark": key_of(place.run(), what)}]

    return write


SERVES, SWITCHED = serves(), serves(CONFIGMAP_GATE)
DRILL = given(target="drill")
ACCEPTED = given(missing_writes_accepted=WORDS)
NAMES: Table = {
    "endpoint_site": (
        case("old", "its records lead to the source", SERVES),
        case("new", "its records lead to the target, and the claim agrees", SERVES, leads("target"), claimed("target")),
        case("mixed", "moved by hand: its claim names the source", SERVES, leads("target"), claimed("source")),
        case("mixed", "both records have a weight", SERVES, edited(Weight=1), lambda place:
             zones(place).sets[HOST][1].update(Weight=1)),
        case("other", "a record leads to a stranger", SERVES, edited(ResourceRecords=[{"Value": STRANGER}])),
        case("other", "a record has a health check", SERVES, edited(HealthCheckId="hc")),
        case("other", "there is no record", SERVES, lambda place: zones(place).sets.clear()),
        case(None, "the contract has no endpoints"),
        case(None, "a rehearsal without a name of its own moves none", serves(drill_host=None), DRILL, only="promote"),
    ),
    "endpoint_ttl": (
        case("low", "as the contract says", SERVES),
        case("high", "higher", SERVES, leads("source", ttl_seconds=300)),
    ),
    "endpoint_insync": (
        case("none", "there is no claim", SERVES),
        case("yes", "every server has the claim", SERVES, claimed("source")),
        case("no", "one has none", SERVES, claimed("source"), says(NAME_SERVERS[1], claim.host_of(HOST))),
        case("no", "one has another", SERVES, claimed("source"),
             says(NAME_SERVERS[1], claim.host_of(HOST), claim.text_of(claim.Claim("dr", 1, "run", PASSED, "n")))),
    ),
    "endpoint_seen": (
        case("old", "every server gives the source's address", SERVES),
        case("new", "every server gives the target's address", SERVES, leads("target")),
        case("mixed", "one server lags", SERVES, leads("target"), addresses(NAME_SERVERS[0], "source")),
        case("other", "one gives a stranger's", SERVES, says(NAME_SERVERS[0], HOST, STRANGER)),
        case("other", "one gives none", SERVES, says(NAME_SERVERS[0], HOST)),
        case("other", "one does not speak for the zone", SERVES,
             says(NAME_SERVERS[0], HOST, ADDRESSES["primary"], authoritative=False)),
        case(None, "the contract has no endpoints"),
    ),
    "endpoint_caches": (
        case("passed", "nothing was changed", SERVES),
        case("passed", "what was changed is long ago", SERVES, claimed("source")),
        case("waiting", "what was changed is not", SERVES, claimed("source", WAITING)),
    ),
    "endpoint_resolvers": (
        case("none", "none is declared", SERVES),
        case("new", "it gives the target's address", serves(resolvers=[RESOLVER]), leads("target")),
        case("stale", "it gives the source's address", serves(resolvers=[RESOLVER])),
    ),
    "endpoint_serving": (
        case("serves", "where it leads passes", SERVES),
        case("fails", "where it leads does not", SERVES, ill("source")),
        case("fails", "where one server still leads does not", SERVES, leads("target"),
             addresses(NAME_SERVERS[0], "source"), ill("source")),
        case("serves", "where it leads no longer does not matter", SERVES, leads("target"), ill("source")),
        case("fails", "it leads nowhere", SERVES, lambda place: zones(place).sets.clear()),
        case(None, "the contract has no endpoints"),
    ),
}  # fmt: skip


def _gate(site: str, lost: Change, machine: str) -> tuple[Case, ...]:
    other = {"dr": "primary", "primary": "dr"}[site]
    on, off = switches(site, TAKES="1", SHOWS="1"), switches(site, TAKES="0", SHOWS="0")
    return (
        case("open", "the document names it", SERVES, document(site)),
        case("closed", "closed by the document", SERVES, document(site, "closed")),
        case("closed", "the document names the other site", SERVES, document(other)),
        case("closed", "there is no document", SERVES),
        case("open", "its switch is on", SWITCHED, document(other), on),
        case("closed", "its switch is off", SWITCHED, document(other), off),
        case("mixed", "half of it is on", SWITCHED, off, switches(site, TAKES="1")),
        case("closed", "it is lost: the document says so", SWITCHED, document(site, "closed"), on, lost, only=machine),
        case(None, "nobody can read the document", SERVES, document(site, writes="ajar")),
        case(None, "the contract has no endpoints"),
    )


def _serving(site: str) -> tuple[Case, ...]:
    return (
        case("serves", "it passes", SERVES),
        case("fails", "it does not", SERVES, ill("target")),
        case("serves", "the other site does not matter", SERVES, ill("source")),
        case("serves", f"a rehearsal looks at {site}, too", SERVES, DRILL, only="promote"),
        case(None, "the contract has no endpoints"),
    )


SITES: Table = {
    "active_site": (
        case("old", "the source", SERVES, document("source")),
        case("new", "the target", SERVES, document("target")),
        case("none", "there is no document", SERVES),
        case(None, "it can't be read", SERVES, document("elsewhere")),
        case(None, "it is of a later version", SERVES, document("source", schema_version=2)),
    ),
    "primary_gate": _gate("primary", LOST, "promote"),
    "dr_gate": _gate("dr", DR_LOST, "failback"),
    "primary_serving": _serving("the primary"),
    "dr_serving": _serving("DR"),
    "endpoint_replication": (
        case("none", "what is written lies in the bucket", SERVES),
        case("current", "its check passes on the target", serves(REPLICATED)),
        case("current", "it passes, whatever a person accepts", serves(REPLICATED), ACCEPTED),
        case("behind", "it does not", serves(REPLICATED), ill("target")),
        case("accepted", "it does not, and a person goes on without", serves(REPLICATED), ill("target"), ACCEPTED),
        case("behind", "for no reason", serves(REPLICATED), ill("target"), given(missing_writes_accepted=BLANK)),
    ),
    "users": (
        case("move", "names lead to another site at the end", SERVES),
        case("stay", "the contract has no endpoints"),
        case("stay", "a rehearsal only looks", SERVES, given(endpoints="checked"), only="promote"),
    ),
    "canary": (
        case("clean", "nothing of this run is there", SERVES),
        case("left", "what it wrote is there", SERVES, left("canary")),
        case("left", "what should have been refused is there", SERVES, left("refusal")),
        case("none", "the contract has no endpoints"),
    ),
}


def denied(place: Place) -> None:
    """Let us change no record."""
    zones(place).denied = True


RIGHTS: Table = {
    "record_rights": (
        case("granted", "a name's records may be changed", SERVES),
        case("missing", "a name's records may not be changed", SERVES, denied),
        case("granted", "no name is moved, so nobody asks", denied),
    )
}
OF_ENDPOINTS: Table = {**NAMES, **SITES, **RIGHTS}
