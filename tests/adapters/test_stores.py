"""The store's contract, held against servers that others wrote: the adapter means the same on each of them.

On one that ignores conditional writes nothing that needs them is begun. What isn't installed is skipped, and says so.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import boto3
import pytest

from drfsm.adapters.aws import Account, S3Store, connect
from drfsm.adapters.s3_lease import S3Lease, probe_compare_and_swap
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreadable
from drfsm.sandbox.cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud
from drfsm.world import UNTOLD, Blob, Copy, Hashed
from tests.adapters.servers import SERVERS, serving
from tests.direct_store import DirectStore

BUCKET = "contract"
DIRECT_BUCKET = f"{BUCKET}-direct"  # of the same process as the moto server: S3 gives a name once
OURS = ("moto", "direct")
KEYS = (
    "p/plain.json",
    "p/2026-02-27T00:22:29.934039+00:00/a b+c%41.json",
    "p/ümläut/日本",
    "p/a&b=c?d#e;f,g@h!i$j*k~l'(m)",
)


class Served(NamedTuple):
    """A server and an account on it."""

    name: str
    account: Account

    @property
    def store(self) -> S3Store:
        """The bucket."""
        return self.account.store


@pytest.fixture(scope="module", params=[*OURS, *SERVERS])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve an empty bucket."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        if request.param == "direct":
            with Cloud() as cloud:
                cloud.create_bucket(DIRECT_BUCKET)
                account = connect(bucket=DIRECT_BUCKET, endpoint_url=cloud.endpoint, region=REGION)
                # The port's other implementation, which the tests of whole worlds use.
                yield Served("direct", account._replace(store=DirectStore(cloud, DIRECT_BUCKET)))  # type: ignore[arg-type]
            return
        with serving(request.param, tmp_path_factory.mktemp(request.param)) as endpoint:
            boto3.client("s3", endpoint_url=endpoint, region_name=REGION).create_bucket(Bucket=BUCKET)
            yield Served(request.param, connect(bucket=BUCKET, endpoint_url=endpoint, region=REGION))


@pytest.fixture
def store(served: Served) -> S3Store:
    """Return the bucket, emptied."""
    for stat in list(served.store.list("")):
        served.store.delete(stat.key)
    return served.store


def honours(served: Served, condition: str) -> bool:
    """Return whether a server keeps to a condition of a write."""
    return served.name in OURS or condition in SERVERS[served.name].honours


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_written_read_copied_and_deleted(store: S3Store, key: str) -> None:
    """What was put is what is got, by one request after another and by many at once, under every key."""
    etag, digest = store.put(key, b"body"), hashlib.sha256(b"body").hexdigest()
    blob, stat = store.get(key), store.stat(key)
    assert blob is not None
    assert stat is not None
    assert (blob.key, blob.body, blob.etag, stat.size_bytes, stat.etag) == (key, b"body", etag, 4, etag)
    assert store.sha256(key) == (4, digest)
    store.copy(key, f"q/{key}")
    assert list(store.copy_many([Copy(key, f"r/{key}", 4)])) == [Copy(key, f"r/{key}", 4)]
    assert sorted(each.key for each in store.list("")) == sorted([key, f"q/{key}", f"r/{key}"])
    assert [each.key for each in store.list("q/")] == [f"q/{key}"]
    assert list(store.hash_many([f"q/{key}"])) == [Hashed(f"q/{key}", 4, digest)]
    assert [(name, blob and blob.body) for name, blob in store.get_many([f"r/{key}"])] == [(f"r/{key}", b"body")]
    store.delete(key)
    assert list(store.delete_many([f"q/{key}", f"r/{key}"])) != []
    assert list(store.list("")) == []


def test_what_is_not_there_is_none(store: S3Store) -> None:
    """Absent objects are answers; deleting them is fine; copying them is refused."""
    assert (store.get("none"), store.stat("none"), store.sha256("none")) == (None, None, None)
    assert (list(store.get_many(["none"])), list(store.hash_many(["none"]))) == ([("none", None)], [Hashed("none")])
    assert list(store.list("none/")) == []
    store.delete("none")
    assert list(store.delete_many(["none"])) == ["none"]
    with pytest.raises(ActionFailed, match="no longer exists"):
        store.copy("none", "other")
    with pytest.raises(ActionFailed, match="no longer exists"):
        list(store.copy_many([Copy("none", "other", 4)]))


def test_no_bucket_is_an_error_and_not_an_absent_object(served: Served) -> None:
    """A bucket that is not there is never a set of absent objects."""
    if served.name == "direct":
        pytest.skip("its bucket is there: a sandbox's own")
    endpoint = served.account.store._services.endpoint("s3")
    nowhere = connect(bucket="no-such-bucket", endpoint_url=endpoint, region=REGION).store
    for ask in (
        lambda: nowhere.get("k"),
        lambda: nowhere.stat("k"),
        lambda: list(nowhere.list("")),
        lambda: list(nowhere.get_many(["k"])),
        lambda: list(nowhere.hash_many(["k"])),
    ):
        with pytest.raises(DrfsmError):
            ask()


def test_a_listing_has_every_page_in_order(served: Served, store: S3Store) -> None:
    """More objects than one page holds are all listed."""
    if served.name in OURS or not SERVERS[served.name].at_once:
        pytest.skip(f"{served.name}: tested in test_aws.py, or drops what comes at once")
    store.put("p/0000", b"body")
    copies = [Copy("p/0000", f"p/{number:04}", 4) for number in range(1, 1_005)]
    assert len(list(store.copy_many(copies))) == len(copies)
    assert [each.key for each in store.list("p/")] == [f"p/{number:04}" for number in range(1_005)]
    assert len(list(store.delete_many([f"p/{number:04}" for number in range(1_005)]))) == 1_005


def test_an_object_that_is_too_large_is_refused(store: S3Store) -> None:
    """By its length, before it is read."""
    store.put("large", bytes(2_000_000))
    assert store.get("large") is not None
    for ask in (
        lambda: store.get("large", largest_bytes=1_999_999),
        lambda: list(store.get_many(["large"], largest_bytes=1_999_999)),
    ):
        with pytest.raises(Unreadable, match="2000000 bytes; drfsm reads at most 1999999"):
            ask()


def test_conditions_are_kept_or_nothing_that_needs_them_is_begun(served: Served, store: S3Store) -> None:
    """On a store that honours both conditions a lease is taken; on any other none is, and no probe is left behind."""
    if honours(served, "if_match") and honours(served, "if_absent"):
        first = store.put("k", b"first", if_absent=True)
        for condition in ({"if_absent": True}, {"if_match": '"0123456789abcdef0123456789abcdef"'}):
            with pytest.raises(Conflict):
                store.put("k", b"second", **condition)
            assert store.put("k", b"first", **condition) == first  # the same bytes once more are our own
        with pytest.raises(Conflict):
            store.put("none", b"second", if_match=first)
        assert store.get("k") == Blob("k", b"first", first)
        assert store.put("k", b"second", if_match=first) != first
        probe_compare_and_swap(store, "p")
        assert [S3Lease(store, "p").acquire("run-a", "ann", "host") for _ in range(2)] == [1, 2]
        assert sorted(each.key for each in store.list("")) == ["k", "p/drfsm/lease.json"]
    else:
        with pytest.raises(ActionFailed, match="does not honour conditional writes"):
            S3Lease(store, "p").acquire("run-a", "ann", "host")
        assert list(store.list("")) == []


def test_the_time_the_region_and_who_we_are_are_answers_or_untold(served: Served, store: S3Store) -> None:
    """A store that is not AWS's may not tell whose it is: that is said, and is no failure."""
    store.put("k", b"")
    now = store.now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    assert served.account.policy.read() is None
    identity = served.account.identity
    assert identity.bucket_region() == REGION or identity.bucket_region().startswith(f"{UNTOLD}: ")
    for answer in (identity.account(), identity.caller()):
        assert answer.isdigit() or answer.startswith(("arn:", f"{UNTOLD}: STS does not answer at http://127.0.0.1:"))
