"""Whether a run may change its names' records: asked before anything moves, by a batch that can't succeed.

The batch deletes records that are not there, of the very names and types that a move writes, so that a policy that is
limited to them permits it. Route 53 checks the right first: a batch that is permitted is refused for its content, all
of it, and nothing is changed. A dry run sends none.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from drfsm.dr.endpoints import claim
from drfsm.dr.endpoints.declared import moving, zones_of
from drfsm.dr.terms import terms_of
from drfsm.dr.workload import HEALTH_CHECK, WEIGHTED
from drfsm.engine import Fact, Run
from drfsm.errors import ActionFailed, Conflict
from drfsm.world import RecordChange, World

_NOBODYS = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "CNAME": "drfsm-preflight.invalid."}
"""By type of record, a value for documentation alone."""


def unchangeable(world: World, run: Run) -> Iterator[str]:
    """Yield why the records of each name that this run moves can't be changed. Raises Unreachable."""
    for entry in moving(terms_of(run.inputs)).values():
        endpoint, mark = entry.endpoint, f"drfsm-preflight-{uuid4().hex}"
        absent = claim.record_of(entry.host, claim.new("primary", run.epoch, mark, "1970-01-01T00:00:00Z"))
        batch = [RecordChange("DELETE", absent)]
        if endpoint.routing != HEALTH_CHECK:  # there a move writes an object and the claim
            value = {"Value": _NOBODYS[endpoint.type]}
            routing = {"Weight": 0} if endpoint.routing == WEIGHTED else {"Failover": "SECONDARY"}
            record = {"Name": f"{entry.host}.", "Type": endpoint.type, "TTL": 60, "SetIdentifier": mark}
            batch.append(RecordChange("DELETE", {**record, **routing, "ResourceRecords": [value]}))
        try:
            zones_of(world).change(endpoint.zone, batch, f"drfsm {run.id}: may these records be changed?")
        except Conflict:
            continue
        except ActionFailed as fault:
            yield f"{entry.host}: {fault.what}"
        else:
            yield f"{entry.host}: Route 53 accepts a deletion of records that are not there"


def _observe(world: World, run: Run) -> dict[str, Any]:
    refused = [] if run.dry_run else list(unchangeable(world, run))
    return {"refused": refused, **({"in_words": "; ".join(refused)} if refused else {})}


FACTS = {"record_rights": Fact(_observe, lambda seen, _: "missing" if seen["refused"] else "granted")}
