"""Many objects at once: every question is answered once, exactly, or there is an error."""

import gzip
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from drfsm.adapters.aws import S3Store, connect
from drfsm.adapters.aws_answers import Unworded
from drfsm.adapters.aws_session import Services, refusal
from drfsm.adapters.bulk import Bulk
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Interrupted, Unreachable
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.world import Copy, Hashed
from tests.adapters.conftest import store_at
from tests.bench.faulty import Fault, Front

pytestmark = pytest.mark.usefixtures("operator_keys")

NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code></Error>"
RUN = "jobintel/runs/2026-02-27T00:22:29.934039+00:00/openai/cs"
KEYS = (
    f"{RUN}/openai_ranked_jobs.cs.json",
    "p/with space and +plus",
    "p/100%",
    "p/%41%2F/not decoded",
    "p/ümläut/日本/e\u0301",
    "p/a&b=c?d#e;f,g@h!i$j*k~l'(m)",
    'p/"<>|{}^`[]',
    "p/back\\slash",
    "p/..hidden./...",
    # obstore would ask for another key, or refuse: these go the slow way.
    "p/folder marker/",
    "/leading",
    "p//double",
    "p/./dot",
    "p/../dots",
    "p/tab\there",
)


def put(cloud: Cloud, bucket: str, bodies: dict[str, bytes]) -> None:
    """Put objects, with boto3."""
    for key, body in bodies.items():
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def hashed(key: str, body: bytes) -> Hashed:
    """Return what reading an object ought to give."""
    return Hashed(key, len(body), hashlib.sha256(body).hexdigest())


def threads() -> list[str]:
    """Return the bulk threads that are alive."""
    return [each.name for each in threading.enumerate() if each.name == "drfsm-bulk" and each.is_alive()]


def test_every_key_is_asked_for_exactly_as_it_is(cloud: Cloud, bucket: str) -> None:
    """Colons, pluses, spaces, percent signs, Unicode and odd slashes: each key reads, copies and goes by itself."""
    bodies = {key: f"the body of {number}".encode() for number, key in enumerate(KEYS)}
    put(cloud, bucket, bodies)
    store = store_at(cloud.endpoint, bucket)
    assert {each.key: each for each in store.hash_many(KEYS)} == {key: hashed(key, bodies[key]) for key in KEYS}
    assert {key: blob and blob.body for key, blob in store.get_many(KEYS)} == bodies
    copies = [Copy(key, f"copy of {key}", len(bodies[key])) for key in KEYS]
    assert set(store.copy_many(copies)) == set(copies)
    for each in copies:
        found = store.get(each.target)
        assert found is not None
        assert found.body == bodies[each.source]
    assert set(store.delete_many(KEYS)) == set(KEYS)
    assert sorted(each.key for each in store.list("")) == sorted(each.target for each in copies)


def test_a_key_without_its_slash_is_another_key(cloud: Cloud, bucket: str) -> None:
    """Where only ``p/a`` exists, ``p/a/`` and ``/p/a`` are not there: nothing is stripped."""
    put(cloud, bucket, {"p/a": b"a"})
    found = list(store_at(cloud.endpoint, bucket).hash_many(["p/a/", "/p/a"]))
    assert sorted(found, key=lambda each: each.key) == [Hashed("/p/a"), Hashed("p/a/")]


def test_absent_objects_are_answers_and_an_absent_bucket_is_an_error(cloud: Cloud, bucket: str) -> None:
    """A key that is not there is said to be absent; a bucket that is not there is never a set of absent keys."""
    store = store_at(cloud.endpoint, bucket)
    assert list(store.hash_many(["none"])) == [Hashed("none")]
    assert list(store.get_many(["none"])) == [("none", None)]
    assert list(store.delete_many(["none"])) == ["none"]
    with pytest.raises(ActionFailed, match="the source no longer exists"):
        list(store.copy_many([Copy("none", "some", 1)]))
    with pytest.raises(ActionFailed, match="NoSuchBucket"):
        list(store_at(cloud.endpoint, "no-such-bucket").hash_many(["none"]))


def test_no_question_is_dropped_and_equal_ones_are_answered_each(cloud: Cloud, bucket: str) -> None:
    """More questions than fit in flight, some of them twice, get exactly as many answers."""
    bodies = {f"many/{number:03}": str(number).encode() for number in range(200)}
    put(cloud, bucket, bodies)
    asked = [*bodies, *list(bodies)[:7]]
    answers = [each.key for each in store_at(cloud.endpoint, bucket).hash_many(asked)]
    assert sorted(answers) == sorted(asked)


