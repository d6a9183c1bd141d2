"""Route 53 in the sandbox's AWS: moto's, made as strict as the real one.

moto's batches are not atomic: what stands before a fault is made. Its DELETE is held against a log of everything that
was ever created, its CREATE refuses what once existed, and by set identifier it deletes the records of other names. It
takes any weight and any health check, every change is INSYNC at once under one id, and its listing has no set
identifier, so that the second page of weighted records begins anew. Here three requests answer as the service's API
reference says: ChangeResourceRecordSets, GetChange and ListResourceRecordSets
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html). cloud.py installs it;
tests/endpoints/test_sandbox_route53.py says which behaviours it replaces.

Changes spread as they do in the cloud: for ``spread_slowly`` seconds name servers still have what was before
(``published``), and GetChange says PENDING.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

Key = tuple[str, str, str]
"""(name, type, set identifier)"""

MOST_WEIGHT, MOST_TTL_SECONDS = 255, 2_147_483_647
_POLICIES = ("weight", "failover", "region", "geo_location", "multi_value_answer")
_ADDRESSES: Mapping[str, Callable[[str], object]] = {"A": ipaddress.IPv4Address, "AAAA": ipaddress.IPv6Address}
_DELAYS: dict[str, float] = {}  # account -> seconds
_CHANGES: dict[str, float] = {}  # id of a change -> when every name server has it, on the monotonic clock
_NUMBERS = count(1)


def install() -> None:
    """Make moto's Route 53 strict. A second call changes nothing."""
    from moto.route53.responses import Route53

    responses: Any = Route53
    responses.change_resource_record_sets = _change
    responses.get_change = _get_change
    responses.list_resource_record_sets = _list


def spread_slowly(account: str, seconds: float) -> None:
    """Let changes of an account take this long, from now on, until its name servers have them."""
    _DELAYS[account] = seconds


def published(account: str, zone_id: str) -> list[Any]:
    """Return the record sets that the name servers of a zone have: changes that are PENDING are not among them."""
    zone = _zone(account, zone_id)
    spreading = getattr(zone, "spreading", ())
    return next((before for ready, before in spreading if ready > time.monotonic()), zone.rrsets)


def _zone(account: str, zone_id: str) -> Any:
    from moto.route53.models import route53_backends

    return route53_backends[account]["aws"].get_hosted_zone(zone_id)


# --- the three requests ----------------------------------------------------------------------------------


def _change(response: Any) -> Any:
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow

    zone = response.backend.get_hosted_zone(response._get_param("HostedZoneId"))  # noqa: SLF001  moto's own reader
    before, after = list(zone.rrsets), list(zone.rrsets)
    faults: list[str] = []
    for change in response._get_param("ChangeBatch.Changes"):  # noqa: SLF001  likewise
        record = _record(zone, change["ResourceRecordSet"])
        faults += _malformed(response.backend, zone, record)
        faults += _made(after, change["Action"], record)
    faults += _contradictions(after)
    if faults:
        raise _refused("InvalidChangeBatch", f"[{', '.join(dict.fromkeys(faults))}]")
    zone.rrsets = after  # all of a batch, or nothing
    change_id = f"C{next(_NUMBERS):013d}"
    _CHANGES[change_id] = ready = time.monotonic() + _DELAYS.get(response.current_account, 0.0)
    still = [entry for entry in getattr(zone, "spreading", ()) if entry[0] > time.monotonic()]
    zone.spreading = [*still, (ready, before)]
    info = {"Id": f"/change/{change_id}", "Status": "PENDING", "SubmittedAt": utcnow()}
    return ActionResult({"ChangeInfo": info})


def _get_change(response: Any) -> Any:
    from moto.core.responses import ActionResult
    from moto.core.utils import utcnow

    change_id = response._get_param("Id").rpartition("/")[2]  # noqa: SLF001  moto's own reader
    if change_id not in _CHANGES:
        raise _refused("NoSuchChange", f"A change with id {change_id} does not exist.")
    status = "INSYNC" if _CHANGES[change_id] <= time.monotonic() else "PENDING"
    return ActionResult({"ChangeInfo": {"Id": f"/change/{change_id}", "Status": status, "SubmittedAt": utcnow()}})


def _list(response: Any) -> Any:
    from moto.core.responses import ActionResult

    asked = {
        name: response._get_param(f"StartRecord{name}") or ""  # noqa: SLF001  moto's own reader
        for name in ("Name", "Type", "Identifier")
    }
    if (asked["Type"] and not asked["Name"]) or (asked["Identifier"] and not asked["Type"]):
        raise _refused("InvalidInput", "The input is not valid")
    zone = response.backend.get_hosted_zone(response._get_param("HostedZoneId"))  # noqa: SLF001  likewise
    start = (_order(_normal(asked["Name"])), asked["Type"], asked["Identifier"]) if asked["Name"] else ([], "", "")
    rest = [record for record in sorted(zone.rrsets, key=_place) if _place(record) >= start]
    most = min(response._get_int_param("MaxItems", 300), 300)  # noqa: SLF001  likewise
    following = rest[most] if len(rest) > most else None
    result: dict[str, Any] = {
        "ResourceRecordSets": rest[:most],
        "IsTruncated": following is not None,
        "MaxItems": most,
        "NextRecordName": following and following.name,
        "NextRecordType": following and following.type,
        "NextRecordIdentifier": following and following.set_identifier,
    }
    return ActionResult({name: value for name, value in result.items() if value is not None})


