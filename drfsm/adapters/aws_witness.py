"""Objects that are written once, and kept: checkpoints and archives, with Object Lock where the bucket has it.

A retention is one of COMPLIANCE: until its end nobody can delete the object, not even the account's root.
Used by runs/seals.py and runs/bundle_store.py.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from attrs import frozen

from drfsm.adapters.aws_session import Services, call
from drfsm.adapters.bulk import check_size
from drfsm.claims import LARGEST_BYTES
from drfsm.errors import Conflict
from drfsm.world import ObjectStore

_NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed", "InvalidRequest", "NotFound")
_TRIES = 3


@frozen
class Kept:
    """An object as it was first written. ``retained_until`` None: it can be deleted."""

    key: str
    body: bytes
    retained_until: datetime | None


class LastingObjects:
    """One bucket, for objects that nobody replaces."""

    def __init__(self, services: Services, store: ObjectStore) -> None:
        self._services, self._store, self._bucket = services, store, store.bucket

    def locks(self) -> bool:
        """Return whether the bucket has Object Lock. Raises Unreachable, ActionFailed."""
        answer = call(
            f"asking whether s3://{self._bucket} has Object Lock",
            lambda: self._services.client("s3").get_object_lock_configuration(Bucket=self._bucket),
            *_NO_LOCK,
        )
        return answer is not None and answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"

    def put_once(self, key: str, body: bytes, *, kind: str, retain_until: datetime | None = None) -> bytes:
        """Write an object where there is none; return what lies there: ``body``, or what was there before.

        ``kind``: its content type. Raises Unreachable, ActionFailed.
        """
        what = f"writing s3://{self._bucket}/{key}"
        retention = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": retain_until} if retain_until else {}
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()  # a locked object needs it
        s3 = self._services.client("s3", once=True)
        for _ in range(_TRIES):
            try:
                call(
                    what,
                    lambda: s3.put_object(
                        Bucket=self._bucket, Key=key, Body=body, ContentType=kind, ContentMD5=md5, IfNoneMatch="*",
                        **retention,
                    ),
                )  # fmt: skip
            except Conflict:
                there = self._store.get(key, largest_bytes=max(len(body), LARGEST_BYTES))
                if there is not None:
                    return there.body
            else:
                return body
        raise Conflict(f"{what}: the store refuses to write it as if it existed, and it does not exist")

    def first_versions(self, prefix: str) -> Iterator[Kept]:
        """Yield the oldest version of every object below a prefix: what was written later, or deletes it, hides none.

        Raises Unreadable for an object that is larger than any of ours, Unreachable, ActionFailed.
        """
        oldest: dict[str, tuple[datetime, int, str]] = {}
        for number, entry in enumerate(self._versions(prefix)):
            mine = (entry["LastModified"], -number, entry["VersionId"])  # the newest comes first
            oldest[entry["Key"]] = min(oldest.get(entry["Key"], mine), mine)
        for key, (_, _, version) in sorted(oldest.items()):
            yield self._kept(key, version)

    def _versions(self, prefix: str) -> Iterator[Any]:
        asked = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            page = call(
                f"listing the versions below s3://{self._bucket}/{prefix}",
                lambda: self._services.client("s3").list_object_versions(**asked),
            )
            yield from (entry for entry in page.get("Versions", ()) if entry["Key"].startswith(prefix))
            markers = {"KeyMarker": page.get("NextKeyMarker"), "VersionIdMarker": page.get("NextVersionIdMarker")}
            if not page["IsTruncated"] or not markers["KeyMarker"]:
                return
            asked.update({name: str(marker) for name, marker in markers.items() if marker})

    def _kept(self, key: str, version: str) -> Kept:
        what = f"reading s3://{self._bucket}/{key}"
        answer = call(
            what, lambda: self._services.client("s3").get_object(Bucket=self._bucket, Key=key, VersionId=version)
        )
        with closing(answer["Body"]) as stream:
            check_size(what, answer["ContentLength"], LARGEST_BYTES)
            return Kept(key, call(what, stream.read), answer.get("ObjectLockRetainUntilDate"))