def test_nothing_asked_is_nothing_answered(bucket: str) -> None:
    """An empty question needs neither a server nor a thread."""
    assert list(store_at("http://127.0.0.1:9", bucket).hash_many([])) == []
    assert threads() == []


def test_what_is_stored_is_hashed_not_what_it_unpacks_to(cloud: Cloud, bucket: str) -> None:
    """An object with Content-Encoding gzip is hashed and returned as the bytes that lie there."""
    body = gzip.compress(b"hello" * 1000)
    cloud.client("s3").put_object(Bucket=bucket, Key="gz", Body=body, ContentEncoding="gzip")
    store = store_at(cloud.endpoint, bucket)
    assert list(store.hash_many(["gz"])) == [hashed("gz", body)]
    ((_, blob),) = store.get_many(["gz"])
    assert blob is not None
    assert (blob.body, blob.etag) == (body, f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')


def test_a_large_object_is_hashed_in_a_stream(cloud: Cloud, bucket: str) -> None:
    """An object above the size that is held whole has the same hash as its bytes."""
    body = bytes(range(256)) * (9 << 12)
    put(cloud, bucket, {"large": body})
    assert list(store_at(cloud.endpoint, bucket).hash_many(["large"])) == [hashed("large", body)]


def test_a_copy_above_the_limit_of_one_request_is_made_of_parts(cloud: Cloud, bucket: str) -> None:
    """Above the limit boto3 copies in parts (the ETag says so); below it obstore copies in one request."""
    body = bytes(9 << 20)
    put(cloud, bucket, {"large": body, "small": b"small"})
    services = Services(cloud.endpoint, REGION)
    store = S3Store(services, bucket)
    bulk = Bulk(bucket, services.reach(), store, refusal, one_request_copy_bytes=1 << 20)
    copies = [Copy("large", "large-2", len(body)), Copy("small", "small-2", 5)]
    assert set(bulk.copy_many(copies, None)) == set(copies)
    large, small = store.stat("large-2"), store.stat("small-2")
    assert large is not None
    assert small is not None
    assert large.etag.endswith('-2"')
    assert "-" not in small.etag
    assert store.sha256("large-2") == (len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    ("fault", "meaning", "words"),
    [
        (Fault(status=500), Unreachable, "500 InternalError"),
        (Fault(status=503, body=b"<Error><Code>SlowDown</Code></Error>"), Unreachable, "503 SlowDown"),
        (Fault(status=429), Unreachable, "429"),
        (Fault(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"), ActionFailed, "AccessDenied"),
        (Fault(status=401, body=b""), Unworded, "401"),  # no word of the service: an error page of somebody else
        (Fault(status=400, body=b"<Error><Code>Odd</Code><Message>why</Message></Error>"), ActionFailed, "Odd why"),
        (Fault(status=409), Conflict, "another process"),
        (Fault(status=301, body=b"<Error><Code>PermanentRedirect</Code></Error>"), ActionFailed, "region"),
        (Fault("close"), Unreachable, "reading s3://"),
    ],
)
def test_an_answer_that_is_no_success_is_never_content(
    cloud: Cloud, bucket: str, front: Front, fault: Fault, meaning: type[DrfsmError], words: str
) -> None:
    """One object of many that can't be read ends the reading with what its failure means, naming the key."""
    bodies = {f"p/{number:02}": b"x" for number in range(20)}
    put(cloud, bucket, bodies)
    front.rule = lambda _method, path: fault if path.endswith("p/07") else None
    store = store_at(front.endpoint, bucket)
    questions: tuple[Callable[[Iterable[str]], Iterator[object]], ...] = (store.hash_many, store.get_many)
    for question in questions:
        with pytest.raises(meaning, match=words) as told:
            list(question(bodies))
        assert type(told.value) is meaning
        assert "p/07" in told.value.what
    assert threads() == []


def test_a_body_that_ends_early_is_read_on_or_refused_never_hashed_as_it_is(
    cloud: Cloud, bucket: str, front: Front
) -> None:
    """Half of a body that came is not the object: its hash is the whole's, or there is an error."""
    body = bytes(range(200))
    put(cloud, bucket, {"p/cut": body})
    front.rule = lambda _method, _path: Fault("cut")
    try:
        answers = list(store_at(front.endpoint, bucket).hash_many(["p/cut"]))
    except Unreachable:
        answers = [hashed("p/cut", body)]
    assert answers == [hashed("p/cut", body)]


def test_what_fails_once_is_asked_again(cloud: Cloud, bucket: str, front: Front) -> None:
    """A single 503 costs a moment, not the reading."""
    put(cloud, bucket, {"p/a": b"a"})
    failed: list[str] = []

    def once(_method: str, path: str) -> Fault | None:
        if failed:
            return None
        failed.append(path)
        return Fault(status=503)

    front.rule = once
    assert list(store_at(front.endpoint, bucket).hash_many(["p/a"])) == [hashed("p/a", b"a")]
    assert len(front.seen) == 2


def test_a_copy_that_answers_200_with_an_error_in_its_body_failed(cloud: Cloud, bucket: str, front: Front) -> None:
    """S3 may say 200 before it has copied, and then that it could not: that is no copy."""
    put(cloud, bucket, {"p/a": b"a"})
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>no</Message></Error>'
    front.rule = lambda method, _path: Fault(status=200, body=body) if method == "PUT" else None
    store = store_at(front.endpoint, bucket)
    with pytest.raises(Unreachable, match="copying"):
        list(store.copy_many([Copy("p/a", "p/b", 1)]))
    assert store.get("p/b") is None


def test_no_server_is_unreachable_and_no_credentials_are_the_operators(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say nothing about the objects; the second says what to export."""
    with pytest.raises(Unreachable, match="reading s3://"):
        list(store_at("http://127.0.0.1:9", bucket).hash_many(["p/a"]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(Unreachable, match="no usable AWS credentials") as told:
        list(store_at("http://127.0.0.1:9", bucket).hash_many(["p/a"]))
    assert told.value.fault == "operator"


def test_the_endpoint_is_boto3s_whatever_else_the_environment_names(
    cloud: Cloud, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Obstore reads AWS_ENDPOINT_URL_S3 by itself; a given endpoint wins over it, as in boto3."""
    put(cloud, bucket, {"p/a": b"a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert list(store_at(cloud.endpoint, bucket).hash_many(["p/a"])) == [hashed("p/a", b"a")]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", cloud.endpoint)
    from_environment = connect(bucket=bucket, region=REGION).store
    assert list(from_environment.hash_many(["p/a"])) == [hashed("p/a", b"a")]


def test_a_check_that_raises_ends_it_although_the_server_is_silent(bucket: str, front: Front) -> None:
    """While nothing comes, ``check`` is still asked; what it raises gets out, and nothing is left running."""
    front.rule = lambda _method, _path: Fault(delay_seconds=20)
    started = time.monotonic()

    def check() -> None:
        if time.monotonic() - started > 0.3:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        list(store_at(front.endpoint, bucket).hash_many(["p/a", "p/b"], check=check))
    assert time.monotonic() - started < 20  # the server's silence
    assert threads() == []


def test_who_stops_listening_leaves_nothing_running(cloud: Cloud, bucket: str) -> None:
    """A reader that takes one answer of many and goes away ends the rest."""
    put(cloud, bucket, {f"p/{number:03}": b"x" for number in range(150)})
    answers: Any = store_at(cloud.endpoint, bucket).hash_many(f"p/{number:03}" for number in range(150))
    next(answers)
    answers.close()
    assert threads() == []


def test_many_requests_are_in_flight_at_once(bucket: str, front: Front) -> None:
    """With an answer that takes its time, more than a hundred others are under way."""
    front.rule = lambda _method, _path: Fault(status=404, body=NO_SUCH_KEY, delay_seconds=3)
    keys = [f"p/{number:03}" for number in range(128)]
    assert len(list(store_at(front.endpoint, bucket).hash_many(keys))) == 128
    assert front.most_at_once > 100


def test_neither_obstore_nor_boto3_is_loaded_before_it_is_used() -> None:
    """Start-up time is a promise: the adapters load their clients with the first request."""
    code = (
        "import sys, drfsm.adapters.bulk; from drfsm.adapters.aws import connect; connect(bucket='b');"
        "print(*sorted({each.partition('.')[0] for each in sys.modules} & {'obstore', 'boto3', 'botocore'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
