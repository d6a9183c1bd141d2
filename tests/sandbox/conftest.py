"""Rooms for the sandbox's own tests: one cloud for all of them, and the workload as a process."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from drfsm.sandbox.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Cloud


class Bench:
    """A bucket of one's own, and the workload to run against it."""

    def __init__(self, cloud: Cloud, state: Path) -> None:
        self.cloud, self._states, self._runs = cloud, state, 0
        self.contract: tuple[str, ...] = ()
        self.s3 = cloud.client("s3")
        self.bucket = f"bench-{uuid.uuid4().hex[:12]}"
        cloud.create_bucket(self.bucket)

    @property
    def state(self) -> Path:
        """The state folder of the newest run: each has one of its own, as a pod with an emptyDir has."""
        return self._states / str(self._runs) / "state"

    def environment(self, **given: str) -> dict[str, str]:
        """Return what a pod of the site would have, and what the test gives."""
        return {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "JOBINTEL_S3_BUCKET": self.bucket,
            "JOBINTEL_STATE_DIR": str(self.state),
            "PUBLISH_S3": "1",
            **given,
        }

    def start(self, **given: str) -> subprocess.Popen[str]:
        """Start the workload; the test waits for it."""
        self._runs += 1
        argv = [sys.executable, "-m", "drfsm.sandbox.workload", *self.contract]
        return subprocess.Popen(argv, env=self.environment(**given), stdout=subprocess.PIPE, text=True)

    def run(self, **given: str) -> tuple[int, str]:
        """Run the workload to its end; return its exit code and its log."""
        process = self.start(**given)
        log, _ = process.communicate(timeout=30)
        return process.returncode, log

    def listing(self) -> list[str]:
        """Return every key of the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def body(self, key: str) -> bytes:
        """Return an object's bytes."""
        found: Any = self.s3.get_object(Bucket=self.bucket, Key=key)
        return bytes(found["Body"].read())


@pytest.fixture
def bench(cloud: Cloud, tmp_path: Path) -> Bench:
    """Return an empty bucket with a workload."""
    return Bench(cloud, tmp_path / "states")
