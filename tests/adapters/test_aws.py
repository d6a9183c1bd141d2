"""S3, STS and EC2 as drfsm sees them: what is not there is None, what can't be told is Unreachable."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.aws_session import parsed_time, refusal
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.sandbox.seed import RUNNER_TAGS, launch_runner
from tests.adapters.conftest import store_at
from tests.bench.faulty import Fault, Front

pytestmark = pytest.mark.usefixtures("operator_keys")

KEY = "jobintel/runs/2026-02-27T00:22:29.934039+00:00/a b+c%41.json"


def test_an_object_is_written_read_copied_and_deleted(store: S3Store, bucket: str) -> None:
    """What was put is what is got, under a key with colons, pluses, spaces and percent signs."""
    etag = store.put(KEY, b"body")
    blob, stat = store.get(KEY), store.stat(KEY)
    assert blob is not None
    assert stat is not None
    assert (blob.key, blob.body, blob.etag, stat.size_bytes, stat.etag) == (KEY, b"body", etag, 4, etag)
    assert store.sha256(KEY) == (4, hashlib.sha256(b"body").hexdigest())
    store.copy(KEY, f"copy/{KEY}")
    assert [each.key for each in store.list("")] == [f"copy/{KEY}", KEY]
    store.delete(KEY)
    store.delete(KEY)
    assert (store.get(KEY), store.stat(KEY), store.sha256(KEY)) == (None, None, None)
    assert store.bucket == bucket


def test_a_listing_has_every_page(cloud: Cloud, store: S3Store, bucket: str) -> None:
    """More objects than one page holds are all listed, in order, and only those of the prefix."""
    from moto.s3.models import s3_backends

    lying = s3_backends[cloud.account]["aws"]  # the server's own: through the door this would take seconds
    for number in range(1_005):
        lying.put_object(bucket, f"p/{number:04}", b"")
    lying.put_object(bucket, "q/other", b"")
    assert [each.key for each in store.list("p/")] == [f"p/{number:04}" for number in range(1_005)]


TIMES = (
    "2026-02-28T03:04:05.000Z", "2026-02-28T03:04:05Z", "2026-02-28T03:04:05.123456789Z", "2026-02-28T03:04:05+02:00",
    "Fri, 27 Feb 2026 19:00:00 GMT", "Friday, 27-Feb-26 19:00:00 GMT", "Xxx, 27 Feb 2026 19:00:00 GMT",
    "Fri, 31 Feb 2026 19:00:00 GMT", "2026-13-01T00:00:00Z", "2026-02-28T25:04:05Z", "1772236800", 1772236800.5,
    "", "a login page",
)  # fmt: skip


@pytest.mark.parametrize("value", TIMES)
def test_a_time_is_read_as_botocore_reads_it(value: str | float) -> None:
    """Whatever form it has, the moment and the refusal are botocore's own; only its guessing is gone round."""
    from botocore.utils import parse_timestamp

    try:
        expected = parse_timestamp(value)
    except ValueError:
        with pytest.raises(ValueError, match="Invalid timestamp"):
            parsed_time(value)
    else:
        assert (parsed_time(value), parsed_time(value).isoformat()) == (expected, expected.isoformat())


def test_a_condition_that_does_not_hold_is_a_conflict_and_writes_nothing(store: S3Store) -> None:
    """If-None-Match on what is there, If-Match on another ETag or on nothing: Conflict; the object stays."""
    first = store.put(KEY, b"first", if_absent=True)
    with pytest.raises(Conflict):
        store.put(KEY, b"second", if_absent=True)
    with pytest.raises(Conflict):
        store.put(KEY, b"second", if_match='"0123456789abcdef0123456789abcdef"')
    with pytest.raises(Conflict):
        store.put("none", b"second", if_match=first)
    assert store.put(KEY, b"second", if_match=first) != first
    blob = store.get(KEY)
    assert blob is not None
    assert blob.body == b"second"


def test_a_conditional_write_whose_answer_was_lost_is_found_to_be_our_own(bucket: str, front: Front) -> None:
    """Done, and the answer lost: it is read back and counts, instead of losing against itself."""
    front.rule = lambda method, _path: Fault("lose") if method == "PUT" else None
    store = store_at(front.endpoint, bucket)
    first = store.put(KEY, b'{"nonce": 1}', if_absent=True)
    assert store.put(KEY, b'{"nonce": 2}', if_match=first) != first
    assert [method for method, _ in front.seen] == ["PUT", "GET"] * 2


