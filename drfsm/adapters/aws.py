"""One AWS account behind the protocols of world/: the object store, and the connection to the rest (aws_cloud.py).

aws_session.py makes the calls and explains their failures. aws_answers.py checks the responses. bulk.py reads, copies
and deletes many objects at once, on the same server and with the same credentials.

A conditional write is never retried blindly. Its response may have been lost, and the retry would then conflict with
its own success, so the object is read back first. An object is absent only if S3 says so with its own code (NoSuchKey).
A 404 to a HEAD has no code, so a GET asks again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from drfsm.adapters.aws_answers import WAY
from drfsm.adapters.aws_cloud import (
    AwsIdentity,
    CloudWatchAlarms,
    Ec2Infrastructure,
    Ec2Machines,
    S3Policy,
    SsmParameters,
)
from drfsm.adapters.aws_metrics import CloudWatchMetrics
from drfsm.adapters.aws_session import NO_OBJECT, Services, call, refusal, resolved_endpoint, status_of
from drfsm.adapters.aws_witness import LastingObjects
from drfsm.adapters.bulk import check_size
from drfsm.adapters.ecr import EcrTokens
from drfsm.adapters.route53 import Route53Zones
from drfsm.adapters.ssm_files import SsmFiles
from drfsm.claims import LARGEST_BYTES, bounded
from drfsm.errors import ActionFailed, Conflict, DrfsmError, Unreachable, Unreadable, UsageFault
from drfsm.world import Blob, Check, Copy, Hashed, ObjectStore, Stat

if TYPE_CHECKING:
    from drfsm.adapters.bulk import Bulk

__all__ = [
    "Account", "Fleet", "S3Store", "connect", "fleet", "lasting_objects", "machine_files", "metrics",
    "resolved_endpoint",
]  # fmt: skip

CHUNK_BYTES = 1 << 20
WRITE_TRIES = 3
_SERVER_FAULT = 500
_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}


class S3Store:
    """One bucket. Safe for use by many threads."""

    def __init__(self, services: Services, bucket: str) -> None:
        self._services, self._bucket = services, bucket
        self._many: Bulk | None = None

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket

    @property
    def services(self) -> Services:
        """What reaches the account, for the other adapters of AWS."""
        return self._services

    @property
    def _s3(self) -> Any:
        return self._services.client("s3")

    def now(self) -> datetime | None:
        """Return the time by the store's clock, None before its first answer."""
        return self._services.times.now()

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object's bytes and ETag, None if there is none. Raises Unreadable for one that is too large."""
        what = f"reading {self._uri(key)}"
        answer = self._asked(what, key)
        if answer is None:
            return None
        with closing(answer["Body"]) as stream:
            check_size(self._uri(key), answer["ContentLength"], largest_bytes)
            body = call(what, stream.read)
        if len(body) != answer["ContentLength"]:
            raise Unreachable(f"{what}: {len(body)} of {answer['ContentLength']} bytes were received", fault="store")
        return Blob(key, body, answer["ETag"])

    def _asked(self, what: str, key: str) -> Any:
        """Return the response to a GET, its body not yet read; None where S3 says that there is no such object."""
        return call(what, lambda: self._s3.get_object(Bucket=self._bucket, Key=key), NO_OBJECT)

    def stat(self, key: str) -> Stat | None:
        """Return what the store says of an object without reading it, None if there is none."""
        from botocore.exceptions import ClientError

        def head() -> Any:
            try:
                return self._s3.head_object(Bucket=self._bucket, Key=key)
            except ClientError as fault:
                if status_of(fault) >= _SERVER_FAULT:
                    raise
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)  # a failed HEAD has no error code; a GET has one
            answer["Body"].close()
            return answer

        answer = call(f"checking {self._uri(key)}", head, NO_OBJECT)
        return answer and Stat(key, answer["ContentLength"], answer["ETag"], answer["LastModified"].isoformat())

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Read an object in a stream; return (bytes read, SHA-256 in hex), None if there is none."""
        what = f"reading {self._uri(key)}"
        answer = self._asked(what, key)
        if answer is None:
            return None
        digest, size = hashlib.sha256(), 0
        while chunk := call(what, partial(answer["Body"].read, CHUNK_BYTES)):
            digest.update(chunk)
            size += len(chunk)
        if size != answer["ContentLength"]:
            raise Unreachable(f"{what}: {size} of {answer['ContentLength']} bytes were received", fault="store")
        return size, digest.hexdigest()

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every object below a prefix, in the order of keys."""
        what = f"listing {self._uri(prefix)}"
        asked, tokens = {"Bucket": self._bucket, "Prefix": prefix}, set()
        while True:
            page = call(what, lambda: self._s3.list_objects_v2(**asked))
            self._check_page(what, page, prefix)
            for entry in page.get("Contents", ()):
                yield Stat(entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"].isoformat())
            if not page["IsTruncated"]:
                return
            token = page.get("NextContinuationToken")
            if not token or token in tokens:
                raise Unreadable(f"{what}: the list is truncated, but it has no valid continuation token", hint=WAY)
            tokens.add(token)
            asked["ContinuationToken"] = token

    def _check_page(self, what: str, page: Any, prefix: str) -> None:
        """Raise Unreadable for the listing of another bucket, or of another prefix."""
        if page["Name"] != self._bucket or page.get("Prefix", prefix) != prefix:
            message = f"s3://{page['Name']}/{page.get('Prefix', '')}"
            raise Unreadable(f"{what}: the response lists {bounded(message)} instead", hint=WAY)
        others = [entry["Key"] for entry in page.get("Contents", ()) if not entry["Key"].startswith(prefix)]
        if others:
            raise Unreadable(f"{what}: the response lists {bounded(others[0])}, which is outside that prefix", hint=WAY)

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict if the condition does not hold."""
        condition = {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"} if if_absent else {}
        kind = _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
        what = f"writing {self._uri(key)}"
        s3 = self._services.client("s3", once=bool(condition))

        def request() -> Any:
            return s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=kind, **condition)

        if not condition:
            return str(call(what, request)["ETag"])
        return self._conditional(what, request, key, body, if_match)

    def _conditional(self, what: str, request: Callable[[], Any], key: str, body: bytes, if_match: str | None) -> str:
        """Write on a condition. Read the object if the response was lost or the conflict may be with our own write.

        Raises Conflict if the object is not as the condition says; Unreachable if it is, and the store refuses anyhow.
        """
        last: DrfsmError | None = None
        for _ in range(WRITE_TRIES):
            try:
                written = call(what, request, NO_OBJECT)
            except (Conflict, Unreachable) as fault:
                last = fault
            else:
                if written is not None:
                    return str(written["ETag"])
                last = Conflict(
                    f"{what}: the object no longer exists"
                )  # S3 answers 404 to If-Match where there is no object
            now = self.get(key)
            # Bodies that matter carry a nonce: an equal body is our own.
            if now is not None and now.body == body:
                return now.etag
            if (now.etag if now else None) != if_match:
                raise Conflict(f"{what}: another process wrote it in between")
        if isinstance(last, Conflict):  # S3 may answer 409 while another request is under way, but not for ever
            raise Unreachable(
                f"{what}: the store refuses the write because of its condition, although the object is as the condition"
                f" says ({'its ETag is the expected one' if if_match else 'there is none'})",
                hint="this is a fault of the store: ask whoever runs it. Then repeat the command; drfsm wrote nothing",
                fault="store",
            )
        raise last or Unreachable(what)

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server, within the bucket."""
        what = f"copying {self._uri(source)} to {self._uri(target)}"
        try:
            call(what, lambda: self._s3.copy({"Bucket": self._bucket, "Key": source}, self._bucket, target))
        except Unreadable:
            if self.stat(source) is not None:
                raise
            raise ActionFailed(f"{what}: the source no longer exists", hint="drfsm resume", fault="store") from None

    def delete(self, key: str) -> None:
        """Delete an object. An absent object is not an error."""
        call(f"deleting {self._uri(key)}", lambda: self._s3.delete_object(Bucket=self._bucket, Key=key), NO_OBJECT)

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Return a URL that lets its holder read an object (or write it) for a while. It is a secret."""

        def signed() -> str:
            return str(
                self._services.signer().generate_presigned_url(
                    "put_object" if write else "get_object",
                    Params={"Bucket": self._bucket, "Key": key},
                    ExpiresIn=seconds,
                )
            )

        return str(call(f"signing a URL of {self._uri(key)}", signed))

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Read every object in a stream; yield its size and hash, in any order."""
        return self._bulk().hash_many(keys, check)

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object (None if absent), in any order."""
        return self._bulk().get_many(keys, check, largest_bytes)

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None, verify: bool = True) -> Iterator[Copy]:
        """Copy on the server, within the bucket; yield each copy when it is made, and (``verify``) seen to be there."""
        return self._bulk().copy_many(copies, check, verify=verify)

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete objects; yield each key when it is gone."""
        return self._bulk().delete_many(keys, check)

    def _bulk(self) -> "Bulk":
        from drfsm.adapters.bulk import Bulk

        if self._many is None:
            self._many = Bulk(self._bucket, self._services.reach(), self, refusal)
        return self._many

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


class Account(NamedTuple):
    """The parts of a world that one account provides."""

    store: S3Store
    identity: AwsIdentity
    infrastructure: Ec2Infrastructure
    policy: S3Policy
    alarms: CloudWatchAlarms
    pull_tokens: EcrTokens
    zones: Route53Zones


def connect(*, bucket: str, endpoint_url: str | None = None, region: str | None = None) -> Account:
    """Return the parts of a world that one account provides, for one bucket. Makes no call yet."""
    services = Services(endpoint_url, region)
    return Account(
        S3Store(services, bucket),
        AwsIdentity(services, bucket),
        Ec2Infrastructure(services),
        S3Policy(services, bucket),
        CloudWatchAlarms(services),
        EcrTokens(services),
        Route53Zones(services),
    )


def lasting_objects(store: ObjectStore) -> LastingObjects:
    """Return the objects of a bucket of AWS that are written once and kept. Makes no call yet."""
    if not isinstance(store, S3Store):
        raise UsageFault(f"s3://{store.bucket} is no bucket that this adapter reaches", hint="see docs/stores.md")
    return LastingObjects(store.services, store)


def metrics(*, endpoint_url: str | None = None, region: str | None = None) -> CloudWatchMetrics:
    """Return where one account keeps measurements. Makes no call yet."""
    return CloudWatchMetrics(Services(endpoint_url, region))


class Fleet(NamedTuple):
    """The services of one account that bring machines up."""

    machines: Ec2Machines
    parameters: SsmParameters


def fleet(*, endpoint_url: str | None = None, region: str | None = None) -> Fleet:
    """Return the services of one account that bring machines up. Makes no call yet."""
    services = Services(endpoint_url, region)
    return Fleet(Ec2Machines(services), SsmParameters(services))


def machine_files(*, endpoint_url: str | None = None, region: str | None = None) -> SsmFiles:
    """Return what reads files of one account's machines. Makes no call yet."""
    return SsmFiles(Services(endpoint_url, region))
