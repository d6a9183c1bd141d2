"""Whether a site serves: the contract's checks, asked at the site's address, or at the one that its name leads to.

By address, with the name in SNI and Host, TLS verified: what a site answers before its name leads there, and whatever
a cache says. A check passes when it passed as often in a row as it says, each time with the declared status, headers
and body, in time. A site that gives no answer does not serve; that is an observation, too, and not an unknown.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from drfsm.claims import bounded, json_of
from drfsm.dr.endpoints.declared import declared, door_of, https_of, moving, names_of, zones_of
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import Check, Endpoint
from drfsm.engine import Fact, Run
from drfsm.errors import Unreachable, Unreadable
from drfsm.world import Door, HttpReply, World


def faults_of(world: World, run: Run, door: Door, checks: Mapping[str, Check]) -> list[str]:
    """Return why a server does not serve, in words; [] where it does."""
    faults = {name: _first_fault(world, run, door, check) for name, check in checks.items()}
    return [f"{name}: {fault}" for name, fault in faults.items() if fault]


def _first_fault(world: World, run: Run, door: Door, check: Check) -> str:
    for _ in range(check.successes):
        run.check()
        try:
            # A second more than it may take: a slow answer is then told from none.
            reply = https_of(world).read(door, check.path, seconds=check.within_seconds + 1)
        except Unreachable as fault:
            return fault.what
        if difference := next(_unfit(check, reply), ""):
            return f"GET {check.path}: {difference}"
    return ""


def _unfit(check: Check, reply: HttpReply) -> Iterator[str]:
    """Yield in what a reply differs from what the check says."""
    if reply.status not in check.status:
        yield f"status {reply.status} instead of {' or '.join(map(str, check.status))}"
    for name, value in check.headers.items():
        said = reply.headers.get(name.lower())
        if said is None or said.partition(";")[0].strip() != value.partition(";")[0].strip():
            yield f"header {name} is {bounded(said, 60) if said else 'missing'} instead of {value}"
    if reply.seconds > check.within_seconds:
        yield f"it took longer than {check.within_seconds:g} s"
    if check.body:
        yield from _unfit_body(check.body, reply.body)


def _unfit_body(schema: str, body: bytes) -> Iterator[str]:
    try:
        content = json_of(body, "the body")
    except Unreadable as fault:
        yield fault.what
        return
    for misfit in _validator(schema).iter_errors(content):
        yield f"its body does not fit: {bounded(misfit.message, 200)}"


@lru_cache(maxsize=32)
def _validator(schema: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(json_of(schema, "the check's schema"))


def _observe(site: str) -> Callable[[World, Run], Any]:
    """Ask every endpoint's server of a site by its address."""

    def observe(world: World, run: Run) -> dict[str, Any]:
        seen = {
            name: {"wrong": faults_of(world, run, door_of(endpoint, address_of(endpoint, site)), endpoint.checks)}
            for name, endpoint in declared(terms_of(run.inputs)).items()
        }
        return _in_words(seen)

    return observe


def address_of(endpoint: Endpoint, site: str) -> str:
    """Return the address of a site's server."""
    return endpoint.site(site).address


def _observe_by_name(world: World, run: Run) -> dict[str, Any]:
    """Ask the server that the name leads to, by each server that speaks for its zone."""
    seen: dict[str, Any] = {}
    for name, entry in moving(terms_of(run.inputs)).items():
        endpoint = entry.endpoint
        servers = endpoint.name_servers or zones_of(world).name_servers(endpoint.zone)
        addresses = sorted(
            {value for server in servers for value in names_of(world).answer(server, entry.host, endpoint.type).values}
        )
        wrong = [
            fault
            for address in addresses
            for fault in faults_of(world, run, door_of(endpoint, address), endpoint.checks)
        ]
        seen[name] = {
            "addresses": addresses,
            "wrong": wrong if addresses else [f"no name server has an address for {entry.host}"],
        }
    return _in_words(seen)


def _in_words(seen: dict[str, Any]) -> dict[str, Any]:
    faults = [f"{name}: {fault}" for name, entry in seen.items() for fault in entry["wrong"]]
    return {"endpoints": seen, **({"in_words": "; ".join(faults)} if faults else {})}


def _judge(seen: Mapping[str, Any], _inputs: Mapping[str, Any]) -> str | None:
    if not seen["endpoints"]:
        return None
    return "fails" if any(entry["wrong"] for entry in seen["endpoints"].values()) else "serves"


def _observe_replication(world: World, run: Run) -> dict[str, Any]:
    """Ask the new owner whether it has every write, where that is not the same bucket's matter."""
    terms = terms_of(run.inputs)
    writes = terms.workload.writes
    if writes is None or writes.replication is None:
        return {"endpoints": {}}
    check = {"replication": writes.replication}
    seen = {
        name: {"wrong": faults_of(world, run, door_of(endpoint, address_of(endpoint, terms.target_site)), check)}
        for name, endpoint in declared(terms).items()
        if endpoint.canary is not None
    }
    return _in_words(seen)


def _judge_replication(seen: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Judge whether the new owner has every write: current, behind, or accepted by a person; none to compare."""
    lacking = "accepted" if terms_of(inputs).missing_writes_taken else "behind"
    return {"serves": "current", "fails": lacking}.get(_judge(seen, inputs) or "", "none")


FACTS = {
    "primary_serving": Fact(_observe("primary"), _judge),
    "dr_serving": Fact(_observe("dr"), _judge),
    "endpoint_serving": Fact(_observe_by_name, _judge),
    "endpoint_replication": Fact(_observe_replication, _judge_replication),
    "users": Fact(
        lambda _world, run: {"endpoints": terms_of(run.inputs).recorded("endpoints")},
        lambda seen, _: "move" if seen["endpoints"] == "asked" else "stay",
    ),
}
