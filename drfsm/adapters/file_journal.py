"""The journal as a file, and the lock that makes one process its only writer.

    <bundle>/state_transitions.log    one line a record; one write and one fdatasync each
    <bundle>/.lock                    held by whoever works on the run; says who

The lock is the operating system's: it is gone with the process, however that ended. A torn last line (the
writer died in the middle of it) is cut off by the next holder, and said; any other damage is refused. A
journal that could not be written once is written no more: nothing may be done that isn't on record.
"""

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drfsm.errors import DrfsmError, LeaseHeld, UsageFault
from drfsm.journal import GENESIS, Chain, Record, digest, encode, read

LOG, LOCK = "state_transitions.log", ".lock"


def read_chain(bundle: Path) -> Chain:
    """Read and verify a bundle's journal without the lock. A torn tail is left alone. Raises JournalDamaged."""
    try:
        raw = (bundle / LOG).read_bytes()
    except OSError as fault:
        raise UsageFault(f"{bundle / LOG} can't be read: {fault.strerror}", way="drfsm list") from None
    return read(raw)


def holder(bundle: Path) -> dict[str, Any] | None:
    """Return who works on a bundle just now ({pid, host}); None if nobody does."""
    try:
        descriptor = os.open(bundle / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _who(descriptor)
    finally:
        os.close(descriptor)
    return None


def _who(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 1000, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class FileJournal:
    """A run's journal, open for writing. Use ``create`` or ``open``; closing lets the lock go."""

    def __init__(self, bundle: Path, *, fresh: bool) -> None:
        self._path = bundle / LOG
        self._broken = ""
        self.cut: tuple[int, str] | None = None
        self._lock = _locked(bundle)
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if fresh else 0)
            self._file = os.open(self._path, flags, 0o600)
        except FileExistsError:
            os.close(self._lock)
            raise UsageFault(f"{bundle} already holds a run", way=f"drfsm resume {bundle}") from None
        except OSError as fault:
            os.close(self._lock)
            raise UsageFault(f"{self._path}: {fault.strerror}", way="look at the directory") from None
        if fresh:
            with _directory(bundle) as descriptor:
                os.fsync(descriptor)
        self._records: list[Record] = []
        self._head = GENESIS
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, bundle: Path) -> Self:
        """Start a journal in a directory that has none. Raises UsageFault, LeaseHeld."""
        return cls(bundle, fresh=True)

    @classmethod
    def open(cls, bundle: Path) -> Self:
        """Open a journal to go on with. Raises LeaseHeld if another process works on it, JournalDamaged."""
        return cls(bundle, fresh=False)

    def _load(self) -> None:
        chain = read(self._path.read_bytes())
        self._records, self._head, self._size = list(chain.records), chain.head, chain.size_bytes
        if chain.torn:
            os.ftruncate(self._file, chain.size_bytes)
            os.fdatasync(self._file)
            self.cut = (len(chain.torn), digest(chain.torn))

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return self._head

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return tuple(self._records)

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record durably. Raises DrfsmError if it can't be; then nothing more is ever appended."""
        if self._broken:
            raise DrfsmError(self._broken, way="make room, then `drfsm resume`", fault="journal")
        if self.cut and kind != "tail_cut":
            cut, self.cut = self.cut, None
            self.append("tail_cut", {"bytes": cut[0], "sha256": cut[1]}, at)
        record = Record(len(self._records), kind, at, body)
        line = encode(record, self._head)
        try:
            self._write(line)
        except OSError as fault:
            why = errno.errorcode.get(fault.errno or 0, "unknown")
            self._broken = f"the journal {self._path} can't be written ({why}: {fault.strerror}): nothing more is done"
            raise DrfsmError(self._broken, way="make room, then `drfsm resume`", fault="journal") from None
        self._records.append(record)
        self._head = digest(line)
        self._size += len(line)
        return record

    def _write(self, line: bytes) -> None:
        """Write a whole line, or leave none of it."""
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise

    def close(self) -> None:
        """Close the file and let the lock go."""
        os.close(self._file)
        os.close(self._lock)

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _locked(bundle: Path) -> int:
    """Take the bundle's lock; return its descriptor. Raises LeaseHeld, naming the holder."""
    descriptor = os.open(bundle / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        who = _who(descriptor)
        os.close(descriptor)
        told = f"process {who.get('pid', '?')} on {who.get('host', '?')}"
        raise LeaseHeld(
            f"{told} works on {bundle} just now", way=f"wait for it, or look: drfsm status {bundle}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode(), 0)
    return descriptor


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
