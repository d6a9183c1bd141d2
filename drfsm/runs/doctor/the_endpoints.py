"""Could users be led to the other site today? Each name's records, the servers behind it, and what resolvers still say.

Only for a contract that declares endpoints. Every name is asked for as users ask for it, not as a drill does.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from drfsm.errors import DrfsmError
from drfsm.runs.doctor.findings import Finding, Look, finding, unread

if TYPE_CHECKING:
    from drfsm.dr.endpoints import declared as of_contract


def names(look: Look) -> Iterator[Finding]:
    """Find names that lead astray, whose records stay in caches for too long, or of which a resolver says otherwise."""
    due = _due(look) if look.terms.workload.endpoints else ("", "")
    yield from _of_each(look, "records", lambda name, entry: _records(look, name, entry, due))
    yield from _of_each(look, "resolvers", lambda name, entry: _resolvers(look, name, entry))


def servers(look: Look) -> Iterator[Finding]:
    """Find a site that fails the contract's checks, asked at its own address."""
    from drfsm.dr.endpoints import declared, serving

    def behind(name: str, entry: "of_contract.Moving") -> Iterator[Finding]:
        endpoint = entry.endpoint
        for site in ("primary", "dr"):
            door = declared.door_of(endpoint, serving.address_of(endpoint, site))
            for fault in serving.faults_of(look.world, look.run, door, endpoint.checks):
                yield finding("endpoint_does_not_serve", f"{site}: endpoint {name}", fault)

    yield from _of_each(look, "servers", behind)


def active_site(look: Look) -> Iterator[Finding]:
    """Hold the active-site document against the owner of the pointers."""
    from drfsm.dr.endpoints import active

    if not look.terms.workload.endpoints:
        return
    owner, document = _owner(look), active.read(look.store, look.terms.layout.own("active.json"))
    if "why" in document:
        yield finding("active_site_is_wrong", "active site", document["why"])
    elif document["site"] is None:
        yield finding("active_site_is_wrong", "active site", "nobody has declared it, so servers refuse every write")
    elif owner and document["site"] != owner:
        words = f"the document names {document['site']}, and the pointers are {owner}'s"
        yield finding("active_site_is_wrong", "active site", words)
    elif document["writes"] != active.OPEN:
        words = f"writes are {document['writes']} since {document['since']}, by {document['run']}"
        yield finding("active_site_is_wrong", "active site", words)


def _owner(look: Look) -> str:
    from drfsm.dr.pointers import ownership

    return str(ownership.read(look.store, look.terms.layout.own("ownership.json"))["site"] or "")


def _due(look: Look) -> tuple[str, str]:
    """Return (where a name has to lead, why): to the owner of the pointers, else to the active site; "": not known."""
    from drfsm.dr.endpoints import active

    if owner := _owner(look):
        return owner, f"the pointers are {owner}'s"
    site = active.read(look.store, look.terms.layout.own("active.json"))["site"]
    return (site, f"the active-site document names {site}") if site in ("primary", "dr") else ("", "")


def _of_each(look: Look, what: str, how: "Callable[[str, of_contract.Moving], Iterator[Finding]]") -> Iterator[Finding]:
    """Yield what is found of each name: one that can't be read hides nothing of another."""
    from drfsm.dr.endpoints import declared

    for name, endpoint in look.terms.workload.endpoints.items():
        try:
            yield from how(name, declared.Moving(endpoint, endpoint.host))
        except DrfsmError as fault:
            yield unread(f"{what} of endpoint {name}", fault)


def _records(look: Look, name: str, entry: "of_contract.Moving", due: tuple[str, str]) -> Iterator[Finding]:
    from drfsm.dr.endpoints import records, routing

    seen = routing.see(look.world, look.run, name, entry)
    site, words = routing.site_of(entry.endpoint, seen)
    if site != due[0] and (due[0] or site not in ("primary", "dr")):
        yield finding("endpoint_is_astray", f"endpoint {name}", "; ".join(filter(None, (words, due[1]))))
    ttl, most = records.longest_ttl(seen["records"]), entry.endpoint.ttl
    if ttl > most:
        yield finding("endpoint_ttl_is_high", f"endpoint {name}", f"its TTL is {ttl} s, and the contract says {most} s")


def _resolvers(look: Look, name: str, entry: "of_contract.Moving") -> Iterator[Finding]:
    from drfsm.dr.endpoints import declared

    endpoint = entry.endpoint
    if not endpoint.resolvers:
        return

    def said(server: str) -> set[str]:
        return {*declared.names_of(look.world).answer(server, entry.host, endpoint.type).values}

    told = set().union(*map(said, endpoint.name_servers or declared.zones_of(look.world).name_servers(endpoint.zone)))
    for resolver in endpoint.resolvers:
        try:
            known = said(resolver)
        except DrfsmError as fault:
            yield unread(f"resolver {resolver} of endpoint {name}", fault)
            continue
        if known != told:
            words = f"{resolver} says {_listed(known)}, and the zone's own servers say {_listed(told)}"
            yield finding("endpoint_resolver_differs", f"endpoint {name}", words)


def _listed(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "nothing"