def test_a_conditional_write_that_never_gets_through_is_unreachable(store: S3Store, bucket: str, front: Front) -> None:
    """Refused by the network every time, with the object still as it was: nobody else wrote, so no conflict."""
    first = store.put(KEY, b"first")
    front.rule = lambda method, _path: Fault("close") if method == "PUT" else None
    with pytest.raises(Unreachable):
        store_at(front.endpoint, bucket).put(KEY, b"second", if_match=first)
    assert store.sha256(KEY) == (5, hashlib.sha256(b"first").hexdigest())


def test_a_lost_answer_over_somebody_elses_write_is_a_conflict(store: S3Store, bucket: str, front: Front) -> None:
    """The answer did not come and another body lies there: somebody else wrote."""
    first = store.put(KEY, b"first")

    def rule(method: str, _path: str) -> Fault | None:
        if method != "PUT":
            return None
        store.put(KEY, b"somebody else's")
        return Fault("close")

    front.rule = rule
    with pytest.raises(Conflict):
        store_at(front.endpoint, bucket).put(KEY, b"second", if_match=first)


REFUSED = {
    409: b"<Error><Code>ConditionalRequestConflict</Code><Message>on command</Message></Error>",
    412: b"<Error><Code>PreconditionFailed</Code><Message>on command</Message></Error>",
}


@pytest.mark.parametrize("status", REFUSED)
@pytest.mark.parametrize("there", [True, False], ids=["If-Match", "If-None-Match"])
def test_a_refused_condition_that_holds_is_a_fault_of_the_store(
    store: S3Store, bucket: str, front: Front, status: int, *, there: bool
) -> None:
    """Refused as if somebody else had written, and nobody did: the store's fault, and never another process."""
    condition: dict[str, Any] = {"if_match": store.put(KEY, b"first")} if there else {"if_absent": True}
    front.rule = lambda method, _path: Fault(status=status, body=REFUSED[status]) if method == "PUT" else None
    with pytest.raises(Unreachable, match="although the object is as the condition says") as refused:
        store_at(front.endpoint, bucket).put(KEY, b"second", **condition)
    assert refused.value.fault == "store"
    assert store.sha256(KEY) == ((5, hashlib.sha256(b"first").hexdigest()) if there else None)


@pytest.mark.parametrize("status", REFUSED)
def test_a_condition_that_is_refused_once_is_tried_again(
    store: S3Store, bucket: str, front: Front, status: int
) -> None:
    """S3 refuses a write with 409 while another one is under way: the next try goes through."""
    left = [Fault(status=status, body=REFUSED[status])]
    front.rule = lambda method, _path: left.pop() if method == "PUT" and left else None
    store_at(front.endpoint, bucket).put(KEY, b"first", if_absent=True)
    assert store.sha256(KEY) == (5, hashlib.sha256(b"first").hexdigest())


def test_a_5xx_body_is_never_content(store: S3Store, bucket: str, front: Front) -> None:
    """Whatever a failing server says, no reading takes it for the object, nor for its absence."""
    store.put(KEY, b"body")
    front.rule = lambda _method, _path: Fault(status=500, body=b"body")
    failing = store_at(front.endpoint, bucket)
    for read in (failing.get, failing.sha256, failing.stat):
        with pytest.raises(Unreachable):
            read(KEY)
    with pytest.raises(Unreachable):
        list(failing.list(""))


def test_half_a_body_is_never_content(store: S3Store, bucket: str, front: Front) -> None:
    """A body that ends early is neither returned nor hashed."""
    store.put(KEY, b"a body of some length")
    front.rule = lambda _method, _path: Fault("cut")
    failing = store_at(front.endpoint, bucket)
    for read in (failing.get, failing.sha256):
        with pytest.raises(Unreachable):
            read(KEY)