def _refused(code: str, message: str) -> Exception:
    from moto.route53.exceptions import Route53ClientError

    fault: Exception = Route53ClientError(code, message)
    return fault


# --- records ---------------------------------------------------------------------------------------------


def _normal(name: str) -> str:
    return name.rstrip(".").lower() + "."


def _order(name: str) -> list[str]:
    return name.rstrip(".").split(".")[::-1]


def _place(record: Any) -> tuple[list[str], str, str]:
    return _order(record.name), record.type, record.set_identifier or ""


def _key(record: Any) -> Key:
    return record.name, record.type, record.set_identifier or ""


def _record(zone: Any, said: Mapping[str, Any]) -> Any:
    from moto.route53 import models

    record_set: Any = models.RecordSet  # abstract by its annotations only
    values = [entry["Value"] for entry in said.get("ResourceRecords") or ()]
    record = record_set({**said, "Name": _normal(said["Name"]), "ResourceRecords": values})
    record.hosted_zone_id = zone.resource_id
    for number in ("ttl", "weight"):
        value = getattr(record, number)
        setattr(record, number, None if value is None else int(value))
    return record


def _essence(record: Any) -> tuple[Any, ...]:
    fields = ("ttl", "weight", "failover", "region", "geo_location", "multi_value_answer", "health_check_id")
    rest = tuple(getattr(record, name) or (0 if name in ("ttl", "weight") else None) for name in fields)
    return (sorted(record.records or ()), record.alias_target or None, *rest)


def _made(after: list[Any], action: str, record: Any) -> Iterator[str]:
    """Make one change to a list of record sets; yield why it can't be made."""
    what = f"resource record set [name='{record.name}', type='{record.type}'"
    what += f", set-identifier='{record.set_identifier}']" if record.set_identifier else "]"
    place = next((at for at, other in enumerate(after) if _key(other) == _key(record)), None)
    if action == "CREATE" and place is not None:
        yield f"Tried to create {what} but it already exists"
    elif action == "DELETE" and place is None:
        yield f"Tried to delete {what} but it was not found"
    elif action == "DELETE" and place is not None:
        if _essence(after[place]) != _essence(record):
            yield f"Tried to delete {what} but the values provided do not match the current values"
        else:
            del after[place]
    elif place is None:
        after.append(record)
    else:
        after[place] = record


def _malformed(backend: Any, zone: Any, record: Any) -> Iterator[str]:
    name = _normal(zone.name)
    if record.name != name and not record.name.endswith(f".{name}"):
        yield f"RRSet with DNS name {record.name} is not permitted in zone {name}"
    if record.alias_target is None and (record.ttl is None or not record.records):
        yield f"Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]] for {record.name}"
    if record.ttl is not None and not 0 <= record.ttl <= MOST_TTL_SECONDS:
        yield f"Invalid TTL {record.ttl}"
    if record.weight is not None and not 0 <= record.weight <= MOST_WEIGHT:
        yield f"Invalid weight {record.weight}: it must be between 0 and {MOST_WEIGHT}"
    policies = [policy for policy in _POLICIES if getattr(record, policy) is not None]
    if len(policies) > 1 or bool(policies) != bool(record.set_identifier):
        yield f"{record.name} needs a set identifier and one routing policy, or neither"
    if record.health_check_id and record.health_check_id not in backend.health_checks:
        yield f"A health check with id {record.health_check_id} does not exist"
    check = _ADDRESSES.get(record.type)
    for value in record.records if check else ():
        try:
            check(value)  # type: ignore[misc]  # it is there: see the line before
        except ValueError:
            yield f"Invalid Resource Record: FATAL problem: ARRDATAIllegal ({value} is not a valid address)"


def _contradictions(records: Sequence[Any]) -> Iterator[str]:
    """Yield what may not stand side by side in a zone."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for record in records:
        groups.setdefault((record.name, record.type), []).append(record)
    for (name, kind), group in groups.items():
        policies = {tuple(policy for policy in _POLICIES if getattr(record, policy) is not None) for record in group}
        if len(policies) > 1:
            yield f"Tried to create resource record sets of different routing policies for {name} {kind}"
        roles = [record.failover for record in group if record.failover]
        if len(roles) != len(set(roles)):
            yield f"Tried to create a second {roles[0]} failover record for {name} {kind}"
        if kind == "CNAME" and any(other == name and its_kind != kind for other, its_kind in groups):
            yield f"RRSet of type CNAME with DNS name {name} is not permitted beside other types"
