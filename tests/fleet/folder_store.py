"""Memory, or a directory, as world.ObjectStore: conditional writes hold between threads, or processes that die.

It counts its requests, as a bill would. tests/adapters/test_stores.py holds the real adapter to the same contract; here
only the part that a journal, a lease and a mirror use is needed.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from drfsm.claims import LARGEST_BYTES
from drfsm.errors import Conflict
from drfsm.world import Blob, Stat


class MemoryStore:
    """One bucket in this process, safe for threads. ``before_put`` is called before each write, with its key."""

    def __init__(self, bucket: str = "memory") -> None:
        self._bucket, self._objects, self._mutex = bucket, dict[str, bytes](), threading.Lock()
        self.requests = 0
        self.before_put: Callable[[str], None] = lambda _key: None

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket

    def now(self) -> datetime | None:
        """Return the time."""
        return datetime.now(UTC)

    def get(self, key: str, *, largest_bytes: int = LARGEST_BYTES) -> Blob | None:  # noqa: ARG002  the protocol's
        """Return an object, None if there is none."""
        self.requests += 1
        body = self._read(key)
        return None if body is None else Blob(key, body, _etag(body))

    def stat(self, key: str) -> Stat | None:
        """Return what is known of an object, None if there is none."""
        self.requests += 1
        body = self._read(key)
        return None if body is None else self._stat(key, body)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield the objects below a prefix, in the order of keys: a request for each thousand, as with S3."""
        keys = sorted(key for key in self._keys() if key.startswith(prefix))
        self.requests += 1 + len(keys) // 1000
        for key in keys:
            if (body := self._read(key)) is not None:
                yield self._stat(key, body)

    def put(self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Write an object; return its ETag. Raises Conflict."""
        self.requests += 1
        self.before_put(key)
        with self._alone():
            before = self._read(key)
            if (if_absent and before is not None) or (if_match and (before is None or _etag(before) != if_match)):
                if before == body:
                    return _etag(body)
                raise Conflict(f"writing {key}: another process wrote it in between")
            self._write(key, body)
        return _etag(body)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.requests += 1
        self._remove(key)

    def get_many(self, keys: Iterable[str], **_more: object) -> Iterator[tuple[str, Blob | None]]:
        """Yield every key with its object."""
        yield from ((key, self.get(key)) for key in keys)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._mutex:
            yield

    def _keys(self) -> Sequence[str]:
        return tuple(self._objects)

    def _read(self, key: str) -> bytes | None:
        return self._objects.get(key)

    def _write(self, key: str, body: bytes) -> None:
        self._objects[key] = body

    def _remove(self, key: str) -> None:
        self._objects.pop(key, None)

    def _stat(self, key: str, body: bytes) -> Stat:
        return Stat(key, len(body), _etag(body), datetime.now(UTC).isoformat())


class FolderStore(MemoryStore):
    """One bucket: a directory with a file for each object."""

    def __init__(self, directory: Path, bucket: str = "memory") -> None:
        super().__init__(bucket)
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _keys(self) -> Sequence[str]:
        return [unquote(path.name) for path in self._directory.iterdir() if not path.name.startswith(".")]

    def _read(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, key: str, body: bytes) -> None:
        half = self._directory / f".half-{os.getpid()}-{threading.get_ident()}"
        half.write_bytes(body)
        half.replace(self._path(key))

    def _remove(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._directory / quote(key, safe="")


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
