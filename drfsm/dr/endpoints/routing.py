"""Where an endpoint's name leads: facts of its records, its name servers and its caches, and what moves them.

Every write is one batch: the records that were read are deleted, what they become is created, and so is a new claim in
place of the one that was read (claim.py). If anybody changed anything in between, Route 53 refuses all of it. A batch
whose response was lost is found again by the claim's nonce. Moving is forward only; a TTL is restored exactly.

A change spreads in a minute or so. While its id is known, Route 53 is asked (INSYNC). After a crash the id is gone:
``await_endpoints_insync`` writes a claim anew, which is a change of its own, and waits for that one. That name servers
have the records is *seen* by asking each that speaks for the zone, never a resolver.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from drfsm.claims import moment, seconds_between
from drfsm.dr.endpoints import claim, records, switch
from drfsm.dr.endpoints.claim import Claim
from drfsm.dr.endpoints.declared import Moving, check_readable, moving, names_of, zones_of
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import HEALTH_CHECK, SITES, Endpoint
from drfsm.engine import Fact, Late, Run
from drfsm.errors import ActionFailed, Conflict, Unreachable, Unreadable
from drfsm.world import DnsAnswer, RecordChange, RecordSet, World

POLL_SECONDS = 1.0
SPREAD_SECONDS = 600.0
"""How long a change may stay PENDING. Most are INSYNC within a minute."""
INSYNC = "INSYNC"
LONGEST_SECONDS = 7 * 86400.0
"""How long a claim is believed to wait. No cache keeps more for longer: RFC 8767, section 4."""
IN_WORDS = "in_words"
"""What a message shows of an observation, beside the endpoints' names."""
_NEVER = "1970-01-01T00:00:00Z"
_WAIVE = "set what is meant, then `drfsm resume`; or `drfsm request waive_undo --reason …`"


# --- what is there ---------------------------------------------------------------------------------------


def see(world: World, run: Run, name: str, entry: Moving) -> dict[str, Any]:
    """Return an endpoint's routing records, whole, its claim, and what its health check follows."""
    seen: dict[str, Any] = {"records": _routing(world, entry), **_claim_seen(world, entry)}
    if entry.endpoint.routing == HEALTH_CHECK:
        seen |= _object_seen(world, run, name)
        check = zones_of(world).health_check(entry.endpoint.health_check)
        seen["check"] = switch.fault_of(check, world.store.bucket, _key(run, name))
    return seen


def _routing(world: World, entry: Moving) -> list[RecordSet]:
    return records.routing_of(zones_of(world).records(entry.endpoint.zone, entry.host))


def _claim_records(world: World, entry: Moving) -> list[RecordSet]:
    return list(zones_of(world).records(entry.endpoint.zone, claim.host_of(entry.host)))


def _claim_seen(world: World, entry: Moving) -> dict[str, Any]:
    try:
        current = claim.read(_claim_records(world, entry), entry.host)
    except Unreadable as fault:
        return {"claim": None, "why": fault.what}
    return {"claim": current and current.seen()}


def _key(run: Run, name: str) -> str:
    return terms_of(run.inputs).layout.own(switch.name_of(name))


def _object_seen(world: World, run: Run, name: str) -> dict[str, Any]:
    try:
        current, _ = switch.read(world.store, _key(run, name))
    except Unreadable as fault:
        return {"object": None, "why": fault.what}
    return {"object": current and current.seen()}


def _observe_sites(world: World, run: Run) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        seen[name] = see(world, run, name, entry)
        seen[name]["in_words"] = site_of(entry.endpoint, seen[name])[1]
    words = "; ".join(f"{name}: {image['in_words']}" for name, image in seen.items())
    return {**({IN_WORDS: words} if words else {}), **seen}


