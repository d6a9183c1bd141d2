"""What an endpoint's records say, and what they must say to lead to the other site. Pure: records in, records out.

Records are built from the whole records that were read: a field that drfsm does not know (a health check's id) stays.

    weighted       two records, one a site's; the owner's has a weight, the other's has 0. Neither has a health check:
                   Route 53 uses a record of weight 0 where every other one is ill
    failover       PRIMARY names the owner's address. While DR owns the name, SECONDARY names DR's, too: else Route 53
                   leads back to the primary site by itself, as soon as a health check says so
    health_check   the records stay as they are, and an inverted health check on an object decides (switch.py)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from drfsm.dr.workload import FAILOVER, WEIGHTED, Endpoint
from drfsm.world import RecordSet

OTHER, MIXED = "other", "mixed"
ROUTES = ("A", "AAAA", "CNAME", "HTTPS", "SVCB")
"""Types that lead a client somewhere, HTTPS and SVCB past every A. A name may have only its endpoint's type."""
_USUAL_WEIGHT = 100


def routing_of(records: Sequence[RecordSet]) -> list[RecordSet]:
    """Return the records of a name that lead clients somewhere."""
    return [record for record in records if record["Type"] in ROUTES]


def site_of(endpoint: Endpoint, records: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return (primary, dr, mixed or other; why) for the routing records of a name."""
    if foreign := _foreign(endpoint, records):
        return OTHER, foreign
    if endpoint.routing == WEIGHTED:
        return _by_weight(endpoint, records)
    return _by_role(endpoint, records)


def _foreign(endpoint: Endpoint, records: Sequence[Mapping[str, Any]]) -> str:
    """Return in what the records are not those that the contract declares; "" if they are."""
    if others := sorted({str(record.get("Type")) for record in records} - {endpoint.type}):
        return f"it has records of type {', '.join(others)} as well"
    names = sorted(str(record.get("SetIdentifier", "")) for record in records)
    wanted = sorted((endpoint.primary.record, endpoint.dr.record))
    if names != wanted:
        return f"its records are {', '.join(filter(None, names)) or 'none'}, not {' and '.join(wanted)}"
    for record in records:
        values = _values(record)
        if len(values) != 1 or values[0] not in (endpoint.primary.address, endpoint.dr.address):
            return f"record {record['SetIdentifier']} leads to {', '.join(values) or 'an alias'}, which is no site's"
    field = "Weight" if endpoint.routing == WEIGHTED else "Failover"
    if any(record.get(field) is None for record in records):
        return f"a record of it has no {field}"
    return ""


def _by_weight(endpoint: Endpoint, records: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    weights = {}
    for site in ("primary", "dr"):
        record = _named(records, endpoint.site(site).record)
        if _values(record) != [endpoint.site(site).address]:
            return OTHER, f"record {record['SetIdentifier']} leads to the other site"
        if record.get("HealthCheckId"):
            return (
                OTHER,
                f"record {record['SetIdentifier']} has a health check, so weight 0 may be used",
            )
        weights[site] = int(record["Weight"])
    words = f"weights: primary {weights['primary']}, dr {weights['dr']}"
    with_weight = [site for site, weight in weights.items() if weight > 0]
    return (with_weight[0] if len(with_weight) == 1 else MIXED), words


def _by_role(endpoint: Endpoint, records: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    roles = {str(record["Failover"]): _values(record)[0] for record in records}
    if sorted(roles) != ["PRIMARY", "SECONDARY"]:
        return OTHER, f"its failover records are {', '.join(sorted(roles))}"
    words = f"PRIMARY {roles['PRIMARY']}, SECONDARY {roles['SECONDARY']}"
    if roles["PRIMARY"] == endpoint.primary.address:
        return "primary", words
    if roles["SECONDARY"] == endpoint.dr.address:
        return "dr", words
    return MIXED, f"{words}: Route 53 would lead back by itself"


def moved(endpoint: Endpoint, records: Sequence[RecordSet], site: str) -> list[RecordSet]:
    """Return the records that lead to a site. The records must be the declared ones (``site_of`` is not ``other``)."""
    if endpoint.routing == WEIGHTED:
        weight = max((int(record["Weight"]) for record in records), default=0) or _USUAL_WEIGHT
        owner = endpoint.site(site).record
        return [{**record, "Weight": weight if record["SetIdentifier"] == owner else 0} for record in records]
    if endpoint.routing == FAILOVER:
        addresses = {"PRIMARY": endpoint.site(site).address, "SECONDARY": endpoint.dr.address}
        return [{**record, "ResourceRecords": [{"Value": addresses[record["Failover"]]}]} for record in records]
    return list(records)


def lowered(records: Sequence[RecordSet], ttl_seconds: int) -> list[RecordSet]:
    """Return the records with no TTL above this."""
    return [{**record, "TTL": min(int(record.get("TTL", ttl_seconds)), ttl_seconds)} for record in records]


def longest_ttl(records: Sequence[Mapping[str, Any]]) -> int:
    """Return the highest TTL, in seconds."""
    return max((int(record.get("TTL", 0)) for record in records), default=0)


def _named(records: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(record for record in records if record.get("SetIdentifier") == name)


def _values(record: Mapping[str, Any]) -> list[str]:
    """Return a record's values as the contract writes them; [] for an alias."""
    values = [str(entry["Value"]) for entry in record.get("ResourceRecords") or ()]
    return [value.rstrip(".").lower() for value in values]
