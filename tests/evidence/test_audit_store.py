"""What a store shows of an audited run: its mirror, record by record, and its artifacts, read again."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drfsm.adapters.file_journal import LOG
from drfsm.journal.mirror import home_of, key_of
from drfsm.runs.auditing import Asked, audited
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from tests.recorded import BUNDLES, world_of

PROMOTE = BUNDLES / "0.5.0" / "promote"
pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Cloud, str]]:
    """Serve the bucket of the recorded promote, with its artifacts and its mirror."""
    told = world_of(PROMOTE)
    bucket = str(told["bucket"])
    cloud = Cloud()
    cloud.start()
    try:
        cloud.create_bucket(bucket)
        for key, body in told["objects"].items():
            content = base64.b64decode(body[0]) if isinstance(body, list) else str(body).encode()
            cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        yield cloud, bucket
    finally:
        cloud.stop()


def found(place: Path, cloud: Cloud, bucket: str, **asked: Any) -> dict[str, Any]:
    """Return what an audit with the store finds, by code: what was found instead."""
    places = {"endpoint_url": cloud.endpoint, "region": REGION}
    (audit,) = audited(str(place), Asked(store=f"s3://{bucket}", mirror=True, places=places, **asked))
    return {finding.code: finding.what for finding in audit.findings if finding.rule in ("mirror", "artifacts")}


def test_the_store_has_the_last_word(
    recorded: tuple[Cloud, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror: missing, the same, longer, shorter, another record; the artifacts: whole, altered, removed."""
    cloud, bucket = recorded
    s3 = cloud.client("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    place = Path(shutil.copytree(PROMOTE, tmp_path / "promote"))
    log = (PROMOTE / LOG).read_bytes().splitlines(keepends=True)
    run_id = (
        next(iter(PROMOTE.glob("*.summary.json"))).read_text(encoding="utf-8").split('"run_id": "')[1].split('"')[0]
    )
    home = home_of("jobintel", run_id)
    for stat in s3.list_objects_v2(Bucket=bucket, Prefix=f"{home}/").get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=stat["Key"])
    assert found(place, cloud, bucket).keys() == {"mirror_is_missing"}
    for number, line in enumerate(log):
        s3.put_object(Bucket=bucket, Key=key_of(home, number), Body=line)
    assert found(place, cloud, bucket).keys() == {"mirror_is_the_same"}
    (place / LOG).write_bytes(b"".join(log[:-1]))
    assert found(place, cloud, bucket).keys() == {"mirror_is_longer"}
    (place / LOG).write_bytes(b"".join(log))
    s3.delete_object(Bucket=bucket, Key=key_of(home, len(log) - 1))
    assert found(place, cloud, bucket).keys() == {"mirror_is_shorter"}
    (place / LOG).write_bytes(b"".join(log).replace(b'"operator":"ann"', b'"operator":"eve"', 1))
    assert "mirror_differs" in found(place, cloud, bucket)
    shutil.copy(PROMOTE / LOG, place / LOG)
    staged = [key for key in world_of(PROMOTE)["objects"] if f"/promotes/{run_id}/runs/" in key]
    assert len(staged) == 5
    s3.put_object(Bucket=bucket, Key=staged[0], Body=b"other results")
    assert "artifacts_differ" in found(place, cloud, bucket)
    s3.delete_object(Bucket=bucket, Key=staged[0])
    assert "artifact_is_missing" in found(place, cloud, bucket)
