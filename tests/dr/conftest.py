"""Rooms for the tests of dr/: one cloud for all of them, a bucket each, the workload, and a front that fails."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

from drfsm.adapters.aws import S3Store, connect
from drfsm.dr import workload
from drfsm.dr.layout import Layout
from drfsm.dr.terms import terms_of
from drfsm.engine import Run, SystemClock
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from drfsm.world import ObjectStore, World
from tests.bench.faulty import Front
from tests.direct_store import DirectStore

DR_RUN = "2026-02-27T00:22:29.934039+00:00"
PRIMARY_RUN = "2026-02-28T13:00:00.000001+00:00"
DRFSM_RUN = "failback-20260228T125500Z-a1b2c3"


class Bench:
    """A bucket of one's own, with the workload and the store to act on it.

    ``store`` is asked in this process (tests/direct_store.py); ``store_at`` is the adapter, for what lies on the way.
    """

    def __init__(self, cloud: Cloud, state: Path) -> None:
        self.cloud, self.state, self._runs = cloud, state, 0
        self.s3 = cloud.client("s3")
        self.bucket = f"bench-{uuid.uuid4().hex[:12]}"
        cloud.create_bucket(self.bucket)
        self.store: ObjectStore = DirectStore(cloud, self.bucket)
        self.inputs: dict[str, Any] = {
            "workload": "",
            "bucket": self.bucket,
            "prefix": "jobintel",
            "candidate": "local",
            "provider": "openai",
            "profile": "cs",
            "dr_run_id": DR_RUN,
            "primary_run_id": PRIMARY_RUN,
        }

    @property
    def layout(self) -> Layout:
        """The canonical layout."""
        return terms_of(self.inputs).layout

    @property
    def beside(self) -> Layout:
        """The layout that the validation publishes into."""
        return terms_of(self.inputs).staged(DRFSM_RUN)

    @property
    def world(self) -> World:
        """Return a world that is nothing but this bucket: who asks for a cluster here has lost its way."""
        return self.world_of(self.store)

    def world_of(self, store: ObjectStore) -> World:
        """Return a world over another way to the bucket."""
        parts: dict[str, Any] = dict.fromkeys(each.name for each in fields(World))
        return World(**{**parts, "store": store})

    def store_at(self, endpoint: str) -> S3Store:
        """Return the store as the CLI makes it."""
        return connect(bucket=self.bucket, endpoint_url=endpoint, region=REGION).store

    def run(self, **given: Any) -> Run:
        """Return what a row's fact or action is handed."""
        usual: dict[str, Any] = {
            "id": DRFSM_RUN,
            "inputs": self.inputs,
            "operator": "ana",
            "epoch": 1,
            "dry_run": False,
            "trigger": "test",
            "results": {},
            "args": {},
            "clock": SystemClock(),
        }
        return Run(**{**usual, **given})

    def work(self, run_id: str, **given: str) -> Path:
        """Run the workload to its end under a run id, its report and statements uploaded; return its local copy."""
        self._runs += 1
        state = self.state / str(self._runs) / "state"  # a state of its own, as a pod with an emptyDir has
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "JOBINTEL_S3_BUCKET": self.bucket,
            "JOBINTEL_STATE_DIR": str(state),
            "JOBINTEL_RUN_ID": run_id,
            "JOBINTEL_PUBLISH_RUN_REPORT": "1",
            "JOBINTEL_PUBLISH_STATEMENTS": "1",
            "PUBLISH_S3": "1",
            "PUBLISH_S3_REQUIRE": "1",
            **given,
        }
        contract = self.state.parent / "legacy.json"  # its report's paths are relative to the run, as the bench's are
        contract.write_text(workload.canonical(workload.legacy()), encoding="utf-8")
        argv = [sys.executable, "-m", "drfsm.sandbox.workload", "--contract", str(contract)]
        subprocess.run(argv, env=environment, check=True, timeout=30, stdout=subprocess.DEVNULL)
        return state / "runs" / run_id.replace(":", "").replace("-", "").replace(".", "")

    def validate(self, **given: str) -> Path:
        """Run the workload as a validation does: beside."""
        return self.work(PRIMARY_RUN, JOBINTEL_S3_PREFIX=self.beside.prefix, **given)

    def copy_of(self, run_id: str, directory: Path) -> Path:
        """Run the workload, and lay down a copy of what it published."""
        self.work(run_id)
        home = f"{self.layout.run(run_id)}/"
        for key, body in self.everything().items():
            if key.startswith(home):
                target = directory / key.removeprefix(home)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(body)
        return directory

    def put(self, key: str, body: bytes) -> None:
        """Put an object, as anybody else would."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def body(self, key: str) -> bytes:
        """Return an object's bytes."""
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def flip(self, key: str) -> None:
        """Change one bit of an object; its size stays."""
        body = bytearray(self.body(key))
        body[len(body) // 2] ^= 1
        self.put(key, bytes(body))

    def everything(self) -> Mapping[str, bytes]:
        """Return the whole bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {each["Key"]: self.body(each["Key"]) for page in pages for each in page.get("Contents", [])}


@pytest.fixture
def bench(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return an empty bucket with a workload, and credentials as an operator's environment has them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    return Bench(cloud, tmp_path / "state")


@pytest.fixture
def front(cloud: Cloud) -> Iterator[Front]:
    """Serve a front before the cloud that fails on command."""
    with Front(cloud.endpoint) as serving:
        yield serving
