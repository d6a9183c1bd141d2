"""A backup is intact only if reading every part of it gives what its metadata says."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from drfsm.dr.backup.address import FACTS, examine, judge
from drfsm.errors import Unreachable, UsageFault
from drfsm.sandbox.seed import Options, manifests, publish_backup
from tests.bench.faulty import Fault, Front

if TYPE_CHECKING:
    from tests.dr.conftest import Bench

RUN = "2026-02-27T00:22:29.934039+00:00"


@pytest.fixture
def uri(bench: "Bench") -> str:
    """Return a backup as the sandbox's seed publishes it."""
    bench.work(RUN)
    options = Options(bucket=bench.bucket)
    identity = bench.cloud.create_identity(bench.bucket)
    return publish_backup(bench.cloud, options, manifests("primary", options, identity, bench.cloud.endpoint), RUN)


def key(bench: "Bench", uri: str, name: str) -> str:
    """Return the key of one of a backup's objects."""
    return f"{uri.removeprefix(f's3://{bench.bucket}/')}/{name}"


def value(bench: "Bench", uri: str) -> tuple[Any, str | None]:
    """Observe and judge the fact."""
    run = bench.run(inputs={**bench.inputs, "primary_restore_backup_uri": uri})
    seen = FACTS["backup"].observe(bench.world, run)
    assert json.loads(json.dumps(seen)) == seen
    return seen, FACTS["backup"].judge(seen, run.inputs)


def test_a_whole_backup_is_intact(bench: "Bench", uri: str) -> None:
    """Both parts are read; what was seen carries the hash and the size of each. A slash at the end is fine."""
    seen, judged = value(bench, f"{uri}/")
    assert judged == "intact"
    for name in ("state.tar.zst", "manifests.tar.zst"):
        body = bench.body(key(bench, uri, name))
        assert seen["parts"][name] == {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


@pytest.mark.parametrize("name", ["state.tar.zst", "manifests.tar.zst"])
def test_a_flipped_byte_is_damage_and_a_vanished_part_is_missing(bench: "Bench", uri: str, name: str) -> None:
    """Same size, other bytes: damaged, by name. Longer: damaged. Gone: missing."""
    body = bench.body(key(bench, uri, name))
    bench.flip(key(bench, uri, name))
    seen, judged = value(bench, uri)
    assert (judged, len(seen["damaged"])) == ("damaged", 1)
    assert seen["damaged"][0].startswith(f"{name} has the SHA-256")
    bench.put(key(bench, uri, name), body + b"x")
    seen, judged = value(bench, uri)
    assert (judged, seen["damaged"][0].startswith(f"{name} has {len(body) + 1} bytes")) == ("damaged", True)
    bench.delete(key(bench, uri, name))
    seen, judged = value(bench, uri)
    assert (judged, seen["missing"]) == ("missing", [name])


def test_a_backup_without_metadata_is_missing(bench: "Bench", uri: str) -> None:
    """Without what it ought to be, nothing says what is there; a backup that nobody took is missing too."""
    bench.delete(key(bench, uri, "metadata.json"))
    assert value(bench, uri)[1] == "missing"
    assert value(bench, f"s3://{bench.bucket}/jobintel/backups/none")[1] == "missing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (b"not json", "not JSON"),
        (b"[]", "not an object"),
        ({"checksums": None}, "no checksums and sizes"),
        ({"sizes": []}, "no checksums and sizes"),
        ({"checksums": {}}, "names no state.tar.zst"),
        ({"backup_id": "another"}, "belongs to the backup 'another'"),
        ({"sizes": {}}, "no size of"),
        ({"checksums": {"state.tar.zst": "abc", "manifests.tar.zst": None}}, "no SHA-256 of"),
        ({"checksums": {"../../state/last_success.json": "a" * 64}}, "not a valid file name"),
    ],
)
def test_metadata_that_can_not_be_relied_on_is_damage(bench: "Bench", uri: str, change: Any, words: str) -> None:
    """It says why, and no part is read by a name that leads elsewhere."""
    where = key(bench, uri, "metadata.json")
    body = change if isinstance(change, bytes) else json.dumps({**json.loads(bench.body(where)), **change}).encode()
    bench.put(where, body)
    seen, judged = value(bench, uri)
    assert judged == "damaged"
    assert any(words in each for each in seen["damaged"])
    assert seen["parts"] == {}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://another-bucket/jobintel/backups/b", "another-bucket"),
        ("jobintel/backups/b", "is not the URI of a backup"),
        ("s3://another-bucket", "is not the URI of a backup"),
        ("s3:///a", "in the bucket "),
        ("", "is not the URI of a backup"),
    ],
)
def test_a_backup_elsewhere_is_refused(bench: "Bench", uri: str, words: str) -> None:
    """Another bucket, or no backup at all, is a wrong input that says what to give."""
    with pytest.raises(UsageFault, match=words) as told:
        examine(bench.store, uri)
    assert told.value.hint


def test_a_5xx_is_neither_damage_nor_absence(bench: "Bench", uri: str, front: Front) -> None:
    """A part that can't be read now says nothing about the backup."""
    front.rule = lambda _method, path: Fault(status=503) if path.endswith("state.tar.zst") else None
    with pytest.raises(Unreachable):
        examine(bench.store_at(front.endpoint), uri)


def test_damage_tells_more_than_absence() -> None:
    """With one part gone and one changed, the verdict is damaged."""
    assert judge({"damaged": ["a"], "missing": ["b"]}) == "damaged"
