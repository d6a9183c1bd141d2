"""The protocols of what serves a workload's users: hosted zones, name servers, HTTPS servers; and their values.

Separate from ports.py because only a workload whose contract declares endpoints has any of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

RecordSet = dict[str, Any]
"""A resource record set in the form of Route 53's API, whole: what is written is built from what was read."""


@frozen
class RecordChange:
    """One change of a batch. ``CREATE`` needs that there is none; ``DELETE`` needs exactly this one."""

    action: str  # CREATE or DELETE: both have a condition, and UPSERT has none
    record: RecordSet


@frozen
class DnsAnswer:
    """What one name server says of a name: the values of one type, in order of their text, and the lowest TTL.

    ``values`` is empty where the name has none. ``authoritative``: whether the server speaks for the zone.
    """

    values: tuple[str, ...]
    ttl_seconds: int
    authoritative: bool


@frozen
class Door:
    """Where one site's server answers: connected to by address, with the name in SNI and in the Host header.

    ``authorities``: PEM certificates that its certificate must lead to; "" for those that the system trusts.
    """

    address: str
    port: int
    host: str
    authorities: str = ""


@frozen
class HttpReply:
    """A whole reply. Names of headers are in lower case. ``seconds``: from the connection to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class HostedZones(Protocol):
    """Zones of a DNS service whose records change in batches: all of a batch, or nothing."""

    def records(self, zone: str, name: str) -> Sequence[RecordSet]:
        """Return every record set of one name, whole. Raises ActionFailed where there is no such zone."""

    def name_servers(self, zone: str) -> Sequence[str]:
        """Return the names of the servers that speak for the zone."""

    def health_check(self, check: str) -> Mapping[str, Any]:
        """Return how a health check is set up, in the form of Route 53's API."""

    def change(self, zone: str, changes: Sequence[RecordChange], comment: str) -> str:
        """Make all of these changes, or none; return the id under which they spread.

        Raises Conflict if a condition does not hold: nothing was changed. Never repeated blindly: after Unreachable
        the changes may have been made, so the caller reads the records again.
        """

    def change_status(self, change: str) -> str:
        """Return ``PENDING`` until every name server has a batch, then ``INSYNC``."""


class Names(Protocol):
    """Questions to name servers."""

    def answer(self, server: str, name: str, kind: str) -> DnsAnswer:
        """Ask one server (``host`` or ``host:port``) for one type. Raises Unreachable if it does not answer."""


class Https(Protocol):
    """Requests to a site's server. No redirect is followed, no proxy is used, no request is repeated."""

    def read(self, door: Door, path: str, *, seconds: float) -> HttpReply:
        """GET a path. Raises Unreachable without a whole reply in time, or where TLS can't be verified."""

    def send(
        self, door: Door, method: str, path: str, *, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> HttpReply:
        """Make a request that may change something. Raises Unreachable likewise: it may have been carried out."""
