"""The sandbox's Route 53 answers as the service does. Each test names the behaviour of moto's that it replaces."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drfsm.sandbox.cloud import Cloud
from drfsm.sandbox.route53 import published, spread_slowly

Record = dict[str, Any]


def weighted(site: str, weight: int = 100, **fields: Any) -> Record:
    """Return one of two weighted records."""
    value = "192.0.2.1" if site == "primary" else "192.0.2.2"
    usual = {"Name": "api.example.test.", "Type": "A", "TTL": 60, "SetIdentifier": site, "Weight": weight}
    return {**usual, "ResourceRecords": [{"Value": value}], **fields}


def text(value: str, name: str = "_drfsm.api.example.test.") -> Record:
    """Return a TXT record."""
    return {"Name": name, "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": f'"{value}"'}]}


class Zone:
    """A hosted zone of the test's own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.client = cloud, cloud.client("route53")
        made = self.client.create_hosted_zone(Name="example.test", CallerReference=str(time.monotonic_ns()))
        self.id = made["HostedZone"]["Id"].rpartition("/")[2]

    def change(self, *changes: tuple[str, Record]) -> str:
        """Make a batch; return the id of the change."""
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)
        return str(answer["ChangeInfo"]["Id"])

    def refused(self, *changes: tuple[str, Record]) -> str:
        """Make a batch that is refused, and changes nothing; return the code and the message."""
        before = self.records()
        with pytest.raises(ClientError) as refusal:
            self.change(*changes)
        assert self.records() == before
        return str(refusal.value)

    def records(self, **options: Any) -> list[Record]:
        """List records, but for the zone's own."""
        listed = self.client.list_resource_record_sets(HostedZoneId=self.id, **options)["ResourceRecordSets"]
        return [record for record in listed if record["Type"] not in ("NS", "SOA")]


@pytest.fixture
def zone(cloud: Cloud) -> Zone:
    """Return an empty zone."""
    return Zone(cloud)


def test_a_batch_is_made_whole_or_not_at_all(zone: Zone) -> None:
    """Moto makes what stands before the fault, one change after the other."""
    zone.change(("CREATE", text("old")))
    assert "InvalidChangeBatch" in zone.refused(("CREATE", weighted("primary")), ("CREATE", text("new")))


def test_a_deletion_needs_exactly_what_is_there(zone: Zone) -> None:
    """Moto deletes by name and type what anybody created at any time: a compare-and-swap never fails on it."""
    zone.change(("CREATE", text("first")))
    zone.change(("DELETE", text("first")), ("CREATE", text("second")))
    assert "values provided do not match the current values" in zone.refused(("DELETE", text("first")))
    zone.change(("CREATE", weighted("primary")))
    for fields in ({"TTL": 61}, {"Weight": 99}, {"ResourceRecords": [{"Value": "192.0.2.9"}]}):
        assert "do not match" in zone.refused(("DELETE", {**weighted("primary"), **fields}))
    assert "was not found" in zone.refused(("DELETE", weighted("dr")))


def test_of_two_batches_on_one_claim_one_is_refused(zone: Zone) -> None:
    """With moto both are made, and two claims stand side by side."""
    zone.change(("CREATE", text("read by both")))
    zone.change(("DELETE", text("read by both")), ("CREATE", text("the winner's")))
    assert "InvalidChangeBatch" in zone.refused(("DELETE", text("read by both")), ("CREATE", text("the loser's")))


def test_what_once_existed_can_be_created_again(zone: Zone) -> None:
    """Moto refuses it: it looks into a log of everything that was ever created."""
    zone.change(("CREATE", text("a")))
    zone.change(("DELETE", text("a")))
    zone.change(("CREATE", text("a")))
    assert "already exists" in zone.refused(("CREATE", text("b")))


def test_a_deletion_touches_no_other_name_with_that_set_identifier(zone: Zone) -> None:
    """Moto deletes every record of the zone that has the set identifier."""
    other = weighted("primary", Name="other.example.test.")
    zone.change(("CREATE", weighted("primary")), ("CREATE", other))
    zone.change(("DELETE", weighted("primary")))
    assert [record["Name"] for record in zone.records()] == ["other.example.test."]


REFUSED = [
    ({"Weight": 256}, "Invalid weight 256"),
    ({"HealthCheckId": "no-such-check"}, "does not exist"),
    ({"ResourceRecords": [{"Value": "nonsense"}]}, "is not a valid address"),
    ({"Name": "api.example.org."}, "is not permitted in zone"),
    ({"Failover": "PRIMARY"}, "one routing policy"),
    ({"TTL": 2_147_483_648}, "Invalid TTL"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_the_service_would_not_take_is_refused(zone: Zone, fields: Record, words: str) -> None:
    """Moto takes any weight and any health check."""
    assert words in zone.refused(("CREATE", {**weighted("primary"), **fields}))


def test_policies_do_not_mix_and_roles_do_not_repeat(zone: Zone) -> None:
    """Moto keeps a simple record beside weighted ones, and two primaries."""
    zone.change(("CREATE", weighted("primary")))
    simple = {"Name": "api.example.test.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.3"}]}
    assert "different routing policies" in zone.refused(("CREATE", simple))
    first = {**simple, "Name": "f.example.test.", "SetIdentifier": "a", "Failover": "PRIMARY"}
    zone.change(("CREATE", first))
    assert "second PRIMARY" in zone.refused(("CREATE", {**first, "SetIdentifier": "b"}))
    alias = {"Name": "api.example.test.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "x.test"}]}
    assert "CNAME" in zone.refused(("CREATE", alias))


def test_a_change_is_pending_until_name_servers_have_it(zone: Zone) -> None:
    """Moto says INSYNC at once, of every id that anybody invents."""
    account = zone.cloud.account
    spread_slowly(account, 3)
    change = zone.change(("CREATE", text("new")))
    assert zone.client.get_change(Id=change)["ChangeInfo"]["Status"] == "PENDING"
    assert not [record for record in published(account, zone.id) if record.type == "TXT"]
    while zone.client.get_change(Id=change)["ChangeInfo"]["Status"] != "INSYNC":
        time.sleep(0.1)
    assert [record for record in published(account, zone.id) if record.type == "TXT"]
    spread_slowly(account, 0)
    with pytest.raises(ClientError, match="NoSuchChange"):
        zone.client.get_change(Id="C0NOBODY")


def test_a_listing_goes_on_where_it_ended(zone: Zone) -> None:
    """With moto the second page of weighted records begins anew: it has no NextRecordIdentifier."""
    zone.change(("CREATE", weighted("primary")), ("CREATE", weighted("dr", 0)), ("CREATE", text("x")))
    names, start = [], {"StartRecordName": "api.example.test"}
    for _ in range(3):
        page = zone.client.list_resource_record_sets(HostedZoneId=zone.id, MaxItems="1", **start)
        (record,) = page["ResourceRecordSets"]
        names.append(record.get("SetIdentifier", record["Type"]))
        start = {f"Start{key[4:]}": page[key] for key in page if key.startswith("NextRecord")}
    assert names == ["dr", "primary", "TXT"]
    assert not start
