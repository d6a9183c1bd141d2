"""Both sites' servers, their names and a bucket of the test's own; and runs that act on them by the real adapters."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields

from drfsm.adapters.aws_session import Services
from drfsm.adapters.dns_names import DnsNames
from drfsm.adapters.https import HttpsDoors
from drfsm.adapters.route53 import Route53Zones
from drfsm.dr import workload
from drfsm.dr.endpoints import ACTIONS, FACTS, LATE
from drfsm.engine import Run, SystemClock
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from drfsm.sandbox.serving_sites import ServingSites
from drfsm.world import World
from tests.bench.faulty import Front
from tests.direct_store import DirectStore

PROMOTE, FAILBACK = "dr", "primary"


class Clock(SystemClock):
    """A clock whose pauses are short, and which can be set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> str:
        """Return the time that it is for the run."""
        return (datetime.fromisoformat(super().now()) + self.ahead).isoformat()

    def sleep(self, seconds: float) -> None:
        """Pause for a fraction of it."""
        super().sleep(seconds / 50)


class Bench:
    """One bucket, both sites' servers, and what runs do with them."""

    prefix = "jobintel"

    def __init__(self, cloud: Cloud, directory: Path, routing: str = "weighted") -> None:
        self.cloud = cloud
        self.bucket = f"endpoints-{uuid.uuid4().hex[:12]}"
        cloud.create_bucket(self.bucket)
        self.sites = ServingSites(cloud, self.bucket, self.prefix, directory, routing=routing)
        self.clock = Clock()
        self.changes: dict[str, Any] = {}  # keys of the endpoint that differ
        self.inputs: dict[str, Any] = {}
        self.epoch = 1

    @property
    def contract(self) -> workload.Workload:
        """The shipped contract with these endpoints."""
        shipped = json.loads(workload.canonical(workload.shipped()))
        return workload.read(json.dumps({**shipped, **self.sites.contract(**self.changes)}))

    def world(self, endpoint: str = "") -> World:
        """Return a world with real adapters. ``endpoint``: another way to the cloud."""
        parts: dict[str, Any] = dict.fromkeys(part.name for part in fields(World))
        services = Services(endpoint or self.cloud.endpoint, REGION)
        parts |= {"store": DirectStore(self.cloud, self.bucket), "zones": Route53Zones(services)}
        return World(**{**parts, "names": DnsNames(seconds=1.5), "https": HttpsDoors()})

    def run(self, target: str = PROMOTE, **changes: Any) -> Run:
        """Return a run: a promote to DR, or a failback to the primary."""
        inputs = {
            "workload": workload.canonical(self.contract), "bucket": self.bucket, "prefix": self.prefix,
            "candidate": "local", "taker": target, "primary_unreachable": "no", "dr_unreachable": "no",
            "fence_primary": "none", "fence_dr": "none", "namespace": "jobintel", "configmap": "jobintel-config",
            **self.inputs,
        }  # fmt: skip
        run = Run(
            id=f"run-{self.epoch}", inputs=inputs, operator="ana", epoch=self.epoch, dry_run=False, trigger="test",
            results={}, args={}, clock=self.clock,
        )  # fmt: skip
        return evolve(run, **changes)

    def fact(self, name: str, target: str = PROMOTE, **changes: Any) -> str | None:
        """Return a fact's value, its observation having gone through JSON."""
        return self.judge(name, self.seen(name, target, **changes), target)

    def seen(self, name: str, target: str = PROMOTE, **changes: Any) -> Any:
        """Return what is observed of a fact."""
        return json.loads(json.dumps(FACTS[name].observe(self.world(), self.run(target, **changes))))

    def judge(self, name: str, seen: Any, target: str = PROMOTE) -> str | None:
        """Judge an observation."""
        value: str | None = FACTS[name].judge(seen, self.run(target).inputs)
        return value

    def act(self, name: str, target: str = PROMOTE, *, world: World | None = None, **changes: Any) -> Any:
        """Take an action."""
        return ACTIONS[name](world or self.world(), self.run(target, **changes))

    def touch(self, name: str, target: str = PROMOTE) -> Any:
        """Shut out what an action may still have on its way."""
        touch = LATE[name].touch
        assert touch is not None
        return touch(self.world(), self.run(target))

    def document(self) -> Mapping[str, Any]:
        """Return the active-site document."""
        body = self.cloud.client("s3").get_object(Bucket=self.bucket, Key=f"{self.prefix}/drfsm/active.json")["Body"]
        document: Mapping[str, Any] = json.loads(body.read())
        return document


Benches = Callable[..., Bench]


@pytest.fixture
def benches(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Benches]:
    """Return what makes a bench by its routing; what it makes is stopped at the end."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    made: list[Bench] = []

    def make(routing: str = "weighted") -> Bench:
        bench = Bench(cloud, tmp_path, routing)
        bench.sites.start()
        bench.sites.declare("primary")
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.sites.stop()


@pytest.fixture
def bench(benches: Benches) -> Bench:
    """Return a bench with weighted records at the primary site, whose writes are open."""
    return benches()


@pytest.fixture
def front(cloud: Cloud) -> Iterator[Front]:
    """Serve a front before the cloud that fails on command."""
    with Front(cloud.endpoint) as serving:
        yield serving