def site_of(endpoint: Endpoint, seen: Mapping[str, Any]) -> tuple[str, str]:
    """Return (primary, dr, mixed or other; why) for what was seen of an endpoint."""
    site, words = records.site_of(endpoint, seen["records"])
    if seen.get("why"):
        return records.OTHER, str(seen["why"])
    if endpoint.routing == HEALTH_CHECK:
        return _by_object(endpoint, seen, site, words)
    claimed = (seen.get("claim") or {}).get("site", site)
    if site in SITES and claimed != site:
        return records.MIXED, f"{words}; its claim names {claimed}: somebody moved it by hand"
    return site, words


def _by_object(endpoint: Endpoint, seen: Mapping[str, Any], site: str, words: str) -> tuple[str, str]:
    roles = {record.get("Failover"): record for record in seen["records"]}
    follows = (roles.get("PRIMARY") or {}).get("HealthCheckId") == endpoint.health_check
    if site != "primary" or not follows:
        return records.OTHER, f"{words}; PRIMARY must lead to the primary site and follow the declared health check"
    if seen["check"]:
        return records.OTHER, str(seen["check"])
    named = (seen.get("object") or {}).get("site", "primary")  # without an object the check finds nothing
    return str(named), f"the routing object names {named}"


def _judge_sites(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """Judge where all endpoints lead: old, new, mixed or other. A run that moves no name does not know."""
    terms = terms_of(inputs)
    entries = moving(terms)
    names = [name for name, image in seen.items() if isinstance(image, Mapping)]  # the rest is words
    if not names:
        return None
    sites = {site_of(entries[name].endpoint, seen[name])[0] if name in entries else records.OTHER for name in names}
    if records.OTHER in sites or len(sites) > 1:
        return records.OTHER if records.OTHER in sites else records.MIXED
    return {terms.source_site: "old", terms.target_site: "new"}.get(sites.pop(), records.MIXED)


def _observe_ttl(world: World, run: Run) -> dict[str, Any]:
    """See the routing records and nothing else: it is what an undo gives back."""
    return {name: {"records": _routing(world, entry)} for name, entry in moving(terms_of(run.inputs)).items()}


def _judge_ttl(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    entries = moving(terms_of(inputs))
    high = [
        name
        for name in seen
        if name not in entries or records.longest_ttl(seen[name]["records"]) > entries[name].endpoint.ttl
    ]
    return "high" if high else "low"


# --- what name servers say -------------------------------------------------------------------------------


def _servers(world: World, endpoint: Endpoint) -> tuple[str, ...]:
    return tuple(endpoint.name_servers or zones_of(world).name_servers(endpoint.zone))


def _observe_seen(world: World, run: Run) -> dict[str, Any]:
    """Ask every server that speaks for a zone where the names lead."""
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        answers = {
            server: names_of(world).answer(server, entry.host, entry.endpoint.type)
            for server in _servers(world, entry.endpoint)
        }
        seen[name] = {server: _said(answer) for server, answer in answers.items()}
    return seen


def _said(answer: DnsAnswer) -> dict[str, Any]:
    return {"values": list(answer.values), "authoritative": answer.authoritative}


def _judge_seen(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    terms = terms_of(inputs)
    entries = moving(terms)
    verdicts: set[str] = set()
    for name, servers in seen.items():
        endpoint = entries[name].endpoint if name in entries else None
        for answer in servers.values():
            verdicts.add(_verdict(endpoint, answer, terms.target_site) if endpoint else records.OTHER)
    if not seen:
        return None
    if records.OTHER in verdicts or not verdicts:
        return records.OTHER
    return verdicts.pop() if len(verdicts) == 1 else records.MIXED


def _verdict(endpoint: Endpoint, answer: Mapping[str, Any], target: str) -> str:
    sites = {endpoint.primary.address: "primary", endpoint.dr.address: "dr"}
    named = {sites.get(value, records.OTHER) for value in answer["values"]}
    if not answer["authoritative"] or not named or records.OTHER in named:
        return records.OTHER
    if len(named) > 1:
        return records.MIXED
    return "new" if named == {target} else "old"


def _observe_insync(world: World, run: Run) -> dict[str, Any]:
    """Compare the claim that Route 53 lists with the one that each name server gives."""
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        current = (_claim_seen(world, entry)["claim"] or {}).get("nonce")
        answers = {
            server: names_of(world).answer(server, claim.host_of(entry.host), "TXT")
            for server in _servers(world, entry.endpoint)
        }
        seen[name] = {
            "listed": current,
            "served": {server: _nonce(answer, entry.host) for server, answer in answers.items()},
        }
    return seen


def _nonce(answer: DnsAnswer, host: str) -> str | None:
    try:
        return claim.parsed(answer.values[0], host).nonce if answer.values else None
    except Unreadable:
        return None


def _judge_insync(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str:
    if not seen or all(entry["listed"] is None for entry in seen.values()):
        return "none"
    same = all(set(entry["served"].values()) == {entry["listed"]} for entry in seen.values())
    return "yes" if same else "no"


def _observe_caches(world: World, run: Run) -> dict[str, Any]:
    """See until when caches that keep to TTLs may still have what was there before."""
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        current = _object_seen(world, run, name)["object"] if entry.endpoint.routing == HEALTH_CHECK else None
        untils = [said["until"] for said in (current, _claim_seen(world, entry)["claim"]) if said]
        seen[name] = {"until": max(untils, default=None)}
    untils = [f"{name}: until {image['until']}" for name, image in seen.items() if image["until"]]
    words = {IN_WORDS: f"caches may keep the records of before: {'; '.join(untils)}"} if untils else {}
    return {"now": run.clock.now(), "endpoints": seen, **words}


def _judge_caches(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    now = moment(seen["now"])
    untils = [moment(entry["until"]) for entry in seen["endpoints"].values() if entry["until"]]
    if now is None or None in untils:
        return None
    return "waiting" if any(until > now for until in untils if until is not None) else "passed"


def _observe_resolvers(world: World, run: Run) -> dict[str, Any]:
    """Ask the declared resolvers. What they say is told and guards nothing: a cache may lie for ever."""
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        for server in entry.endpoint.resolvers:
            try:
                answer = names_of(world).answer(server, entry.host, entry.endpoint.type)
            except Unreachable as fault:
                seen.setdefault(name, {})[server] = {"values": [], "why": fault.what}
            else:
                seen.setdefault(name, {})[server] = {"values": list(answer.values), "ttl_seconds": answer.ttl_seconds}
    return seen


def _judge_resolvers(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    terms = terms_of(inputs)
    entries = moving(terms)
    answers = [
        answer["values"] == [entries[name].endpoint.site(terms.target_site).address]
        for name, servers in seen.items()
        if name in entries
        for answer in servers.values()
    ]
    if not answers:
        return "none"
    return "new" if all(answers) else "stale"


# --- what changes it -------------------------------------------------------------------------------------


def _swap(
    world: World, run: Run, entry: Moving, site: str, change: Callable[[list[RecordSet]], list[RecordSet]]
) -> str:
    """Change the routing records, and the claim with them, as they were read; return the change's id.

    ``site``: whom the new claim names. "" where the batch was made and its response got lost. Raises Conflict.
    """
    zones, zone = zones_of(world), entry.endpoint.zone
    if site not in SITES:
        raise _foreign(entry, f"they lead to neither site alone ({site})")
    before, claimed = _routing(world, entry), _claim_records(world, entry)
    current = claim.read(claimed, entry.host)
    _check_epoch(run, current, f"the claim {claim.host_of(entry.host)}")
    after = change(before)
    own = claim.new(site, run.epoch, run.id, _until(run, before, after, current))
    check_readable(partial(claim.parsed, claim.text_of(own), entry.host))
    batch = [
        *(RecordChange("DELETE", record) for record in before if record not in after),
        *(RecordChange("DELETE", record) for record in claimed),
        *(RecordChange("CREATE", record) for record in after if record not in before),
        RecordChange("CREATE", claim.record_of(entry.host, own)),
    ]
    try:
        return zones.change(zone, batch, f"drfsm {run.id}: {entry.host}")
    except (Conflict, Unreachable):
        if _claim_seen(world, entry)["claim"] == own.seen():
            return ""
        raise


def _until(run: Run, before: list[RecordSet], after: list[RecordSet], current: Claim | None) -> str:
    """Return until when caches may have what was there: only a change of the records begins a new wait."""
    earlier = current.until if current else _NEVER
    until = moment(earlier)
    if until and seconds_between(datetime.fromisoformat(run.clock.now()), until) > LONGEST_SECONDS:
        earlier = _after(run, LONGEST_SECONDS)
    return earlier if before == after else max(earlier, _after(run, records.longest_ttl(before)))


def _after(run: Run, seconds: float) -> str:
    until = datetime.fromisoformat(run.clock.now()) + timedelta(seconds=seconds)
    return until.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _check_epoch(run: Run, current: Claim | None, what: str) -> None:
    if terms_of(run.inputs).is_rehearsal:
        return  # each drill has a lease of its own, whose epochs say nothing of another's
    if current is not None and current.epoch > run.epoch:
        raise Conflict(
            f"{what} was written by {current.run} under the epoch {current.epoch}, and this run has {run.epoch}",
            hint="another run took over: `drfsm list`",
        )


def _spread(world: World, run: Run, change: str, host: str) -> None:
    """Wait until every name server has a change. Raises Unreachable where that takes too long."""
    begun = datetime.fromisoformat(run.clock.now())
    while (status := zones_of(world).change_status(change)) != INSYNC:
        run.check()
        if seconds_between(begun, datetime.fromisoformat(run.clock.now())) > SPREAD_SECONDS:
            raise Unreachable(
                f"the change {change} of {host} is still {status} after {SPREAD_SECONDS:.0f} s", hint="drfsm resume"
            )
        run.clock.sleep(POLL_SECONDS)


def _move(target: Callable[[Run], str]) -> Callable[[World, Run], Any]:
    """Lead every endpoint to a site, and wait until its name servers have that."""

    def move(world: World, run: Run) -> dict[str, Any]:
        site, done = target(run), {}
        for name, entry in moving(terms_of(run.inputs)).items():
            run.check()
            done[name] = _moved(world, run, name, entry, site)
        return {"site": site, "endpoints": done}

    return move


def _moved(world: World, run: Run, name: str, entry: Moving, site: str) -> dict[str, Any]:
    seen = see(world, run, name, entry)
    now, words = site_of(entry.endpoint, seen)
    if now not in SITES:
        raise _foreign(entry, words)
    if now == site:
        return {"moved": False}
    if entry.endpoint.routing == HEALTH_CHECK:
        current, etag = switch.read(world.store, _key(run, name))
        _check_epoch(run, current, f"the routing object of {name}")
        until = _after(run, records.longest_ttl(seen["records"]))
        switch.write(world.store, _key(run, name), run, site, until, etag)
        run.note(f"{entry.host} leads to {site}, as soon as the health check sees its object")
        return {"moved": True}

    def led(before: list[RecordSet]) -> list[RecordSet]:
        if before != seen["records"]:
            raise _foreign(entry, "somebody changed them just now")
        return records.moved(entry.endpoint, before, site)

    change = _swap(world, run, entry, site, led)
    if change:
        _spread(world, run, change, entry.host)
    run.note(f"{entry.host} leads to {site}")
    return {"moved": True, "change": change}


def _foreign(entry: Moving, words: str) -> ActionFailed:
    return ActionFailed(
        f"the records of {entry.host} are not as the contract and their claim say, so they are not changed: {words}",
        hint="find out who changed them; restore them, then `drfsm resume`",
        fault="operator",
    )


def _claimed_site(entry: Moving, seen: Mapping[str, Any]) -> str:
    """Return whom a claim names that goes with no move: whom it names already, else where the records lead."""
    claimed = (seen.get("claim") or {}).get("site")
    return str(claimed or records.site_of(entry.endpoint, seen["records"])[0])


def _await_insync(world: World, run: Run) -> dict[str, Any]:
    """Write each claim anew, and wait until every name server has it: changes spread in their order."""
    done = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        run.check()
        done[name] = change = _renewed(world, run, name, entry)
        if change:
            _spread(world, run, change, entry.host)
    return {"changes": done}


def _renewed(world: World, run: Run, name: str, entry: Moving) -> str:
    """Write a claim with the same content and a new nonce; return the change's id, "" where nobody can tell it."""
    seen = see(world, run, name, entry)
    site = _claimed_site(entry, seen)
    if seen.get("why") or site not in SITES:
        return ""
    return _swap(world, run, entry, site, lambda before: before)


def _touch(world: World, run: Run) -> dict[str, Any]:
    """Give every claim and every routing object a new version: a late batch, and a late write, fail on theirs."""
    touched = []
    for name, entry in moving(terms_of(run.inputs)).items():
        run.check()
        _renewed(world, run, name, entry)
        touched.append(claim.host_of(entry.host))
        if entry.endpoint.routing == HEALTH_CHECK:
            key = _key(run, name)
            if not switch.touch(world.store, key):
                switch.write(world.store, key, run, "primary", _NEVER, "")  # a late first write finds one
            touched.append(key)
    return {"touched": touched}


def _lower_ttl(world: World, run: Run) -> dict[str, Any]:
    """Lower every TTL to what the contract says. What is low already stays."""
    lowered = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        run.check()
        before, ttl = _routing(world, entry), entry.endpoint.ttl
        if records.longest_ttl(before) <= ttl:
            continue
        site = _claimed_site(entry, {"records": before, **_claim_seen(world, entry)})
        change = _swap(world, run, entry, site, partial(records.lowered, ttl_seconds=ttl))
        if change:
            _spread(world, run, change, entry.host)
        lowered[name] = {"from_seconds": records.longest_ttl(before), "to_seconds": ttl}
        run.note(f"the TTL of {entry.host} is {ttl} s now")
    return {"lowered": lowered}


def _restore_ttl(world: World, run: Run) -> dict[str, Any]:
    """Restore the records exactly as they were before their TTLs were lowered; others' changes are not overwritten."""
    restored = []
    for name, image in run.undoing["endpoint_ttl"].items():
        run.check()
        entry = moving(terms_of(run.inputs))[name]
        now, before = _routing(world, entry), list(image["records"])
        if now == before:
            continue
        site = _claimed_site(entry, {"records": now, **_claim_seen(world, entry)})
        _swap(world, run, entry, site, _back_to(before, entry))
        restored.append(name)
        run.note(f"the records of {entry.host} are restored")
    return {"restored": restored}


def _back_to(before: list[RecordSet], entry: Moving) -> Callable[[list[RecordSet]], list[RecordSet]]:
    def back(now: list[RecordSet]) -> list[RecordSet]:
        if now != records.lowered(before, entry.endpoint.ttl):
            raise ActionFailed(
                f"the records of {entry.host} were changed by another process since their TTL was lowered: they are"
                " not overwritten",
                hint=_WAIVE,
            )
        return before

    return back


FACTS = {
    "endpoint_site": Fact(_observe_sites, _judge_sites),
    "endpoint_ttl": Fact(_observe_ttl, _judge_ttl),
    "endpoint_seen": Fact(_observe_seen, _judge_seen),
    "endpoint_insync": Fact(_observe_insync, _judge_insync),
    "endpoint_caches": Fact(_observe_caches, _judge_caches),
    "endpoint_resolvers": Fact(_observe_resolvers, _judge_resolvers),
}
_ON_CLAIM = Late(_touch)
LATE = dict.fromkeys(
    ("move_endpoints", "return_endpoints", "await_endpoints_insync", "lower_endpoint_ttl", "restore_endpoint_ttl"),
    _ON_CLAIM,
)
ACTIONS = {
    "move_endpoints": _move(lambda run: terms_of(run.inputs).target_site),
    "return_endpoints": _move(lambda run: terms_of(run.inputs).source_site),
    "await_endpoints_insync": _await_insync,
    "lower_endpoint_ttl": _lower_ttl,
    "restore_endpoint_ttl": _restore_ttl,
}
