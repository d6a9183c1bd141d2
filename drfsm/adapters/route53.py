"""Hosted zones of Route 53. Implements world.HostedZones.

A batch is a compare-and-swap: it only creates what is not there and deletes exactly what was read, and Route 53 makes
all of it or nothing. UPSERT is not used: it overwrites what somebody else wrote since. A batch that is refused
because a record is not as it says is a Conflict. A batch whose response was lost is not repeated: the caller reads the
records again. Route 53's control plane is in one region of its own; its name servers go on without it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from drfsm.adapters.aws_answers import WAY
from drfsm.adapters.aws_session import Services, call, code_of
from drfsm.claims import bounded
from drfsm.errors import ActionFailed, Conflict, Unreachable, Unreadable
from drfsm.world import RecordChange, RecordSet

INSYNC, PENDING = "INSYNC", "PENDING"
_REFUSED, _BEFORE_US = "InvalidChangeBatch", ("PriorRequestNotComplete", "Throttling", "ThrottlingException")
LARGEST_NUMBER = (1 << 31) - 1  # of a TTL, by RFC 2181
_MOST_PAGES = 100  # 30,000 record sets of one name: a listing that goes on for longer does not end


class Route53Zones:
    """The zones of one account. Safe for use by many threads."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def records(self, zone: str, name: str) -> Sequence[RecordSet]:
        """Return every record set of one name, whole, in order of type and set identifier."""
        named = [record for record in self._from(zone, name) if same_name(record["Name"], name)]
        numbers = [record.get(field, 0) for record in named for field in ("TTL", "Weight")]
        if not all(0 <= number <= LARGEST_NUMBER for number in numbers):
            raise Unreadable(f"the records of {name} in the zone {zone} have a TTL or a weight out of range", hint=WAY)
        return sorted(named, key=lambda record: (record["Type"], record.get("SetIdentifier", "")))

    def name_servers(self, zone: str) -> Sequence[str]:
        """Return the names of the servers that speak for the zone. Raises ActionFailed for a private zone."""
        answer = _asked(f"reading the zone {zone}", lambda: self._client().get_hosted_zone(Id=zone))
        servers = answer.get("DelegationSet", {}).get("NameServers", ())
        if not servers:
            raise ActionFailed(
                f"the zone {zone} has no name servers of its own: it is private",
                hint="name its servers in the contract: `name_servers`",
                fault="operator",
            )
        return list(servers)

    def health_check(self, check: str) -> Mapping[str, Any]:
        """Return how a health check is set up."""
        what = f"reading the health check {check}"
        answer = _asked(what, lambda: self._client().get_health_check(HealthCheckId=check))["HealthCheck"]
        if answer["Id"] != check:
            raise Unreadable(f"{what}: the response is of {bounded(answer['Id'], 100)} instead", hint=WAY)
        return dict(answer["HealthCheckConfig"])

    def change(self, zone: str, changes: Sequence[RecordChange], comment: str) -> str:
        """Make all of these changes, or none; return the id under which they spread."""
        listed = [{"Action": change.action, "ResourceRecordSet": change.record} for change in changes]
        batch = {"Comment": comment[:256], "Changes": listed}
        client = self._services.client("route53", once=True)  # a repeated batch would conflict with its own success
        answer = _asked(
            f"changing records of the zone {zone}",
            lambda: client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch),
        )
        return _id_of(answer["ChangeInfo"]["Id"])

    def change_status(self, change: str) -> str:
        """Return ``PENDING`` until every name server has a batch, then ``INSYNC``."""
        what = f"asking for the change {change}"
        answer = _asked(what, lambda: self._client().get_change(Id=change))["ChangeInfo"]
        if _id_of(answer["Id"]) != change or answer["Status"] not in (INSYNC, PENDING):
            raise Unreadable(f"{what}: the response is {bounded(answer['Status'], 60)}, or of another change", hint=WAY)
        return str(answer["Status"])

    def _client(self) -> Any:
        return self._services.client("route53")

    def _from(self, zone: str, name: str) -> Iterator[RecordSet]:
        """Yield record sets from a name on, in Route 53's order, page by page, until another name comes."""
        what = f"listing records of {name} in the zone {zone}"
        asked: dict[str, Any] = {"HostedZoneId": zone, "StartRecordName": name}
        for _ in range(_MOST_PAGES):
            start = dict(asked)
            page = _asked(what, partial(self._client().list_resource_record_sets, **start))
            yield from page["ResourceRecordSets"]
            if page["IsTruncated"] and not page.get("NextRecordName"):
                raise Unreadable(f"{what}: the list goes on, and the response does not say where", hint=WAY)
            if not page["IsTruncated"] or not same_name(page["NextRecordName"], name):
                return
            following = {
                f"Start{key.removeprefix('Next')}": page[key]
                for key in ("NextRecordName", "NextRecordType", "NextRecordIdentifier")
                if key in page
            }
            asked = {"HostedZoneId": zone, **following}
            if asked == start:
                break
        raise Unreadable(f"{what}: the list does not end", hint=WAY)


def same_name(one: str, other: str) -> bool:
    """Return whether two domain names are the same: in any case, with or without the dot at the end."""
    return one.rstrip(".").lower() == other.rstrip(".").lower()


def _id_of(text: str) -> str:
    """Return an id without the path that Route 53 may write before it (``/change/C123``)."""
    return text.rpartition("/")[2]


def _asked(what: str, request: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    def asked() -> Any:
        try:
            return request()
        except ClientError as fault:
            message = bounded(fault.response.get("Error", {}).get("Message", ""))
            if code_of(fault) == _REFUSED:
                raise Conflict(
                    f"{what}: a record is not as it was read, so nothing was changed: {message}",
                    hint="look who else changes these records, then `drfsm resume`",
                ) from None
            if code_of(fault) in _BEFORE_US:
                raise Unreachable(f"{what}: {code_of(fault)}: {message}", hint="drfsm resume", fault="store") from None
            raise

    return call(what, asked)
