"""The sandbox's servers: they take writes while the gate says so, and fail on command."""

import json
import threading
import time

import pytest

from drfsm.adapters.https import HttpsDoors
from drfsm.errors import Unreachable
from drfsm.sandbox.api_server import FOLDER
from drfsm.sandbox.serving_sites import ADDRESSES, HOST
from drfsm.world import Door, HttpReply
from tests.endpoints.conftest import Bench


def door(bench: Bench, site: str) -> Door:
    """Return a site's server."""
    return Door(ADDRESSES[site], bench.sites.port, HOST, bench.sites.authorities)


def written(bench: Bench, site: str, key: str, seconds: float = 5.0) -> HttpReply:
    """Ask a site to take a write."""
    headers = {"Idempotency-Key": key}
    return HttpsDoors().send(
        door(bench, site), "POST", "/items", headers=headers, body=b'{"note": "x"}', seconds=seconds
    )


def test_only_the_declared_site_takes_writes(bench: Bench) -> None:
    """The other one serves reads, and refuses."""
    assert [written(bench, site, "k").status for site in ADDRESSES] == [201, 503]
    bench.sites.declare("dr")
    assert [written(bench, site, "l").status for site in ADDRESSES] == [503, 201]
    bench.sites.declare("dr", "closed")
    assert [written(bench, site, "m").status for site in ADDRESSES] == [503, 503]
    assert HttpsDoors().read(door(bench, "primary"), "/items", seconds=5).status == 200


@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"site": "primary"}', b"[]", b'{"site": 1, "writes": "open"}'])
def test_a_server_that_cannot_read_the_document_refuses(bench: Bench, body: bytes) -> None:
    """A document that isn't one is no permission."""
    key = f"{bench.prefix}/drfsm/active.json"
    bench.cloud.client("s3").put_object(Bucket=bench.bucket, Key=key, Body=body)
    assert written(bench, "primary", "k").status == 503
    bench.cloud.client("s3").delete_object(Bucket=bench.bucket, Key=key)
    assert written(bench, "primary", "k").status == 503


def test_a_repeated_write_makes_one_item(bench: Bench) -> None:
    """Also where the first answer got lost."""
    bench.sites.primary.lose_after = 1
    with pytest.raises(Unreachable):
        written(bench, "primary", "k")
    again, third = written(bench, "primary", "k"), written(bench, "primary", "k")
    assert (again.status, third.status) == (200, 200)
    listed = json.loads(HttpsDoors().read(door(bench, "primary"), "/items?mark=k", seconds=5).body)["items"]
    assert [item["id"] for item in listed] == [json.loads(again.body)["id"]]


def test_a_write_that_was_on_its_way_when_the_gate_closed_is_not_acknowledged(bench: Bench) -> None:
    """The document is read again before the answer."""
    bench.sites.primary.stall_seconds = 3
    replies: list[HttpReply] = []
    writer = threading.Thread(target=lambda: replies.append(written(bench, "primary", "k", 30)))
    writer.start()
    while not list(bench.world().store.list(f"{bench.prefix}/{FOLDER}/")):
        time.sleep(0.02)
    bench.act("close_source_gate")  # the write is made, and not yet acknowledged
    writer.join()
    assert replies[0].status == 503
    assert not bench.sites.primary.acknowledged


def test_a_zombie_takes_writes_until_a_fence_stops_it(bench: Bench) -> None:
    """It believes what it read last: no gate closes it. Its identity's writes can be denied."""
    zombie = bench.sites.primary
    assert written(bench, "primary", "before").status == 201
    zombie.is_zombie = True
    bench.sites.declare("dr")
    assert [written(bench, site, "both").status for site in ADDRESSES] == [201, 200]  # two sites accept writes
    deny = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bench.bucket}/{bench.prefix}/{FOLDER}/*",
        "Condition": {"ArnEquals": {"aws:PrincipalArn": bench.sites.identities["primary"].arn}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    bench.cloud.client("s3").put_bucket_policy(Bucket=bench.bucket, Policy=policy)
    assert [written(bench, site, "fenced").status for site in ADDRESSES] == [503, 201]


def test_an_outage_refuses_connections_and_ends(bench: Bench) -> None:
    """Nobody answers; later the same server does, at the same address."""
    bench.sites.dr.outage()
    with pytest.raises(Unreachable, match="connection refused"):
        HttpsDoors().read(door(bench, "dr"), "/healthz", seconds=2)
    bench.sites.dr.end_outage()
    assert HttpsDoors().read(door(bench, "dr"), "/healthz", seconds=2).status == 200