def test_no_bucket_is_an_error_and_not_an_absent_object(cloud: Cloud) -> None:
    """A wrong bucket says so, and what to check."""
    with pytest.raises(ActionFailed, match="NoSuchBucket") as told:
        store_at(cloud.endpoint, "no-such-bucket").get(KEY)
    assert told.value.hint


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (412, "PreconditionFailed", Conflict),
        (409, "ConditionalRequestConflict", Conflict),
        (500, "InternalError", Unreachable),
        (503, "SlowDown", Unreachable),
        (429, "TooManyRequests", Unreachable),
        (400, "RequestTimeout", Unreachable),
        (403, "AccessDenied", ActionFailed),
        (400, "InvalidRequest", ActionFailed),
    ],
)
def test_each_refusal_means_one_thing(status: int, code: str, meaning: type[DrfsmError]) -> None:
    """Conflict, out of reach, or a no with a way on; and what was done stands in front."""
    told = refusal("reading x", status, code, "why")
    assert type(told) is meaning
    assert told.what.startswith("reading x: ")


def test_without_credentials_it_says_what_to_export(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the operator's to mend, and says nothing about the world."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unreachable, match="no usable AWS credentials") as told:
        store_at("http://127.0.0.1:9", bucket).get(KEY)
    assert (told.value.fault, "export" in told.value.hint) == ("operator", True)


def test_who_we_are_and_where(cloud: Cloud, bucket: str) -> None:
    """Account, ARN, region, and the bucket's own region."""
    identity = connect(bucket=bucket, endpoint_url=cloud.endpoint, region=REGION).identity
    assert identity.account() == cloud.account
    assert identity.caller().startswith("arn:aws:")
    assert (identity.region(), identity.bucket_region()) == (REGION, REGION)


def test_an_identity_is_looked_up_in_our_own_account_only(cloud: Cloud, bucket: str) -> None:
    """There, absent (also by another path of the name), or untold: no identity, or another account's."""
    identity = connect(bucket=bucket, endpoint_url=cloud.endpoint, region=REGION).identity
    arn = cloud.create_identity(f"looked-up-{bucket}").arn
    assert (identity.known(arn), identity.known(f"{arn}x")) == ("there", "absent")
    assert identity.known(arn.replace(":user/", ":user/path/")) == "absent"
    assert identity.known(arn.replace(":user/", ":role/")) == "absent"
    assert {identity.known(each) for each in (arn.replace(cloud.account, "210987654321"), "root", "")} == {"untold"}


def test_only_named_runners_are_terminated(cloud: Cloud, bucket: str) -> None:
    """Of two tagged runners the named one ends; a machine that the cloud doesn't know counts as terminated."""
    infrastructure = connect(bucket=bucket, endpoint_url=cloud.endpoint, region=REGION).infrastructure
    one, two = launch_runner(cloud), launch_runner(cloud)
    assert {each.instance_id for each in infrastructure.runners(RUNNER_TAGS)} >= {one, two}
    assert infrastructure.runners({**RUNNER_TAGS, "Name": "another"}) == []
    infrastructure.terminate([one])
    assert infrastructure.states([one, two, "i-0000000000000000f"]) == {
        one: "terminated",
        two: "running",
        "i-0000000000000000f": "terminated",
    }
    assert one not in {each.instance_id for each in infrastructure.runners(RUNNER_TAGS)}
    assert infrastructure.states([]) == {}


def test_an_object_that_is_larger_than_its_reader_takes_is_refused_unread(
    cloud: Cloud, bucket: str, front: Front
) -> None:
    """A pointer of many megabytes never gets into memory: one at a time, or many at once."""
    store_at(cloud.endpoint, bucket).put("large", bytes(64 << 10))
    front.rule = lambda method, _path: Fault("cut") if method == "GET" else None  # reading it would be noticed
    store = store_at(front.endpoint, bucket)
    for read in (
        lambda: store.get("large", largest_bytes=(64 << 10) - 1),
        lambda: list(store.get_many(["large"], largest_bytes=(64 << 10) - 1)),
    ):
        with pytest.raises(Unreadable, match=rf"s3://{bucket}/large has 65536 bytes; drfsm reads at most 65535"):
            read()


def test_the_store_tells_the_time(store: S3Store) -> None:
    """Its clock is known from its first answer on, to the second."""
    assert store.now() is None
    began, second = datetime.now(UTC), timedelta(seconds=1)
    store.put("any", b"")
    told = store.now()
    assert told is not None
    assert began - second <= told <= datetime.now(UTC) + second
