"""A bucket of the test's own on the module's moto server, and the store of it as the CLI makes it."""

import uuid
from collections.abc import Iterator

import pytest

from drfsm.adapters.aws import S3Store, connect
from drfsm.sandbox.cloud import REGION, Cloud
from tests.bench.faulty import Front


def store_at(endpoint: str, bucket: str) -> S3Store:
    """Return the store as the CLI makes it."""
    return connect(bucket=bucket, endpoint_url=endpoint, region=REGION).store


@pytest.fixture
def front(cloud: Cloud) -> Iterator[Front]:
    """Serve a front before the cloud that fails on command."""
    with Front(cloud.endpoint) as serving:
        yield serving


@pytest.fixture
def bucket(cloud: Cloud, operator_keys: None) -> str:  # noqa: ARG001  who works on a bucket has keys
    """Return an empty bucket of the test's own."""
    name = f"adapters-{uuid.uuid4().hex[:12]}"
    cloud.create_bucket(name)
    return name


@pytest.fixture
def store(cloud: Cloud, bucket: str) -> S3Store:
    """Return the store of the test's bucket."""
    return store_at(cloud.endpoint, bucket)
