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
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drfsm import claims
from drfsm.errors import DrfsmError, LeaseHeld, Unreadable, UsageFault
from drfsm.journal import GENESIS, Chain, Record, digest, encode, read

LOG, LOCK = "state_transitions.log", ".lock"
LOOKS, LOOK_SECONDS = 5, 0.05  # how long a lock that somebody has is waited for


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
        return claims.object_of(os.pread(descriptor, 1000, 0), "the lock")
    except (OSError, Unreadable):
        return {}


class FileJournal:
    """A run's journal, open for writing. Use ``create`` or ``open``; closing lets the lock go."""

    def __init__(self, bundle: Path, *, fresh: bool) -> None:
        self._path = bundle / LOG
        self._broken = ""
        self._records: list[Record] = []
        self._lines: list[bytes] = []
        self._size = 0
        self.cut: tuple[int, str] | None = None
        with ExitStack() as opened:
            self._lock = _locked(bundle)
            opened.callback(os.close, self._lock)
            self._file = self._opened(bundle, fresh=fresh)
            opened.callback(os.close, self._file)
            if fresh:
                _sync_directory(bundle)
            self._load()
            self._held = opened.pop_all()

    @classmethod
    def create(cls, bundle: Path) -> Self:
        """Start a journal in a directory that has none. Raises UsageFault, LeaseHeld."""
        return cls(bundle, fresh=True)

    @classmethod
    def open(cls, bundle: Path) -> Self:
        """Open a journal to go on with. Raises LeaseHeld if another process works on it, JournalDamaged."""
        return cls(bundle, fresh=False)

    def _opened(self, bundle: Path, *, fresh: bool) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if fresh else 0)
        try:
            return os.open(self._path, flags, 0o600)
        except FileExistsError:
            raise UsageFault(f"{bundle} already holds a run", way=f"drfsm resume {bundle}") from None
        except OSError as fault:
            raise UsageFault(f"{self._path}: {fault.strerror}", way="look at the directory") from None

    def _load(self) -> None:
        raw = self._path.read_bytes()
        chain = read(raw)
        self._records, self._size = list(chain.records), chain.size_bytes
        self._lines = list(BytesIO(raw[: chain.size_bytes]))
        if chain.torn:
            os.ftruncate(self._file, chain.size_bytes)
            os.fdatasync(self._file)
            self.cut = (len(chain.torn), digest(chain.torn))

    @property
    def head(self) -> str:
        """The SHA-256 (hex) of the last line."""
        return digest(self._lines[-1]) if self._lines else GENESIS

    def records(self) -> Sequence[Record]:
        """Return every record so far, oldest first."""
        return tuple(self._records)

    def lines(self) -> tuple[bytes, ...]:
        """Return the raw line of every record so far, newline included."""
        return tuple(self._lines)

    def append(self, kind: str, body: Mapping[str, Any], at: str) -> Record:
        """Append one record durably. Raises DrfsmError if it can't be; then nothing more is ever appended.

        Raises ValueError, and writes nothing, for a body that JSON can't say.
        """
        if kind != "tail_cut":
            self.note_cut(at)
        record = Record(len(self._records), kind, at, body)
        self._add(encode(record, self.head), record)
        return record

    def note_cut(self, at: str) -> None:
        """Write down that a torn line was cut off, if one was; ``append`` does so before its own record."""
        if self.cut:
            size, sha256 = self.cut
            self.append("tail_cut", {"bytes": size, "sha256": sha256}, at)
            self.cut = None

    def extend(self, lines: Sequence[bytes]) -> None:
        """Append raw lines that a copy of this journal has and this one lacks. Raises JournalDamaged."""
        chain = read([*self._lines, *lines])
        for line, record in zip(lines, chain.records[len(self._records) :], strict=True):
            self._add(line, record)

    def _add(self, line: bytes, record: Record) -> None:
        if self._broken:
            raise DrfsmError(self._broken, way="make room, then `drfsm resume`", fault="journal")
        # BEFORE the write, so that whatever interrupts it (Ctrl-C too) leaves a journal that is written no more.
        self._broken = f"the journal {self._path} was interrupted while a record was written: nothing more is done"
        try:
            self._write(line)
        except OSError as fault:
            why = errno.errorcode.get(fault.errno or 0, "unknown")
            self._broken = f"the journal {self._path} can't be written ({why}: {fault.strerror}): nothing more is done"
            raise DrfsmError(self._broken, way="make room, then `drfsm resume`", fault="journal") from None
        self._size += len(line)
        self._lines.append(line)
        self._records.append(record)
        self._broken = ""

    def _write(self, line: bytes) -> None:
        """Write a whole line, or leave none of it."""
        try:
            if (written := os.write(self._file, line)) == len(line):
                os.fdatasync(self._file)
                return
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        os.ftruncate(self._file, self._size)
        raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")

    def close(self) -> None:
        """Close the file and let the lock go."""
        self._held.close()

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _locked(bundle: Path) -> int:
    """Take the bundle's lock; return its descriptor. Raises LeaseHeld, naming the holder; UsageFault."""
    try:
        descriptor = os.open(bundle / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise UsageFault(f"{bundle / LOCK}: {fault.strerror}", way="look at the directory") from None
    try:
        _flock(descriptor)
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


def _flock(descriptor: int) -> None:
    """Lock, or raise OSError. Whoever only looks (``holder``) has the lock for a moment: that is waited for."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOOK_SECONDS)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
