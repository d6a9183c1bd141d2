"""The workload's small S3 client speaks as the SDK does."""

from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from drfsm.sandbox.workload_store import Store


def test_its_signature_is_the_one_that_botocore_makes() -> None:
    """For the same request at the same moment both compute the same Authorization header."""
    path = "/bucket/jobintel/runs/2026-02-27T00%3A22%3A29.934039%2B00%3A00/a%20b.json"
    theirs = AWSRequest(method="PUT", url=f"http://127.0.0.1:9000{path}", data=b"body")
    S3SigV4Auth(Credentials("key", "secret", "token"), "s3", "eu-west-1").add_auth(theirs)
    moment = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
    }
    ours = Store("bucket", environ).signed("PUT", path, "127.0.0.1:9000", b"body", moment)
    assert ours["Authorization"] == theirs.headers["Authorization"]
