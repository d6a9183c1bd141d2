"""What serves users in the sandbox: an API server at each site, a hosted zone, and the name servers that speak for it.

Everything is on loopback: the primary site answers at 127.0.0.1, DR at 127.0.0.2, both on one port, with certificates
for the name. Each server writes with an identity of its own, so that a fence stops one and not the other. ``contract``
returns what a workload's contract says of all that. Usable as a context manager.
"""

import json
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from drfsm.dr.workload import Workload, canonical
from drfsm.engine import SystemClock
from drfsm.sandbox.api_server import FOLDER, ApiServer, Gate
from drfsm.sandbox.cloud import Cloud, Identity
from drfsm.sandbox.kubernetes.certificates import issue
from drfsm.sandbox.name_servers import CachingClient, NameServer, ZoneAnswers, free_port, passes_on

ADDRESSES: Mapping[str, str] = {"primary": "127.0.0.1", "dr": "127.0.0.2"}
DOMAIN = "sandbox.test"
HOST, DRILL_HOST = f"api.{DOMAIN}", f"api-drill.{DOMAIN}"
USUAL_TTL_SECONDS, LOW_TTL_SECONDS = 300, 60
SEARCHED = '"site": "dr"'
HEALTH_SCHEMA = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}


class ServingSites:
    """Both sites' servers of one prefix, and their names. ``routing``: as in a contract.

    ``owner``: the site that the records lead to at first. ``users``: the ARN of the user that a site's server writes
    as, by site; without one it gets a user of its own.
    """

    def __init__(
        self,
        cloud: Cloud,
        bucket: str,
        prefix: str,
        directory: Path,
        *,
        routing: str = "weighted",
        owner: str = "primary",
        users: Mapping[str, str] | None = None,
        gates: Mapping[str, Gate] | None = None,
    ) -> None:
        self._cloud, self._bucket, self._prefix, self._directory = cloud, bucket, prefix, directory
        self.routing, self._owner, self._users, self._gates = routing, owner, users or {}, gates or {}
        self.zone = self.health_check = ""
        self.port = free_port(list(ADDRESSES.values()))
        self.identities: dict[str, Identity] = {}
        self.servers: dict[str, ApiServer] = {}
        self.authorities = ""
        self.answers: list[ZoneAnswers] = []
        self.name_servers: list[NameServer] = []

    @property
    def primary(self) -> ApiServer:
        """The primary site's server."""
        return self.servers["primary"]

    @property
    def dr(self) -> ApiServer:
        """DR's server."""
        return self.servers["dr"]

    def start(self) -> None:
        """Make the zone and its records, and serve. The active-site document is declared separately."""
        route53 = self._cloud.client("route53")
        made = route53.create_hosted_zone(Name=DOMAIN, CallerReference=uuid4().hex)
        self.zone = made["HostedZone"]["Id"].rpartition("/")[2]
        self.answers = [ZoneAnswers(self._cloud.account, self.zone, chance=random.Random(n)) for n in (1, 2)]  # noqa: S311
        self.name_servers = [NameServer(answers) for answers in self.answers]
        for server in self.name_servers:
            server.start()
        if self.routing == "health_check":
            self.health_check = self._make_health_check()
        if self.routing == "health_check" and self._owner == "dr":
            self._switch_to_dr()
        self.change(*(("CREATE", record) for host in (HOST, DRILL_HOST) for record in self.records(host)))
        for site in ADDRESSES:
            self._serve(site)

    def stop(self) -> None:
        """Stop every server."""
        for api_server in self.servers.values():
            api_server.outage()
        for name_server in self.name_servers:
            name_server.stop()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _serve(self, site: str) -> None:
        certificates = issue(site, self._directory, ADDRESSES[site], f"api-{site}", (HOST, DRILL_HOST))
        self.authorities += certificates.authority
        identity = self.identities[site] = self._identity(site)
        client = self._cloud.client("s3", identity)
        gate = self._gates.get(site)
        address, chain = ADDRESSES[site], certificates.chain
        server = ApiServer(site, address, self.port, chain, client, self._bucket, self._prefix, gate)
        server.start()
        self.servers[site] = server

    def _identity(self, site: str) -> Identity:
        arn = self._users.get(site)
        if arn is None:
            return self._cloud.create_identity(f"{self._prefix}-{site}-api-{uuid4().hex[:8]}")
        key = self._cloud.client("iam").create_access_key(UserName=arn.rpartition("/")[2])["AccessKey"]
        return Identity(arn, key["AccessKeyId"], key["SecretAccessKey"])

    def _make_health_check(self) -> str:
        host, _, port = self._cloud.endpoint.removeprefix("http://").partition(":")
        config = {
            "Type": "HTTP_STR_MATCH",
            "IPAddress": host,
            "Port": int(port),
            "ResourcePath": f"/{self._bucket}/{self._prefix}/drfsm/routing/api.json",
            "SearchString": SEARCHED,
            "Inverted": True,
        }
        made = self._cloud.client("route53").create_health_check(CallerReference=uuid4().hex, HealthCheckConfig=config)
        readable = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self._bucket}/{self._prefix}/drfsm/routing/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [readable]})
        self._cloud.client("s3").put_bucket_policy(Bucket=self._bucket, Policy=policy)
        return str(made["HealthCheck"]["Id"])

    def _switch_to_dr(self) -> None:
        said = {"schema_version": 1, "site": "dr", "epoch": 0, "run": "setup", "until": "2026-01-01T00:00:00Z"}
        body = json.dumps({**said, "nonce": "0" * 32}, indent=2).encode()
        key = f"{self._prefix}/drfsm/routing/api.json"
        self._cloud.client("s3").put_object(Bucket=self._bucket, Key=key, Body=body)

    # --- names -------------------------------------------------------------------------------------------

    def records(self, host: str = HOST) -> list[dict[str, Any]]:
        """Return a name's records as an operator would have made them: at the owner's site, with the usual TTL."""
        usual = {"Name": f"{host}.", "Type": "A", "TTL": USUAL_TTL_SECONDS}
        records: list[dict[str, Any]] = []
        for site, address in ADDRESSES.items():
            record = {**usual, "SetIdentifier": site, "ResourceRecords": [{"Value": address}]}
            if self.routing == "weighted":
                record["Weight"] = 100 if site == self._owner else 0
            else:
                record["Failover"] = "PRIMARY" if site == "primary" else "SECONDARY"
                if self.routing == "failover" and self._owner == "dr":
                    record["ResourceRecords"] = [{"Value": ADDRESSES["dr"]}]
                if self.health_check and site == "primary":
                    record["HealthCheckId"] = self.health_check
            records.append(record)
        return records

    def change(self, *changes: tuple[str, dict[str, Any]]) -> None:
        """Change records by hand, as anybody with the right may."""
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        self._cloud.client("route53").change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)

    def client(self, *, for_ever: bool = False) -> CachingClient:
        """Return a client of the name that keeps what it was told."""
        return CachingClient(self.name_servers[0].address, for_ever=for_ever)

    def resolver(self) -> NameServer:
        """Return a resolver, not yet started, that asks the first name server each time."""
        return NameServer(passes_on(self.name_servers[0].address), authoritative=False)

    # --- the contract ------------------------------------------------------------------------------------

    def contract(self, **changes: Any) -> dict[str, Any]:
        """Return the sections ``endpoints`` and ``writes`` of a contract. ``changes``: keys of the endpoint."""
        endpoint = {
            "host": HOST,
            "drill_host": DRILL_HOST,
            "zone": self.zone,
            "routing": self.routing,
            "ttl": LOW_TTL_SECONDS,
            "port": self.port,
            **{site: {"address": address} for site, address in ADDRESSES.items()},
            "checks": {
                "health": {
                    "path": "/healthz",
                    "status": 200,
                    "headers": {"Content-Type": "application/json"},
                    "body": json.dumps(HEALTH_SCHEMA),
                    "within_seconds": 10,
                    "successes": 2,
                },
                "items": {"path": "/items", "body": '{"type": "object", "required": ["items"]}'},
            },
            "canary": {
                "create": "/items",
                "body": '{"note": "drfsm canary {key}"}',
                "item": "/items/{id}",
                "list": "/items?mark={key}",
                "items": "items",
                "key": "mark",
                "within_seconds": 10,
            },
            "ca": self.authorities,
            "name_servers": [server.address for server in self.name_servers],
            **({"health_check": self.health_check} if self.health_check else {}),
            **changes,
        }
        return {
            "endpoints": {"api": {name: value for name, value in endpoint.items() if value is not None}},
            "writes": {"gate": "document", "keys": [FOLDER]},
        }

    def write_contract(self, contract: Workload) -> Path:
        """Write a contract with these endpoints into this directory; return the file."""
        place = self._directory / "workload.json"
        whole = {**json.loads(canonical(contract)), **self.contract()}
        place.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        return place

    def set_outage(self, site: str, *, on: bool) -> None:
        """Begin or end the outage of a site's server."""
        if on:
            self.servers[site].outage()
        else:
            with suppress(OSError):  # it serves already
                self.servers[site].end_outage()

    def declare(self, site: str, writes: str = "open") -> None:
        """Write the active-site document, as a workload is set up."""
        document = {
            "schema_version": 1, "site": site, "writes": writes, "epoch": 1, "lease_epoch": 0, "run": "setup",
            "since": SystemClock().now(), "nonce": "0" * 32,
        }  # fmt: skip
        self._cloud.client("s3").put_object(
            Bucket=self._bucket, Key=f"{self._prefix}/drfsm/active.json", Body=json.dumps(document).encode()
        )
