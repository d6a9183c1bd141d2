"""A sandbox's bucket as world.ObjectStore, asked in this process: without HTTP, and without signatures.

It reads and writes what moto's server of the same process serves, so that the workload's pods, which publish over the
network, and a run meet in one bucket. A world of a hundred runs makes some ten thousand requests; boto3 and moto's
server spend half of its time on them. tests/adapters/test_stores.py holds this store to the contract that the adapter
keeps on real servers; sockets, signatures and lost answers are tested there and in tests/e2e.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from drfsm.adapters.aws import connect
from drfsm.adapters.bulk import check_size
from drfsm.claims import LARGEST_BYTES
from drfsm.errors import ActionFailed, Conflict
from drfsm.sandbox.cloud import REGION, Cloud
from drfsm.world import Blob, Check, Copy, Hashed, Stat

T = TypeVar("T")


class DirectStore:
    """One bucket of a Cloud of this process. Safe for use by many threads; of two conditional writes one wins."""

    _WRITES = threading.Lock()  # of every bucket: nothing is written between a condition's check and its write

    def __init__(self, cloud: Cloud, bucket: str) -> None:
        from moto.s3.models import s3_backends

        self._cloud, self._bucket, self._backend = cloud, bucket, s3_backends[cloud.account]["aws"]

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket

    def now(self) -> datetime | None:
        """Return the time, to the second, as a server's Date has it."""
        return datetime.now(UTC).replace(microsecond=0)

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:
        """Return an object's bytes and ETag, None if there is none. Raises Unreadable for one that is too large."""
        held = self._held("GetObject", key)
        if held is None:
            return None
        check_size(self._uri(key), held.size, largest_bytes)
        return Blob(key, held.value, held.etag)

    def stat(self, key: str) -> Stat | None:
        """Return what the store says of an object, None if there is none."""
        held = self._held("GetObject", key)
        return None if held is None else _stat(key, held)

    def sha256(self, key: str) -> tuple[int, str] | None:
        """Return (bytes, SHA-256 in hex) of an object, None if there is none."""
        held = self._held("GetObject", key)
        return None if held is None else (held.size, hashlib.sha256(held.value).hexdigest())

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield every object below a prefix, in the order of keys."""
        self._permit("ListBucket", "")
        held = dict(self._of_bucket().keys.items())
        yield from [_stat(key, held[key]) for key in sorted(held, key=str.encode) if key.startswith(prefix)]

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict if the condition does not hold and the body is not ours."""
        self._permit("PutObject", key)
        with self._WRITES:
            held = self._backend.get_object(self._bucket, key)
            if (if_absent and held is not None) or (if_match and (held is None or held.etag != if_match)):
                if held is not None and held.value == body:
                    return str(held.etag)  # as the adapter does after it read the object again
                raise Conflict(f"writing {self._uri(key)}: another process wrote it in between")
            return str(self._backend.put_object(self._bucket, key, body).etag)

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the bucket."""
        held = self._held("GetObject", source)
        if held is None:
            message = f"copying {self._uri(source)} to {self._uri(target)}: the source no longer exists"
            raise ActionFailed(message, hint="drfsm resume", fault="store")
        self.put(target, held.value)

    def delete(self, key: str) -> None:
        """Delete an object; one that isn't there is fine."""
        self._permit("DeleteObject", key)
        self._backend.delete_object(self._bucket, key)

    def presigned_url(self, key: str, *, seconds: int, write: bool = False) -> str:
        """Return a URL of the server, for somebody on the network."""
        signed = connect(bucket=self._bucket, endpoint_url=self._cloud.endpoint, region=REGION).store
        return signed.presigned_url(key, seconds=seconds, write=write)

    def hash_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[Hashed]:
        """Read every object; yield what reading it gave."""
        for key in _checked(keys, check):
            yield Hashed(key, *(self.sha256(key) or ()))

    def get_many(
        self, keys: Iterable[str], *, check: Check | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object, None where there is none."""
        for key in _checked(keys, check):
            yield key, self.get(key, largest_bytes=largest_bytes)

    def copy_many(self, copies: Iterable[Copy], *, check: Check | None = None, verify: bool = True) -> Iterator[Copy]:
        """Copy within the bucket; yield each copy when it is made."""
        del verify
        for copy in _checked(copies, check):
            self.copy(copy.source, copy.target)
            yield copy

    def delete_many(self, keys: Iterable[str], *, check: Check | None = None) -> Iterator[str]:
        """Delete objects; yield each key when it is gone."""
        for key in _checked(keys, check):
            self.delete(key)
            yield key

    def _held(self, action: str, key: str) -> Any:
        self._permit(action, key)
        return self._backend.get_object(self._bucket, key)

    def _of_bucket(self) -> Any:
        from moto.s3.exceptions import MissingBucket

        try:
            return self._backend.get_bucket(self._bucket)
        except MissingBucket:
            raise ActionFailed(f"there is no bucket {self._bucket}", hint="create it", fault="store") from None

    def _permit(self, action: str, key: str) -> None:
        """Raise ActionFailed where the bucket's policy denies the sandbox's operator an action."""
        from moto.s3.exceptions import S3AccessDeniedError

        bucket = self._of_bucket()
        if bucket.policy is None:
            return
        place = f"arn:aws:s3:::{self._bucket}" + (f"/{key}" if key else "")
        try:
            bucket.get_permission(f"s3:{action}", place)
        except S3AccessDeniedError:
            message = f"{action} of {self._uri(key)}: AccessDenied"
            raise ActionFailed(message, hint="look at the bucket's policy", fault="operator") from None

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


class Bucket:
    """The hands of everybody but drfsm on a sandbox's bucket."""

    def __init__(self, cloud: Cloud, bucket: str) -> None:
        self.bucket, self.store = bucket, DirectStore(cloud, bucket)

    def etags(self, below: str = "") -> dict[str, str]:
        """Return every key below a prefix, with its ETag."""
        return {stat.key: stat.etag for stat in self.store.list(below)}

    def everything(self, below: str = "") -> dict[str, bytes]:
        """Return every object below a prefix."""
        return {key: self.body(key) for key in self.etags(below)}

    def body(self, key: str) -> bytes:
        """Return an object's bytes."""
        blob = self.store.get(key)
        assert blob is not None, f"{key} is not there"
        return blob.body

    def put(self, key: str, body: bytes) -> None:
        """Put an object, as anybody else would."""
        self.store.put(key, body)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.store.delete(key)

    def flip(self, key: str) -> None:
        """Change one bit of an object, or change it back; its size stays."""
        body = bytearray(self.body(key))
        body[len(body) // 2] ^= 1
        self.put(key, bytes(body))

    def put_back(self, objects: Mapping[str, bytes]) -> None:
        """Have these objects in the bucket, and no other."""
        there = self.everything()
        for key in there.keys() - objects.keys():
            self.delete(key)
        for key, body in objects.items():
            if there.get(key) != body:
                self.put(key, body)


def _stat(key: str, held: Any) -> Stat:
    return Stat(key, held.size, held.etag, held.last_modified.replace(microsecond=0, tzinfo=UTC).isoformat())


def _checked(items: Iterable[T], check: Check | None) -> Iterator[T]:
    for item in items:
        if check is not None:
            check()
        yield item
